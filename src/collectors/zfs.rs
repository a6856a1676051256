//! ZFS pools of each node. Try: `pvesh get /nodes/NODE/disks/zfs` and `pvesh get /nodes/NODE/disks/zfs/POOL`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{Column, flag, if_there, if_told, node_of};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Answer, Error, Scan, ZfsPool, ZfsStatus};

const CALL: &str = "/nodes/{node}/disks/zfs";
const POOL_CALL: &str = "/nodes/{node}/disks/zfs/{pool}";
/// For the node's time zone, in which zpool speaks; asked only where there is a pool.
const TIME_CALL: &str = "/nodes/{node}/time";
/// Of so many pools of a node the details are asked: each costs a call.
const MOST_ASKED: usize = 32;

/// It blocks because a suspended pool holds zpool up.
pub(super) const COLLECTOR: Collector = Collector {
    name: "zfs",
    about: "health, room, fragmentation, errors and last scrub of every node's ZFS pools",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL, TIME_CALL, POOL_CALL],
    families: &[
        &INFO,
        &STATE,
        &SIZE,
        &USAGE,
        &FRAGMENTATION,
        &DEDUP,
        &DEVICE_ERRORS,
        &DATA_ERRORS,
        &SCRUBBED,
        &SCRUB_ERRORS,
        &SCANNING,
    ],
    preset: Some(Preset::Full),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(5),
        per: Per::Node,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static INFO: Desc = Desc {
    name: "pve_zfs_pool_info",
    help: "Node and name of the ZFS pool, from /nodes/{node}/disks/zfs.",
    kind: Kind::Gauge,
};
static STATE: Desc = Desc {
    name: "pve_zfs_pool_state",
    help: "State of the ZFS pool, only the one that it is in, from /nodes/{node}/disks/zfs.",
    kind: Kind::Gauge,
};
static SIZE: Desc = Desc {
    name: "pve_zfs_pool_size_bytes",
    help: "Size of the ZFS pool, room for redundancy included, from /nodes/{node}/disks/zfs.",
    kind: Kind::Gauge,
};
static USAGE: Desc = Desc {
    name: "pve_zfs_pool_usage_bytes",
    help: "Space of the ZFS pool that is in use, redundancy included, from /nodes/{node}/disks/zfs.",
    kind: Kind::Gauge,
};
static FRAGMENTATION: Desc = Desc {
    name: "pve_zfs_pool_fragmentation_ratio",
    help: "How much the free space of the ZFS pool lies in pieces, from /nodes/{node}/disks/zfs.",
    kind: Kind::Gauge,
};
static DEDUP: Desc = Desc {
    name: "pve_zfs_pool_dedup_ratio",
    help: "How many times data that the ZFS pool keeps once are used, from /nodes/{node}/disks/zfs.",
    kind: Kind::Gauge,
};
static DEVICE_ERRORS: Desc = Desc {
    name: "pve_zfs_pool_device_errors",
    help: "Errors of the ZFS pool's devices since they were last cleared, from /nodes/{node}/disks/zfs/{pool}.",
    kind: Kind::Gauge,
};
static DATA_ERRORS: Desc = Desc {
    name: "pve_zfs_pool_data_errors",
    help: "Files or blocks of the ZFS pool that are lost, from /nodes/{node}/disks/zfs/{pool}.",
    kind: Kind::Gauge,
};
static SCRUBBED: Desc = Desc {
    name: "pve_zfs_pool_scrub_timestamp_seconds",
    help: "When the last scrub of the ZFS pool ended, absent while one runs and where there was none, from /nodes/{node}/disks/zfs/{pool}.",
    kind: Kind::Gauge,
};
static SCRUB_ERRORS: Desc = Desc {
    name: "pve_zfs_pool_scrub_errors",
    help: "Errors that the last scrub of the ZFS pool could not mend, from /nodes/{node}/disks/zfs/{pool}.",
    kind: Kind::Gauge,
};
static SCANNING: Desc = Desc {
    name: "pve_zfs_pool_scanning",
    help: "Whether a scrub or resilver of the ZFS pool is under way, from /nodes/{node}/disks/zfs/{pool}.",
    kind: Kind::Gauge,
};

