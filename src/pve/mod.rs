//! The client of the Proxmox VE API: endpoints, credential, TLS, bounded answers, lenient parsing.
//!
//! ```text
//! client     what callers may ask: the fast lane (fast), the slow lane (slow) behind the gate per node (gate)
//! asking     one attempt at one address, and what is asked in the background
//! admission  calls of a user: the login before them (login: when; ticket: what it gives), and again after a 401
//! minted     a token that somebody else gets for us
//! endpoints  which address is asked first: health of each (health), whether it belongs to the cluster (identity)
//! transport  one exchange: bounds, credential, TLS (tls, certificate), what its failure means (failure, error)
//! known      what is known of the endpoints, for those who ask how they do
//! look       the certificate that an address shows, for those who want to pin it
//! writer     who may change something: the one that sends POSTs, with a credential of its own
//! answer     → resources, status, version: lenient parsing (wire), long lists entry by entry (stream), and while they
//!            come in (entries, listing)
//! ```
//!
//! A [`Client`] belongs to one cluster. It sends nothing but `GET` and the login. A [`Writer`] sends what it is told to
//! besides; only `control` and `app` may name it. The credentials of both go only to
//! addresses that the configuration names, after their certificate was checked.

mod admission;
mod answer;
mod asking;
mod backup_jobs;
mod body;
mod certificate;
mod client;
mod credential;
mod date;
mod devices;
mod endpoints;
mod entries;
mod error;
mod failure;
mod fast;
mod gate;
mod guest_config;
mod guest_status;
mod ha_status;
mod health;
mod identity;
mod interfaces;
mod known;
mod listing;
mod login;
mod look;
mod minted;
mod node_metrics;
mod not_backed_up;
mod packages;
mod path;
mod pending;
mod permissions;
mod qdevice;
mod replication;
mod resources;
mod rows;
mod slow;
mod snapshots;
mod status;
mod stream;
mod subscription;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod ticket;
mod tls;
mod transport;
mod version;
pub mod wire;
mod writer;

pub use answer::Answer;
pub use backup_jobs::{BackupJob, backup_jobs};
pub use certificate::Details;
pub use client::{Client, Limits};
pub use devices::{Disk, Nic};
pub use error::{Error, Reason};
pub use gate::{Gate, Permit};
pub use guest_config::{GuestConfig, Startup, guest_config};
pub use guest_status::{DiskCounters, GuestStatus, NicCounters, guest_status};
pub use ha_status::{HaEntry, ha_status};
pub use interfaces::{Interface, agent_interfaces, container_interfaces};
pub use known::{Condition, KnownEndpoint};
pub use look::{Shown, shown_certificate};
pub use minted::MintedToken;
pub use node_metrics::{NodeMetric, NodeSample, node_metrics};
pub use not_backed_up::{Uncovered, not_backed_up};
pub use packages::{Package, packages};
pub use path::Path;
pub use pending::pending_changes;
pub use permissions::{Held, Permissions, grant, permissions};
pub use qdevice::{QDevice, qdevice};
pub use replication::{ReplicationJob, replication};
pub use resources::{Resource, Taker, resources};
pub use snapshots::{GuestSnapshot, snapshots};
pub use status::{StatusEntry, status};
pub use subscription::{Subscription, subscription};
pub use tasks::{TaskEntry, task_log, tasks};
pub use tls::Roots;
pub use version::{Version, version};
pub use writer::{Place, Sent, Writer};
