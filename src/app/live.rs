//! What `check --live` is made of.

use std::sync::Arc;

use super::rooms::LEARNED;
use crate::config::{Alertmanager, Config};
use crate::metrics::Own;
use crate::setup::live::{self, Line};
use crate::{collectors, events, pve, ssh};

/// Tries all that a configuration names; each line is told as soon as it is known. Fails with a sentence for the
/// administrator where nothing can be tried. Must run on the runtime.
pub async fn check(config: &Config, tell: impl FnMut(Line)) -> Result<(), String> {
    let own = Arc::new(Own::new(env!("CARGO_PKG_VERSION")));
    let (roots, limits) = (pve::Roots::default(), pve::Limits { max_body: config.scrape.max_body });
    let client = |cluster| pve::Client::new(cluster, limits, &roots, Arc::clone(&own));
    let clients = config.clusters.iter().map(client).collect::<Result<Vec<_>, String>>()?;
    let learned = config.state_dir.as_ref().map(|folder| folder.join(LEARNED));
    let means = live::Means {
        clients,
        ssh: ssh::Client::new(own, learned, ssh::Limits::default(), super::unix_time),
        enabled: collectors::enabled(config),
        host_options: collectors::filters(&config.host_filters),
        now: || super::unix_now().as_secs_f64(),
        others: config.events.iter().flat_map(|events| &events.alertmanagers).map(alertmanager).collect(),
    };
    live::check(config, means, tell).await;
    Ok(())
}

fn alertmanager(config: &Alertmanager) -> live::Other {
    live::Other {
        subject: format!("alertmanager {}", config.url),
        check: "api",
        found: Box::pin(events::try_alertmanager(config.clone())),
    }
}
