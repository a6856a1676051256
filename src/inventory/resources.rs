//! `/cluster/resources` as owned types: nodes, guests, storages and pools.

use std::cmp::Ordering;
use std::sync::Arc;

use super::ghosts::ToldStorage;
use super::guest_list::GuestList;
use super::guests::{Memory, Reading};
use super::node::{Node, Usage, is_lost};
use super::words::{plain, sorted};
use crate::pve;

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

/// What `/cluster/resources` has said so far.
pub(super) struct Draft {
    nodes: Vec<Node>,
    guests: Reading,
    storages: Vec<Storage>,
    pools: Vec<Pool>,
}

impl Draft {
    /// What PVE has forgotten will be filled in from the memory.
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { nodes: Vec::new(), guests: Reading::new(memory), storages: Vec::new(), pools: Vec::new() }
    }

    /// What there is when all entries are taken; `memory` learns of it.
    pub(super) fn finish(self, memory: &mut Arc<Memory>) -> Resources {
        let Self { mut nodes, guests, mut storages, mut pools } = self;
        sort(&mut nodes, |a, b| a.name.cmp(&b.name));
        sort(&mut storages, |a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name)));
        sort(&mut pools, |a, b| a.name.cmp(&b.name));
        storages.iter_mut().filter(|storage| is_lost(&nodes, &storage.node)).for_each(Storage::lose);
        Resources { guests: guests.finish(&nodes, memory), nodes, storages, pools }
    }
}

impl pve::Taker for Draft {
    fn take(&mut self, entry: &pve::Resource<'_>) {
        match entry.kind.filled() {
            Some("node") => self.nodes.extend(Node::of(entry)),
            Some("storage") => self.storages.extend(Storage::of(entry)),
            Some("pool") => self.pools.extend(Pool::of(entry)),
            _ => {
                self.guests.take(entry);
            }
        }
    }
}

impl Resources {
    /// What an answer says, without anything remembered.
    #[cfg(test)]
    pub(crate) fn read(body: &str) -> Self {
        Self::learnt(body, &mut Arc::default())
    }

    /// What an answer says.
    #[cfg(test)]
    pub(super) fn learnt(body: &str, memory: &mut Arc<Memory>) -> Self {
        let mut draft = Draft::new(Arc::clone(memory));
        pve::resources(&pve::Answer::of(body), |entry| pve::Taker::take(&mut draft, entry)).expect("a list");
        draft.finish(memory)
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
