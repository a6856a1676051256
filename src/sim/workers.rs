//! How busy and how well the nodes of a cluster are: shared by its endpoints, since each passes calls on to the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::server::lock;

/// How a node's API server is, beside what the world says of the node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeState {
    /// Answers at once.
    #[default]
    Well,
    /// Refuses connections at once; its port is kept for its return. Other endpoints answer 595 `Connection refused` for it.
    Dead,
    /// Accepts connections and requests and never answers them. Other endpoints answer 596 for it after 30 s.
    Hung,
    /// Answers this much later, whoever asks.
    Slow(Duration),
}

/// Requests on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeLoad {
    /// Calls in progress, but those of the fast lane; the abandoned ones too, until their worker would be done.
    pub open: u32,
    /// The most of these at once so far.
    pub most: u32,
    /// Those of them that can block their worker: agents, storages, disks, replication, `/cluster/metrics/export`.
    pub blocking_open: u32,
    /// The most of these at once so far.
    pub blocking_most: u32,
    /// The same of the fast lane: `/cluster/resources`, `/cluster/status`, `/version` and `/nodes`.
    pub fast_open: u32,
    /// The most of these at once so far.
    pub fast_most: u32,
}

/// A share of the workers of a cluster's nodes.
#[derive(Clone, Default)]
pub(super) struct Workers(Arc<Mutex<BTreeMap<String, Node>>>);

/// What a call means for its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// One of the fast lane.
    Fast,
    /// A short one.
    Quick,
    /// One that can block.
    Blocking,
}

#[derive(Default)]
struct Node {
    state: NodeState,
    slow: Lane,
    blocking: Lane,
    fast: Lane,
}

#[derive(Default)]
struct Lane {
    held: u32,
    /// When the workers of abandoned calls will be done.
    lingering: Vec<Instant>,
    most: u32,
}

/// A call's place at a node's worker, free again when this is dropped.
pub(super) struct Place {
    workers: Workers,
    node: String,
    work: Work,
    busy_until: Option<Instant>,
}

impl Workers {
    /// All idle.
    pub(super) fn new(nodes: &[String]) -> Self {
        Self(Arc::new(Mutex::new(nodes.iter().map(|name| (name.clone(), Node::default())).collect())))
    }

    /// A call for a node begins.
    pub(super) fn enter(&self, node: &str, work: Work) -> Place {
        let mut nodes = lock(&self.0);
        for lane in nodes.entry(node.to_owned()).or_default().lanes(work) {
            lane.held += 1;
            lane.most = lane.most.max(lane.open());
        }
        Place { workers: self.clone(), node: node.to_owned(), work, busy_until: None }
    }

    /// What is going on, by node.
    pub(super) fn load(&self) -> BTreeMap<String, NodeLoad> {
        let load = |node: &mut Node| NodeLoad {
            open: node.slow.open(),
            most: node.slow.most,
            blocking_open: node.blocking.open(),
            blocking_most: node.blocking.most,
            fast_open: node.fast.open(),
            fast_most: node.fast.most,
        };
        lock(&self.0).iter_mut().map(|(name, node)| (name.clone(), load(node))).collect()
    }

    /// Counts the most at once anew, from what is going on now.
    pub(super) fn reset(&self) {
        for node in lock(&self.0).values_mut() {
            for lane in [&mut node.slow, &mut node.blocking, &mut node.fast] {
                lane.most = lane.open();
            }
        }
    }

    /// How a node is; an unknown one is well.
    pub(super) fn state(&self, node: &str) -> NodeState {
        lock(&self.0).get(node).map(|node| node.state).unwrap_or_default()
    }

    /// A dead node's workers have nothing left to do.
    pub(super) fn set_state(&self, node: &str, state: NodeState) {
        let mut nodes = lock(&self.0);
        let node = nodes.entry(node.to_owned()).or_default();
        node.state = state;
        if state == NodeState::Dead {
            for lane in [&mut node.slow, &mut node.blocking, &mut node.fast] {
                lane.lingering.clear();
            }
        }
    }
}

impl Place {
    /// The worker will be busy for so long from now, whether or not somebody still waits for it.
    pub(super) fn keep_busy(&mut self, time: Duration) {
        self.busy_until = Some(Instant::now() + time);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(node) = lock(&self.workers.0).get_mut(&self.node) {
            let busy_until = self.busy_until.filter(|_| node.state != NodeState::Dead);
            for lane in node.lanes(self.work) {
                lane.held -= 1;
                lane.lingering.extend(busy_until);
            }
        }
    }
}

impl Node {
    /// Where a call counts.
    fn lanes(&mut self, work: Work) -> Vec<&mut Lane> {
        match work {
            Work::Fast => vec![&mut self.fast],
            Work::Quick => vec![&mut self.slow],
            Work::Blocking => vec![&mut self.slow, &mut self.blocking],
        }
    }
}

impl Lane {
    fn open(&mut self) -> u32 {
        let now = Instant::now();
        self.lingering.retain(|until| *until > now);
        self.held + u32::try_from(self.lingering.len()).unwrap_or(u32::MAX - self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(workers: &Workers) -> (u32, u32) {
        let load = workers.load()["pve1"];
        (load.open, load.most)
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_call_counts_until_its_worker_would_be_done() {
        let workers = Workers::new(&["pve1".to_owned()]);
        let mut abandoned = workers.enter("pve1", Work::Quick);
        abandoned.keep_busy(Duration::from_secs(30));
        drop(abandoned);
        tokio::time::advance(Duration::from_secs(29)).await;
        let answered = workers.enter("pve1", Work::Quick);
        assert_eq!(load(&workers), (2, 2));
        drop(answered);
        assert_eq!(load(&workers), (1, 2));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(load(&workers), (0, 2));
        workers.reset();
        assert_eq!(load(&workers), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_still_waited_for_counts_beyond_that() {
        let workers = Workers::new(&["pve1".to_owned()]);
        let mut waiting = workers.enter("pve1", Work::Quick);
        waiting.keep_busy(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(load(&workers), (1, 1));
        drop(waiting);
        assert_eq!(load(&workers), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_and_nodes_are_counted_apart() {
        let workers = Workers::new(&["pve1".to_owned(), "pve2".to_owned()]);
        let _fast = workers.enter("pve1", Work::Fast);
        let _slow = [workers.enter("pve1", Work::Quick), workers.enter("pve1", Work::Blocking)];
        let (blocking_open, blocking_most) = (1, 1);
        let expected = NodeLoad { open: 2, most: 2, blocking_open, blocking_most, fast_open: 1, fast_most: 1 };
        assert_eq!(workers.load()["pve1"], expected);
        assert_eq!(workers.load()["pve2"], NodeLoad::default());
        workers.reset();
        assert_eq!(load(&workers), (2, 2), "what goes on is still counted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_node_has_nothing_to_do() {
        let workers = Workers::new(&["pve1".to_owned()]);
        for dead_before in [false, true] {
            let mut place = workers.enter("pve1", Work::Quick);
            place.keep_busy(Duration::from_secs(30));
            if dead_before {
                workers.set_state("pve1", NodeState::Dead);
            }
            drop(place);
            workers.set_state("pve1", NodeState::Dead);
            assert_eq!(workers.load()["pve1"].open, 0);
            workers.set_state("pve1", NodeState::Well);
        }
    }
}
