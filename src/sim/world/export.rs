//! `GET /cluster/metrics/export`: the newest sample of every node, one row per figure.

use super::super::json::{List, Value};
use super::super::noise::{Shuffle, unit};
use super::cluster::{Cluster, Scene};
use super::guest::Figures;
use super::population::{GIB, GuestSpec};

/// How fast the network cards of a node can be, in bytes per second.
const CARDS: f64 = 120e6;

/// Each node's swap.
const SWAP: u64 = 8 * GIB;

/// The rows of one object.
struct Rows<'a> {
    list: &'a mut List,
    id: &'a str,
    timestamp: u64,
}

impl Cluster {
    /// The body for some nodes; those that are away are left out without a word.
    pub(super) fn export(&self, scene: &Scene, nodes: &[usize], order: Shuffle) -> String {
        let mut list = List::nested(order, 256 + self.guests.len() * 1000 + self.nodes.len() * 2600);
        let mut by_node: Vec<Vec<(&GuestSpec, &Figures)>> = vec![Vec::new(); self.nodes.len()];
        for (spec, guest) in self.guests.iter().zip(&scene.guests) {
            if let (Some(guests), Some(figures)) = (by_node.get_mut(guest.node), &guest.figures) {
                guests.push((spec, figures));
            }
        }
        for (index, guests) in by_node.iter().enumerate() {
            if nodes.contains(&index) && self.plot.outage_of(index, scene.now).is_none() {
                self.push_node_rows(scene, index, &mut list);
                // VMs come before containers.
                for container in [false, true] {
                    for (spec, figures) in guests.iter().filter(|(spec, _)| spec.container == container) {
                        push_guest_rows(spec, figures, self.unix(scene.now), &mut list);
                    }
                }
                self.push_storage_rows(scene, index, &mut list);
            }
        }
        list.finish()
    }

    fn push_node_rows(&self, scene: &Scene, index: usize, list: &mut List) {
        let node = &self.nodes[index];
        let figures = self.node_figures(scene, index);
        let id = format!("node/{}", node.name);
        let mut rows = Rows { list, id: &id, timestamp: self.unix(scene.now) };
        let counted = node.load.sum(figures.booted, scene.now).max(0.0) * CARDS;
        // The longer the average, the more of the past is in it.
        let load = |ago: i64| {
            let past = (node.load.at(scene.now - ago) + figures.cpu) * node.cpus as f64;
            Value::Real((past * 100.0).round() / 100.0)
        };
        let waiting = 0.02 * node.load.at(scene.now) * unit(self.seed, 70 + index as u64, scene.now.unsigned_abs());
        rows.gauge("uptime", Value::Whole(figures.uptime));
        rows.derive("net_in", counted as u64);
        rows.derive("net_out", (counted * 0.7) as u64);
        rows.gauge("cpu_avg1", load(0));
        rows.gauge("cpu_avg5", load(150));
        rows.gauge("cpu_avg15", load(450));
        rows.gauge("cpu_max", Value::Whole(node.cpus));
        rows.gauge("cpu_current", Value::Real(figures.cpu));
        rows.gauge("cpu_iowait", Value::Real(waiting));
        rows.gauge("mem_total", Value::Whole(node.memory));
        rows.gauge("mem_used", Value::Whole(figures.mem));
        rows.gauge("swap_total", Value::Whole(SWAP));
        rows.gauge("swap_used", Value::Whole(figures.uptime / 60 % 1024 * 65_536));
        rows.gauge("disk_total", Value::Whole(node.disk));
        rows.gauge("disk_used", Value::Whole(figures.disk));
    }

    fn push_storage_rows(&self, scene: &Scene, index: usize, list: &mut List) {
        for (name, total, used) in self.storage_figures(scene, index) {
            let id = format!("storage/{}/{name}", self.node_name(index));
            let mut rows = Rows { list, id: &id, timestamp: self.unix(scene.now) };
            rows.gauge("disk_total", Value::Whole(total));
            rows.gauge("disk_used", Value::Whole(used));
        }
    }
}

fn push_guest_rows(spec: &GuestSpec, figures: &Figures, timestamp: u64, list: &mut List) {
    let mut rows = Rows { list, id: &spec.id, timestamp };
    if figures.mem > 0 {
        let [netin, netout, diskread, diskwrite] = figures.counters;
        rows.gauge("cpu_current", Value::Real(figures.cpu));
        rows.gauge("mem_used", Value::Whole(figures.mem));
        rows.derive("disk_read", diskread);
        rows.derive("disk_write", diskwrite);
        rows.derive("net_in", netin);
        rows.derive("net_out", netout);
        if spec.container {
            rows.gauge("disk_used", Value::Whole(figures.disk));
        }
    }
    rows.gauge("uptime", Value::Whole(figures.uptime));
    rows.gauge("cpu_max", Value::Real(spec.cpus));
    rows.gauge("mem_total", Value::Whole(spec.memory));
    rows.gauge("disk_total", Value::Whole(figures.maxdisk));
}

