//! The log's view of a cluster: each change once, never the same failure at every scrape.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{Outcome, Past};
use crate::collectors::{self, Lane};
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
    past: Past,
}

/// A line for the log: collectors that changed together.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Failed { collectors: Vec<&'static str>, error: String, remedy: Option<String> },
    Recovered { collectors: Vec<&'static str> },
}

impl Health {
    /// What rounds came to so far, and the collectors that fail now.
    pub(super) fn known(&self) -> (Past, BTreeSet<&'static str>) {
        let state = self.state();
        (state.past.clone(), state.failing.keys().copied().collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares a round with what was told before, and logs what is new.
    /// `identity` is who we are there.
    pub(super) fn note(&self, (cluster, identity): (&str, &str), outcomes: &[Outcome], resources: Option<&Resources>) {
        let mut state = self.state();
        state.remember(outcomes);
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
    /// What the slow lane tells may be from before, so that it says nothing of now.
    fn remember(&mut self, outcomes: &[Outcome]) {
        let now = Instant::now();
        let fast: Vec<&Outcome> = outcomes.iter().filter(|outcome| is_fast(outcome.collector)).collect();
        if !fast.is_empty() {
            let answered = fast.iter().any(|outcome| outcome.error.is_none());
            self.past.answered = Some(answered);
            self.past.last_success = if answered { Some(now) } else { self.past.last_success };
        }
        let first = outcomes.iter().find_map(|outcome| Some((outcome.collector, outcome.error.as_ref()?)));
        if let Some((collector, error)) = first {
            self.past.last_failure = Some((now, format!("{collector}: {error}")));
        }
    }

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

fn is_fast(name: &str) -> bool {
    collectors::ALL.iter().any(|collector| collector.name == name && matches!(collector.lane, Lane::Fast(_)))
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

    #[tokio::test(start_paused = true)]
    async fn what_the_slow_lane_kept_does_not_make_a_cluster_well() {
        let refused = || Some(Reason::Unreachable("refused".into()));
        let mut state = State::default();
        state.remember(&[outcome("guest", None), outcome("cluster", refused()), outcome("subscription", None)]);
        let (then, past) = (Instant::now(), state.past.clone());
        assert_eq!((past.answered, past.last_success), (Some(true), Some(then)));
        assert_eq!(past.last_failure, Some((then, "cluster: https://pve:8006: no connection: refused".to_owned())));
        tokio::time::advance(Duration::from_secs(5)).await;
        state.remember(&[outcome("guest", refused()), outcome("subscription", None)]);
        assert_eq!((state.past.answered, state.past.last_success), (Some(false), Some(then)));
        assert_eq!(state.past.last_failure.clone().map(|(at, _)| at), Some(Instant::now()));
        state.remember(&[outcome("subscription", None)]);
        assert_eq!(state.past.answered, Some(false), "nothing was asked");
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
