//! Storages, networks, and entries of a type that no client knows.

use std::time::Duration;

use super::super::json::{Field, List, Value};
use super::super::noise::Shuffle;
use super::cluster::{Cluster, Kind, SAMPLE, Scene, tick};
use super::node::root_disk_used;
use super::population::GIB;

/// A storage as it was configured for all nodes.
struct Storage {
    name: &'static str,
    plugin: &'static str,
    content: &'static str,
    shared: bool,
    size: u64,
}

const LOCAL: Storage =
    Storage { name: "local", plugin: "dir", content: "iso,vztmpl,backup", shared: false, size: 94 * GIB };
const LOCAL_LVM: Storage =
    Storage { name: "local-lvm", plugin: "lvmthin", content: "rootdir,images", shared: false, size: 800 * GIB };
const CEPH: Storage =
    Storage { name: "ceph-vm", plugin: "rbd", content: "images,rootdir", shared: true, size: 12_000 * GIB };
const BACKUP: Storage =
    Storage { name: "backup-nas", plugin: "nfs", content: "backup", shared: true, size: 4_000 * GIB };

/// Known to `metrics/export` only.
const DISABLED: &str = "old-nas";

/// So many backups are kept; then the oldest make room.
const BACKUPS_KEPT: i64 = 60;

impl Cluster {
    /// The storages' entries of `/cluster/resources`: a shared one once for each node.
    pub(super) fn push_storages(&self, scene: &Scene, list: &mut List) {
        for (index, node) in self.nodes.iter().enumerate() {
            for storage in self.storages() {
                let id = format!("storage/{}/{}", node.name, storage.name);
                let content = list.disordered(storage.content);
                let mut fields: Vec<Field<'_>> = vec![
                    ("id", Value::Text(&id)),
                    ("type", Value::Text("storage")),
                    ("node", Value::Text(&node.name)),
                    ("storage", Value::Text(storage.name)),
                    ("plugintype", Value::Text(storage.plugin)),
                    ("content", Value::Text(&content)),
                    ("shared", Value::Whole(u64::from(storage.shared))),
                ];
                if self.is_forgotten(index, scene.now) {
                    fields.push(("status", Value::Text("unknown")));
                } else {
                    fields.push(("status", Value::Text("available")));
                    fields.push(("disk", Value::Whole(self.used(storage, scene, index))));
                    fields.push(("maxdisk", Value::Whole(storage.size)));
                }
                list.push(fields);
            }
        }
    }

    /// Name, size and use of each storage of a node that is there; a disabled one is all zeros.
    pub(super) fn storage_figures(&self, scene: &Scene, node: usize) -> Vec<(&'static str, u64, u64)> {
        let enabled =
            self.storages().iter().map(|storage| (storage.name, storage.size, self.used(storage, scene, node)));
        enabled.chain([(DISABLED, 0, 0)]).collect()
    }

    /// The body of `GET /nodes/N/storage`: as the node finds them, the disabled one among them.
    pub(in super::super) fn node_storages(&self, node: usize, now: Duration, order: Shuffle) -> String {
        let mut list = List::new(order, 1024);
        for storage in self.storages() {
            let used = self.used_at(storage, tick(now), node);
            let content = list.disordered(storage.content);
            list.push(vec![
                ("storage", Value::Text(storage.name)),
                ("type", Value::Text(storage.plugin)),
                ("content", Value::Text(&content)),
                ("shared", Value::Whole(u64::from(storage.shared))),
                ("enabled", Value::Whole(1)),
                ("active", Value::Whole(1)),
                ("total", Value::Whole(storage.size)),
                ("used", Value::Whole(used)),
                // A twentieth is kept for root, as ext4 does.
                (
                    "avail",
                    Value::Whole((storage.size - used).saturating_sub(if storage.plugin == "dir" {
                        storage.size / 20
                    } else {
                        0
                    })),
                ),
                ("used_fraction", Value::Real(used as f64 / storage.size as f64)),
            ]);
        }
        let zeros = ["enabled", "active", "total", "used", "avail"].map(|key| (key, Value::Whole(0)));
        let mut disabled = vec![
            ("storage", Value::Text(DISABLED)),
            ("type", Value::Text("nfs")),
            ("content", Value::Text("backup")),
            ("shared", Value::Whole(1)),
        ];
        disabled.extend(zeros);
        list.push(disabled);
        list.finish()
    }

    /// Data in the thin pool, which is a storage, too.
    pub(super) fn thin_pool_used(&self, node: usize, now: i64) -> u64 {
        self.used_at(&LOCAL_LVM, now, node)
    }

    /// Ceph's pool: its size, and the bytes in it.
    pub(super) fn ceph_storage(&self, now: i64) -> (u64, u64) {
        (CEPH.size, self.used_at(&CEPH, now, 0))
    }

    /// Whether the nodes have Ceph.
    pub(in super::super) fn has_ceph(&self) -> bool {
        self.storages().iter().any(|storage| storage.plugin == CEPH.plugin)
    }

    fn storages(&self) -> &'static [Storage] {
        if self.nodes.len() > 1 { &[LOCAL, LOCAL_LVM, CEPH, BACKUP] } else { &[LOCAL, LOCAL_LVM, BACKUP] }
    }

    /// The network and SDN entries, and one of a type that a later PVE may invent.
    pub(super) fn push_networks(&self, kind: Option<Kind>, now: i64, list: &mut List) {
        for (index, node) in self.nodes.iter().enumerate() {
            let id = format!("network/{}/zone/localnetwork", node.name);
            if kind.is_none() && !self.old {
                list.push(vec![
                    ("id", Value::Text(&id)),
                    ("type", Value::Text("network")),
                    ("network", Value::Text("localnetwork")),
                    ("network-type", Value::Text("zone")),
                    ("node", Value::Text(&node.name)),
                    ("status", Value::Text("ok")),
                ]);
            }
            let id = format!("sdn/{}/lan", node.name);
            list.push(vec![
                ("id", Value::Text(&id)),
                ("type", Value::Text("sdn")),
                ("sdn", Value::Text("lan")),
                ("node", Value::Text(&node.name)),
                ("status", Value::Text(if self.is_zone_broken(index, now) { "error" } else { "ok" })),
            ]);
        }
        if kind.is_none() {
            let invented = [("id", "teapot/1"), ("type", "teapot"), ("status", "brewing"), ("colour", "blue")];
            list.push(invented.map(|(key, value)| (key, Value::Text(value))));
        }
    }

    fn used(&self, storage: &Storage, scene: &Scene, node: usize) -> u64 {
        // A lost node repeats its last word.
        let time = self.plot.outage_of(node, scene.now).map_or(scene.now, |begin| begin - SAMPLE);
        self.used_at(storage, time, node)
    }

    fn used_at(&self, storage: &Storage, time: i64, node: usize) -> u64 {
        let minutes = u64::try_from(time / 60).unwrap_or(0);
        match storage.name {
            "local" => root_disk_used(&self.nodes[node], time),
            "local-lvm" => storage.size / 3 + (node as u64 % 7) * 20 * GIB + minutes % 1440 * (32 << 20),
            "ceph-vm" => storage.size / 2 + minutes % 1440 * (256 << 20),
            _ => {
                let stored = u64::try_from(self.plot.backups_stored(time) % BACKUPS_KEPT).unwrap_or(0);
                storage.size / 4 + stored * 8 * GIB
            }
        }
    }
}
