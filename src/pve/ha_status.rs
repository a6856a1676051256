//! `GET /cluster/ha/status/current`: what the HA manager does; needs `Sys.Audit` on `/`.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Number, Text};

/// One entry as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HaEntry<'a> {
    /// `quorum`, `master`, `fencing`, `lrm` or `service`; more may come.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// The node it is about.
    #[serde(borrow)]
    pub node: Text<'a>,
    /// Quorum: whether the answering side has a majority.
    pub quorate: Flag,
    /// A sentence whose form depends on the type; see [`HaEntry::is_dead`].
    #[serde(borrow)]
    pub status: Text<'a>,
    /// Service: such as `vm:100` or `ct:101`.
    #[serde(borrow)]
    pub sid: Text<'a>,
    /// Service: such as `started`, `fence` or `error`.
    #[serde(borrow)]
    pub state: Text<'a>,
    /// Service: what the administrator wants, such as `started`, `stopped` or `ignored`.
    #[serde(borrow)]
    pub request_state: Text<'a>,
    /// Master and LRM: when it last said something, in seconds since 1970.
    pub timestamp: Number,
    /// Fencing, since PVE 9.1: `armed`, `standby`, `disarming` or `disarmed`.
    #[serde(borrow, rename = "armed-state")]
    pub armed_state: Text<'a>,
}

impl HaEntry<'_> {
    /// Whether PVE takes a manager or a node's HA for dead, which it says only in words:
    /// `pve1 (old timestamp - dead?, watchdog standby, Fri Nov 20 20:59:25 2026)`.
    pub fn is_dead(&self) -> bool {
        self.phrase().is_some_and(|phrase| phrase.contains("dead?"))
    }

    /// The state within the sentence of a manager or of a node's HA, such as `active`, `maintenance mode` or
    /// `old timestamp - dead?`.
    pub fn phrase(&self) -> Option<&str> {
        let (_, words) = self.status.filled()?.split_once('(')?;
        words.split([',', ')']).next().map(str::trim).filter(|phrase| !phrase.is_empty())
    }
}

/// The entries; where HA was never used there is hardly more than the quorum. Entries without a type are passed over;
/// if all are so, the answer is malformed.
pub fn ha_status(answer: &Answer) -> Result<Vec<HaEntry<'_>>, Error> {
    let list: List<HaEntry<'_>> = answer.data()?;
    shaped(answer, list, "a type", |entry| entry.kind.filled().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_rows, recorded};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_dead_are_told_by_words() {
        for (status, dead) in [
            ("pve-lab2 (old timestamp - dead?, watchdog standby, Fri Nov 20 20:59:25 2026)", true),
            ("pve-lab (old timestamp - dead?, Fri Nov 20 20:59:31 2026)", true),
            ("pve-lab (active, watchdog active, Fri Nov 20 21:09:24 2026)", false),
            ("pve-dead? (idle, Fri Nov 20 21:09:24 2026)", false),
            ("pve-lab (maintenance mode, watchdog standby, Fri Nov 20 21:17:58 2026)", false),
            ("", false),
        ] {
            let answer = Answer::of(&serde_json::json!({"data": [{"type": "lrm", "status": status}]}).to_string());
            assert_eq!(ha_status(&answer).expect("entries")[0].is_dead(), dead, "{status}");
        }
    }

    #[test]
    fn the_state_stands_in_the_sentence() {
        for (status, phrase) in [
            ("pve-lab (active, Fri Nov 20 21:17:51 2026)", Some("active")),
            ("pve-lab2 (maintenance mode, watchdog standby, Fri Nov 20 21:17:58 2026)", Some("maintenance mode")),
            ("pve-lab (unable to read lrm status)", Some("unable to read lrm status")),
            ("pve-lab ()", None),
            ("pve-lab (", None),
            ("pve-lab", None),
        ] {
            let answer = Answer::of(&serde_json::json!({"data": [{"type": "lrm", "status": status}]}).to_string());
            assert_eq!(ha_status(&answer).expect("entries")[0].phrase(), phrase, "{status}");
        }
    }

    #[test]
    fn the_recorded_entries_are_read() {
        let answer = recorded("pve-9.2-cluster/GET_cluster__ha__status__current.json");
        let entries = ha_status(&answer).expect("entries");
        let of = |kind: &str| entries.iter().find(|entry| entry.kind.filled() == Some(kind)).expect("an entry");
        assert_eq!(entries.len(), 7);
        assert_eq!(of("master").timestamp.whole(), Some(1_795_209_471));
        assert_eq!(of("fencing").armed_state.filled(), Some("armed"));
        assert_eq!(
            (of("service").sid.filled(), of("service").request_state.filled()),
            (Some("vm:300"), Some("stopped"))
        );
    }

    proptest! {
        #[test]
        fn no_answer_panics(rows in any_rows(&["type", "status", "timestamp", "sid", "armed-state"]), text in ".{0,20}") {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            for entry in ha_status(&answer).unwrap_or_default() {
                let _ = (entry.is_dead(), entry.phrase());
            }
            let entry = HaEntry { status: Text(Some(text.into())), ..HaEntry::default() };
            let _ = (entry.is_dead(), entry.phrase());
        }
    }
}
