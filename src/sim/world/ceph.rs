//! What Ceph says of itself: an OSD on each node, monitors on the first three, and one pool for guests.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::json;
use super::super::noise::{Shuffle, hash, unit};
use super::cluster::{Cluster, second};

/// Of each object.
const COPIES: u64 = 3;
const GROUPS: u64 = 128;
/// Monitors are on so many nodes at most.
const MONITORS: usize = 3;
/// In seconds; so long after the return of a node, what it missed is copied to it.
const RECOVERS: i64 = 120;
/// In seconds of each hour: the administrator works on it.
const NOOUT: std::ops::Range<i64> = 2400..2700;
const VERSION: &str = "19.2.3";
const OBJECT: u64 = 4 << 20;
/// In bytes: what the managers keep.
const MGR_USED: u64 = 1_388_544;

/// How its nodes are just now.
struct State {
    now: i64,
    /// The nodes that are there.
    here: Vec<bool>,
    /// What is missing of all copies, from 0 to 1.
    missing: f64,
    recovers: bool,
    noout: bool,
    /// The node whose disk fails.
    slow: Option<usize>,
}

impl Cluster {
    /// The body of `GET /cluster/ceph/status`; `None` where too few monitors are left to answer.
    pub(in super::super) fn ceph_status(&self, now: Duration, mut order: Shuffle) -> Option<String> {
        let state = self.ceph_state(now)?;
        let mons: Vec<&str> = self.nodes.iter().take(MONITORS).map(|node| node.name.as_str()).collect();
        let quorum: Vec<usize> = (0..mons.len()).filter(|index| state.here.get(*index) == Some(&true)).collect();
        let list: Vec<Value> =
            mons.iter().enumerate().map(|(rank, name)| json!({"rank": rank, "name": name, "priority": 0})).collect();
        let up = state.here.iter().filter(|here| **here).count();
        let active = quorum.first().and_then(|index| mons.get(*index));
        let document = json!({
            "fsid": "4a1c5d0e-0d5e-4b57-9f3e-7f2b6f0c9a11", "election_epoch": 42,
            "health": self.ceph_health(&state), "quorum": quorum,
            "monmap": {"epoch": 3, "min_mon_release_name": "squid", "mons": list},
            "mgrmap": {"epoch": 120, "available": true, "active_name": active, "standbys": []},
            "osdmap": {"epoch": 301, "num_osds": state.here.len(), "num_up_osds": up, "num_in_osds": state.here.len(), "num_remapped_pgs": 0},
            "pgmap": self.ceph_pgmap(&state),
            "fsmap": {"epoch": 1, "by_rank": []}, "servicemap": {"epoch": 9}, "progress_events": {},
        });
        Some(json::reordered(&json!({ "data": document }), &mut order))
    }

    /// The body of `GET /nodes/N/ceph/osd`; `None` where too few monitors are left to answer.
    pub(in super::super) fn ceph_osds(&self, now: Duration, mut order: Shuffle) -> Option<String> {
        let state = self.ceph_state(now)?;
        let (size, used) = self.ceph_space(state.now);
        let hosts = self.nodes.iter().zip(&state.here).enumerate().map(|(index, (node, here))| {
            let slow = if state.slow == Some(index) { 180 } else { 1 };
            let latency = if *here { slow + hash(self.seed, 97, (state.now / 10).unsigned_abs() + index as u64) % 3 } else { 0 };
            // None is as full as the next.
            let used = used / self.nodes.len() as u64 / 100 * (97 + index as u64 % 7);
            let size = size / self.nodes.len() as u64;
            let osd = json!({
                "id": index, "name": format!("osd.{index}"), "type": "osd", "leaf": 1, "host": node.name,
                "status": if *here { "up" } else { "down" }, "in": 1, "crush_weight": 3.64, "reweight": 1, "device_class": "ssd",
                "total_space": size, "bytes_used": used, "percent_used": used as f64 * 100.0 / size as f64,
                "commit_latency_ms": latency, "apply_latency_ms": latency, "osdtype": "bluestore",
                "ceph_version_short": VERSION, "ceph_version": format!("ceph version {VERSION} squid (stable)"),
            });
            json!({"id": -2 - index as i64, "name": node.name, "type": "host", "leaf": 0, "children": [osd]})
        });
        let root =
            json!({"id": -1, "name": "default", "type": "root", "leaf": 0, "children": hosts.collect::<Vec<_>>()});
        let noout = if state.noout { "noout," } else { "" };
        let document = json!({
            "flags": format!("{noout}sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit"),
            "root": {"leaf": 0, "children": [root]},
        });
        Some(json::reordered(&json!({ "data": document }), &mut order))
    }

