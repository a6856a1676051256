//! Replication jobs, each told by the node that its guest is on. Try: `pvesh get /nodes/NODE/replication`

use std::time::Duration;

use super::shared::{Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, reference};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::wire::Number;
use crate::pve::{self, ReplicationJob};

const CALL: &str = "/nodes/{node}/replication";

/// To list its jobs, a node takes a lock of the whole cluster, as PVE's scheduler does once a minute on each node. So it
/// may have to wait, it makes others wait, and it fails without quorum: two minutes keep that rare, and jobs run every
/// fifteen unless told otherwise.
pub(super) const COLLECTOR: Collector = Collector {
    name: "replication",
    about: "replication jobs: target, last and next run, duration, failures and their kind",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &[CALL],
    families: &[&INFO, &DURATION, &LAST_SYNC, &LAST_TRY, &NEXT_SYNC, &RUNNING, &FAILED, &ERROR],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(2),
        per: Per::Node,
        blocks: true,
        max_in_flight: Some(1),
        sees_all: false,
        fetch,
    }),
};

pub(super) static INFO: Desc = Desc {
    name: "pve_replication_info",
    help: "Type, nodes and guest of the replication job, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
pub(super) static DURATION: Desc = Desc {
    name: "pve_replication_duration_seconds",
    help: "How long the last run of the replication job took, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
static LAST_SYNC: Desc = Desc {
    name: "pve_replication_last_sync_timestamp_seconds",
    help: "When the last successful run of the replication job began, absent if there was none, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
static LAST_TRY: Desc = Desc {
    name: "pve_replication_last_try_timestamp_seconds",
    help: "When the last run of the replication job began, absent if there was none, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
static NEXT_SYNC: Desc = Desc {
    name: "pve_replication_next_sync_timestamp_seconds",
    help: "When the next run of the replication job is due, absent if none is planned, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
static RUNNING: Desc = Desc {
    name: "pve_replication_running",
    help: "Whether the replication job runs now, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
pub(super) static FAILED: Desc = Desc {
    name: "pve_replication_failed_syncs",
    help: "Runs of the replication job that failed since the last successful one, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
static ERROR: Desc = Desc {
    name: "pve_replication_error",
    help: "The kind of error on which the last run of the replication job failed, only of jobs whose last run did, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(pve::replication(&answer)?))
    })
}

fn families(mut jobs: Vec<ReplicationJob<'_>>) -> Vec<Family> {
    jobs.sort_by(|a, b| a.id.filled().cmp(&b.id.filled()));
    jobs.dedup_by(|b, a| b.id == a.id);
    let [mut info, mut errors] = [&INFO, &ERROR].map(Column::new);
    let mut values = [&DURATION, &LAST_SYNC, &LAST_TRY, &NEXT_SYNC, &RUNNING, &FAILED].map(Column::new);
    for job in &jobs {
        let Some(id) = job.id.filled() else { continue };
        info.push_info(info_labels(id, job));
        if let Some(fault) = job.fault() {
            errors.push_info(Labels::new(&[("id", id), ("kind", fault.as_str())]));
        }
        let labels = Labels::new(&[("id", id)]);
        // PVE goes on planning for a job that is switched off, and never runs it.
        let next_sync = moment(job.next_sync).filter(|_| job.disable.0 != Some(true));
        let told = [
            job.duration.quantity(),
            moment(job.last_sync),
            moment(job.last_try),
            next_sync,
            Some(flag(job.pid.0.is_some())),
            job.fail_count.quantity(),
        ];
        for (column, value) in values.iter_mut().zip(told) {
            column.push(&labels, value);
        }
    }
    let mut families = vec![info.into_family()];
    families.extend(values.map(Column::into_family));
    families.push(errors.into_family());
    families.extend(reference::replication_times(&jobs));
    families
}

/// PVE says 0 for never and 1 for a job that waits for its removal: these are no points in time.
fn moment(seconds: Number) -> Option<f64> {
    seconds.quantity().filter(|seconds| *seconds > 1.0)
}

fn info_labels(id: &str, job: &ReplicationJob<'_>) -> Labels {
    let joined = |kind: Option<&str>, name: Option<&str>| match (kind, name) {
        (Some(kind), Some(name)) => format!("{kind}/{name}"),
        _ => String::new(),
    };
    Labels::new(&[
        ("id", id),
        ("type", job.kind.filled().unwrap_or_default()),
        ("source", &joined(Some("node"), job.source.filled())),
        ("target", &joined(Some("node"), job.target.filled())),
        ("guest", &joined(job.vmtype.filled(), job.guest.filled())),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Series, check, lines, own, reference, series};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn told(answer: &Answer) -> Vec<Family> {
        own(&COLLECTOR, families(pve::replication(answer).expect("jobs")))
    }

    #[test]
    fn the_recorded_job_is_the_references_but_for_the_sync_that_never_was() {
        let mut expected: Series = COLLECTOR.families.iter().flat_map(|desc| reference(desc.name)).collect();
        assert_eq!(expected.len(), 6);
        let never = expected.keys().find(|(name, _)| *name == LAST_SYNC.name).expect("a sync").clone();
        assert_eq!(expected.remove(&never), Some(0.0));
        let id = BTreeMap::from([("id".to_owned(), "100-0".to_owned())]);
        expected.insert((RUNNING.name.to_owned(), id), 0.0);
        let error =
            BTreeMap::from([("id", "100-0"), ("kind", "unsupported")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        expected.insert((ERROR.name.to_owned(), error), 1.0);
        assert_eq!(series(&told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__replication.json"))), expected);
        assert!(lines(&told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab2__replication.json"))).is_empty());
    }

    #[test]
    fn the_call_per_job_would_add_nothing() {
        let list: Vec<Value> = recorded("pve-9.2-cluster/GET_nodes__pve-lab__replication.json").data().expect("jobs");
        let status: Value =
            recorded("pve-9.2-cluster/GET_nodes__pve-lab__replication__100-0__status.json").data().expect("a job");
        assert_eq!(list, [status]);
    }

    #[test]
    fn points_in_time_that_are_none_are_absent() {
        let answer = Answer::of(
            r#"{"data":[
                {"id":"7-1","fail_count":"0","last_sync":0,"last_try":0,"next_sync":1,"remove_job":"full"},
                {"id":"7-0","disable":1,"last_sync":"1795209000","last_try":1795209000,"next_sync":1795209600,
                 "duration":null,"pid":4711,"vmtype":"lxc","guest":7,"source":"a","target":"b","type":"local"},
                {"id":"7-0","fail_count":9}, {"id":""}, {}, null
            ]}"#,
        );
        assert_eq!(
            lines(&told(&answer)),
            [
                "pve_replication_info{id=\"7-0\",type=\"local\",source=\"node/a\",target=\"node/b\",guest=\"lxc/7\"} 1",
                "pve_replication_info{id=\"7-1\",type=\"\",source=\"\",target=\"\",guest=\"\"} 1",
                "pve_replication_last_sync_timestamp_seconds{id=\"7-0\"} 1795209000",
                "pve_replication_last_try_timestamp_seconds{id=\"7-0\"} 1795209000",
                "pve_replication_running{id=\"7-0\"} 1",
                "pve_replication_running{id=\"7-1\"} 0",
                "pve_replication_failed_syncs{id=\"7-1\"} 0",
            ]
        );
        for body in [r#"{"data":[{"jobnum":0}]}"#, r#"{"data":{}}"#, r#"{"data":null}"#] {
            assert!(pve::replication(&Answer::of(body)).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            rows in any_rows(&["id", "type", "source", "guest", "vmtype", "disable", "duration", "last_sync", "next_sync", "error"])
        ) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(jobs) = pve::replication(&answer) {
                check(&COLLECTOR, &families(jobs));
            }
        }
    }
}
