//! `GET /cluster/status`: membership and quorum; needs `Sys.Audit` on `/`.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Flag, List, Text};

/// One entry as PVE sends it: the cluster (absent on a stand-alone node) or a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusEntry<'a> {
    /// `cluster` or `node`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// The name of the cluster or node.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Cluster: how many nodes it has, lost ones included.
    #[serde(borrow)]
    pub nodes: Text<'a>,
    /// Cluster: whether the answering side has a majority.
    pub quorate: Flag,
    /// Cluster: the version of the corosync configuration.
    #[serde(borrow)]
    pub version: Text<'a>,
    /// Node: corosync's number; 0 on a stand-alone node.
    #[serde(borrow)]
    pub nodeid: Text<'a>,
    /// Node: whether it is a member now.
    pub online: Flag,
    /// Node: whether it is the one that answers.
    pub local: Flag,
    /// Node: the subscription level, often empty.
    #[serde(borrow)]
    pub level: Text<'a>,
    /// Node: its address.
    #[serde(borrow)]
    pub ip: Text<'a>,
}

/// The entries. An answer without a single named node is malformed.
pub fn status(answer: &Answer) -> Result<Vec<StatusEntry<'_>>, Error> {
    let list: List<StatusEntry<'_>> = answer.data()?;
    let named_node = |entry: &StatusEntry<'_>| entry.kind.filled() == Some("node") && entry.name.filled().is_some();
    if !list.items.iter().any(named_node) {
        return Err(answer.malformed(format!(
            "none of its {} entries is a node with a name; expected at least the node that answers",
            list.items.len() + list.skipped
        )));
    }
    Ok(list.items)
}