    /// The body of `GET /nodes/N/ceph/pool`; `None` where too few monitors are left to answer.
    pub(in super::super) fn ceph_pools(&self, now: Duration, mut order: Shuffle) -> Option<String> {
        let state = self.ceph_state(now)?;
        let (size, used) = self.ceph_space(state.now);
        let pool = |id: u64, name: &str, groups: u64, used: u64| {
            json!({
                "pool": id, "pool_name": name, "type": "replicated", "size": COPIES, "min_size": 2, "pg_num": groups,
                "pg_num_final": groups, "crush_rule": 0, "crush_rule_name": "replicated_rule", "pg_autoscale_mode": "on",
                "bytes_used": used, "percent_used": used as f64 / size as f64,
            })
        };
        let pools = [pool(1, ".mgr", 1, MGR_USED), pool(2, "ceph-vm", GROUPS, used)];
        Some(json::reordered(&json!({ "data": pools }), &mut order))
    }

    /// The body of `GET /nodes/N/ceph/pool/POOL/status`, with figures where it is `verbose`; `None` where too few monitors are
    /// left to answer, or there is no such pool.
    pub(in super::super) fn ceph_pool(
        &self,
        (pool, verbose): (&str, bool),
        now: Duration,
        mut order: Shuffle,
    ) -> Option<String> {
        let state = self.ceph_state(now)?;
        let (id, used) = match pool {
            ".mgr" => (1, MGR_USED),
            "ceph-vm" => (2, self.ceph_space(state.now).1),
            _ => return None,
        };
        let data = used / COPIES;
        let mut document = json!({
            "id": id, "name": pool, "size": COPIES, "min_size": 2, "pg_num": if id == 1 { 1 } else { GROUPS },
            "crush_rule": "replicated_rule", "pg_autoscale_mode": "on", "nodelete": "0", "noscrub": "0",
        });
        if verbose {
            document["statistics"] = json!({
                "stored": data, "objects": data.div_ceil(OBJECT), "kb_used": used / 1024, "bytes_used": used,
            });
        }
        Some(json::reordered(&json!({ "data": document }), &mut order))
    }

    fn ceph_state(&self, now: Duration) -> Option<State> {
        let now = second(now);
        let here: Vec<bool> = (0..self.nodes.len()).map(|node| self.plot.outage_of(node, now).is_none()).collect();
        let monitors = here.len().min(MONITORS);
        if here.iter().take(monitors).filter(|here| **here).count() * 2 <= monitors {
            return None;
        }
        let away = here.iter().filter(|here| !**here).count() as f64;
        let back = (0..here.len()).filter_map(|node| self.plot.return_of(node, now)).max();
        let behind = back.map(|back| now - back).filter(|since| (0..RECOVERS).contains(since) && away == 0.0);
        // What was written while a node was away is little, and becomes less.
        let rest = behind.map_or(0.0, |since| 0.05 * (RECOVERS - since) as f64 / RECOVERS as f64);
        let slow = (0..here.len()).find(|node| self.disk_fails(*node, now));
        Some(State {
            now,
            missing: (away + rest) / here.len() as f64,
            here,
            recovers: behind.is_some(),
            noout: NOOUT.contains(&now.rem_euclid(3600)),
            slow,
        })
    }

    fn ceph_health(&self, state: &State) -> Value {
        let mut checks = serde_json::Map::new();
        let mut add = |name: &str, message: String| {
            let summary = json!({"message": message, "count": 1});
            checks.insert(
                name.to_owned(),
                json!({"severity": "HEALTH_WARN", "summary": summary, "detail": [], "muted": false}),
            );
        };
        let away = state.here.iter().filter(|here| !**here).count();
        if away > 0 {
            add("OSD_DOWN", format!("{away} osds down"));
            add("OSD_HOST_DOWN", format!("{away} host ({away} osds) down"));
        }
        if state.here.iter().take(MONITORS).any(|here| !here) {
            add("MON_DOWN", "1/3 mons down".to_owned());
        }
        if state.missing > 0.0 {
            add("PG_DEGRADED", format!("Degraded data redundancy: {:.3}%", state.missing * 100.0));
        }
        if state.noout {
            add("OSDMAP_FLAGS", "noout flag(s) set".to_owned());
        }
        if let Some(node) = state.slow {
            add("BLUESTORE_SLOW_OP_ALERT", format!("osd.{node} observed slow operations in BlueStore"));
        }
        let status = if checks.is_empty() { "HEALTH_OK" } else { "HEALTH_WARN" };
        json!({"status": status, "checks": checks, "mutes": []})
    }

