//! One host for a page of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Cluster, Host, HostPage, HostSaid, Kind, Nodes, Refusal, Scraper, UnknownName};
use crate::collectors::{Collector, OverSsh};
use crate::metrics::Part;

impl Scraper {
    /// The parts of a host's page, by the deadline as [`Scraper::scrape`] has it.
    pub async fn host(&self, target: Option<&str>, timeout: Option<Duration>) -> Result<Vec<Arc<Part>>, Refusal> {
        let time = self.time(timeout);
        let of_hosts = |collector: &&&Collector| matches!(collector.lane, Kind::Host(_));
        let collectors: Vec<&'static Collector> = self.collectors.iter().filter(of_hosts).copied().collect();
        let asked_at_once = |collector: &&Collector| matches!(collector.lane, Kind::Host(OverSsh { ttl: None, .. }));
        if !collectors.iter().any(asked_at_once) {
            return Err(Refusal::Unclear("the collector host is switched off in the configuration".to_owned()));
        }
        let wanted = self.host_wanted(HostPage::Alone, &collectors, time);
        let host = self.find_host(target, wanted.deadline).await?;
        match host.scrape(&wanted).await {
            HostSaid { failure: Some(failure), .. } => Err(Refusal::Failed(vec![failure.to_string()])),
            HostSaid { parts, .. } => Ok(parts),
        }
    }

    async fn find_host(&self, target: Option<&str>, deadline: Instant) -> Result<Arc<Host>, Refusal> {
        if let Some(host) = target.and_then(|target| self.known_host(target)) {
            return Ok(host);
        }
        // A cluster that has not told of its nodes yet may have it.
        let silent = self.clusters.iter().filter_map(|cluster| Some((cluster, cluster.nodes.as_ref()?)));
        let silent = silent.filter(|(_, nodes)| !nodes.is_told()).map(|(cluster, nodes)| cluster.look(nodes, deadline));
        let faults: Vec<(String, String)> = join_all(silent).await.into_iter().filter_map(Result::err).collect();
        let Some(target) = target else {
            let known = self.host_ids().join(", ");
            return Err(Refusal::Unclear(format!("the parameter target is missing; it can be: {known}")));
        };
        if let Some(host) = self.known_host(target) {
            return Ok(host);
        }
        let of_cluster = |(cluster, _): &(String, String)| {
            target.strip_prefix(cluster.as_str()).is_some_and(|rest| rest.starts_with('-'))
        };
        let faults: Vec<String> = faults.into_iter().filter(of_cluster).map(|(_, fault)| fault).collect();
        if faults.is_empty() {
            let (parameter, value) = ("target", target.to_owned());
            return Err(Refusal::Unknown(UnknownName { parameter, value, known: self.host_ids() }));
        }
        Err(Refusal::Failed(faults))
    }

    /// Those of the configuration come first.
    fn all_hosts(&self) -> Vec<Arc<Host>> {
        let nodes = self.clusters.iter().filter_map(|cluster| cluster.nodes.as_ref()).flat_map(Nodes::all);
        self.hosts.iter().cloned().chain(nodes).collect()
    }

    fn known_host(&self, id: &str) -> Option<Arc<Host>> {
        self.all_hosts().into_iter().find(|host| host.id() == id)
    }

    fn host_ids(&self) -> Vec<String> {
        self.all_hosts().iter().map(|host| host.id().to_owned()).collect()
    }
}

impl Cluster {
    /// Learns which nodes there are; the error is the cluster's name, and what is in the way.
    async fn look(&self, nodes: &Nodes, deadline: Instant) -> Result<(), (String, String)> {
        let round = self.rounds.join();
        let name = self.inventory.cluster();
        let why = match nodes.look(round.view(), deadline).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => error.to_string(),
            None => format!("{} did not answer in time", self.inventory.client().asked()),
        };
        Err((name.to_owned(), format!("the nodes of {name} are not known yet: {why}")))
    }
}
