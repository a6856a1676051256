//! Snapshots of each guest: how many, since when. Try: `pvesh get /nodes/NODE/qemu/100/snapshot`

use std::time::Duration;

use super::shared::{self, Column};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, GuestSnapshot};

const CALL: &str = "/nodes/{node}/{type}/{vmid}/snapshot";

/// One call per guest, through pvedaemon; what is looked for are snapshots that somebody forgot.
pub(super) const COLLECTOR: Collector = Collector {
    name: "snapshot",
    about: "snapshots of every guest: how many, the oldest and the newest, with memory, and unfinished ones",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &[CALL],
    families: &[&COUNT, &OLDEST, &NEWEST, &WITH_MEMORY, &UNFINISHED],
    preset: Some(Preset::Full),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(30),
        per: Per::Guest,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static COUNT: Desc = Desc {
    name: "pve_guest_snapshots",
    help: "Number of snapshots of the guest, from /nodes/{node}/{type}/{vmid}/snapshot.",
    kind: Kind::Gauge,
};
static OLDEST: Desc = Desc {
    name: "pve_guest_snapshot_oldest_timestamp_seconds",
    help: "When the oldest snapshot of the guest was made, absent if it has none, from /nodes/{node}/{type}/{vmid}/snapshot.",
    kind: Kind::Gauge,
};
static NEWEST: Desc = Desc {
    name: "pve_guest_snapshot_newest_timestamp_seconds",
    help: "When the newest snapshot of the guest was made, absent if it has none, from /nodes/{node}/{type}/{vmid}/snapshot.",
    kind: Kind::Gauge,
};
static WITH_MEMORY: Desc = Desc {
    name: "pve_guest_snapshots_with_memory",
    help: "Number of snapshots of the VM that hold its memory too, whose size is not told, from /nodes/{node}/{type}/{vmid}/snapshot.",
    kind: Kind::Gauge,
};
static UNFINISHED: Desc = Desc {
    name: "pve_guest_snapshots_unfinished",
    help: "Number of snapshots of the guest that are being made or removed, or where that did not come to an end, from /nodes/{node}/{type}/{vmid}/snapshot.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(&shared::id(ask.subject()), &pve::snapshots(&answer)?))
    })
}

fn families(id: &str, snapshots: &[GuestSnapshot<'_>]) -> Vec<Family> {
    let labels = Labels::new(&[("id", id)]);
    let count = |wanted: fn(&&GuestSnapshot<'_>) -> bool| {
        u32::try_from(snapshots.iter().filter(wanted).count()).ok().map(f64::from)
    };
    let times = || snapshots.iter().filter_map(GuestSnapshot::made);
    // A container is a process of its node: nobody can save its memory.
    let can_have_memory = id.starts_with("qemu/");
    let told = [
        (&COUNT, count(|_| true)),
        (&OLDEST, times().reduce(f64::min)),
        (&NEWEST, times().reduce(f64::max)),
        (&WITH_MEMORY, count(|snapshot| snapshot.vmstate.0 == Some(true)).filter(|_| can_have_memory)),
        (&UNFINISHED, count(|snapshot| snapshot.snapstate.filled().is_some())),
    ];
    let family = |(desc, value)| {
        let mut column = Column::new(desc);
        column.push(&labels, value);
        column.into_family()
    };
    told.map(family).into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(id: &str, answer: &Answer) -> Vec<String> {
        lines(&families(id, &pve::snapshots(answer).expect("snapshots")))
    }

    #[test]
    fn the_recorded_guests_have_none() {
        assert_eq!(
            told("qemu/100", &recorded("pve-9.2-cluster/GET_nodes__pve-lab__qemu__100__snapshot.json")),
            [
                r#"pve_guest_snapshots{id="qemu/100"} 0"#,
                r#"pve_guest_snapshots_with_memory{id="qemu/100"} 0"#,
                r#"pve_guest_snapshots_unfinished{id="qemu/100"} 0"#,
            ]
        );
        assert_eq!(
            told("lxc/200", &recorded("pve-9.2-cluster/GET_nodes__pve-lab__lxc__200__snapshot.json")),
            [r#"pve_guest_snapshots{id="lxc/200"} 0"#, r#"pve_guest_snapshots_unfinished{id="lxc/200"} 0"#]
        );
    }

    #[test]
    fn snapshots_are_told_but_not_the_guest_as_it_is_now() {
        assert_eq!(
            told("qemu/101", &recorded("hand-made/GET_nodes__pve-lab__qemu__101__snapshot.json")),
            [
                r#"pve_guest_snapshots{id="qemu/101"} 3"#,
                r#"pve_guest_snapshot_oldest_timestamp_seconds{id="qemu/101"} 1794000000"#,
                r#"pve_guest_snapshot_newest_timestamp_seconds{id="qemu/101"} 1795100000"#,
                r#"pve_guest_snapshots_with_memory{id="qemu/101"} 1"#,
                r#"pve_guest_snapshots_unfinished{id="qemu/101"} 1"#,
            ]
        );
        // A time that was not written down is not 1970.
        for rows in [r#"{"name":"a","snaptime":0}"#, r#"{"name":"a"}"#, r#"{"name":"a","snaptime":-5},7"#] {
            let answer = Answer::of(&format!(r#"{{"data":[{rows},{{"name":"current"}}]}}"#));
            let count = [r#"pve_guest_snapshots{id="lxc/7"} 1"#, r#"pve_guest_snapshots_unfinished{id="lxc/7"} 0"#];
            assert_eq!(told("lxc/7", &answer), count, "{rows}");
        }
        for body in [r#"{"data":[]}"#, r#"{"data":[{"snaptime":1}]}"#, r#"{"data":{}}"#, r#"{"data":null}"#] {
            assert!(pve::snapshots(&Answer::of(body)).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["name", "snaptime", "vmstate", "snapstate", "parent"])) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(snapshots) = pve::snapshots(&answer) {
                check(&COLLECTOR, &families("qemu/7", &snapshots));
            }
        }
    }
}
