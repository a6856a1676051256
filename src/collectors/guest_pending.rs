//! Changes of a running guest's configuration that wait for its next start. Try: `pvesh get /nodes/NODE/qemu/100/pending`

use std::time::Duration;

use super::shared::{self, Column};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve;

const CALL: &str = "/nodes/{node}/{type}/{vmid}/pending";

/// A second call for the same file, and only of guests that run: whoever does not gets its changes at once.
pub(super) const COLLECTOR: Collector = Collector {
    name: "guest_pending",
    about: "settings of running guests that wait for their next start",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &[CALL],
    families: &[&CHANGES],
    preset: Some(Preset::Full),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_hours(1),
        per: Per::Running,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static CHANGES: Desc = Desc {
    name: "pve_guest_pending_changes",
    help: "Number of settings that were changed and wait for the next start of the guest, from /nodes/{node}/{type}/{vmid}/pending.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(&shared::id(ask.subject()), pve::pending_changes(&answer)?))
    })
}

fn families(id: &str, changes: usize) -> Vec<Family> {
    let mut pending = Column::new(&CHANGES);
    pending.push(&Labels::new(&[("id", id)]), u32::try_from(changes).ok().map(f64::from));
    vec![pending.into_family()]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    #[test]
    fn what_waits_is_told_and_that_nothing_does() {
        for (file, count) in [
            ("pve-9.2-cluster/GET_nodes__pve-lab__qemu__100__pending.json", 0),
            ("hand-made/GET_nodes__pve-lab__qemu__101__pending.json", 3),
        ] {
            let changes = pve::pending_changes(&recorded(file)).expect("settings");
            assert_eq!(
                lines(&families("qemu/100", changes)),
                [format!("pve_guest_pending_changes{{id=\"qemu/100\"}} {count}")]
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["key", "value", "pending", "delete"])) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(changes) = pve::pending_changes(&answer) {
                check(&COLLECTOR, &families("qemu/7", changes));
            }
        }
    }
}
