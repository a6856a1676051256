//! Services of hosts: checked because scrapes want it, each in a task of its own.
//!
//! A scrape waits for the checks until its deadline. For a service that did not answer the last time it waits hardly at
//! all: then the page says what the last check found out, while the next one has all its time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::outcome::{self, Figures};
use crate::collectors::{Check, Checked, host, service};
use crate::config;
use crate::metrics::{Family, Labels, Part};

/// What a check may take, whoever waits for it.
const LIMIT: Duration = Duration::from_secs(5);

/// How long a page waits for a service that did not answer the last time.
const GRACE: Duration = Duration::from_millis(250);

/// What was found out longer ago is not told: it is as long as Prometheus itself takes a series for current.
const GOOD: Duration = Duration::from_mins(5);

/// The services of one host, and the last page while it is young.
///
/// Where a configuration is read again, those that did not change are handed on to the next one's.
pub struct Services {
    labels: Labels,
    /// Who the host is, where nobody else says so.
    info: Option<Family>,
    watched: Vec<Arc<Watched>>,
    page: Mutex<Option<Kept>>,
}

/// A page that others may have too.
struct Kept {
    part: Arc<Part>,
    until: Instant,
}

/// One service with what outlives a scrape. Nothing checks it any more once it is dropped.
struct Watched(Arc<State>);

struct State {
    check: Check,
    last: watch::Sender<Option<Found>>,
    /// The check under way.
    running: Mutex<Option<AbortHandle>>,
}

/// What the last check found out.
#[derive(Clone)]
struct Found {
    checked: Arc<Checked>,
    took: Duration,
    at: Instant,
}

impl Services {
    /// Those of a host, which may have none; nothing was checked yet but what goes on from before.
    pub fn new(told: &config::Host, checks: Vec<Check>, before: &[Arc<Self>]) -> Self {
        let before = || before.iter().flat_map(|services| &services.watched);
        let watched = |check: Check| {
            let same = before().find(|watched| watched.0.check.is_same(&check));
            same.map_or_else(|| Arc::new(Watched::new(check)), Arc::clone)
        };
        let info = told.ssh.is_none().then(|| host::info(&told.name, told.address.host()));
        Self {
            labels: Labels::new(&[("host", &told.id)]),
            info,
            watched: checks.into_iter().map(watched).collect(),
            page: Mutex::default(),
        }
    }

    /// What is known of them by the deadline. Scrapes that overlap share the checks, and those that follow within
    /// `max_age`.
    pub(super) async fn scrape(&self, deadline: Instant, max_age: Duration) -> Option<Arc<Part>> {
        if self.watched.is_empty() {
            return None;
        }
        let started = Instant::now();
        if let Some(part) = kept(&lock(&self.page)) {
            return Some(part);
        }
        let found = join_all(self.watched.iter().map(|watched| watched.look(deadline, max_age))).await;
        // Who had the same outcomes waits for the page to be made once.
        let mut page = lock(&self.page);
        if let Some(part) = kept(&page) {
            return Some(part);
        }
        let (part, whole) = self.part(&found, started);
        let part = Arc::new(part);
        if whole {
            *page = Some(Kept { part: Arc::clone(&part), until: Instant::now() + max_age });
        }
        Some(part)
    }

    /// The part of a page, and whether nothing is missing from it.
    fn part(&self, found: &[Option<Found>], started: Instant) -> (Part, bool) {
        let told =
            self.watched.iter().zip(found).filter_map(|(watched, found)| Some((&watched.0.check, found.as_ref()?)));
        let mut families = service::families(told.map(|(check, found)| (check, &*found.checked)));
        let success = found.iter().flatten().filter(|found| found.checked.is_up().is_some()).count() == found.len();
        let slowest = found.iter().flatten().map(|found| found.took).max();
        let figures = Figures {
            collector: service::COLLECTOR.name,
            success,
            duration: slowest.unwrap_or_else(|| started.elapsed()),
            age: found.iter().flatten().map(|found| found.at.elapsed()).max(),
        };
        families.extend(outcome::told([figures].into_iter()));
        families.extend(self.info.clone());
        (Part { labels: self.labels.clone(), families }, success)
    }
}

impl Watched {
    fn new(check: Check) -> Self {
        Self(Arc::new(State { check, last: watch::Sender::new(None), running: Mutex::default() }))
    }

    /// What is known by the deadline; checks the service, or joins who does, if the last check was longer ago than
    /// `max_age`.
    async fn look(&self, deadline: Instant, max_age: Duration) -> Option<Found> {
        let before = self.0.found();
        if let Some(found) = before.as_ref().filter(|found| found.at.elapsed() < max_age) {
            return Some(found.clone());
        }
        let mut news = self.0.begin();
        let known = before.filter(|found| found.at.elapsed() < GOOD);
        let patience = match &known {
            Some(found) if found.checked.is_up() != Some(true) => deadline.min(Instant::now() + GRACE),
            _ => deadline,
        };
        match timeout_at(patience, news.changed()).await {
            Ok(Ok(())) => self.0.found(),
            _ => known,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(running) = lock(&self.0.running).take() {
            running.abort();
        }
    }
}

impl State {
    fn found(&self) -> Option<Found> {
        self.last.borrow().clone()
    }

    /// Begins a check unless one is under way; its outcome changes what is returned.
    fn begin(self: &Arc<Self>) -> watch::Receiver<Option<Found>> {
        // Held so that no check ends between the two.
        let mut running = lock(&self.running);
        let news = self.last.subscribe();
        if running.as_ref().is_none_or(AbortHandle::is_finished) {
            let state = Arc::clone(self);
            *running = Some(tokio::spawn(async move { state.run().await }).abort_handle());
        }
        news
    }

    async fn run(&self) {
        let begun = Instant::now();
        let checked = Arc::new(self.check.ask(LIMIT).await);
        let before = self.found();
        self.check.log(before.as_ref().map(|found| &*found.checked), &checked);
        let mut running = lock(&self.running);
        let now = Instant::now();
        self.last.send_replace(Some(Found { checked, took: now - begun, at: now }));
        *running = None;
    }
}

fn kept(page: &Option<Kept>) -> Option<Arc<Part>> {
    let kept = page.as_ref().filter(|kept| kept.until > Instant::now())?;
    Some(Arc::clone(&kept.part))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
