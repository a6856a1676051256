//! `GET /cluster/ha/status/current`: what the HA manager does; needs `Sys.Audit` on `/`.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Text};

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
}

impl HaEntry<'_> {
    /// Whether PVE takes a manager or a node's HA for dead, which it says only in words:
    /// `pve1 (old timestamp - dead?, watchdog standby, Fri Nov 20 20:59:25 2026)`.
    pub fn is_dead(&self) -> bool {
        let words = self.status.filled().and_then(|status| status.split_once('(')).map_or("", |(_, words)| words);
        words.split(',').next().is_some_and(|first| first.contains("dead?"))
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
    use super::*;

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
}
