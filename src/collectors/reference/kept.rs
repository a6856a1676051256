//! What the slow lane keeps, with the reference's labels. Where `/metrics` says less, the collector also leaves what
//! stands here on its shelf when it reads an answer.

use super::super::shared::{self, Column, flag};
use super::super::{Subject, backup_coverage, guest_config, qdevice, replication, subscription};
use super::{Kept, Part, Reference, Source};
use crate::metrics::{Desc, Family, Kind, Labels, Sample, Table};
use crate::pve::wire::Number;
use crate::pve::{QDevice, ReplicationJob, Subscription};

pub(super) const BACKUP_COVERAGE: Reference = Reference {
    collector: &backup_coverage::COLLECTOR,
    part: Part::Cluster,
    families: &[&BACKUP_TOTAL, &backup_coverage::INFO],
    source: Source::Kept(backup_coverage),
};

pub(super) const GUEST_CONFIG: Reference = Reference {
    collector: &guest_config::COLLECTOR,
    part: Part::Node,
    families: &[&guest_config::ONBOOT],
    source: Source::Kept(guest_config),
};

pub(super) const REPLICATION: Reference = Reference {
    collector: &replication::COLLECTOR,
    part: Part::Node,
    families: &[&replication::INFO, &replication::DURATION, &LAST_SYNC, &LAST_TRY, &NEXT_SYNC, &replication::FAILED],
    source: Source::Kept(as_kept),
};

pub(super) const SUBSCRIPTION: Reference = Reference {
    collector: &subscription::COLLECTOR,
    part: Part::Node,
    families: &[&subscription::INFO, &SUBSCRIPTION_STATUS, &subscription::NEXT_DUE],
    source: Source::Kept(as_kept),
};

pub(super) const QDEVICE: Reference = Reference {
    collector: &qdevice::COLLECTOR,
    part: Part::Cluster,
    families: &[&qdevice::UP, &QDEVICE_INFO],
    source: Source::Kept(as_kept),
};

