//! The sidecar: the ledger of events, which stays while configurations come and go, and those who are told of them.

use std::sync::Arc;

use super::state_dir::Lock;
use crate::config::Config;
use crate::events::{Keeper, Ledger, Limits, Notifier};
use crate::metrics::Own;

/// What lives while the sidecar is switched on.
pub(super) struct Sidecar {
    state: State,
    _keeper: Keeper,
}

/// What a configuration has of it, before anybody is told.
pub(super) struct Prepared {
    state: State,
    notifier: Notifier,
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
        let notifier = Notifier::new(&state.ledger, events, Arc::new(super::unix_time), own)?;
        Ok(Some(Prepared { state, notifier }))
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

    /// Begins to tell; whoever told before must have ended. Must run on the runtime.
    pub(super) fn keep(self) -> Sidecar {
        let keeper = self.notifier.keep();
        Sidecar { state: self.state, _keeper: keeper }
    }
}

fn open(lock: &Arc<Lock>, urls: &[String], own: &Arc<Own>) -> Result<State, String> {
    let folder = lock.folder();
    let (ledger, troubles) = Ledger::open(folder, urls, Limits::default(), Arc::clone(own))?;
    for trouble in troubles {
        tracing::warn!(folder = %folder.display(), "{trouble}");
    }
    Ok(State { ledger: Arc::new(ledger), lock: Arc::clone(lock) })
}
