//! The read-only client of the Proxmox VE API: endpoints, credential, TLS, bounded answers, lenient parsing.
//!
//! A [`Client`] belongs to one cluster. It sends nothing but `GET`, and its credential goes only to the endpoints that
//! the configuration names, after their certificate was checked.

mod certificate;
mod client;
mod date;
mod error;
mod guest_config;
mod node_metrics;
mod not_backed_up;
mod qdevice;
mod replication;
mod resources;
mod rows;
mod status;
mod subscription;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod version;
pub mod wire;

pub use client::{Answer, Client, Limits};
pub use error::{Error, Reason};
pub use guest_config::{GuestConfig, guest_config};
pub use node_metrics::{NodeMetric, NodeSample, node_metrics};
pub use not_backed_up::{Uncovered, not_backed_up};
pub use qdevice::{QDevice, qdevice};
pub use replication::{ReplicationJob, replication};
pub use resources::{Resource, resources};
pub use status::{StatusEntry, status};
pub use subscription::{Subscription, subscription};
pub use tls::Roots;
pub use version::{Version, version};
