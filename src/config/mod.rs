//! What the administrator wrote: a TOML file, read strictly, then checked as a whole.
//!
//! ```text
//! load        the file's bytes → Loaded { config, warnings } or every fault
//!   reader    TOML tables, strictly: unknown keys, wrong types, missing keys
//!   raw       what was typed, each value with its place (auth: who asks; ssh_raw, host)
//!   web       [web], typed and checked; identity: its certificate and key, also read again while it serves
//!   callers   [control]: who may use the API; control_listen: where orders are taken
//!   check     what it means; listen, endpoint, modules, credential (source), tls, ssh_check, host,
//!             service, units know one kind of value each
//!   mint      token_from_ssh, typed and checked
//!   power     control of hosts and mac_address, typed and checked
//!   sidecar   [events]; alertmanager: one of those who are told
//!   files     the files that the configuration names
//!   collecting  which subjects are told, and how; filters: what is not told of hosts
//!   guests    [discovery]
//!   fault     where something is wrong, and in which words (words)
//! summary     a configuration in a few lines; shown: as others may see it (hidden: what is taken out elsewhere too)
//! ```
//!
//! No message quotes a line of the file, nor the value of a key that may hold a secret.

mod alertmanager;
mod auth;
mod callers;
mod check;
mod collecting;
mod control_listen;
mod credential;
mod endpoint;
#[cfg(test)]
mod example;
mod fault;
pub(crate) mod files;
mod filters;
mod guests;
mod hidden;
mod host;
mod identity;
mod listen;
mod load;
mod mint;
mod modules;
#[cfg(test)]
mod passwords;
mod power;
mod raw;
mod reader;
mod secret;
mod service;
mod shown;
mod sidecar;
mod source;
mod ssh;
mod ssh_check;
mod ssh_key;
mod ssh_raw;
#[cfg(test)]
mod ssh_tests;
mod summary;
#[cfg(test)]
mod tests;
mod tls;
mod units;
mod unknown;
mod web;
pub(crate) mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{Fingerprint, GuestSelection, Scope, SshAddress, TokenHash};
pub use alertmanager::{Alertmanager, Login};
pub use callers::token_name;
pub use collecting::{CollectorKey, CollectorSettings, Collectors, KeyKind, KnownCollector, Preset};
pub use control_listen::ControlAddress;
pub use endpoint::{Target, target};
pub use fault::Fault;
pub use filters::{HostFilters, NameFilter, Pattern};
pub use guests::{Discovery, GuestService};
pub use hidden::Hidden;
pub use identity::{Clients, Identity};
pub use listen::listen_address;
pub use load::{Env, LoadError, Loaded, load, parse, show};
pub use secret::Secret;
pub use shown::Shown;
pub use sidecar::{EVENT_KINDS, Events, Rule};
pub use ssh::{ClusterSsh, Host, HostKeys, Power, Service, Ssh, SshKeys, Wake};
pub use ssh_key::SshKey;
pub use units::{duration, written};

/// A checked configuration: every value in it is usable as it stands.
#[derive(Debug, Clone)]
pub struct Config {
    /// `state_dir`: where host keys are written down that `accept_new` trusts, and where events are kept; set where there is
    /// [`Config::events`].
    pub state_dir: Option<PathBuf>,
    /// `[web]`: our own listeners.
    pub web: Web,
    /// `[control]`: who may use the API.
    pub control: Control,
    /// `[scrape]`: bounds of a scrape.
    pub scrape: Scrape,
    /// `[[clusters]]`: names unique, in the order of the file; may be empty where there are hosts.
    pub clusters: Vec<Cluster>,
    /// `[[hosts]]`: ids unique, in the order of the file; may be empty.
    pub hosts: Vec<Host>,
    /// `[discovery]`: set where guests are kept known.
    pub discovery: Option<Discovery>,
    /// `[collectors]`: which of them run, and how.
    pub collectors: Collectors,
    /// `[events]`: set where events are looked for.
    pub events: Option<Events>,
    /// `[collectors.host]`: what is not told of hosts.
    pub host_filters: HostFilters,
}

impl Config {
    /// Whether anything may be switched with it: then there are `state_dir` and `audit_file`.
    pub fn acts(&self) -> bool {
        power::acts(&self.clusters, &self.hosts)
    }
}

/// `[web]`.
#[derive(Debug, Clone)]
pub struct Web {
    /// `listen_addresses`; default `[::]:9221`. Port 0 lets the system choose.
    pub listen_addresses: Vec<SocketAddr>,
    /// `tls`: how we prove who we are, and clients who they are; without it, plain HTTP is spoken.
    pub tls: Option<WebTls>,
    /// `basic_auth_users`: names and bcrypt hashes of passwords; empty: no password is asked for.
    pub basic_auth_users: BTreeMap<String, Secret>,
    /// `enable_lifecycle`: whether `POST /-/reload` reads the configuration again; default no.
    pub enable_lifecycle: bool,
}

