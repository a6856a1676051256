//! What the host says to the library that speaks SSH for it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use russh::server::{self, Auth, ChannelOpenHandle, Handle, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Pty, Sig};
use tokio::sync::watch;

use super::connection::Pipe;
use super::{Shared, SshFault, SshReply, count};

/// The most that a command reads, in bytes.
const LARGEST: usize = 1 << 20;

/// One connection's side of the conversation.
pub(super) struct Handler {
    shared: Arc<Shared>,
    pipe: watch::Sender<Pipe>,
    /// Who was let in.
    user: String,
    commands: HashMap<ChannelId, Command>,
}

/// A command that reads what it is given.
struct Command {
    line: String,
    stdin: Vec<u8>,
    answered: bool,
}

type Done = Result<(), russh::Error>;

impl Handler {
    pub(super) fn new(shared: Arc<Shared>, pipe: watch::Sender<Pipe>) -> Self {
        Self { shared, pipe, user: String::new(), commands: HashMap::new() }
    }

    fn extra(&self) -> Done {
        count(&self.shared.counters.extras);
        Ok(())
    }

    fn given_up(&mut self, channel: ChannelId) -> Done {
        if self.commands.remove(&channel).is_some_and(|command| !command.answered) {
            count(&self.shared.counters.given_up);
        }
        Ok(())
    }
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, russh::Error> {
        count(&self.shared.counters.logins);
        Ok(Auth::reject())
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        count(&self.shared.counters.logins);
        if self.shared.fault() == SshFault::HangAtLogin {
            std::future::pending::<()>().await;
        }
        let known = |(name, pair): &(String, super::SshKeyPair)| {
            name == user && pair.private().public_key().key_data() == offer.public_key.key_data()
        };
        Ok(if self.shared.options.users.iter().any(known) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, _key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        // What was offered was known, else it would not have come to this.
        count(&self.shared.counters.let_in);
        user.clone_into(&mut self.user);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(&mut self, _: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Done {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, line: &[u8], session: &mut Session) -> Done {
        count(&self.shared.counters.commands);
        if self.shared.fault() == SshFault::RefuseCommand {
            return session.channel_failure(channel);
        }
        let line = String::from_utf8_lossy(line).into_owned();
        self.shared.note(&self.user, &line);
        self.commands.insert(channel, Command { line, stdin: Vec::new(), answered: false });
        session.channel_success(channel)
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut Session) -> Done {
        if let Some(command) = self.commands.get_mut(&channel) {
            let room = LARGEST.saturating_sub(command.stdin.len()).min(data.len());
            command.stdin.extend(data.iter().take(room));
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Done {
        let fault = self.shared.fault();
        let Some(command) = self.commands.get_mut(&channel) else { return Ok(()) };
        match fault {
            SshFault::HangInCommand => {
                count(&self.shared.counters.hung);
                return Ok(());
            }
            SshFault::VanishInCommand => {
                self.pipe.send_replace(Pipe::Frozen);
                return Ok(());
            }
            _ => command.answered = true,
        }
        let reply = (self.shared.options.answer)(&command.line, &command.stdin);
        let speaker = Speaker { handle: session.handle(), channel, pipe: self.pipe.clone() };
        // Not here: the library would wait for room that only it can make.
        tokio::spawn(async move { speaker.speak(fault, reply).await });
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Done {
        self.given_up(channel)
    }

    async fn signal(&mut self, channel: ChannelId, signal: Sig, session: &mut Session) -> Done {
        self.given_up(channel)?;
        session.exit_signal_request(channel, signal, false, "", "")?;
        session.close(channel)
    }

    async fn pty_request(
        &mut self,
        _: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        _: &mut Session,
    ) -> Done {
        self.extra()
    }

    async fn env_request(&mut self, _: ChannelId, _: &str, _: &str, _: &mut Session) -> Done {
        self.extra()
    }

    async fn shell_request(&mut self, _: ChannelId, _: &mut Session) -> Done {
        self.extra()
    }

    async fn agent_request(&mut self, _: ChannelId, _: &mut Session) -> Result<bool, russh::Error> {
        self.extra()?;
        Ok(false)
    }
}

/// Prints what a command prints.
struct Speaker {
    handle: Handle,
    channel: ChannelId,
    pipe: watch::Sender<Pipe>,
}

impl Speaker {
    /// Ends early where nobody listens any more.
    async fn speak(&self, fault: SshFault, reply: SshReply) -> Option<()> {
        let half = reply.stdout.slice(..reply.stdout.len() / 2);
        match fault {
            SshFault::HalfOutput => {
                self.say(half).await?;
                return self.handle.close(self.channel).await.ok();
            }
            SshFault::Reset => {
                self.say(half).await?;
                self.pipe.send_replace(Pipe::Reset);
                return Some(());
            }
            SshFault::Noise { bytes } => self.noise(bytes, None).await?,
            SshFault::NoiseOnStderr { bytes } => self.noise(bytes, Some(1)).await?,
            _ => {}
        }
        self.say(reply.stdout).await?;
        self.handle.extended_data(self.channel, 1, reply.stderr).await.ok()?;
        self.handle.exit_status_request(self.channel, reply.exit).await.ok()?;
        self.handle.eof(self.channel).await.ok()?;
        self.handle.close(self.channel).await.ok()
    }

    async fn say(&self, text: Bytes) -> Option<()> {
        self.handle.data(self.channel, text).await.ok()
    }

    async fn noise(&self, bytes: u64, stream: Option<u32>) -> Option<()> {
        let chunk = Bytes::from(vec![b'x'; 16 << 10]);
        let mut left = bytes;
        while left > 0 {
            let size = left.min(chunk.len() as u64);
            let part = chunk.slice(..usize::try_from(size).ok()?);
            match stream {
                None => self.handle.data(self.channel, part).await.ok()?,
                Some(stream) => self.handle.extended_data(self.channel, stream, part).await.ok()?,
            }
            left -= size;
        }
        Some(())
    }
}
