//! How hosts are reached over SSH.

use std::path::PathBuf;

use super::SshKey;
use crate::ids::SshFingerprint;

/// Who we are on a host, and how the host proves who it is.
#[derive(Debug, Clone)]
pub struct Ssh {
    /// The user there.
    pub user: String,
    /// What we sign with.
    pub keys: SshKeys,
    /// Which host keys are right.
    pub host_keys: HostKeys,
}

/// What we sign with.
#[derive(Debug, Clone)]
pub enum SshKeys {
    /// A key file.
    File(SshKey),
    /// The keys of an ssh-agent, by the path of its socket.
    Agent(PathBuf),
}

/// Which host keys are right.
#[derive(Debug, Clone)]
pub enum HostKeys {
    /// Those in `known_hosts` files.
    Known {
        /// At least one; a file that is not there says nothing.
        files: Vec<PathBuf>,
        /// `accept_new`: the first key of a host of which nothing is known is written down and trusted from then on.
        accept_new: bool,
    },
    /// The key with this fingerprint.
    Pinned(SshFingerprint),
}