impl Rows<'_> {
    fn gauge(&mut self, metric: &str, value: Value<'_>) {
        self.push(metric, "gauge", value);
    }

    fn derive(&mut self, metric: &str, value: u64) {
        self.push(metric, "derive", Value::Whole(value));
    }

    fn push(&mut self, metric: &str, kind: &str, value: Value<'_>) {
        self.list.push([
            ("id", Value::Text(self.id)),
            ("metric", Value::Text(metric)),
            ("timestamp", Value::Whole(self.timestamp)),
            ("type", Value::Text(kind)),
            ("value", value),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::super::super::testing::{recorded, shape};
    use super::*;

    fn rows(cluster: &Cluster, now: i64) -> Vec<Value> {
        let all: Vec<usize> = (0..cluster.nodes.len()).collect();
        let body: Value = serde_json::from_str(&cluster.export(&cluster.scene(now), &all, Shuffle::new(1, 1))).unwrap();
        body["data"]["data"].as_array().unwrap().clone()
    }

    fn text<'a>(row: &'a Value, key: &str) -> &'a str {
        row[key].as_str().unwrap()
    }

    /// For each kind of object, the different lists of its metrics in their order, with their types.
    fn kinds(rows: &[Value]) -> BTreeMap<String, BTreeSet<Vec<String>>> {
        let mut objects: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for row in rows {
            objects.entry(text(row, "id")).or_default().push(format!("{} {}", text(row, "metric"), text(row, "type")));
        }
        let mut kinds: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
        for (id, metrics) in objects {
            kinds.entry(id.split('/').next().unwrap().to_owned()).or_default().insert(metrics);
        }
        kinds
    }

    #[test]
    fn rows_are_as_a_real_cluster_has_them() {
        let (_, _, recorded) = recorded("GET_cluster__metrics__export.json");
        let recorded = recorded["data"]["data"].as_array().unwrap();
        let simulated = rows(&Cluster::new(1, 3, 200), 0);
        assert_eq!(kinds(&simulated), kinds(recorded));
        let shapes = |rows: &[Value]| -> BTreeSet<_> { rows.iter().map(shape).collect() };
        assert_eq!(shapes(&simulated), shapes(recorded));
    }

    #[test]
    fn figures_are_those_of_the_resources() {
        let cluster = Cluster::new(1, 3, 40);
        let mut rows = rows(&cluster, 100);
        let scene = cluster.scene(100);
        let resources = cluster.resources(&scene, None, super::super::Rights::Auditor, Shuffle::new(1, 1));
        let resources: Value = serde_json::from_str(&resources).unwrap();
        let mut compared = 0;
        for entry in resources["data"].as_array().unwrap() {
            for (key, metric) in [
                ("uptime", "uptime"),
                ("cpu", "cpu_current"),
                ("maxcpu", "cpu_max"),
                ("mem", "mem_used"),
                ("maxmem", "mem_total"),
                ("disk", "disk_used"),
                ("maxdisk", "disk_total"),
                ("netin", "net_in"),
                ("netout", "net_out"),
                ("diskread", "disk_read"),
                ("diskwrite", "disk_write"),
            ] {
                let row = rows.iter().position(|row| row["id"] == entry["id"] && row["metric"] == metric);
                if let (Some(row), Some(value)) = (row, entry.get(key)) {
                    assert_eq!(rows.swap_remove(row)["value"], *value, "{metric} of {entry}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 400, "{compared}");
        // What only the export has: the rest of the nodes' figures, and the disabled storage.
        assert!(rows.iter().all(|row| text(row, "id").starts_with("node/") || text(row, "id").ends_with("/old-nas")));
    }

    #[test]
    fn counters_of_nodes_grow_and_loads_are_told_to_the_hundredth() {
        let cluster = Cluster::new(1, 2, 40);
        let value = |now, metric: &str| {
            let rows = rows(&cluster, now);
            rows.iter().find(|row| row["id"] == "node/pve1" && row["metric"] == metric).unwrap()["value"].clone()
        };
        assert!(value(10, "net_in").as_u64() > value(0, "net_in").as_u64());
        for metric in ["cpu_avg1", "cpu_avg5", "cpu_avg15"] {
            let load = value(0, metric).as_f64().unwrap();
            assert!(load > 0.0 && ((load * 100.0).round() - load * 100.0).abs() < 1e-9, "{metric}: {load}");
        }
        assert!(value(0, "cpu_iowait").as_f64().unwrap() < 0.1);
        let (early, late) = (&rows(&cluster, 0)[0], &rows(&cluster, 10)[0]);
        assert_eq!(late["timestamp"].as_u64(), early["timestamp"].as_u64().map(|time| time + 10));
    }
}
