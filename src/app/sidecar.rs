//! The sidecar: the ledger of events, which stays while configurations come and go, those who watch for them, and those who
//! are told of them.

use std::sync::Arc;

use super::state_dir::Lock;
use crate::config::{Config, Events};
use crate::events::{Clock, HostKey, HostKeys, Keeper, Ledger, Limits, Notifier, Watch};
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::scrape::{KnownHost, Scraper};

/// What lives while the sidecar is switched on.
pub(super) struct Sidecar {
    state: State,
    _watch: Watch,
    _keeper: Keeper,
}

/// What a configuration has of it, before anybody is told.
pub(super) struct Prepared {
    state: State,
    events: Events,
    notifier: Notifier,
    own: Arc<Own>,
}

/// The open ledger, and that it is ours.
#[derive(Clone)]
struct State {
    ledger: Arc<Ledger>,
    lock: Arc<Lock>,
}

impl Sidecar {
    /// Opens the ledger, unless the one before has it open, and makes ready to tell. Fails with a sentence for the
    /// administrator; then nothing has changed.
    pub(super) fn prepare(
        before: Option<&Self>,
        config: &Config,
        lock: Option<&Arc<Lock>>,
        own: &Arc<Own>,
    ) -> Result<Option<Prepared>, String> {
        let (Some(events), Some(lock)) = (&config.events, lock) else { return Ok(None) };
        let same = before.map(|sidecar| &sidecar.state).filter(|state| state.lock.folder() == lock.folder());
        let state = match same {
            Some(state) => state.clone(),
            None => {
                let urls: Vec<String> = events.alertmanagers.iter().map(|one| one.url.clone()).collect();
                open(lock, &urls, own)?
            }
        };
        let notifier = Notifier::new(&state.ledger, events, clock(), own)?;
        Ok(Some(Prepared { state, events: events.clone(), notifier, own: Arc::clone(own) }))
    }

    /// Whose folder it is.
    pub(super) fn lock(&self) -> &Arc<Lock> {
        &self.state.lock
    }
}

impl Prepared {
    /// The ledger.
    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.state.ledger
    }

    /// Begins to watch the clusters and to tell; whoever did before must have ended. Must run on the runtime.
    pub(super) fn keep(self, clusters: Vec<Arc<Inventory>>, keys: HostKeys) -> Sidecar {
        let keeper = self.notifier.keep();
        let watch = Watch::begin((clusters, keys), &self.events, &self.state.ledger, &clock(), &self.own);
        Sidecar { state: self.state, _watch: watch, _keeper: keeper }
    }
}

/// How the keys of hosts were found by scrapes.
pub(super) fn host_keys(scraper: Arc<Scraper>) -> HostKeys {
    let key = |host: KnownHost| HostKey {
        cluster: host.cluster.unwrap_or_default(),
        host: host.id,
        is_refused: match &host.past.refused_key {
            Some(_) => Some(true),
            None => host.past.answered.filter(|answered| *answered).map(|_| false),
        },
        why: host.past.refused_key.unwrap_or_default(),
    };
    Arc::new(move || scraper.known_hosts().into_iter().map(key).collect())
}

fn clock() -> Clock {
    Arc::new(super::unix_time)
}

fn open(lock: &Arc<Lock>, urls: &[String], own: &Arc<Own>) -> Result<State, String> {
    let folder = lock.folder();
    let (ledger, troubles) = Ledger::open(folder, urls, Limits::default(), Arc::clone(own))?;
    for trouble in troubles {
        tracing::warn!(folder = %folder.display(), "{trouble}");
    }
    Ok(State { ledger: Arc::new(ledger), lock: Arc::clone(lock) })
}
