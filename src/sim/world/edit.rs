//! What a test may change of the cluster while it runs.

use super::cluster::{Cluster, Jump};
use super::guest::Life;
use super::population::{self, Condition};
use super::power::Step;
use super::tasks::Task;

/// The kinds of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestKind {
    /// A virtual machine, `qemu/…`.
    Qemu,
    /// A container, `lxc/…`.
    Lxc,
}

/// The cluster under edit. Each change answers whether there was anything to change; nodes are counted from 0.
pub struct Edit<'a> {
    cluster: &'a mut Cluster,
    now: i64,
}

impl<'a> Edit<'a> {
    pub(super) fn new(cluster: &'a mut Cluster, now: i64) -> Self {
        Self { cluster, now }
    }

    /// A new guest, running from now on; not if the VMID is taken or there is no such node. Its sizes and loads are
    /// drawn by the world's seed and its VMID. It has no tags, no pool, no HA and no backup.
    pub fn create(&mut self, vmid: u64, node: usize, kind: GuestKind, name: &str) -> bool {
        let Err(place) = self.find(vmid) else { return false };
        if node >= self.cluster.nodes.len() {
            return false;
        }
        let body = (node, kind == GuestKind::Lxc);
        self.cluster.guests.insert(place, population::newcomer(self.cluster.seed, vmid, body, name, self.now));
        true
    }

    /// The guest is gone, and its parts in the plot, the backup job and replication with it.
    pub fn delete(&mut self, vmid: u64) -> bool {
        let Ok(place) = self.find(vmid) else { return false };
        self.cluster.guests.remove(place);
        self.cluster.plot.dismiss(vmid);
        self.cluster.plot.forget_backups_of(vmid);
        true
    }

    /// The guest has another name.
    pub fn rename(&mut self, vmid: u64, name: &str) -> bool {
        let Ok(place) = self.find(vmid) else { return false };
        name.clone_into(&mut self.cluster.guests[place].name);
        true
    }

    /// The guest has other tags, sorted and joined by `;`.
    pub fn tag(&mut self, vmid: u64, tags: &'static str) -> bool {
        let Ok(place) = self.find(vmid) else { return false };
        self.cluster.guests[place].tags = tags;
        true
    }

    /// The guest lives elsewhere; if it runs, its uptime and counters begin anew, as PVE's do. The plot leaves it alone from now on.
    pub fn migrate(&mut self, vmid: u64, node: usize) -> bool {
        let Ok(place) = self.find(vmid) else { return false };
        if node >= self.cluster.nodes.len() {
            return false;
        }
        self.cluster.plot.dismiss(vmid);
        let guest = &mut self.cluster.guests[place];
        guest.home = node;
        if guest.condition == Condition::Running {
            guest.started = self.now;
        }
        true
    }

    /// The guest is held by this, as by a backup; `None` frees it.
    pub fn lock(&mut self, vmid: u64, lock: Option<&'static str>) -> bool {
        let Ok(place) = self.find(vmid) else { return false };
        self.cluster.guests[place].lock = lock;
        true
    }

    /// When the guest is started among others, as `order=1,up=2,down=60`.
    pub fn order(&mut self, vmid: u64, startup: &'static str) -> bool {
        let Ok(place) = self.find(vmid) else { return false };
        self.cluster.guests[place].startup = Some(startup);
        true
    }

    /// The guest stops by itself, and stays so: nobody asked for it, and there is no task.
    pub fn halt(&mut self, vmid: u64) -> bool {
        let is_there = self.find(vmid).is_ok();
        self.cluster.apply(vmid, vec![Step { at: self.now, life: Life::Stopped, lock: None }]);
        is_there
    }

    /// The guest does not listen to a shutdown any more.
    pub fn deafen(&mut self, vmid: u64) -> bool {
        let Ok(place) = self.find(vmid) else { return false };
        self.cluster.guests[place].deaf = true;
        true
    }