static BACKUP_TOTAL: Desc = Desc {
    name: "pve_not_backed_up_total",
    help: "Number of guests that no backup job covers, no counter in spite of its name, from /cluster/backup-info/not-backed-up.",
    kind: Kind::Gauge,
};
static SUBSCRIPTION_STATUS: Desc = Desc {
    name: "pve_subscription_status",
    help: "1 for the status of the node's subscription, 0 for every other one, from /nodes/{node}/subscription.",
    kind: Kind::Gauge,
};
static QDEVICE_INFO: Desc = Desc {
    name: "pve_qdevice_info",
    help: "Model, algorithm, host, tie-breaker and state of the quorum device in PVE's words, from /cluster/config/qdevice.",
    kind: Kind::Gauge,
};
static LAST_SYNC: Desc = Desc {
    name: "pve_replication_last_sync_timestamp_seconds",
    help: "When the last successful run of the replication job began, 0 if there was none, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
static LAST_TRY: Desc = Desc {
    name: "pve_replication_last_try_timestamp_seconds",
    help: "When the last run of the replication job began, 0 if there was none, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};
static NEXT_SYNC: Desc = Desc {
    name: "pve_replication_next_sync_timestamp_seconds",
    help: "When the next run of the replication job is due, 0 if none is planned, from /nodes/{node}/replication.",
    kind: Kind::Gauge,
};

/// For the shelf: the number of guests, which gets its `id` on the page.
pub(in super::super) fn backup_total(guests: f64) -> Family {
    let mut total = Column::new(&BACKUP_TOTAL);
    total.push(&Labels::new(&[]), Some(guests));
    total.into_family()
}

/// For the shelf: the whole set of states.
pub(in super::super) fn subscription_status(id: &str, subscription: &Subscription<'_>) -> Family {
    let mut status = Column::new(&SUBSCRIPTION_STATUS);
    for word in subscription::STATUSES {
        let held = subscription.status.filled().is_some_and(|said| word.eq_ignore_ascii_case(said));
        status.push(&Labels::new(&[("id", id), ("status", word)]), Some(flag(held)));
    }
    status.into_family()
}

/// For the shelf: the state in corosync's own word, whatever it is.
pub(in super::super) fn qdevice_info(id: &str, device: &QDevice<'_>) -> Family {
    let mut info = Column::new(&QDEVICE_INFO);
    info.push_info(qdevice::info_labels(id, device, device.state.filled().unwrap_or_default()));
    info.into_family()
}

/// For the shelf: PVE's 0 for never as it is.
pub(in super::super) fn replication_times(jobs: &[ReplicationJob<'_>]) -> Vec<Family> {
    let time = |desc, value: fn(&ReplicationJob<'_>) -> Number| {
        let mut column = Column::new(desc);
        for (id, job) in jobs.iter().filter_map(|job| Some((job.id.filled()?, job))) {
            column.push(&Labels::new(&[("id", id)]), value(job).quantity());
        }
        column.into_family()
    };
    vec![
        time(&LAST_SYNC, |job| job.last_sync),
        time(&LAST_TRY, |job| job.last_try),
        time(&NEXT_SYNC, |job| job.next_sync),
    ]
}

fn as_kept(kept: &Kept<'_>) -> Vec<Family> {
    kept.told.iter().flat_map(|(_, families)| families.clone()).collect()
}

/// The reference takes the first name in `/cluster/status`: a stand-alone node's own, where there is no cluster.
fn backup_coverage(kept: &Kept<'_>) -> Vec<Family> {
    let first = kept.status.and_then(|status| {
        let cluster = status.cluster.as_ref().map(|cluster| &cluster.name);
        cluster.or(status.members.first().map(|member| &member.name))
    });
    let mut families = as_kept(kept);
    for family in families.iter_mut().filter(|family| family.desc == (&BACKUP_TOTAL).into()) {
        let id = first.map(|name| Labels::new(&[("id", &format!("cluster/{name}"))]));
        let totals = std::mem::take(&mut family.samples).into_iter();
        family.samples = totals.filter_map(|total| Some(Sample { labels: id.clone()?, ..total })).collect();
    }
    families
}

fn guest_config(kept: &Kept<'_>) -> Vec<Family> {
    let mut table = Table::new([&guest_config::ONBOOT], kept.told.len());
    for (subject, families) in kept.told {
        let Subject::Guest { kind, node, .. } = subject else { continue };
        for sample in families.iter().flat_map(|family| family.samples.iter()) {
            let id = shared::id(subject);
            table.push(&[("id", &id), ("node", node), ("type", kind.as_str())], [Some(sample.value)]);
        }
    }
    table.into_families().collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::lines;
    use super::*;
    use crate::inventory::{ClusterEntry, ClusterStatus, GuestKind, Member};
    use crate::pve::{self, Answer};

    fn member(name: &str) -> Member {
        Member {
            name: name.into(),
            nodeid: "0".into(),
            level: String::new(),
            online: Some(true),
            address: String::new(),
        }
    }

    #[test]
    fn the_number_of_uncovered_guests_bears_the_first_name_of_the_status() {
        let told = [(Subject::Cluster, vec![backup_total(3.0)])];
        let said = |status: Option<&ClusterStatus>| lines(&backup_coverage(&Kept { told: &told, status }));
        let mut status = ClusterStatus { cluster: None, members: vec![member("pve1")] };
        assert_eq!(said(Some(&status)), [r#"pve_not_backed_up_total{id="cluster/pve1"} 3"#]);
        let (nodes, version) = ("1".into(), "1".into());
        status.cluster = Some(ClusterEntry { name: "lab".into(), nodes, quorate: Some(true), version });
        assert_eq!(said(Some(&status)), [r#"pve_not_backed_up_total{id="cluster/lab"} 3"#]);
        assert_eq!(said(None), Vec::<String>::new());
    }

    #[test]
    fn a_guests_place_is_where_it_is_now() {
        let subject = Subject::Guest { kind: GuestKind::Lxc, vmid: 7, node: "b".into() };
        let mut onboot = Column::new(&guest_config::ONBOOT);
        onboot.push(&Labels::new(&[("id", "lxc/7")]), Some(1.0));
        let told = [(subject, vec![onboot.into_family()])];
        assert_eq!(
            lines(&guest_config(&Kept { told: &told, status: None })),
            [r#"pve_onboot_status{id="lxc/7",node="b",type="lxc"} 1"#]
        );
    }

    #[test]
    fn never_is_0_and_other_words_are_none_of_the_set() {
        let answer = Answer::of(r#"{"data":[{"id":"7-0","last_sync":0,"last_try":"5","next_sync":1}]}"#);
        assert_eq!(
            lines(&replication_times(&pve::replication(&answer).expect("jobs"))),
            [
                r#"pve_replication_last_sync_timestamp_seconds{id="7-0"} 0"#,
                r#"pve_replication_last_try_timestamp_seconds{id="7-0"} 5"#,
                r#"pve_replication_next_sync_timestamp_seconds{id="7-0"} 1"#,
            ]
        );
        for (status, held) in [("active", 1), ("dancing", 0)] {
            let answer = Answer::of(&format!(r#"{{"data":{{"status":"{status}"}}}}"#));
            let told = lines(&[subscription_status("node/a", &pve::subscription(&answer).expect("a status"))]);
            assert_eq!((told.len(), told.iter().filter(|line| line.ends_with(" 1")).count()), (6, held), "{status}");
        }
        let answer = Answer::of(r#"{"data":{"Model":"Net","State":"Dancing"}}"#);
        let device = pve::qdevice(&answer).expect("an answer").expect("a device");
        let told = lines(&[qdevice_info("cluster/lab", &device)]);
        assert!(told[0].ends_with(r#"tie_breaker="",state="Dancing"} 1"#), "{told:?}");
    }
}
