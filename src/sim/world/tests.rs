//! The world as a whole, told by what its API answers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::super::testing::fixtures;
use super::*;

type Entries = BTreeMap<String, Value>;

/// What may be there or not, whatever the type of an entry.
const OPTIONAL: [&str; 4] = ["pool", "tags", "lock", "hastate"];

fn data(text: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(text).unwrap()["data"].as_array().unwrap().clone()
}

fn entries(text: &str) -> Entries {
    let list = data(text);
    let length = list.len();
    let entries: Entries = list.into_iter().map(|entry| (entry["id"].as_str().unwrap().to_owned(), entry)).collect();
    assert_eq!(entries.len(), length, "an id came twice");
    entries
}

fn at(world: &World, time: u64) -> Entries {
    entries(&world.resources(Duration::from_secs(time)))
}

fn demo() -> World {
    World::new(1, 3, 40)
}

fn is_guest(entry: &Value) -> bool {
    entry.get("vmid").is_some()
}

/// Nothing that counts went back, but by a stop, a new start, a move, or the loss of the node.
fn assert_counters_grew(before: &Entries, after: &Entries) {
    for (id, after) in after.iter().filter(|(_, entry)| is_guest(entry)) {
        let before = &before[id];
        let number = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_u64);
        let reset = before["node"] != after["node"]
            || number(after, "uptime") < number(before, "uptime")
            || after.get("name").is_none()
            || after["status"] == "stopped";
        for key in ["netin", "netout", "diskread", "diskwrite", "uptime"] {
            assert!(reset || number(after, key) >= number(before, key), "{key} of {id}: {before} → {after}");
        }
    }
}

#[test]
fn counters_never_go_back_but_by_a_reset() {
    let world = demo();
    let mut before = at(&world, 0);
    for time in (1..4000).step_by(5) {
        let after = at(&world, time);
        assert_counters_grew(&before, &after);
        before = after;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cluster_at_any_time_is_sound(seed: u64, nodes in 0_usize..6, guests in 0_usize..60, now: u64, step in 0_u64..2000) {
        let world = World::new(seed, nodes, guests);
        let now = now % 100_000_000;
        let before = at(&world, now);
        prop_assert_eq!(before.values().filter(|entry| is_guest(entry)).count(), guests);
        // Within one stretch between resets only: longer steps may hide a reset behind a larger count.
        let after = at(&world, now + step % 10);
        assert_counters_grew(&before, &after);
        for entry in at(&world, now + step).values() {
            if let Some(cpu) = entry.get("cpu").and_then(Value::as_f64) {
                prop_assert!((0.0..=1.0).contains(&cpu), "{}", entry);
            }
            for (used, size) in [("mem", "maxmem"), ("disk", "maxdisk")] {
                let used = entry.get(used).and_then(Value::as_u64);
                prop_assert!(used.is_none() || used <= entry.get(size).and_then(Value::as_u64), "{}", entry);
            }
        }
    }

    #[test]
    fn no_time_panics(seed: u64, nodes in 0_usize..6, now: u64) {
        let world = World::new(seed, nodes, 20);
        let now = Duration::from_secs(now);
        prop_assert_eq!(data(&world.cluster_status(now)).len(), if nodes < 2 { 1 } else { nodes + 1 });
        prop_assert!(!data(&world.resources(now)).is_empty());
    }
}

#[test]
fn the_same_seed_and_time_give_the_same_facts_and_others_do_not() {
    let facts = |seed, time| at(&World::new(seed, 3, 40), time);
    assert_eq!(facts(1, 500), facts(1, 500));
    assert_ne!(facts(1, 500), facts(2, 500));
    assert_ne!(facts(1, 500), facts(1, 510));
}

/// The shape of an entry: its keys, and whether their values are texts, integers or other numbers.
fn shape(entry: &Value) -> BTreeMap<String, &'static str> {
    let kind = |key: &str, value: &Value| match value {
        Value::String(_) => "text",
        // Whole ones are integers, so that either may be seen.
        Value::Number(_) if key == "cpu" || key == "maxcpu" => "number",
        Value::Number(number) if number.is_u64() => "integer",
        _ => "other",
    };
    let fields = entry.as_object().unwrap().iter();
    fields
        .filter(|(key, _)| !OPTIONAL.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), kind(key, value)))
        .collect()
}

/// What tells the shapes of entries apart.
fn class(entry: &Value) -> (String, String) {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("type"), text("status"))
}

