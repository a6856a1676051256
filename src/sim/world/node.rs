//! Nodes, pools and the cluster as a whole.

use super::super::json::{Field, List, Value};
use super::super::noise::unit;
use super::super::routes::Call;
use super::super::server::Rights;
use super::cluster::{Cluster, FORGOTTEN_AFTER, Scene};
use super::guest::Guest;
use super::plot::FENCED_AFTER;
use super::population::{GIB, GuestSpec, NodeSpec, POOLS};
use super::settings;

/// The name of the cluster.
pub(super) const NAME: &str = "demo";

/// What the running guests of a node or a pool use together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Totals {
    running: usize,
    /// In whole CPUs.
    used_cpus: f64,
    cpus: f64,
    mem: u64,
    memory: u64,
    /// What the host gives, QEMU's own share included.
    host_mem: u64,
    uptime: u64,
}

/// What a node says of itself.
pub(super) struct NodeFigures {
    pub(super) cpu: f64,
    pub(super) mem: u64,
    pub(super) disk: u64,
    pub(super) uptime: u64,
    pub(super) booted: i64,
}

/// What is known of a node.
enum Standing {
    Online,
    /// Its last word is still remembered.
    Lost {
        since: i64,
    },
    Forgotten,
}

impl Totals {
    /// Counts a guest that runs.
    pub(super) fn add(&mut self, spec: &GuestSpec, guest: &Guest) {
        let Some(figures) = guest.figures.as_ref().filter(|_| guest.status != "stopped") else { return };
        self.running += 1;
        self.used_cpus += figures.cpu * spec.cpus;
        self.cpus += spec.cpus;
        self.mem += figures.mem;
        self.memory += spec.memory;
        self.host_mem += figures.mem.max(figures.memhost);
        self.uptime = self.uptime.max(figures.uptime);
    }
}

impl Cluster {
    /// The nodes' entries of `/cluster/resources`.
    pub(super) fn push_nodes(&self, scene: &Scene, rights: Rights, list: &mut List) {
        for (index, node) in self.nodes.iter().enumerate() {
            let id = format!("node/{}", node.name);
            let standing = self.standing(index, scene.now);
            let mut fields = self.node_fields(scene, index, rights);
            fields.push(("id", Value::Text(&id)));
            fields.push(("cgroup-mode", Value::Whole(2)));
            if self.nodes.len() > 1 {
                fields.push(("hastate", Value::Text(hastate(&standing, scene.now))));
            }
            list.push(fields);
        }
    }

    /// The entries of `/nodes`.
    pub(super) fn push_node_list(&self, scene: &Scene, call: &Call<'_>, list: &mut List) {
        for (index, node) in self.nodes.iter().enumerate() {
            let id = format!("node/{}", node.name);
            let own = if index == call.node { call.fingerprint } else { node.fingerprint };
            let fingerprint = own.to_string();
            let mut fields = self.node_fields(scene, index, call.rights);
            fields.push(("id", Value::Text(&id)));
            fields.push(("ssl_fingerprint", Value::Text(&fingerprint)));
            list.push(fields);
        }
    }

    /// The entries of `/cluster/status`, the asked node being `local`.
    pub(super) fn push_status(&self, now: i64, local: usize, list: &mut List) {
        let clustered = self.nodes.len() > 1;
        if clustered {
            list.push(vec![
                ("id", Value::Text("cluster")),
                ("type", Value::Text("cluster")),
                ("name", Value::Text(NAME)),
                ("nodes", Value::Whole(self.nodes.len() as u64)),
                ("quorate", Value::Whole(u64::from(self.is_quorate(now)))),
                ("version", Value::Whole(self.nodes.len() as u64)),
            ]);
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let id = format!("node/{}", node.name);
            list.push(vec![
                ("id", Value::Text(&id)),
                ("type", Value::Text("node")),
                ("name", Value::Text(&node.name)),
                ("ip", Value::Text(&node.ip)),
                ("level", Value::Text(settings::level(index))),
                ("nodeid", Value::Whole(if clustered { index as u64 + 1 } else { 0 })),
                ("local", Value::Whole(u64::from(index == local))),
                ("online", Value::Whole(u64::from(self.plot.outage_of(index, now).is_none()))),
            ]);
        }
    }

    /// The qdevice has a vote of its own, and is never away.
    pub(super) fn is_quorate(&self, now: i64) -> bool {
        let online = (0..self.nodes.len())
            .filter(|_| self.quorate)
            .filter(|node| self.plot.outage_of(*node, now).is_none())
            .count();
        let qdevice = usize::from(self.has_qdevice());
        (online + qdevice) * 2 > self.nodes.len() + qdevice
    }

