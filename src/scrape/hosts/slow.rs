//! What a host is asked now and then: in the background, because scrapes want it, one question after the other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::super::demand::seed;
use super::log::Log;
use super::shelf::{Said, Shelf};
use super::{Wanted, lock};
use crate::collectors::{HostOptions, Lane, OverSsh};
use crate::ssh::Session;

/// A question that takes longer is given up: a package manager on a busy machine, or a hundred disks.
const TIME: Duration = Duration::from_mins(2);

/// The slow answers of one host; whoever drops this gives up what is under way.
pub(super) struct Slow {
    desk: Arc<Desk>,
}

struct Desk {
    session: Arc<Session>,
    log: Arc<Log>,
    now: fn() -> Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shelves: Vec<Shelf>,
    /// Those of the last scrape; none before it, since each set of them holds compiled expressions of its own.
    options: Option<Arc<HostOptions>>,
    /// Who asks, while something is due.
    working: Option<AbortHandle>,
}

impl Slow {
    pub(super) fn new(session: Arc<Session>, log: Arc<Log>, now: fn() -> Duration) -> Self {
        Self { desk: Arc::new(Desk { session, log, now, state: Mutex::default() }) }
    }

    /// Notes what a scrape wants, and lets what is due be asked for; it waits for nothing.
    pub(super) fn ask(&self, wanted: &Wanted<'_>) {
        let now = Instant::now();
        let mut state = lock(&self.desk.state);
        state.options = Some(Arc::clone(&wanted.settings.filters));
        for collector in wanted.collectors {
            if let Lane::Host(over_ssh @ OverSsh { ttl: Some(ttl), .. }) = collector.lane {
                let ttl = wanted.settings.ttls.get(collector.name).copied().unwrap_or(ttl);
                state.shelf(collector.name, over_ssh, ttl, self.desk.session.id()).want(now);
            }
        }
        let works = state.working.as_ref().is_some_and(|working| !working.is_finished());
        if !works && state.shelves.iter().any(|shelf| shelf.is_due(now)) {
            state.working = Some(tokio::spawn(work(Arc::clone(&self.desk))).abort_handle());
        }
    }

    /// What is known by now of what a scrape wants.
    pub(super) fn say(&self, wanted: &Wanted<'_>) -> Vec<Said> {
        let now = Instant::now();
        let state = lock(&self.desk.state);
        let is_wanted = |shelf: &&Shelf| wanted.collectors.iter().any(|collector| collector.name == shelf.collector);
        state.shelves.iter().filter(is_wanted).filter_map(|shelf| shelf.say(now)).collect()
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        if let Some(working) = lock(&self.desk.state).working.take() {
            working.abort();
        }
    }
}

/// Asks what is due until nothing is, one question at a time: beside the quick one, a host has one more command to run.
async fn work(desk: Arc<Desk>) {
    while let Some((collector, over_ssh, options)) = desk.next() {
        let answer = over_ssh.ask(&desk.session, Instant::now() + TIME).await;
        let (heard, took) = match answer {
            Ok(output) => {
                let asked = (desk.now)().saturating_sub(output.asked.elapsed());
                (over_ssh.tell(&desk.session, &output, asked, &options), Some(output.took))
            }
            Err(error) => (error.into(), None),
        };
        desk.log.note(&desk.session, collector, &heard);
        let mut state = lock(&desk.state);
        if let Some(shelf) = state.shelves.iter_mut().find(|shelf| shelf.collector == collector) {
            shelf.settle(Instant::now(), took, heard);
        }
    }
}

impl State {
    /// The shelf of a collector, perhaps a new one.
    fn shelf(&mut self, collector: &'static str, over_ssh: OverSsh, ttl: Duration, host: &str) -> &mut Shelf {
        let place = self.shelves.iter().position(|shelf| shelf.collector == collector).unwrap_or_else(|| {
            self.shelves.push(Shelf::new(collector, over_ssh, ttl, seed(host)));
            self.shelves.len() - 1
        });
        self.shelves[place].ttl = ttl;
        &mut self.shelves[place]
    }
}

impl Desk {
    /// What is to be asked next; nothing: the work is done.
    fn next(&self) -> Option<(&'static str, OverSsh, Arc<HostOptions>)> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let due = state.shelves.iter().find(|shelf| shelf.is_due(now));
        let next = due.zip(state.options.as_ref());
        let next = next.map(|(shelf, options)| (shelf.collector, shelf.over_ssh, Arc::clone(options)));
        if next.is_none() {
            state.working = None;
        }
        next
    }
}
