//! One command on a connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::error::{Reason, one_line};

/// A host gets so long to end a command that was given up.
const GRACE: Duration = Duration::from_secs(2);

/// What a command reads is sent in such pieces, each after the one before has left.
const PIECE: usize = 2 << 10;

/// The most that is read of a command's output, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// More standard output is an error.
    pub stdout: usize,
    /// More standard error is thrown away.
    pub stderr: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stdout: 4 << 20, stderr: 64 << 10 }
    }
}

/// A command for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What the login shell runs, or what a forced command sees; never anything that somebody typed.
    pub line: &'static str,
    /// What the command reads, such as a program for `sh -s`.
    pub stdin: Bytes,
}

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// All of it.
    pub stdout: Vec<u8>,
    /// As much of it as [`Limits`] allow.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub exit: Exit,
    /// When it was asked for.
    pub asked: Instant,
    /// From then until the first piece of standard output came, or the end where there was none.
    pub answered: Duration,
    /// From then until its end.
    pub took: Duration,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(u32),
    /// By this signal, such as `KILL`.
    Signal(String),
}

impl Output {
    /// The reason why this output is not to be used, if the command did not end well.
    pub fn failure(&self) -> Option<Reason> {
        let how = match &self.exit {
            Exit::Status(0) => return None,
            Exit::Status(status) => format!("exit status {status}"),
            Exit::Signal(name) => format!("signal {name}"),
        };
        Some(Reason::Exit { how, stderr: one_line(&String::from_utf8_lossy(&self.stderr)) })
    }
}

/// Why a command has no output.
pub(super) enum Broke {
    /// The connection turned out to be closed before anything was asked.
    Before,
    /// The host does not run it.
    Refused(Reason),
    /// It may have run.
    During(Reason),
}

/// Runs a command. `Err(None)`: the connection turned out to be closed before anything was asked.
pub(super) async fn run(
    connection: &Arc<Connection>,
    command: &Command,
    limits: Limits,
) -> Result<Output, Option<Reason>> {
    run_line(connection, (command.line, &command.stdin), limits).await.map_err(|broke| match broke {
        Broke::Before => None,
        Broke::Refused(reason) | Broke::During(reason) => Some(reason),
    })
}

/// Runs a command, which reads what is beside it. Whoever drops this gives the command up: it is told to end, and where its channel is not closed soon,
/// the connection is cut.
pub(super) async fn run_line(
    connection: &Arc<Connection>,
    (line, stdin): (&str, &Bytes),
    limits: Limits,
) -> Result<Output, Broke> {
    connection.settled().await;
    if connection.is_closed() {
        return Err(Broke::Before);
    }
    let mut running = Running { connection, channel: None, opening: true };
    let opened = connection.handle.channel_open_session().await;
    running.opening = false;
    let (read, write) = match opened {
        Ok(channel) => channel.split(),
        Err(russh::Error::ChannelOpenFailure(why)) => {
            let cause = format!("the host opens no channel ({why:?}); raise MaxSessions of its sshd");
            return Err(Broke::Refused(Reason::Closed(cause)));
        }
        Err(_) => return Err(Broke::Before),
    };
    let write = Arc::new(write);
    let (read, _) = running.channel.insert((read, Arc::clone(&write)));
    let asking = async {
        connection.say(write.exec(true, line)).await;
        let mut rest = stdin.clone();
        while !rest.is_empty() {
            connection.say(write.data_bytes(rest.split_to(PIECE.min(rest.len())))).await;
        }
        let _ = write.eof().await;
        std::future::pending::<Infallible>().await
    };
    let asked = Instant::now();
    let collected = tokio::select! {
        collected = collect(read, limits) => collected,
        never = asking => match never {},
    };
    let Collected { stdout, stderr, exit, answered } = collected.map_err(|stop| match stop {
        Stop::TooLarge => Broke::During(Reason::TooLarge(limits.stdout)),
        Stop::Refused => Broke::Refused(Reason::Closed("the host does not run commands for this user".to_owned())),
        Stop::Ended => Broke::During(Reason::Closed("the host ended the command without an exit status".to_owned())),
        Stop::Lost => Broke::During(Reason::Closed(connection.parting("before the command had ended"))),
    })?;
    running.channel = None;
    let took = asked.elapsed();
    let answered = answered.map_or(took, |at| at.saturating_duration_since(asked));
    Ok(Output { stdout, stderr, exit, asked, answered, took })
}

/// A whole output.
struct Collected {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Exit,
    /// When the first of it came.
    answered: Option<Instant>,
}

/// Why there is no whole output.
enum Stop {
    TooLarge,
    Refused,
    Ended,
    Lost,
}

async fn collect(read: &mut ChannelReadHalf, limits: Limits) -> Result<Collected, Stop> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (mut exit, mut answered) = (None, None);
    loop {
        match read.wait().await {
            Some(ChannelMsg::Data { data }) => {
                if data.len() > limits.stdout.saturating_sub(stdout.len()) {
                    return Err(Stop::TooLarge);
                }
                answered.get_or_insert_with(Instant::now);
                stdout.extend_from_slice(&data);
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                let room = limits.stderr.saturating_sub(stderr.len()).min(data.len());
                stderr.extend(data.iter().take(room));
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => exit = Some(Exit::Status(exit_status)),
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => exit = Some(Exit::Signal(signal(&signal_name))),
            Some(ChannelMsg::Failure) => return Err(Stop::Refused),
            Some(ChannelMsg::Close) => {
                return exit.map(|exit| Collected { stdout, stderr, exit, answered }).ok_or(Stop::Ended);
            }
            None => return Err(Stop::Lost),
            Some(_) => {}
        }
    }
}

fn signal(name: &Sig) -> String {
    match name {
        Sig::Custom(name) => one_line(name),
        known => format!("{known:?}"),
    }
}

/// A command under way.
struct Running<'c> {
    connection: &'c Arc<Connection>,
    /// Still to be closed.
    channel: Option<(ChannelReadHalf, Arc<ChannelWriteHalf<Msg>>)>,
    /// Asked for, and nobody knows yet under which number.
    opening: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Some((mut read, write)) = self.channel.take() else {
            if self.opening {
                self.connection.cut();
            }
            return;
        };
        let connection = Arc::clone(self.connection);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return connection.cut() };
        let doubt = connection.doubt();
        runtime.spawn(async move {
            let ending = async {
                // Without it, what hangs there would stay, and each scrape would leave one more. The host closes the
                // channel: one that we close ourselves is never forgotten by the library.
                let _ = write.signal(Sig::TERM).await;
                while !matches!(read.wait().await, None | Some(ChannelMsg::Close)) {}
            };
            if timeout(GRACE, ending).await.is_err() {
                connection.cut();
            }
            drop(doubt);
        });
    }
}
