//! What can go wrong, named for what the reader can do about it.

use std::fmt;

use super::plain;
use crate::ssh;

/// Why something could not be found out or done. Printed as one line, without a secret and fit for a terminal.
#[derive(Debug)]
pub enum Error {
    /// The host is not reached, is not who it should be, or does not let us in.
    Ssh(ssh::Error),
    /// A command on the host failed.
    Command {
        /// As it could be typed.
        command: String,
        /// How it ended, in its own words, and what to do.
        why: String,
    },
    /// A command ended well and printed something else than it should. What it printed is not told.
    Answer {
        /// As it could be typed.
        command: String,
        /// What was expected and found.
        wrong: String,
    },
    /// Something there or here must be settled first; what, and how.
    InTheWay(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&match self {
            Self::Ssh(error) => error.to_string(),
            Self::Command { command, why } => format!("{command}: {why}"),
            Self::Answer { command, wrong } => format!("{command}: {wrong}"),
            Self::InTheWay(what) => what.clone(),
        }))
    }
}

impl std::error::Error for Error {}
