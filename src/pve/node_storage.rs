//! `GET /nodes/{node}/storage`: the storages as a node finds them when it tries to use each; those with `Datastore.Audit`.
//!
//! It also names storages that are switched off or meant for other nodes. One that hangs, such as a lost NFS server, can
//! hold up the answer of all.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Number, Text};

/// A storage as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStorage<'a> {
    /// Its name.
    #[serde(borrow)]
    pub storage: Text<'a>,
    /// Kinds of content that are allowed, with commas between them, in any order.
    #[serde(borrow)]
    pub content: Text<'a>,
    /// Whether it is switched on, and meant for this node.
    pub enabled: Flag,
    /// Whether it can be used.
    pub active: Flag,
    /// Size in bytes; 0 where it is not known.
    pub total: Number,
    /// Bytes that are left for guests and backups, which can be less than size less use; 0 where it is not known.
    pub avail: Number,
}

/// The storages. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn node_storages(answer: &Answer) -> Result<Vec<NodeStorage<'_>>, Error> {
    let list: List<NodeStorage<'_>> = answer.data()?;
    shaped(answer, list, "a storage", |storage| storage.storage.filled().is_some())
}

impl NodeStorage<'_> {
    /// The kinds of content, each once, in order.
    pub fn contents(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self
            .content
            .filled()
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|kind| !kind.is_empty())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}
