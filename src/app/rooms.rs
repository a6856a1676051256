//! What is kept while configurations come and go: counters, and the clusters whose own part did not change.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{self, Config};
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::scrape::{Cluster, Scraper};
use crate::{http, pve};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Makes a site of each configuration.
pub(super) struct Rooms {
    own: Arc<Own>,
    clusters: Vec<Tenant>,
}

/// A cluster, and all that it was made from.
struct Tenant {
    config: config::Cluster,
    limits: pve::Limits,
    cluster: Arc<Cluster>,
}

/// What a new configuration meant for the clusters: their names.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) kept: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
}

impl Rooms {
    pub(super) fn new() -> Self {
        Self { own: Arc::new(Own::new(VERSION)), clusters: Vec::new() }
    }

    pub(super) fn own(&self) -> &Own {
        &self.own
    }

    /// A site for this configuration. Reads certificates and system roots. Fails with a sentence for the administrator;
    /// then nothing has changed.
    pub(super) fn site(
        &mut self,
        config: &Config,
        reloads: Option<mpsc::Sender<http::Reload>>,
    ) -> Result<(http::Site, Changes), String> {
        let door = http::Door::new(&config.web)?;
        let (clusters, changes) = self.clusters(config)?;
        let scraper = Scraper::new(clusters.iter().map(|tenant| Arc::clone(&tenant.cluster)).collect(), config);
        let site = http::Site::new(Arc::new(scraper), Arc::clone(&self.own), VERSION, http::Limits::default());
        let site = site.behind(door);
        self.clusters = clusters;
        Ok((if let Some(reloads) = reloads { site.reloading(reloads) } else { site }, changes))
    }

    fn clusters(&self, config: &Config) -> Result<(Vec<Tenant>, Changes), String> {
        let (roots, limits) = (pve::Roots::default(), pve::Limits { max_body: config.scrape.max_body });
        let mut changes = Changes::default();
        let mut clusters = Vec::with_capacity(config.clusters.len());
        for told in &config.clusters {
            let before = self.clusters.iter().find(|tenant| tenant.config.name == told.name);
            let same = before.filter(|tenant| tenant.config == *told && tenant.limits == limits);
            let list = match (before, same) {
                (_, Some(_)) => &mut changes.kept,
                (Some(_), None) => &mut changes.changed,
                (None, None) => &mut changes.added,
            };
            list.push(told.name.clone());
            let cluster = match same {
                Some(tenant) => Arc::clone(&tenant.cluster),
                None => {
                    let client = pve::Client::new(told, limits, &roots, Arc::clone(&self.own))?;
                    Arc::new(Cluster::new(Inventory::new(client), &self.own))
                }
            };
            clusters.push(Tenant { config: told.clone(), limits, cluster });
        }
        let gone = self.clusters.iter().map(|tenant| &tenant.config.name);
        let gone = gone.filter(|name| config.clusters.iter().all(|told| told.name != **name));
        changes.removed = gone.cloned().collect();
        Ok((clusters, changes))
    }
}
