//! The guests whose services are to be checked: those that run, are meant and told their address.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::Discovery;
use super::cluster::Cluster;
use super::guest;
use super::registry::Known;
use crate::config::{self, GuestService};
use crate::ids::{Network, ServiceTarget, ServiceTargets};
use crate::inventory::Running;

/// The services of one cluster's guests, kept while nothing else is known.
#[derive(Default)]
pub(super) struct Services(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Of which answer these are, and who is to be asked for addresses.
    meant: Option<(u64, Arc<[Running]>)>,
    /// Of which answer and addresses these are.
    targets: Option<((u64, u64), ServiceTargets)>,
}

impl Services {
    /// The targets of now. Has those that are meant be asked for their addresses: must run on the runtime.
    pub(super) fn targets(&self, cluster: &Cluster, services: &[GuestService], prefer: &[Network]) -> ServiceTargets {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, _) = cluster.version();
        let meant = match &kept.meant {
            Some((of, meant)) if *of == answer => Arc::clone(meant),
            _ => {
                let meant: Arc<[Running]> =
                    cluster.running(|known| services.iter().any(|told| has(told, known))).into();
                kept.meant = Some((answer, Arc::clone(&meant)));
                meant
            }
        };
        cluster.want(&meant);
        let version = cluster.version();
        if let Some((_, targets)) = kept.targets.as_ref().filter(|(of, _)| *of == version) {
            return targets.clone();
        }
        let targets: ServiceTargets = (cluster.name().into(), targets(cluster, services, prefer).into());
        kept.targets = Some((version, targets.clone()));
        targets
    }
}

impl Discovery {
    /// The services of guests that are to be checked, once all guests were asked for their addresses or it is the deadline;
    /// and how many of those guests told none. Fails with a reason per cluster that could not be read. Must run on the
    /// runtime.
    pub async fn settled_service_targets(&self, deadline: Instant) -> Result<(Vec<ServiceTarget>, usize), Vec<String>> {
        self.look_again(deadline).await?;
        let services = self.settings.as_ref().map_or(&[][..], |settings| &settings.services);
        let (mut meant, mut told) = (0, HashSet::new());
        for (cluster, _) in &self.clusters {
            let running = cluster.running(|known| services.iter().any(|told| has(told, known)));
            cluster.want(&running);
            let vmids: Vec<u64> = running.iter().map(|guest| guest.vmid).collect();
            cluster.addresses_settled(&vmids, deadline).await;
            meant += running.len();
        }
        let targets: Vec<ServiceTarget> =
            self.service_targets().iter().flat_map(|(_, targets)| targets.iter().cloned()).collect();
        told.extend(targets.iter().map(|target| Arc::clone(&target.guest)));
        Ok((targets, meant.saturating_sub(told.len())))
    }
}

fn targets(cluster: &Cluster, services: &[GuestService], prefer: &[Network]) -> Vec<ServiceTarget> {
    let names: Vec<Arc<str>> = services.iter().map(|told| told.service.name.as_str().into()).collect();
    let mut targets = Vec::new();
    for known in cluster.lock().registry.guests().filter(|known| known.is_running()) {
        let mut meant = services.iter().zip(&names).filter(|(told, _)| has(told, known)).peekable();
        if meant.peek().is_none() {
            continue;
        }
        let addresses = cluster.addresses_of(known, prefer);
        let Some(address) = addresses.into_iter().find(|address| address.primary) else { continue };
        let id: Arc<str> = guest::id(cluster.name(), known.identity.vmid).into();
        targets.extend(meant.map(|(told, name)| {
            let config::Service { port, kind, .. } = told.service;
            let (guest, service) = (Arc::clone(&id), Arc::clone(name));
            ServiceTarget { guest, address: address.address, service, port, kind }
        }));
    }
    targets
}

fn has(told: &GuestService, known: &Known) -> bool {
    let identity = &known.identity;
    told.guests.has(identity.vmid, guest::tags(known), identity.pool.as_deref())
}
