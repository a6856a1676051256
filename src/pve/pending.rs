//! `GET /nodes/{node}/{qemu|lxc}/{vmid}/pending`: the configuration of a guest with what waits for its next start; needs
//! `VM.Audit` on it.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number, Text};

/// A setting as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Setting<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    /// What it will be; absent where nothing waits.
    #[serde(borrow)]
    pending: Text<'a>,
    /// Above 0 where it will be removed.
    delete: Number,
}

/// How many settings wait. Each guest has settings, one of them at least its checksum: an answer without any is malformed.
pub fn pending_changes(answer: &Answer) -> Result<usize, Error> {
    let list: List<Setting<'_>> = answer.data()?;
    if list.items.is_empty() && list.skipped == 0 {
        return Err(answer.malformed("it is empty; expected the settings of a guest".to_owned()));
    }
    let settings = shaped(answer, list, "a key", |setting| setting.key.filled().is_some())?;
    let waits = |setting: &&Setting<'_>| setting.pending.0.is_some() || setting.delete.0.is_some_and(|how| how > 0.0);
    Ok(settings.iter().filter(waits).count())
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;

    #[test]
    fn changes_that_wait_are_counted() {
        let recorded = recorded("pve-9.2-cluster/GET_nodes__pve-lab__qemu__100__pending.json");
        assert_eq!(pending_changes(&recorded), Ok(0));
        for (rows, expected) in [
            (r#"{"key":"cores","value":1,"pending":2},{"key":"memory","value":"256"}"#, 1),
            (r#"{"key":"net1","delete":1},{"key":"scsi1","pending":"local:1,size=1G"},{"key":"name","delete":0}"#, 2),
            (r#"{"key":"description","value":"x","pending":""},7"#, 1),
            (r#"{"key":"cores","pending":null}"#, 0),
        ] {
            let answer = Answer::of(&format!(r#"{{"data":[{rows}]}}"#));
            assert_eq!(pending_changes(&answer), Ok(expected), "{rows}");
        }
        for body in [r#"{"data":[]}"#, r#"{"data":[{"value":1}]}"#, r#"{"data":{}}"#, r#"{"data":null}"#] {
            assert!(pending_changes(&Answer::of(body)).is_err(), "{body}");
        }
    }
}
