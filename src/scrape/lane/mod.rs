//! The slow lane of one cluster: what needs a call per node or guest, asked in the background because scrapes want it.
//!
//! ```text
//! a scrape → ask: notes what is wanted, queues what is due, starts the driver if it rests
//!          → say: what is there by now and young enough, with its age; it waits for nothing
//!            (settled, kept: the same for the drop-in page, which waits for what it never had)
//! driver   → takes the oldest first, as far as the gate of each node and the budget of the cluster allow;
//!            what was slow the last time has a third of its node's time
//! ```
//!
//! Without scrapes there are no calls.

mod driver;
mod queue;
mod refresh;
mod rest;
mod shelf;
mod subjects;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Outcome;
use crate::collectors::reference::Reference;
use crate::collectors::{Collector, Lane as Kind};
use crate::config;
use crate::inventory::{Inventory, Resources};
use crate::metrics::{Family, Own};
use crate::pve::Error;
use queue::{Job, Queue};
pub(super) use refresh::Refresh;
use rest::Rests;
use shelf::Shelf;
pub(super) use shelf::{Reach, Shelved};
use subjects::Due;

/// The slow lane of one cluster; cheap to clone.
#[derive(Clone)]
pub(super) struct Lane(Arc<Shared>);

struct Shared {
    inventory: Arc<Inventory>,
    own: Arc<Own>,
    state: Mutex<State>,
    /// New jobs are queued.
    news: Notify,
    /// A job has come to its end.
    settled: Notify,
}

struct State {
    shelves: Vec<Shelf>,
    queue: Queue,
    under_way: usize,
    /// How many calls of each shelf are under way.
    in_flight: BTreeMap<usize, usize>,
    rests: Rests,
    /// What there was when somebody last asked, while something is asked for that needs to know.
    resources: Option<Arc<Resources>>,
    driving: bool,
    /// Nobody will ask any more.
    closed: bool,
}

impl State {
    fn backlog(&self) -> usize {
        self.queue.waiting() + self.under_way
    }
}

/// What one collector says on a page.
pub(super) struct Said {
    pub(super) collector: &'static str,
    pub(super) families: Vec<Family>,
    pub(super) error: Option<Error>,
    pub(super) duration: Duration,
    pub(super) age: Option<Duration>,
    pub(super) refresh: Option<Refresh>,
}

impl Lane {
    /// At rest; nothing is asked before a scrape wants it.
    pub(super) fn new(inventory: Arc<Inventory>, own: Arc<Own>) -> Self {
        let state = State {
            shelves: Vec::new(),
            queue: Queue::default(),
            under_way: 0,
            in_flight: BTreeMap::new(),
            rests: Rests::default(),
            resources: None,
            driving: false,
            closed: false,
        };
        Self(Arc::new(Shared { inventory, own, state: Mutex::new(state), news: Notify::new(), settled: Notify::new() }))
    }

    /// Makes room for what these collectors learn, as the configuration has them; what the lane has already stays, wanted
    /// or not.
    pub(super) fn take_on(&self, collectors: &[&'static Collector], config: &config::Collectors) {
        let shelves = &mut self.0.lock().shelves;
        for collector in collectors {
            let Kind::Slow(slow) = collector.lane else { continue };
            let settings = config.of(collector.name);
            match shelves.iter_mut().find(|shelf| shelf.collector.name == collector.name) {
                Some(shelf) => shelf.set(slow, settings),
                None => shelves.push(Shelf::new(collector, slow, settings)),
            }
        }
    }

    /// Nobody will ask any more: what waits for its turn is dropped, what is under way comes to its end unheard.
    pub(super) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.queue = Queue::default();
        drop(state);
        self.0.own.forget_slow_lane(self.0.inventory.cluster());
        self.0.news.notify_one();
    }

