//! One exchange with one address: bounded, counted, its failure named. The only place that sends the credential.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::answer::{Answer, beginning};
use super::body::{Body, Intake};
use super::credential::Credential;
use super::error::{Error, LOGIN, Reason};
use super::failure::{classify, died_under_us, refused, root_cause};
use super::login::Login;
use super::minted::MintedToken;
use super::path::Path;
use super::shown::ShownCertificates;
use super::tls::{self, Roots};
use crate::config::Cluster;
use crate::metrics::Own;
use crate::names::Names;

/// Name resolution, TCP and TLS together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// pveproxy closes after 5 s without a request; a connection older than this is not worth the gamble.
const IDLE_TIMEOUT: Duration = Duration::from_millis(4500);
/// What is read of an error's body, for its message.
const ERROR_BODY: u64 = 16 << 10;
/// How long that may take: the status and its phrase are there already.
const ERROR_BODY_TIME: Duration = Duration::from_secs(1);
/// What is read of the answer to a login: it also lists the user's rights.
const LOGIN_BODY: u64 = 256 << 10;

/// What is read of the answer to any other POST: it is a UPID.
const ANSWER_TO_POST: u64 = 64 << 10;
/// What PVE takes with a POST.
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Asks the addresses of one cluster.
///
/// Connections are kept as long as pveproxy keeps them: 5 s without a request. Answers of protected calls, such as
/// `/cluster/status`, say `Connection: close` besides `Keep-Alive`; hyper heeds the first, as RFC 9112 §9.6 has it, so
/// that each of them costs a connection. Both lines share the TLS sessions, which are resumed where the server allows.
pub(super) struct Transport {
    cluster: String,
    kept: reqwest::Client,
    fresh: reqwest::Client,
    credential: Arc<Credential>,
    max_body: u64,
    shown: ShownCertificates,
    own: Arc<Own>,
}

/// What is asked.
pub(super) struct Call<'c, B = Body> {
    pub(super) path: &'c Path,
    /// What takes the answer in, for about so many bytes, 0 if that is not known. Each attempt has its own.
    pub(super) intake: &'c (dyn Fn(usize) -> B + Sync),
}

/// Which connection is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// One that is there already, or a new one.
    Kept,
    /// A new one, for this exchange only.
    Fresh,
}

/// How long an exchange may take; to connect is bounded besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Until the status and headers are there.
    pub(super) head: Duration,
    /// Until all is there.
    pub(super) total: Duration,
}

