//! Backup jobs: whether they are on, when they run next, whom they mean, and how the last run ended.
//! Try: `pvesh get /cluster/backup`

use std::collections::BTreeSet;
use std::time::Duration;

use super::shared::{Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::inventory::{JobRun, Resources};
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, BackupJob};

const CALL: &str = "/cluster/backup";

/// The call reads one file of the cluster's; how runs ended is to be told soon after the logs were read.
pub(super) const COLLECTOR: Collector = Collector {
    name: "backup_jobs",
    about: "backup jobs: on or off, next run, guests, last outcome",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL],
    families: &[&INFO, &ENABLED, &NEXT_RUN, &GUESTS, &LAST_RUN, &LAST_SUCCESS],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(1),
        per: Per::Cluster,
        blocks: false,
        max_in_flight: None,
        sees_all: true,
        fetch,
    }),
};

static INFO: Desc = Desc {
    name: "pve_backup_job_info",
    help: "Schedule, storage, mode, node and kind of selection of the backup job, from /cluster/backup.",
    kind: Kind::Gauge,
};
static ENABLED: Desc = Desc {
    name: "pve_backup_job_enabled",
    help: "Whether the backup job is switched on, from /cluster/backup.",
    kind: Kind::Gauge,
};
static NEXT_RUN: Desc = Desc {
    name: "pve_backup_job_next_run_timestamp_seconds",
    help: "When the backup job is due next, absent if it is off or its schedule has no next time, from /cluster/backup.",
    kind: Kind::Gauge,
};
static GUESTS: Desc = Desc {
    name: "pve_backup_job_guests",
    help: "Guests that the backup job means, templates included, on its node where it is bound to one, from /cluster/backup and /cluster/resources.",
    kind: Kind::Gauge,
};
static LAST_RUN: Desc = Desc {
    name: "pve_backup_job_last_run_timestamp_seconds",
    help: "When the last run of the backup job ended, where the tasks' logs name their job, from the collector backup.",
    kind: Kind::Gauge,
};
static LAST_SUCCESS: Desc = Desc {
    name: "pve_backup_job_last_run_success",
    help: "Whether the last run of the backup job ended well on all nodes, where the tasks' logs name their job, from the collector backup.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let resources = ask.all()?;
        let answer = ask.get(CALL).await?;
        let book = ask.inventory().backups();
        Ok(families(pve::backup_jobs(&answer)?, Some(resources), |job| book.job(job)))
    })
}

fn families(
    mut jobs: Vec<BackupJob<'_>>,
    resources: Option<&Resources>,
    last_run: impl Fn(&str) -> Option<JobRun>,
) -> Vec<Family> {
    jobs.sort_by(|a, b| a.id.filled().cmp(&b.id.filled()));
    jobs.dedup_by(|b, a| b.id == a.id);
    let mut info = Column::new(&INFO);
    let mut values = [&ENABLED, &NEXT_RUN, &GUESTS, &LAST_RUN, &LAST_SUCCESS].map(Column::new);
    for job in &jobs {
        let Some(id) = job.id.filled() else { continue };
        info.push_info(info_labels(id, job));
        let is_on = job.enabled.0 != Some(false);
        let run = last_run(id);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let told = [
            Some(flag(is_on)),
            job.next_run.quantity().filter(|at| is_on && *at > 0.0),
            guests(job, resources),
            run.map(|run| run.ended as f64),
            run.map(|run| flag(run.ok)),
        ];
        let labels = Labels::new(&[("id", id)]);
        for (column, value) in values.iter_mut().zip(told) {
            column.push(&labels, value);
        }
    }
    [info.into_family()].into_iter().chain(values.map(Column::into_family)).collect()
}

fn info_labels(id: &str, job: &BackupJob<'_>) -> Labels {
    let node = job.node.filled().map(|node| format!("node/{node}")).unwrap_or_default();
    Labels::new(&[
        ("id", id),
        ("schedule", job.schedule.filled().unwrap_or_default()),
        ("storage", job.storage.filled().unwrap_or_default()),
        ("mode", job.mode.filled().unwrap_or_default()),
        ("node", &node),
        ("selection", selection(job)),
    ])
}

