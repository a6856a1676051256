//! The background task of a slow lane: it runs while something is queued or under way.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::queue::{Job, Line, Place, Turn};
use super::{Shared, State};
use crate::collectors::{Ask, Slow};
use crate::config::CollectorSettings;
use crate::inventory::Resources;
use crate::metrics::Family;
use crate::pve::{Error, Permit, Reason};

/// Calls of one cluster's slow lane at once, whatever the number of its nodes.
const BUDGET: usize = 16;
/// How often a waiting driver looks whether anybody still wants what it waits for.
const PAUSE: Duration = Duration::from_secs(10);

struct Done {
    job: Job,
    /// Where it had its place.
    node: String,
    asked: Instant,
    /// When its place is free again.
    free: Instant,
    calls: u64,
    answer: Result<Vec<Family>, Error>,
}

pub(super) async fn drive(shared: Arc<Shared>) {
    let mut under_way: JoinSet<Done> = JoinSet::new();
    loop {
        shared.forget_the_unwanted();
        // Registered before looking, so that nothing that happens in between is missed.
        let freed = shared.inventory.client().gate().changed();
        let news = shared.news.notified();
        start(&shared, &mut under_way);
        if under_way.is_empty() && shared.rest() {
            return;
        }
        tokio::select! {
            Some(ended) = under_way.join_next() => {
                if let Ok(done) = ended {
                    shared.settle(done);
                }
            }
            () = freed => {}
            () = news => {}
            // A rest is over, or what is queued may have become unwanted while every gate is shut.
            () = tokio::time::sleep_until(shared.next_look()) => {}
        }
    }
}

/// Starts what the gates and the budget allow.
fn start(shared: &Arc<Shared>, under_way: &mut JoinSet<Done>) {
    while under_way.len() < BUDGET {
        let Some((job, permit)) = shared.next() else { return };
        let shared = Arc::clone(shared);
        under_way.spawn(async move {
            let asked = Instant::now();
            let (slow, settings, resources) = shared.means(&job);
            let ask = Ask::new(&shared.inventory, &job.subject, &permit, &settings, resources.as_deref());
            let answer = (slow.fetch)(&ask).await;
            let calls = ask.calls();
            drop(ask);
            let node = permit.node().to_owned();
            let free = permit.leave().unwrap_or_else(Instant::now);
            Done { job, node, asked, free, calls, answer }
        });
    }
}

/// At whose gates something may be asked, the best first; `entries` answer for the cluster.
fn nodes<'a>(place: &'a Place, entries: &'a [String]) -> impl Iterator<Item = &'a str> {
    let entries: &[String] = if place.is_some() { &[] } else { entries };
    place.as_deref().into_iter().chain(entries.iter().map(String::as_str))
}

impl Shared {
    fn next(&self) -> Option<(Job, Permit)> {
        let (now, client) = (Instant::now(), self.inventory.client());
        let entries = client.entry_nodes();
        let mut guard = self.lock();
        let State { queue, under_way, in_flight, rests, .. } = &mut *guard;
        let of_shelf = |shelf: usize| in_flight.get(&shelf).copied().unwrap_or_default();
        let turn = |place: &Place, line: &Line| match line.max_in_flight.is_none_or(|most| of_shelf(line.shelf) < most)
        {
            true => rests.turn(nodes(place, &entries).next().unwrap_or_default(), (line.shelf, line.is_slow), now),
            false => Turn::Later,
        };
        let enter =
            |place: &Place, blocks: bool| nodes(place, &entries).find_map(|node| client.gate().try_enter(node, blocks));
        let next = queue.pop(turn, enter);
        if let Some((job, permit)) = &next {
            rests.begin(permit.node(), (job.shelf, job.is_slow));
            *under_way += 1;
            *in_flight.entry(job.shelf).or_default() += 1;
        }
        next
    }

    /// When to look again although nothing happened.
    fn next_look(&self) -> Instant {
        let now = Instant::now();
        let pause = now + PAUSE;
        self.lock().rests.next_end(now).map_or(pause, |end| end.min(pause))
    }

    /// Whether nothing is left to do; the driver then ends.
    fn rest(&self) -> bool {
        let mut state = self.lock();
        state.driving = !state.queue.is_empty();
        if !state.driving {
            // A snapshot of a large cluster is not to lie in memory for nobody.
            state.resources = None;
        }
        !state.driving
    }

    /// What a job is asked with.
    fn means(&self, job: &Job) -> (Slow, Arc<CollectorSettings>, Option<Arc<Resources>>) {
        let state = self.lock();
        let shelf = &state.shelves[job.shelf];
        let resources = state.resources.as_ref().filter(|_| shelf.slow.sees_all);
        (shelf.slow, Arc::clone(&shelf.settings), resources.cloned())
    }

    fn forget_the_unwanted(&self) {
        let now = Instant::now();
        let mut guard = self.lock();
        let State { shelves, queue, .. } = &mut *guard;
        if shelves.iter().all(|shelf| shelf.is_wanted(now)) {
            return;
        }
        for job in queue.drain_unless(|shelf| shelves[shelf].is_wanted(now)) {
            shelves[job.shelf].put_back(&job.subject, now);
        }
        self.settled.notify_waiters();
    }

    fn settle(&self, done: Done) {
        let Done { job, node, asked, free, calls, answer } = done;
        let cluster = self.inventory.cluster();
        let mut state = self.lock();
        let is_slow = state.rests.end(&node, (job.shelf, job.is_slow), (asked, free));
        let shelf = &mut state.shelves[job.shelf];
        if let Err(error) = &answer {
            tracing::debug!(cluster, collector = shelf.collector.name, %error, "a call of the slow lane failed");
            if !matches!(error.reason, Reason::Busy(_)) {
                self.own.collector_error(cluster, shelf.collector.name, error.label());
            }
        }
        shelf.called(calls);
        shelf.settle(&job.subject, asked, Instant::now(), answer);
        shelf.set_slow(&job.subject, is_slow);
        state.under_way = state.under_way.saturating_sub(1);
        if let Some(count) = state.in_flight.get_mut(&job.shelf) {
            *count = count.saturating_sub(1);
        }
        let (backlog, closed) = (state.backlog(), state.closed);
        drop(state);
        self.settled.notify_waiters();
        if !closed {
            self.own.slow_lane_backlog(cluster, backlog);
        }
    }
}
