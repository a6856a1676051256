//! What `check` is made of, with `--live` and without.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::rooms::LEARNED;
use crate::config::{self, Alertmanager, Config};
use crate::discovery::{self, Discovery};
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::setup::live::{self, FindServices, GuestServices, Line, Named, Verdict};
use crate::{collectors, control, events, pve, ssh};

/// For guests to tell their addresses: silent agents take three seconds each.
const ADDRESSES: Duration = Duration::from_secs(15);

/// Why this system could not serve a configuration that has no faults of its own: a sentence for the administrator for each
/// cluster and Alertmanager that no client can be made for. Asks nothing.
pub fn hindrances(config: &Config) -> Vec<String> {
    let own = Arc::new(Own::new(env!("CARGO_PKG_VERSION")));
    let (roots, limits) = (pve::Roots::default(), pve::Limits { max_body: config.scrape.max_body });
    let of_cluster = |cluster| {
        let writer = pve::Writer::new(cluster, limits, &roots, Arc::clone(&own)).err();
        writer.or_else(|| pve::Client::new(cluster, limits, &roots, Arc::clone(&own)).err())
    };
    let alertmanagers = config.events.iter().flat_map(|events| &events.alertmanagers);
    let of_alertmanagers = alertmanagers.filter_map(|one| events::can_tell(one).err());
    config.clusters.iter().filter_map(of_cluster).chain(of_alertmanagers).collect()
}

/// Tries all that a configuration names; each line is told as soon as it is known. Fails with a sentence for the
/// administrator where nothing can be tried. Must run on the runtime.
pub async fn check(config: &Config, tell: impl FnMut(Line)) -> Result<(), String> {
    let own = Arc::new(Own::new(env!("CARGO_PKG_VERSION")));
    let (roots, limits) = (pve::Roots::default(), pve::Limits { max_body: config.scrape.max_body });
    let client = |cluster| pve::Client::new(cluster, limits, &roots, Arc::clone(&own));
    let clients = config.clusters.iter().map(client).collect::<Result<Vec<_>, String>>()?;
    let learned = config.state_dir.as_ref().map(|folder| folder.join(LEARNED));
    let enabled = collectors::enabled(config);
    let is_on = enabled.iter().any(|collector| matches!(collector.lane, collectors::Lane::Services));
    let has_services = config.discovery.as_ref().is_some_and(|discovery| !discovery.services.is_empty());
    let find_services = (is_on && has_services).then(|| find_services_of(config, limits, Arc::clone(&own)));
    let named = vec![Named { name: "control", check: acting_credential(limits, Arc::clone(&own)) }];
    let means = live::Means {
        find_services,
        named,
        clients,
        ssh: ssh::Client::read_only(own, learned, ssh::Limits::default(), super::unix_time),
        enabled,
        host_options: collectors::filters(&config.host_filters),
        now: || super::unix_now().as_secs_f64(),
        others: config.events.iter().flat_map(|events| &events.alertmanagers).map(alertmanager).collect(),
    };
    live::check(config, means, tell).await;
    Ok(())
}

/// Whether the acting credential of a cluster is let in, and what it lacks; nothing where there is none.
fn acting_credential(limits: pve::Limits, own: Arc<Own>) -> live::Check {
    Box::new(move |told| {
        let writer = pve::Writer::new(told, limits, &pve::Roots::default(), Arc::clone(&own));
        async move {
            let found = match writer {
                Ok(None) => return Vec::new(),
                Ok(Some(writer)) => control::check(&writer).await,
                Err(why) => return vec![("login", Verdict::Fail, why, String::new())],
            };
            let finding = |found: control::Finding| {
                let verdict = match found.state {
                    control::State::Well => Verdict::Ok,
                    control::State::Failed => Verdict::Fail,
                    control::State::Without => Verdict::Skip,
                };
                (found.check, verdict, found.found, found.advice)
            };
            found.into_iter().map(finding).collect()
        }
        .boxed()
    })
}

/// As the exporter would find them out.
fn find_services_of(config: &Config, limits: pve::Limits, own: Arc<Own>) -> FindServices {
    let (roots, config) = (pve::Roots::default(), config.clone());
    Box::new(move |told: &config::Cluster| {
        let client = pve::Client::new(told, limits, &roots, Arc::clone(&own));
        let config = config.clone();
        async move {
            let inventory = Arc::new(Inventory::new(client?));
            let cluster = Arc::new(discovery::Cluster::new(inventory, super::unix_time));
            let discovery = Discovery::new(vec![cluster], &config);
            let found = discovery.settled_service_targets(Instant::now() + ADDRESSES).await;
            let (targets, without_address) = found.map_err(|reasons| reasons.join("; "))?;
            Ok(GuestServices { targets, without_address })
        }
        .boxed()
    })
}

fn alertmanager(config: &Alertmanager) -> live::Other {
    live::Other {
        subject: format!("alertmanager {}", config.url),
        check: "api",
        found: Box::pin(events::try_alertmanager(config.clone())),
    }
}