impl Transport {
    /// Fails with a sentence for the administrator, without the cluster's name.
    pub(super) fn new(cluster: &Cluster, max_body: u64, roots: &Roots, own: Arc<Own>) -> Result<Self, String> {
        let tls = tls::client_config(&cluster.tls, roots)?;
        let client = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| format!("the HTTP client cannot be set up: {}", root_cause(&error)))
        };
        Ok(Self {
            cluster: cluster.name.clone(),
            kept: client(builder(tls.clone()).pool_idle_timeout(IDLE_TIMEOUT))?,
            fresh: client(builder(tls).pool_max_idle_per_host(0))?,
            credential: Arc::new(Credential::new(&cluster.credential)?),
            max_body,
            shown: ShownCertificates::default(),
            own,
        })
    }

    /// The login, where there is one.
    pub(super) fn login(&self) -> Option<&Login> {
        self.credential.login()
    }

    /// The token that somebody else gets, where it is one.
    pub(super) fn minted(&self) -> Option<&Arc<MintedToken>> {
        self.credential.minted()
    }

    /// What the addresses showed when they were last asked.
    pub(super) fn shown(&self) -> &ShownCertificates {
        &self.shown
    }

    /// `GET {address}/api2/json{path}`. `address` is one of the configuration.
    pub(super) async fn ask(&self, address: &str, path: &Path, line: Line, bounds: Bounds) -> Result<Answer, Error> {
        self.put(address, Call::whole(path), line, bounds).await
    }

    /// The same of a call whose answer is taken in otherwise.
    pub(super) async fn put<B: Intake>(
        &self,
        address: &str,
        call: Call<'_, B>,
        line: Line,
        bounds: Bounds,
    ) -> Result<Answer<B>, Error> {
        let Call { path, intake } = call;
        let url = format!("{address}/api2/json{path}");
        let exchange = async {
            let mut response = bounds.head(self.get(&url, line)).await?;
            self.shown.note(address, response.extensions().get());
            let date = date(response.headers());
            let body = self.body(&mut response, self.max_body, intake).await?;
            Ok((object(body, &self.credential)?, date))
        };
        let (body, date) = self.counted(address, path, bounds, exchange).await?;
        let (endpoint, path) = (address.to_owned(), path.as_str().to_owned());
        Ok(Answer { endpoint, path, body, date, credential: Arc::clone(&self.credential) })
    }

    /// `POST {address}/api2/json/access/ticket`: the one request of a reader that is no GET. Gives the body, which holds a ticket.
    pub(super) async fn log_in(&self, address: &str, form: Bytes, bounds: Bounds) -> Result<Zeroizing<String>, Error> {
        // On a new connection, so that no password is sent twice because a kept one died.
        let request = self.fresh.post(format!("{address}/api2/json{LOGIN}")).header(CONTENT_TYPE, FORM).body(form);
        let exchange = async {
            let sending = async { request.send().await.map_err(|error| classify(&error)) };
            let mut response = bounds.head(sending).await?;
            let body = self.body(&mut response, LOGIN_BODY, &Body::new).await.map_err(|reason| match reason {
                // That limit is in no configuration.
                Reason::TooLarge(_) => Reason::Malformed("it is longer than any with a ticket in it".to_owned()),
                other => other,
            })?;
            let body = Zeroizing::new(body.into_bytes());
            Ok(Zeroizing::new(String::from_utf8_lossy(&body).into_owned()))
        };
        self.counted(address, &Path::from(LOGIN), bounds, exchange).await
    }

    /// `POST {address}/api2/json{path}` with a form, once and never again: whatever breaks after a connection came about may
    /// have reached the other side, and is told as [`Reason::Broken`] at least.
    pub(super) async fn post(&self, address: &str, path: &Path, form: Bytes, bounds: Bounds) -> Result<Answer, Error> {
        // On a new connection, so that nothing is sent into one that dies.
        let request = self.fresh.post(format!("{address}/api2/json{path}")).header(CONTENT_TYPE, FORM).body(form);
        let exchange = async {
            let request = self.credential.put_on_post(request);
            let request = request.ok_or_else(|| Reason::NotLoggedIn("nobody is logged in".to_owned()))?;
            let sending = async {
                let sent = request.send().await;
                sent.map_err(
                    |error| if error.is_connect() { classify(&error) } else { Reason::Broken(root_cause(&error)) },
                )
            };
            let mut response = bounds.head(sending).await?;
            let date = date(response.headers());
            let body = self.body(&mut response, ANSWER_TO_POST, &Body::new).await?;
            Ok((object(body, &self.credential)?, date))
        };
        let (body, date) = self.counted(address, path, bounds, exchange).await?;
        let (endpoint, path) = (address.to_owned(), path.as_str().to_owned());
        Ok(Answer { endpoint, path, body, date, credential: Arc::clone(&self.credential) })
    }

    async fn counted<T>(
        &self,
        address: &str,
        path: &Path,
        bounds: Bounds,
        exchange: impl Future<Output = Result<T, Reason>>,
    ) -> Result<T, Error> {
        let mut counted = Counted { transport: self, address, path, started: Instant::now(), outcome: "given_up" };
        let result = timeout(bounds.total, exchange).await;
        let result = result.unwrap_or_else(|_| Err(Reason::Timeout(counted.started.elapsed())));
        let error = |reason| Error { endpoint: address.to_owned(), path: path.as_str().to_owned(), reason };
        let result = result.map_err(error);
        counted.outcome = result.as_ref().err().map_or("ok", Error::label);
        result
    }

    /// The body of a 200; what any other status means.
    async fn body<B: Intake>(
        &self,
        response: &mut reqwest::Response,
        most: u64,
        intake: &(dyn Fn(usize) -> B + Sync),
    ) -> Result<B, Reason> {
        let status = response.status().as_u16();
        if status == 200 {
            if let Some(encoding) = response.headers().get(CONTENT_ENCODING) {
                return Err(Reason::Malformed(format!("encoded as {encoding:?} although no encoding was asked for")));
            }
            return read(response, most, intake).await;
        }
        let words = match response.extensions().get::<hyper::ext::ReasonPhrase>() {
            Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
            None => response.status().canonical_reason().unwrap_or_default().to_owned(),
        };
        let body = timeout(ERROR_BODY_TIME, read(response, ERROR_BODY, &Body::new)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        let body = self.credential.hide(&String::from_utf8_lossy(body.as_slice())).into_owned();
        Err(refused(status, &self.credential.hide(&words), body.as_bytes()))
    }

    async fn get(&self, url: &str, line: Line) -> Result<reqwest::Response, Reason> {
        let send = async |client: &reqwest::Client| match self.credential.put_on(client.get(url)) {
            Some(request) => Ok(request.send().await),
            None => Err(Reason::NotLoggedIn("not asked, as nobody is logged in".to_owned())),
        };
        match line {
            Line::Kept => match send(&self.kept).await? {
                // pveproxy may close a kept connection under us; asking twice is harmless for a GET.
                Err(error) if died_under_us(&error) => send(&self.fresh).await?,
                other => other,
            },
            Line::Fresh => send(&self.fresh).await?,
        }
        .map_err(|error| classify(&error))
    }
}

