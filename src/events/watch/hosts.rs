//! Keys of hosts that were asked over SSH.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::choice;
use super::memory;
use crate::config::Events;
use crate::events::ledger::Ledger;
use crate::events::notify::Clock;
use crate::events::rules::{HostKey, State, host_keys};

/// Tells how the keys of all hosts were found when they were last asked.
pub type HostKeys = Arc<dyn Fn() -> Vec<HostKey> + Send + Sync>;

/// In the ledger: hosts are of no cluster.
const NO_CLUSTER: &str = "";

/// Looks for ever.
pub(super) async fn run(keys: HostKeys, config: Events, ledger: Arc<Ledger>, clock: Clock) {
    let texts = ledger.states(NO_CLUSTER);
    let (mut state, _) = memory::read(&texts);
    let mut kept: Vec<String> = texts.into_keys().collect();
    let mut turns = interval(config.interval.max(Duration::from_millis(100)));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let (found, next) = look(&keys(), clock(), &state);
        if next != state {
            let is_open = |cluster: &str, kind, id: &str| ledger.has_open(cluster, kind, id);
            let chosen = choice::of(found, &config.rules, None, is_open);
            let texts: BTreeMap<String, String> = memory::texts(&next, &kept);
            kept = texts.keys().cloned().collect();
            ledger.record(NO_CLUSTER, chosen, texts, clock()).await;
            state = next;
        }
    }
}

fn look(keys: &[HostKey], now: i64, state: &State) -> (Vec<crate::events::finding::Finding>, State) {
    let mut next = state.clone();
    let found = host_keys(keys, now, &mut next);
    (found, next)
}
