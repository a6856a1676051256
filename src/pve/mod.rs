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
mod apt;
mod asking;
mod backup_jobs;
mod backup_volumes;
mod body;
mod ceph;
mod ceph_osds;
mod ceph_pools;
mod certificate;
mod certificates;
mod client;
mod credential;
mod date;
mod devices;
mod disks;
mod endpoints;
mod entries;
mod error;
mod failure;
mod fast;
mod gate;
mod guest_agent;
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
mod loose;
mod lvm_thin;
mod minted;
mod node_metrics;
mod node_network;
mod node_pressure;
mod node_status;
mod node_storage;
mod node_time;
mod not_backed_up;
mod packages;
mod path;
mod pending;
mod permissions;
mod qdevice;
mod replication;
mod resources;
mod rows;
mod sdn;
mod services;
mod shown;
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
mod tokens;
mod transport;
mod version;
mod vzdump;
pub mod wire;
mod writer;
mod zfs;

pub use answer::Answer;
pub use apt::{Repositories, Update, repositories, updates};
pub use backup_jobs::{BackupJob, backup_jobs};
pub use backup_volumes::{BackupVolume, backup_volumes};
pub use ceph::{CephStatus, PgMap, ceph_status};
pub use ceph_osds::{CephOsd, CephOsds, ceph_osds};
pub use ceph_pools::{CephPool, CephPoolStatistics, ceph_pool_statistics, ceph_pools};
pub use certificate::Details;
pub use certificates::{Certificate, certificates};
pub use client::{Client, Limits};
pub use devices::{GuestDisk, Nic, is_disk};
pub use disks::{Disk, Smart, disks, smart};
pub use error::{Error, Reason};
pub use gate::{Gate, Permit};
pub use guest_agent::{FileSystem, Heard, OsInfo, agent_file_systems, agent_heard, agent_label, agent_os, agent_time};
pub use guest_config::{GuestConfig, Startup, guest_config};
pub use guest_status::{DiskCounters, GuestStatus, NicCounters, guest_status};
pub use ha_status::{HaEntry, ha_status};
pub use interfaces::{Interface, agent_interfaces, container_interfaces};
pub use known::{Condition, KnownEndpoint};
pub use look::{Shown, shown_certificate};
pub use lvm_thin::{ThinPool, thin_pools};
pub use minted::MintedToken;
pub use node_metrics::{NodeMetric, NodeSample, node_metrics};
pub use node_network::{NodeInterface, node_network};
pub use node_pressure::{NodePressure, node_pressure};
pub use node_status::{NodeStatus, node_status};
pub use node_storage::{NodeStorage, node_storages};
pub use node_time::clock_offset;
pub use not_backed_up::{Uncovered, not_backed_up};
pub use packages::{Package, packages};
pub use path::Path;
pub use pending::pending_changes;
pub use permissions::{Held, Permissions, grant, permissions};
pub use qdevice::{QDevice, qdevice};
pub use replication::{ReplicationFault, ReplicationJob, replication};
pub use resources::{Resource, Taker, resources};
pub use sdn::{SdnZone, sdn_zones};
pub use services::{Service, services};
pub use shown::ShownAt;
pub use snapshots::{GuestSnapshot, snapshots};
pub use status::{StatusEntry, status};
pub use subscription::{Subscription, subscription};
pub use tasks::{TaskEntry, task_log, tasks, whole_task_log};
pub use tls::Roots;
pub use tokens::{Token, User, users};
pub use version::{Version, version};
pub use vzdump::{VzdumpGuest, VzdumpLine, VzdumpLog, vzdump_line};
pub use writer::{Place, Sent, Writer};
pub use zfs::{Scan, ZfsPool, ZfsStatus, zfs_pools, zfs_status};
