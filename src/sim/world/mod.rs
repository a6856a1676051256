//! The simulated cluster: a seed, a time and the edits made so far give all facts.
//!
//! `cluster` is what is there just now, `edit` what a test may change of it while it runs; `population` says who lives
//! there, `plot` what happens when, `happenings` the tasks that
//! leaves behind, `backups` the jobs that begin some of them and what those store, `guest`, `node`, `machine`, `extras`, `disks`, `ceph`, `storage`, `export`, `settings`, `current`, `snapshots`, `upkeep`, `network`, `agent`, `users`, `ha` and `replication` what PVE says of it.
//! Times are seconds since the start of the simulation, in steps of pvestatd's samples; what began earlier has a negative one.

mod agent;
mod backups;
mod ceph;
mod cluster;
mod current;
mod disks;
mod edit;
mod export;
mod extras;
mod guest;
mod ha;
mod happenings;
mod machine;
mod network;
mod node;
mod pages;
mod plot;
mod population;
mod power;
mod replication;
mod settings;
mod snapshots;
mod storage;
mod tasks;
#[cfg(test)]
mod tests;
mod upkeep;
mod users;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;

use super::noise::Shuffle;
use super::routes::{self, Call};
use super::server::Rights;
use super::workers::Workers;
pub(super) use agent::Topic;
pub(super) use cluster::second;
use cluster::tick;
pub(super) use cluster::{Cluster, Kind};
pub use edit::{Edit, GuestKind};
pub(super) use network::Silent;
pub(super) use pages::Page;
use pages::Pages;
pub(super) use power::{Action, Order};
pub(super) use tasks::Filter as TaskFilter;
pub use tasks::Task;

/// A simulated cluster; cheap to ask, the same at the same time until it is edited.
pub struct World {
    names: Vec<String>,
    cluster: RwLock<Arc<Cluster>>,
    pages: Pages,
    workers: Workers,
}

impl World {
    /// A cluster of at least one node. One node alone is no cluster: no HA, no migration, and it never goes away.
    /// From three nodes on, the last one goes away after 4 minutes for 6 minutes, and then every 20 minutes.
    pub fn new(seed: u64, nodes: usize, guests: usize) -> Self {
        let cluster = Cluster::new(seed, nodes, guests);
        let names: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
        let workers = Workers::new(&names);
        Self { names, cluster: RwLock::new(Arc::new(cluster)), pages: Pages::default(), workers }
    }

    /// The same as PVE 8.2.4 would tell it: no `metrics/export`, no `memhost`, no `network` entries, and errors that
    /// speak in their reason phrase only.
    #[must_use]
    pub fn old(self) -> Self {
        self.change(|cluster| cluster.old = true);
        self
    }

    /// The same, begun at another Unix time; without this it is a day of November 2026.
    #[must_use]
    pub fn begun_at(self, unix: i64) -> Self {
        self.change(|cluster| cluster.begun = unix);
        self
    }

    /// Changes the cluster from `now` on; what `change` does becomes visible all at once.
    pub fn edit<T>(&self, now: Duration, change: impl FnOnce(&mut Edit<'_>) -> T) -> T {
        self.change(|cluster| {
            cluster.edits += 1;
            change(&mut Edit::new(cluster, tick(now)))
        })
    }

    /// Asks something of a guest; answers the UPID, or the reason phrase of a 500.
    pub(super) fn power(&self, order: &Order, now: Duration) -> Result<String, String> {
        self.change(|cluster| cluster.power(order, second(now)))
    }

    /// A node shuts down, and starts again where it is to be rebooted.
    pub(super) fn node_power(&self, node: usize, reboot: bool, now: Duration) {
        self.change(|cluster| cluster.node_power(node, reboot, second(now)));
    }

    /// A node that was shut down starts.
    pub(super) fn wake_node(&self, node: usize, now: Duration) {
        self.change(|cluster| cluster.wake_node(node, second(now)));
    }

    /// Whether a majority of the nodes votes.
    pub(super) fn is_quorate(&self, now: Duration) -> bool {
        self.facts().is_quorate(tick(now))
    }

    /// A task of a node that has no effect here; answers its UPID.
    pub(super) fn begin(&self, task: Task) -> String {
        self.change(|cluster| cluster.begin(task))
    }

    /// The name of the cluster, which a node that stands alone does not have in PVE.
    pub fn cluster(&self) -> &'static str {
        node::NAME
    }

