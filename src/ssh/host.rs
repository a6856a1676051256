//! One host: the connection that is kept to it, and who waits for what.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture, WeakShared};
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::connection::{Connection, connect};
use super::counted::Counted;
use super::error::{Error, Reason, Step};
use super::run::{Command, Output, run};
use super::trouble::Trouble;
use crate::config::Ssh;
use crate::ids::SshAddress;

/// Of a host that was in trouble, so much is waited for when it is looked at again; then what is known is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// A host that can be asked; dropping it ends its connection.
pub struct Session(Arc<Host>);

/// What the tasks of a host share.
pub(super) struct Host {
    pub(super) id: String,
    pub(super) address: SshAddress,
    pub(super) settings: Arc<Ssh>,
    pub(super) shared: Arc<Shared>,
    line: Mutex<Line>,
    /// Commands under way; each ends when nobody waits for it any more.
    running: Mutex<HashMap<&'static str, (Command, WeakShared<Answer>)>>,
    /// Commands that took too long or said too much.
    troubles: Mutex<HashMap<&'static str, Trouble>>,
    seed: u64,
}

type Answer = BoxFuture<'static, Result<Arc<Output>, Error>>;
type Connecting = SharedFuture<BoxFuture<'static, Result<Arc<Connection>, Error>>>;

/// The connection.
struct Line {
    state: State,
    /// Set as long as no connection came about since the last failure.
    trouble: Option<Trouble>,
    /// What was waited for last.
    step: Step,
}

enum State {
    None,
    /// Goes on when nobody waits, so that the next scrape has it.
    Connecting(Connecting),
    Kept(Arc<Connection>),
}

impl Session {
    pub(super) fn new(id: &str, address: SshAddress, settings: Arc<Ssh>, shared: Arc<Shared>) -> Self {
        Self(Arc::new(Host::new(id, address, settings, shared)))
    }

    /// The host's id.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What went wrong with this host, as an error.
    pub fn error(&self, reason: Reason) -> Error {
        self.0.error(reason)
    }

    /// Who asks, as the host knows us.
    pub fn user(&self) -> &str {
        &self.0.settings.user
    }

    /// Where it is asked.
    pub fn address(&self) -> &SshAddress {
        &self.0.address
    }

    /// Runs a command, or joins the same command if it is under way, and waits for its output until `deadline`.
    ///
    /// How the command ended is in the output; a command that was given up by all who waited is ended.
    pub async fn exec(&self, command: &Command, deadline: Instant) -> Result<Arc<Output>, Error> {
        let started = Instant::now();
        let answer = self.join(command);
        timeout_at(deadline, answer).await.unwrap_or_else(|_| {
            let line = lock(&self.0.line);
            let step = if matches!(line.state, State::Connecting(_)) { line.step } else { Step::Command };
            Err(self.0.error(Reason::Timeout { step, after: started.elapsed() }))
        })
    }

    /// The same command under way, or a new one.
    fn join(&self, command: &Command) -> SharedFuture<Answer> {
        let mut running = lock(&self.0.running);
        let same = running.get(command.line).filter(|(of, _)| of == command);
        if let Some(answer) = same.and_then(|(_, answer)| answer.upgrade()) {
            return answer;
        }
        let answer = answer(Arc::clone(&self.0), command.clone()).boxed().shared();
        if let Some(weak) = answer.downgrade() {
            running.insert(command.line, (command.clone(), weak));
        }
        answer
    }
}

/// One run of a command, connecting if need be.
async fn answer(host: Arc<Host>, command: Command) -> Result<Arc<Output>, Error> {
    let now = Instant::now();
    if let Some(trouble) = lock(&host.troubles).get(command.line).filter(|trouble| !trouble.is_due(now)) {
        return Err(trouble.error.clone());
    }
    let connection = host.connection().await?;
    let mut counted = Counted::new(&host, command.line);
    let mut result = run(&connection, &command, host.shared.limits).await;
    if matches!(result, Err(None)) {
        // It had ended while nobody looked; nothing was asked yet.
        connection.cut();
        let again = host.connection().await.inspect_err(|_| counted.forget())?;
        result = run(&again, &command, host.shared.limits).await;
    }
    let result = result.map_err(|reason| {
        host.error(reason.unwrap_or_else(|| Reason::Closed(connection.parting("before the command began"))))
    });
    counted.done(&result);
    result.map(Arc::new)
}

