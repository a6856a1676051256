//! What is known of clusters, nodes and hosts from the scrapes so far, for those who ask how they do. Nothing is asked for
//! their sake.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::{Cluster, Host, Nodes, Scraper};
use crate::inventory::Node;
use crate::pve::{Condition, KnownEndpoint};

/// A moment, and what was wrong then.
pub type Failed = (Instant, String);

/// What scrapes came to: of a cluster, or of a host.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Whether the last one got an answer; none: there was none yet.
    pub answered: Option<bool>,
    /// When it last told something.
    pub last_success: Option<Instant>,
    /// The last time that something was wrong, in words for people.
    pub last_failure: Option<Failed>,
    /// Of a host: what is wrong with its key, where it showed another one than is known the last time that it was reached.
    pub refused_key: Option<String>,
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct KnownCluster {
    /// Its configured name.
    pub name: String,
    /// What scrapes came to.
    pub past: Past,
    /// The collectors that fail now.
    pub failing: BTreeSet<&'static str>,
    /// Its endpoints, as configured.
    pub endpoints: Vec<KnownEndpoint>,
    /// Its nodes as the last answer told them, and when that was.
    pub nodes: Option<(Instant, Vec<Node>)>,
}

/// A host over SSH.
#[derive(Debug, Clone)]
pub struct KnownHost {
    /// The value of the label `host`.
    pub id: String,
    /// For people.
    pub name: String,
    /// The cluster that it is a node of.
    pub cluster: Option<String>,
    /// Where it is asked.
    pub address: String,
    /// What scrapes came to.
    pub past: Past,
}

impl Scraper {
    /// All clusters, in the order of the configuration.
    pub fn known_clusters(&self) -> Vec<KnownCluster> {
        self.clusters.iter().map(|cluster| cluster.known()).collect()
    }

    /// All hosts that are known by now: those of the configuration in its order, then nodes by cluster and name.
    pub fn known_hosts(&self) -> Vec<KnownHost> {
        let others = self.hosts.iter().map(|host| host.known(None));
        let nodes =
            self.clusters.iter().filter_map(|cluster| Some((cluster.inventory.cluster(), cluster.nodes.as_ref()?)));
        let nodes =
            nodes.flat_map(|(cluster, nodes)| Nodes::all(nodes).into_iter().map(move |host| host.known(Some(cluster))));
        others.chain(nodes).collect()
    }
}

impl Cluster {
    fn known(&self) -> KnownCluster {
        let (past, failing) = self.health.known();
        let mut endpoints = self.inventory.client().endpoints();
        if let ([only], Some(answered)) = (endpoints.as_mut_slice(), past.answered) {
            // Nothing is noted of an endpoint that there is no choice of: it does as the cluster does.
            only.condition = if answered { Condition::Well } else { Condition::Down };
            only.error = past.last_failure.as_ref().filter(|_| !answered).map(|(_, error)| error.clone());
        }
        let (name, nodes) = (self.inventory.cluster().to_owned(), self.inventory.last_nodes());
        KnownCluster { name, past, failing, endpoints, nodes }
    }
}

impl Host {
    fn known(&self, cluster: Option<&str>) -> KnownHost {
        KnownHost {
            id: self.id().to_owned(),
            name: self.name().to_owned(),
            cluster: cluster.map(str::to_owned),
            address: self.address(),
            past: self.past(),
        }
    }
}
