//! `/cluster/resources` as owned types: nodes, guests, storages and pools.

use std::cmp::Ordering;

use super::ghosts::ToldStorage;
use super::guest_list::GuestList;
use super::guests::{Memory, Reading};
use super::node::{Node, Usage, is_lost};
use super::words::{plain, sorted};
use crate::pve::{self, Answer, Error};

/// What `/cluster/resources` says, each list sorted and without doubles.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// By name.
    pub nodes: Vec<Node>,
    /// By number; lost ones with what is remembered of them.
    pub guests: GuestList,
    /// By node, then name.
    pub storages: Vec<Storage>,
    /// By name.
    pub pools: Vec<Pool>,
}

/// A storage as one node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The node.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Whether PVE says `available`; absent while the node is not online: PVE then repeats what was.
    pub available: Option<bool>,
    /// Whether it is the same on all nodes.
    pub shared: Option<bool>,
    /// Its type, such as `zfspool`; empty where PVE does not say.
    pub plugin: String,
    /// What it may hold, sorted, joined by `,`.
    pub content: String,
    /// Bytes used.
    pub used: Option<f64>,
    /// Bytes in all.
    pub size: Option<f64>,
    /// What PVE says where it is other; see [`Storage::told`].
    pub ghost: Option<ToldStorage>,
}

/// A pool: sums over its running guests.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Figures.
    pub usage: Usage,
}

impl Resources {
    /// Sorts the entries by type; `memory` fills in what PVE has forgotten, and learns what it tells.
    pub(super) fn new(answer: &Answer, memory: &mut Memory) -> Result<Self, Error> {
        let mut guests = Reading::default();
        let (mut nodes, mut storages, mut pools) = (Vec::new(), Vec::new(), Vec::new());
        pve::resources(answer, |entry| match entry.kind.filled() {
            Some("node") => nodes.extend(Node::of(entry)),
            Some("storage") => storages.extend(Storage::of(entry)),
            Some("pool") => pools.extend(Pool::of(entry)),
            _ => {
                guests.take(entry, memory);
            }
        })?;
        sort(&mut nodes, |a, b| a.name.cmp(&b.name));
        sort(&mut storages, |a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name)));
        sort(&mut pools, |a, b| a.name.cmp(&b.name));
        storages.iter_mut().filter(|storage| is_lost(&nodes, &storage.node)).for_each(Storage::lose);
        Ok(Self { guests: guests.finish(&nodes, memory), nodes, storages, pools })
    }

    /// What an answer says, without anything remembered.
    #[cfg(test)]
    pub(crate) fn read(body: &str) -> Self {
        Self::new(&Answer::of(body), &mut Memory::default()).expect("a list")
    }

    /// Whether it is news of guests: it is not empty, and not what a token without rights sees.
    pub fn tells_of_guests(&self) -> bool {
        !self.nodes.is_empty() && !self.looks_like_a_token_without_rights()
    }

    /// Whether no node shows a figure and there is no guest: how a token without rights sees a cluster.
    pub fn looks_like_a_token_without_rights(&self) -> bool {
        let told = |node: &Node| node.usage.memory.get().or(node.usage.uptime.get()).is_some();
        self.guests.is_empty() && self.nodes.iter().any(|node| node.online) && !self.nodes.iter().any(told)
    }
}

impl Storage {
    fn of(entry: &pve::Resource<'_>) -> Option<Self> {
        Some(Self {
            node: plain(&entry.node)?.to_owned(),
            name: plain(&entry.storage)?.to_owned(),
            available: entry.status.filled().map(|status| status == "available"),
            shared: entry.shared.0,
            plugin: entry.plugintype.filled().unwrap_or_default().to_owned(),
            content: sorted(entry.content.filled().unwrap_or_default(), ',').into_owned(),
            used: entry.disk.quantity(),
            size: entry.maxdisk.quantity(),
            ghost: None,
        })
    }

    /// Drops what is not true any more, though PVE may repeat it.
    fn lose(&mut self) {
        self.ghost = Some(self.told());
        self.available = None;
        self.used = None;
        self.size = None;
    }
}

impl Pool {
    fn of(entry: &pve::Resource<'_>) -> Option<Self> {
        Some(Self { name: entry.pool.filled()?.to_owned(), usage: Usage::of(entry) })
    }
}

/// Of entries that compare as equal the first one stays.
fn sort<T>(entries: &mut Vec<T>, order: impl Fn(&T, &T) -> Ordering) {
    entries.sort_by(&order);
    entries.dedup_by(|a, b| order(a, b).is_eq());
}
