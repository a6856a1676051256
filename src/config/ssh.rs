//! How hosts are reached over SSH.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::SshKey;
use crate::ids::{MacAddress, ServiceKind, SshAddress, SshFingerprint};

/// Who we are on a host, and how the host proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// The user there.
    pub user: String,
    /// What we sign with.
    pub keys: SshKeys,
    /// Which host keys are right.
    pub host_keys: HostKeys,
}

/// What we sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshKeys {
    /// A key file.
    File(SshKey),
    /// The keys of an ssh-agent, by the path of its socket.
    Agent(PathBuf),
}

/// Which host keys are right.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// `clusters.ssh`: its nodes are hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSsh {
    /// The same for all nodes.
    pub settings: Arc<Ssh>,
    /// Of nodes without an address of their own here.
    pub port: u16,
    /// Where nodes are asked, by name; the others at the address that `/cluster/status` tells.
    pub addresses: BTreeMap<String, SshAddress>,
    /// `control`: how nodes are switched over SSH; without it they are not.
    pub power: Option<Arc<Power>>,
}

/// `control` of a host or of `clusters.ssh`: how a machine is switched over SSH. At least one command is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Power {
    /// Who acts, with a key of its own; host keys are those that are right for who reads.
    pub ssh: Arc<Ssh>,
    /// The command that lets it sleep.
    pub suspend: Option<String>,
    /// The command that shuts it down.
    pub shutdown: Option<String>,
    /// The command that starts it again.
    pub reboot: Option<String>,
}

/// How a machine is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// `mac_address`: its card.
    pub mac: MacAddress,
    /// `wake_address`: where the packet goes; default 255.255.255.255:9.
    pub to: SocketAddr,
}

/// One of `[[hosts]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The value of the `host` label, unique among hosts.
    pub id: String,
    /// For people.
    pub name: String,
    /// `hostname` with the port of SSH.
    pub address: SshAddress,
    /// Who we are there, and how it proves who it is; `None`: it is not asked over SSH, and has services.
    pub ssh: Option<Arc<Ssh>>,
    /// What is checked on it by connecting; no two are the same.
    pub services: Vec<Service>,
    /// `control`: how it is switched; without it, it is not.
    pub power: Option<Arc<Power>>,
    /// `mac_address` and `wake_address`: how it is woken; without it, it is not.
    pub wake: Option<Wake>,
}

/// One of `services` of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// For people, and the value of the label `service`; as `https/443` where the file has none.
    pub name: String,
    /// The port of TCP.
    pub port: u16,
    /// `type`: what must answer there.
    pub kind: ServiceKind,
}
