//! The background task of a slow lane: it runs while something is queued or under way.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::queue::Job;
use super::{Shared, State};
use crate::collectors::Ask;
use crate::metrics::Family;
use crate::pve::{Error, Permit, Reason};

/// Calls of one cluster's slow lane at once, whatever the number of its nodes.
const BUDGET: usize = 16;
/// How often a waiting driver looks whether anybody still wants what it waits for.
const PAUSE: Duration = Duration::from_secs(10);

struct Done {
    job: Job,
    asked: Instant,
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
            // What is queued may become unwanted while every gate is shut.
            () = tokio::time::sleep(PAUSE) => {}
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
            let slow = shared.lock().shelves[job.shelf].slow;
            let answer = (slow.fetch)(&Ask::new(shared.inventory.client(), &job.subject, &permit)).await;
            Done { job, asked, answer }
        });
    }
}

impl Shared {
    fn next(&self) -> Option<(Job, Permit)> {
        let client = self.inventory.client();
        let mut guard = self.lock();
        let State { queue, under_way, taking_turns, .. } = &mut *guard;
        let is_its_turn = |job: &Job| !(job.in_turn && taking_turns.contains(&job.shelf));
        let next = queue.pop(is_its_turn, |place, blocks| match place {
            Some(node) => client.gate().try_enter(node, blocks),
            None => client.gate().try_enter(&client.entry_node(), blocks),
        });
        if let Some((job, _)) = &next {
            *under_way += 1;
            if job.in_turn {
                taking_turns.insert(job.shelf);
            }
        }
        next
    }

    /// Whether nothing is left to do; the driver then ends.
    fn rest(&self) -> bool {
        let mut state = self.lock();
        state.driving = !state.queue.is_empty();
        !state.driving
    }

    fn forget_the_unwanted(&self) {
        let now = Instant::now();
        let mut guard = self.lock();
        let State { shelves, queue, .. } = &mut *guard;
        if shelves.iter().all(|shelf| shelf.is_wanted(now)) {
            return;
        }
        for job in queue.drain_unless(|job| shelves[job.shelf].is_wanted(now)) {
            shelves[job.shelf].put_back(&job.key);
        }
        self.settled.notify_waiters();
    }

    fn settle(&self, done: Done) {
        let Done { job, asked, answer } = done;
        let cluster = self.inventory.cluster();
        let mut state = self.lock();
        let shelf = &mut state.shelves[job.shelf];
        if let Err(error) = &answer {
            tracing::debug!(cluster, collector = shelf.collector.name, %error, "a call of the slow lane failed");
            if !matches!(error.reason, Reason::Busy(_)) {
                self.own.collector_error(cluster, shelf.collector.name, error.label());
            }
        }
        shelf.settle(&job.key, asked, Instant::now(), answer);
        state.under_way = state.under_way.saturating_sub(1);
        if job.in_turn {
            state.taking_turns.remove(&job.shelf);
        }
        let (backlog, closed) = (state.backlog(), state.closed);
        drop(state);
        self.settled.notify_waiters();
        if !closed {
            self.own.slow_lane_backlog(cluster, backlog);
        }
    }
}
