//! What Ceph says of itself as a whole.

use std::collections::BTreeMap;

use super::super::shared::{Column, flag};
use super::{ID, gauge};
use crate::metrics::{Desc, Family, Labels};
use crate::pve::wire::Number;
use crate::pve::{CephStatus, PgMap};

pub(super) static HEALTH: Desc =
    gauge("pve_ceph_health_status", "Health of Ceph, only the one that it has, from /cluster/ceph/status.");
pub(super) static CHECK: Desc = gauge(
    "pve_ceph_health_check",
    "What is wrong with Ceph in its own words, 0 where the administrator has muted it, from /cluster/ceph/status.",
);
pub(super) static MONS: Desc = gauge("pve_ceph_mons", "Number of Ceph's monitors, from /cluster/ceph/status.");
pub(super) static MONS_IN_QUORUM: Desc = gauge(
    "pve_ceph_mons_in_quorum",
    "Number of Ceph's monitors that agree with each other, from /cluster/ceph/status.",
);
pub(super) static MGR_UP: Desc =
    gauge("pve_ceph_mgr_up", "Whether a manager of Ceph is at work, from /cluster/ceph/status.");
pub(super) static OSDS: Desc = gauge("pve_ceph_osds", "Number of OSDs, from /cluster/ceph/status.");
pub(super) static OSDS_UP: Desc = gauge("pve_ceph_osds_up", "Number of OSDs that answer, from /cluster/ceph/status.");
pub(super) static OSDS_IN: Desc =
    gauge("pve_ceph_osds_in", "Number of OSDs that take part, from /cluster/ceph/status.");
pub(super) static PGS: Desc = gauge("pve_ceph_pgs", "Number of placement groups, from /cluster/ceph/status.");
pub(super) static PGS_IN_STATE: Desc = gauge(
    "pve_ceph_pgs_in_state",
    "Number of placement groups of which this is said; several things are said of each, from /cluster/ceph/status.",
);
pub(super) static OBJECTS: Desc =
    gauge("pve_ceph_objects", "Number of objects in all pools, from /cluster/ceph/status.");
pub(super) static DEGRADED: Desc =
    gauge("pve_ceph_objects_degraded", "Number of copies of objects that are missing, from /cluster/ceph/status.");
pub(super) static MISPLACED: Desc = gauge(
    "pve_ceph_objects_misplaced",
    "Number of copies of objects that lie elsewhere than they should, from /cluster/ceph/status.",
);
pub(super) static UNFOUND: Desc =
    gauge("pve_ceph_objects_unfound", "Number of objects of which no copy is found, from /cluster/ceph/status.");
pub(super) static DATA: Desc =
    gauge("pve_ceph_data_bytes", "Data in all pools, each object once, from /cluster/ceph/status.");
pub(super) static SIZE: Desc = gauge("pve_ceph_size_bytes", "Size of all OSDs, from /cluster/ceph/status.");
pub(super) static USAGE: Desc = gauge("pve_ceph_usage_bytes", "Space in use on all OSDs, from /cluster/ceph/status.");
pub(super) static READ: Desc = gauge(
    "pve_ceph_client_read_bytes_per_second",
    "What clients read just now, as Ceph counts it, from /cluster/ceph/status.",
);
pub(super) static WRITTEN: Desc = gauge(
    "pve_ceph_client_written_bytes_per_second",
    "What clients write just now, as Ceph counts it, from /cluster/ceph/status.",
);
pub(super) static READS: Desc = gauge(
    "pve_ceph_client_reads_per_second",
    "How often clients read just now, as Ceph counts it, from /cluster/ceph/status.",
);
pub(super) static WRITES: Desc = gauge(
    "pve_ceph_client_writes_per_second",
    "How often clients write just now, as Ceph counts it, from /cluster/ceph/status.",
);
pub(super) static RECOVERED: Desc = gauge(
    "pve_ceph_recovery_bytes_per_second",
    "What is copied just now to have enough copies, as Ceph counts it, from /cluster/ceph/status.",
);
pub(super) static RECOVERED_OBJECTS: Desc = gauge(
    "pve_ceph_recovery_objects_per_second",
    "How many objects are copied just now to have enough copies, as Ceph counts it, from /cluster/ceph/status.",
);

/// So many things can be wrong at once, by name.
const MOST_CHECKS: usize = 100;

const HEALTHS: &[&str] = &["HEALTH_OK", "HEALTH_WARN", "HEALTH_ERR"];

/// What Ceph says of a placement group; another word becomes `other`.
const STATES: &[&str] = &[
    "activating",
    "active",
    "backfill_toofull",
    "backfill_unfound",
    "backfill_wait",
    "backfilling",
    "clean",
    "creating",
    "deep",
    "degraded",
    "down",
    "failed_repair",
    "forced_backfill",
    "forced_recovery",
    "incomplete",
    "inconsistent",
    "laggy",
    "peered",
    "peering",
    "premerge",
    "recovering",
    "recovery_toofull",
    "recovery_unfound",
    "recovery_wait",
    "remapped",
    "repair",
    "scrubbing",
    "snaptrim",
    "snaptrim_error",
    "snaptrim_wait",
    "stale",
    "undersized",
    "unknown",
    "wait",
];

