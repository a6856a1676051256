//! Nodes, storages and pools of `/cluster/resources`, as owned types.

use super::ghosts::ToldStorage;
use super::guests::{Guest, Memory};
use crate::pve;

/// What `/cluster/resources` says, each list sorted and without doubles.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    /// By name.
    pub nodes: Vec<Node>,
    /// By number; lost ones with what is remembered of them.
    pub guests: Vec<Guest>,
    /// By node, then name.
    pub storages: Vec<Storage>,
    /// By name.
    pub pools: Vec<Pool>,
}

/// Figures of a node, guest or pool; absent where PVE does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// A fraction of `cpu_limit`.
    pub cpu_ratio: Option<f64>,
    /// CPUs.
    pub cpu_limit: Option<f64>,
    /// Bytes.
    pub memory: Option<f64>,
    /// Bytes.
    pub memory_size: Option<f64>,
    /// Bytes.
    pub disk: Option<f64>,
    /// Bytes.
    pub disk_size: Option<f64>,
    /// Seconds.
    pub uptime: Option<f64>,
}

/// A node; one that is not online has no figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether PVE says `online`; `offline` and `unknown` are not.
    pub online: bool,
    /// The HA manager's word for it, such as `online` or `maintenance`.
    pub ha_state: Option<String>,
    /// Figures.
    pub usage: Usage,
    /// What PVE says where it is other; see [`Node::told`].
    pub ghost: Option<Usage>,
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
    pub(super) fn new(entries: &[pve::Resource<'_>], memory: &mut Memory) -> Self {
        let mut resources =
            Self { nodes: nodes(entries), guests: Vec::new(), storages: Vec::new(), pools: pools(entries) };
        resources.guests = memory.guests(entries, &resources.nodes);
        resources.storages = storages(entries, &resources.nodes);
        resources
    }

    /// What an answer says, without anything remembered.
    #[cfg(test)]
    pub(crate) fn read(body: &str) -> Self {
        let answer = pve::Answer::of(body);
        Self::new(&pve::resources(&answer).expect("a list"), &mut Memory::default())
    }

    /// Whether no node shows a figure and there is no guest: how a token without rights sees a cluster.
    pub fn looks_like_a_token_without_rights(&self) -> bool {
        let told = |node: &Node| node.usage.memory.is_some() || node.usage.uptime.is_some();
        self.guests.is_empty() && self.nodes.iter().any(|node| node.online) && !self.nodes.iter().any(told)
    }
}

impl Usage {
    pub(super) fn of(entry: &pve::Resource<'_>) -> Self {
        Self {
            cpu_ratio: entry.cpu.quantity(),
            cpu_limit: entry.maxcpu.quantity(),
            memory: entry.mem.quantity(),
            memory_size: entry.maxmem.quantity(),
            disk: entry.disk.quantity(),
            disk_size: entry.maxdisk.quantity(),
            uptime: entry.uptime.quantity(),
        }
    }
}

/// Whether PVE says that this node is not online. A node that is not listed has nothing said of it.
pub(super) fn is_lost(nodes: &[Node], name: &str) -> bool {
    nodes.binary_search_by(|node| node.name.as_str().cmp(name)).is_ok_and(|index| !nodes[index].online)
}

fn nodes(entries: &[pve::Resource<'_>]) -> Vec<Node> {
    let mut nodes: Vec<Node> = of_kind(entries, "node")
        .filter_map(|entry| {
            let online = entry.status.filled() == Some("online");
            Some(Node {
                name: plain(&entry.node)?.to_owned(),
                online,
                ha_state: entry.hastate.filled().map(str::to_owned),
                usage: if online { Usage::of(entry) } else { Usage::default() },
                ghost: (!online).then(|| Usage::of(entry)),
            })
        })
        .collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes.dedup_by(|a, b| a.name == b.name);
    nodes
}

fn storages(entries: &[pve::Resource<'_>], nodes: &[Node]) -> Vec<Storage> {
    let mut storages: Vec<Storage> = of_kind(entries, "storage")
        .filter_map(|entry| {
            let node = plain(&entry.node)?.to_owned();
            let lost = is_lost(nodes, &node);
            Some(Storage {
                name: plain(&entry.storage)?.to_owned(),
                available: entry.status.filled().filter(|_| !lost).map(|status| status == "available"),
                shared: entry.shared.0,
                plugin: entry.plugintype.filled().unwrap_or_default().to_owned(),
                content: sorted(entry.content.filled().unwrap_or_default(), ','),
                used: entry.disk.quantity().filter(|_| !lost),
                size: entry.maxdisk.quantity().filter(|_| !lost),
                ghost: lost.then(|| ToldStorage::of(entry)),
                node,
            })
        })
        .collect();
    storages.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name)));
    storages.dedup_by(|a, b| (&a.node, &a.name) == (&b.node, &b.name));
    storages
}

fn pools(entries: &[pve::Resource<'_>]) -> Vec<Pool> {
    let mut pools: Vec<Pool> = of_kind(entries, "pool")
        .filter_map(|entry| Some(Pool { name: entry.pool.filled()?.to_owned(), usage: Usage::of(entry) }))
        .collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    pools.dedup_by(|a, b| a.name == b.name);
    pools
}

/// A name as PVE allows it for nodes and storages: without the slash that separates them in an id.
fn plain<'e>(name: &'e pve::wire::Text<'_>) -> Option<&'e str> {
    name.filled().filter(|name| !name.contains('/'))
}

fn of_kind<'e, 'a>(entries: &'e [pve::Resource<'a>], kind: &str) -> impl Iterator<Item = &'e pve::Resource<'a>> {
    entries.iter().filter(move |entry| entry.kind.filled() == Some(kind))
}

/// The parts of a joined list in alphabetical order: PVE's order changes from answer to answer.
pub(super) fn sorted(text: &str, separator: char) -> String {
    let mut parts: Vec<&str> = text.split(separator).map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.sort_unstable();
    parts.join(separator.encode_utf8(&mut [0; 4]))
}
