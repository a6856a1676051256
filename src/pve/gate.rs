//! The gate: how much of the slow lane may be under way on one node.
//!
//! A node answers the API with three pveproxy and three pvedaemon workers, which its users need too. A call that was
//! given up still occupies its worker, so its place stays taken: 60 s, doubling with each further one of its kind on
//! that node up to 16 min, until one of its kind is answered well. Calls that can block and those that cannot double on
//! their own: a configuration that is read in no time says nothing about a storage that hangs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Calls of the slow lane under way on one node.
const MOST: usize = 2;
/// How many of them can block their worker.
const MOST_BLOCKING: usize = 1;
/// How long the first call that was given up keeps its place.
const HOLD: Duration = Duration::from_secs(60);
/// What doubling leads to at most.
const LONGEST_HOLD: Duration = Duration::from_mins(16);

/// The gates of all nodes of a cluster. Nodes are told apart by name; until it is known which node an endpoint is, its
/// address stands in, and then counts for every node.
pub struct Gate(Arc<Shared>);

/// A place at a node's gate, free again when dropped, or later if its call was given up.
pub struct Permit {
    gate: Arc<Shared>,
    id: u64,
    node: String,
    blocks: bool,
    given_up: AtomicBool,
    /// One place is one call at a time.
    turn: tokio::sync::Mutex<()>,
}

/// A call under way on a place; given up if dropped.
pub(super) struct Flight<'a> {
    permit: &'a Permit,
    landed: bool,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// As hoped: the node is well.
    Well,
    /// Otherwise, and nothing is left of it on the node.
    Badly,
    /// Its worker may still be at it.
    GivenUp,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Node>,
    last_id: u64,
}

#[derive(Default)]
struct Node {
    places: Vec<Place>,
    /// Calls given up in a row: those that cannot block, those that can.
    given_up: [u32; 2],
    last_given_up: Option<Instant>,
}

struct Place {
    id: u64,
    blocks: bool,
    /// Absent while its permit lives.
    until: Option<Instant>,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), changed: Notify::new() }))
    }
}

impl Gate {
    /// A place on the node for one call at a time, if there is one now. `blocks`: the call can block its worker.
    pub fn try_enter(&self, node: &str, blocks: bool) -> Option<Permit> {
        let now = Instant::now();
        let mut state = self.0.state();
        state.clean(now);
        let (all, blocking) = state.taken(node);
        if all >= MOST || (blocks && blocking >= MOST_BLOCKING) {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        state.nodes.entry(node.to_owned()).or_default().places.push(Place { id, blocks, until: None });
        drop(state);
        let (given_up, turn) = (AtomicBool::new(false), tokio::sync::Mutex::default());
        Some(Permit { gate: Arc::clone(&self.0), id, node: node.to_owned(), blocks, given_up, turn })
    }

    /// Waits for a place. Nobody is first in line: whoever looks first gets it.
    pub async fn enter(&self, node: &str, blocks: bool) -> Permit {
        loop {
            let changed = self.changed();
            if let Some(permit) = self.try_enter(node, blocks) {
                return permit;
            }
            changed.await;
        }
    }

    /// Whether a call that was given up keeps a place on the node.
    pub(super) fn is_held(&self, node: &str) -> bool {
        let (now, state) = (Instant::now(), self.0.state());
        let is_kept = |place: &Place| place.until.is_some_and(|until| until > now);
        state.nodes.get(node).is_some_and(|node| node.places.iter().any(is_kept))
    }

    /// Ends when a place may have become free after this was called: call it, try to enter, then wait for it.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<'_> {
        let changed = self.0.changed.notified();
        let next = self.0.state().next_end(Instant::now());
        async move {
            match next {
                Some(end) => tokio::select! { () = changed => {}, () = sleep_until(end) => {} },
                None => changed.await,
            }
        }
    }

    /// It has become known which node an address is: what was counted for the address counts for the node.
    pub(super) fn rename(&self, address: &str, node: &str) {
        let mut state = self.0.state();
        let Some(mut moved) = state.nodes.remove(address) else { return };
        let known = state.nodes.entry(node.to_owned()).or_default();
        known.places.append(&mut moved.places);
        for (known, moved) in known.given_up.iter_mut().zip(moved.given_up) {
            *known = (*known).max(moved);
        }
        known.last_given_up = known.last_given_up.max(moved.last_given_up);
        drop(state);
        self.0.changed.notify_waiters();
    }

    #[cfg(test)]
    fn nodes(&self) -> usize {
        self.0.state().nodes.len()
    }
}

impl Permit {
    /// The node, or the address that stands in for it.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether its calls can block their worker.
    pub fn blocks(&self) -> bool {
        self.blocks
    }

