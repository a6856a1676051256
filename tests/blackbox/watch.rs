//! What happens in a cluster reaches Alertmanager: the real binary before a simulated cluster.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pve_sentinel::sim::{Task, World};
use serde_json::Value;

use super::events::{Fake, events};
use crate::support::{Exporter, Page, Series, Simulated};

/// When the simulated cluster begins, in seconds since 1970.
const BEGUN: i64 = 1_795_208_400;

/// A simulated cluster, somebody who is told, and the folder between them.
pub struct Lab {
    pub simulated: Simulated,
    pub folder: tempfile::TempDir,
    fake: Fake,
}

impl Lab {
    pub fn new(world: World) -> Self {
        let simulated = Simulated::start(world, 2);
        simulated.turn_to(100);
        Self { simulated, folder: tempfile::tempdir().unwrap(), fake: Fake::start() }
    }

    pub fn config(&self, more: &str) -> String {
        let member = format!("{{ url = \"http://{}/prefix\" }}", self.fake.address);
        let config = super::events::config(self.folder.path(), &self.simulated.cluster, &member);
        config.replace("[events]\n", &format!("[events]\ninterval = \"1s\"\n{more}"))
    }

    /// Starts, and waits until the cluster was looked at.
    fn start(&self, more: &str) -> Exporter {
        let exporter = Exporter::serve(&self.config(more));
        look(&exporter);
        exporter
    }

    pub fn at(&self, exporter: &Exporter, seconds: u64) {
        self.simulated.turn_to(seconds);
        look(exporter);
    }

