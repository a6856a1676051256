//! What can go wrong with a call, named for what the caller can do about it.

use std::fmt;
use std::time::Duration;

/// The path of a login, the one call that is no GET.
pub(super) const LOGIN: &str = "/access/ticket";

/// A failed call: which one, and why. Cheap enough to clone for all who shared the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Which endpoint was asked, such as `https://192.0.2.11:8006`.
    pub endpoint: String,
    /// What for, below `/api2/json`, such as `/version`.
    pub path: String,
    /// Why it failed.
    pub reason: Reason,
}

/// Why a call failed. Texts of the other side are cut to one line of bounded length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No connection: nothing was sent, another endpoint may be tried.
    Unreachable(String),
    /// Nothing was asked for want of a place at the gate, which may become free at any time.
    Busy(String),
    /// The connection was there and broke before the answer was.
    Broken(String),
    /// The endpoint belongs to another cluster than the others; nothing of it is used.
    Foreign(String),
    /// The endpoint did not prove who it is; the credential was not sent.
    Tls(String),
    /// 401: the credential is wrong, expired or disabled.
    Unauthorized(String),
    /// A user was not let in, or its ticket was not accepted; says what to do.
    NotLoggedIn(String),
    /// Nothing was asked, as the token is still to be made; says what is in the way.
    NoToken(String),
    /// 403: the credential lacks a privilege; PVE names path and privilege.
    Forbidden(String),
    /// 500 of a node that does not have what was asked for: it never was or has moved.
    NotFoundHere(String),
    /// Any other status than 200.
    Status(u16, String),
    /// 200, but not what the API promises; says where in the JSON.
    Malformed(String),
    /// The answer is larger than the configured limit, in bytes.
    TooLarge(u64),
    /// No complete answer within this time.
    Timeout(Duration),
}

impl Error {
    /// The value of the `reason` and `outcome` labels: one word of a small set.
    pub fn label(&self) -> &'static str {
        match self.reason {
            Reason::Unreachable(_) | Reason::Busy(_) | Reason::Broken(_) | Reason::Foreign(_) => "unreachable",
            Reason::Tls(_) => "tls",
            Reason::Unauthorized(_) | Reason::NotLoggedIn(_) | Reason::NoToken(_) => "unauthorized",
            Reason::Forbidden(_) => "forbidden",
            Reason::NotFoundHere(_) | Reason::Status(..) => "status",
            Reason::Malformed(_) => "malformed",
            Reason::TooLarge(_) => "too_large",
            Reason::Timeout(_) => "timeout",
        }
    }

    /// Whether PVE has not what it would ask, such as Ceph or the agent of a guest, which are there where they are wanted only.
    pub fn is_not_set_up(&self) -> bool {
        let words =
            ["not installed", "not initialized", "not enabled", "No QEMU guest agent", "guest agent is not running"];
        matches!(&self.reason, Reason::Status(500, said) if words.iter().any(|word| said.contains(word)))
    }

    /// Whether nothing was asked: no connection came about, so that another way to the same node may do better.
    pub(super) fn is_of_the_way(&self) -> bool {
        matches!(self.reason, Reason::Unreachable(_) | Reason::Foreign(_) | Reason::Tls(_))
    }

    /// Whether this PVE does not have the call at all: it is older than the feature.
    pub fn is_unknown_call(&self) -> bool {
        matches!(self.reason, Reason::Status(501, _))
    }

    /// Whether another endpoint of the same cluster may do better.
    pub(super) fn is_of_the_endpoint(&self) -> bool {
        match self.reason {
            Reason::Unreachable(_)
            | Reason::Busy(_)
            | Reason::Broken(_)
            | Reason::Foreign(_)
            | Reason::Tls(_)
            | Reason::Timeout(_)
            | Reason::Malformed(_) => true,
            Reason::Status(code, _) => code >= 500 && code != 501,
            Reason::Unauthorized(_)
            | Reason::NotLoggedIn(_)
            | Reason::NoToken(_)
            | Reason::Forbidden(_)
            | Reason::NotFoundHere(_)
            | Reason::TooLarge(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, path, reason } = self;
        match reason {
            // The path does not matter where no call was made: all calls of a round then fail with the same words.
            Reason::Unreachable(_)
            | Reason::Busy(_)
            | Reason::Broken(_)
            | Reason::Foreign(_)
            | Reason::NoToken(_)
            | Reason::Tls(_) => {
                write!(f, "{endpoint}: {reason}")
            }
            _ => {
                let method = if path == LOGIN { "POST" } else { "GET" };
                write!(f, "{method} {endpoint}/api2/json{path}: {reason}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "no connection: {cause}"),
            Self::Broken(cause) => write!(f, "the connection broke: {cause}"),
            Self::Tls(cause)
            | Self::Foreign(cause)
            | Self::Busy(cause)
            | Self::NotLoggedIn(cause)
            | Self::NoToken(cause) => {
                write!(f, "{cause}")
            }
            Self::Unauthorized(words) => write!(
                f,
                "401 {words}: check that token_id exists, is enabled and not expired, and that the secret is its own"
            ),
            Self::Forbidden(words) => write!(
                f,
                "403 {words}: give the role PVEAuditor on / to the user and, if a token's privileges are separated, to the token too"
            ),
            Self::NotFoundHere(words) => write!(f, "500 {words}"),
            Self::Status(code, words) => write!(f, "unexpected status {code} {words}"),
            Self::Malformed(detail) => write!(f, "malformed answer: {detail}"),
            Self::TooLarge(limit) => {
                write!(f, "the answer is larger than {limit} bytes; raise [scrape] max_body if that is to be expected")
            }
            Self::Timeout(after) => write!(f, "no complete answer within {:.1} s", after.as_secs_f64()),
        }
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
    fn foreign_text_becomes_one_bounded_line() {
        assert_eq!(one_line("  no\u{7} bell\nsecond line"), "no bell");
        assert_eq!(one_line(&"é".repeat(301)).chars().count(), 301);
        assert_eq!(one_line(""), "");
    }
}
