//! One simulated endpoint: its options, the listener, and the handle that tests hold.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};

use super::accounts::Accounts;
use super::certificates::{Authority, Certificate, Leaf};
use super::counters::{Connections, Counters, Seen};
use super::door::Door;
use super::faults::{Fault, Rules};
use super::routes;
use super::source::Source;
use super::workers::{NodeLoad, NodeState, Workers};
use crate::ids::Fingerprint;

/// How long the simulated cluster has been running; an argument, so that tests can turn it.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

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
    /// The users who can log in; shared by the endpoints of one cluster.
    pub accounts: Arc<Accounts>,
    /// Time since the start of the simulated cluster.
    pub clock: Clock,
    /// Added to each answer.
    pub latency: Duration,
    /// How long each 401 is held back; PVE's is 3 s.
    pub unauthorized_delay: Duration,
    /// After how long a silent connection is closed; PVE's is 5 s.
    pub idle_timeout: Duration,
    /// How long a call for a node that is away takes to fail; PVE's is 3 s and more.
    pub away_delay: Duration,
    /// How long the worker of a call that hangs is busy, even if its client has gone.
    pub worker_hang: Duration,
    /// Decides the order of the keys in each short answer; the long ones take turns in a few orders.
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
    /// `VM.PowerMgmt` and `VM.Audit` on `/vms`: switches guests on and off, and sees no more than it needs for that.
    Operator,
    /// Everything.
    Administrator,
}

impl Rights {
    /// Whether a privilege is held wherever it makes a difference.
    pub(super) fn holds(self, privilege: &str) -> bool {
        match self {
            Self::Auditor => privilege.ends_with(".Audit"),
            Self::None => false,
            Self::Operator => matches!(privilege, "VM.Audit" | "VM.PowerMgmt"),
            Self::Administrator => true,
        }
    }
}

/// What goes wrong with the TLS handshakes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handshake {
    /// Nothing.
    #[default]
    Well,
    /// The TCP connection is accepted, and then there is silence.
    Silent,
    /// The connection ends after the client's first words.
    Close,
    /// The handshake goes on after so long.
    Late(Duration),
}

/// A running endpoint; it stops when dropped.
pub struct Sim {
    addr: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    door: Door,
}

/// What the connections of one endpoint share.
pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) options: Options,
    pub(super) fingerprint: Fingerprint,
    pub(super) acceptor: TlsAcceptor,
    pub(super) rules: Rules,
    pub(super) counters: Counters,
    pub(super) workers: Workers,
    /// The name of the own node.
    node: String,
    handshake: Mutex<Handshake>,
    state: Mutex<NodeState>,
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
    let node = source.node_name(options.node);
    let leaf = authority.issue(&node, options.certificate)?;
    let fingerprint = leaf.fingerprint;
    let acceptor = TlsAcceptor::from(Arc::new(tls_config(leaf)?));
    let listener = TcpListener::bind(options.listen).await?;
    let addr = listener.local_addr()?;
    let shared = Arc::new(Shared {
        workers: source.workers(&node),
        source,
        options,
        fingerprint,
        acceptor,
        rules: Rules::default(),
        counters: Counters::default(),
        node,
        handshake: Mutex::default(),
        state: Mutex::default(),
        answers: AtomicU64::new(0),
    });
    let door = Door::open(listener, Arc::clone(&shared));
    Ok(Sim { addr, ca_pem: authority.ca_pem().to_owned(), shared, door })
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
        self.shared.counters.requests()
    }

    /// How many requests came in so far, by path below `/api2/json`, without the query.
    pub fn requests_by_path(&self) -> BTreeMap<String, u64> {
        self.shared.counters.requests_by_path()
    }

    /// How many connections came in so far.
    pub fn connections(&self) -> Connections {
        self.shared.counters.connections()
    }

    /// How many bytes of HTTP, heads and bodies, were sent so far.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.counters.bytes_sent()
    }

    /// The calls in progress by node, of all endpoints that share this one's world. A call for `/nodes/N/…` counts for
    /// N, any other for the node of the endpoint that was asked.
    pub fn load(&self) -> BTreeMap<String, NodeLoad> {
        self.shared.workers.load()
    }

    /// Counts the most calls at once anew, from those in progress now.
    pub fn reset_load(&self) {
        self.shared.workers.reset();
    }

    /// Answers the requests whose path (without `/api2/json`) begins with `prefix` by a fault; `""` is all of them.
    /// The longest prefix decides, and a second fault for the same one replaces the first. Wrong credentials still get their 401.
    pub fn set_fault(&self, prefix: &str, fault: Fault) {
        self.shared.rules.set(prefix, fault);
    }

    /// Whole again, but for handshakes and the state of the node.
    pub fn clear_faults(&self) {
        self.shared.rules.clear();
    }

    /// How the handshakes of new connections go from now on.
    pub fn set_handshake(&self, handshake: Handshake) {
        *lock(&self.shared.handshake) = handshake;
    }

    /// How the whole endpoint is from now on; the calls that other endpoints of the same world pass on to its node feel it, too.
    /// When this returns, a dead one refuses connections and has dropped the ones it had; what a hung one has been asked stays unanswered.
    ///
    /// # Errors
    /// When the port of a dead one could not be held.
    pub async fn set_node_state(&self, state: NodeState) -> io::Result<()> {
        *lock(&self.shared.state) = state;
        self.shared.workers.set_state(&self.shared.node, state);
        match state {
            NodeState::Dead => self.door.shut(self.addr).await,
            _ => self.door.reopen(&self.shared).await,
        }
    }

    /// Closes the listener and all connections; the port is free when this returns.
    pub async fn stop(&mut self) {
        self.door.remove().await;
    }
}

impl Default for Options {
    /// Listens on a free port of 127.0.0.1 as the first node, knows neither token nor user, and its clock stands still at the start.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            node: 0,
            authority: None,
            certificate: Certificate::Good,
            tokens: Vec::new(),
            accounts: Arc::default(),
            clock: Arc::new(|| Duration::ZERO),
            latency: Duration::ZERO,
            unauthorized_delay: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(5),
            away_delay: Duration::from_secs(3),
            worker_hang: Duration::from_secs(30),
            seed: 0,
        }
    }
}

impl Shared {
    /// The number of the next answer.
    pub(super) fn next_answer(&self) -> u64 {
        self.answers.fetch_add(1, Ordering::Relaxed)
    }

    /// How the handshake of a new connection goes.
    pub(super) fn handshake(&self) -> Handshake {
        *lock(&self.handshake)
    }

    /// How this endpoint is.
    pub(super) fn state(&self) -> NodeState {
        *lock(&self.state)
    }

    /// The node whose workers a path below `/api2/json` keeps busy; calls for one that does not exist go no further than here.
    pub(super) fn worked_by<'a>(&'a self, path: &'a str) -> &'a str {
        routes::node_of(path).filter(|node| self.source.has_node(node)).unwrap_or(&self.node)
    }

    /// Whether this endpoint's node is away: then it answers nobody.
    pub(super) fn is_away(&self) -> bool {
        self.source.is_away(self.options.node, (self.options.clock)())
    }
}

/// Sessions can be resumed: rustls' default keeps the last 256 of them.
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