    /// The guest's process begins anew.
    pub fn boot(&mut self, vmid: u64) -> bool {
        let is_there = self.find(vmid).is_ok();
        self.cluster.apply(vmid, vec![Step { at: self.now, life: Life::Running { since: self.now }, lock: None }]);
        is_there
    }

    /// Whether HA manages the guest.
    pub fn manage(&mut self, vmid: u64, ha: bool) -> bool {
        let Ok(place) = self.find(vmid) else { return false };
        self.cluster.guests[place].ha = ha;
        true
    }

    /// A task that has no effect on a guest; answers its UPID. Its times are seconds of the simulation.
    pub fn task(&mut self, task: Task) -> String {
        self.cluster.begin(task)
    }

    /// Whether a majority of the nodes votes.
    pub fn set_quorate(&mut self, quorate: bool) {
        self.cluster.quorate = quorate;
    }

    /// From this second of the simulation on, the clock of the node is so many seconds further, or less far: its answers are
    /// dated and its tasks are stamped by it. What was stamped before stays as it is.
    pub fn set_clock(&mut self, node: usize, from: i64, by: i64) {
        self.cluster.jumps.push(Jump { node, from, by });
    }

    /// The node goes away until it is brought back: HA takes its guests elsewhere after two minutes, the others are
    /// ghosts that PVE forgets after five. Its endpoint answers nobody, and calls for it through others end in a 595.
    pub fn lose(&mut self, node: usize) -> bool {
        node < self.cluster.nodes.len() && self.cluster.plot.lose(node, self.now)
    }

    /// The node has booted again; its guests start within a minute.
    pub fn bring_back(&mut self, node: usize) -> bool {
        self.cluster.plot.bring_back(node, self.now)
    }

    /// Ends the plot: no more losses, migrations, crashes and backups than those by edit. Best said before the start.
    pub fn calm(&mut self) {
        self.cluster.plot.end();
    }

