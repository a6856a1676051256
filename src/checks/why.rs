//! Why a service is not up, and in which words.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// The bytes of an answer that are shown at most.
const MOST_SHOWN: usize = 60;

/// Linux' numbers for want of memory, of descriptors in the system and in this process, and of buffers.
const OUR_OWN_WANT: [i32; 4] = [12, 23, 24, 105];

/// Why a service is not up. Shows as a sentence for the administrator, without line feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nothing was asked, for a reason on our side: nothing is known of the service.
    NotAsked(String),
    /// The host's name has no address, or is none.
    Name(String),
    /// No address took a connection.
    Connect(String),
    /// The same, and at least one said so: somebody is there.
    Refused(String),
    /// The TLS handshake failed, other than for trust.
    Tls(String),
    /// What came is not what such a service says, was cut short or never ended.
    Answer(String),
    /// An HTTP status of 500 or more.
    Status(u16),
    /// The time allowed ran out in this step.
    Timeout(Step, Duration),
}

/// Where a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Waits until fewer names are looked up at once.
    Place,
    /// Looks the name up.
    Name,
    /// Connects.
    Connect,
    /// Shakes hands.
    Tls,
    /// Waits for the service's words.
    Answer,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked(words) => write!(f, "not asked: {words}"),
            Self::Name(words) => write!(f, "name lookup: {words}"),
            Self::Connect(words) | Self::Refused(words) => write!(f, "connect: {words}"),
            Self::Tls(words) => write!(f, "TLS handshake: {words}"),
            Self::Answer(words) => write!(f, "answer: {words}"),
            Self::Status(status) => write!(f, "answer: expected a status below 500, found {status}"),
            Self::Timeout(step, limit) => write!(f, "{step}: nothing came within {limit:?}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Place | Self::Name => "name lookup",
            Self::Connect => "connect",
            Self::Tls => "TLS handshake",
            Self::Answer => "answer",
        })
    }
}

/// A failed call of the system: ours if this process lacks the means, else the service's as `blame` has it.
pub(super) fn of(error: &io::Error, blame: fn(String) -> Why) -> Why {
    let words = words(error);
    if error.raw_os_error().is_some_and(|number| OUR_OWN_WANT.contains(&number)) {
        Why::NotAsked(words)
    } else {
        blame(words)
    }
}

/// What a failed call of the system says, in the words of this house where it has some.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the other side broke the connection off".to_owned(),
        ErrorKind::UnexpectedEof => "the other side closed the connection too early".to_owned(),
        ErrorKind::HostUnreachable => "no way to the host".to_owned(),
        ErrorKind::NetworkUnreachable => "no way to the network".to_owned(),
        _ => error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
    }
}

/// The beginning of what came, harmless in logs and terminals.
pub(super) fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..MOST_SHOWN).unwrap_or(bytes);
    let more = if start.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{more}\"", start.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_descriptors_is_not_the_services_fault() {
        for number in OUR_OWN_WANT {
            assert!(matches!(of(&io::Error::from_raw_os_error(number), Why::Connect), Why::NotAsked(_)), "{number}");
        }
        let refused = io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(of(&refused, Why::Connect), Why::Connect("connection refused".into()));
    }

    #[test]
    fn every_reason_reads_alone_on_one_line() {
        for (why, text) in [
            (Why::NotAsked("no time was left".into()), "not asked: no time was left"),
            (Why::Status(503), "answer: expected a status below 500, found 503"),
            (Why::Timeout(Step::Tls, Duration::from_millis(1500)), "TLS handshake: nothing came within 1.5s"),
            (Why::Timeout(Step::Name, Duration::from_secs(2)), "name lookup: nothing came within 2s"),
        ] {
            assert_eq!(why.to_string(), text);
        }
        assert_eq!(words(&io::Error::other("a\nb\u{1b}[31m")), "a b [31m");
        assert_eq!(shown(b"a\r\n\x1b\xff\""), r#""a\r\n\x1b\xff\"""#);
        assert_eq!(shown(&[b'x'; 61]), format!("\"{}…\"", "x".repeat(60)));
    }
}
