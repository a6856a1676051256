//! Paths, parameters and rights, before any network.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::World;
use super::super::testing::{recorded, shape};
use super::*;

pub(super) struct Asker<'a> {
    pub(super) world: &'a World,
    pub(super) node: usize,
    pub(super) now: u64,
    pub(super) rights: Rights,
}

impl Asker<'_> {
    pub(super) fn answer(&self, path: &str) -> Answer {
        let call = Call {
            method: "GET",
            target: &format!("/api2/json{path}"),
            rights: self.rights,
            caller: "monitor@pve!test",
            body: b"",
            now: Duration::from_secs(self.now),
            node: self.node,
            fingerprint: Fingerprint([0; 32]),
            away_delay: Duration::from_secs(3),
            seed: 1,
            answer: 0,
        };
        answer(self.world, &call)
    }

    pub(super) fn data(&self, path: &str) -> Value {
        let reply = self.answer(path).reply;
        assert_eq!((reply.status, reply.reason.as_str()), (200, "OK"), "{path}");
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        body["data"].take()
    }

    /// Status and reason of a failure, and how long it takes.
    pub(super) fn failure(&self, path: &str) -> (u16, String, Duration) {
        let Answer { reply, after } = self.answer(path);
        if reply.content_type.is_some() {
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            let message = body["message"].as_str().unwrap().trim_end();
            assert_eq!((body["data"].clone(), message), (Value::Null, reply.reason.as_str()), "{path}");
        } else {
            assert!(reply.body.is_empty());
        }
        (reply.status, reply.reason, after)
    }
}

pub(super) fn asker(world: &World) -> Asker<'_> {
    Asker { world, node: 0, now: 0, rights: Rights::Auditor }
}

pub(super) fn powerless(world: &World) -> Asker<'_> {
    Asker { rights: Rights::None, ..asker(world) }
}

pub(super) fn demo() -> World {
    World::new(1, 3, 40)
}

#[test]
fn what_goes_by_way_of_pvedaemon_is_known() {
    let world = demo();
    for (path, protected) in [
        ("/cluster/metrics/export", false),
        ("/cluster/backup-info/not-backed-up", true),
        ("/cluster/replication", false),
        ("/cluster/config/qdevice", true),
        ("/nodes/pve1/qemu/100/config", false),
        ("/nodes/pve1/qemu/100/pending", false),
        ("/nodes/pve1/qemu/100/snapshot", true),
        ("/nodes/pve1/qemu/100/status/current", true),
        ("/nodes/pve1/apt/versions", false),
        ("/nodes/pve1/replication", true),
        ("/nodes/pve2/replication/102-0/status", true),
        ("/nodes/pve1/subscription", false),
        ("/nodes/pve2/status", false),
        ("/nodes/pve2/rrddata?timeframe=hour", false),
        ("/nodes/pve2/services", true),
        ("/nodes/pve2/network", false),
        ("/nodes/pve2/certificates/info", false),
        ("/nodes/pve2/sdn/zones", true),
        ("/cluster/sdn/zones", false),
        ("/nodes/pve2/apt/repositories", false),
    ] {
        let reply = asker(&world).answer(path).reply;
        assert_eq!((reply.status, reply.protected), (200, protected), "{path}");
    }
}