pub(super) fn families(status: &CephStatus<'_>) -> Vec<Family> {
    let labels = Labels::new(&[("id", ID)]);
    let osds = &status.osdmap.0;
    let quorum = status.quorum.length.filter(|length| *length > 0).map(|length| length as f64);
    let figures = [
        (&MONS, status.monitors()),
        (&MONS_IN_QUORUM, quorum),
        (&MGR_UP, manager(status)),
        (&OSDS, osds.num_osds.quantity()),
        (&OSDS_UP, osds.num_up_osds.quantity()),
        (&OSDS_IN, osds.num_in_osds.quantity()),
    ];
    let mut families = health(status);
    let figures = figures.into_iter().chain(traffic(&status.pgmap.0));
    families.extend(figures.map(|(desc, value)| {
        let mut column = Column::new(desc);
        column.push(&labels, value);
        column.into_family()
    }));
    families.push(states(&status.pgmap.0));
    families
}

fn health(status: &CephStatus<'_>) -> Vec<Family> {
    let [mut health, mut check] = [&HEALTH, &CHECK].map(Column::new);
    let health_told = &status.health.0;
    let known = |said: Option<&str>| {
        said.and_then(|said| HEALTHS.iter().find(|word| **word == said)).copied().unwrap_or("other")
    };
    health.push_info(Labels::new(&[("id", ID), ("status", known(health_told.status.filled()))]));
    // Each once: it is heard of as long as one of its name is not muted.
    let mut checks: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for (name, told) in &health_told.checks.0 {
        let name = check_name(name.filled());
        let name = if checks.len() < MOST_CHECKS { name } else { "other" };
        *checks.entry((name, known(told.severity.filled()))).or_default() |= told.muted.0 != Some(true);
    }
    for ((name, severity), heard) in checks {
        check.push(&Labels::new(&[("id", ID), ("check", name), ("severity", severity)]), Some(flag(heard)));
    }
    [health, check].map(Column::into_family).into()
}

/// Ceph has some hundred names, such as `OSD_DOWN`, and its modules may add others.
fn check_name(name: Option<&str>) -> &str {
    let is_word = |name: &&str| {
        name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    name.filter(is_word).unwrap_or("other")
}

/// Releases differ in what they tell of it.
fn manager(status: &CephStatus<'_>) -> Option<f64> {
    let manager = &status.mgrmap.0;
    manager.available.0.or_else(|| manager.active_name.filled().map(|_| true)).map(flag)
}

/// What Ceph leaves out is 0, as long as it tells of placement groups at all.
fn traffic(told: &PgMap<'_>) -> Vec<(&'static Desc, Option<f64>)> {
    let or_none = |number: Number| number.quantity().or_else(|| told.num_pgs.quantity().map(|_| 0.0));
    vec![
        (&PGS, told.num_pgs.quantity()),
        (&OBJECTS, told.num_objects.quantity()),
        (&DEGRADED, or_none(told.degraded_objects)),
        (&MISPLACED, or_none(told.misplaced_objects)),
        (&UNFOUND, or_none(told.unfound_objects)),
        (&DATA, told.data_bytes.quantity()),
        (&SIZE, told.bytes_total.quantity()),
        (&USAGE, told.bytes_used.quantity()),
        (&READ, or_none(told.read_bytes_sec)),
        (&WRITTEN, or_none(told.write_bytes_sec)),
        (&READS, or_none(told.read_op_per_sec)),
        (&WRITES, or_none(told.write_op_per_sec)),
        (&RECOVERED, or_none(told.recovering_bytes_per_sec)),
        (&RECOVERED_OBJECTS, or_none(told.recovering_objects_per_sec)),
    ]
}

/// Ceph tells combinations, of which there are very many.
fn states(told: &PgMap<'_>) -> Family {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for state in &told.pgs_by_state.items {
        let Some(count) = state.count.quantity() else { continue };
        let mut words: Vec<&str> = state.state_name.filled().unwrap_or("unknown").split('+').map(known_state).collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            *counts.entry(word).or_default() += count;
        }
    }
    let mut column = Column::new(&PGS_IN_STATE);
    for (state, count) in counts {
        // Numbers of whoever sends such large ones may add up to no number.
        column.push(&Labels::new(&[("id", ID), ("state", state)]), Some(count).filter(|count| count.is_finite()));
    }
    column.into_family()
}

