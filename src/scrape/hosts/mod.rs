//! Hosts over SSH: asked at each scrape, beside the calls to Proxmox VE, and now and then for what takes longer.
//!
//! ```text
//! nodes   which nodes of a cluster are hosts
//! pages   what several scrapes have in common
//! slow    what is asked in the background (shelf: how long an answer is good)
//! log     what the log hears of a host
//! ```

mod log;
mod nodes;
mod pages;
mod shelf;
mod slow;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::{self, Figures};
use super::{LEAST_TELLING, Past};
use crate::collectors::{Collector, Failure, Heard, HostOptions, Lane, OverSsh, filters, host};
use crate::config::{self, Config, Ssh};
use crate::ids::SshAddress;
use crate::metrics::{Family, Labels, Part};
use crate::ssh::{self, Client, HostKeyKind, Output, Session};
use log::Log;
pub use nodes::Nodes;
use pages::Pages;
use slow::Slow;

/// What hosts are made with.
#[derive(Clone)]
pub struct Asker {
    /// Shared by all hosts.
    pub client: Client,
    /// Time since the Unix epoch.
    pub now: fn() -> Duration,
}

/// One host with all that outlives a scrape: its connection, slow answers, and the last page while it is young.
///
/// Where a configuration is read again, it is handed on to the next [`super::Scraper`] if its own part did not change.
pub struct Host {
    session: Arc<Session>,
    name: String,
    now: fn() -> Duration,
    labels: Labels,
    info: Family,
    pages: Pages,
    slow: Slow,
    log: Arc<Log>,
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
    filters: Arc<HostOptions>,
    /// How long values are good, where it is not as long as the collector says.
    ttls: BTreeMap<&'static str, Duration>,
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

/// What came of the question that each scrape asks.
struct Probed {
    families: Vec<Family>,
    /// How long the host took, where it answered.
    took: Option<Duration>,
    figures: Figures,
    error: Option<Failure>,
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
        let session = Arc::new(asker.client.session(id, address.clone(), Arc::clone(settings)));
        let log = Arc::<Log>::default();
        let slow = Slow::new(Arc::clone(&session), Arc::clone(&log), asker.now);
        Self {
            session,
            name: name.to_owned(),
            now: asker.now,
            labels,
            info,
            pages: Pages::default(),
            slow,
            log,
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
        if let Some(parts) = self.pages.open().young(wanted) {
            return Said { parts, failure: None };
        }
        let probe = wanted.probe();
        let answer = match probe {
            Some((_, over_ssh)) => Some(over_ssh.ask(&self.session, wanted.deadline).await),
            None => None,
        };
        let output = answer.as_ref().and_then(|answer| answer.as_ref().ok()).map(Arc::downgrade);
        // Who had the same answer waits for it to be read once.
        let mut pages = self.pages.open();
        let made = output.as_ref().and_then(|output| pages.made_of(output, wanted));
        if let Some(parts) = made.or_else(|| pages.young(wanted)) {
            return Said { parts, failure: None };
        }
        let probed = probe.zip(answer).map(|(probe, answer)| self.probed(probe, (answer, started), wanted));
        let success = probed.as_ref().is_none_or(|probed| probed.error.is_none());
        // Slow questions come after the quick one, and only where that was answered well.
        if success {
            self.slow.ask(wanted);
        }
        let (parts, failure) = self.parts(wanted, probed);
        if success {
            pages.keep(output, wanted, &parts);
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
        match &heard.error {
            Some(Failure::Ssh(ssh::Error { reason: ssh::Reason::HostKey(key), .. })) => {
                let is_other = !matches!(key.kind, HostKeyKind::Unknown | HostKeyKind::Unreadable);
                past.refused_key = is_other.then(|| key.message.clone());
            }
            _ if answered => past.refused_key = None,
            _ => {}
        }
    }

    /// What the answer to the quick question tells.
    fn probed(
        &self,
        (collector, over_ssh): (&'static str, OverSsh),
        (answer, started): (Result<Arc<Output>, Failure>, Instant),
        wanted: &Wanted<'_>,
    ) -> Probed {
        let (heard, took, age) = match answer {
            Ok(output) => {
                let asked = (self.now)().saturating_sub(output.asked.elapsed());
                let heard = over_ssh.tell(&self.session, &output, asked, &wanted.settings.filters);
                (heard, Some(output.took), Some(output.asked.elapsed().saturating_sub(output.took)))
            }
            Err(error) => (error.into(), None, None),
        };
        if wanted.time >= LEAST_TELLING {
            self.remember(&heard);
            self.log.note(&self.session, collector, &heard);
        }
        let Heard { families, error, .. } = heard;
        let duration = took.unwrap_or_else(|| started.elapsed());
        let figures = Figures { collector, success: error.is_none(), duration, age };
        Probed { families, took, figures, error }
    }

    /// What the host says on a page, and why it says nothing of itself.
    fn parts(&self, wanted: &Wanted<'_>, probed: Option<Probed>) -> (Vec<Arc<Part>>, Option<Failure>) {
        let (mut told, mut own, mut figures, mut failure) = (Vec::new(), Vec::new(), Vec::new(), None);
        if let Some(probed) = probed {
            failure = probed.error.filter(|_| probed.families.is_empty());
            told.push(probed.families);
            own.extend(host::reached(probed.took));
            figures.push(probed.figures);
        }
        for said in self.slow.say(wanted) {
            told.push(said.families);
            figures.push(said.figures);
        }
        own.extend(outcome::told(figures.into_iter()));
        let labels = match wanted.page {
            Page::Metrics => {
                own.push(self.info.clone());
                self.labels.clone()
            }
            Page::Alone => Labels::new(&[]),
        };
        told.push(own);
        let part = |families| Arc::new(Part { labels: labels.clone(), families });
        (told.into_iter().map(part).collect(), failure)
    }
}

impl Wanted<'_> {
    /// What is asked at each scrape.
    fn probe(&self) -> Option<(&'static str, OverSsh)> {
        self.collectors.iter().find_map(|collector| match collector.lane {
            Lane::Host(over_ssh) if over_ssh.ttl.is_none() => Some((collector.name, over_ssh)),
            Lane::Host(_) | Lane::Fast(_) | Lane::Slow(_) | Lane::Services => None,
        })
    }
}

impl Settings {
    pub(super) fn new(config: &Config) -> Self {
        let ttls = config.collectors.settings.iter();
        let ttls = ttls.filter_map(|(name, settings)| Some((*name, settings.ttl?))).collect();
        Self { filters: Arc::new(filters(&config.host_filters)), ttls, max_age: config.scrape.max_age }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