    fn find(&self, vmid: u64) -> Result<usize, usize> {
        self.cluster.guests.binary_search_by_key(&vmid, |guest| guest.vmid)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::World;
    use super::*;

    fn entries(world: &World, now: u64) -> BTreeMap<String, Value> {
        let body: Value = serde_json::from_str(&world.resources(Duration::from_secs(now))).unwrap();
        let entries = body["data"].as_array().unwrap().iter();
        entries.map(|entry| (entry["id"].as_str().unwrap().to_owned(), entry.clone())).collect()
    }

    fn edit<T>(world: &World, now: u64, change: impl FnOnce(&mut Edit<'_>) -> T) -> T {
        world.edit(Duration::from_secs(now), change)
    }

    #[test]
    fn guests_come_and_go_and_change_their_names() {
        let world = World::new(1, 3, 40);
        assert!(edit(&world, 1004, |edit| edit.create(77, 1, GuestKind::Lxc, "new \"one\"")));
        let guest = entries(&world, 1060)["lxc/77"].clone();
        assert_eq!((&guest["name"], &guest["node"]), (&json!("new \"one\""), &json!("pve2")));
        assert_eq!((&guest["status"], &guest["uptime"]), (&json!("running"), &json!(60)));
        assert!(!edit(&world, 1060, |edit| edit.create(77, 0, GuestKind::Qemu, "taken")));
        assert!(!edit(&world, 1060, |edit| edit.create(78, 3, GuestKind::Qemu, "nowhere")));
        assert!(edit(&world, 1060, |edit| edit.rename(77, "other") && edit.tag(77, "a;b") && edit.delete(100)));
        let after = entries(&world, 1060);
        assert_eq!((&after["lxc/77"]["name"], &after["lxc/77"]["tags"]), (&json!("other"), &json!("a;b")));
        assert_eq!((after.contains_key("qemu/100"), after.contains_key("lxc/78")), (false, false));
        assert!(!edit(&world, 1060, |edit| edit.delete(100) || edit.rename(100, "x") || edit.migrate(100, 0)));
        assert_eq!((world.vmids()[0], world.vmids().len()), (77, 40));
    }

    #[test]
    fn a_newcomer_is_in_no_backup_job() {
        let world = World::new(1, 3, 40);
        let missed = || {
            let body = world.facts().not_backed_up(super::super::Shuffle::new(1, 1));
            let body: Value = serde_json::from_str(&body).unwrap();
            let guests = body["data"].as_array().unwrap().iter();
            guests.map(|guest| (guest["vmid"].as_u64().unwrap(), guest.clone())).collect::<BTreeMap<_, _>>()
        };
        let before = missed();
        assert!(before.contains_key(&107) && !before.contains_key(&102) && before.len() < 30, "{:?}", before.keys());
        edit(&world, 0, |edit| edit.create(500, 0, GuestKind::Qemu, "new") && edit.delete(107));
        assert_eq!(missed()[&500], json!({ "vmid": 500, "name": "new", "type": "qemu" }));
        assert_eq!(missed().len(), before.len());
        let (_, _, recorded) = super::super::super::testing::recorded("GET_cluster__backup-info__not-backed-up.json");
        let shape = super::super::super::testing::shape;
        assert_eq!(shape(&missed()[&500]), shape(&recorded["data"][0]));
    }

    #[test]
    fn a_migration_resets_what_counts_and_ends_the_plots_plans() {
        let world = World::new(1, 3, 40);
        let before = entries(&world, 50)["qemu/101"].clone();
        assert!(edit(&world, 50, |edit| edit.migrate(101, 2)));
        let after = entries(&world, 60)["qemu/101"].clone();
        assert_eq!((&before["node"], &after["node"], &after["uptime"]), (&json!("pve1"), &json!("pve3"), &json!(10)));
        assert!(after["netin"].as_u64() < before["netin"].as_u64());
        assert_eq!(entries(&world, 140)["qemu/101"]["node"], "pve3", "the plot would have it on pve2");
        assert!(edit(&world, 50, |edit| edit.migrate(105, 1)));
        assert_eq!(entries(&world, 50)["qemu/105"]["status"], "stopped");
    }

    #[test]
    fn a_node_is_lost_and_brought_back() {
        let world = World::new(1, 3, 40);
        edit(&world, 0, |edit| edit.calm());
        assert!(edit(&world, 1003, |edit| edit.lose(1)) && !edit(&world, 1010, |edit| edit.lose(1) || edit.lose(3)));
        assert!(world.is_away(1, Duration::from_secs(1003)) && !world.is_away(1, Duration::from_secs(999)));
        // qemu/102 lives there.
        let guest = |now| entries(&world, now)["qemu/102"].clone();
        assert_eq!(guest(1290), guest(1000), "a ghost");
        assert_eq!(guest(1300)["status"], "unknown");
        assert_eq!(entries(&world, 1000)["node/pve2"]["status"], "offline");
        assert!(edit(&world, 2000, |edit| edit.bring_back(1)) && !edit(&world, 2000, |edit| edit.bring_back(1)));
        assert_eq!((&guest(2000)["status"], &guest(2100)["status"]), (&json!("stopped"), &json!("running")));
        assert!(guest(2100)["uptime"].as_u64() < Some(100));
        assert_eq!(entries(&world, 2100)["node/pve2"]["uptime"], 140);
        assert!(!world.is_away(1, Duration::from_secs(2000)));
    }

    #[test]
    fn a_clock_that_is_set_changes_what_comes_and_nothing_that_was() {
        let world = World::new(1, 2, 10);
        edit(&world, 0, |edit| edit.calm());
        let task = |begun, ends| Task {
            node: 1,
            kind: "qmstart",
            id: "100".to_owned(),
            by: "root@pam".to_owned(),
            begun,
            ends,
            outcome: "OK".to_owned(),
            log: Vec::new(),
        };
        let begin = |task: Task| edit(&world, 100, |edit| edit.task(task));
        let upids = [begin(task(50, 60)), begin(task(90, 110)), begin(task(105, 106))];
        let date = |node| world.date(node, Duration::from_secs(200));
        assert_eq!(date(0), date(1));
        edit(&world, 100, |edit| edit.set_clock(1, 101, -3600));
        assert_eq!((date(0), date(1)), (date(0), world.date(0, Duration::from_secs(200)).replace("21:03", "20:03")));
        let body: Value =
            serde_json::from_str(&world.facts().all_tasks(200, None, super::super::Shuffle::new(1, 1))).unwrap();
        let times = |upid: &str| {
            let task = body["data"].as_array().unwrap().iter().find(|task| task["upid"] == upid)?;
            Some((task["starttime"].as_i64()? - 1_795_208_400, task["endtime"].as_i64()? - 1_795_208_400))
        };
        assert_eq!([times(&upids[0]), times(&upids[1])], [Some((50, 60)), Some((90, 110 - 3600))]);
        assert_eq!(times(&upids[2]), None, "it began by the other clock");
    }

    #[test]
    fn ha_takes_guests_off_a_node_that_is_lost_by_edit_unless_it_is_soon_back() {
        let guest = |back| {
            let world = World::new(1, 3, 200);
            edit(&world, 0, |edit| edit.calm());
            edit(&world, 1000, |edit| edit.lose(0));
            if let Some(back) = back {
                edit(&world, back, |edit| edit.bring_back(0));
            }
            // qemu/100 is an HA guest of the first node.
            [1060, 1140, 1200, 2000].map(|now| {
                let guest = entries(&world, now)["qemu/100"].clone();
                format!("{} {}", guest["node"].as_str().unwrap(), guest["status"].as_str().unwrap())
            })
        };
        assert_eq!(guest(None), ["pve1 running", "pve2 stopped", "pve2 running", "pve2 running"]);
        assert_eq!(guest(Some(1050)), ["pve1 running", "pve1 running", "pve1 running", "pve1 running"]);
        assert_eq!(guest(Some(1300)), ["pve1 running", "pve2 stopped", "pve2 running", "pve1 running"]);
    }

    #[test]
    fn in_a_calm_cluster_nothing_happens() {
        let world = World::new(1, 3, 40);
        edit(&world, 0, |edit| edit.calm());
        let facts = |now| {
            let facts = entries(&world, now).into_iter().map(|(id, entry)| {
                let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                (id, text("node"), text("status"), text("lock"))
            });
            facts.collect::<Vec<_>>()
        };
        assert!((0..3000).step_by(10).all(|now| facts(now) == facts(0)));
    }

    proptest! {
        #[test]
        fn no_edit_panics_and_all_answers_stay_whole(
            edits in proptest::collection::vec((0_u8..6, 95_u64..115, 0_usize..4, 0_u64..500), 0..40),
            nodes in 1_usize..4,
        ) {
            let world = World::new(1, nodes, 12);
            let mut now = 0;
            for (what, vmid, node, later) in edits {
                now += later;
                edit(&world, now, |edit| match what {
                    0 => edit.create(vmid, node, if vmid % 2 == 0 { GuestKind::Qemu } else { GuestKind::Lxc }, "new"),
                    1 => edit.delete(vmid),
                    2 => edit.rename(vmid, "other"),
                    3 => edit.migrate(vmid, node),
                    4 => edit.lose(node),
                    _ => edit.bring_back(node),
                });
                let entries = entries(&world, now);
                prop_assert_eq!(entries.values().filter(|entry| entry.get("vmid").is_some()).count(), world.vmids().len());
                for entry in entries.values().filter(|entry| entry.get("vmid").is_some()) {
                    let node = entry["node"].as_str().unwrap();
                    let away = world.is_away(world.node_index(node).unwrap(), Duration::from_secs(now));
                    prop_assert!(away || entry.get("name").is_some(), "{}", entry);
                }
            }
        }
    }
}
