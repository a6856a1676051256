//! Hosts over SSH: asked at each scrape, beside the calls to Proxmox VE.
//!
//! ```text
//! nodes   which nodes of a cluster are hosts
//! log     what the log hears of a host
//! ```

mod log;
mod nodes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::{self, Figures};
use super::{LEAST_TELLING, Past};
use crate::collectors::{Collector, Failure, Heard, HostOptions, Lane, OverSsh, filters, host};
use crate::config::{self, HostFilters, Ssh};
use crate::ids::SshAddress;
use crate::metrics::{Family, Labels, Part};
use crate::ssh::{Client, Output, Session};
use log::Log;
pub use nodes::Nodes;

/// What hosts are made with.
#[derive(Clone)]
pub struct Asker {
    /// Shared by all hosts.
    pub client: Client,
    /// Time since the Unix epoch.
    pub now: fn() -> Duration,
}

/// One host with all that outlives a scrape: its connection, and the last page while it is young.
///
/// Where a configuration is read again, it is handed on to the next [`super::Scraper`] if its own part did not change.
pub struct Host {
    session: Session,
    name: String,
    now: fn() -> Duration,
    labels: Labels,
    info: Family,
    pages: Arc<Mutex<Vec<Kept>>>,
    log: Log,
    past: Mutex<Past>,
}

/// What a scrape wants of every host.
pub(super) struct Wanted<'a> {
    pub(super) page: Page,
    pub(super) collectors: &'a [&'static Collector],
    pub(super) settings: &'a Settings,
    pub(super) deadline: Instant,
    pub(super) time: Duration,
}

/// What holds for all hosts.
pub(super) struct Settings {
    filters: HostOptions,
    max_age: Duration,
}

/// Which page a host speaks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// `/metrics`.
    Metrics,
    /// `/host`, whose series have no label `host`.
    Alone,
}

/// What a host says on a page.
pub(super) struct Said {
    pub(super) parts: Vec<Arc<Part>>,
    /// Why it says nothing of itself.
    pub(super) failure: Option<Failure>,
}

/// A page that others may have too.
struct Kept {
    page: Page,
    collectors: Vec<&'static str>,
    parts: Vec<Arc<Part>>,
    until: Instant,
}

impl Host {
    /// One of `[[hosts]]`, where it is asked over SSH; nothing was asked yet.
    pub fn new(asker: &Asker, told: &config::Host) -> Option<Self> {
        let labels = Labels::new(&[("host", &told.id)]);
        Some(Self::with(asker, (&told.id, &told.name), (&told.address, told.ssh.as_ref()?), labels))
    }

    fn of_node(asker: &Asker, cluster: &str, node: &str, at: (&SshAddress, &Arc<Ssh>)) -> Self {
        let id = format!("{cluster}-{node}");
        Self::with(asker, (&id, node), at, Labels::new(&[("cluster", cluster), ("host", &id)]))
    }

    fn with(asker: &Asker, called: (&str, &str), at: (&SshAddress, &Arc<Ssh>), labels: Labels) -> Self {
        let ((id, name), (address, settings)) = (called, at);
        let info = host::info(name, &address.to_string());
        let session = asker.client.session(id, address.clone(), Arc::clone(settings));
        Self {
            session,
            name: name.to_owned(),
            now: asker.now,
            labels,
            info,
            pages: Arc::default(),
            log: Log::default(),
            past: Mutex::default(),
        }
    }

    /// The value of the label `host`.
    pub fn id(&self) -> &str {
        self.session.id()
    }

    /// What people call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it is asked.
    pub(super) fn address(&self) -> String {
        self.session.address().to_string()
    }

    /// What scrapes came to so far.
    pub(super) fn past(&self) -> Past {
        lock(&self.past).clone()
    }