    /// Notes that a scrape wants these collectors. `resources` says what there is to ask about; without it, what was
    /// known before stands.
    pub(super) fn ask(&self, wanted: &[&'static str], resources: Option<&Arc<Resources>>, reach: Reach<'_>) {
        let now = Instant::now();
        let mut guard = self.0.lock();
        let State { shelves, queue, driving, resources: latest, .. } = &mut *guard;
        let mut sees_all = latest.is_some();
        for (index, shelf) in shelves.iter_mut().enumerate().filter(|(_, shelf)| is_in(wanted, shelf)) {
            shelf.want(now);
            if let Some(resources) = resources {
                shelf.stock(resources, now);
            }
            let due = shelf.take_due(now, reach);
            sees_all |= shelf.slow.sees_all && !due.is_empty();
            for Due { since, subject, is_slow } in due {
                queue.push(since, Job { shelf: index, subject, is_slow }, &shelf.slow);
            }
        }
        if let Some(resources) = resources.filter(|_| sees_all) {
            *latest = Some(Arc::clone(resources));
        }
        let start = !queue.is_empty() && !*driving;
        *driving |= start;
        let backlog = guard.backlog();
        drop(guard);
        self.0.own.slow_lane_backlog(self.0.inventory.cluster(), backlog);
        if start {
            tokio::spawn(driver::drive(Arc::clone(&self.0)));
        } else {
            self.0.news.notify_one();
        }
    }

    /// What is known by now; collectors without a first answer say nothing.
    pub(super) fn say(&self, wanted: &[&'static str]) -> Vec<Said> {
        let now = Instant::now();
        let state = self.0.lock();
        let shelves = state.shelves.iter().filter(|shelf| is_in(wanted, shelf));
        shelves
            .filter_map(|shelf| {
                let said = shelf.say(now)?;
                Some(Said {
                    collector: shelf.collector.name,
                    families: said.families,
                    error: said.error,
                    duration: said.duration,
                    age: said.age,
                    refresh: said.refresh,
                })
            })
            .collect()
    }
}

/// For the drop-in page, which speaks of one node and waits for what it has never had.
impl Lane {
    /// Waits until the deadline for what was never told and is asked for now. What takes longer is not waited for again.
    pub(super) async fn settled(&self, wanted: &[&'static str], reach: Reach<'_>, deadline: Instant) {
        loop {
            // Registered before looking, so that nothing that happens in between is missed.
            let settled = self.0.settled.notified();
            if !self.is_awaited(wanted, reach) {
                return;
            }
            if timeout_at(deadline, settled).await.is_err() {
                let mut state = self.0.lock();
                state.shelves.iter_mut().filter(|shelf| is_in(wanted, shelf)).for_each(|shelf| shelf.give_up(reach));
                return;
            }
        }
    }

    fn is_awaited(&self, wanted: &[&'static str], reach: Reach<'_>) -> bool {
        let (now, state) = (Instant::now(), self.0.lock());
        let mut shelves = state.shelves.iter().filter(|shelf| is_in(wanted, shelf));
        shelves.any(|shelf| shelf.is_awaited(now, reach))
    }

    /// What is young enough to be told of one collector; `None` while it is not known what there is to ask about.
    pub(super) fn kept(&self, entry: &Reference, reach: Reach<'_>, since: Instant) -> Option<Shelved> {
        let state = self.0.lock();
        let shelf = state.shelves.iter().find(|shelf| shelf.collector.name == entry.collector.name)?;
        shelf.kept(entry.families, Instant::now(), reach, since)
    }

    /// How the collectors fare on the whole; those without a first answer are left out.
    pub(super) fn outcomes(&self, wanted: &[&'static str]) -> Vec<Outcome> {
        let state = self.0.lock();
        let shelves = state.shelves.iter().filter(|shelf| is_in(wanted, shelf));
        let outcome = |shelf: &Shelf| {
            let (collector, error) = (shelf.collector.name, shelf.outcome()?);
            Some(Outcome { collector, error, duration: Duration::ZERO, age: None })
        };
        shelves.filter_map(outcome).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_in(wanted: &[&'static str], shelf: &Shelf) -> bool {
    wanted.contains(&shelf.collector.name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::collectors::ALL;
    use crate::config::Env;
    use crate::inventory::testing;
    use crate::pve::{Client, Limits, Roots};

    /// Of a cluster that nobody answers for.
    fn lane() -> Lane {
        let text = "[[clusters]]\nname = \"home\"\nendpoints = [\"https://127.0.0.1:1\"]\ntoken_id = \"a@pve!b\"\n\
                    token_secret = \"00000000-0000-0000-0000-000000000000\"\n";
        let config = config::parse(text, Path::new("x"), &Env::new(&|_| None), &[]).expect("a configuration").config;
        let own = Arc::new(Own::new("test"));
        let limits = Limits { max_body: 1 << 20 };
        let client = Client::new(&config.clusters[0], limits, &Roots::default(), Arc::clone(&own)).expect("a client");
        Lane::new(Arc::new(Inventory::new(client)), own)
    }

    #[tokio::test]
    async fn a_snapshot_is_kept_only_while_somebody_is_asked_who_needs_it() {
        let lane = lane();
        let of_all: Vec<&'static Collector> =
            ALL.iter().copied().filter(|one| matches!(one.lane, Kind::Slow(slow) if slow.sees_all)).collect();
        let names: Vec<&'static str> = of_all.iter().map(|collector| collector.name).collect();
        assert!(names.contains(&"backup"), "{names:?}");
        lane.take_on(&of_all, &config::Collectors::default());
        let resources = Arc::new(testing::resources(r#"{"data":[{"type":"node","node":"a","status":"online"}]}"#));
        let nodes: Vec<&'static str> = names.iter().copied().filter(|name| *name == "backup").collect();
        lane.ask(&nodes, Some(&resources), Reach::Node("elsewhere"));
        assert!(lane.0.lock().resources.is_none(), "nothing is due there");
        lane.ask(&nodes, Some(&resources), Reach::All);
        assert!(lane.0.lock().resources.is_some(), "the node is asked about its backups");
    }
}
