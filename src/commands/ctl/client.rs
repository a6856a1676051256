//! One question to the API: over TCP, TLS or a Unix socket, each with the token, each on a connection of its own.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Failure;
use super::address::{Address, Place};
use crate::config::Secret;
use crate::names::lookup;

/// For the name, the connection and TLS together.
const CONNECT: Duration = Duration::from_secs(10);
/// For an answer that waits for nothing; guests may have to be read first.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 256 << 20;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Asks the API at one address.
pub(in crate::commands) struct Client {
    pub(super) address: Address,
    pub(super) token: Secret,
    /// Needed for https.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Whether the token may go unencrypted to another machine.
    pub(super) allow_plaintext: bool,
}

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// Path and query, encoded.
    pub(super) target: &'a str,
    /// Of a POST.
    pub(super) body: Option<&'a Value>,
    pub(super) key: Option<&'a str>,
    pub(super) patience: Duration,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::commands) struct Answer {
    pub(in crate::commands) status: u16,
    pub(in crate::commands) json: Value,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Client {
    /// Asks with GET. An answer that is an error of the API is an answer.
    pub(in crate::commands) async fn get(&self, target: &str) -> Result<Answer, Failure> {
        self.ask(Question { method: Method::GET, target, body: None, key: None, patience: ANSWER }).await
    }

    /// Asks with GET for what must be there.
    pub(super) async fn read(&self, target: &str) -> Result<Value, Failure> {
        let answer = self.get(target).await?;
        match answer.error() {
            None => Ok(answer.json),
            Some((code, message)) => Err(Failure::Refused(format!("{code}: {message}"), answer.json.clone())),
        }
    }

    /// Asks once; nothing is ever asked again.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, Failure> {
        let at = &self.address;
        let connected = timeout(CONNECT, self.connect()).await;
        let stream = connected.map_err(|_| {
            Failure::Runtime(format!("{at}: no connection within {} s; is this the address?", CONNECT.as_secs()))
        })??;
        let request = self.request(&question)?;
        let lost = |why: String| match question.method {
            Method::GET => Failure::Runtime(format!("{at}: {why}")),
            _ => Failure::Runtime(format!(
                "{at}: {why}; whether it was done is not known: ctl tasks and ctl ls tell, and with --idempotency-key the \
                 same order can be given again without being carried out twice"
            )),
        };
        let exchange = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| why(&error))?;
            let driver = tokio::spawn(connection);
            let response = sender.send_request(request).await.map_err(|error| why(&error))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            driver.abort();
            Ok((status, body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes()))
        };
        let ended = timeout(question.patience, exchange).await;
        let ended = ended.unwrap_or_else(|_| Err(format!("no answer within {} s", question.patience.as_secs())));
        let (status, body): (u16, Bytes) = ended.map_err(lost)?;
        match serde_json::from_slice(&body) {
            Ok(json @ Value::Object(_)) if is_ours(&question.method, status, &json) => Ok(Answer { status, json }),
            _ => Err(lost(format!("expected the JSON of pve-sentinel's API, found something else (status {status})"))),
        }
    }

    fn request(&self, question: &Question<'_>) -> Result<Request<Full<Bytes>>, Failure> {
        let text = zeroize::Zeroizing::new(format!("Bearer {}", self.token.expose()));
        let mut bearer = HeaderValue::from_str(&text).map_err(|_| Failure::Usage("the token is none".to_owned()))?;
        bearer.set_sensitive(true);
        let target = format!("{}{}", self.address.prefix, question.target);
        let mut request = Request::builder()
            .method(&question.method)
            .uri(target)
            .header(HOST, self.address.authority())
            .header(USER_AGENT, concat!("pve-sentinel/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer);
        if let Some(key) = question.key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let body = match question.body {
            None => Bytes::new(),
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
        };
        request.body(Full::new(body)).map_err(|error| Failure::Usage(format!("this cannot be asked: {error}")))
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let at = &self.address;
        let failed =
            |why: String| Failure::Runtime(format!("{at}: no connection: {why}; does pve-sentinel serve there?"));
        let (host, port) = match &at.place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                return Ok(Box::new(stream.map_err(|error| failed(error.to_string()))?));
            }
            Place::Plain { host, port } | Place::Tls { host, port } => (host.as_str(), *port),
        };
        let found = lookup(host, port).await.map_err(|error| failed(error.to_string()))?;
        let encrypted = matches!(at.place, Place::Tls { .. });
        if let Some(far) = found.iter().find(|address| !address.ip().to_canonical().is_loopback())
            && !encrypted
            && !self.allow_plaintext
        {
            return Err(Failure::Usage(format!(
                "{at}: expected https, since others on the way to {} could read the token, found http; use https, a tunnel to \
                 the machine itself, or --allow-plaintext where nobody is on the way",
                far.ip()
            )));
        }
        let stream = TcpStream::connect(&*found).await.map_err(|error| failed(error.to_string()))?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.as_ref().filter(|_| encrypted) else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|error| {
            let advice = "name the authority of its certificate with --ca-file, and ask by a name of the certificate";
            Failure::Runtime(format!("{at}: the certificate or TLS is refused: {error}; {advice}"))
        })?;
        Ok(Box::new(stream))
    }
}

impl Answer {
    /// Code and message, where it is an error.
    pub(in crate::commands) fn error(&self) -> Option<(&str, &str)> {
        let error = &self.json["error"];
        match (error["code"].as_str(), error["message"].as_str()) {
            (Some(code), message) => Some((code, message.unwrap_or_default())),
            (None, _) if !(200..300).contains(&self.status) => Some(("unexpected", "the answer has no reason")),
            (None, _) => None,
        }
    }
}

/// Whether it is an answer of the API: another service behind the address may say 200 to everything.
fn is_ours(method: &Method, status: u16, json: &Value) -> bool {
    match status {
        200..=299 if *method == Method::GET => true,
        202 => json["action"].is_string() || json["task"].is_object(),
        200..=299 => json["changed"].is_boolean(),
        _ => json["error"]["code"].is_string(),
    }
}

/// With the reason below, which hyper's own text leaves out.
fn why(error: &hyper::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
