//! What can go wrong with a host, named for what the reader can do about it.

use std::fmt;
use std::time::Duration;

use crate::ids::{SshAddress, SshFingerprint};

/// A failed attempt: at which host, and why. Cheap enough to clone for all who shared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The host's id.
    pub host: String,
    /// Where it was asked.
    pub address: SshAddress,
    /// Why it failed.
    pub reason: Reason,
}

/// Why it failed. Texts of the other side are cut to one line of bounded length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No connection, or none that speaks SSH as we do.
    Unreachable(String),
    /// The host did not prove who it is; nothing was sent to it.
    HostKey(HostKey),
    /// The host is the right one and does not let us in; also an agent without a fitting key.
    Auth(String),
    /// Something took longer than this.
    Timeout {
        /// What was waited for.
        step: Step,
        /// How long.
        after: Duration,
    },
    /// The command printed more than this, in bytes.
    TooLarge(usize),
    /// The connection or the channel ended before the command did.
    Closed(String),
    /// The command ended with another exit status than 0, or by a signal.
    Exit {
        /// Such as `exit status 127` or `signal KILL`.
        how: String,
        /// The first line of its standard error.
        stderr: String,
    },
}

/// A host key that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// In one word.
    pub kind: HostKeyKind,
    /// The fingerprint of the key that was seen.
    pub fingerprint: SshFingerprint,
    /// Complete, without the host: what was expected, found, where, and what to do.
    pub message: String,
}

/// Why a host key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeyKind {
    /// Nothing is known of the host.
    Unknown,
    /// Another key is known.
    Changed,
    /// The key is marked as revoked.
    Revoked,
    /// The host showed a certificate of a known authority, and it is not valid for this host or now.
    Certificate,
    /// What is known could not be found out: a file cannot be read.
    Unreadable,
}

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The `known_hosts` files.
    Files,
    /// The TCP connection.
    Connection,
    /// The greeting, and the exchange of keys.
    Greeting,
    /// The login.
    Login,
    /// The command.
    Command,
}

impl Error {
    /// The value of the `reason` and `outcome` labels: one word of a small set.
    pub fn label(&self) -> &'static str {
        match self.reason {
            Reason::Unreachable(_) => "unreachable",
            Reason::HostKey(_) => "host_key",
            Reason::Auth(_) => "auth",
            Reason::Timeout { .. } => "timeout",
            Reason::TooLarge(_) => "too_large",
            Reason::Closed(_) => "closed",
            Reason::Exit { .. } => "exit",
        }
    }
}

impl Error {
    /// Whether the host was never logged in to. Changes of that are in the log.
    pub fn is_of_connection(&self) -> bool {
        match &self.reason {
            Reason::Unreachable(_) | Reason::HostKey(_) | Reason::Auth(_) => true,
            Reason::Timeout { step, .. } => *step != Step::Command,
            Reason::TooLarge(_) | Reason::Closed(_) | Reason::Exit { .. } => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh {} ({}): {}", one_line(&self.host), self.address, self.reason)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "no connection: {cause}"),
            Self::HostKey(refused) => f.write_str(&refused.message),
            Self::Auth(cause) => write!(f, "not let in: {cause}"),
            Self::Timeout { step, after } => write!(f, "{step} within {:.1} s", after.as_secs_f64()),
            Self::TooLarge(limit) => {
                write!(f, "the command printed more than {limit} bytes; look at what it prints there")
            }
            Self::Closed(cause) => write!(f, "the connection broke: {cause}"),
            Self::Exit { how, stderr } if stderr.is_empty() => write!(f, "the command ended with {how}"),
            Self::Exit { how, stderr } => write!(f, "the command ended with {how}: {stderr}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "the known_hosts files could not be read",
            Self::Connection => "nothing answered",
            Self::Greeting => "a connection, but no complete greeting and key exchange",
            Self::Login => "the host key is right, but no answer to the login",
            Self::Command => "logged in, but the command did not end",
        })
    }
}

/// One line of at most 300 characters, without control characters: fit for logs and messages.
pub(super) fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let line = text.trim().lines().next().unwrap_or_default();
    let mut short: String = line.chars().filter(|c| !c.is_control()).take(MOST).collect();
    if line.chars().count() > MOST {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_sentences() {
        let error = |reason| Error {
            host: "home-pve1".to_owned(),
            address: SshAddress::parse("192.0.2.11", 22).unwrap(),
            reason,
        };
        let hang = error(Reason::Timeout { step: Step::Command, after: Duration::from_millis(9500) });
        assert_eq!(
            hang.to_string(),
            "ssh home-pve1 (192.0.2.11:22): logged in, but the command did not end within 9.5 s"
        );
        assert_eq!(hang.label(), "timeout");
        let exit = error(Reason::Exit { how: "exit status 127".to_owned(), stderr: "sh: not found".to_owned() });
        assert_eq!(
            exit.to_string(),
            "ssh home-pve1 (192.0.2.11:22): the command ended with exit status 127: sh: not found"
        );
    }

    #[test]
    fn foreign_text_becomes_one_bounded_line() {
        assert_eq!(one_line("  no\u{7} bell\u{1b}[2J\nsecond line"), "no bell[2J");
        assert_eq!(one_line(&"é".repeat(301)).chars().count(), 301);
    }
}
