//! A client of the tests: raw bytes over TLS, so that they see what is really sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::{Authority, Options, Rights, Sim, Source, Token, World, start};

pub(super) const AUDITOR: &str = "Authorization: PVEAPIToken=monitor@pve!test=good-secret\r\n";
pub(super) const POWERLESS: &str = "Authorization: PVEAPIToken monitor@pve!none=other-secret\r\n";

/// A connection to a [`Sim`].
pub(super) struct Client {
    pub(super) stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// Two tokens, no waiting.
pub(super) fn options() -> Options {
    let token = |id: &str, secret: &str, rights| Token { id: id.to_owned(), secret: secret.to_owned(), rights };
    Options {
        tokens: vec![
            token("monitor@pve!test", "good-secret", Rights::Auditor),
            token("monitor@pve!none", "other-secret", Rights::None),
        ],
        unauthorized_delay: Duration::ZERO,
        ..Options::default()
    }
}

/// The demo's cluster with a clock that the test sets, in seconds.
pub(super) async fn world() -> (Sim, Arc<AtomicU64>) {
    world_with(options()).await
}

pub(super) async fn world_with(mut options: Options) -> (Sim, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(0));
    let shared = Arc::clone(&time);
    options.clock = Arc::new(move || Duration::from_secs(shared.load(Ordering::Relaxed)));
    (start(options, Source::World(Arc::new(World::new(1, 3, 40)))).await.unwrap(), time)
}

pub(super) fn fixtures(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder)
}

/// What a client needs to trust the cluster's authority alone.
pub(super) fn trust(sim: &Sim) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sim.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A recording of the real cluster: its status, reason and body.
pub(super) fn recorded(file: &str) -> (u16, String, serde_json::Value) {
    let text = std::fs::read_to_string(fixtures("pve-9.2-cluster").join(file)).unwrap();
    let recording: serde_json::Value = serde_json::from_str(&text).unwrap();
    let status = recording["status"].as_u64().unwrap().try_into().unwrap();
    (status, recording["reason"].as_str().unwrap().to_owned(), recording["body"].clone())
}

/// The keys of an object, and whether their values are texts, integers or other numbers.
pub(super) fn shape(object: &serde_json::Value) -> BTreeMap<String, &'static str> {
    let kind = |value: &serde_json::Value| match value {
        serde_json::Value::String(_) => "text",
        serde_json::Value::Number(number) if number.is_u64() => "integer",
        serde_json::Value::Number(_) => "number",
        _ => "other",
    };
    object.as_object().unwrap().iter().map(|(key, value)| (key.clone(), kind(value))).collect()
}

/// Several endpoints of one world: the first nodes of it.
pub(super) async fn endpoints(world: &Arc<World>, count: usize, options: &Options) -> Vec<Sim> {
    let authority = Some(Arc::new(Authority::new("demo").unwrap()));
    let mut sims = Vec::new();
    for node in 0..count {
        let options = Options { node, authority: authority.clone(), ..options.clone() };
        sims.push(start(options, Source::World(Arc::clone(world))).await.unwrap());
    }
    sims
}

/// Lets the other tasks work until the condition holds.
pub(super) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

impl Client {
    pub(super) async fn connect(sim: &Sim) -> Self {
        Self::try_connect(sim, "localhost").await.unwrap()
    }

    /// Trusts the cluster's authority alone, and checks the name.
    pub(super) async fn try_connect(sim: &Sim, name: &str) -> std::io::Result<Self> {
        Self::resume(sim, name, trust(sim)).await
    }

    /// With the sessions that were kept in `config`.
    pub(super) async fn resume(sim: &Sim, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(sim.addr()).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(config).connect(name, tcp).await?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub(super) fn leaf(&self) -> Vec<u8> {
        self.stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    pub(super) async fn send(&mut self, request: &str, headers: &str) {
        self.send_text(&format!("{request} HTTP/1.1\r\nHost: pve\r\n{headers}\r\n")).await;
    }

    /// A request as it is written here.
    pub(super) async fn send_text(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// `GET` a path below `/api2/json` and read the whole answer.
    pub(super) async fn get(&mut self, path: &str, headers: &str) -> Answer {
        self.send(&format!("GET /api2/json{path}"), headers).await;
        self.answer().await.unwrap()
    }

    pub(super) async fn head(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return Ok(String::from_utf8(head).unwrap());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// So many bytes of the body, or all there are until the end.
    pub(super) async fn body(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let rest = self.buffer.split_off(length.min(self.buffer.len()));
        std::mem::replace(&mut self.buffer, rest)
    }

    pub(super) async fn answer(&mut self) -> std::io::Result<Answer> {
        let head = self.head().await?;
        let length = length(&head).unwrap_or(0);
        Ok(Answer { head, body: self.body(length).await })
    }

    /// The server ended the connection with TLS' goodbye, and sent nothing more.
    pub(super) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.stream.read_buf(&mut self.buffer).await, Ok(0))
    }
}

impl Answer {
    pub(super) fn status_line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| *key == name).map(|(_, value)| value).collect()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(super) fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map(|value| value.parse().unwrap())
}
