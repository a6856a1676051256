//! Nodes, and the figures that nodes, guests and pools have in common.

use super::figure::Figure;
use super::words::plain;
use crate::pve;

/// Figures of a node, guest or pool; absent where PVE does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// A fraction of `cpu_limit`.
    pub cpu_ratio: Figure,
    /// CPUs.
    pub cpu_limit: Figure,
    /// Bytes.
    pub memory: Figure,
    /// Bytes.
    pub memory_size: Figure,
    /// Bytes.
    pub disk: Figure,
    /// Bytes.
    pub disk_size: Figure,
    /// Seconds.
    pub uptime: Figure,
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

impl Usage {
    pub(super) fn of(entry: &pve::Resource<'_>) -> Self {
        Self {
            cpu_ratio: entry.cpu.quantity().into(),
            cpu_limit: entry.maxcpu.quantity().into(),
            memory: entry.mem.quantity().into(),
            memory_size: entry.maxmem.quantity().into(),
            disk: entry.disk.quantity().into(),
            disk_size: entry.maxdisk.quantity().into(),
            uptime: entry.uptime.quantity().into(),
        }
    }
}

impl Node {
    pub(super) fn of(entry: &pve::Resource<'_>) -> Option<Self> {
        let online = entry.status.filled() == Some("online");
        Some(Self {
            name: plain(&entry.node)?.to_owned(),
            online,
            ha_state: entry.hastate.filled().map(str::to_owned),
            usage: if online { Usage::of(entry) } else { Usage::default() },
            ghost: (!online).then(|| Usage::of(entry)),
        })
    }
}

/// Whether PVE says that this node, of nodes in order, is not online. A node that is not listed has nothing said of it.
pub(super) fn is_lost(nodes: &[Node], name: &str) -> bool {
    nodes.binary_search_by(|node| node.name.as_str().cmp(name)).is_ok_and(|index| !nodes[index].online)
}
