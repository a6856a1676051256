//! `GET /nodes/{node}/network`: what `/etc/network/interfaces` says, and which of it is up; any user may ask.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Text};

/// An interface as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeInterface<'a> {
    /// Its name, such as `vmbr0`.
    #[serde(borrow)]
    pub iface: Text<'a>,
    /// `bridge`, `bond`, `eth`, `vlan`, `alias`, `OVSBridge`, `OVSBond`, …
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Whether the kernel has it and it was set up; absent where not. A cable that is out does not change it.
    pub active: Flag,
    /// Of a bridge: its ports, with blanks between them.
    #[serde(borrow)]
    bridge_ports: Text<'a>,
    /// Of an Open vSwitch bridge.
    #[serde(borrow)]
    ovs_ports: Text<'a>,
    /// Of a bond: its slaves, with blanks between them.
    #[serde(borrow)]
    slaves: Text<'a>,
    /// Of an Open vSwitch bond.
    #[serde(borrow)]
    ovs_bonds: Text<'a>,
    /// Of a bond, such as `802.3ad`.
    #[serde(borrow)]
    pub bond_mode: Text<'a>,
}

/// The interfaces. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn node_network(answer: &Answer) -> Result<Vec<NodeInterface<'_>>, Error> {
    let list: List<NodeInterface<'_>> = answer.data()?;
    shaped(answer, list, "an iface", |interface| interface.iface.filled().is_some())
}

impl NodeInterface<'_> {
    /// Whether it is a bridge or a bond.
    pub fn has_members(&self) -> bool {
        matches!(self.kind.filled(), Some("bridge" | "bond" | "OVSBridge" | "OVSBond"))
    }

    /// The names of the interfaces that it consists of.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        let list = match self.kind.filled() {
            Some("bridge") => &self.bridge_ports,
            Some("OVSBridge") => &self.ovs_ports,
            Some("OVSBond") => &self.ovs_bonds,
            _ => &self.slaves,
        };
        list.filled().unwrap_or_default().split_whitespace()
    }
}
