//! A simulated SSH host: for `demo` and for the tests alike.
//!
//! One [`SshSim`] is one host: it lets users in by their public keys, answers commands from a function, shows the host
//! keys or certificates that it was given, goes wrong on demand, and counts what it sees.

mod connection;
mod faults;
mod handler;
mod key;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::keys::PrivateKey;
use russh::{MethodKind, MethodSet, server};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use connection::Pipe;
pub use faults::SshFault;
pub use key::{SshKeyKind, SshKeyPair};

/// So many commands are remembered.
const COMMANDS: usize = 100;

/// What a host answers to a command line and what it was given to read.
pub type SshAnswer = Arc<dyn Fn(&str, &[u8]) -> SshReply + Send + Sync>;

/// A host to start.
pub struct SshOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Users with the keys that let them in.
    pub users: Vec<(String, SshKeyPair)>,
    /// At least one, of different kinds.
    pub host_keys: Vec<SshKeyPair>,
    /// A certificate for the first host key: signed by this key, for these names, from … until in seconds since 1970.
    pub certificate: Option<SshCertificate>,
    /// What commands print.
    pub answer: SshAnswer,
}

/// A host certificate to show.
pub struct SshCertificate {
    /// Who signs it.
    pub authority: SshKeyPair,
    /// Whom it is for.
    pub names: Vec<String>,
    /// In seconds since 1970.
    pub valid: std::ops::Range<u64>,
}

/// What a command leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshReply {
    /// Standard output.
    pub stdout: Bytes,
    /// Standard error.
    pub stderr: Bytes,
    /// The exit status.
    pub exit: u32,
}

/// What a host has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SshSeen {
    /// TCP connections.
    pub connections: u64,
    /// Attempts to log in, whatever came of them.
    pub logins: u64,
    /// Those that were let in.
    pub let_in: u64,
    /// Commands.
    pub commands: u64,
    /// Those that hang, by [`SshFault::HangInCommand`].
    pub hung: u64,
    /// Channels that the client closed or that a client's signal ended before the command did.
    pub given_up: u64,
    /// Terminals, variables, forwardings and shells that were asked for.
    pub extras: u64,
}

/// A running host; it stops when dropped.
pub struct SshSim {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What the connections of one host share.
struct Shared {
    options: SshOptions,
    config: Arc<server::Config>,
    fault: Mutex<SshFault>,
    counters: Counters,
    /// The last commands, each with who gave it.
    commands: Mutex<VecDeque<(String, String)>>,
    /// Each change reaches the connections that are open.
    all: watch::Sender<Pipe>,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    logins: AtomicU64,
    let_in: AtomicU64,
    commands: AtomicU64,
    hung: AtomicU64,
    given_up: AtomicU64,
    extras: AtomicU64,
}

/// Starts a host.
///
/// # Errors
/// When the address cannot be listened on, or the certificate cannot be made.
pub async fn start_ssh(options: SshOptions) -> io::Result<SshSim> {
    let keys: Vec<PrivateKey> = options.host_keys.iter().map(|pair| pair.private().clone()).collect();
    let mut certificates = Vec::new();
    if let (Some(certificate), Some(key)) = (&options.certificate, keys.first()) {
        certificates.push(key::certify(key, certificate).map_err(io::Error::other)?);
    }
    let config = Arc::new(server::Config {
        keys,
        certificates,
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::ZERO,
        inactivity_timeout: None,
        window_size: 256 << 10,
        ..server::Config::default()
    });
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let (all, _) = watch::channel(Pipe::Flowing);
    let (fault, counters, commands) = (Mutex::default(), Counters::default(), Mutex::default());
    let shared = Arc::new(Shared { options, config, fault, counters, commands, all });
    let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
    Ok(SshSim { address, shared, accepting })
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(connection::serve(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl SshSim {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    pub fn seen(&self) -> SshSeen {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SshSeen {
            connections: read(&counters.connections),
            logins: read(&counters.logins),
            let_in: read(&counters.let_in),
            commands: read(&counters.commands),
            hung: read(&counters.hung),
            given_up: read(&counters.given_up),
            extras: read(&counters.extras),
        }
    }

    /// The last hundred commands, each with the user who gave it.
    pub fn commands(&self) -> Vec<(String, String)> {
        lock(&self.shared.commands).iter().cloned().collect()
    }

    /// The machine goes off: its connections end, and its port takes no others.
    pub fn stop(&self) {
        self.accepting.abort();
    }

    /// What goes wrong from now on; [`SshFault::None`] ends it.
    pub fn set_fault(&self, fault: SshFault) {
        *lock(&self.shared.fault) = fault;
    }

    /// Resets all connections.
    pub fn kill_connections(&self) {
        self.shared.all.send_replace(Pipe::Reset);
    }

    /// Lets all connections stand open without a word from now on, as those of a machine that lost its power.
    pub fn freeze_connections(&self) {
        self.shared.all.send_replace(Pipe::Frozen);
    }
}

impl Drop for SshSim {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn note(&self, user: &str, line: &str) {
        let mut commands = lock(&self.commands);
        commands.push_back((user.to_owned(), line.to_owned()));
        if commands.len() > COMMANDS {
            commands.pop_front();
        }
    }

    fn fault(&self) -> SshFault {
        lock(&self.fault).clone()
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
