//! The rules before the recorded loss of a node, and before made-up looks.

use serde_json::{Value, json};

use super::ha::Service;
use super::*;
use crate::inventory::testing::{resources, status};
use crate::pve;

const START: i64 = 1_800_000_000;

/// A cluster that is looked at every ten seconds.
pub(super) struct Scene {
    pub(super) state: State,
    pub(super) look: Look,
    pub(super) told: Vec<String>,
    /// Whether it is one life of the exporter; else each look is another one's.
    pub(super) goes_on: bool,
}

/// A guest as `/cluster/resources` tells it: number, node, status, uptime, lock, state of HA.
pub(super) type Told<'a> = (u64, &'a str, &'a str, i64, Option<&'a str>, Option<&'a str>);

pub(super) fn body(data: Value) -> String {
    json!({ "data": data }).to_string()
}

pub(super) fn cluster(guests: &[Told<'_>], lost: &[&str]) -> Arc<Resources> {
    let nodes = ["pve1", "pve2"].map(|node| {
        let word = if lost.contains(&node) { "offline" } else { "online" };
        json!({"type": "node", "node": node, "status": word, "uptime": 9999})
    });
    let guests = guests.iter().map(|(vmid, node, status, uptime, lock, ha)| {
        json!({"type": "qemu", "vmid": vmid, "node": node, "status": status, "uptime": uptime, "lock": lock,
            "hastate": ha, "name": format!("vm{vmid}")})
    });
    Arc::new(resources(&body(nodes.into_iter().chain(guests).collect())))
}

fn task(kind: &str, id: &str, node: &str, (begun, ended): (i64, Option<i64>), status: &str) -> Task {
    let upid = format!("UPID:{node}:00000001:{begun:08X}:{begun:08X}:{kind}:{id}:root@pam:");
    let (node, kind, id) = (node.into(), kind.into(), id.into());
    Task { upid, node, kind, id, user: "root@pam".into(), begun, ended, status: status.into() }
}

impl Scene {
    pub(super) fn new() -> Self {
        let look = Look { now: START, ..Look::default() };
        Self { state: State::default(), look, told: Vec::new(), goes_on: false }
    }

    /// The next look; what is told goes to `told` as `kind id`.
    pub(super) fn look(&mut self, guests: &[Told<'_>]) -> &mut Self {
        self.look.resources = Some(cluster(guests, &[]));
        self.go()
    }

    pub(super) fn go(&mut self) -> &mut Self {
        let ground = Ground { cluster: "lab", interval: 10, look: &self.look };
        for finding in findings(&ground, &mut self.state) {
            let how = match finding.span {
                Span::Occurred { .. } => "",
                Span::Began { .. } => " began",
                Span::Ended { .. } => " ended",
            };
            self.told.push(format!("{} {}{how}", finding.kind.name(), finding.id));
        }
        self.look.ended.clear();
        self.look.running.clear();
        self.look.now += 10;
        if !self.goes_on {
            // A restart goes on from what was written down.
            self.state = serde_json::from_str(&serde_json::to_string(&self.state).unwrap()).unwrap();
        }
        self
    }

    pub(super) fn ended(&mut self, kind: &str, id: &str, node: &str) -> &mut Self {
        let now = self.look.now;
        self.look.ended.push(task(kind, id, node, (now - 3, Some(now - 1)), "OK"));
        self
    }

    pub(super) fn running(&mut self, kind: &str, id: &str, node: &str) -> &mut Self {
        self.look.running.push(task(kind, id, node, (self.look.now - 3, None), ""));
        self
    }
}

fn recorded(stage: &str, call: &str) -> Value {
    let file = format!("tests/fixtures/pve-9.2-node-lost/{stage}_GET_{call}.json");
    let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["body"].clone()
}

#[test]
fn the_recorded_loss_of_a_node_is_told_as_it_was() {
    // 20:59:56 and so on of 2026-11-20.
    let stages = [
        ("noquorum_early", 1_795_208_396),
        ("noquorum", 1_795_208_461),
        ("node2down_quorate", 1_795_208_487),
        ("node2down_quorate_after_1min", 1_795_208_563),
        ("node2down_6min", 1_795_208_967),
    ];
    let mut scene = Scene::new();
    for (stage, now) in stages {
        scene.look.now = now;
        scene.look.resources = Some(Arc::new(resources(&recorded(stage, "cluster__resources").to_string())));
        scene.look.status = Some(Arc::new(status(&recorded(stage, "cluster__status").to_string())));
        let answer = pve::Answer::of(&recorded(stage, "cluster__ha__status__current").to_string());
        scene.look.ha = Some(HaLook::of(&pve::ha_status(&answer).unwrap()));
        let answer = pve::Answer::of(&recorded(stage, "cluster__tasks").to_string());
        let listed: Vec<Task> = pve::tasks(&answer).unwrap().iter().filter_map(Task::of).collect();
        for node in ["pve-lab", "pve-lab2"] {
            let listed: Vec<Task> = listed.iter().filter(|task| task.node == node).cloned().collect();
            let cursor = scene.state.cursors.entry(node.to_owned()).or_insert_with(|| Cursor::new(stages[0].1));
            let new = cursor.take(&listed);
            scene.look.ended.extend(new);
        }
        scene.told.push(format!("-- {stage}"));
        scene.go();
    }
    assert_eq!(
        scene.told,
        [
            "-- noquorum_early",
            "quorum_lost cluster/lab began",
            "node_lost node/pve-lab2 began",
            "-- noquorum",
            "-- node2down_quorate",
            "-- node2down_quorate_after_1min",
            "quorum_regained cluster/lab",
            "quorum_lost cluster/lab ended",
            "-- node2down_6min",
            "task_failed qemu/101",
        ]
    );
}

#[test]
fn a_failed_backup_job_is_told_per_guest() {
    let mut scene = Scene::new();
    let job = task("vzdump", "", "pve1", (START - 60, Some(START)), "job errors");
    assert_eq!(logs_wanted(std::slice::from_ref(&job)).count(), 1);
    let lines = [
        "INFO: Starting Backup of VM 100 (qemu)",
        "ERROR: Backup of VM 100 failed - no space left",
        "ERROR: Backup of VM 777 failed - unable to find VM '777'",
        "ERROR: Backup of VM x failed - y",
        "INFO: Backup job finished with errors",
    ];
    scene.look.logs.insert(job.upid.clone(), lines.map(str::to_owned).into());
    scene.look.ended = vec![job.clone()];
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    assert_eq!(scene.told, ["backup_failed qemu/100", "backup_failed guest/777"]);
    scene.look.logs.clear();
    scene.look.ended = vec![job];
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    assert_eq!(scene.told[2..], ["backup_failed node/pve1"]);
}

#[test]
fn a_backup_job_that_does_not_start_is_missed_after_five_minutes() {
    let due = |at: i64| Some(vec![Due { job: "nightly".into(), node: None, schedule: "02:30".into(), at: START + at }]);
    for starts in [false, true] {
        let mut scene = Scene::new();
        for look in 0..60 {
            scene.look.backups = due(if look < 10 { 100 } else { 86_500 });
            if starts && look == 11 {
                scene.running("vzdump", "", "pve2");
            }
            scene.go();
        }
        let expected: &[&str] = if starts { &[] } else { &["backup_not_started cluster/lab"] };
        assert_eq!(scene.told, expected);
    }
}

#[test]
fn storages_go_and_return_only_where_they_were() {
    let mut scene = Scene::new();
    let mut go = |nfs: &str, broken: &str| {
        let storage =
            |name: &str, status: &str| json!({"type": "storage", "node": "pve1", "storage": name, "status": status});
        let node = json!({"type": "node", "node": "pve1", "status": "online"});
        let all = json!([node, storage("nfs", nfs), storage("broken", broken)]);
        scene.look.resources = Some(Arc::new(resources(&body(all))));
        scene.go();
        scene.told.clone()
    };
    go("available", "unknown");
    go("unknown", "unknown");
    go("available", "unknown");
    let told = go("available", "unknown");
    let id = "storage/pve1/nfs";
    assert_eq!(
        told,
        [format!("storage_gone {id} began"), format!("storage_returned {id}"), format!("storage_gone {id} ended")]
    );
}

#[test]
fn ha_is_told_by_its_states_and_only_with_quorum() {
    let look = |quorate: bool, dead: bool, state: &str| HaLook {
        quorate,
        master: Some(("pve1".into(), dead)),
        nodes: BTreeMap::from([("pve1".into(), false)]),
        services: BTreeMap::from([("vm:100".into(), Service { node: "pve1".into(), state: state.into() })]),
    };
    let mut scene = Scene::new();
    scene.look.status = Some(Arc::new(status(&body(json!([{"type": "node", "name": "pve1", "online": 1}])))));
    for ha in [
        look(true, false, "started"),
        look(false, true, "started"),
        look(true, true, "started"),
        look(true, true, "fence"),
        look(true, true, "error"),
    ] {
        scene.look.ha = Some(ha);
        scene.go();
    }
    assert_eq!(
        scene.told,
        ["ha_manager_dead cluster/lab began", "node_fenced node/pve1 began", "ha_service_in_error qemu/100 began"]
    );
}

#[test]
fn replication_fails_while_it_counts_failures() {
    let mut scene = Scene::new();
    for failures in [0, 1, 2, 0, 0] {
        let (source, target) = ("pve1".to_owned(), "pve2".to_owned());
        scene.look.replication = vec![Job { id: "100-0".into(), guest: "qemu/100".into(), source, target, failures }];
        scene.go();
    }
    let id = "replication/100-0";
    assert_eq!(scene.told, [format!("replication_failing {id} began"), format!("replication_failing {id} ended")]);
}

#[test]
fn tasks_are_told_by_how_they_ended() {
    let mut scene = Scene::new();
    let at = (START - 5, Some(START - 1));
    scene.look.ended = vec![
        task("qmstart", "100", "pve1", at, "start failed: exit\u{7} code 1"),
        task("qmstart", "100", "pve1", at, "OK"),
        task("aptupdate", "", "pve1", at, "WARNINGS: 2"),
        task("vncproxy", "100", "pve1", at, "connection timed out"),
        task("qmigrate", "100", "pve1", at, "migration aborted"),
        task("vzdump", "100", "pve1", at, "WARNINGS: 1"),
    ];
    let ground = Ground { cluster: "lab", interval: 10, look: &scene.look };
    let found = findings(&ground, &mut State::default());
    assert!(found.iter().all(|one| one.details.values().all(|text| !text.contains(char::is_control))));
    assert_eq!(found[0].key, format!("task/{}", scene.look.ended[0].upid));
    assert_eq!(found[0].span, Span::Occurred { at: START - 1 });
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    let expected =
        ["task_failed qemu/100", "task_warnings node/pve1", "migration_failed qemu/100", "task_warnings qemu/100"];
    assert_eq!(scene.told, expected);
}

#[test]
fn what_a_task_is_about_does_not_hang_on_what_else_is_answered() {
    let at = (START - 5, Some(START - 1));
    let ended = |kind: &str, vmid: &str| task(kind, vmid, "pve1", at, "it failed");
    let tasks = [ended("qmstart", "100"), ended("hastart", "100"), ended("vzcreate", "200"), ended("hastart", "300")];
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    for resources in [None, scene.look.resources.clone()] {
        scene.told.clear();
        scene.look.resources = resources;
        scene.look.ended = tasks.to_vec();
        scene.go();
        let expected = ["task_failed qemu/100", "task_failed qemu/100", "task_failed lxc/200", "task_failed node/pve1"];
        assert_eq!(scene.told, expected);
    }
}
