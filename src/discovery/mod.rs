//! Guests and hosts known, and what Prometheus is told of them.
//!
//! ```text
//! registry   the guests of a cluster from answer to answer: who is new, gone, renamed, moved, replaced (pure)
//! cluster    who keeps the registry: answers that scrapes got, and looks of its own; addresses on demand
//! address    which of a guest's addresses others reach it at (pure)
//! guest      a guest as it is told, and which ones are meant (pure)
//! query      what a request for a list says (pure)
//! targets    the lists of targets (pure)
//! api        guests for programs: /api/v1/guests, /api/v1/discovery   docs    what OpenAPI says of them (pure)
//! services   the guests whose services are to be checked
//! families   what /metrics says of it
//! ```
//!
//! Where it is not switched on, nothing is kept and nothing asked but for a request that wants a list.

mod address;
mod api;
mod cluster;
mod docs;
mod families;
mod guest;
mod query;
mod registry;
mod services;
mod targets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::{self, Config};
use crate::ids::ServiceTargets;
use crate::metrics::Part;
pub use address::{Address, Scope, addresses};
pub use api::routes;
pub use cluster::Cluster;
use cluster::Shot;
use families::Teller;
pub use guest::{Filter, Guest, id};
pub use query::Query;
pub use registry::{Change, Known, Registry, UNKNOWN, What};
use services::Services;
pub use targets::{Own, Target};

/// Where it is not switched on, a list is made from what was read within this time.
const FRESH: Duration = Duration::from_secs(5);
/// Who wishes another look so soon after one gets what that one got.
const AGAIN: Duration = Duration::from_secs(1);
/// So long after the start a list waits for guests that were never asked for their addresses: without them, Prometheus
/// would forget targets that it knows.
const PATIENCE: Duration = Duration::from_secs(60);

/// All that one reading of the configuration says of discovery.
#[derive(Default)]
pub struct Discovery {
    clusters: Vec<(Arc<Cluster>, Teller)>,
    settings: Option<config::Discovery>,
    /// Of the clusters, in their order.
    services: Vec<Services>,
    /// Ids of `[[hosts]]`.
    hosts: Vec<String>,
    /// Clusters whose nodes are hosts, with the nodes that have an address in the configuration.
    of_nodes: Vec<(String, Vec<String>)>,
    began: Option<Instant>,
}

/// Keeps what is known up to date until it is dropped.
#[derive(Default)]
pub struct Keeper(JoinSet<()>);

impl Discovery {
    /// `clusters` are those of `config`, in its order.
    pub fn new(clusters: Vec<Arc<Cluster>>, config: &Config) -> Self {
        let of_nodes = config.clusters.iter().filter_map(|cluster| {
            let nodes = cluster.ssh.as_ref()?.addresses.keys().cloned().collect();
            Some((cluster.name.clone(), nodes))
        });
        Self {
            services: clusters.iter().map(|_| Services::default()).collect(),
            clusters: clusters.into_iter().map(|cluster| (cluster, Teller::default())).collect(),
            settings: config.discovery.clone(),
            hosts: config.hosts.iter().map(|host| host.id.clone()).collect(),
            of_nodes: of_nodes.collect(),
            began: Some(Instant::now()),
        }
    }

    /// Keeps the guests known, if that is switched on. Must run on the runtime.
    pub fn keep(&self) -> Keeper {
        let mut tasks = JoinSet::new();
        if let Some(settings) = &self.settings {
            for (cluster, _) in &self.clusters {
                tasks.spawn(Arc::clone(cluster).keep(settings.interval));
            }
        }
        Keeper(tasks)
    }

    /// What `/metrics` says of these clusters; nothing unless it is switched on.
    pub fn parts(&self, is_meant: impl Fn(&str) -> bool) -> Vec<Arc<Part>> {
        let Some(settings) = &self.settings else { return Vec::new() };
        let meant = self.clusters.iter().filter(|(cluster, _)| is_meant(cluster.name()));
        let part = |(cluster, teller): &(Arc<Cluster>, Teller)| {
            if settings.address_info {
                cluster.want_addresses(&Filter::default());
            }
            teller.part(cluster, &settings.prefer, settings.address_info)
        };
        meant.map(part).collect()
    }

    /// The services of guests that are to be checked, by cluster; none unless some are configured. Has the guests be asked
    /// for their addresses. Must run on the runtime.
    pub fn service_targets(&self) -> Vec<ServiceTargets> {
        let Some(settings) = self.settings.as_ref().filter(|settings| !settings.services.is_empty()) else {
            return Vec::new();
        };
        let clusters = self.clusters.iter().zip(&self.services);
        clusters
            .map(|((cluster, _), services)| services.targets(cluster, &settings.services, &settings.prefer))
            .collect()
    }

    /// The guests that are meant, by cluster and number, with what they told of their addresses so far. Those that run are
    /// asked for theirs in the background. Fails with a reason per cluster that was not read since the start.
    pub async fn guests(&self, filter: &Filter, deadline: Instant) -> Result<Vec<Guest>, Vec<String>> {
        let meant = self.read(|name| filter.has_cluster(name), deadline).await?;
        let guests = meant.into_iter().flat_map(|cluster| {
            cluster.want_addresses(filter);
            cluster.guests(filter, self.prefer())
        });
        Ok(guests.collect())
    }

    /// Reads what was not read since the start. Fails as [`Self::guests`] does.
    async fn read_of(&self, filter: &Filter, deadline: Instant) -> Result<(), Vec<String>> {
        self.read(|name| filter.has_cluster(name), deadline).await.map(drop)
    }

