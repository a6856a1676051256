//! What can go wrong with an answer, on demand.

mod play;
#[cfg(test)]
mod tests;

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use super::server::lock;
use super::source::Reply;
pub(super) use play::{Flow, play, until_closed};

/// A way for an answer to fail. All but `Status`, `Body` and `Answer` spoil the answer that would otherwise have been given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Another status with its reason phrase; an empty body has no `Content-Type`. A 401 is held back as all of them are,
    /// and after a 596 the worker that pveproxy gave up is busy as long as with [`Fault::Hang`].
    Status {
        /// 400 …, or pveproxy's own 595 to 599.
        code: u16,
        /// The reason phrase.
        reason: String,
        /// Typed as JSON if it begins with a brace, else as HTML.
        body: String,
    },
    /// Nothing is answered, and the connection stays open.
    Hang,
    /// The head and so many bytes of the body, then silence.
    Stall {
        /// Of the body.
        after_bytes: usize,
    },
    /// The head at once, the body at a trickle.
    Drip {
        /// At least 1.
        bytes_per_second: u32,
    },
    /// The TCP connection is reset instead of an answer.
    Reset,
    /// Half the body that was announced, then a clean end of the connection.
    Truncate,
    /// Status 200, typed as JSON, with these bytes.
    Body(Bytes),
    /// Another answer, such as one recorded at another time, with its own date.
    Answer(Reply),
    /// Valid JSON of exactly this length, nearly all of it blanks; without `Content-Length`, so that only counting helps.
    BigBody {
        /// At least 11; `u64::MAX` never ends.
        bytes: u64,
    },
    /// A good answer that promises `Keep-Alive`; the next request on the connection meets a reset.
    CloseKeepAlive,
    /// A good answer, so much later; the worker is busy meanwhile, even if the client is gone.
    Slow(Duration),
    /// Every n-th of the requests that meet this fault meets the inner one, and the others a good answer.
    EveryNth {
        /// At least 1.
        n: u32,
        /// The one that strikes.
        fault: Box<Fault>,
    },
    /// A good answer compressed, whether or not that was asked for.
    Gzip,
    /// Announced as gzip, begins as such, and goes on with garbage.
    BadGzip,
    /// Announces half the body, sends all of it, and promises `Keep-Alive`: half an answer, and then bytes that nobody asked for.
    Understate,
    /// A good answer that promises `Keep-Alive`, with these bytes after it.
    Surplus(Bytes),
    /// A good status line, then a short header twenty times a second, for ever.
    EndlessHeaders,
}

/// Which faults are set for which paths.
#[derive(Default)]
pub(super) struct Rules(Mutex<Vec<Rule>>);

struct Rule {
    prefix: String,
    fault: Fault,
    /// How many requests have met it.
    met: u32,
}

impl Fault {
    /// Status 200 with JSON whose data are so many lists inside each other.
    pub fn nested(depth: usize) -> Self {
        Self::Body([b"{\"data\":", "[".repeat(depth).as_bytes(), "]".repeat(depth).as_bytes(), b"}"].concat().into())
    }

    /// What strikes the request of this number, counted from 1.
    fn striking(&self, number: u32) -> Option<Self> {
        match self {
            Self::EveryNth { n, fault } if number.is_multiple_of((*n).max(1)) => fault.striking(number / (*n).max(1)),
            Self::EveryNth { .. } => None,
            fault => Some(fault.clone()),
        }
    }
}

impl Rules {
    /// Sets or replaces the fault of a prefix.
    pub(super) fn set(&self, prefix: &str, fault: Fault) {
        let mut rules = lock(&self.0);
        rules.retain(|rule| rule.prefix != prefix);
        rules.push(Rule { prefix: prefix.to_owned(), fault, met: 0 });
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// What strikes the next request for the path: the longest prefix of it decides.
    pub(super) fn strike(&self, path: &str) -> Option<Fault> {
        let mut rules = lock(&self.0);
        let matching = rules.iter_mut().filter(|rule| path.starts_with(rule.prefix.as_str()));
        let rule = matching.max_by_key(|rule| rule.prefix.len())?;
        rule.met = rule.met.wrapping_add(1);
        rule.fault.striking(rule.met)
    }
}
