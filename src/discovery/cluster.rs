//! One cluster: what is known of its guests, and who keeps it so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::address;
use super::guest::{Filter, Guest};
use super::registry::{Change, Known, Registry, What};
use crate::ids::Network;
use crate::inventory::{Addresses, Inventory, Resources, Running, Snapshot};

/// After a failure it is tried again this soon, if the interval is not shorter still.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// A look takes no longer: the calls end by themselves within a minute.
const LONGEST_LOOK: Duration = Duration::from_secs(65);

/// Guests at one moment, to be made elsewhere: nothing is held up meanwhile.
pub(super) struct Shot {
    cluster: Arc<Cluster>,
    known: Vec<Known>,
    prefer: Vec<Network>,
}

/// What is known of one cluster's guests; outlives the configuration while the cluster's own part does not change.
pub struct Cluster {
    inventory: Arc<Inventory>,
    addresses: Addresses,
    state: Mutex<State>,
    /// One look at a time: those who come meanwhile share it.
    looking: tokio::sync::Mutex<()>,
    /// Seconds since 1970.
    now: fn() -> i64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) registry: Registry,
    /// When the answer was given that is known, and the same in seconds since 1970.
    pub(super) last: Option<(Instant, i64)>,
    /// Names of the nodes in it.
    pub(super) nodes: Vec<String>,
    /// Another number after each answer.
    pub(super) version: u64,
}

impl Shot {
    /// The guests, by number.
    pub(super) fn guests(&self) -> impl Iterator<Item = Guest> {
        let Self { cluster, known, prefer } = self;
        known.iter().map(|known| Guest::new(cluster.name(), known, cluster.addresses_of(known, prefer)))
    }
}

impl Cluster {
    /// Nothing is known yet. `now` tells the time in seconds since 1970.
    pub fn new(inventory: Arc<Inventory>, now: fn() -> i64) -> Self {
        let addresses = Addresses::new(Arc::clone(&inventory));
        Self { inventory, addresses, state: Mutex::default(), looking: tokio::sync::Mutex::default(), now }
    }

    /// The configured name.
    pub fn name(&self) -> &str {
        self.inventory.cluster()
    }