    /// How many nodes there are; at least one.
    pub fn node_count(&self) -> usize {
        self.names.len()
    }

    /// The name of a node, counted from 0; beyond the last one, that of the last one.
    pub fn node_name(&self, node: usize) -> &str {
        self.names.get(node).or(self.names.last()).map_or("", String::as_str)
    }

    /// The guests that there are just now, in order.
    pub fn vmids(&self) -> Vec<u64> {
        self.facts().guests.iter().map(|spec| spec.vmid).collect()
    }

    /// Whether a node cannot be reached.
    pub fn is_away(&self, node: usize, now: Duration) -> bool {
        self.facts().is_away(node, now)
    }

    /// The body of `GET /cluster/resources` for a caller who may see all.
    pub fn resources(&self, now: Duration) -> String {
        let cluster = self.facts();
        let order = Shuffle::new(cluster.seed, now.as_secs());
        cluster.resources(&self.pages.scene(&cluster, tick(now)), None, Rights::Auditor, order)
    }

    /// The body of `GET /cluster/status`, asked of the first node.
    pub fn cluster_status(&self, now: Duration) -> String {
        let cluster = self.facts();
        cluster.status(now, 0, Shuffle::new(cluster.seed, now.as_secs()))
    }

    /// What a node answers to the probe over SSH; nodes are counted from 0.
    pub fn probe(&self, node: usize, now: Duration) -> String {
        let cluster = self.facts();
        let node = node.min(cluster.nodes.len().saturating_sub(1));
        let figures = cluster.node_figures(&self.pages.scene(&cluster, tick(now)), node);
        cluster.probe(figures, node, now)
    }

    /// What a node answers to a command line over SSH, as one with an installed probe: what it does not know means the probe.
    pub fn shell(&self, node: usize, line: &str, now: Duration) -> String {
        let Some(mode @ ("updates" | "smart" | "zpool")) = line.strip_prefix("sh -s -- ") else {
            return self.probe(node, now);
        };
        let cluster = self.facts();
        let node = node.min(cluster.nodes.len().saturating_sub(1));
        let figures = cluster.node_figures(&self.pages.scene(&cluster, tick(now)), node);
        cluster.extra(mode, &figures, node, now)
    }

    /// The body of `GET /version`.
    pub fn version(&self) -> String {
        let cluster = self.facts();
        routes::version(cluster.old, Shuffle::new(cluster.seed, 0))
    }

    /// The number of a node.
    pub(super) fn node_index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The Unix time of the latest sample.
    pub(super) fn sampled_at(&self, now: Duration) -> u64 {
        self.facts().unix(tick(now))
    }

    /// The time of a node as HTTP writes it.
    pub(super) fn date(&self, node: usize, now: Duration) -> String {
        const YEAR_9999: u64 = 253_402_300_799;
        let unix = self.facts().unix_on(node, second(now)).min(YEAR_9999);
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix))
    }

    /// How busy and how well its nodes are.
    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Everything as it stands just now.
    pub(super) fn facts(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A long answer, written at most a few times per sample.
    pub(super) fn page(&self, page: Page, call: &Call<'_>) -> Bytes {
        self.pages.body(&self.facts(), tick(call.now), (page, call.rights), call.answer)
    }

    /// The body of `GET /nodes`.
    pub(super) fn node_list(&self, call: &Call<'_>) -> String {
        let cluster = self.facts();
        cluster.node_list(&self.pages.scene(&cluster, tick(call.now)), call)
    }

    /// The body of `GET /cluster/metrics/export` of some nodes only.
    pub(super) fn export_of(&self, nodes: &[usize], call: &Call<'_>) -> String {
        let cluster = self.facts();
        cluster.export(&self.pages.scene(&cluster, tick(call.now)), nodes, call.order())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = self.cluster.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut cluster))
    }
}