#[test]
fn without_rights_each_call_answers_as_it_was_seen() {
    let world = demo();
    let powerless = powerless(&world);
    for (path, reason) in [
        ("/cluster/metrics/export", "Permission check failed (/, Sys.Audit)"),
        ("/cluster/backup-info/not-backed-up", "Permission check failed (/, Sys.Audit)"),
        ("/cluster/config/qdevice", "Permission check failed (/, Sys.Audit)"),
        ("/nodes/pve1/qemu/100/config", "Permission check failed (/vms/100, VM.Audit)"),
        ("/nodes/pve1/qemu/100/pending", "Permission check failed (/vms/100, VM.Audit)"),
        ("/nodes/pve1/qemu/100/snapshot", "Permission check failed (/vms/100, VM.Audit)"),
        ("/nodes/pve1/qemu/100/status/current", "Permission check failed (/vms/100, VM.Audit)"),
        ("/nodes/pve1/apt/versions", "Permission check failed (/nodes/pve1, Sys.Audit)"),
        ("/nodes/nope/lxc/99999/config", "Permission check failed (/vms/99999, VM.Audit)"),
        ("/nodes/pve2/replication/102-0/status", "Permission check failed (/vms/102, VM.Audit)"),
        ("/nodes/pve2/status", "Permission check failed (/nodes/pve2, Sys.Audit)"),
        ("/nodes/pve2/services", "Permission check failed (/nodes/pve2, Sys.Audit)"),
        ("/nodes/pve2/apt/repositories", "Permission check failed (/nodes/pve2, Sys.Audit)"),
    ] {
        assert_eq!(powerless.failure(path), (403, reason.to_owned(), Duration::ZERO), "{path}");
    }
    assert_eq!(
        asker(&world).failure("/nodes/pve1/apt/update").1,
        "Permission check failed (/nodes/pve1, Sys.Modify)",
        "which only administrators have"
    );
    assert_eq!(powerless.data("/cluster/sdn/zones"), json!([]));
    assert_eq!(powerless.data("/cluster/replication"), json!([]));
    assert_eq!(powerless.data("/nodes/pve2/replication"), json!([]));
    let recorded = recorded("NOACL_GET_nodes__pve-lab__subscription.json").2;
    assert_eq!(powerless.data("/nodes/pve2/subscription"), recorded["data"]);
    let active = powerless.data("/nodes/pve1/subscription");
    assert!(active.get("key").is_none() && active.get("serverid").is_none() && active["status"] == "active");
}

#[test]
fn subscriptions_are_as_recorded_and_one_is_active() {
    let world = demo().begun_at(1_735_689_600);
    let mut none = recorded("GET_nodes__pve-lab__subscription.json").2["data"].take();
    none["serverid"] = asker(&world).data("/nodes/pve2/subscription")["serverid"].clone();
    assert_eq!(asker(&world).data("/nodes/pve2/subscription"), none);
    let active = asker(&world).data("/nodes/pve1/subscription");
    assert_eq!((&active["level"], &active["regdate"]), (&json!("c"), &json!("2024-08-24 00:00:00")));
    assert_eq!(active["nextduedate"], "2025-08-24");
    let level = |entries: &Value, name: &str| {
        let mut entries = entries.as_array().unwrap().iter();
        entries.find(|entry| entry["id"] == format!("node/{name}")).unwrap()["level"].clone()
    };
    for path in ["/nodes", "/cluster/status", "/cluster/resources"] {
        let entries = asker(&world).data(path);
        assert_eq!((level(&entries, "pve1"), level(&entries, "pve2")), (json!("c"), json!("")), "{path}");
    }
}

#[test]
fn a_call_for_another_node_fails_as_the_way_there_does() {
    let world = demo();
    let lookup = "hostname lookup 'nope' failed - failed to get address info for: nope: Name or service not known";
    for path in ["/nodes/nope/subscription", "/nodes/nope/qemu/100/config", "/nodes/nope/replication"] {
        assert_eq!(asker(&world).failure(path), (500, lookup.to_owned(), Duration::ZERO));
    }
    let (status, reason, _) = asker(&world).failure("/nodes/nope/teapot");
    assert_eq!((status, reason.as_str()), (501, "Method 'GET /nodes/nope/teapot' not implemented"));
    let during_outage = Asker { now: 300, ..asker(&world) };
    let no_route = (595, "No route to host".to_owned(), Duration::from_secs(3));
    assert_eq!(during_outage.failure("/nodes/pve3/subscription"), no_route);
    assert_eq!(during_outage.failure("/nodes/pve3/lxc/108/config"), no_route);
    assert_eq!(during_outage.data("/nodes/pve2/subscription")["status"], "notfound");
    for (state, expected) in [
        (NodeState::Dead, (595, "Connection refused".to_owned(), Duration::ZERO)),
        (NodeState::Hung, (596, "Connection timed out".to_owned(), Duration::from_secs(30))),
    ] {
        world.workers().set_state("pve2", state);
        assert_eq!(asker(&world).failure("/nodes/pve2/subscription"), expected);
        let own = Asker { node: 1, ..asker(&world) };
        assert_eq!(own.data("/nodes/pve2/subscription")["status"], "notfound", "its own calls take no such way");
    }
    let late = Duration::from_secs(7);
    world.workers().set_state("pve2", NodeState::Slow(late));
    let answer = asker(&world).answer("/nodes/pve2/subscription");
    assert_eq!((answer.reply.status, answer.after), (200, late));
}

