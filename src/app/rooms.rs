//! What is kept while configurations come and go: counters, and the clusters whose own part did not change.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::known;
use super::sidecar::{Prepared, Sidecar};
use crate::config::{self, Config};
use crate::discovery::{self, Discovery, Keeper};
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::scrape::{Asker, Cluster, Host, Nodes, Scraper};
use crate::{api, events, http, pve, ssh};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// In `state_dir`: the host keys that `accept_new` took.
pub(super) const LEARNED: &str = "known_hosts";

/// Makes a site of each configuration.
pub(super) struct Rooms {
    own: Arc<Own>,
    clusters: Vec<Tenant>,
    keeper: Keeper,
    hosts: Vec<(config::Host, Arc<Host>)>,
    refusals: Arc<api::Refusals>,
    /// With the file that host keys are learned in.
    ssh: Option<(Option<PathBuf>, Asker)>,
    sidecar: Option<Sidecar>,
}

/// A cluster, and all that it was made from.
struct Tenant {
    config: config::Cluster,
    limits: pve::Limits,
    cluster: Arc<Cluster>,
    discovered: Arc<discovery::Cluster>,
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
        Self {
            own: Arc::new(Own::new(VERSION)),
            clusters: Vec::new(),
            keeper: Keeper::default(),
            hosts: Vec::new(),
            refusals: Arc::default(),
            ssh: None,
            sidecar: None,
        }
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
        let sidecar = Sidecar::prepare(self.sidecar.as_ref(), config, &self.own)?;
        let learned = config.state_dir.as_ref().map(|folder| folder.join(LEARNED));
        let (same_file, asker) = self.asker(&learned);
        let (clusters, changes) = self.clusters(config, same_file, &asker)?;
        let hosts = self.hosts(config, same_file, &asker);
        let shared = clusters.iter().map(|tenant| Arc::clone(&tenant.cluster)).collect();
        let scraper = Scraper::new(shared, hosts.iter().map(|(_, host)| Arc::clone(host)).collect(), config);
        let scraper = Arc::new(scraper);
        let desk = self.desk(config, &scraper, sidecar.as_ref());
        let site = http::Site::new(scraper, Arc::clone(&self.own), VERSION, http::Limits::default());
        let discovered = clusters.iter().map(|tenant| Arc::clone(&tenant.discovered)).collect();
        let discovery = Arc::new(Discovery::new(discovered, config));
        // What the one before kept is not kept twice.
        self.keeper = discovery.keep();
        let site = site.behind(door).with_desk(desk).discovering(discovery, config.web.tls.is_some());
        (self.clusters, self.hosts) = (clusters, hosts);
        // The one before ends first.
        self.sidecar = None;
        self.sidecar = sidecar.map(Prepared::keep);
        self.ssh = Some((learned, asker));
        Ok((if let Some(reloads) = reloads { site.reloading(reloads) } else { site }, changes))
    }

    /// Who answers questions of the API.
    fn desk(&self, config: &Config, scraper: &Arc<Scraper>, sidecar: Option<&Prepared>) -> api::Desk {
        let mut routes = known::routes(scraper, super::unix_now);
        routes.extend(sidecar.map(|sidecar| events::route(sidecar.ledger())));
        api::Desk::new(routes, config.control.tokens.clone(), Arc::clone(&self.refusals), VERSION)
    }

    /// What hosts are made with, and whether it is what those that there are were made with.
    fn asker(&self, learned: &Option<PathBuf>) -> (bool, Asker) {
        if let Some((file, asker)) = &self.ssh
            && file == learned
        {
            return (true, asker.clone());
        }
        let client = ssh::Client::new(Arc::clone(&self.own), learned.clone(), ssh::Limits::default(), super::unix_time);
        let asker = Asker { client, now: super::unix_now };
        (false, asker)
    }

    fn hosts(&self, config: &Config, same_file: bool, asker: &Asker) -> Vec<(config::Host, Arc<Host>)> {
        let host = |told: &config::Host| {
            let same = self.hosts.iter().find(|(before, _)| same_file && before == told);
            let host = same.map_or_else(|| Arc::new(Host::new(asker, told)), |(_, host)| Arc::clone(host));
            (told.clone(), host)
        };
        config.hosts.iter().map(host).collect()
    }

    fn clusters(&self, config: &Config, same_file: bool, asker: &Asker) -> Result<(Vec<Tenant>, Changes), String> {
        let (roots, limits) = (pve::Roots::default(), pve::Limits { max_body: config.scrape.max_body });
        let mut changes = Changes::default();
        let mut clusters = Vec::with_capacity(config.clusters.len());
        for told in &config.clusters {
            let before = self.clusters.iter().find(|tenant| tenant.config.name == told.name);
            let same = before.filter(|tenant| {
                tenant.config == *told && tenant.limits == limits && (same_file || told.ssh.is_none())
            });
            let list = match (before, same) {
                (_, Some(_)) => &mut changes.kept,
                (Some(_), None) => &mut changes.changed,
                (None, None) => &mut changes.added,
            };
            list.push(told.name.clone());
            let (cluster, discovered) = match same {
                Some(tenant) => (Arc::clone(&tenant.cluster), Arc::clone(&tenant.discovered)),
                None => {
                    let client = pve::Client::new(told, limits, &roots, Arc::clone(&self.own))?;
                    let nodes = told.ssh.as_ref().map(|ssh| Nodes::new(&told.name, ssh, asker.clone()));
                    let inventory = Arc::new(Inventory::new(client));
                    let discovered = discovery::Cluster::new(Arc::clone(&inventory), super::unix_time);
                    (Arc::new(Cluster::new(inventory, &self.own, nodes)), Arc::new(discovered))
                }
            };
            clusters.push(Tenant { config: told.clone(), limits, cluster, discovered });
        }
        let gone = self.clusters.iter().map(|tenant| &tenant.config.name);
        let gone = gone.filter(|name| config.clusters.iter().all(|told| told.name != **name));
        changes.removed = gone.cloned().collect();
        Ok((clusters, changes))
    }
}