    /// Gives the place back; says until when it stays taken, if its call was given up.
    pub fn leave(self) -> Option<Instant> {
        let (gate, id) = (Arc::clone(&self.gate), self.id);
        drop(self);
        let mut state = gate.state();
        let (node, index) = state.find(id)?;
        node.places.get(index)?.until
    }

    /// Starts a call, when those before it have ended. `None` if one of them was given up: the place is lost.
    pub(super) async fn fly(&self) -> Option<Flight<'_>> {
        let turn = self.turn.lock().await;
        let lost = self.given_up.load(Ordering::Relaxed);
        (!lost).then_some(Flight { permit: self, landed: false, _turn: turn })
    }
}

impl Flight<'_> {
    /// The call has ended.
    pub(super) fn land(mut self, ended: Ended) {
        self.landed = true;
        match ended {
            Ended::Well => self.permit.gate.answered(self.permit.id),
            Ended::Badly => {}
            Ended::GivenUp => self.permit.given_up.store(true, Ordering::Relaxed),
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.landed {
            self.permit.given_up.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave(self.id, self.given_up.load(Ordering::Relaxed));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, id: u64, given_up: bool) {
        let mut state = self.state();
        if let Some((node, index)) = state.find(id) {
            if given_up {
                node.keep(index, Instant::now());
            } else {
                node.places.swap_remove(index);
            }
        }
        state.clean(Instant::now());
        drop(state);
        self.changed.notify_waiters();
    }

    fn answered(&self, id: u64) {
        if let Some((node, index)) = self.state().find(id)
            && let Some(place) = node.places.get(index)
        {
            node.given_up[usize::from(place.blocks)] = 0;
        }
    }
}

impl State {
    /// Forgets places whose time is over, and nodes of which nothing is left to know.
    fn clean(&mut self, now: Instant) {
        self.nodes.retain(|_, node| {
            node.places.retain(|place| place.until.is_none_or(|until| until > now));
            let remembered = node.given_up != [0, 0]
                && node.last_given_up.is_some_and(|last| now.duration_since(last) < 2 * LONGEST_HOLD);
            !node.places.is_empty() || remembered
        });
    }

    /// How many places of a node are taken: in all, and by calls that can block.
    fn taken(&self, node: &str) -> (usize, usize) {
        let (mut unknown, mut named, mut busiest) = ((0, 0), (0, 0), (0, 0));
        for (name, taken) in self.nodes.iter().map(|(name, node)| (name, node.taken())) {
            if is_address(name) {
                unknown = (unknown.0 + taken.0, unknown.1 + taken.1);
            } else {
                busiest = (taken.0.max(busiest.0), taken.1.max(busiest.1));
                if name == node {
                    named = taken;
                }
            }
        }
        let own = if is_address(node) { busiest } else { named };
        (own.0 + unknown.0, own.1 + unknown.1)
    }

    fn next_end(&self, now: Instant) -> Option<Instant> {
        let places = self.nodes.values().flat_map(|node| &node.places);
        places.filter_map(|place| place.until).filter(|until| *until > now).min()
    }

    /// A place, wherever it has been moved to.
    fn find(&mut self, id: u64) -> Option<(&mut Node, usize)> {
        self.nodes.values_mut().find_map(|node| {
            let index = node.places.iter().position(|place| place.id == id)?;
            Some((node, index))
        })
    }
}

impl Node {
    fn taken(&self) -> (usize, usize) {
        (self.places.len(), self.places.iter().filter(|place| place.blocks).count())
    }

    fn keep(&mut self, index: usize, now: Instant) {
        let Some(place) = self.places.get_mut(index) else { return };
        let before = &mut self.given_up[usize::from(place.blocks)];
        place.until = Some(now + LONGEST_HOLD.min(HOLD * 2_u32.saturating_pow(*before)));
        *before = before.saturating_add(1);
        self.last_given_up = Some(now);
    }
}

/// No name of a node looks so.
fn is_address(node: &str) -> bool {
    node.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const ADDRESS: &str = "https://192.0.2.11:8006";

    async fn give_up(gate: &Gate, blocks: bool) {
        let permit = gate.try_enter("pve1", blocks).expect("a place");
        drop(permit.fly().await.expect("a call"));
    }

    #[tokio::test]
    async fn two_at_once_of_which_one_can_block() {
        let gate = Gate::default();
        let blocking = gate.try_enter("pve1", true).expect("the first");
        assert!(gate.try_enter("pve1", true).is_none(), "a second that can block");
        let quick = gate.try_enter("pve1", false).expect("a second that cannot");
        assert!(gate.try_enter("pve1", false).is_none(), "a third");
        assert!(gate.try_enter("pve2", true).is_some(), "another node");
        drop(blocking);
        assert!(gate.try_enter("pve1", true).is_some());
        drop(quick);
        assert!(gate.try_enter("pve3", false).is_some());
        assert_eq!(gate.nodes(), 0, "idle nodes are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_keeps_its_place_longer_and_longer() {
        let gate = Gate::default();
        for minutes in [1, 2, 4, 8, 16, 16] {
            let permit = gate.try_enter("pve1", true).expect("a place");
            drop(permit.fly().await.expect("a call"));
            assert_eq!(permit.leave(), Some(Instant::now() + Duration::from_secs(60 * minutes)));
            assert!(gate.try_enter("pve1", true).is_none() && gate.is_held("pve1"));
            assert!(gate.try_enter("pve1", false).is_some(), "calls that cannot block go on beside it");
            advance(Duration::from_secs(60 * minutes - 1)).await;
            assert!(gate.try_enter("pve1", true).is_none(), "{minutes}");
            advance(Duration::from_secs(1)).await;
            assert!(gate.try_enter("pve1", true).is_some() && !gate.is_held("pve1"), "{minutes}");
        }
        let permit = gate.try_enter("pve1", false).expect("a place");
        permit.fly().await.expect("a call").land(Ended::Well);
        assert_eq!(permit.leave(), None, "it is free");
        give_up(&gate, true).await;
        advance(Duration::from_mins(16) - Duration::from_secs(1)).await;
        assert!(gate.try_enter("pve1", true).is_none(), "a call of the other kind says nothing");
        advance(Duration::from_secs(1)).await;
        let permit = gate.try_enter("pve1", true).expect("a place");
        permit.fly().await.expect("a call").land(Ended::Well);
        drop(permit);
        give_up(&gate, true).await;
        advance(Duration::from_secs(60)).await;
        assert!(gate.try_enter("pve1", true).is_some(), "a good answer resets it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_is_forgotten_at_last() {
        let gate = Gate::default();
        give_up(&gate, false).await;
        give_up(&gate, false).await;
        assert!(gate.try_enter("pve1", false).is_none());
        advance(Duration::from_mins(31)).await;
        assert!(gate.try_enter("pve2", false).is_some());
        assert_eq!(gate.nodes(), 1, "how often is remembered");
        advance(Duration::from_mins(1)).await;
        assert!(gate.try_enter("pve2", false).is_some());
        assert_eq!(gate.nodes(), 0);
    }

    #[tokio::test]
    async fn only_what_may_go_on_at_the_node_keeps_its_place() {
        let gate = Gate::default();
        drop(gate.try_enter("pve1", true).expect("never used"));
        for (ended, free) in [(Ended::Well, true), (Ended::Badly, true), (Ended::GivenUp, false)] {
            let permit = gate.try_enter("pve1", true).expect("a place");
            permit.fly().await.expect("a call").land(Ended::Well);
            permit.fly().await.expect("a second one").land(ended);
            assert_eq!(permit.fly().await.is_some(), free, "{ended:?}: a lost place carries no call");
            drop(permit);
            // The line above gave its own call up where there was one.
            assert!(gate.try_enter("pve1", true).is_none(), "{ended:?}");
            *gate.0.state() = State::default();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_by_a_place_that_becomes_free_or_runs_out() {
        let gate = Arc::new(Gate::default());
        let first = gate.try_enter("pve1", true).expect("a place");
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter("pve1", true).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let second = waiting.await.expect("a place");
        let started = Instant::now();
        drop(second.fly().await);
        drop(second);
        let third = gate.enter("pve1", true).await;
        assert_eq!(started.elapsed().as_secs(), 60);
        let changed = gate.changed();
        drop(third);
        // Registered when it was made, not when it is first waited for.
        changed.await;
    }

    #[tokio::test]
    async fn an_endpoint_of_unknown_name_counts_for_every_node() {
        let gate = Gate::default();
        let unknown = gate.try_enter(ADDRESS, true).expect("a place");
        assert!(gate.try_enter("pve1", true).is_none());
        let known = gate.try_enter("pve1", false).expect("a place");
        assert!(gate.try_enter("pve1", false).is_none());
        assert!(gate.try_enter(ADDRESS, false).is_none(), "it may be pve1");
        gate.rename(ADDRESS, "pve2");
        assert!(gate.try_enter("pve2", true).is_none(), "its call goes on there");
        let quick = gate.try_enter("pve1", true).expect("and not on pve1");
        drop((known, quick, unknown));
        assert!(gate.try_enter("pve2", true).is_some());
        assert_eq!(gate.nodes(), 0);
    }
}
