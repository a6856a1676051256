//! One simulated endpoint: its options, the listener, and the handle that tests hold.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};

use super::certificates::{Authority, Certificate, Leaf};
use super::connection;
use super::faults::{Fault, Rules};
use super::source::Source;
use crate::ids::Fingerprint;

/// How long the simulated cluster has been running; an argument, so that tests can turn it.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// More requests than this are forgotten, oldest first: `demo` may run for weeks.
const LOG_LENGTH: usize = 10_000;

/// How an endpoint behaves.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Which node of the cluster this endpoint is, from 0.
    pub node: usize,
    /// Shared by the endpoints of one cluster; `None` makes a new one.
    pub authority: Option<Arc<Authority>>,
    /// What is right or wrong with the certificate.
    pub certificate: Certificate,
    /// The API tokens that are accepted, with what they may see.
    pub tokens: Vec<Token>,
    /// Time since the start of the simulated cluster.
    pub clock: Clock,
    /// Added to each answer.
    pub latency: Duration,
    /// How long each 401 is held back; PVE's is 3 s.
    pub unauthorized_delay: Duration,
    /// After how long a silent connection is closed; PVE's is 5 s.
    pub idle_timeout: Duration,
    /// Decides the order of the keys in each answer.
    pub seed: u64,
}

/// An API token that an endpoint accepts.
#[derive(Clone)]
pub struct Token {
    /// `user@realm!name`.
    pub id: String,
    /// A UUID, with real PVE.
    pub secret: String,
    /// What its holder may see.
    pub rights: Rights,
}

/// What the holder of a token may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// `PVEAuditor` on `/`: everything an exporter reads.
    Auditor,
    /// A fresh privilege-separated token: 200 with stripped lists, 403 on `/cluster/status`.
    None,
}

/// One request as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET` …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// What came with it; never the secret.
    pub credential: Credential,
    /// The connection it came on, counted from 1 in the order in which they were accepted.
    pub connection: u64,
}

/// What a request brought to identify itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// No `Authorization` header.
    Absent,
    /// One that is not accepted.
    Wrong,
    /// A token that is accepted.
    Right(Rights),
}

/// How many connections came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// TCP connections accepted.
    pub accepted: u64,
    /// TLS handshakes completed on them.
    pub handshakes: u64,
}

/// A running endpoint; it stops when dropped.
pub struct Sim {
    addr: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
}

/// What the connections of one endpoint share.
pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) options: Options,
    pub(super) fingerprint: Fingerprint,
    pub(super) acceptor: TlsAcceptor,
    pub(super) rules: Rules,
    log: Mutex<VecDeque<Seen>>,
    accepted: AtomicU64,
    handshakes: AtomicU64,
    answers: AtomicU64,
}

/// Starts an endpoint that answers from `source`.
///
/// # Errors
/// When the address cannot be listened on, or no certificate can be made.
pub async fn start(options: Options, source: Source) -> io::Result<Sim> {
    let authority = match &options.authority {
        Some(authority) => Arc::clone(authority),
        None => Arc::new(Authority::new(source.cluster())?),
    };
    let leaf = authority.issue(&source.node_name(options.node), options.certificate)?;
    let fingerprint = leaf.fingerprint;
    let acceptor = TlsAcceptor::from(Arc::new(tls_config(leaf)?));
    let listener = TcpListener::bind(options.listen).await?;
    let addr = listener.local_addr()?;
    let shared = Arc::new(Shared {
        source,
        options,
        fingerprint,
        acceptor,
        rules: Rules::default(),
        log: Mutex::default(),
        accepted: AtomicU64::new(0),
        handshakes: AtomicU64::new(0),
        answers: AtomicU64::new(0),
    });
    let listener = tokio::spawn(accept(listener, Arc::clone(&shared)));
    Ok(Sim { addr, ca_pem: authority.ca_pem().to_owned(), shared, listener })
}

