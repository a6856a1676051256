//! What is remembered of a cluster as texts for the ledger, in pieces: what changes seldom is written seldom (pure).
//!
//! ```text
//! node/NAME   the cursor of a node
//! guests/N    guests, by the last digits of their number
//! asked       of whom something was asked
//! rest        conditions, storages, backup jobs
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::events::rules::{Condition, Due, GuestMemory, State};
use crate::events::tasks::Cursor;

/// Pieces that guests are kept in.
const PIECES: u64 = 64;

const NODE: &str = "node/";
const GUESTS: &str = "guests/";
const ASKED: &str = "asked";
const REST: &str = "rest";

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct WhoWasAsked {
    guests: BTreeMap<String, i64>,
    nodes: BTreeMap<String, i64>,
    stopping: BTreeMap<String, i64>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Rest {
    begun: Option<i64>,
    ahead: Option<i64>,
    conditions: BTreeMap<String, Condition>,
    storages: BTreeSet<String>,
    due: BTreeMap<String, Due>,
    backups: BTreeMap<String, i64>,
}

/// What the ledger has, as far as it can be read; with what cannot.
pub(super) fn read(texts: &BTreeMap<String, String>) -> (State, Vec<String>) {
    let (mut state, mut troubles) = (State::default(), Vec::new());
    for (name, text) in texts {
        if let Some(node) = name.strip_prefix(NODE) {
            if let Some(cursor) = parsed::<Cursor>(name, text, &mut troubles) {
                state.cursors.insert(node.to_owned(), cursor);
            }
        } else if name.starts_with(GUESTS) {
            let guests = parsed::<BTreeMap<String, GuestMemory>>(name, text, &mut troubles);
            state.guests.extend(guests.into_iter().flatten());
        } else if name == ASKED {
            let asked = parsed::<WhoWasAsked>(name, text, &mut troubles).unwrap_or_default();
            (state.asked, state.asked_nodes, state.stopping) = (asked.guests, asked.nodes, asked.stopping);
        } else if name == REST
            && let Some(rest) = parsed::<Rest>(name, text, &mut troubles)
        {
            (state.begun, state.ahead) = (rest.begun, rest.ahead);
            (state.conditions, state.storages) = (rest.conditions, rest.storages);
            (state.due, state.backups) = (rest.due, rest.backups);
        }
    }
    (state, troubles)
}

/// The texts by name; of those in `before` that are no more, an empty one.
pub(super) fn texts(state: &State, before: &[String]) -> BTreeMap<String, String> {
    let State { cursors, guests, asked, asked_nodes, stopping, conditions, storages, due, backups, begun, ahead } =
        state;
    let mut texts: BTreeMap<String, String> = before.iter().map(|name| (name.clone(), String::new())).collect();
    for (node, cursor) in cursors {
        texts.insert(format!("{NODE}{node}"), written(cursor));
    }
    let mut pieces: BTreeMap<u64, BTreeMap<&String, &GuestMemory>> = BTreeMap::new();
    for (id, guest) in guests {
        let number: u64 = id.rsplit('/').next().and_then(|vmid| vmid.parse().ok()).unwrap_or_default();
        pieces.entry(number % PIECES).or_default().insert(id, guest);
    }
    texts.extend(pieces.into_iter().map(|(piece, guests)| (format!("{GUESTS}{piece}"), written(&guests))));
    let (guests, nodes, stopping) = (asked.clone(), asked_nodes.clone(), stopping.clone());
    texts.insert(ASKED.to_owned(), written(&WhoWasAsked { guests, nodes, stopping }));
    let rest = Rest {
        begun: *begun,
        ahead: *ahead,
        conditions: conditions.clone(),
        storages: storages.clone(),
        due: due.clone(),
        backups: backups.clone(),
    };
    texts.insert(REST.to_owned(), written(&rest));
    texts
}

fn parsed<T: DeserializeOwned>(name: &str, text: &str, troubles: &mut Vec<String>) -> Option<T> {
    serde_json::from_str(text).map_err(|error| troubles.push(format!("{name}: {error}"))).ok()
}

fn written(what: &impl Serialize) -> String {
    serde_json::to_string(what).expect("maps with texts for keys can be written as JSON")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_what_is_gone_is_emptied() {
        let guest = |node: &str| GuestMemory {
            node: node.to_owned(),
            begun: Some(7),
            stopped: None,
            restarts: VecDeque::from([1, 2]),
            uptime: None,
        };
        let state = State {
            cursors: BTreeMap::from([("pve1".to_owned(), Cursor::new(5))]),
            guests: BTreeMap::from([("qemu/100".to_owned(), guest("pve1")), ("lxc/164".to_owned(), guest("pve2"))]),
            asked: BTreeMap::from([("100".to_owned(), 3)]),
            asked_nodes: BTreeMap::from([("pve1".to_owned(), 4)]),
            stopping: BTreeMap::from([("pve2".to_owned(), 4)]),
            conditions: BTreeMap::from([("x|y".to_owned(), Condition { since: 1, over: Some(2) })]),
            storages: BTreeSet::from(["storage/pve1/nfs".to_owned()]),
            due: BTreeMap::new(),
            backups: BTreeMap::from([("pve1".to_owned(), 9)]),
            begun: Some(1),
            ahead: Some(-2),
        };
        let first = texts(&state, &["node/gone".to_owned()]);
        assert_eq!(first.get("node/gone").map(String::as_str), Some(""));
        // 100 and 164 are in one piece.
        let names: Vec<&str> = first.keys().map(String::as_str).collect();
        assert_eq!(names, ["asked", "guests/36", "node/gone", "node/pve1", "rest"]);
        let kept = first.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        assert_eq!(read(&kept), (state, Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_costs_only_itself() {
        let texts = [("node/pve1", "{"), ("asked", "[]"), ("rest", "{\"begun\":4}"), ("other", "x")];
        let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let (state, troubles) = read(&texts);
        assert_eq!((state.begun, troubles.len()), (Some(4), 1), "{troubles:?}");
        assert!(troubles[0].starts_with("node/pve1: "), "{troubles:?}");
    }
}