#[test]
fn parameters_are_checked() {
    let world = demo();
    let status = |path: &str| asker(&world).answer(path).reply.status;
    for path in [
        "/cluster/metrics/export?foo=1",
        "/cluster/config/qdevice?foo=1",
        "/nodes/pve1/subscription?foo=1",
        "/nodes/pve1/status?foo=1",
        "/nodes/pve1/rrddata",
        "/nodes/pve1/rrddata?timeframe=eon",
        "/nodes/pve1/qemu/abc/config",
        "/nodes/pve1/replication?guest=abc",
        "/nodes/pve1/replication/102-0/status?guest=102",
    ] {
        assert_eq!(status(path), 400, "{path}");
    }
    assert_eq!(status("/nodes/pve1/qemu/100/config?current=1"), 200);
    let (_, _, body) = recorded("ERR_GET_bad_vmid_format.json");
    let reply = asker(&world).answer("/nodes/pve1/qemu/abc/config").reply;
    assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), body);
}

#[test]
fn the_export_is_narrowed_by_its_parameters() {
    let world = demo();
    let asker = Asker { node: 1, ..asker(&world) };
    let nodes = |path: &str| -> Vec<String> {
        let rows = asker.data(path)["data"].as_array().unwrap().clone();
        let uptimes = rows.iter().filter(|row| row["metric"] == "uptime");
        let ids = uptimes.filter_map(|row| row["id"].as_str()?.strip_prefix("node/"));
        ids.map(str::to_owned).collect()
    };
    assert_eq!(nodes("/cluster/metrics/export"), ["pve1", "pve2", "pve3"]);
    assert_eq!(nodes("/cluster/metrics/export?local-only=1"), ["pve2"]);
    assert_eq!(nodes("/cluster/metrics/export?local-only=1&node-list=pve3"), ["pve3"]);
    assert_eq!(nodes("/cluster/metrics/export?history=1&start-time=0"), ["pve1", "pve2", "pve3"]);
    assert!(nodes("/cluster/metrics/export?start-time=9999999999").is_empty());
    let (status, reason, body) = recorded("ERR_GET_cluster__metrics__export__node-list_unknown.json");
    let reply = asker.answer("/cluster/metrics/export?node-list=pve1,pve-nope").reply;
    assert_eq!((reply.status, reply.reason), (status, reason));
    assert_eq!(serde_json::from_slice::<Value>(&reply.body).unwrap(), body);
}

#[test]
fn the_export_waits_for_the_sick_and_leaves_out_whom_it_does_not_reach() {
    let world = demo();
    let export = |now| {
        let answer = Asker { now, ..asker(&world) }.answer("/cluster/metrics/export");
        let body = String::from_utf8(answer.reply.body.to_vec()).unwrap();
        (["pve1", "pve2", "pve3"].map(|name| body.contains(&format!("node/{name}"))), answer.after.as_secs())
    };
    assert_eq!(export(0), ([true, true, true], 0));
    assert_eq!(export(300), ([true, true, false], 0));
    for (state, there, after) in [(NodeState::Dead, false, 0), (NodeState::Hung, false, 20)] {
        world.workers().set_state("pve2", state);
        assert_eq!(export(0), ([true, there, true], after), "{state:?}");
    }
    world.workers().set_state("pve2", NodeState::Slow(Duration::from_secs(4)));
    assert_eq!(export(0), ([true, true, true], 4));
    world.workers().set_state("pve3", NodeState::Hung);
    assert_eq!(export(300), ([true, true, false], 4), "a lost node is not waited for");
}

