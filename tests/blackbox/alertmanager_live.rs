//! The whole way, twice at each place: a cluster, two exporters that watch it, two Alertmanagers that know each other, and
//! people who are told once.

use std::time::Duration;

use pve_sentinel::sim::{Edit, Task, World};
use serde_json::Value;

use super::alertmanager::{Alertmanager, Told, assert_told_once, free, now};
use super::watch::{Lab, look};
use crate::support::Exporter;

/// Kinds that are only kept unless the configuration wants them told.
const QUIET: [&str; 4] = ["task_warnings", "migration_done", "node_returned", "quorum_regained"];

/// A cluster, and two exporters with all Alertmanagers each.
struct Scene {
    lab: Lab,
    exporters: Vec<Exporter>,
    _folders: [tempfile::TempDir; 2],
}

impl Scene {
    fn start(alertmanagers: &[&Alertmanager]) -> Self {
        let lab = Lab::new(World::new(1, 3, 60).begun_at(now() - 600));
        let members: Vec<String> = alertmanagers.iter().map(|one| format!("{{ url = \"{}\" }}", one.url())).collect();
        let rules = QUIET.map(|kind| format!("rules.{kind} = {{ severity = \"warning\" }}\n")).concat();
        // An alert that lasts ends by itself after four times `resend`: long enough for a machine that is busy.
        let times = format!("interval = \"1s\"\nhold = \"30s\"\nresend = \"3s\"\n{rules}");
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let start = |folder: &tempfile::TempDir| {
            let config = super::events::config(folder.path(), &lab.simulated.cluster, &members.join(", "));
            Exporter::serve(&config.replace("hold = \"1h\"\n", &times))
        };
        let exporters = folders.iter().map(start).collect();
        let scene = Self { lab, exporters, _folders: folders };
        scene.look();
        scene
    }

    fn look(&self) {
        self.exporters.iter().for_each(look);
    }

    fn at(&self, seconds: u64) {
        self.lab.simulated.turn_to(seconds);
        self.look();
    }

    fn edit(&self, seconds: u64, change: impl FnOnce(&mut Edit<'_>) -> bool) {
        assert!(self.lab.simulated.world.edit(Duration::from_secs(seconds), change));
    }

    fn id(&self, vmid: u64) -> String {
        let resources = self.lab.simulated.world.resources(self.lab.simulated.now());
        let resources: Value = serde_json::from_str(&resources).unwrap();
        let entry = resources["data"].as_array().unwrap().iter().find(|entry| entry["vmid"] == vmid).unwrap();
        entry["id"].as_str().unwrap().to_owned()
    }

    /// Guests of a node that run and that HA leaves alone.
    fn free_guests(&self, node: &str) -> Vec<u64> {
        let resources = self.lab.simulated.world.resources(self.lab.simulated.now());
        let resources: Value = serde_json::from_str(&resources).unwrap();
        let entries = resources["data"].as_array().unwrap().iter();
        let is_free =
            |entry: &&Value| entry["status"] == "running" && entry["node"] == node && entry.get("hastate").is_none();
        entries.filter(is_free).filter_map(|entry| entry["vmid"].as_u64()).collect()
    }
}

/// Things that happen in a moment; answers how they are told.
fn moments(scene: &Scene) -> Vec<String> {
    let guests = scene.free_guests("pve1");
    let [stops, reboots, loops, starts, moves, stays, warned, backed] = guests[..8] else { panic!("{guests:?}") };
    let id = |vmid: u64| scene.id(vmid);
    scene.edit(100, |edit| edit.halt(stops));
    scene.look();
    // On a node of which nothing is asked of all guests.
    let log = ["INFO: Starting Backup", &format!("ERROR: Backup of VM {backed} failed - no space left"), "INFO: done"];
    let task = Task {
        node: 1,
        kind: "vzdump",
        id: String::new(),
        by: "root@pam".to_owned(),
        begun: 60,
        ends: 105,
        outcome: "job errors".to_owned(),
        log: log.map(str::to_owned).into(),
    };
    scene.lab.simulated.world.edit(scene.lab.simulated.now(), |edit| edit.task(task));
    for (kind, vmid, outcome) in [
        ("qmstart", starts, "start failed"),
        ("qmigrate", moves, "OK"),
        ("qmigrate", stays, "aborted"),
        ("qmsnapshot", warned, "WARNINGS: 1"),
    ] {
        scene.lab.task(0, (kind, &vmid.to_string()), (95, 105), outcome);
    }
    scene.edit(110, |edit| edit.boot(reboots) && edit.boot(loops));
    scene.at(110);
    for seconds in [160, 210] {
        // It ran for a while.
        scene.at(seconds - 10);
        scene.edit(seconds, |edit| edit.boot(loops));
        scene.at(seconds);
    }
    [
        ("PVEGuestStoppedUnexpectedly", stops),
        ("PVEGuestRestartedUnexpectedly", reboots),
        ("PVEGuestRestartedUnexpectedly", loops),
        ("PVEGuestRebootLoop", loops),
        ("PVETaskFailed", starts),
        ("PVEMigrationDone", moves),
        ("PVEMigrationFailed", stays),
        ("PVETaskWarnings", warned),
        ("PVEBackupFailed", backed),
    ]
    .map(|(alertname, vmid)| format!("{alertname} {}", id(vmid)))
    .into()
}

/// What lasts for a while, all of it at once; answers how it is told.
fn lasting(scene: &Scene, told: &Told) -> Vec<String> {
    let lasts = ["PVENodeLost node/pve3", "PVENodeFenced node/pve3", "PVEQuorumLost cluster/home"].map(str::to_owned);
    scene.edit(300, |edit| edit.lose(2));
    scene.at(300);
    scene.edit(360, |edit| {
        edit.set_quorate(false);
        true
    });
    scene.at(360);
    told.wait_for("firing", &lasts);
    // The two do not look at the same moment: one of them says first that all of it is over.
    scene.edit(430, |edit| {
        edit.set_quorate(true);
        edit.bring_back(2)
    });
    scene.at(430);
    told.wait_for("resolved", &lasts);
    let returned = ["PVENodeReturned node/pve3", "PVEQuorumRegained cluster/home"].map(str::to_owned);
    [lasts.to_vec(), returned.to_vec()].concat()
}

#[test]
fn what_a_cluster_goes_through_is_told_once_by_two_exporters_and_two_alertmanagers() {
    let (told, hook) = Told::start();
    let first = Alertmanager::start(hook, "['...']");
    let second = Alertmanager::start_at(free(), hook, "['...']", Some(first.gossip));
    first.wait_for_members(2);
    second.wait_for_members(2);
    let scene = Scene::start(&[&first, &second]);
    let moments = moments(&scene);
    let lasting = lasting(&scene, &told);
    assert_told_once(&told, &[moments, lasting].concat());
}
