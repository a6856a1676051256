//! Rounds that scrapes share: those that overlap, and those that follow within `max_age`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use crate::collectors::{Collector, Running};
use crate::inventory::{Inventory, View};
use crate::metrics::{Labels, Own, Part};
use crate::pve::Error;

/// The round of one cluster that a scrape may join.
pub(super) struct Rounds {
    inventory: Arc<Inventory>,
    labels: Labels,
    own: Arc<Own>,
    max_age: Mutex<Duration>,
    current: Arc<Mutex<Current>>,
}

/// One round. It belongs to the scrapes that wait for it: when the last one leaves, its calls end.
pub(super) struct Round {
    cluster: Arc<str>,
    view: Arc<View>,
    labels: Labels,
    own: Arc<Own>,
    parts: Mutex<HashMap<(Page, &'static str), SharedPart>>,
    pages: Mutex<HashMap<PageName, Vec<Arc<Part>>>>,
    /// Collectors whose failure is counted already: two pages may tell of the same one.
    counted: Arc<Mutex<HashSet<&'static str>>>,
}

/// Which page a collector speaks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Page {
    /// `/metrics`.
    Metrics,
    /// The drop-in page, whose series have no `cluster` label.
    Reference,
}

/// One collector of the fast lane on one page.
#[derive(Clone, Copy)]
pub(super) struct Teller {
    pub(super) page: Page,
    pub(super) collector: &'static Collector,
    pub(super) run: for<'a> fn(&'a View) -> Running<'a>,
}

/// What is the same page to all who ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PageName {
    pub(super) page: Page,
    pub(super) collectors: Vec<&'static str>,
    /// The address whose node the drop-in page is about.
    pub(super) address: Option<String>,
}

/// What a collector of the fast lane told in a round.
pub(super) struct Told {
    pub(super) part: Arc<Part>,
    pub(super) error: Option<Error>,
    pub(super) duration: Duration,
    pub(super) at: Instant,
}

type SharedPart = Shared<BoxFuture<'static, Arc<Told>>>;

#[derive(Default)]
enum Current {
    #[default]
    None,
    /// Somebody waits for it, or nobody any more.
    UnderWay(Weak<Round>),
    /// It succeeded; kept until it is too old.
    Kept(Arc<Round>, Instant),
}

impl Rounds {
    pub(super) fn new(inventory: Arc<Inventory>, labels: Labels, own: Arc<Own>) -> Self {
        Self { inventory, labels, own, max_age: Mutex::default(), current: Arc::default() }
    }

    /// Rounds that end from now on are kept for so long.
    pub(super) fn keep_for(&self, max_age: Duration) {
        *lock(&self.max_age) = max_age;
    }

    /// The round under way, the last one if it is young enough, or a new one.
    pub(super) fn join(&self) -> Arc<Round> {
        let mut current = lock(&self.current);
        let running = match &*current {
            Current::None => None,
            Current::UnderWay(round) => round.upgrade(),
            Current::Kept(round, until) => (Instant::now() < *until).then(|| Arc::clone(round)),
        };
        running.unwrap_or_else(|| {
            let round = Arc::new(Round {
                cluster: self.inventory.cluster().into(),
                view: Arc::new(self.inventory.view()),
                labels: self.labels.clone(),
                own: Arc::clone(&self.own),
                parts: Mutex::default(),
                pages: Mutex::default(),
                counted: Arc::default(),
            });
            *current = Current::UnderWay(Arc::downgrade(&round));
            round
        })
    }

    /// A scrape got all it wanted of a round: others may have it too for a while, if it is worth having.
    pub(super) async fn finish(&self, round: &Arc<Round>, whole: bool) {
        // Requests that came in while the answer was read have not been heard yet: they overlap, and join.
        tokio::task::yield_now().await;
        let max_age = *lock(&self.max_age);
        let mut current = lock(&self.current);
        let (ours, kept) = match &*current {
            Current::None => (false, false),
            Current::UnderWay(running) => (std::ptr::eq(running.as_ptr(), Arc::as_ptr(round)), false),
            Current::Kept(kept, _) => (Arc::ptr_eq(kept, round), true),
        };
        if !ours || (kept && whole) {
            return;
        }
        if !whole || max_age.is_zero() {
            *current = Current::None;
            return;
        }
        let until = Instant::now() + max_age;
        *current = Current::Kept(Arc::clone(round), until);
        drop(current);
        // Snapshots of large clusters are not to lie in memory until the next scrape.
        let current = Arc::clone(&self.current);
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let mut current = lock(&current);
            if matches!(&*current, Current::Kept(_, kept) if *kept == until) {
                *current = Current::None;
            }
        });
    }
}

impl Round {
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// What a collector tells in this round; asked once, whoever waits for it.
    pub(super) fn told(&self, teller: Teller) -> SharedPart {
        let Teller { page, collector, run } = teller;
        let part = || {
            let (view, labels) = (Arc::clone(&self.view), self.labels(page));
            let (cluster, own, counted) = (Arc::clone(&self.cluster), Arc::clone(&self.own), Arc::clone(&self.counted));
            async move {
                let started = Instant::now();
                let told = run(&view).await;
                if let Some(error) = &told.error
                    && lock(&counted).insert(collector.name)
                {
                    own.collector_error(&cluster, collector.name, error.label());
                }
                let part = Arc::new(Part { labels, families: told.families });
                let at = view.answered().unwrap_or_else(Instant::now);
                Arc::new(Told { part, error: told.error, duration: started.elapsed(), at })
            }
            .boxed()
            .shared()
        };
        lock(&self.parts).entry((page, collector.name)).or_insert_with(part).clone()
    }

    /// Of the parts of a page.
    pub(super) fn labels(&self, page: Page) -> Labels {
        match page {
            Page::Metrics => self.labels.clone(),
            Page::Reference => Labels::new(&[]),
        }
    }

    /// The parts of a page that was put together before in this round, so that equal pages are the same page.
    pub(super) fn page(&self, name: &PageName) -> Option<Vec<Arc<Part>>> {
        lock(&self.pages).get(name).cloned()
    }

    /// Keeps the parts of a page for others who ask for the same; the first one stands.
    pub(super) fn keep_page(&self, name: PageName, parts: Vec<Arc<Part>>) -> Vec<Arc<Part>> {
        lock(&self.pages).entry(name).or_insert(parts).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