/// PVE looks for numbers first, then for a pool, then whether all are meant.
fn selection(job: &BackupJob<'_>) -> &'static str {
    match (job.vmid.filled(), job.pool.filled(), job.all.0) {
        (Some(_), ..) => "list",
        (None, Some(_), _) => "pool",
        (None, None, Some(true)) => "all",
        (None, None, _) => "",
    }
}

/// How many guests there are of those that a job means; nothing while it is not known which guests there are.
fn guests(job: &BackupJob<'_>, resources: Option<&Resources>) -> Option<f64> {
    let resources = resources.filter(|resources| resources.tells_of_guests())?;
    let numbers = |text: Option<&str>| -> BTreeSet<u64> {
        let words = text.unwrap_or_default().split([',', ';', ' ']);
        words.filter_map(|word| word.trim().parse().ok()).collect()
    };
    let (listed, left_out) = (numbers(job.vmid.filled()), numbers(job.exclude.filled()));
    let (kind, pool) = (selection(job), job.pool.filled());
    let is_meant = |guest: &&crate::inventory::Guest| {
        let identity = &guest.identity;
        // A job that is bound to a node passes over guests of other nodes.
        if job.node.filled().is_some_and(|node| *guest.node != *node) {
            return false;
        }
        match kind {
            "list" => listed.contains(&identity.vmid),
            "pool" => identity.pool.as_deref() == pool,
            "all" => !left_out.contains(&identity.vmid),
            _ => false,
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "a number of guests")]
    let count = resources.guests.iter().filter(is_meant).count() as f64;
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::inventory::testing::resources;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn cluster() -> Resources {
        resources(
            r#"{"data":[{"type":"node","node":"a","status":"online"},
            {"type":"qemu","vmid":100,"node":"a","status":"running","pool":"prod"},
            {"type":"lxc","vmid":101,"node":"a","status":"stopped","pool":"prod"},
            {"type":"qemu","vmid":9000,"node":"a","status":"stopped","template":1}]}"#,
        )
    }

    fn told(body: &str) -> Vec<String> {
        let answer = Answer::of(body);
        let run = |job: &str| (job == "a").then_some(JobRun { ended: 1_795_200_000, ok: false });
        lines(&families(pve::backup_jobs(&answer).expect("jobs"), Some(&cluster()), run))
    }

    #[test]
    fn the_recorded_job_is_told() {
        let answer = recorded("pve-9.2-cluster/GET_cluster__backup.json");
        assert_eq!(
            lines(&families(pve::backup_jobs(&answer).expect("jobs"), None, |_| None)),
            [
                "pve_backup_job_info{id=\"lab-nightly\",schedule=\"02:30\",storage=\"local\",mode=\"snapshot\",node=\"\",selection=\"list\"} 1",
                "pve_backup_job_enabled{id=\"lab-nightly\"} 1",
                "pve_backup_job_next_run_timestamp_seconds{id=\"lab-nightly\"} 1795228200",
            ]
        );
    }

    #[test]
    fn a_job_that_is_off_has_no_next_run() {
        let lines = told(r#"{"data":[{"id":"a","enabled":"0","next-run":1795228200},{"id":"a"},{"id":"b"},{},7]}"#);
        let values: Vec<&str> = lines.iter().skip(2).map(String::as_str).collect();
        assert_eq!(
            values,
            [
                "pve_backup_job_enabled{id=\"a\"} 0",
                "pve_backup_job_enabled{id=\"b\"} 1",
                "pve_backup_job_guests{id=\"a\"} 0",
                "pve_backup_job_guests{id=\"b\"} 0",
                "pve_backup_job_last_run_timestamp_seconds{id=\"a\"} 1795200000",
                "pve_backup_job_last_run_success{id=\"a\"} 0",
            ]
        );
    }

    #[test]
    fn guests_are_counted_as_pve_chooses_them() {
        for (job, count) in [
            (r#""all":1"#, 3),
            (r#""all":1,"exclude":"100, 9000,55""#, 1),
            (r#""all":0"#, 0),
            (r#""pool":"prod""#, 2),
            (r#""pool":"lab""#, 0),
            (r#""vmid":"100,101,102""#, 2),
            (r#""vmid":100,"all":1"#, 1),
            (r#""all":1,"node":"a""#, 3),
            (r#""all":1,"node":"b""#, 0),
        ] {
            let lines = told(&format!(r#"{{"data":[{{"id":"x",{job}}}]}}"#));
            assert!(lines.contains(&format!("pve_backup_job_guests{{id=\"x\"}} {count}")), "{job}: {lines:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            rows in any_rows(&["id", "enabled", "schedule", "node", "storage", "vmid", "all", "pool", "exclude", "next-run"])
        ) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(jobs) = pve::backup_jobs(&answer) {
                check(&COLLECTOR, &families(jobs, Some(&cluster()), |_| None));
            }
        }
    }
}
