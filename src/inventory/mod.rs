//! What is known of a cluster: one typed snapshot, fetched once for all who ask, and what is remembered of lost guests.

mod cluster;
mod ghosts;
mod guests;
mod resources;
mod view;

pub use cluster::{ClusterEntry, ClusterStatus, Member, Release};
pub use ghosts::{Ghost, ToldGuest, ToldStorage};
pub use guests::{Guest, GuestKind, Identity, Traffic};
pub use resources::{Node, Pool, Resources, Storage, Usage};
pub use view::{Inventory, View};
