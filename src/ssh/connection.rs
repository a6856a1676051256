//! One connection to one host: TCP, greeting and keys, login.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, DisconnectReason, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::{Preferred, SshId};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::cord::{self, Cord};
use super::error::{HostKey, Reason, Step, one_line};
use super::host::Host;
use super::known_hosts;
use super::login;
use super::verdict::{Known, Shown, Verdict};
use crate::config::HostKeys;
use crate::ids::SshAddress;
use crate::names::lookup;

/// TCP, keys and login together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One address of a name that has several.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(4);
/// A host that is silent so long is asked whether it is still there …
const KEEPALIVE: Duration = Duration::from_secs(20);
/// … and is taken for gone when it left so many of these questions unanswered.
const KEEPALIVES: usize = 2;
/// How much a host may send before we have read it. Small: it is what an idle connection may cost.
const WINDOW: u32 = 256 << 10;
/// The library keeps a buffer as large as the largest packet.
const PACKET: u32 = 4 << 10;
/// Packets of a command's output that wait for us.
const PACKETS: usize = 8;

/// A host that we are logged in to.
pub(super) struct Connection {
    pub(super) handle: Handle<Guard>,
    cord: Cord,
    parting: Arc<Parting>,
    /// How many commands were given up of which nobody knows yet whether they end.
    doubts: watch::Sender<u32>,
}

/// A command that was given up, until it is known to have ended or the connection was cut.
pub(super) struct Doubt(watch::Sender<u32>);

/// What the other side said when it ended the connection.
#[derive(Default)]
struct Parting(Mutex<Option<String>>);

/// Answers for us while the library speaks SSH. Small, and what it does in boxes: the library keeps its task as large as it
/// ever may be, with four times all that is in it.
pub(super) struct Guard(Box<Watch>);

/// Is this the host?
struct Watch {
    address: SshAddress,
    id: String,
    known: Known,
    accept_new: bool,
    shared: Arc<Shared>,
    parting: Arc<Parting>,
}

/// Why the library or the guard gave up.
#[derive(Debug)]
pub(super) enum Fault {
    Ssh(russh::Error),
    HostKey(HostKey),
}

impl From<russh::Error> for Fault {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// Connects and logs in within [`CONNECT_TIMEOUT`]. `at` is told each step that begins.
pub(super) async fn connect(host: &Host, at: impl Fn(Step)) -> Result<Connection, Reason> {
    let started = Instant::now();
    let deadline = started + CONNECT_TIMEOUT;
    at(Step::Files);
    let known = within(deadline, Step::Files, known(host)).await?;
    at(Step::Connection);
    let stream = tcp(&host.address, deadline).await?;

    at(Step::Greeting);
    let (types, certificates) = known.types(&host.address);
    let config = Arc::new(client::Config {
        client_id: SshId::Standard(concat!("SSH-2.0-pve-sentinel_", env!("CARGO_PKG_VERSION")).into()),
        preferred: Preferred { key: types.into(), host_key_certificates: certificates.into(), ..Preferred::DEFAULT },
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: PACKETS,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        ..client::Config::default()
    });
    let parting = Arc::<Parting>::default();
    let guard = Guard(Box::new(Watch {
        address: host.address.clone(),
        id: host.id.clone(),
        known,
        accept_new: matches!(host.settings.host_keys, HostKeys::Known { accept_new: true, .. }),
        shared: Arc::clone(&host.shared),
        parting: Arc::clone(&parting),
    }));
    let (cord, stream) = cord::tie(stream);
    let greeting = within(deadline, Step::Greeting, client::connect_stream(config, stream, guard)).await?;
    let mut handle = greeting.map_err(|fault| reason(fault, &parting))?;

    at(Step::Login);
    let login = login::login(&mut handle, &host.settings.user, &host.settings.keys);
    let outcome = within(deadline, Step::Login, login).await?;
    let connection = Connection { handle, cord, parting, doubts: watch::Sender::new(0) };
    match outcome {
        Ok(()) => Ok(connection),
        Err(_) if connection.handle.is_closed() => Err(Reason::Closed(connection.parting.words("during the login"))),
        Err(cause) => Err(Reason::Auth(cause)),
    }
}

async fn within<T>(deadline: Instant, step: Step, future: impl Future<Output = T>) -> Result<T, Reason> {
    timeout_at(deadline, future).await.map_err(|_| Reason::Timeout { step, after: CONNECT_TIMEOUT })
}

/// What is known of a host now.
async fn known(host: &Host) -> Known {
    let (files, accept_new) = match &host.settings.host_keys {
        HostKeys::Pinned(fingerprint) => return Known::Pinned(*fingerprint),
        HostKeys::Known { files, accept_new } => (files.clone(), *accept_new),
    };
    let shared = Arc::clone(&host.shared);
    let read = tokio::task::spawn_blocking(move || {
        let learned = shared.learned.as_ref().filter(|_| accept_new);
        let paths = files.iter().map(|path| path.as_path()).chain(learned.map(|learned| learned.path()));
        let remembered = learned.and_then(|learned| learned.remembered());
        paths.map(|path| shared.files.read(path)).chain(remembered).collect()
    });
    // Only a panic of the reader leaves nothing, and then nothing is known.
    Known::Files(read.await.unwrap_or_default())
}

async fn tcp(address: &SshAddress, deadline: Instant) -> Result<TcpStream, Reason> {
    let found = within(deadline, Step::Connection, lookup(address.host(), address.port())).await?;
    let found = found
        .map_err(|error| Reason::Unreachable(format!("the name is not found: {}", one_line(&error.to_string()))))?;
    let mut last = Reason::Unreachable("the name has no address".to_owned());
    for (index, socket) in found.iter().enumerate() {
        let until = if index + 1 < found.len() { deadline.min(Instant::now() + ADDRESS_TIMEOUT) } else { deadline };
        match within(until, Step::Connection, TcpStream::connect(socket)).await {
            Ok(Ok(stream)) => {
                // Each small packet at once: else the other side's delayed acknowledgement costs 40 ms.
                stream.set_nodelay(true).map_err(unreachable)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = unreachable(error),
            Err(reason) => last = reason,
        }
    }
    Err(last)
}

fn unreachable(error: io::Error) -> Reason {
    Reason::Unreachable(one_line(&error.to_string()))
}

/// What a failed greeting means.
fn reason(fault: Fault, parting: &Parting) -> Reason {
    let error = match fault {
        Fault::HostKey(refused) => return Reason::HostKey(refused),
        Fault::Ssh(error) => error,
    };
    Reason::Unreachable(match error {
        russh::Error::Version => "no SSH is spoken there: expected a greeting that begins with SSH-2.0".to_owned(),
        russh::Error::PacketSize(_) => {
            "no SSH is spoken there: expected packets after the greeting, found other bytes".to_owned()
        }
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let theirs = one_line(&theirs.join(", "));
            format!("no common way to speak SSH ({kind:?}): the host knows only {theirs}; update its SSH server")
        }
        russh::Error::WrongServerSig => "the host did not prove that the host key it shows is its own".to_owned(),
        russh::Error::Disconnect | russh::Error::HUP => parting.words("during the greeting"),
        other => one_line(&other.to_string()),
    })
}

impl Connection {
    /// Whether it ended, as far as we know.
    pub(super) fn is_closed(&self) -> bool {
        self.cord.is_cut() || self.handle.is_closed()
    }

