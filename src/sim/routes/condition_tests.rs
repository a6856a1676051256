//! What the simulated nodes tell of themselves, of agents and of users.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::server::Rights;
use super::super::testing::{recorded, shape};
use super::super::world::World;
use super::tests::{Asker, asker, demo, powerless};

#[test]
fn a_nodes_condition_is_told_as_recorded() {
    let world = demo();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let data = |path: &str| asker(&world).data(path);
    let recorded = |file: &str| recorded(file).2["data"].take();
    let status = recorded("GET_nodes__pve-lab__status.json");
    let ours = data("/nodes/pve2/status");
    assert_eq!(keys(&ours), keys(&status));
    for part in ["rootfs", "memory", "cpuinfo", "current-kernel", "ksm", "swap"] {
        assert_eq!(shape(&ours[part]), shape(&status[part]), "{part}");
    }
    for (path, file) in [
        ("/nodes/pve1/services", "GET_nodes__pve-lab__services.json"),
        ("/nodes/pve1/rrddata?timeframe=hour", "GET_nodes__pve-lab__rrddata__timeframe=hour.json"),
    ] {
        let (ours, theirs) = (data(path), recorded(file));
        assert_eq!(ours.as_array().unwrap().len(), theirs.as_array().unwrap().len(), "{path}");
        let (ours, theirs) = (ours.as_array().unwrap().last().unwrap(), theirs.as_array().unwrap().last().unwrap());
        assert!(keys(ours).is_subset(&keys(theirs)), "{path}: {ours}");
    }
    let files = |path: &str| data(path).as_array().unwrap().len();
    assert_eq!((files("/nodes/pve1/certificates/info"), files("/nodes/pve2/certificates/info")), (2, 3));
}

/// What happens to the second node, and to no other.
#[test]
fn a_node_has_its_troubles_now_and_then() {
    let world = demo();
    let at = |now: u64, path: &str| Asker { now, ..asker(&world) }.data(path).to_string();
    for (path, sign, begins, ends) in [("/services", "failed", 400, 1600), ("/sdn/zones", "error", 700, 1600)] {
        for (now, expected) in [(begins - 1, false), (begins, true), (ends - 1, true), (ends, false)] {
            assert_eq!(at(now, &format!("/nodes/pve2{path}")).contains(sign), expected, "{path} {now}");
            assert!(!at(now, &format!("/nodes/pve1{path}")).contains(sign), "{path} {now}");
        }
    }
    let up = |now: u64, node: &str| at(now, &format!("/nodes/{node}/network")).matches("\"active\":1").count();
    assert_eq!((up(599, "pve2"), up(600, "pve2"), up(1500, "pve2"), up(600, "pve1")), (6, 5, 6, 6));
    // A node that was away drew nothing meanwhile.
    let drawn = at(1000, "/nodes/pve3/rrddata?timeframe=hour");
    assert_eq!(drawn.matches("pressureiofull").count(), 54, "{drawn}");
}

#[test]
fn an_old_node_knows_no_pressure_and_no_zones() {
    let world = demo().old();
    assert!(!asker(&world).data("/nodes/pve2/rrddata?timeframe=hour").to_string().contains("pressure"));
    assert!(asker(&world).data("/nodes/pve2/status")["memory"].get("available").is_none());
    for path in ["/nodes/pve2/sdn/zones", "/cluster/sdn/zones"] {
        assert_eq!(asker(&world).answer(path).reply.status, 501, "{path}");
    }
}

#[test]
fn packages_wait_for_administrators_to_see_them() {
    let world = demo();
    let administrator = Asker { rights: Rights::Administrator, ..asker(&world) };
    let updates = administrator.data("/nodes/pve2/apt/update");
    assert_eq!(updates.as_array().unwrap().len(), 5);
    assert_eq!(updates[1]["Origin"], "Debian");
    assert!(administrator.data("/nodes/pve2/apt/repositories")["standard-repos"].is_array());
}

#[test]
fn agents_answer_those_who_may_ask_and_some_hang() {
    let world = demo();
    let auditor = Asker { now: 720, ..asker(&world) };
    let guests = auditor.data("/cluster/resources?type=vm");
    let runs = |guest: &&Value| guest["type"] == "qemu" && guest["status"] == "running";
    let path = |guest: &Value| {
        let node = guest["node"].as_str().unwrap().to_owned();
        format!("/nodes/{node}/qemu/{}/agent/get-time", guest["vmid"])
    };
    let paths: Vec<String> = guests.as_array().unwrap().iter().filter(runs).map(path).collect();
    let (mute, told): (Vec<&String>, Vec<_>) = paths.iter().partition(|path| auditor.answer(path).reply.status == 500);
    assert!(!mute.is_empty() && mute.len() < told.len());
    let silence = (500, "QEMU guest agent is not running".to_owned(), Duration::from_secs(3));
    assert_eq!(auditor.failure(mute[0]), silence);
    assert!(auditor.data(told[0])["result"].is_u64());
    assert_eq!(powerless(&world).failure(told[0]).0, 403);
    assert_eq!(auditor.failure(&told[0].replace("get-time", "shutdown")).0, 501);
}

#[test]
fn users_are_told_to_those_who_may_see_them() {
    let world = demo();
    let names = |asker: &Asker<'_>, path: &str| -> Vec<String> {
        let users = asker.data(path);
        let mut names: Vec<String> =
            users.as_array().unwrap().iter().map(|user| user["userid"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let asker = asker(&world);
    assert_eq!(names(&asker, "/access/users"), ["builder@pve", "monitor@pve", "root@pam"]);
    assert_eq!(names(&powerless(&world), "/access/users?full=1"), ["monitor@pve"]);
    let full = asker.data("/access/users?full=1");
    let builder = full.as_array().unwrap().iter().find(|user| user["userid"] == "builder@pve").unwrap();
    let expire = builder["tokens"][0]["expire"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(expire > 1_795_208_400 + 29 * 86_400);
    assert!(asker.data("/access/users").as_array().unwrap().iter().all(|user| user.get("tokens").is_none()));
}

#[test]
fn the_qdevice_breaks_ties() {
    let data = |nodes| asker(&World::new(1, nodes, 10)).data("/cluster/config/qdevice");
    assert_eq!((data(1), data(3)), (json!({}), json!({})));
    let shape: Vec<String> = shape(&data(2)).into_keys().collect();
    assert_eq!(shape, ["Algorithm", "Model", "QNetd host", "State", "Tie-breaker"]);
    assert_eq!(data(4)["State"], "Connected");
    let quorate = |nodes| {
        let world = World::new(1, nodes, 10);
        world.edit(Duration::ZERO, |edit| (1..=nodes / 2).for_each(|node| assert!(edit.lose(node))));
        let status = asker(&world).data("/cluster/status");
        status.as_array().unwrap().iter().find(|entry| entry["type"] == "cluster").unwrap()["quorate"].clone()
    };
    assert_eq!([2, 3, 4].map(quorate), [json!(1), json!(1), json!(1)]);
}
