//! One cluster's client: which endpoint is asked, with what bounds, and what its failures mean.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::error::{Error, Reason, one_line};
use super::tls::{self, Refused, Roots};
use crate::config::{Cluster, Credential};
use crate::metrics::Own;

/// Name resolution, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// pveproxy closes after 5 s without a request; a connection older than this is not worth the gamble.
const IDLE_TIMEOUT: Duration = Duration::from_millis(4500);
/// What is read of an error's body, for its message.
const ERROR_BODY: u64 = 16 << 10;

/// Asks one cluster's API; read-only.
pub struct Client {
    cluster: String,
    endpoints: Vec<String>,
    http: reqwest::Client,
    limits: Limits,
    own: Arc<Own>,
    gate: super::Gate,
    /// The endpoint that answered last: asked first next time.
    preferred: AtomicUsize,
}

/// Bounds of every call.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body that is read, in bytes.
    pub max_body: u64,
}

/// A 200 answer, to be parsed by borrowing from it.
#[derive(Debug)]
pub struct Answer {
    endpoint: String,
    path: String,
    body: String,
}

impl Client {
    /// A client that has not connected yet. Fails with a sentence for the administrator.
    pub fn new(cluster: &Cluster, limits: Limits, roots: &Roots, own: Arc<Own>) -> Result<Self, String> {
        let fault = |what: String| format!("cluster {}: {what}", cluster.name);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization(&cluster.credential).map_err(fault)?);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(&cluster.tls, roots).map_err(fault)?)
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .default_headers(headers)
            .user_agent(concat!("pve-sentinel/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| fault(format!("the HTTP client cannot be set up: {}", root_cause(&error))))?;
        Ok(Self {
            cluster: cluster.name.clone(),
            endpoints: cluster.endpoints.iter().map(|endpoint| endpoint.url.clone()).collect(),
            http,
            limits,
            own,
            preferred: AtomicUsize::new(0),
            gate: super::Gate::default(),
        })
    }

    /// The configured name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// stub
    pub fn gate(&self) -> &super::Gate {
        &self.gate
    }

    /// stub
    pub fn entry_node(&self) -> String {
        self.asked()
    }

    /// stub
    pub fn asked(&self) -> String {
        self.endpoints[self.preferred.load(Ordering::Relaxed)].clone()
    }

    /// stub
    pub async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.get_until(path, Instant::now() + Duration::from_secs(60)).await
    }

    /// `GET /api2/json{path}`, from the endpoint that answered last or, while there is time, from the others.
    pub async fn get_until(&self, path: &str, deadline: Instant) -> Result<Answer, Error> {
        let count = self.endpoints.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut attempt = 0;
        loop {
            let index = (first + attempt) % count;
            let started = Instant::now();
            let left = u32::try_from(count - attempt).unwrap_or(u32::MAX);
            // A hung endpoint may use up only its share, so that the others get theirs.
            let until = started + deadline.saturating_duration_since(started) / left;
            let result = self.get_from(&self.endpoints[index], path, until).await;
            attempt += 1;
            match result {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if attempt < count && error.is_of_the_endpoint() => {
                    tracing::debug!(cluster = self.cluster, %error, "asking the next endpoint");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn get_from(&self, endpoint: &str, path: &str, until: Instant) -> Result<Answer, Error> {
        let url = format!("{endpoint}/api2/json{path}");
        let started = Instant::now();
        let result = timeout_at(until, self.ask(&url)).await.unwrap_or(Err(Reason::Timeout(started.elapsed())));
        let result = match result {
            Ok(body) => Ok(Answer { endpoint: endpoint.to_owned(), path: path.to_owned(), body }),
            Err(reason) => Err(Error { endpoint: endpoint.to_owned(), path: path.to_owned(), reason }),
        };
        let outcome = result.as_ref().err().map_or("ok", Error::label);
        self.own.api_request(&self.cluster, path, outcome);
        tracing::debug!(cluster = self.cluster, endpoint, path, outcome, duration = ?started.elapsed(), "asked the API");
        result
    }

    async fn ask(&self, url: &str) -> Result<String, Reason> {
        let mut response = match self.http.get(url).send().await {
            // pveproxy may close a kept connection under us; asking twice is harmless for a GET.
            Err(error) if died_under_us(&error) => self.http.get(url).send().await.map_err(|error| classify(&error))?,
            other => other.map_err(|error| classify(&error))?,
        };
        let status = response.status().as_u16();
        if status == 200 {
            if let Some(encoding) = response.headers().get(reqwest::header::CONTENT_ENCODING) {
                return Err(Reason::Malformed(format!("encoded as {encoding:?} although no encoding was asked for")));
            }
            let body = read(&mut response, self.limits.max_body).await?;
            return String::from_utf8(body)
                .map_err(|error| Reason::Malformed(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to())));
        }
        let words = match response.extensions().get::<hyper::ext::ReasonPhrase>() {
            Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
            None => response.status().canonical_reason().unwrap_or_default().to_owned(),
        };
        let body = read(&mut response, ERROR_BODY).await.unwrap_or_default();
        Err(refused(status, &words, &body))
    }
}

impl Answer {
    /// The value of `data`, borrowed where the JSON allows it. A failure names the JSON path and position.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        match serde_json::from_str::<Envelope<T>>(&self.body) {
            Ok(envelope) => Ok(envelope.data),
            Err(error) => Err(self.malformed(self.locate::<T>(&error))),
        }
    }

    /// An answer that parses but cannot be meant.
    pub fn malformed(&self, detail: String) -> Error {
        Error { endpoint: self.endpoint.clone(), path: self.path.clone(), reason: Reason::Malformed(detail) }
    }

    fn locate<'a, T: Deserialize<'a>>(&'a self, error: &serde_json::Error) -> String {
        let mut again = serde_json::Deserializer::from_str(&self.body);
        let path = match serde_path_to_error::deserialize::<_, Envelope<T>>(&mut again) {
            Err(error) if error.path().iter().next().is_some() => {
                format!(" in {}", one_line(error.path().to_string().trim_end_matches(".?")))
            }
            _ => String::new(),
        };
        let head: String = self.body.trim_start().chars().take(40).collect();
        format!("{}{path}; the answer begins with \"{}\"", one_line(&error.to_string()), one_line(&head))
    }

    #[cfg(test)]
    pub(crate) fn of(body: &str) -> Self {
        Self { endpoint: "https://pve.example.com:8006".to_owned(), path: "/test".to_owned(), body: body.to_owned() }
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

fn authorization(credential: &Credential) -> Result<HeaderValue, String> {
    let Credential::Token { id, secret } = credential;
    let text = Zeroizing::new(format!("PVEAPIToken={id}={}", secret.expose()));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| "token_id or its secret has characters that no HTTP header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(response: &mut reqwest::Response, limit: u64) -> Result<Vec<u8>, Reason> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit {
        return Err(Reason::TooLarge(limit));
    }
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() as u64 + chunk.len() as u64 > limit {
            return Err(Reason::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Since PVE 8.3 the body repeats the reason phrase as `message`; before, only the phrase has it.
pub(super) fn refused(status: u16, phrase: &str, body: &[u8]) -> Reason {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let message = serde_json::from_slice::<Message>(body).map(|body| one_line(&body.message)).unwrap_or_default();
    let words = if message.is_empty() { one_line(phrase) } else { message };
    match status {
        401 => Reason::Unauthorized(words),
        403 => Reason::Forbidden(words),
        500 if words.starts_with("Configuration file ") || words.starts_with("hostname lookup ") => {
            Reason::NotFoundHere(words)
        }
        _ => Reason::Status(status, words),
    }
}

fn classify(error: &reqwest::Error) -> Reason {
    if let Some(cause) = tls_cause(error) {
        return Reason::Tls(cause);
    }
    if error.is_connect() {
        let cause = if error.is_timeout() {
            format!("nothing answered within {} s", CONNECT_TIMEOUT.as_secs())
        } else {
            root_cause(error)
        };
        return Reason::Unreachable(cause);
    }
    if error.is_body() || error.is_decode() {
        return Reason::Malformed(format!("the body broke off: {}", root_cause(error)));
    }
    Reason::Unreachable(format!("the connection broke: {}", root_cause(error)))
}

/// The request went out on a connection that was closed before a byte of the answer came.
fn died_under_us(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout() && tls_cause(error).is_none()
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |error: &&(dyn StdError + 'static)| (*error).source())
}

fn root_cause(error: &reqwest::Error) -> String {
    chain(error).last().map_or_else(|| one_line(&error.to_string()), |cause| one_line(&cause.to_string()))
}

fn tls_cause(error: &reqwest::Error) -> Option<String> {
    Some(match find_tls(error)? {
        rustls::Error::Other(other) if other.0.is::<Refused>() => other.0.to_string(),
        rustls::Error::InvalidMessage(_) => {
            "no TLS is spoken there: expected the https port of pveproxy, usually 8006".to_owned()
        }
        other => format!("the TLS handshake failed: {}", one_line(&other.to_string())),
    })
}

fn find_tls<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // An io::Error hides what it wraps from source(), and may be wrapped by another.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => find_tls(wrapped),
        None => find_tls(error.source()?),
    }
}