/// The words of zpool; another one becomes `other`.
const STATES: &[&str] = &["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Some(answer) = if_there(ask.get(CALL).await)? else { return Ok(Vec::new()) };
        let pools = pve::zfs_pools(&answer)?;
        if pools.is_empty() {
            return Ok(Vec::new());
        }
        let offset = pve::clock_offset(&ask.get(TIME_CALL).await?)?;
        let answers = details(ask, &pools).await?;
        let mut details = BTreeMap::new();
        for (name, answer) in &answers {
            details.insert(*name, pve::zfs_status(answer)?);
        }
        Ok(families(node_of(ask.subject()), offset, &pools, &details))
    })
}

/// One pool after the other. What the list tells stands also of one that zpool cannot tell more of.
async fn details<'a>(ask: &Ask<'_>, pools: &'a [ZfsPool<'_>]) -> Result<Vec<(&'a str, Answer)>, Error> {
    let mut answers = Vec::new();
    for name in pools.iter().filter_map(|pool| pool.name.filled()).take(MOST_ASKED) {
        let answer = if_told(ask.get_with(POOL_CALL, &[("pool", name)]).await)?;
        answers.extend(answer.map(|answer| (name, answer)));
    }
    Ok(answers)
}

/// `offset`: by how much the clock of zpool is ahead of UTC.
fn families(
    node: &str,
    offset: Option<f64>,
    pools: &[ZfsPool<'_>],
    details: &BTreeMap<&str, ZfsStatus<'_>>,
) -> Vec<Family> {
    let [mut info, mut state, mut device_errors] = [&INFO, &STATE, &DEVICE_ERRORS].map(Column::new);
    let mut values = [&SIZE, &USAGE, &FRAGMENTATION, &DEDUP].map(Column::new);
    let mut details_told = [&DATA_ERRORS, &SCRUBBED, &SCRUB_ERRORS, &SCANNING].map(Column::new);
    // By name, each once.
    let pools: BTreeMap<&str, &ZfsPool<'_>> =
        pools.iter().filter_map(|pool| Some((pool.name.filled()?, pool))).collect();
    for (name, pool) in pools {
        let id = format!("zfs/{node}/{name}");
        let labels = Labels::new(&[("id", &id)]);
        info.push_info(Labels::new(&[("id", &id), ("node", node), ("pool", name)]));
        if let Some(said) = pool.health.filled() {
            let word = STATES.iter().find(|word| word.eq_ignore_ascii_case(said)).copied().unwrap_or("other");
            state.push_info(Labels::new(&[("id", &id), ("state", word)]));
        }
        let fragmentation = pool.frag.quantity().map(|percent| percent / 100.0);
        let told = [pool.size.quantity(), pool.alloc.quantity(), fragmentation, pool.dedup.quantity()];
        for (column, value) in values.iter_mut().zip(told) {
            column.push(&labels, value);
        }
        let Some(status) = details.get(name) else { continue };
        for (column, value) in details_told.iter_mut().zip(detail(status, offset)) {
            column.push(&labels, value);
        }
        let kinds = [
            ("read", status.device_errors(|device| device.read)),
            ("write", status.device_errors(|device| device.write)),
            ("checksum", status.device_errors(|device| device.cksum)),
        ];
        for (kind, count) in kinds {
            device_errors.push(&Labels::new(&[("id", &id), ("type", kind)]), count);
        }
    }
    let columns = [info, state].into_iter().chain(values).chain([device_errors]).chain(details_told);
    columns.map(Column::into_family).collect()
}

/// The values of data errors, last scrub, its errors, and whether one is under way.
fn detail(status: &ZfsStatus<'_>, offset: Option<f64>) -> [Option<f64>; 4] {
    let scan = status.scan();
    let (ended, errors) = match scan {
        Some(Scan::Scrubbed { ended, errors }) => (offset.map(|offset| ended - offset), Some(errors)),
        _ => (None, None),
    };
    [status.data_errors(), ended, errors, scan.map(|scan| flag(scan == Scan::Running))]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::testing::{any_object, any_rows, recorded};
    use proptest::prelude::*;

    fn told(offset: Option<f64>) -> Vec<String> {
        let pools = recorded("hand-made/GET_nodes__pve-lab__disks__zfs.json");
        let answers = ["tank", "rpool"]
            .map(|name| (name, recorded(&format!("hand-made/GET_nodes__pve-lab__disks__zfs__{name}.json"))));
        let details =
            answers.iter().map(|(name, answer)| (*name, pve::zfs_status(answer).expect("a status"))).collect();
        lines(&families("pve-lab", offset, &pve::zfs_pools(&pools).expect("pools"), &details))
    }

    #[test]
    fn a_damaged_pool_and_one_that_is_scrubbed_are_told() {
        assert_eq!(
            told(Some(3600.0)),
            [
                "pve_zfs_pool_info{id=\"zfs/pve-lab/rpool\",node=\"pve-lab\",pool=\"rpool\"} 1",
                "pve_zfs_pool_info{id=\"zfs/pve-lab/tank\",node=\"pve-lab\",pool=\"tank\"} 1",
                "pve_zfs_pool_state{id=\"zfs/pve-lab/rpool\",state=\"online\"} 1",
                "pve_zfs_pool_state{id=\"zfs/pve-lab/tank\",state=\"degraded\"} 1",
                "pve_zfs_pool_size_bytes{id=\"zfs/pve-lab/rpool\"} 960000000000",
                "pve_zfs_pool_size_bytes{id=\"zfs/pve-lab/tank\"} 4000000000000",
                "pve_zfs_pool_usage_bytes{id=\"zfs/pve-lab/rpool\"} 96000000000",
                "pve_zfs_pool_usage_bytes{id=\"zfs/pve-lab/tank\"} 3000000000000",
                "pve_zfs_pool_fragmentation_ratio{id=\"zfs/pve-lab/rpool\"} 0.04",
                "pve_zfs_pool_fragmentation_ratio{id=\"zfs/pve-lab/tank\"} 0.37",
                "pve_zfs_pool_dedup_ratio{id=\"zfs/pve-lab/rpool\"} 1.25",
                "pve_zfs_pool_dedup_ratio{id=\"zfs/pve-lab/tank\"} 1",
                "pve_zfs_pool_device_errors{id=\"zfs/pve-lab/rpool\",type=\"read\"} 0",
                "pve_zfs_pool_device_errors{id=\"zfs/pve-lab/rpool\",type=\"write\"} 0",
                "pve_zfs_pool_device_errors{id=\"zfs/pve-lab/rpool\",type=\"checksum\"} 0",
                "pve_zfs_pool_device_errors{id=\"zfs/pve-lab/tank\",type=\"read\"} 3",
                "pve_zfs_pool_device_errors{id=\"zfs/pve-lab/tank\",type=\"write\"} 17",
                "pve_zfs_pool_device_errors{id=\"zfs/pve-lab/tank\",type=\"checksum\"} 12",
                "pve_zfs_pool_data_errors{id=\"zfs/pve-lab/rpool\"} 0",
                "pve_zfs_pool_data_errors{id=\"zfs/pve-lab/tank\"} 0",
                "pve_zfs_pool_scrub_timestamp_seconds{id=\"zfs/pve-lab/tank\"} 1794699395",
                "pve_zfs_pool_scrub_errors{id=\"zfs/pve-lab/tank\"} 0",
                "pve_zfs_pool_scanning{id=\"zfs/pve-lab/rpool\"} 1",
                "pve_zfs_pool_scanning{id=\"zfs/pve-lab/tank\"} 0",
            ]
        );
    }

    #[test]
    fn without_the_time_zone_no_time_is_told() {
        let lines = told(None);
        assert!(!lines.iter().any(|line| line.starts_with(SCRUBBED.name)));
        assert!(lines.iter().any(|line| line.starts_with(SCRUB_ERRORS.name)));
    }

    #[test]
    fn the_list_stands_where_details_are_missing_and_unknown_words_are_other() {
        let answer = Answer::of(r#"{"data":[{"name":"tank","health":"SINGING","size":"x"}]}"#);
        let pools = pve::zfs_pools(&answer).expect("pools");
        assert_eq!(
            lines(&families("a", Some(0.0), &pools, &BTreeMap::new())),
            [
                "pve_zfs_pool_info{id=\"zfs/a/tank\",node=\"a\",pool=\"tank\"} 1",
                "pve_zfs_pool_state{id=\"zfs/a/tank\",state=\"other\"} 1",
            ]
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            pools in any_rows(&["name", "health", "size", "alloc", "frag", "dedup"]),
            status in any_object(&["scan", "errors"]),
            devices in any_rows(&["read", "write", "cksum"]),
        ) {
            let pools = Answer::of(&serde_json::json!({ "data": pools }).to_string());
            let mut status = serde_json::json!({ "data": status });
            status["data"]["children"] = devices;
            let status = Answer::of(&status.to_string());
            if let (Ok(pools), Ok(status)) = (pve::zfs_pools(&pools), pve::zfs_status(&status)) {
                check(&COLLECTOR, &families("a", Some(1.0), &pools, &BTreeMap::from([("node", status)])));
            }
        }
    }
}
