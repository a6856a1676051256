//! Backups of guests as the logs of tasks tell them, and as they lie on storages; tasks that run and have ended.

use std::collections::BTreeMap;

use pve_sentinel::sim::{Rights, Token, World};

use crate::support::{Exporter, Page, SECRET, Simulated, TOKEN_ID};

/// 2026-11-20 21:18:00 UTC; the simulated nodes write their logs in another zone.
const BEGUN: i64 = 1_795_209_480;
/// The job runs 50 s after the beginning, for 140 s; it begins a guest every 40 s, and the last of them fails after 12.
const RUN: f64 = 1_795_209_480.0 + 50.0;

/// A cluster in which the job has run once, and an exporter with only what is said of collectors.
fn lab(collectors: &str) -> (Simulated, Exporter) {
    let cluster = Simulated::lively(World::new(1, 3, 40).begun_at(BEGUN), 1);
    cluster.turn_to(200);
    let exporter = Exporter::serve(&format!(
        "{}\n[collectors]\npreset = \"minimal\"\n{collectors}",
        cluster.cluster.config("home")
    ));
    (cluster, exporter)
}

/// How often each log was read.
fn logs(cluster: &Simulated) -> BTreeMap<String, usize> {
    let mut logs = BTreeMap::new();
    for seen in cluster.cluster.sims[0].requests().into_iter().filter(|seen| seen.target.contains("/log?")) {
        *logs.entry(seen.target).or_default() += 1;
    }
    logs
}

#[test]
fn the_turns_of_each_guest_are_told_in_utc() {
    let (_cluster, exporter) = lab("backup = true\nbackup_jobs = true\nbackup_coverage = true\n");
    let page = Page::parse(&exporter.settled_page("/metrics", &["backup", "backup_jobs", "backup_coverage"]));
    let of = |what: &str, id: &str| page.value(&format!("pve_guest_backup_{what}"), &[("id", id)]);
    // It always fails, and its last attempt is the newest.
    assert_eq!(of("last_attempt_success", "qemu/102"), Some(0.0));
    assert_eq!(of("last_attempt_timestamp_seconds", "qemu/102"), Some(RUN + 132.0));
    assert_eq!(of("last_success_timestamp_seconds", "qemu/102"), None);
    let newest = page.samples["pve_guest_backup_last_success_timestamp_seconds"].values().copied().fold(0.0, f64::max);
    assert_eq!(newest, RUN + 120.0, "the third guest of the run");
    // Those that were not in this run were in that of the night.
    let covered = page.samples["pve_guest_backup_covered"].values().filter(|value| **value == 1.0).count();
    let succeeded = page.samples["pve_guest_backup_last_success_timestamp_seconds"].len();
    assert_eq!(succeeded + 1, covered);
    assert!(page.samples["pve_guest_backup_last_success_duration_seconds"].values().all(|took| *took == 40.0));
    assert!(page.samples["pve_guest_backup_last_success_size_bytes"].values().all(|bytes| *bytes > 1e8));
    let job = |what: &str, id: &str| page.value(&format!("pve_backup_job_{what}"), &[("id", id)]);
    assert_eq!(job("enabled", "demo-often"), Some(1.0));
    assert_eq!(job("guests", "demo-often"), Some(covered as f64));
    assert_eq!(job("next_run_timestamp_seconds", "demo-often"), Some(RUN + 300.0));
    assert_eq!(
        (job("enabled", "before-upgrades"), job("next_run_timestamp_seconds", "before-upgrades")),
        (Some(0.0), None)
    );
}

#[test]
fn logs_are_read_once_and_again_after_a_restart() {
    let (cluster, exporter) = lab("backup = { enabled = true, ttl = \"5s\" }\n");
    let first = exporter.settled_page("/metrics", &["backup"]);
    let read = logs(&cluster);
    assert!(read.len() >= 4 && read.values().all(|times| *times == 1), "{read:?}");
    let restarted = Exporter::serve(&format!(
        "{}\n[collectors]\npreset = \"minimal\"\nbackup = true\n",
        cluster.cluster.config("home")
    ));
    let second = restarted.settled_page("/metrics", &["backup"]);
    let told = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("pve_guest_backup_")).map(str::to_owned).collect()
    };
    assert!(!told(&first).is_empty());
    assert_eq!(told(&first), told(&second));
    assert!(logs(&cluster).values().all(|times| *times == 2));
}

#[test]
fn who_is_left_out_on_purpose_is_named_and_nothing_else() {
    let (cluster, exporter) = lab("backup = { enabled = true, exclude = [\"102\"] }\n");
    let page = Page::parse(&exporter.settled_page("/metrics", &["backup"]));
    let named: Vec<&str> = page
        .samples
        .iter()
        .filter(|(name, series)| {
            name.starts_with("pve_guest_backup_")
                && series.keys().any(|labels| labels.get("id").is_some_and(|id| id == "qemu/102"))
        })
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(named, ["pve_guest_backup_excluded"]);
    assert!(cluster.world.vmids().contains(&102));
}

#[test]
fn backups_on_a_shared_storage_are_told_once_to_whom_they_may_be_told() {
    for (rights, told) in [(Rights::Auditor, false), (Rights::Administrator, true)] {
        let cluster = Simulated::start_with(World::new(1, 3, 40).begun_at(BEGUN), 1, |mut options| {
            options.tokens = vec![Token { id: TOKEN_ID.into(), secret: SECRET.into(), rights }];
            options
        });
        let exporter = Exporter::serve(&format!(
            "{}\n[collectors]\npreset = \"minimal\"\nbackup_volumes = true\n",
            cluster.cluster.config("home")
        ));
        let page = Page::parse(&exporter.settled_page("/metrics", &["backup_volumes"]));
        assert_eq!(page.value("pve_backup_storage_listed", &[("storage", "backup-nas")]), Some(1.0));
        let volumes = page.samples.get("pve_backup_volumes").cloned().unwrap_or_default();
        assert_eq!(!volumes.is_empty(), told, "{rights:?}");
        assert!(volumes.values().all(|count| *count == 3.0));
        let asked = cluster.cluster.sims[0].requests();
        let asked = asked.iter().filter(|seen| seen.target.contains("/storage/backup-nas/content")).count();
        assert_eq!(asked, 1);
    }
}

#[test]
fn running_tasks_are_told_with_the_begin_of_the_oldest() {
    let (cluster, exporter) = lab("tasks = true\n");
    cluster.turn_to(100);
    let page = Page::parse(&exporter.settled_page("/metrics", &["tasks"]));
    let running = &page.samples["pve_tasks_running"];
    assert!(running.keys().any(|labels| labels["type"] == "vzdump"), "{running:?}");
    let oldest = &page.samples["pve_tasks_running_oldest_timestamp_seconds"];
    assert_eq!(oldest.len(), running.len());
    assert!(oldest.iter().filter(|(labels, _)| labels["type"] == "vzdump").all(|(_, begun)| *begun == RUN));
    // Nobody watches, so that nothing is counted.
    assert!(!page.samples.contains_key("pve_tasks_finished_total"));
}
