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
pub(super) struct Kept {
    pub(super) part: Arc<Part>,
    pub(super) until: Instant,
}

/// One service with what outlives a scrape. Nothing checks it any more once it is dropped.
pub(super) struct Watched(Arc<State>);

struct State {
    check: Check,
    last: watch::Sender<Option<Found>>,
    /// The check under way.
    running: Mutex<Option<AbortHandle>>,
}

/// What the last check found out.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) checked: Arc<Checked>,
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
        let figures = figures(found, started);
        let success = figures.success;
        families.extend(outcome::told([figures].into_iter()));
        families.extend(self.info.clone());
        (Part { labels: self.labels.clone(), families }, success)
    }
}

impl Watched {
    pub(super) fn new(check: Check) -> Self {
        Self(Arc::new(State { check, last: watch::Sender::new(None), running: Mutex::default() }))
    }

    /// What it checks.
    pub(super) fn check(&self) -> &Check {
        &self.0.check
    }

    /// What is known by the deadline; checks the service, or joins who does, if the last check was longer ago than
    /// `max_age`.
    pub(super) async fn look(&self, deadline: Instant, max_age: Duration) -> Option<Found> {
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

/// How the collector did.
pub(super) fn figures(found: &[Option<Found>], started: Instant) -> Figures {
    let success = found.iter().flatten().filter(|found| found.checked.is_up().is_some()).count() == found.len();
    let slowest = found.iter().flatten().map(|found| found.took).max();
    Figures {
        collector: service::COLLECTOR.name,
        success,
        duration: slowest.unwrap_or_else(|| started.elapsed()),
        age: found.iter().flatten().map(|found| found.at.elapsed()).max(),
    }
}

pub(super) fn kept(page: &Option<Kept>) -> Option<Arc<Part>> {
    let kept = page.as_ref().filter(|kept| kept.until > Instant::now())?;
    Some(Arc::clone(&kept.part))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, Service};
    use crate::ids::{ServiceKind, SshAddress};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{advance, pause};

    const TIME: Duration = Duration::from_secs(10);

    /// A host with an SSH service on a port of this machine, and its listener.
    async fn host() -> (Host, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let services = vec![Service { name: "Shell".into(), port, kind: ServiceKind::Ssh }];
        let address = SshAddress::new("127.0.0.1", 22).unwrap();
        (Host { id: "nas".into(), name: "NAS".into(), address, ssh: None, services, power: None, wake: None }, listener)
    }

    fn services(host: &Host, before: &[Arc<Services>]) -> Arc<Services> {
        Arc::new(Services::new(host, Check::alone(host), before))
    }

    async fn greet(mut stream: TcpStream) {
        stream.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    async fn scrape(services: &Services) -> Part {
        Part::clone(&*services.scrape(Instant::now() + TIME, Duration::ZERO).await.unwrap())
    }

    /// The only sample of a family.
    fn value(part: &Part, name: &str) -> Option<f64> {
        let family = part.families.iter().find(|family| family.desc.view().name == name).unwrap();
        family.samples.iter().next().map(|sample| sample.value)
    }

    const UP: &str = "pve_service_up";

    #[tokio::test]
    async fn scrapes_that_overlap_share_a_check() {
        let (host, listener) = host().await;
        let services = services(&host, &[]);
        let scrapes = join_all((0..8).map(|_| scrape(&services)));
        let (parts, ()) = tokio::join!(scrapes, async {
            greet(listener.accept().await.unwrap().0).await;
        });
        assert!(parts.iter().all(|part| value(part, UP) == Some(1.0)));
        // Another check is another connection.
        tokio::join!(scrape(&services), async { greet(listener.accept().await.unwrap().0).await });
    }

    #[tokio::test]
    async fn what_was_down_is_not_waited_for_and_is_seen_when_it_returns() {
        let (host, listener) = host().await;
        let services = services(&host, &[]);
        // Nothing is known yet: it is waited for as long as it may take.
        let first = tokio::join!(scrape(&services), async {
            let stream = listener.accept().await.unwrap().0;
            pause();
            stream
        });
        assert_eq!(value(&first.0, UP), Some(0.0));
        let begun = Instant::now();
        let second = scrape(&services).await;
        assert_eq!((value(&second, UP), begun.elapsed() < LIMIT), (Some(0.0), true));
        assert_eq!(value(&second, "pve_scrape_collector_success"), Some(1.0));
        assert!(value(&second, "pve_scrape_collector_age_seconds").unwrap() >= GRACE.as_secs_f64());
        // The check that goes on meanwhile finds it, and nobody has to wait for a second one.
        tokio::time::resume();
        greet(listener.accept().await.unwrap().0).await;
        let mut news = services.watched[0].0.last.subscribe();
        news.wait_for(|found| found.as_ref().is_some_and(|found| found.checked.is_up() == Some(true))).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_found_long_ago_is_not_told() {
        let (host, listener) = host().await;
        let services = services(&host, &[]);
        let (first, ()) = tokio::join!(scrape(&services), async { drop(listener.accept().await.unwrap()) });
        assert_eq!(value(&first, UP), Some(0.0), "closed without a word");
        pause();
        advance(GOOD).await;
        let begun = Instant::now();
        let part = services.scrape(begun + Duration::from_secs(1), Duration::ZERO).await.unwrap();
        assert_eq!((value(&part, UP), value(&part, "pve_scrape_collector_success")), (None, Some(0.0)));
        assert!(begun.elapsed() >= Duration::from_secs(1), "waited for as if it was never seen");
    }

    #[tokio::test]
    async fn checks_of_services_that_are_gone_end() {
        let (host, listener) = host().await;
        let before = services(&host, &[]);
        let asking = Arc::clone(&before);
        let scrape = tokio::spawn(async move { scrape(&asking).await });
        let mut stream = listener.accept().await.unwrap().0;
        scrape.abort();
        assert!(scrape.await.is_err());
        let after = services(&host, &[Arc::clone(&before)]);
        drop(before);
        assert!(after.watched[0].0.running.lock().unwrap().is_some(), "kept by the next configuration");
        let begun = Instant::now();
        drop(after);
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0, "closed, and nothing was said");
        assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
    }
}