fn recorded(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(fixtures(file)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["body"]["data"].as_array().unwrap().clone()
}

/// Each class of entries that both have looks the same in both; answers how many there were.
fn assert_same_shapes(recorded: &[Value], simulated: &[Value]) -> usize {
    let classes: BTreeSet<_> =
        recorded.iter().map(class).filter(|known| simulated.iter().any(|entry| class(entry) == *known)).collect();
    for known in &classes {
        let shapes = |entries: &[Value]| -> BTreeSet<_> {
            entries.iter().filter(|entry| class(entry) == *known).map(shape).collect()
        };
        assert_eq!(shapes(recorded), shapes(simulated), "{known:?}");
    }
    classes.len()
}

#[test]
fn entries_have_the_fields_that_a_real_cluster_gives_them() {
    let world = demo();
    let resources = |time| data(&world.resources(Duration::from_secs(time)));
    let healthy = recorded("pve-9.2-cluster/GET_cluster__resources.json");
    assert_eq!(assert_same_shapes(&healthy, &resources(0)), 8 - 1, "storage/unknown is rare");
    let lost = recorded("pve-9.2-node-lost/noquorum_early_GET_cluster__resources.json");
    assert_eq!(assert_same_shapes(&lost, &resources(300)), 8);
    let forgotten = recorded("pve-9.2-node-lost/node2down_6min_GET_cluster__resources.json");
    assert_eq!(assert_same_shapes(&forgotten, &resources(560)), 10);
    let status = data(&world.cluster_status(Duration::ZERO));
    assert_eq!(assert_same_shapes(&recorded("pve-9.2-cluster/GET_cluster__status.json"), &status), 2);
}

#[test]
fn a_token_without_rights_sees_what_it_saw_of_a_real_cluster() {
    let cluster = demo().facts();
    let stripped = cluster.resources(&cluster.scene(0), None, Rights::None, Shuffle::new(0, 0));
    let recorded = recorded("pve-9.2-cluster/NOACL_GET_cluster__resources.json");
    assert_eq!(assert_same_shapes(&recorded, &data(&stripped)), 1);
    assert_eq!(data(&stripped).len(), 3);
}

#[test]
fn everything_a_client_must_cope_with_is_there_at_the_start() {
    let entries = at(&demo(), 0);
    let has = |key: &str, value: Value| entries.values().any(|entry| entry.get(key) == Some(&value));
    for status in ["running", "stopped", "paused", "available", "online", "brewing"] {
        assert!(has("status", status.into()), "{status}");
    }
    for kind in ["node", "qemu", "lxc", "storage", "pool", "network", "sdn", "teapot"] {
        assert!(has("type", kind.into()), "{kind}");
    }
    assert!(has("template", 1.into()) && has("maxcpu", 0.5.into()) && has("shared", 1.into()));
    assert!(has("hastate", "started".into()) && has("tags", "prod;web".into()) && has("pool", "prod".into()));
    assert!(entries.values().any(|entry| entry["type"] == "qemu" && entry["memhost"].as_u64() > Some(0)));
}

#[test]
fn a_node_goes_away_and_returns() {
    let world = demo();
    let status = |time| {
        let entries = entries(&world.cluster_status(Duration::from_secs(time)));
        (entries["node/pve3"]["online"].as_u64(), entries["cluster"]["quorate"].as_u64())
    };
    assert_eq!([239, 240, 599, 600].map(status).map(|(online, _)| online), [Some(1), Some(0), Some(0), Some(1)]);
    assert_eq!(status(300).1, Some(1));
    let (before, early, late, back) = (at(&world, 239), at(&world, 539), at(&world, 540), at(&world, 700));
    // lxc/108 lives on pve3 and is not managed by HA.
    assert_eq!(before["lxc/108"], early["lxc/108"]);
    assert_eq!(early["node/pve3"]["status"], "offline");
    assert_eq!(early["storage/pve3/local"]["disk"], before["storage/pve3/local"]["disk"]);
    assert_eq!(late["lxc/108"]["status"], "unknown");
    assert!(late["lxc/108"].get("name").is_none() && late["node/pve3"].get("maxcpu").is_none());
    assert_eq!(late["storage/pve3/ceph-vm"]["status"], "unknown");
    assert_eq!(late["storage/pve1/ceph-vm"]["status"], "available");
    assert_eq!(back["lxc/108"]["status"], "running");
    assert!(back["lxc/108"]["uptime"].as_u64() < Some(100) && back["node/pve3"]["uptime"] == 140);
    assert!(world.is_away(2, Duration::from_secs(300)) && !world.is_away(1, Duration::from_secs(300)));
}

#[test]
fn ha_takes_a_guest_off_a_lost_node_and_back() {
    let world = demo();
    let guest = |time| {
        let entry = at(&world, time)["qemu/104"].clone();
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        [text("node"), text("status"), text("hastate"), text("lock")].join(" ")
    };
    let story = [
        (230, "pve3 running started "),
        (250, "pve3 running started "),
        (310, "pve3 running fence "),
        (360, "pve3 running recovery "),
        (370, "pve1 stopped started "),
        (390, "pve1 running started "),
        (700, "pve1 running started "),
        (840, "pve1 running migrate migrate"),
        (870, "pve3 running started "),
        (1450, "pve3 running started "),
        (1600, "pve1 running started "),
    ];
    for (time, expected) in story {
        assert_eq!(guest(time), expected, "at {time}");
    }
    assert_eq!(at(&world, 400)["qemu/104"]["uptime"], 10);
    assert_eq!(at(&world, 880)["qemu/104"]["uptime"], 10);
}

#[test]
fn a_guest_migrates_and_another_crashes_and_some_are_backed_up() {
    let world = demo();
    let guest = |time, id: &str, key: &str| at(&world, time)[id].get(key).cloned().unwrap_or_default();
    assert_eq!(
        [100, 129, 130].map(|time| guest(time, "qemu/101", "lock")),
        ["migrate".into(), "migrate".into(), Value::Null]
    );
    assert_eq!([99, 129, 130, 430].map(|time| guest(time, "qemu/101", "node")), ["pve1", "pve1", "pve2", "pve1"]);
    assert!(guest(140, "qemu/101", "netin").as_u64() < guest(129, "qemu/101", "netin").as_u64());
    assert_eq!(guest(140, "qemu/101", "uptime"), 10);
    let states = [149, 150, 169, 170, 199, 200].map(|time| guest(time, "qemu/100", "status"));
    assert_eq!(states, ["running", "internal-error", "internal-error", "stopped", "stopped", "running"]);
    assert_eq!([150, 180, 210].map(|time| guest(time, "qemu/100", "hastate")), ["started"; 3]);
    assert_eq!(guest(210, "qemu/100", "uptime"), 10);
    let locked = |time| {
        at(&world, time).into_iter().find(|(_, entry)| entry.get("lock") == Some(&"backup".into())).map(|(id, _)| id)
    };
    assert_eq!(locked(170).as_deref(), Some("qemu/102"), "the backup that fails");
    assert!(locked(60).is_some() && locked(60) != locked(100) && locked(195).is_none());
    let stored = |time| guest(time, "storage/pve1/backup-nas", "disk").as_u64();
    assert!(stored(80) < stored(100) && stored(170) == stored(300));
}

#[test]
fn one_node_stands_alone() {
    let world = World::new(1, 1, 40);
    let status = data(&world.cluster_status(Duration::from_secs(300)));
    assert_eq!(status.len(), 1);
    assert_eq!((&status[0]["type"], &status[0]["nodeid"], &status[0]["local"]), (&"node".into(), &0.into(), &1.into()));
    for time in [0, 110, 160, 300, 560] {
        let entries = at(&world, time);
        assert!(entries.values().all(|entry| entry.get("hastate").is_none()));
        assert!(entries.values().all(|entry| entry.get("lock") != Some(&"migrate".into())));
        assert!(entries.values().all(|entry| entry.get("node").is_none_or(|node| node == "pve1")));
        assert_eq!(entries["node/pve1"]["status"], "online");
    }
    assert!(
        data(&World::new(1, 2, 40).cluster_status(Duration::from_secs(300))).iter().all(|entry| entry["online"] != 0)
    );
}

#[test]
fn a_large_cluster_is_whole() {
    let entries = at(&World::new(1, 32, 10_000), 300);
    assert_eq!(entries.values().filter(|entry| is_guest(entry)).count(), 10_000);
    assert_eq!(entries.values().filter(|entry| entry["type"] == "node").count(), 32);
}

#[test]
fn tags_are_sorted() {
    for entry in at(&demo(), 0).values() {
        let tags: Vec<&str> = entry.get("tags").and_then(Value::as_str).unwrap_or_default().split(';').collect();
        assert!(tags.is_sorted(), "{entry}");
    }
}
