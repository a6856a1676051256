//! A guest as it is told to others, and which ones they ask for.

use serde::Serialize;

use super::address::Address;
use super::registry::Known;
use crate::api::whole;

/// A guest as `/api/v1/guests` tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guest {
    /// `{cluster}-vm-{vmid}`: never changes.
    pub id: String,
    /// The configured name of its cluster.
    pub cluster: String,
    /// Its number, unique in the cluster.
    pub vmid: u64,
    /// `qemu` or `lxc`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name; null where it was never told.
    pub name: Option<String>,
    /// The node it is on, or was last.
    pub node: String,
    /// PVE's own word, or `unknown` while its node is not online.
    pub status: String,
    /// Always false: templates are no guests.
    pub template: bool,
    /// Sorted.
    pub tags: Vec<String>,
    /// The pool it belongs to.
    pub pool: Option<String>,
    /// The configuration's lock, such as `backup`.
    pub lock: Option<String>,
    /// The HA manager's word; null where it is not HA-managed.
    pub ha_state: Option<String>,
    /// Seconds since its start.
    pub uptime_seconds: Option<u64>,
    /// When it was first seen since the exporter started, in seconds since 1970.
    pub first_seen: i64,
    /// When PVE last listed it, in seconds since 1970.
    pub last_seen: i64,
    /// All that it told, in its own order; empty where it was not asked yet or did not answer.
    pub addresses: Vec<Address>,
}

/// Which guests are meant: all of them, unless something is said. Several words for the same are alternatives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Configured names of clusters.
    pub clusters: Vec<String>,
    /// Names of nodes.
    pub nodes: Vec<String>,
    /// Tags; one of them is enough.
    pub tags: Vec<String>,
    /// Names of pools.
    pub pools: Vec<String>,
    /// PVE's words, or `unknown`.
    pub statuses: Vec<String>,
    /// `qemu` or `lxc`.
    pub kinds: Vec<String>,
    /// Numbers.
    pub vmids: Vec<u64>,
}

impl Guest {
    pub(super) fn new(cluster: &str, known: &Known, addresses: Vec<Address>) -> Self {
        let identity = &known.identity;
        Self {
            id: id(cluster, identity.vmid),
            cluster: cluster.to_owned(),
            vmid: identity.vmid,
            kind: identity.kind.as_str(),
            name: identity.name.as_deref().map(str::to_owned),
            node: known.node.to_string(),
            status: known.word().to_owned(),
            template: false,
            tags: tags(known).map(str::to_owned).collect(),
            pool: identity.pool.as_deref().map(str::to_owned),
            lock: known.lock.as_deref().map(str::to_owned),
            ha_state: known.ha_state.as_deref().map(str::to_owned),
            uptime_seconds: whole(known.uptime),
            first_seen: known.first_seen,
            last_seen: known.last_seen,
            addresses,
        }
    }

    /// The address to reach it at, if it told one.
    pub fn primary(&self) -> Option<&Address> {
        self.addresses.iter().find(|address| address.primary)
    }
}

impl Filter {
    /// Whether guests of this cluster can be meant.
    pub fn has_cluster(&self, cluster: &str) -> bool {
        says(&self.clusters, cluster)
    }

    pub(super) fn has(&self, known: &Known) -> bool {
        let identity = &known.identity;
        says(&self.nodes, &known.node)
            && says(&self.statuses, known.word())
            && says(&self.kinds, identity.kind.as_str())
            && (self.pools.is_empty() || identity.pool.as_deref().is_some_and(|pool| says(&self.pools, pool)))
            && (self.tags.is_empty() || tags(known).any(|tag| says(&self.tags, tag)))
            && (self.vmids.is_empty() || self.vmids.contains(&identity.vmid))
    }
}

/// The stable id of a guest.
pub fn id(cluster: &str, vmid: u64) -> String {
    format!("{cluster}-vm-{vmid}")
}

/// Its tags, sorted.
pub(super) fn tags(known: &Known) -> impl Iterator<Item = &str> + Clone {
    known.identity.tags.split(';').filter(|tag| !tag.is_empty())
}

fn says(words: &[String], word: &str) -> bool {
    words.is_empty() || words.iter().any(|said| said == word)
}