impl<'c> Call<'c> {
    /// Its answer is kept as a whole.
    pub(super) fn whole(path: &'c Path) -> Self {
        Self { path, intake: &Body::new }
    }
}

impl<B> Clone for Call<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Call<'_, B> {}

impl Bounds {
    /// What comes until the status and headers are there.
    async fn head<T>(self, sending: impl Future<Output = Result<T, Reason>>) -> Result<T, Reason> {
        timeout(self.head, sending).await.unwrap_or(Err(Reason::Timeout(self.head)))
    }
}

fn builder(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .tls_info(true)
        .https_only(true)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .default_headers(headers)
        .user_agent(concat!("pve-sentinel/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .dns_resolver(Names)
        .tcp_nodelay(true)
}

async fn read<B: Intake>(
    response: &mut reqwest::Response,
    limit: u64,
    intake: &(dyn Fn(usize) -> B + Sync),
) -> Result<B, Reason> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit {
        return Err(Reason::TooLarge(limit));
    }
    let (mut body, mut length) = (intake(usize::try_from(announced).unwrap_or(0)), 0);
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        length += chunk.len() as u64;
        if length > limit {
            return Err(Reason::TooLarge(limit));
        }
        body.push(&chunk);
    }
    Ok(body)
}

fn date(headers: &HeaderMap) -> Option<f64> {
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

/// A body that cannot be an answer of the API is a failure of the endpoint, so that another one is asked.
fn object<B: Intake>(body: B, credential: &Credential) -> Result<B, Reason> {
    match body.no_object() {
        Some(text) => Err(Reason::Malformed(format!("expected a JSON object; {}", beginning(&text, credential)))),
        None => Ok(body),
    }
}

/// Counts an exchange once, also one that is given up.
struct Counted<'a> {
    transport: &'a Transport,
    address: &'a str,
    path: &'a Path,
    started: Instant,
    outcome: &'static str,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let Self { transport, address, path, started, outcome } = self;
        transport.own.api_request(&transport.cluster, path.label(), outcome);
        tracing::debug!(
            cluster = transport.cluster,
            endpoint = address,
            %path,
            outcome,
            duration = ?started.elapsed(),
            "asked the API"
        );
    }
}