fn known_state(said: &str) -> &'static str {
    STATES.iter().find(|word| **word == said).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::lines;
    use super::*;
    use crate::pve::testing::recorded;
    use crate::pve::{self, Answer};

    #[test]
    fn the_hand_made_status_is_told() {
        let answer = recorded("hand-made/GET_cluster__ceph__status.json");
        assert_eq!(
            lines(&families(&pve::ceph_status(&answer).expect("a status"))),
            [
                "pve_ceph_health_status{id=\"ceph\",status=\"HEALTH_WARN\"} 1",
                "pve_ceph_health_check{id=\"ceph\",check=\"MON_DISK_LOW\",severity=\"HEALTH_WARN\"} 0",
                "pve_ceph_health_check{id=\"ceph\",check=\"OSD_DOWN\",severity=\"HEALTH_WARN\"} 1",
                "pve_ceph_health_check{id=\"ceph\",check=\"PG_DEGRADED\",severity=\"HEALTH_WARN\"} 1",
                "pve_ceph_mons{id=\"ceph\"} 3",
                "pve_ceph_mons_in_quorum{id=\"ceph\"} 3",
                "pve_ceph_mgr_up{id=\"ceph\"} 1",
                "pve_ceph_osds{id=\"ceph\"} 6",
                "pve_ceph_osds_up{id=\"ceph\"} 5",
                "pve_ceph_osds_in{id=\"ceph\"} 6",
                "pve_ceph_pgs{id=\"ceph\"} 129",
                "pve_ceph_objects{id=\"ceph\"} 8266",
                "pve_ceph_objects_degraded{id=\"ceph\"} 4132",
                "pve_ceph_objects_misplaced{id=\"ceph\"} 0",
                "pve_ceph_objects_unfound{id=\"ceph\"} 0",
                "pve_ceph_data_bytes{id=\"ceph\"} 31000000000",
                "pve_ceph_size_bytes{id=\"ceph\"} 6000000000000",
                "pve_ceph_usage_bytes{id=\"ceph\"} 96000000000",
                "pve_ceph_client_read_bytes_per_second{id=\"ceph\"} 1048576",
                "pve_ceph_client_written_bytes_per_second{id=\"ceph\"} 5242880",
                "pve_ceph_client_reads_per_second{id=\"ceph\"} 37",
                "pve_ceph_client_writes_per_second{id=\"ceph\"} 211",
                "pve_ceph_recovery_bytes_per_second{id=\"ceph\"} 0",
                "pve_ceph_recovery_objects_per_second{id=\"ceph\"} 0",
                "pve_ceph_pgs_in_state{id=\"ceph\",state=\"active\"} 129",
                "pve_ceph_pgs_in_state{id=\"ceph\",state=\"clean\"} 108",
                "pve_ceph_pgs_in_state{id=\"ceph\",state=\"deep\"} 2",
                "pve_ceph_pgs_in_state{id=\"ceph\",state=\"degraded\"} 21",
                "pve_ceph_pgs_in_state{id=\"ceph\",state=\"scrubbing\"} 2",
                "pve_ceph_pgs_in_state{id=\"ceph\",state=\"undersized\"} 21",
            ]
        );
    }

    #[test]
    fn checks_are_words_and_not_too_many() {
        let told = |checks: &str| {
            let body = format!(r#"{{"data":{{"health":{{"status":"HEALTH_WARN","checks":{{{checks}}}}}}}}}"#);
            let lines = lines(&families(&pve::ceph_status(&Answer::of(&body)).expect("a status")));
            lines.into_iter().filter(|line| line.starts_with("pve_ceph_health_check{")).collect::<Vec<_>>()
        };
        let twice = r#""OSD_DOWN":{"severity":"HEALTH_WARN","muted":true},"OSD_DOWN":{"severity":"HEALTH_WARN"},
            "osd 17 of pve3":{"severity":"HEALTH_TEA"},"osd 18 of pve3":{"muted":true},"":{}"#;
        assert_eq!(
            told(twice),
            [
                "pve_ceph_health_check{id=\"ceph\",check=\"OSD_DOWN\",severity=\"HEALTH_WARN\"} 1",
                "pve_ceph_health_check{id=\"ceph\",check=\"other\",severity=\"other\"} 1",
            ]
        );
        let many: Vec<String> = (0..1000).map(|number| format!("\"CHECK_{number}\":{{}}")).collect();
        assert_eq!(told(&many.join(",")).len(), MOST_CHECKS + 1);
    }

    #[test]
    fn little_told_is_little_said() {
        let told = |data: &str| {
            let answer = Answer::of(&format!("{{\"data\":{data}}}"));
            lines(&families(&pve::ceph_status(&answer).expect("a status")))
        };
        assert_eq!(
            told(r#"{"health":{"status":"HEALTH_TEA"}}"#),
            ["pve_ceph_health_status{id=\"ceph\",status=\"other\"} 1"]
        );
        let lines = told(
            r#"{"health":{"status":"HEALTH_ERR"},"mgrmap":{"active_name":"a"},"pgmap":{"pgs_by_state":[{"state_name":"brewing+hot","count":2},{"count":3}]}}"#,
        );
        assert_eq!(
            lines,
            [
                "pve_ceph_health_status{id=\"ceph\",status=\"HEALTH_ERR\"} 1",
                "pve_ceph_mgr_up{id=\"ceph\"} 1",
                "pve_ceph_pgs_in_state{id=\"ceph\",state=\"other\"} 2",
                "pve_ceph_pgs_in_state{id=\"ceph\",state=\"unknown\"} 3",
            ]
        );
    }
}
