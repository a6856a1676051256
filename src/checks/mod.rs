//! TCP and TLS checks of services: whether something answers there as its kind should.
//!
//! ```text
//! check      one check: name → connection → what its kind asks → outcome
//!   name     the addresses of a host; few lookups at once
//!   connect  the first address that takes a connection
//!   tls      a handshake that looks at the certificate and judges nothing
//!   banner   what an SSH server says first
//!   request  what HTTP is asked: the status line and the headers
//!   lines    lines of an answer, bounded
//!   close    leaving politely
//! why        outcomes that are no success, in words
//! families   outcomes → families (pure)
//! ```
//!
//! These are checks of life, not of trust: no credential is ever sent, so a certificate is looked at (when it runs out)
//! and not judged; one that has expired or that nobody signed does not make a service down.

mod banner;
mod check;
mod close;
mod connect;
mod families;
mod lines;
mod name;
mod request;
#[cfg(test)]
mod tests;
mod tls;
mod why;

use std::time::Duration;

pub use crate::ids::ServiceKind as Kind;
pub use check::Checker;
pub use families::{FAMILIES, families, labels};
pub use why::{Step, Why};

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// A name in ASCII, or an IPv4 or IPv6 address, the latter with or without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// What must answer there.
    pub kind: Kind,
}

/// What a check found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the service answered as its kind should. `None` where nothing was asked, which says nothing of the
    /// service: no time was left, or this process lacked the means ([`Why::NotAsked`]).
    pub up: Option<bool>,
    /// From the start of the check, the name lookup included, until the answer was there; also of an answer that is
    /// down for its status.
    pub took: Option<Duration>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// When the certificate that was shown runs out, in seconds since 1970, whether it is valid or not and whatever
    /// became of the check after it was shown.
    pub certificate_not_after: Option<i64>,
    /// Why the service is not up; there is one exactly where `up` is not `Some(true)`.
    pub why: Option<Why>,
}

impl Outcome {
    /// Whether anything came from the host, be it a refusal; `None` where nothing was asked.
    pub fn host_answered(&self) -> Option<bool> {
        match &self.why {
            None | Some(Why::Refused(_) | Why::Tls(_) | Why::Answer(_) | Why::Status(_)) => Some(true),
            Some(Why::Timeout(step, _)) => Some(matches!(step, Step::Tls | Step::Answer)),
            Some(Why::Name(_) | Why::Connect(_)) => Some(false),
            Some(Why::NotAsked(_)) => None,
        }
    }
}
