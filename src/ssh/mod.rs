//! Asking hosts over SSH: one kept connection each, host keys checked before anything is said, one command at a time.
//!
//! ```text
//! Client (what all hosts share) → Session::exec: joins the same command under way, or
//!   host         the kept connection, made again with a growing pause
//!     connection TCP → greeting and keys (verdict: is this the host?) → login
//!     run        a command on it, bounded; who gives up closes the channel
//!   act          one command, once, on a connection of its own
//!   probe        the one program that hosts are asked to run
//!   verdict      what known_hosts, a pinned fingerprint or a first use say of a host key (pure)
//! ```
//!
//! Nothing is sent to a host before its key was checked: no user name, no signature.
//! No terminal, no forwarding, no environment is asked for.

mod act;
mod connection;
mod cord;
mod counted;
mod error;
mod host;
mod known_hosts;
mod learned;
mod login;
mod probe;
mod run;
mod trouble;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Ssh;
use crate::ids::SshAddress;
use crate::metrics::Own;
pub use act::{Acted, Actor, Ready};
pub use error::{Error, HostKey, HostKeyKind, Reason, Step};
pub use host::Session;
pub use probe::{Mode, PROBE};
pub use run::{Command, Exit, Limits, Output};

/// What all hosts share: files that were read, the file of learned keys, counters. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    own: Arc<Own>,
    files: known_hosts::Files,
    learned: Option<learned::Learned>,
    limits: Limits,
    now: fn() -> i64,
}

impl Client {
    /// `learned` is the file that `accept_new` writes to; `now` gives seconds since 1970, for certificates.
    pub fn new(own: Arc<Own>, learned: Option<PathBuf>, limits: Limits, now: fn() -> i64) -> Self {
        Self::with(own, learned.map(learned::Learned::new), limits, now)
    }

    /// The same for who changes nothing: `learned` is only read, and what is new is forgotten with the client.
    pub fn read_only(own: Arc<Own>, learned: Option<PathBuf>, limits: Limits, now: fn() -> i64) -> Self {
        Self::with(own, learned.map(learned::Learned::read_only), limits, now)
    }

    fn with(own: Arc<Own>, learned: Option<learned::Learned>, limits: Limits, now: fn() -> i64) -> Self {
        Self(Arc::new(Shared { own, files: known_hosts::Files::default(), learned, limits, now }))
    }

    /// A host that can be asked; nothing is sent to it yet. `id` is the value of the `host` label.
    pub fn session(&self, id: &str, address: SshAddress, settings: Arc<Ssh>) -> Session {
        Session::new(id, address, settings, Arc::clone(&self.0))
    }

    /// Who gives a host one order; nothing is sent to it yet. `id` is its name in the log and in errors.
    pub fn actor(&self, id: &str, address: SshAddress, settings: Arc<Ssh>) -> Actor {
        Actor::new(id, address, settings, Arc::clone(&self.0))
    }
}