#[test]
fn an_old_cluster_has_no_export_and_speaks_in_reason_phrases() {
    let world = demo().old();
    let asker = asker(&world);
    assert_eq!(asker.data("/version")["version"], "8.2.4");
    let reply = asker.answer("/cluster/metrics/export").reply;
    assert_eq!((reply.status, reply.reason.as_str()), (501, "Method 'GET /cluster/metrics/export' not implemented"));
    assert_eq!(&reply.body[..], br#"{"data":null}"#);
    assert_eq!(powerless(&world).answer("/cluster/status").reply.body, reply.body);
    let invalid: Value = serde_json::from_slice(&asker.answer("/version?foo=1").reply.body).unwrap();
    assert_eq!(shape(&invalid).keys().collect::<Vec<_>>(), ["data", "errors"]);
    let resources = asker.data("/cluster/resources");
    let entries = resources.as_array().unwrap();
    assert!(entries.iter().all(|entry| entry.get("memhost").is_none() && entry["type"] != "network"));
}

#[test]
fn a_guests_configuration_lies_where_the_guest_is() {
    let world = World::new(1, 32, 10_000);
    let asker = asker(&world);
    let resources = asker.data("/cluster/resources?type=vm");
    let mut explicit = [0; 3];
    for guest in resources.as_array().unwrap() {
        let path = format!("/nodes/{}/{}/config", guest["node"].as_str().unwrap(), guest["id"].as_str().unwrap());
        let config = asker.data(&path);
        assert_eq!(config.get("name").or(config.get("hostname")), guest.get("name"), "{path}");
        explicit[config.get("onboot").map_or(2, |onboot| onboot.as_u64().unwrap() as usize)] += 1;
    }
    assert_eq!(explicit.iter().sum::<usize>(), 10_000);
    assert!(explicit.iter().all(|count| *count > 500), "{explicit:?}");
    let gone = |path: &str, node: &str, folder: &str, vmid: &str| {
        let reason = format!("Configuration file 'nodes/{node}/{folder}/{vmid}.conf' does not exist");
        assert_eq!(asker.failure(path), (500, reason, Duration::ZERO));
    };
    gone("/nodes/pve1/qemu/99999/config", "pve1", "qemu-server", "99999");
    gone("/nodes/pve2/qemu/100/config", "pve2", "qemu-server", "100");
    gone("/nodes/pve1/lxc/100/config", "pve1", "lxc", "100");
}

#[test]
fn configurations_look_like_the_recorded_ones() {
    let world = demo();
    let asker = asker(&world);
    let recorded = |files: &[&str]| {
        let shapes = files.iter().map(|file| shape(&recorded(file).2["data"]));
        let mut all = shapes.reduce(|mut all, other| {
            all.extend(other);
            all
        });
        all.take().unwrap()
    };
    let vms = recorded(&["GET_nodes__pve-lab__qemu__100__config.json", "GET_nodes__pve-lab__qemu__9000__config.json"]);
    let containers = recorded(&["GET_nodes__pve-lab__lxc__200__config.json", "GET_lxc_202_cpulimit_0.5_config.json"]);
    let mut seen = [std::collections::BTreeMap::new(), std::collections::BTreeMap::new()];
    for guest in asker.data("/cluster/resources?type=vm").as_array().unwrap() {
        let path = format!("/nodes/{}/{}/config", guest["node"].as_str().unwrap(), guest["id"].as_str().unwrap());
        let container = guest["type"] == "lxc";
        let mut config = asker.data(&path);
        // None of the recorded guests has these.
        for key in ["lock", "protection", "balloon", "scsi1", "mp0"] {
            config.as_object_mut().unwrap().remove(key);
        }
        for (key, kind) in shape(&config) {
            assert_eq!(if container { &containers } else { &vms }.get(&key), Some(&kind), "{key} of {path}");
            seen[usize::from(container)].insert(key, kind);
        }
    }
    assert_eq!(seen, [vms, containers], "every recorded key occurs");
}

/// Of each guest that is there: kind, and what is told.
fn told_by_guests(world: &World, now: u64, what: &str) -> Vec<(bool, Value)> {
    let asker = Asker { now, ..asker(world) };
    let resources = asker.data("/cluster/resources?type=vm");
    let path =
        |guest: &Value| format!("/nodes/{}/{}/{what}", guest["node"].as_str().unwrap(), guest["id"].as_str().unwrap());
    let there = |guest: &&Value| guest["status"] != "unknown";
    let guests = resources.as_array().unwrap().iter().filter(there);
    guests.map(|guest| (guest["type"] == "lxc", asker.data(&path(guest)))).collect()
}

#[test]
fn what_guests_do_looks_like_the_recordings() {
    let world = World::new(1, 3, 100);
    let recorded = |file: &str| shape(&recorded(file).2["data"]);
    let vm = recorded("GET_nodes__pve-lab__qemu__103__status__current.json");
    let container = recorded("GET_nodes__pve-lab__lxc__200__status__current.json");
    let mut whole = [0, 0];
    for (is_container, status) in told_by_guests(&world, 0, "status/current") {
        let expected = if is_container { &container } else { &vm };
        let seen = shape(&status);
        for (key, kind) in &seen {
            let known = ["template", "lock", "freemem"].contains(&key.as_str());
            let is_number = |kind: &&str| matches!(*kind, "integer" | "number");
            let expected = expected.get(key);
            assert!(
                known || expected == Some(kind) || (expected.is_some_and(is_number) && is_number(kind)),
                "{key}: {kind}"
            );
        }
        whole[usize::from(is_container)] += usize::from(seen.contains_key("pressurecpufull"));
    }
    assert!(whole.iter().all(|count| *count > 10), "{whole:?}");
}

#[test]
fn qemu_grows_old_and_changes_wait() {
    let world = World::new(1, 3, 100);
    let versions = |now| -> BTreeSet<String> {
        let said = told_by_guests(&world, now, "status/current").into_iter();
        said.filter_map(|(_, status)| Some(status.get("running-qemu")?.as_str()?.to_owned())).collect()
    };
    assert_eq!(versions(0), ["10.0.11", "10.0.13"].map(str::to_owned).into());
    assert!(versions(7200).contains("10.1.2"), "who was started after the upgrade");
    let waiting = |now| {
        let rows = told_by_guests(&world, now, "pending").into_iter().map(|(_, rows)| rows.to_string());
        rows.filter(|rows| rows.contains("\"pending\"")).count()
    };
    let (before, after) = (waiting(0), waiting(3600));
    assert!(before < after && after > 5, "{before} {after}");
    let made = |now| {
        told_by_guests(&world, now, "snapshot").iter().map(|(_, list)| list.as_array().unwrap().len()).sum::<usize>()
    };
    assert!(made(0) > 150, "{}", made(0));
}

#[test]
fn calls_that_can_block_their_worker_are_told_from_the_others() {
    for (path, expected) in [
        ("/cluster/status", Work::Fast),
        ("/nodes", Work::Fast),
        ("/cluster/metrics/export", Work::Blocking),
        ("/nodes/pve1/replication", Work::Blocking),
        ("/nodes/pve1/qemu/100/agent/info", Work::Blocking),
        ("/nodes/pve1/storage/nas/status", Work::Blocking),
        ("/nodes/pve1/disks/list", Work::Blocking),
        ("/nodes/pve1/services", Work::Blocking),
        ("/nodes/storage/subscription", Work::Quick),
        ("/nodes/pve1/qemu/100/config", Work::Quick),
        ("/cluster/replication", Work::Quick),
    ] {
        assert_eq!(work(path), expected, "{path}");
    }
}
