//! An HA failover: a node is lost, the HA manager fences it and starts its guests elsewhere. That is two alarms, not one for
//! each guest.

use std::collections::BTreeMap;
use std::time::Duration;

use pve_sentinel::sim::World;
use serde_json::Value;

use super::events::events;
use super::watch::{Lab, look};
use crate::support::Exporter;

/// When the node is lost, and when it has booted again, in seconds of the simulation.
const LOST: u64 = 200;
const BACK: u64 = 700;

/// Kind, id and state of what was found since an event, and the number of the last one.
fn found(exporter: &Exporter, since: u64) -> (Vec<String>, u64) {
    let answer = events(exporter, &format!("?since={since}"));
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let all = answer["events"].as_array().unwrap().iter();
    let found = all.map(|event| format!("{} {} {}", text(event, "kind"), text(event, "id"), text(event, "state")));
    (found.collect(), answer["next"].as_u64().unwrap())
}

/// The guests that HA manages, and the others, on the first node: number and node.
fn guests(lab: &Lab, ha: bool) -> BTreeMap<u64, String> {
    let body: Value = serde_json::from_str(&lab.simulated.world.resources(lab.simulated.now())).unwrap();
    let entries = body["data"].as_array().unwrap().iter();
    let is_meant = |entry: &&Value| entry["vmid"].is_u64() && entry.get("hastate").is_some() == ha;
    let entry = |entry: &Value| (entry["vmid"].as_u64().unwrap(), entry["node"].as_str().unwrap().to_owned());
    entries.filter(is_meant).filter(|entry| entry["status"] == "running").map(entry).collect()
}

#[test]
fn a_failover_is_the_loss_of_a_node_and_its_fencing_and_no_more() {
    let lab = Lab::new(World::new(1, 3, 200));
    let exporter = Exporter::serve(&lab.config(""));
    lab.at(&exporter, LOST - 10);
    let on_it =
        |guests: BTreeMap<u64, String>| guests.into_iter().filter(|(_, node)| node == "pve1").map(|(vmid, _)| vmid);
    let (managed, others): (Vec<u64>, Vec<u64>) =
        (on_it(guests(&lab, true)).collect(), on_it(guests(&lab, false)).collect());
    assert!(managed.len() > 2 && others.len() > 20, "{managed:?} {others:?}");
    // The manager's own node, and the endpoint that is asked.
    assert!(lab.simulated.world.edit(Duration::from_secs(LOST), |edit| edit.lose(0)));
    let mut next = 0;
    let mut at = |seconds: u64, expected: &[&str]| {
        lab.at(&exporter, seconds);
        // What lasts is over after two looks.
        look(&exporter);
        let (all, last) = found(&exporter, next);
        assert_eq!(all, expected, "{} s after the loss\n{}", i64::try_from(seconds).unwrap() - 200, exporter.log());
        next = last;
    };
    at(LOST + 10, &["node_lost node/pve1 began"]);
    at(LOST + 60, &["node_fenced node/pve1 began"]);
    at(LOST + 110, &[]);
    // In recovery, then on another node: stopped, asked to start, running.
    at(LOST + 120, &["node_fenced node/pve1 ended"]);
    at(LOST + 130, &[]);
    let start = i64::try_from(LOST).unwrap() + 140;
    // HA leaves a task behind where it starts a guest; here not for each, so that nothing hangs on it.
    for vmid in managed.iter().filter(|vmid| *vmid % 2 == 0) {
        lab.task(1, ("qmstart", &vmid.to_string()), (start, start + 8), "OK");
    }
    at(LOST + 140, &[]);
    at(LOST + 150, &[]);
    let moved = guests(&lab, true);
    assert!(managed.iter().all(|vmid| moved.get(vmid).is_some_and(|node| node != "pve1")), "{moved:?}");
    // PVE forgets what the node last said.
    at(LOST + 300, &[]);
    assert!(lab.simulated.world.edit(Duration::from_secs(BACK), |edit| edit.bring_back(0)));
    at(BACK, &["node_returned node/pve1 occurred", "node_lost node/pve1 ended"]);
    for seconds in [20, 50, 100] {
        at(BACK + seconds, &[]);
    }
    // One that was paused runs, too.
    let again: Vec<u64> = on_it(guests(&lab, false)).collect();
    assert!(others.iter().all(|vmid| again.contains(vmid)), "they have started again: {again:?}");
    // HA takes its guests home.
    for seconds in [240, 270, 300] {
        at(BACK + seconds, &[]);
    }
    assert_eq!(on_it(guests(&lab, true)).collect::<Vec<_>>(), managed);
    lab.wait_for(&exporter, "PVENodeFenced node/pve1");
    assert_eq!(lab.told().into_iter().collect::<Vec<_>>(), ["PVENodeFenced node/pve1", "PVENodeLost node/pve1"]);
}