    pub fn task(
        &self,
        node: usize,
        (kind, id): (&'static str, &str),
        (begun, ends): (i64, i64),
        outcome: &str,
    ) -> String {
        self.begin(Task {
            node,
            kind,
            id: id.to_owned(),
            by: "root@pam".to_owned(),
            begun,
            ends,
            outcome: outcome.to_owned(),
            log: Vec::new(),
        })
    }

    fn begin(&self, task: Task) -> String {
        self.simulated.world.edit(self.simulated.now(), |edit| edit.task(task))
    }

    /// What Alertmanager was told, as `alertname id`.
    pub fn told(&self) -> BTreeSet<String> {
        let text = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        let alerts = self.fake.posted();
        alerts.iter().map(|alert| format!("{} {}", text(alert, "alertname"), text(alert, "id"))).collect()
    }

    pub fn wait_for(&self, exporter: &Exporter, what: &str) {
        let started = Instant::now();
        while !self.told().contains(what) {
            assert!(started.elapsed() < Duration::from_secs(60), "{what}: {:?}\n{}", self.told(), exporter.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Until what there is at this time of the cluster was looked at.
pub fn look(exporter: &Exporter) {
    let asked = || {
        let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
        let requests = page.samples.get("pve_sentinel_api_requests_total");
        let is_meant = |labels: &Series| labels["path"] == "/cluster/tasks" && labels["outcome"] == "ok";
        let tasks = requests.into_iter().flatten().filter(|(labels, _)| is_meant(labels));
        tasks.map(|(_, count)| *count).sum::<f64>()
    };
    // The first was under way, the second is whole when the third is asked.
    let (before, started) = (asked(), Instant::now());
    while asked() < before + 3.0 {
        assert!(started.elapsed() < Duration::from_secs(60), "no look: {}", exporter.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The UPIDs of alerts: each has the last ten of its labels.
fn upids(alerts: &[Value]) -> BTreeSet<String> {
    let text = |alert: &Value, name: &str| alert["annotations"][name].as_str().unwrap_or_default().to_owned();
    let all = alerts.iter().map(|alert| format!("{} {}", text(alert, "upids"), text(alert, "upid")));
    all.flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .filter(|text| !text.is_empty())
        .collect()
}

/// Keys of the events that the API lists, in order.
pub fn listed(exporter: &Exporter) -> Vec<(String, String)> {
    let answer = events(exporter, "?since=0");
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    answer["events"].as_array().unwrap().iter().map(|event| (text(event, "kind"), text(event, "id"))).collect()
}

#[test]
fn what_happens_is_told() {
    let lab = Lab::new(World::new(1, 3, 40));
    let exporter = lab.start("");
    let failed = lab.task(0, ("qmstart", "110"), (95, 101), "start failed: exit code 1");
    let lines =
        ["INFO: Starting Backup of VM 111 (qemu)", "ERROR: Backup of VM 111 failed - no space left", "INFO: done"];
    lab.begin(Task {
        node: 1,
        kind: "vzdump",
        id: String::new(),
        by: "root@pam".to_owned(),
        begun: 60,
        ends: 102,
        outcome: "job errors".to_owned(),
        log: lines.map(str::to_owned).into(),
    });
    lab.task(0, ("qmigrate", "112"), (90, 102), "OK");
    lab.at(&exporter, 110);
    let kind = |id: &str| {
        if lab.simulated.world.resources(Duration::from_secs(110)).contains(&format!("\"lxc/{id}\"")) {
            "lxc"
        } else {
            "qemu"
        }
    };
    lab.wait_for(&exporter, &format!("PVETaskFailed {}/110", kind("110")));
    lab.wait_for(&exporter, &format!("PVEBackupFailed {}/111", kind("111")));
    let alert = lab.fake.posted().into_iter().find(|alert| alert["labels"]["alertname"] == "PVETaskFailed").unwrap();
    assert_eq!(alert["annotations"]["upid"], failed.as_str());
    assert_eq!((&alert["labels"]["node"], &alert["labels"]["task_type"]), (&"pve1".into(), &"qmstart".into()));
    assert_eq!(alert["startsAt"], "2026-11-20T21:01:41Z");
    // Somebody stops one, another one stops by itself.
    let resources: Value = serde_json::from_str(&lab.simulated.world.resources(Duration::from_secs(110))).unwrap();
    let dies = |entry: &&Value| {
        entry["vmid"].is_u64()
            && entry["status"] == "running"
            && entry["node"] == "pve1"
            && entry.get("hastate").is_none()
    };
    let victim = resources["data"].as_array().unwrap().iter().find(dies).unwrap()["vmid"].as_u64().unwrap();
    lab.simulated.world.edit(Duration::from_secs(120), |edit| edit.halt(victim) && edit.lose(2));
    for seconds in [120, 130, 140, 150] {
        lab.at(&exporter, seconds);
    }
    lab.wait_for(&exporter, &format!("PVEGuestStoppedUnexpectedly {}/{victim}", kind(&victim.to_string())));
    lab.wait_for(&exporter, "PVENodeLost node/pve3");
    lab.simulated.world.edit(Duration::from_secs(160), |edit| edit.bring_back(2));
    lab.at(&exporter, 160);
    lab.at(&exporter, 170);
    let losses = || listed(&exporter).iter().filter(|(kind, _)| kind == "node_lost").count();
    lab.fake.wait("the beginning of the loss and its end", |_| losses() == 2);
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    let cursors = &page.samples["pve_sentinel_events_cursor_timestamp_seconds"];
    assert_eq!(cursors.len(), 3);
    assert!(cursors.values().all(|at| (*at - (BEGUN + 170) as f64).abs() < 15.0), "{cursors:?}");
    // What is well again, and migrations that went well, are kept, and not told.
    assert!(listed(&exporter).contains(&("node_returned".into(), "node/pve3".into())));
    assert!(listed(&exporter).contains(&("migration_done".into(), format!("{}/112", kind("112")))));
    let quiet = ["PVEMigrationDone", "PVENodeReturned"];
    assert!(!lab.told().iter().any(|alert| quiet.iter().any(|name| alert.starts_with(name))), "{:?}", lab.told());
}

#[test]
fn what_happens_while_it_is_killed_is_told_once() {
    let lab = Lab::new(World::new(1, 3, 40));
    let mut total = 0;
    let mut exporter = lab.start("");
    for round in 0..4_i64 {
        // Seen by this process, or by the next one: SIGKILL comes at some moment of a look.
        for number in 0..5 {
            let at = 110 + round * 100 + number;
            lab.task(0, ("qmstart", &format!("{}", 100 + number)), (at - 3, at), &format!("seen {round} {number}"));
        }
        total += 5;
        lab.simulated.turn_to(120 + round.unsigned_abs() * 100);
        std::thread::sleep(Duration::from_millis(150 + 300 * round.unsigned_abs()));
        drop(exporter);
        // More than the short list shows.
        for number in 0..40 {
            let at = 130 + round * 100 + number;
            lab.task(1, ("qmstop", &format!("{}", 100 + number)), (at - 3, at), &format!("unseen {round} {number}"));
        }
        total += 40;
        lab.simulated.turn_to(180 + round.unsigned_abs() * 100);
        exporter = lab.start("");
    }
    lab.at(&exporter, 600);
    let found: Vec<_> = listed(&exporter).into_iter().filter(|(kind, _)| kind == "task_failed").collect();
    assert_eq!(found.len(), total, "{}", exporter.log());
    lab.fake.wait("all of them", |fake| upids(&fake.posted()).len() == total);
}

#[test]
fn rules_say_what_is_told() {
    let lab = Lab::new(World::new(1, 3, 40));
    let rules = "rules.task_failed = { guests = [\"!110\"] }\nrules.migration_done = { severity = \"warning\" }\nrules.task_warnings = { enabled = false }\n";
    let exporter = lab.start(rules);
    lab.task(0, ("qmstart", "110"), (95, 101), "start failed");
    lab.task(0, ("qmstart", "111"), (95, 101), "start failed");
    lab.task(0, ("qmstart", "112"), (95, 101), "WARNINGS: 1");
    lab.task(0, ("qmigrate", "113"), (95, 101), "OK");
    lab.at(&exporter, 110);
    let told = |name: &str| lab.told().into_iter().any(|alert| alert.starts_with(name));
    lab.fake.wait("a failed task and a migration", |_| told("PVETaskFailed") && told("PVEMigrationDone"));
    assert_eq!(lab.told().len(), 2, "{:?}", lab.told());
}

#[test]
fn old_tasks_are_told_as_far_as_lookback_goes() {
    for (lookback, expected) in [("0s", 0), ("60s", 1), ("1h", 2)] {
        let lab = Lab::new(World::new(1, 3, 40));
        lab.task(0, ("qmstart", "110"), (-900, -800), "start failed");
        lab.task(0, ("qmstart", "111"), (70, 80), "start failed");
        let exporter = lab.start(&format!("lookback = \"{lookback}\"\n"));
        assert_eq!(listed(&exporter).len(), expected, "{lookback}: {:?}", listed(&exporter));
    }
}

#[test]
fn what_somebody_wanted_raises_no_alarm() {
    let lab = Lab::new(World::new(1, 3, 260));
    let vmids = lab.simulated.world.vmids();
    let edit = |seconds: u64, change: &dyn Fn(&mut pve_sentinel::sim::Edit<'_>)| {
        lab.simulated.world.edit(Duration::from_secs(seconds), |edit| change(edit));
    };
    let exporter = lab.start("");
    // A backup that stops its guests, one after the other.
    lab.task(0, ("vzdump", ""), (101, 150), "OK");
    lab.task(1, ("vzdump", ""), (101, 150), "OK");
    lab.task(2, ("vzdump", ""), (101, 150), "OK");
    edit(110, &|edit| vmids.iter().skip(3).take(9).for_each(|vmid| assert!(edit.halt(*vmid))));
    lab.at(&exporter, 110);
    lab.at(&exporter, 140);
    edit(150, &|edit| vmids.iter().skip(3).take(9).for_each(|vmid| assert!(edit.boot(*vmid))));
    lab.at(&exporter, 150);
    // All guests of a node are migrated.
    lab.task(0, ("migrateall", ""), (151, 175), "OK");
    for vmid in vmids.iter().skip(20).take(200) {
        lab.task(0, ("qmigrate", &vmid.to_string()), (152, 175), "OK");
    }
    lab.at(&exporter, 160);
    edit(170, &|edit| vmids.iter().skip(20).take(200).for_each(|vmid| assert!(edit.migrate(*vmid, 1))));
    lab.at(&exporter, 170);
    lab.at(&exporter, 180);
    // Somebody reboots a node: it stops its guests, is away for two minutes, and starts them again.
    lab.task(2, ("stopall", ""), (181, 188), "OK");
    edit(190, &|edit| assert!(edit.lose(2)));
    for seconds in [190, 200, 230, 290] {
        lab.at(&exporter, seconds);
    }
    edit(300, &|edit| assert!(edit.bring_back(2)));
    for seconds in [300, 330, 400] {
        lab.at(&exporter, seconds);
    }
    let alarms: BTreeSet<String> = lab.told().into_iter().filter(|alert| !alert.starts_with("PVENodeFenced")).collect();
    assert!(alarms.is_empty(), "{alarms:?}\n{}", exporter.log());
    assert_eq!(listed(&exporter).iter().filter(|(kind, _)| kind == "migration_done").count(), 200);
}

#[test]
fn what_lasts_in_a_cluster_ends_when_it_is_not_watched_any_more() {
    let lab = Lab::new(World::new(1, 3, 40));
    let exporter = lab.start("");
    lab.simulated.world.edit(Duration::from_secs(110), |edit| edit.lose(2));
    lab.at(&exporter, 110);
    lab.wait_for(&exporter, "PVENodeLost node/pve3");
    let losses = || listed(&exporter).iter().filter(|(kind, _)| kind == "node_lost").count();
    assert_eq!(losses(), 1);
    exporter.rewrite(&lab.config("").replace("name = \"home\"", "name = \"other\""));
    exporter.hang_up(1);
    // It began in the other one, too.
    lab.fake.wait("the end", |_| losses() == 3);
}
