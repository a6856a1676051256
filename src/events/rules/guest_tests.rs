//! The rules about guests before what makes others raise false alarms.

use std::sync::Arc;

use serde_json::json;

use super::tests::{Scene, Told, body, cluster};
use crate::inventory::testing::status;

#[test]
fn a_stop_that_nobody_asked_for_is_told_once_after_the_grace() {
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    for _ in 0..5 {
        scene.look(&[(100, "pve1", "stopped", 0, None, None)]);
    }
    assert_eq!(scene.told, ["guest_stopped_unexpectedly qemu/100"]);
}

#[test]
fn a_clock_that_jumps_restarts_nobody() {
    for jump in [60, 3600, -3600] {
        let mut scene = Scene { goes_on: true, ..Scene::new() };
        scene.look(&[(100, "pve1", "running", 500, None, None)]);
        scene.look(&[(100, "pve1", "running", 510, None, None)]);
        scene.look.now += jump;
        scene.look(&[(100, "pve1", "running", 520, None, None)]);
        scene.look(&[(100, "pve1", "running", 530, None, None)]);
        assert!(scene.told.is_empty(), "{jump}: {:?}", scene.told);
        // A restart afterwards is seen as ever.
        scene.look(&[(100, "pve1", "running", 3, None, None)]);
        assert_eq!(scene.told, ["guest_restarted_unexpectedly qemu/100"], "{jump}");
    }
}

#[test]
fn a_clock_that_jumps_while_nobody_looks_restarts_nobody() {
    for (ours, theirs) in [(0, 3600), (0, -3600), (3600, 0), (-3600, 0)] {
        let mut scene = Scene::new();
        scene.look(&[(100, "pve1", "running", 5000, None, None)]);
        scene.look.now += theirs;
        scene.look.ahead += theirs - ours;
        scene.look(&[(100, "pve1", "running", 5010, None, None)]);
        scene.look(&[(100, "pve1", "running", 5020, None, None)]);
        assert!(scene.told.is_empty(), "{ours} {theirs}: {:?}", scene.told);
        scene.look(&[(100, "pve1", "running", 3, None, None)]);
        assert_eq!(scene.told, ["guest_restarted_unexpectedly qemu/100"], "{ours} {theirs}");
        // It jumps, and the guest restarts, and nobody looked at either.
        scene.look.now += theirs;
        scene.look.ahead += theirs - ours;
        scene.look.now += 9000;
        scene.look(&[(100, "pve1", "running", 4, None, None)]);
        assert_eq!(scene.told.len(), 2, "{ours} {theirs}: {:?}", scene.told);
    }
}

#[test]
fn a_stop_is_told_when_the_clock_is_set_back_meanwhile() {
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    scene.look(&[(100, "pve1", "stopped", 0, None, None)]);
    scene.look.now -= 3600;
    for _ in 0..4 {
        scene.look(&[(100, "pve1", "stopped", 0, None, None)]);
    }
    assert_eq!(scene.told, ["guest_stopped_unexpectedly qemu/100"]);
}

#[test]
fn what_was_asked_before_the_clock_was_set_back_is_forgotten_as_ever() {
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    scene.ended("qmreset", "100", "pve1").look(&[(100, "pve1", "running", 510, None, None)]);
    scene.look.now -= 3600;
    for up in 0..10 {
        scene.look(&[(100, "pve1", "running", 520 + 10 * up, None, None)]);
    }
    for _ in 0..4 {
        scene.look(&[(100, "pve1", "stopped", 0, None, None)]);
    }
    assert_eq!(scene.told, ["guest_stopped_unexpectedly qemu/100"]);
}

#[test]
fn what_was_asked_counts_until_the_guests_are_seen_again() {
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 500, None, None), (101, "pve2", "running", 500, None, None)]);
    scene.ended("qmstop", "100", "pve1").ended("stopall", "", "pve2");
    for _ in 0..20 {
        scene.look.resources = None;
        scene.go();
    }
    let stopped = [(100, "pve1", "stopped", 0, None, None), (101, "pve2", "stopped", 0, None, None)];
    // Nor are those of a node seen whose tasks are not known.
    scene.look.blind = ["pve1".to_owned(), "pve2".to_owned()].into();
    for look in 0..24 {
        if look == 20 {
            scene.look.blind.clear();
        }
        scene.look(&stopped);
    }
    assert!(scene.told.is_empty(), "{:?}", scene.told);
}

#[test]
fn no_answer_is_no_news() {
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    for _ in 0..3 {
        scene.look(&[]);
        scene.look.resources = None;
        scene.go();
    }
    scene.look(&[(100, "pve1", "running", 570, None, None)]);
    assert!(scene.told.is_empty(), "{:?}", scene.told);
    assert_eq!(scene.state.guests.len(), 1);
}

#[test]
fn stops_that_were_asked_for_are_not_told() {
    for kind in ["qmstop", "qmshutdown", "hastop", "qmsuspend", "qmdestroy"] {
        let mut scene = Scene::new();
        scene.look(&[(100, "pve1", "running", 500, None, None)]).ended(kind, "100", "pve1");
        for _ in 0..8 {
            scene.look(&[(100, "pve1", "stopped", 0, None, None)]);
        }
        assert!(scene.told.is_empty(), "{kind}: {:?}", scene.told);
        // A sample may be late, and a task be seen only after its work.
        let mut scene = Scene::new();
        scene.look(&[(100, "pve1", "running", 500, None, None)]);
        scene.look(&[(100, "pve1", "stopped", 0, None, None)]).ended(kind, "100", "pve1");
        for _ in 0..8 {
            scene.look(&[(100, "pve1", "stopped", 0, None, None)]);
        }
        assert!(scene.told.is_empty(), "{kind}: {:?}", scene.told);
    }
}

