//! Nodes that are on their way out: two that go at once may cost a quorum that neither of them would cost alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::super::keep::Keep;

/// Nodes that somebody switches off now.
#[derive(Default)]
pub(in super::super) struct Leaving {
    /// Who decides whether a node may go: one at a time in each cluster.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Clusters and nodes, one for each order.
    nodes: Mutex<Vec<(String, String)>>,
}

/// A node that is on its way out, until this is dropped.
pub(super) struct OnItsWay {
    keep: Arc<Keep>,
    node: (String, String),
}

impl Leaving {
    /// Waits until nobody else decides about a node of a cluster; others wait until this is dropped.
    pub(super) async fn turn(&self, cluster: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(cluster.to_owned()).or_default())
        };
        turn.lock_owned().await
    }

    /// Those of a cluster.
    pub(super) fn of(&self, cluster: &str) -> Vec<String> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nodes: Vec<String> =
            nodes.iter().filter(|(of, _)| of == cluster).map(|(_, node)| node.clone()).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }
}

impl OnItsWay {
    pub(super) fn new(keep: &Arc<Keep>, cluster: &str, node: &str) -> Self {
        let node = (cluster.to_owned(), node.to_owned());
        keep.leaving.nodes.lock().unwrap_or_else(PoisonError::into_inner).push(node.clone());
        Self { keep: Arc::clone(keep), node }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut nodes = self.keep.leaving.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = nodes.iter().position(|node| *node == self.node) {
            nodes.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_decides_in_one_cluster_keeps_nobody_of_another_waiting() {
        let leaving = Leaving::default();
        let first = leaving.turn("home").await;
        let other = tokio::time::timeout(Duration::ZERO, leaving.turn("lab")).await;
        assert!(other.is_ok() && tokio::time::timeout(Duration::ZERO, leaving.turn("home")).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(Duration::ZERO, leaving.turn("home")).await.is_ok());
    }

    #[test]
    fn a_node_is_on_its_way_as_long_as_somebody_sends_it() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Arc::new(Keep::open(folder.path(), 0).unwrap());
        let first = OnItsWay::new(&keep, "home", "pve1");
        let second = OnItsWay::new(&keep, "home", "pve1");
        let _other = OnItsWay::new(&keep, "lab", "pve2");
        assert_eq!(keep.leaving.of("home"), ["pve1"]);
        drop(first);
        assert_eq!(keep.leaving.of("home"), ["pve1"]);
        drop(second);
        assert!(keep.leaving.of("home").is_empty() && keep.leaving.of("lab") == ["pve2"]);
    }
}