    /// What the guests that are meant are made from, elsewhere. Those that run are asked for their addresses.
    fn shots(&self, filter: &Filter) -> Vec<Shot> {
        let meant = self.clusters.iter().filter(|(cluster, _)| filter.has_cluster(cluster.name()));
        let shot = |(cluster, _): &(Arc<Cluster>, Teller)| {
            cluster.want_addresses(filter);
            Cluster::shot(cluster, filter, self.prefer())
        };
        meant.map(shot).collect()
    }

    /// Other numbers than before where something else may be told.
    fn versions(&self) -> Vec<(u64, u64)> {
        self.clusters.iter().map(|(cluster, _)| cluster.version()).collect()
    }

    /// Of each cluster that was read: its name, how many guests it has, and when it was read last.
    fn known(&self) -> impl Iterator<Item = (&str, usize, i64)> {
        self.clusters.iter().filter_map(|(cluster, _)| {
            let (guests, at) = cluster.counted()?;
            Some((cluster.name(), guests, at))
        })
    }

    /// Reads the guests of all clusters now. Fails with a reason per cluster where that did not succeed.
    pub async fn look_again(&self, deadline: Instant) -> Result<(), Vec<String>> {
        let looks = self.clusters.iter().map(|(cluster, _)| look(cluster, AGAIN, deadline));
        let failed: Vec<String> = join_all(looks).await.into_iter().filter_map(Result::err).collect();
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }

    /// `/sd/clusters`: what the configuration says; nothing of it need be read.
    pub fn cluster_targets(&self, query: &Query, own: &Own) -> Vec<Target> {
        let names = self.names().into_iter().filter(|name| query.filter.has_cluster(name));
        names.map(|name| own.cluster(name)).collect()
    }

    /// `/sd/hosts`: those of the configuration, and the nodes of clusters whose nodes are hosts. Fails with a reason per
    /// such cluster that was not read since the start.
    pub async fn host_targets(&self, query: &Query, own: &Own, deadline: Instant) -> Result<Vec<Target>, Vec<String>> {
        let filter = &query.filter;
        let nodes_of = |name: &str| self.of_nodes.iter().find(|(cluster, _)| cluster == name).map(|(_, nodes)| nodes);
        let meant = self.read(|name| filter.has_cluster(name) && nodes_of(name).is_some(), deadline).await?;
        let mut ids: Vec<String> = if filter.clusters.is_empty() { self.hosts.clone() } else { Vec::new() };
        for cluster in meant {
            let mut nodes: BTreeSet<String> = cluster.nodes().into_iter().collect();
            nodes.extend(nodes_of(cluster.name()).into_iter().flatten().cloned());
            ids.extend(nodes.iter().map(|node| format!("{}-{node}", cluster.name())));
        }
        let mut seen = BTreeSet::new();
        Ok(ids.iter().filter(|id| seen.insert(id.as_str())).map(|id| own.of_host(id)).collect())
    }

    /// `/sd/guests`: those that are meant and have an address. Fails with a reason per cluster that was not read since the
    /// start, and in the first minute also for guests that were not asked for their addresses yet.
    pub async fn guest_targets(&self, query: &Query, deadline: Instant) -> Result<Vec<Target>, Vec<String>> {
        let meant = self.read(|name| query.filter.has_cluster(name), deadline).await?;
        if !query.by_name {
            let open = join_all(meant.iter().map(|cluster| self.ask(cluster, &query.filter, deadline))).await;
            let open: Vec<String> = open.into_iter().flatten().collect();
            if !open.is_empty() {
                return Err(open);
            }
        }
        let guests = meant.into_iter().flat_map(|cluster| cluster.guests(&query.filter, self.prefer()));
        Ok(guests.filter_map(|guest| targets::guest(&guest, query.port, query.by_name)).collect())
    }

    /// The configured names of the clusters.
    pub fn names(&self) -> Vec<&str> {
        self.clusters.iter().map(|(cluster, _)| cluster.name()).collect()
    }

    /// Has guests be asked, and waits for the first answers while Prometheus may know more than we do.
    async fn ask(&self, cluster: &Cluster, filter: &Filter, deadline: Instant) -> Option<String> {
        let vmids = cluster.want_addresses(filter);
        let patience = self.began.map_or(deadline, |began| began + PATIENCE);
        let open = cluster.addresses_settled(&vmids, deadline.min(patience)).await;
        let name = cluster.name();
        (open > 0 && Instant::now() < patience)
            .then(|| format!("{name}: {open} guests were not asked for their addresses yet"))
    }

    /// The clusters that are meant, each read at least once.
    async fn read(&self, is_meant: impl Fn(&str) -> bool, deadline: Instant) -> Result<Vec<&Cluster>, Vec<String>> {
        let meant: Vec<&Cluster> =
            self.clusters.iter().map(|(cluster, _)| &**cluster).filter(|cluster| is_meant(cluster.name())).collect();
        // Somebody else sees to it that it is read again.
        let max_age = if self.settings.is_some() { Duration::MAX } else { FRESH };
        let looks = join_all(meant.iter().map(|cluster| look(cluster, max_age, deadline))).await;
        let failed = meant.iter().zip(looks).filter(|(cluster, _)| !cluster.is_read());
        let failed: Vec<String> = failed.filter_map(|(_, look)| look.err()).collect();
        if failed.is_empty() { Ok(meant) } else { Err(failed) }
    }

    fn prefer(&self) -> &[crate::ids::Network] {
        self.settings.as_ref().map_or(&[], |settings| &settings.prefer)
    }
}

impl Keeper {
    /// How many clusters it keeps.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it keeps none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

async fn look(cluster: &Cluster, max_age: Duration, deadline: Instant) -> Result<(), String> {
    let looked = timeout_at(deadline, cluster.look(max_age, deadline)).await;
    let looked = looked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
    looked.map_err(|why| format!("{} was not read since the start: {why}", cluster.name()))
}