    /// Waits while it is not known whether the connection will stay.
    pub(super) async fn settled(&self) {
        // There is no error as long as the sender lives, and that is ours.
        let _ = self.doubts.subscribe().wait_for(|doubts| *doubts == 0).await;
    }

    /// A command was given up.
    pub(super) fn doubt(&self) -> Doubt {
        self.doubts.send_modify(|doubts| *doubts += 1);
        Doubt(self.doubts.clone())
    }

    /// Lets the library say something, and waits until something was sent; on a connection that has ended, for ever.
    ///
    /// What waits to be sent the library gathers in two buffers, which stay as large as they have ever been. Messages
    /// that are given to it one after the other without this end up there together whenever there is much to do.
    pub(super) async fn say(&self, message: impl Future<Output = Result<(), russh::Error>>) {
        let sent = self.cord.sent();
        // What becomes of it, the channel will tell.
        let _ = message.await;
        sent.await;
    }

    /// Ends it at once.
    pub(super) fn cut(&self) {
        self.cord.cut();
    }

    /// Why it ended; `when` where the other side did not say.
    pub(super) fn parting(&self, when: &str) -> String {
        self.parting.words(when)
    }
}

impl Drop for Doubt {
    fn drop(&mut self) {
        self.0.send_modify(|doubts| *doubts = doubts.saturating_sub(1));
    }
}

impl Parting {
    fn words(&self, when: &str) -> String {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
            Some(words) => words.to_owned(),
            None => format!("the host closed the connection {when}"),
        }
    }

    fn say(&self, words: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(words);
    }
}

impl Watch {
    /// Keeps the key of a new host, so that no other is accepted from now on.
    async fn learn(&self, shown: &Shown) -> io::Result<()> {
        let line = known_hosts::line(&self.address.known_as(), shown.key());
        let shared = Arc::clone(&self.shared);
        let add = move || match &shared.learned {
            Some(learned) => learned.add(&line),
            None => Err(io::Error::other("there is no state_dir to write it to")),
        };
        tokio::task::spawn_blocking(add).await.map_err(io::Error::other)?
    }

    /// Whether what the host shows is accepted.
    async fn accepts(&self, shown: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        let shown = Shown::new(shown).ok_or(russh::Error::UnknownKey)?;
        let now = u64::try_from((self.shared.now)()).unwrap_or_default();
        let new = match self.known.judge(&self.address, &shown, now).map_err(Fault::HostKey)? {
            Verdict::Right => return Ok(true),
            Verdict::New(refused) => refused,
        };
        if !self.accept_new {
            return Err(Fault::HostKey(new));
        }
        let fingerprint = shown.fingerprint();
        if let Err(error) = self.learn(&shown).await {
            let message = format!(
                "host key not accepted: expected to write {fingerprint} down, found: {error}; nothing was sent. Make \
                 state_dir writable"
            );
            return Err(Fault::HostKey(HostKey { message, ..new }));
        }
        tracing::warn!(
            host = self.id, address = %self.address, %fingerprint,
            "host key accepted and written down because nothing was known of the host (accept_new)"
        );
        Ok(true)
    }
}

impl client::Handler for Guard {
    type Error = Fault;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        Box::pin(self.0.accepts(shown)).await
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Fault>) -> Result<(), Fault> {
        self.0.parting.say(match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the host ended it: {}", one_line(&info.message))
            }
            DisconnectReason::Error(Fault::Ssh(russh::Error::KeepaliveTimeout)) => {
                format!("the host was silent for {} s", KEEPALIVE.as_secs() * (KEEPALIVES as u64 + 1))
            }
            DisconnectReason::Error(Fault::Ssh(russh::Error::IO(error)))
                if error.kind() != io::ErrorKind::UnexpectedEof =>
            {
                one_line(&error.to_string())
            }
            DisconnectReason::Error(_) => return Ok(()),
        });
        Ok(())
    }
}
