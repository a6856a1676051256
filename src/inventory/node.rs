//! Nodes, and the figures that nodes, guests and pools have in common.

use super::words::plain;
use crate::pve;

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