    /// Keeps the guests known until it is dropped: takes what scrapes read, and reads at least every `interval`.
    pub async fn keep(self: Arc<Self>, interval: Duration) {
        let mut news = self.inventory.watch();
        let mut due = Instant::now();
        loop {
            tokio::select! {
                changed = news.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let snapshot = news.borrow_and_update().clone();
                    if let Some(snapshot) = snapshot {
                        due = snapshot.at + interval;
                        self.take(&snapshot);
                    }
                }
                () = sleep_until(due) => {
                    let looked = self.look(interval, Instant::now() + LONGEST_LOOK).await;
                    if let Err(error) = &looked {
                        tracing::debug!(cluster = self.name(), error, "the guests of the cluster could not be read");
                    }
                    let wait = if looked.is_ok() { interval } else { interval.min(AFTER_FAILURE) };
                    due = Instant::now() + wait;
                }
            }
        }
    }

    /// Reads the guests unless they were read within `max_age`; the error says why that did not succeed by the deadline.
    pub async fn look(&self, max_age: Duration, deadline: Instant) -> Result<(), String> {
        let late = || format!("{} did not answer in time", self.inventory.client().asked());
        let _turn = timeout_at(deadline, self.looking.lock()).await.map_err(|_| late())?;
        if self.lock().last.is_some_and(|(at, _)| at.elapsed() < max_age) {
            return Ok(());
        }
        let view = self.inventory.view();
        let resources = timeout_at(deadline, view.resources()).await.map_err(|_| late())?;
        let resources = resources.map_err(|error| error.to_string())?;
        if !resources.tells_of_guests() {
            let words = "the API shows neither guests nor figures of nodes: the token or user probably has no rights";
            return Err(words.to_owned());
        }
        self.take(&Snapshot { resources, at: Instant::now() });
        Ok(())
    }

    /// Whether its guests were read since the start.
    pub fn is_read(&self) -> bool {
        self.lock().last.is_some()
    }

    /// The guests that are meant, by number, with the addresses that they told so far.
    pub fn guests(&self, filter: &Filter, prefer: &[Network]) -> Vec<Guest> {
        let state = self.lock();
        let meant = state.registry.guests().filter(|known| filter.has(known));
        meant.map(|known| Guest::new(self.name(), known, self.addresses_of(known, prefer))).collect()
    }

    /// The guests that are meant, as they are now.
    pub(super) fn shot(cluster: &Arc<Self>, filter: &Filter, prefer: &[Network]) -> Shot {
        let known = cluster.lock().registry.guests().filter(|known| filter.has(known)).cloned().collect();
        Shot { cluster: Arc::clone(cluster), known, prefer: prefer.to_vec() }
    }

    /// Has those that are meant and run be asked for their addresses; gives their numbers. Must run on the runtime.
    pub fn want_addresses(&self, filter: &Filter) -> Vec<u64> {
        let meant = self.running(|known| filter.has(known));
        let vmids = meant.iter().map(|guest| guest.vmid).collect();
        self.addresses.want(meant.into_iter());
        vmids
    }

    /// Those that are meant and run.
    pub(super) fn running(&self, is_meant: impl Fn(&Known) -> bool) -> Vec<Running> {
        let state = self.lock();
        let meant = state.registry.guests().filter(|known| known.is_running() && is_meant(known));
        meant.map(running).collect()
    }

    /// Has these be asked for their addresses. Must run on the runtime.
    pub(super) fn want(&self, guests: &[Running]) {
        self.addresses.want(guests.iter().cloned());
    }

    /// Waits until each of these was asked once; gives how many were not by the deadline.
    pub async fn addresses_settled(&self, vmids: &[u64], deadline: Instant) -> usize {
        self.addresses.settled(vmids, deadline).await
    }

    /// Names of its nodes, as the last answer had them.
    pub fn nodes(&self) -> Vec<String> {
        self.lock().nodes.clone()
    }

    /// When the last good answer was given, in seconds since 1970.
    pub(super) fn last_success(&self) -> Option<i64> {
        self.lock().last.map(|(_, at)| at)
    }

    /// How many guests it had then, and when that was.
    pub(super) fn counted(&self) -> Option<(usize, i64)> {
        let state = self.lock();
        let (_, at) = state.last?;
        Some((state.registry.guests().len(), at))
    }

    /// Another one whenever something else may be told.
    pub(super) fn version(&self) -> (u64, u64) {
        (self.lock().version, self.addresses.version())
    }

    pub(super) fn addresses_of(&self, known: &Known, prefer: &[Network]) -> Vec<address::Address> {
        let told = self.addresses.told(&running(known));
        told.map(|network| address::addresses(&network, prefer)).unwrap_or_default()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, snapshot: &Snapshot) {
        let Snapshot { resources, at } = snapshot;
        let age = i64::try_from(at.elapsed().as_secs()).unwrap_or(i64::MAX);
        let time = (self.now)().saturating_sub(age);
        let mut state = self.lock();
        if state.last.is_some_and(|(last, _)| last >= *at) {
            return;
        }
        let changes = state.registry.see(resources, time);
        state.last = Some((*at, time));
        state.version += 1;
        state.nodes = names(resources);
        drop(state);
        for change in changes {
            self.note(&change);
        }
    }

    /// Logs a change, and has addresses asked anew where they may be others.
    fn note(&self, change: &Change) {
        let (cluster, id) = (self.name(), format!("{}/{}", change.kind.as_str(), change.vmid));
        match &change.what {
            What::Appeared => tracing::info!(cluster, id, "a new guest"),
            What::Deleted => tracing::info!(cluster, id, "a guest is gone"),
            What::BecameTemplate => tracing::info!(cluster, id, "a guest became a template"),
            What::Replaced { before } => {
                tracing::info!(
                    cluster,
                    id,
                    before = before.as_deref(),
                    "another guest has the number of one that is gone"
                );
            }
            What::Renamed { before } => {
                tracing::info!(cluster, id, before = before.as_deref(), "a guest has another name")
            }
            What::Moved { from } => tracing::info!(cluster, id, from = &**from, "a guest is on another node"),
            What::Switched { on } => tracing::debug!(cluster, id, on, "a guest was switched on or off"),
        }
        match change.what {
            What::Deleted | What::BecameTemplate | What::Replaced { .. } => self.addresses.forget(change.vmid),
            What::Switched { .. } => self.addresses.renew(change.vmid),
            What::Appeared | What::Renamed { .. } | What::Moved { .. } => {}
        }
    }
}

impl Drop for Cluster {
    /// Nobody will ask any more.
    fn drop(&mut self) {
        self.addresses.close();
    }
}

fn running(known: &Known) -> Running {
    Running { kind: known.identity.kind, vmid: known.identity.vmid, node: Arc::clone(&known.node) }
}

fn names(resources: &Resources) -> Vec<String> {
    resources.nodes.iter().map(|node| node.name.clone()).collect()
}
