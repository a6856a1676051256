//! The log's view of a cluster: each change once, never the same failure at every scrape.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::Outcome;
use crate::inventory::Resources;
use crate::pve;

/// What was logged last of one cluster.
#[derive(Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    reached: bool,
    blind: bool,
    /// Failing collectors, each with the reasons already told since it began to fail.
    failing: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

/// A line for the log: collectors that changed together.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Failed { collectors: Vec<&'static str>, error: String, remedy: Option<String> },
    Recovered { collectors: Vec<&'static str> },
}

impl Health {
    /// Compares a round with what was told before, and logs what is new.
    /// `identity` is who we are there.
    pub(super) fn note(&self, (cluster, identity): (&str, &str), outcomes: &[Outcome], resources: Option<&Resources>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = state.changes(outcomes, identity);
        let first = !state.reached && outcomes.iter().any(|outcome| outcome.error.is_none());
        state.reached |= first;
        let blind = resources.map_or(state.blind, Resources::looks_like_a_token_without_rights);
        let newly_blind = blind && !state.blind;
        state.blind = blind;
        drop(state);
        if first {
            let (nodes, guests) = resources.map_or((0, 0), |told| (told.nodes.len(), told.guests.len()));
            tracing::info!(cluster, nodes, guests, "first successful scrape of the cluster");
        }
        if newly_blind {
            tracing::warn!(
                cluster,
                run = pve::grant(identity, "VM.Audit", "/"),
                "the API shows neither guests nor figures of nodes: the token or user probably has no rights"
            );
        }
        for change in changes {
            match change {
                Change::Failed { collectors, error, remedy } => {
                    tracing::warn!(
                        cluster,
                        collectors = collectors.join(","),
                        error,
                        run = remedy,
                        "collectors failed"
                    );
                }
                Change::Recovered { collectors } => {
                    tracing::info!(cluster, collectors = collectors.join(","), "collectors succeed again");
                }
            }
        }
    }
}

impl State {
    fn changes(&mut self, outcomes: &[Outcome], identity: &str) -> Vec<Change> {
        let mut failed: BTreeMap<(String, Option<String>), Vec<&'static str>> = BTreeMap::new();
        let mut recovered = Vec::new();
        for outcome @ Outcome { collector, error, .. } in outcomes {
            match error {
                Some(error) => {
                    let news = self.failing.entry(collector).or_default().insert(error.label());
                    if news {
                        failed.entry((error.to_string(), outcome.remedy(identity))).or_default().push(collector);
                    }
                }
                None if self.failing.remove(collector).is_some() => recovered.push(*collector),
                None => {}
            }
        }
        let mut changes: Vec<Change> = failed
            .into_iter()
            .map(|((error, remedy), collectors)| Change::Failed { collectors, error, remedy })
            .collect();
        if !recovered.is_empty() {
            changes.push(Change::Recovered { collectors: recovered });
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::{Error, Reason};
    use std::time::Duration;

    fn outcome(collector: &'static str, reason: Option<Reason>) -> Outcome {
        let error = reason.map(|reason| Error { endpoint: "https://pve:8006".into(), path: "/version".into(), reason });
        Outcome { collector, error, duration: Duration::ZERO, age: None }
    }

    #[test]
    fn each_change_is_told_once() {
        let refused = || Some(Reason::Unreachable("refused".into()));
        let slow = || Some(Reason::Timeout(Duration::from_secs(9)));
        let mut state = State::default();
        assert_eq!(state.changes(&[outcome("guest", None), outcome("node", None)], "m@pve!t"), []);
        let both = [outcome("guest", refused()), outcome("node", refused())];
        let told = state.changes(&both, "m@pve!t");
        assert_eq!(
            told,
            [Change::Failed {
                collectors: vec!["guest", "node"],
                error: "https://pve:8006: no connection: refused".into(),
                remedy: None
            }]
        );
        assert_eq!(state.changes(&both, "m@pve!t"), [], "the same failure again");
        assert_eq!(state.changes(&[outcome("guest", slow())], "m@pve!t").len(), 1, "a new reason");
        assert_eq!(state.changes(&both, "m@pve!t"), [], "reasons that take turns");
        assert_eq!(
            state.changes(&[outcome("guest", None), outcome("node", refused())], "m@pve!t"),
            [Change::Recovered { collectors: vec!["guest"] }]
        );
        assert_eq!(state.changes(&[outcome("guest", refused())], "m@pve!t").len(), 1, "a new outage");
    }
}