    fn ceph_pgmap(&self, state: &State) -> Value {
        let (size, used) = self.ceph_space(state.now);
        let data = used / COPIES;
        let objects = data / OBJECT;
        let groups = GROUPS + 1;
        let degraded = ((groups as f64 * state.missing * COPIES as f64).ceil() as u64).min(groups);
        let word = if state.recovers { "active+recovering+degraded" } else { "active+undersized+degraded" };
        // A deep scrub goes on somewhere most of the time.
        let scrubs = hash(self.seed, 98, (state.now / 60).unsigned_abs()) % 3 * u64::from(degraded == 0);
        let states: Vec<Value> =
            [("active+clean", groups - degraded - scrubs), (word, degraded), ("active+clean+scrubbing+deep", scrubs)]
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| json!({"state_name": name, "count": count}))
                .collect();
        let wave = |subject, most: f64| {
            (most * (0.3 + 0.7 * unit(self.seed, subject, (state.now / 10).unsigned_abs()))) as u64
        };
        let mut pgmap = json!({
            "pgs_by_state": states, "num_pgs": groups, "num_pools": 2, "num_objects": objects,
            "data_bytes": data, "bytes_used": used, "bytes_total": size, "bytes_avail": size.saturating_sub(used),
            "read_bytes_sec": wave(81, 40e6), "write_bytes_sec": wave(82, 25e6), "read_op_per_sec": wave(83, 900.0),
            "write_op_per_sec": wave(84, 1500.0),
        });
        // Ceph leaves out what is nothing.
        if state.missing > 0.0 {
            pgmap["degraded_objects"] = json!((objects as f64 * COPIES as f64 * state.missing) as u64);
            pgmap["degraded_total"] = json!(objects * COPIES);
        }
        if state.recovers {
            pgmap["recovering_bytes_per_sec"] = json!(wave(85, 200e6));
            pgmap["recovering_objects_per_sec"] = json!(wave(86, 50.0));
        }
        pgmap
    }

    /// The size of all OSDs, and what is in use of them.
    fn ceph_space(&self, now: i64) -> (u64, u64) {
        let (size, used) = self.ceph_storage(now);
        (size * COPIES, used * COPIES)
    }
}

#[cfg(test)]
mod tests {
    use super::super::World;
    use super::*;

    fn status(world: &World, now: u64) -> Value {
        let body = world.facts().ceph_status(Duration::from_secs(now), Shuffle::new(1, now)).expect("a quorum");
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    fn osds(world: &World, now: u64) -> Value {
        let body = world.facts().ceph_osds(Duration::from_secs(now), Shuffle::new(1, now)).expect("a quorum");
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    #[test]
    fn a_node_that_is_away_takes_its_osd_with_it_and_gets_its_copies_back() {
        let world = World::new(1, 3, 10);
        let well = status(&world, 100);
        assert_eq!((&well["health"]["status"], &well["osdmap"]["num_up_osds"]), (&json!("HEALTH_OK"), &json!(3)));
        assert!(well["pgmap"].get("degraded_objects").is_none());
        let lost = status(&world, 300);
        assert_eq!((&lost["health"]["status"], &lost["osdmap"]["num_up_osds"]), (&json!("HEALTH_WARN"), &json!(2)));
        assert!(lost["health"]["checks"].get("OSD_DOWN").is_some());
        assert!(lost["pgmap"]["degraded_objects"].as_u64() > Some(0));
        let back = status(&world, 620);
        assert!(back["pgmap"]["recovering_bytes_per_sec"].as_u64() > Some(0));
        assert_eq!(status(&world, 800)["health"]["status"], json!("HEALTH_OK"));
        let groups = |status: &Value| -> u64 {
            let states = status["pgmap"]["pgs_by_state"].as_array().unwrap();
            states.iter().map(|state| state["count"].as_u64().unwrap()).sum()
        };
        assert!([well, lost, back].iter().all(|status| groups(status) == 129));
    }

    #[test]
    fn a_failing_disk_makes_its_osd_slow_and_flags_come_and_go() {
        let world = World::new(1, 3, 10);
        let osd = |now| osds(&world, now)["root"]["children"][0]["children"][1]["children"][0].clone();
        assert!(osd(7210)["commit_latency_ms"].as_u64() > Some(100));
        assert!(osd(100)["commit_latency_ms"].as_u64() < Some(10));
        assert!(osds(&world, 2500)["flags"].as_str().unwrap().starts_with("noout,"));
        assert!(osds(&world, 100)["flags"].as_str().unwrap().starts_with("sortbitwise,"));
    }

    #[test]
    fn without_a_majority_of_monitors_nothing_is_said() {
        let world = World::new(1, 3, 10);
        world.edit(Duration::from_secs(10), |edit| edit.lose(0));
        assert!(world.facts().ceph_status(Duration::from_secs(20), Shuffle::new(1, 1)).is_some());
        assert!(world.facts().ceph_status(Duration::from_secs(300), Shuffle::new(1, 1)).is_none(), "two are away");
    }

    #[test]
    fn a_pool_holds_what_the_list_says() {
        let world = World::new(1, 3, 10);
        let (now, facts) = (Duration::from_secs(100), world.facts());
        let data = |body: String| serde_json::from_str::<Value>(&body).unwrap()["data"].take();
        let pools = data(facts.ceph_pools(now, Shuffle::new(1, 0)).expect("a quorum"));
        for pool in pools.as_array().unwrap() {
            let name = pool["pool_name"].as_str().unwrap();
            let told = |verbose| data(facts.ceph_pool((name, verbose), now, Shuffle::new(1, 0)).expect("a pool"));
            assert_eq!(told(true)["statistics"]["bytes_used"], pool["bytes_used"], "{name}");
            assert!(told(false).get("statistics").is_none(), "{name}");
        }
        assert!(facts.ceph_pool(("other", true), now, Shuffle::new(1, 0)).is_none());
    }
}