    /// The pools' entries of `/cluster/resources`: sums over the running guests, ghosts of a lost node included.
    pub(super) fn push_pools(&self, scene: &Scene, list: &mut List) {
        let mut pools = vec![Totals::default(); POOLS.len()];
        for (spec, guest) in self.guests.iter().zip(&scene.guests) {
            if let Some(totals) = spec.pool.and_then(|pool| pools.get_mut(pool)) {
                totals.add(spec, guest);
            }
        }
        for (name, totals) in POOLS.iter().zip(&pools) {
            let id = format!("/pool/{name}");
            let mut fields: Vec<Field<'_>> =
                vec![("id", Value::Text(&id)), ("pool", Value::Text(name)), ("type", Value::Text("pool"))];
            if totals.running > 0 {
                fields.push(("cpu", Value::Real(totals.used_cpus / totals.cpus)));
                fields.push(("maxcpu", Value::Real(totals.cpus)));
                fields.push(("mem", Value::Whole(totals.mem)));
                fields.push(("maxmem", Value::Whole(totals.memory)));
                fields.push(("uptime", Value::Whole(totals.uptime)));
            }
            list.push(fields);
        }
    }

    /// Whether a node is lost, and its last word forgotten as well.
    pub(super) fn is_forgotten(&self, node: usize, now: i64) -> bool {
        matches!(self.standing(node, now), Standing::Forgotten)
    }

    /// What both lists say of a node.
    fn node_fields(&self, scene: &Scene, index: usize, rights: Rights) -> Vec<Field<'_>> {
        let node = &self.nodes[index];
        let standing = self.standing(index, scene.now);
        let status = if matches!(standing, Standing::Online) { "online" } else { "offline" };
        let mut fields: Vec<Field<'_>> = Vec::with_capacity(16);
        fields.push(("node", Value::Text(&node.name)));
        fields.push(("type", Value::Text("node")));
        fields.push(("status", Value::Text(status)));
        if matches!(standing, Standing::Forgotten) {
            return fields;
        }
        fields.push(("level", Value::Text(settings::level(index))));
        if !rights.holds("Sys.Audit") {
            return fields;
        }
        fields.push(("maxcpu", Value::Whole(node.cpus)));
        fields.push(("maxmem", Value::Whole(node.memory)));
        fields.push(("maxdisk", Value::Whole(node.disk)));
        if matches!(standing, Standing::Online) {
            self.push_node_figures(scene, index, &mut fields);
        }
        fields
    }

    fn push_node_figures(&self, scene: &Scene, index: usize, fields: &mut Vec<Field<'_>>) {
        let figures = self.node_figures(scene, index);
        fields.push(("cpu", Value::Real(figures.cpu)));
        fields.push(("mem", Value::Whole(figures.mem)));
        fields.push(("disk", Value::Whole(figures.disk)));
        fields.push(("uptime", Value::Whole(figures.uptime)));
    }

    /// The figures of a node that is there.
    pub(super) fn node_figures(&self, scene: &Scene, index: usize) -> NodeFigures {
        let node = &self.nodes[index];
        let totals = &scene.totals[index];
        let noise = unit(self.seed, 50 + index as u64, scene.now.unsigned_abs());
        let cpu = totals.used_cpus / node.cpus as f64 + 0.01 + 0.02 * noise;
        let booted = self.plot.return_of(index, scene.now).map_or(node.booted, |back| back - 40);
        NodeFigures {
            cpu: cpu.min(1.0),
            mem: (totals.host_mem + 2 * GIB).min(node.memory),
            disk: root_disk_used(node, scene.now),
            uptime: u64::try_from(scene.now - booted).unwrap_or(0),
            booted,
        }
    }

    fn standing(&self, node: usize, now: i64) -> Standing {
        match self.plot.outage_of(node, now) {
            None => Standing::Online,
            Some(since) if now - since < FORGOTTEN_AFTER => Standing::Lost { since },
            Some(_) => Standing::Forgotten,
        }
    }
}

/// Logs grow, and are rotated once an hour.
pub(super) fn root_disk_used(node: &NodeSpec, sample: i64) -> u64 {
    let hour = u64::try_from((sample - node.booted).rem_euclid(3600)).unwrap_or(0);
    node.disk / 5 + hour * 65_536
}

/// The HA manager notices that a node is gone before its fencing is sure.
fn hastate(standing: &Standing, now: i64) -> &'static str {
    match standing {
        Standing::Online => "online",
        Standing::Lost { since } if now - since < FENCED_AFTER => "online",
        Standing::Lost { since } if now - since < 2 * FENCED_AFTER => "fence",
        Standing::Lost { .. } | Standing::Forgotten => "unknown",
    }
}
