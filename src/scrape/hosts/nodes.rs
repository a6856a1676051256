//! The nodes of a cluster as hosts: which there are, the configuration and `/cluster/status` say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{Asker, Host, Said, Wanted, lock};
use crate::config::ClusterSsh;
use crate::ids::SshAddress;
use crate::inventory::{Member, View};
use crate::metrics::Part;
use crate::pve::Error;

/// Nodes that are known are good for this long, so that the hosts alone cost Proxmox VE next to nothing.
const GOOD: Duration = Duration::from_mins(1);

/// The nodes of one cluster.
pub struct Nodes {
    cluster: String,
    told: ClusterSsh,
    asker: Asker,
    known: Mutex<Known>,
}

struct Known {
    /// By the node's name.
    hosts: BTreeMap<String, Arc<Host>>,
    looked: Option<Instant>,
}

impl Nodes {
    /// Those with an address in the configuration, until the cluster tells of the others.
    pub fn new(cluster: &str, told: &ClusterSsh, asker: Asker) -> Self {
        let known = Mutex::new(Known { hosts: BTreeMap::new(), looked: None });
        let nodes = Self { cluster: cluster.to_owned(), told: told.clone(), asker, known };
        nodes.learn(&[]);
        nodes
    }

    /// Those that are known, by name.
    pub(in super::super) fn all(&self) -> Vec<Arc<Host>> {
        lock(&self.known).hosts.values().cloned().collect()
    }

    /// Whether the cluster has told of its nodes at least once.
    pub(in super::super) fn is_told(&self) -> bool {
        lock(&self.known).looked.is_some()
    }

    /// What they say by the deadline; those that are known are asked at once.
    pub(in super::super) async fn scrape(&self, view: &View, wanted: &Wanted<'_>) -> Vec<Arc<Part>> {
        let known = self.all();
        let ask = |host: Arc<Host>| async move { host.scrape(wanted).await };
        let (mut said, more) = tokio::join!(join_all(known.iter().cloned().map(ask)), async {
            // What goes wrong here is the news of the collectors that ask the same.
            let _ = self.look(view, wanted.deadline).await;
            let new = self.all().into_iter().filter(|host| known.iter().all(|known| known.id() != host.id()));
            join_all(new.map(ask)).await
        });
        said.extend(more);
        said.into_iter().flat_map(|Said { parts, .. }| parts).collect()
    }

    /// Learns which nodes there are, if that was long ago. `None`: not by the deadline.
    pub(in super::super) async fn look(&self, view: &View, deadline: Instant) -> Option<Result<(), Error>> {
        if lock(&self.known).looked.is_some_and(|looked| looked.elapsed() < GOOD) {
            return Some(Ok(()));
        }
        let status = timeout_at(deadline, view.status()).await.ok()?;
        Some(status.map(|status| {
            self.learn(&status.members);
            lock(&self.known).looked = Some(Instant::now());
        }))
    }

    /// Hosts whose address did not change keep their connection; nodes that are gone go with theirs.
    fn learn(&self, members: &[Member]) {
        let ClusterSsh { settings, port, addresses, power: _ } = &self.told;
        let mut found = addresses.clone();
        for Member { name, address, .. } in members {
            // An address that is none cannot be asked; without one, the configuration may have it.
            if let (false, Ok(address)) = (found.contains_key(name), SshAddress::new(address, *port)) {
                found.insert(name.clone(), address);
            }
        }
        let mut known = lock(&self.known);
        let mut before = std::mem::take(&mut known.hosts);
        for (node, address) in found {
            let same = before.remove(&node).filter(|host| *host.session.address() == address);
            let host = same
                .unwrap_or_else(|| Arc::new(Host::of_node(&self.asker, &self.cluster, &node, (&address, settings))));
            known.hosts.insert(node, host);
        }
    }
}