/// `tls` of `[web]`: PEM files, which are read again whenever they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTls {
    /// `cert_file`: our certificate, and those between it and its authority.
    pub cert_file: PathBuf,
    /// `key_file`: the key of our certificate.
    pub key_file: PathBuf,
    /// `client_ca_file`: authorities of clients' certificates; with it, a client without such a certificate is refused.
    pub client_ca_file: Option<PathBuf>,
}

/// `[control]`.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// `tokens`: names and hashes unique; empty: nobody may use the API.
    pub tokens: Vec<ApiToken>,
    /// `allow_plaintext`: whether tokens that act are taken over plain HTTP from other machines; default no.
    pub allow_plaintext: bool,
    /// `audit_file`: where each decision is written down; default `audit.log` in `state_dir`, absent where nothing is
    /// switched.
    pub audit_file: Option<PathBuf>,
    /// `listen_addresses`: where orders are taken, and nowhere else; empty: where we listen for all.
    pub listen_addresses: Vec<ControlAddress>,
    /// `tls`: that of these addresses; sockets do without.
    pub tls: Option<WebTls>,
}

/// Who may use the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// `name`: who it is, for the log.
    pub name: String,
    /// `sha256`: what the token is known by.
    pub hash: TokenHash,
    /// `scopes`: what it allows, at least one.
    pub scopes: Vec<Scope>,
    /// `guests`: the guests that it may switch; absent: all of them.
    pub guests: Option<GuestSelection>,
}

/// `[scrape]`.
#[derive(Debug, Clone, Copy)]
pub struct Scrape {
    /// `timeout`: used where the caller names none; default 10 s.
    pub timeout: Duration,
    /// `margin`: taken off the caller's timeout so that the page arrives in time; default 500 ms.
    pub margin: Duration,
    /// `max_age`: scrapes that follow each other this closely share one round; default 1 s, 0 s switches it off.
    pub max_age: Duration,
    /// `max_body`: the largest answer that is read from a PVE API, in bytes; default 64 MiB.
    pub max_body: u64,
}

/// One `[[clusters]]` entry: a PVE cluster or a stand-alone node. Equal ones have equal secrets, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `name`: the value of the `cluster` label.
    pub name: String,
    /// `endpoints`: API addresses of members, in order of preference, at least one.
    pub endpoints: Vec<Endpoint>,
    /// `modules`: the names of the reference exporter's modules that `/pve` answers to with this cluster; may be empty.
    pub modules: Vec<String>,
    /// `node_addresses`: where nodes are asked directly, by name; may be empty.
    pub node_addresses: BTreeMap<String, Endpoint>,
    /// `token_id` with one of `token_secret…`, `username` with one of `password…`, or `token_from_ssh`.
    pub credential: Credential,
    /// `control`: the acting credential; without it nothing is switched here.
    pub control: Option<Credential>,
    /// `tls`: how an endpoint proves who it is.
    pub tls: Tls,
    /// `ssh`: set where the nodes are hosts.
    pub ssh: Option<ClusterSsh>,
    /// `mac_addresses` and `wake_address`: how nodes are woken by a packet of our own, by name; may be empty.
    pub wakes: BTreeMap<String, Wake>,
}

/// One API address; always https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address without path, such as `https://192.0.2.11:8006`; IPv6 in brackets; the port is always written.
    pub url: String,
}

/// How we prove to the API who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// An API token.
    Token {
        /// `user@realm!name`.
        id: String,
        /// The token's UUID.
        secret: Secret,
    },
    /// A user, who logs in for a ticket.
    User {
        /// `user@realm`.
        name: String,
        /// Any printable characters.
        password: Secret,
    },
    /// `token_from_ssh`: a token that a node makes anew at each start, and that is kept in memory only.
    Minted(Mint),
}

/// `token_from_ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mint {
    /// `sentinel@pve!mint-INSTANCE`.
    pub id: String,
    /// `instance`: 1 to 32 of a-z, 0-9 and "-"; default: this machine's name.
    pub instance: String,
    /// `address`: the node that makes the token; default: the first endpoint's host.
    pub address: SshAddress,
    /// Who we are there.
    pub ssh: Arc<Ssh>,
}

impl Credential {
    /// Who we are: `user@realm!name` or `user@realm`.
    pub fn identity(&self) -> &str {
        match self {
            Self::Token { id, .. } | Self::Minted(Mint { id, .. }) => id,
            Self::User { name, .. } => name,
        }
    }
}

/// How an endpoint's certificate is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Against the certificate authorities of the system.
    SystemRoots,
    /// Against the authorities in a PEM file.
    CaFile {
        /// The file, for messages.
        path: PathBuf,
        /// Its content: at least one certificate.
        pem: Vec<u8>,
    },
    /// The end-entity certificate must be one of these; names and dates are not looked at.
    Fingerprints(Vec<Fingerprint>),
    /// `insecure_skip_verify = true`: any certificate.
    Insecure,
}