#[test]
fn a_backup_that_stops_its_guest_is_no_stop() {
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 500, None, None)]);
    for _ in 0..4 {
        scene.running("vzdump", "", "pve1").look(&[(100, "pve1", "stopped", 0, Some("backup"), None)]);
    }
    for up in 0..4 {
        scene.running("vzdump", "", "pve1").look(&[(100, "pve1", "running", 10 * up, Some("backup"), None)]);
    }
    scene.ended("vzdump", "", "pve1");
    for up in 4..20 {
        scene.look(&[(100, "pve1", "running", 10 * up, None, None)]);
    }
    assert!(scene.told.is_empty(), "{:?}", scene.told);
}

#[test]
fn a_failover_by_ha_is_the_loss_of_the_node_and_nothing_else() {
    let mut scene = Scene::new();
    let members = |online: bool| {
        let node = |name: &str, online: bool| json!({"type": "node", "name": name, "online": u8::from(online)});
        let cluster = json!({"type": "cluster", "name": "c", "quorate": 1});
        Some(Arc::new(status(&body(json!([cluster, node("pve1", online), node("pve2", true)])))))
    };
    scene.look.status = members(true);
    scene.look(&[(100, "pve1", "running", 500, None, Some("started"))]);
    scene.look.status = members(false);
    for _ in 0..6 {
        scene.look.resources = Some(cluster(&[(100, "pve1", "unknown", 0, None, Some("fence"))], &["pve1"]));
        scene.go();
    }
    for _ in 0..5 {
        scene.look.resources = Some(cluster(&[(100, "pve2", "stopped", 0, None, Some("started"))], &["pve1"]));
        scene.go();
    }
    for up in 0..5 {
        scene.look.resources = Some(cluster(&[(100, "pve2", "running", 10 * up, None, Some("started"))], &["pve1"]));
        scene.go();
    }
    scene.look.status = members(true);
    scene.look(&[(100, "pve2", "running", 60, None, Some("started"))]);
    scene.look(&[(100, "pve2", "running", 70, None, Some("started"))]);
    assert_eq!(scene.told, ["node_lost node/pve1 began", "node_returned node/pve1", "node_lost node/pve1 ended"]);
}

#[test]
fn a_bulk_migration_tells_the_migrations_only() {
    let mut scene = Scene::new();
    let before: Vec<Told<'_>> = (100..300).map(|vmid| (vmid, "pve1", "running", 500, None, None)).collect();
    scene.look(&before);
    for moved in (100..=300).step_by(20) {
        for vmid in moved.max(120) - 20..moved {
            scene.ended("qmigrate", &vmid.to_string(), "pve1");
        }
        let guests: Vec<Told<'_>> = (100..300)
            .map(|vmid| match vmid < moved {
                true => (vmid, "pve2", "running", 5 + (moved as i64 - vmid as i64) / 2, None, None),
                false => (vmid, "pve1", "running", 600, Some("migrate"), None),
            })
            .collect();
        scene.running("migrateall", "", "pve1").look(&guests);
    }
    let done = scene.told.iter().filter(|told| told.starts_with("migration_done qemu/")).count();
    assert_eq!((done, scene.told.len()), (200, 200));
}

#[test]
fn a_planned_reboot_of_a_node_stops_its_guests_and_starts_them() {
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 500, None, None), (101, "pve1", "running", 500, None, None)]);
    for _ in 0..3 {
        let guests = [(100, "pve1", "stopped", 0, None, None), (101, "pve1", "running", 600, None, None)];
        scene.running("stopall", "", "pve1").look(&guests);
    }
    for _ in 0..20 {
        let guests = [(100, "pve1", "unknown", 0, None, None), (101, "pve1", "unknown", 0, None, None)];
        scene.look.resources = Some(cluster(&guests, &["pve1"]));
        scene.go();
    }
    for up in 0..20 {
        let guests = [(100, "pve1", "stopped", 0, None, None), (101, "pve1", "running", 10 * up, None, None)];
        scene.look(&guests);
    }
    assert!(scene.told.is_empty(), "{:?}", scene.told);
}

#[test]
fn restarts_that_nobody_asked_for_are_told_and_become_a_loop() {
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 5000, None, None)]);
    for _ in 0..3 {
        for up in 0..8 {
            scene.look(&[(100, "pve1", "running", 10 * up, None, None)]);
        }
    }
    let restart = "guest_restarted_unexpectedly qemu/100";
    assert_eq!(scene.told, [restart, restart, restart, "guest_reboot_loop qemu/100"]);
    let mut scene = Scene::new();
    scene.look(&[(100, "pve1", "running", 5000, None, None)]).ended("qmreboot", "100", "pve1");
    scene.look(&[(100, "pve1", "running", 5, None, None)]);
    assert!(scene.told.is_empty(), "{:?}", scene.told);
}

#[test]
fn errors_of_guests_last() {
    let mut scene = Scene::new();
    let words = ["running", "io-error", "running", "io-error", "running", "running", "running"];
    for (word, uptime) in words.iter().zip((500..).step_by(10)) {
        scene.look(&[(100, "pve1", word, uptime, None, None)]);
    }
    assert_eq!(scene.told, ["guest_in_error qemu/100 began", "guest_in_error qemu/100 ended"]);
}
