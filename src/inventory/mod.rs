//! What is known of a cluster: one typed snapshot, fetched once for all who ask, what is remembered of lost
//! guests, and books of what tasks told.

mod addresses;
mod backups;
mod cluster;
mod figure;
mod ghosts;
mod guest_list;
mod guests;
mod learned;
mod node;
mod resources;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view;
mod words;

pub use crate::pve::Interface;
pub use addresses::{Addresses, Network, Running};
pub use backups::{Attempt, BackupBook, BackupTask, GuestBackups, JobRun};
pub use cluster::{ClusterEntry, ClusterStatus, Member, Release};
pub use figure::Figure;
pub use ghosts::{Ghost, ToldGuest, ToldStorage};
pub use guest_list::GuestList;
pub use guests::{Guest, GuestKind, Identity, Traffic};
pub use learned::Learned;
pub use node::{Node, Usage};
pub use resources::{Pool, Resources, Storage};
pub use tasks::{FinishedKey, TaskBook, TaskOutcome, task_kind};
pub use view::{Inventory, Snapshot, View};