    /// What the host says by the deadline. Scrapes that overlap share the answer, and those that follow within `max_age`.
    pub(super) async fn scrape(&self, wanted: &Wanted<'_>) -> Said {
        let started = Instant::now();
        if let Some(parts) = kept(&lock(&self.pages), wanted) {
            return Said { parts, failure: None };
        }
        let probe = wanted.collectors.iter().find_map(|collector| match collector.lane {
            Lane::Host(over_ssh) => Some((*collector, over_ssh)),
            Lane::Fast(_) | Lane::Slow(_) | Lane::Services => None,
        });
        let Some((collector, over_ssh)) = probe else { return Said { parts: Vec::new(), failure: None } };
        let answer = over_ssh.ask(&self.session, wanted.deadline).await;
        // Who had the same answer waits for it to be read once.
        let mut pages = lock(&self.pages);
        if let Some(parts) = kept(&pages, wanted) {
            return Said { parts, failure: None };
        }
        let (heard, took, age) = match answer {
            Ok(output) => self.heard(over_ssh, &output, wanted),
            Err(error) => (Heard { families: Vec::new(), troubles: Vec::new(), error: Some(error) }, None, None),
        };
        if wanted.time >= LEAST_TELLING {
            self.remember(&heard);
            self.log.note(&self.session, collector.name, &heard);
        }
        let Heard { families, error, .. } = heard;
        let success = error.is_none();
        let figures =
            Figures { collector: collector.name, success, duration: took.unwrap_or_else(|| started.elapsed()), age };
        let failure = error.filter(|_| families.is_empty());
        let parts = self.parts(wanted.page, families, took, figures);
        if success {
            self.keep(&mut pages, wanted, &parts);
        }
        Said { parts, failure }
    }

    fn remember(&self, heard: &Heard) {
        let now = Instant::now();
        let mut past = lock(&self.past);
        let answered = heard.error.is_none() || !heard.families.is_empty();
        past.answered = Some(answered);
        past.last_success = if answered { Some(now) } else { past.last_success };
        past.last_failure = match &heard.error {
            Some(error) => Some((now, error.to_string())),
            None => past.last_failure.take(),
        };
    }

    /// What an output tells, how long it took, and how old it is.
    fn heard(
        &self,
        over_ssh: OverSsh,
        output: &Output,
        wanted: &Wanted<'_>,
    ) -> (Heard, Option<Duration>, Option<Duration>) {
        let asked = (self.now)().saturating_sub(output.asked.elapsed());
        let heard = over_ssh.tell(&self.session, output, asked, &wanted.settings.filters);
        let age = output.asked.elapsed().saturating_sub(output.took);
        (heard, Some(output.took), Some(age))
    }

    fn parts(&self, page: Page, told: Vec<Family>, took: Option<Duration>, figures: Figures) -> Vec<Arc<Part>> {
        let mut own = host::reached(took);
        own.extend(outcome::told([figures].into_iter()));
        let labels = match page {
            Page::Metrics => {
                own.push(self.info.clone());
                self.labels.clone()
            }
            Page::Alone => Labels::new(&[]),
        };
        [told, own].map(|families| Arc::new(Part { labels: labels.clone(), families })).into()
    }

    /// Keeps a page for those who come a little later.
    fn keep(&self, pages: &mut Vec<Kept>, wanted: &Wanted<'_>, parts: &[Arc<Part>]) {
        let max_age = wanted.settings.max_age;
        if max_age.is_zero() {
            return;
        }
        let until = Instant::now() + max_age;
        let collectors = wanted.collectors.iter().map(|collector| collector.name).collect();
        pages.push(Kept { page: wanted.page, collectors, parts: parts.to_vec(), until });
        // A thousand series of each host are not to lie in memory until the next scrape.
        let pages = Arc::clone(&self.pages);
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            lock(&pages).retain(|kept| kept.until > until);
        });
    }
}

impl Settings {
    pub(super) fn new(told: &HostFilters, max_age: Duration) -> Self {
        Self { filters: filters(told), max_age }
    }
}

fn kept(pages: &[Kept], wanted: &Wanted<'_>) -> Option<Vec<Arc<Part>>> {
    let now = Instant::now();
    let names = || wanted.collectors.iter().map(|collector| collector.name);
    let same =
        |kept: &&Kept| kept.page == wanted.page && kept.until > now && kept.collectors.iter().copied().eq(names());
    Some(pages.iter().find(same)?.parts.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
