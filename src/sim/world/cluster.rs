//! The cluster as it is configured just now: together with a time it gives all facts, with nothing remembered in between.

use std::sync::Arc;
use std::time::Duration;

use super::super::json::List;
use super::super::noise::Shuffle;
use super::super::routes::Call;
use super::super::server::Rights;
use super::guest::Guest;
use super::node::Totals;
use super::plot::Plot;
use super::population::{self, GuestSpec, NodeSpec};

/// pvestatd samples everything this often, in seconds. Nothing changes in between.
pub(super) const SAMPLE: i64 = 10;

/// What a node last said of itself and its guests is forgotten after this many seconds.
pub(super) const FORGOTTEN_AFTER: i64 = 300;

/// 2026-11-20, 21:00 UTC.
const BEGUN: i64 = 1_795_208_400;

/// Who is there, what happens to them, and when that began.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Cluster {
    pub(super) seed: u64,
    pub(super) nodes: Arc<[NodeSpec]>,
    /// By VMID.
    pub(super) guests: Vec<GuestSpec>,
    pub(super) plot: Plot,
    /// The Unix time at which the simulation began.
    pub(super) begun: i64,
    /// A PVE from before `metrics/export`.
    pub(in super::super) old: bool,
    /// How often it was edited.
    pub(super) edits: u64,
    /// In the order in which they were begun.
    pub(super) tasks: Vec<super::tasks::Numbered>,
    /// Whether a majority of the nodes votes.
    pub(in super::super) quorate: bool,
    /// In the order in which they came.
    pub(super) jumps: Vec<Jump>,
}

/// The clock of a node was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) node: usize,
    /// It is so from this second on.
    pub(super) from: i64,
    /// In seconds.
    pub(super) by: i64,
}

/// What `/cluster/resources?type=` can be narrowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Guest,
    Node,
    Storage,
    Sdn,
}

/// The whole cluster at one sample of pvestatd.
pub(super) struct Scene {
    pub(super) now: i64,
    /// In the order of [`Cluster::guests`].
    pub(super) guests: Vec<Guest>,
    /// By node.
    pub(super) totals: Vec<Totals>,
}

impl Cluster {
    /// As [`super::World::new`] has it.
    pub(super) fn new(seed: u64, nodes: usize, guests: usize) -> Self {
        let nodes = nodes.max(1);
        let guests = population::guests(seed, nodes, guests);
        let plot = Plot::new(nodes, &guests);
        let nodes = population::nodes(seed, nodes, &guests).into();
        Self {
            seed,
            nodes,
            guests,
            plot,
            begun: BEGUN,
            old: false,
            edits: 0,
            tasks: Vec::new(),
            quorate: true,
            jumps: Vec::new(),
        }
    }

    /// The body of `GET /cluster/resources`: of all types or of one, for one who may see all or next to nothing.
    pub(super) fn resources(&self, scene: &Scene, kind: Option<Kind>, rights: Rights, order: Shuffle) -> String {
        let wanted = |this: Kind| kind.is_none_or(|kind| kind == this);
        let mut list = List::new(order, 512 + self.guests.len() * 420 + self.nodes.len() * 1600);
        if kind.is_none() && rights.holds("Pool.Audit") {
            self.push_pools(scene, &mut list);
        }
        if wanted(Kind::Guest) && rights.holds("VM.Audit") {
            self.push_guests(scene, &mut list);
        }
        if wanted(Kind::Node) {
            self.push_nodes(scene, rights, &mut list);
        }
        if rights.holds("Datastore.Audit") {
            if wanted(Kind::Storage) {
                self.push_storages(scene, &mut list);
            }
            if wanted(Kind::Sdn) {
                self.push_networks(kind, scene.now, &mut list);
            }
        }
        list.finish()
    }

    /// The body of `GET /cluster/status`, asked of any node.
    pub(in super::super) fn status(&self, now: Duration, local: usize, order: Shuffle) -> String {
        let mut list = List::new(order, 256 + self.nodes.len() * 128);
        self.push_status(tick(now), local, &mut list);
        list.finish()
    }

    /// The body of `GET /nodes`.
    pub(super) fn node_list(&self, scene: &Scene, call: &Call<'_>) -> String {
        let mut list = List::new(call.order(), 64 + self.nodes.len() * 400);
        self.push_node_list(scene, call, &mut list);
        list.finish()
    }

    /// Everything at one sample.
    pub(super) fn scene(&self, now: i64) -> Scene {
        let guests: Vec<Guest> = self.guests.iter().map(|spec| self.guest(spec, now)).collect();
        let mut totals = vec![Totals::default(); self.nodes.len()];
        for (spec, guest) in self.guests.iter().zip(&guests) {
            if let Some(totals) = totals.get_mut(guest.node) {
                totals.add(spec, guest);
            }
        }
        Scene { now, guests, totals }
    }

    /// Whether a node cannot be reached.
    pub(in super::super) fn is_away(&self, node: usize, now: Duration) -> bool {
        self.plot.outage_of(node, tick(now)).is_some()
    }

    /// The name of a node; beyond the last one, that of the last one.
    pub(super) fn node_name(&self, node: usize) -> &str {
        self.nodes.get(node).or(self.nodes.last()).map_or("", |node| node.name.as_str())
    }

    /// A guest by its VMID.
    pub(super) fn spec(&self, vmid: u64) -> Option<&GuestSpec> {
        self.guests.binary_search_by_key(&vmid, |spec| spec.vmid).ok().and_then(|index| self.guests.get(index))
    }

    /// The Unix time of a moment of the simulation.
    pub(super) fn unix(&self, now: i64) -> u64 {
        u64::try_from(self.begun.saturating_add(now)).unwrap_or(0)
    }

    /// The same by the clock of a node.
    pub(super) fn unix_on(&self, node: usize, now: i64) -> u64 {
        let jumps = self.jumps.iter().filter(|jump| jump.node == node && jump.from <= now);
        self.unix(jumps.fold(now, |now, jump| now.saturating_add(jump.by)))
    }
}

/// When pvestatd last took its samples. Far beyond the age of any machine it stands still, so that sums and products
/// of times cannot overflow.
pub(super) fn tick(now: Duration) -> i64 {
    let seconds = second(now);
    seconds - seconds.rem_euclid(SAMPLE)
}

/// The same to the second, for what is asked of a node itself.
pub(in super::super) fn second(now: Duration) -> i64 {
    const THOUSAND_YEARS: i64 = 1000 * 366 * 86_400;
    i64::try_from(now.as_secs()).map_or(THOUSAND_YEARS, |seconds| seconds.min(THOUSAND_YEARS))
}
