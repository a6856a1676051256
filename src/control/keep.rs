//! What outlives a configuration: the lock of `state_dir`, the journal, and the orders under way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::journal::Journal;
use super::machines::Leaving;
use crate::api::{Caller, Code, Error};
use crate::config::ApiToken;
use crate::ids::Scope;

/// In `state_dir`: what was begun.
const JOURNAL: &str = "control.journal";

/// What outlives a configuration.
pub struct Keep {
    folder: PathBuf,
    pub(super) journal: Journal,
    pub(super) leaving: Leaving,
    under_way: Mutex<HashMap<String, (String, watch::Receiver<Progress>)>>,
    in_force: Mutex<InForce>,
}

/// What the configuration allows now, for what was begun by one before.
#[derive(Default)]
struct InForce {
    tokens: Vec<ApiToken>,
    /// Those with an acting credential.
    clusters: Vec<String>,
}

/// How far an order has come.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Progress {
    /// Nothing was sent yet.
    Deciding,
    /// PVE has a task for it: the body of a 202.
    Asked(Value),
    /// Status and body of the answer.
    Ended(u16, Value),
}

/// Who carries an order out.
pub(super) enum Joined {
    /// The caller.
    Mine(UnderWay),
    /// Somebody else, at this moment.
    Theirs(watch::Receiver<Progress>),
    /// Nobody: the name stands for another order at this moment.
    Other,
}

/// Forgets the order when it is dropped, however it ended.
pub(super) struct UnderWay {
    keep: Arc<Keep>,
    name: String,
    pub(super) progress: watch::Sender<Progress>,
}

impl Keep {
    /// Opens what is in `state_dir`, which this process must have to itself; `now` is in seconds since 1970. Fails with a
    /// sentence that names key and path.
    pub fn open(folder: &Path, now: u64) -> Result<Self, String> {
        let journal = Journal::open(&folder.join(JOURNAL), now)?;
        Ok(Self {
            folder: folder.to_owned(),
            journal,
            leaving: Leaving::default(),
            under_way: Mutex::default(),
            in_force: Mutex::default(),
        })
    }

    /// The folder that was taken.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Another configuration is in force: with these tokens, and an acting credential in these clusters.
    pub fn comes_into_force(&self, tokens: &[ApiToken], clusters: Vec<String>) {
        let in_force = InForce { tokens: tokens.to_vec(), clusters };
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = in_force;
    }

    /// Who gives orders to guests for long, as the configuration that is in force knows them.
    pub(super) fn still(&self, caller: &Caller, cluster: &str) -> Result<Caller, Error> {
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let same = in_force.tokens.iter().find(|token| token.name == caller.name);
        let Some(token) = same.filter(|token| token.scopes.contains(&Scope::Power)) else {
            let message = format!("the token {} may not switch guests any more", caller.name);
            return Err(Error::new(Code::Forbidden, message));
        };
        if !in_force.clusters.iter().any(|name| name == cluster) {
            let message = format!("nothing is switched in {cluster} any more: the configuration has changed");
            return Err(Error::new(Code::ControlDisabled, message));
        }
        Ok(Caller { scopes: token.scopes.clone(), guests: token.guests.clone(), ..caller.clone() })
    }

    /// The order of this name, where the wish is the same.
    pub(super) fn join(self: &Arc<Self>, name: &str, wish: &str) -> Joined {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.get(name) {
            Some((same, progress)) if same == wish => return Joined::Theirs(progress.clone()),
            Some(_) => return Joined::Other,
            None => {}
        }
        let (progress, seen) = watch::channel(Progress::Deciding);
        under_way.insert(name.to_owned(), (wish.to_owned(), seen));
        Joined::Mine(UnderWay { keep: Arc::clone(self), name: name.to_owned(), progress })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.keep.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_carried_out_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Arc::new(Keep::open(folder.path(), 0).unwrap());
        let first = keep.join("a", "start");
        assert!(matches!(first, Joined::Mine(_)) && matches!(keep.join("a", "start"), Joined::Theirs(_)));
        assert!(matches!(keep.join("a", "stop"), Joined::Other) && matches!(keep.join("b", "start"), Joined::Mine(_)));
        drop(first);
        assert!(matches!(keep.join("a", "stop"), Joined::Mine(_)));
    }
}