impl Sim {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `https://ADDRESS:PORT`, as a config's `endpoints` has it.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// The certificate of the authority, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The fingerprint of this endpoint's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.fingerprint
    }

    /// The last 10,000 requests, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.log).iter().cloned().collect()
    }

    /// How many connections came in so far.
    pub fn connections(&self) -> Connections {
        Connections {
            accepted: self.shared.accepted.load(Ordering::Relaxed),
            handshakes: self.shared.handshakes.load(Ordering::Relaxed),
        }
    }

    /// Answers the requests whose path (without `/api2/json`) begins with `prefix` by a fault; `""` is all of them.
    /// The longest prefix decides, and a second fault for the same one replaces the first. Wrong credentials still get their 401.
    pub fn set_fault(&self, prefix: &str, fault: Fault) {
        self.shared.rules.set(prefix, fault);
    }

    /// Whole again.
    pub fn clear_faults(&self) {
        self.shared.rules.clear();
    }

    /// Closes the listener and all connections; the port is free when this returns.
    pub async fn stop(&mut self) {
        self.listener.abort();
        // The error only says that it was aborted, which is what we wanted.
        let _ = (&mut self.listener).await;
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Default for Options {
    /// Listens on a free port of 127.0.0.1 as the first node, knows no token, and its clock stands still at the start.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            node: 0,
            authority: None,
            certificate: Certificate::Good,
            tokens: Vec::new(),
            clock: Arc::new(|| Duration::ZERO),
            latency: Duration::ZERO,
            unauthorized_delay: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(5),
            seed: 0,
        }
    }
}

impl Shared {
    /// Notes a request.
    pub(super) fn note(&self, seen: Seen) {
        let mut log = lock(&self.log);
        if log.len() == LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(seen);
    }

    /// The number of the next answer.
    pub(super) fn next_answer(&self) -> u64 {
        self.answers.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a completed TLS handshake.
    pub(super) fn count_handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this endpoint's node is away: then it answers nobody.
    pub(super) fn is_away(&self) -> bool {
        self.source.is_away(self.options.node, (self.options.clock)())
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and all its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A failed accept concerns that one client only.
                let Ok((tcp, _)) = accepted else { continue };
                let number = shared.accepted.fetch_add(1, Ordering::Relaxed) + 1;
                connections.spawn(connection::serve(Arc::clone(&shared), tcp, number));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn tls_config(leaf: Leaf) -> io::Result<ServerConfig> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.certificate], leaf.key)
        .map_err(io::Error::other)
}

/// A panic elsewhere does not spoil plain data.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::super::World;
    use super::super::testing::{AUDITOR, Client, options, world, world_with};
    use super::*;

    #[tokio::test]
    async fn a_stopped_endpoint_frees_its_port_and_ends_its_connections() {
        let (mut sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        client.get("/version", AUDITOR).await;
        sim.stop().await;
        assert!(client.head().await.is_err());
        assert!(Client::try_connect(&sim, "localhost").await.is_err());
        let (again, _) = world_with(Options { listen: sim.addr(), ..options() }).await;
        assert_eq!(again.addr(), sim.addr());
        Client::connect(&again).await.get("/version", AUDITOR).await;
        assert_eq!(sim.requests().len(), 1);
    }

    #[tokio::test]
    async fn the_fingerprint_is_that_of_the_certificate_shown() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        assert_eq!(Fingerprint(Sha256::digest(client.leaf()).into()), sim.fingerprint());
        let nodes = client.get("/nodes", AUDITOR).await.json();
        let own = nodes["data"].as_array().unwrap().iter().find(|node| node["node"] == "pve1").unwrap();
        assert_eq!(own["ssl_fingerprint"], sim.fingerprint().to_string());
    }

    #[tokio::test]
    async fn certificates_are_wrong_as_asked() {
        let cases = [
            (Certificate::Good, None),
            (Certificate::WrongName, Some("not valid for name")),
            (Certificate::Expired, Some("expired")),
            (Certificate::SelfSigned, Some("UnknownIssuer")),
        ];
        for (certificate, error) in cases {
            let (sim, _) = world_with(Options { certificate, ..options() }).await;
            for name in ["localhost", "127.0.0.1", "::1", "pve1"] {
                let found = Client::try_connect(&sim, name).await.err().map(|error| error.to_string());
                match (&found, error) {
                    (None, None) => {}
                    (Some(found), Some(error)) => assert!(found.contains(error), "{certificate:?} {name}: {found}"),
                    _ => panic!("{certificate:?} {name}: {found:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn endpoints_share_a_world_and_an_authority_and_differ_in_who_is_local() {
        let authority = Some(Arc::new(Authority::new("demo").unwrap()));
        let world = Arc::new(World::new(1, 3, 40));
        for node in 0..3 {
            let options = Options { node, authority: authority.clone(), ..options() };
            let sim = start(options, Source::World(Arc::clone(&world))).await.unwrap();
            assert_eq!(sim.ca_pem(), authority.as_ref().unwrap().ca_pem());
            let status = Client::connect(&sim).await.get("/cluster/status", AUDITOR).await.json();
            let local = status["data"].as_array().unwrap().iter().filter(|entry| entry["local"] == 1);
            assert_eq!(
                local.map(|entry| entry["name"].as_str().unwrap()).collect::<Vec<_>>(),
                [format!("pve{}", node + 1)]
            );
        }
    }
}