impl Host {
    pub(super) fn new(id: &str, address: SshAddress, settings: Arc<Ssh>, shared: Arc<Shared>) -> Self {
        let mut hasher = DefaultHasher::new();
        (id, &address).hash(&mut hasher);
        Self {
            id: id.to_owned(),
            address,
            settings,
            shared,
            line: Mutex::new(Line { state: State::None, trouble: None, step: Step::Connection }),
            running: Mutex::default(),
            troubles: Mutex::default(),
            seed: hasher.finish(),
        }
    }

    pub(super) fn error(&self, reason: Reason) -> Error {
        Error { host: self.id.clone(), address: self.address.clone(), reason }
    }

    /// A command failed in a way that costs the host; it is left alone for a while.
    pub(super) fn command_failed(&self, line: &'static str, error: Error) {
        let mut troubles = lock(&self.troubles);
        let trouble = Trouble::after(troubles.get(line), error, self.seed, Instant::now());
        troubles.insert(line, trouble);
    }

    /// A command did what it should.
    pub(super) fn command_worked(&self, line: &'static str) {
        lock(&self.troubles).remove(line);
    }

    /// The kept connection, the one that is being made, or a new one.
    async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>, Error> {
        let (connecting, trouble) = {
            let mut line = lock(&self.line);
            match &line.state {
                State::Kept(connection) if !connection.is_closed() => return Ok(Arc::clone(connection)),
                State::Connecting(connecting) => (connecting.clone(), line.trouble.clone()),
                State::None | State::Kept(_) => {
                    if let Some(trouble) = line.trouble.as_ref().filter(|trouble| !trouble.is_due(Instant::now())) {
                        return Err(trouble.error.clone());
                    }
                    let connecting = begin(self);
                    line.state = State::Connecting(connecting.clone());
                    (connecting, line.trouble.clone())
                }
            }
        };
        let Some(trouble) = trouble else { return connecting.await };
        timeout(PATIENCE, connecting).await.unwrap_or(Err(trouble.error))
    }

    /// Tells how an attempt to connect ended, and keeps what came of it.
    fn connected(&self, result: Result<Connection, Reason>) -> Result<Arc<Connection>, Error> {
        let mut line = lock(&self.line);
        let (host, address) = (&self.id, &self.address);
        match result {
            Ok(connection) => {
                if line.trouble.take().is_some() {
                    tracing::info!(host, %address, "the host can be asked again over ssh");
                }
                let connection = Arc::new(connection);
                line.state = State::Kept(Arc::clone(&connection));
                self.shared.own.ssh_connection(host, "ok");
                Ok(connection)
            }
            Err(reason) => {
                let error = self.error(reason);
                if line.trouble.as_ref().is_none_or(|trouble| trouble.error != error) {
                    tracing::warn!(host, %address, "the host cannot be asked over ssh: {}", error.reason);
                }
                line.trouble = Some(Trouble::after(line.trouble.as_ref(), error.clone(), self.seed, Instant::now()));
                line.state = State::None;
                self.shared.own.ssh_connection(host, error.label());
                Err(error)
            }
        }
    }
}

/// Connects in a task of its own, bounded in time by itself.
fn begin(host: &Arc<Host>) -> Connecting {
    let (own, weak) = (Arc::clone(host), Arc::downgrade(host));
    let error = host.error(Reason::Unreachable("the attempt to connect ended without a result".to_owned()));
    let task = tokio::spawn(async move {
        let result = connect(&own, |step| lock(&own.line).step = step).await;
        own.connected(result)
    });
    // Weak, since the host keeps what this returns.
    let ended = async move {
        match (task.await, weak.upgrade()) {
            (Ok(result), _) => result,
            (Err(_), Some(host)) => host.connected(Err(error.reason)),
            (Err(_), None) => Err(error),
        }
    };
    ended.boxed().shared()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
