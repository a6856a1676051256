//! What is kept while configurations come and go: counters, and the clusters, hosts and services whose own part did not
//! change.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::known;
use super::mint::Minter;
use super::sidecar::{Prepared, Sidecar, host_keys};
use super::state_dir::{self, Lock};
use crate::checks::Checker;
use crate::collectors::Check;
use crate::config::{self, Config};
use crate::control::{Acting, Control, Machines};
use crate::discovery::{self, Discovery, Keeper};
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::scrape::{Asker, CheckMaker, Cluster, GuestServices, Host, Nodes, Scraper, ServiceSource, Services};
use crate::{api, control, events, http, pve, ssh};

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
    /// What is known of actions, where any may be asked for.
    keep: Option<Kept>,
    services: Vec<Arc<Services>>,
    checker: Checker,
    guest_services: Option<Arc<GuestServices>>,
    /// Guests that hang take no turns of hosts.
    guest_checker: Checker,
    /// With the file that host keys are learned in.
    ssh: Option<(Option<PathBuf>, Asker)>,
    sidecar: Option<Sidecar>,
}

/// A cluster, and all that it was made from.
#[derive(Clone)]
struct Tenant {
    config: config::Cluster,
    limits: pve::Limits,
    inventory: Arc<Inventory>,
    cluster: Arc<Cluster>,
    discovered: Arc<discovery::Cluster>,
    acting: Arc<Acting>,
    /// Who gets its token, where that is made over SSH.
    minter: Option<Arc<Minter>>,
}

/// What is known of actions, and the folder that it is in.
type Kept = (Arc<control::Keep>, Arc<Lock>);

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
            own: Arc::new(Own::of_build(VERSION, super::REVISION)),
            clusters: Vec::new(),
            keeper: Keeper::default(),
            hosts: Vec::new(),
            services: Vec::new(),
            checker: Checker::new(),
            guest_services: None,
            guest_checker: Checker::new(),
            refusals: Arc::default(),
            keep: None,
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
        let control_door = http::Door::of_control(config.control.tls.as_ref())?;
        let lock = self.lock(config)?;
        let sidecar = Sidecar::prepare(self.sidecar.as_ref(), config, lock.as_ref(), &self.own)?;
        let learned = config.state_dir.as_ref().map(|folder| folder.join(LEARNED));
        let (same_file, asker) = self.asker(&learned);
        let (clusters, changes) = self.clusters(config, same_file, &asker)?;
        let hosts = self.hosts(config, same_file, &asker);
        let services = self.services(config);
        let shared = clusters.iter().map(|tenant| Arc::clone(&tenant.cluster)).collect();
        let asked = hosts.iter().map(|(_, host)| Arc::clone(host)).collect();
        let discovered = clusters.iter().map(|tenant| Arc::clone(&tenant.discovered)).collect();
        let discovery = Arc::new(Discovery::new(discovered, config));
        let guest_services = self.guest_services(&discovery);
        let scraper = Scraper::new(shared, asked, services.clone(), config);
        let scraper = Arc::new(scraper.with_guest_services(Arc::clone(&guest_services)));
        let keep = self.keep(config, lock)?;
        let machines = Machines::new(&config.hosts, asker.client.clone());
        let control = self.control(config, &clusters, (machines, keep.as_ref().map(|(keep, _)| keep)))?;
        let told = sidecar.as_ref().map(|sidecar| events::route(sidecar.ledger()));
        let desk = self.desk(config, &scraper, (&discovery, &control), told);
        let keys = host_keys(Arc::clone(&scraper));
        let site = http::Site::new(scraper, Arc::clone(&self.own), VERSION, http::Limits::default());
        // What the one before kept is not kept twice.
        self.keeper = discovery.keep();
        let web = |told: &config::Cluster| told.endpoints.first().map(|endpoint| endpoint.url.clone());
        self.own.clusters(config.clusters.iter().filter_map(|told| Some((told.name.as_str(), web(told)?))));
        let site = site
            .behind(door)
            .behind_control(control_door)
            .with_desk(desk)
            .discovering(discovery, config.web.tls.is_some());
        for minter in clusters.iter().filter_map(|tenant| tenant.minter.as_ref()) {
            minter.start();
        }
        let before = std::mem::replace(&mut self.clusters, clusters);
        self.part_with(before);
        (self.hosts, self.services) = (hosts, services);
        self.guest_services = Some(guest_services);
        if self.keep.is_none() && keep.is_some() {
            self.keep = keep;
            control.recover();
        }
        if let Some((keep, _)) = &self.keep {
            let acting = config.clusters.iter().filter(|told| told.control.is_some());
            keep.comes_into_force(&config.control.tokens, acting.map(|told| told.name.clone()).collect());
        }
        // The one before ends first.
        self.sidecar = None;
        let watched = self.clusters.iter().map(|tenant| Arc::clone(&tenant.inventory)).collect();
        self.sidecar = sidecar.map(|sidecar: Prepared| sidecar.keep(watched, keys));
        self.ssh = Some((learned, asker));
        Ok((if let Some(reloads) = reloads { site.reloading(reloads) } else { site }, changes))
    }

    /// Removes tokens that were made over SSH; each takes 5 s at most.
    pub(super) fn close(&self) -> impl Future<Output = ()> + use<> {
        let minters: Vec<_> = self.clusters.iter().filter_map(|tenant| tenant.minter.clone()).collect();
        async move { drop(join_all(minters.iter().map(|minter| minter.close())).await) }
    }

    /// Removes the tokens of clusters that are gone, unless they are made again for others.
    fn part_with(&self, before: Vec<Tenant>) {
        let kept: Vec<_> = self.clusters.iter().filter_map(|tenant| tenant.minter.as_ref()).collect();
        for minter in before.into_iter().filter_map(|tenant| tenant.minter) {
            if !kept.iter().any(|other| other.is_same_token(&minter)) {
                tokio::spawn(async move { minter.close().await });
            }
        }
    }

    /// Who answers questions of the API.
    fn desk(
        &self,
        config: &Config,
        scraper: &Arc<Scraper>,
        (discovery, control): (&Arc<Discovery>, &Arc<Control>),
        others: Option<api::Route>,
    ) -> api::Desk {
        let mut routes = known::routes(scraper, super::unix_now);
        routes.extend(discovery::routes(discovery));
        routes.extend(control.routes());
        routes.extend(others);
        let apart = !config.control.listen_addresses.is_empty();
        let rules = api::Rules { allow_plaintext: config.control.allow_plaintext, apart };
        let desk = api::Desk::new(routes, config.control.tokens.clone(), Arc::clone(&self.refusals), VERSION);
        desk.ruled(rules, control.listener())
    }

    /// `state_dir`, where something is kept there that one process must have to itself.
    fn lock(&self, config: &Config) -> Result<Option<Arc<Lock>>, String> {
        let folder = config.state_dir.as_ref().filter(|_| config.acts() || config.events.is_some());
        let Some(folder) = folder else { return Ok(None) };
        let held = self.keep.iter().map(|(_, lock)| lock).chain(self.sidecar.iter().map(Sidecar::lock));
        let same = held.into_iter().find(|lock| lock.folder() == folder);
        same.map_or_else(|| state_dir::lock(folder).map(Arc::new), |lock| Ok(Arc::clone(lock))).map(Some)
    }

    /// What outlives configurations, from the first one on by which anything may be switched.
    fn keep(&self, config: &Config, lock: Option<Arc<Lock>>) -> Result<Option<Kept>, String> {
        let Some(lock) = lock.filter(|_| config.acts()) else { return Ok(None) };
        let folder = lock.folder();
        match &self.keep {
            None => {
                let keep = control::Keep::open(folder, super::unix_now().as_secs())?;
                Ok(Some((Arc::new(keep), lock)))
            }
            Some((keep, lock)) if keep.folder() == folder => Ok(Some((Arc::clone(keep), Arc::clone(lock)))),
            Some((keep, _)) => {
                let (before, folder) = (keep.folder().display(), folder.display());
                Err(format!("state_dir {folder} needs a restart: what is known of actions is in {before}"))
            }
        }
    }

    fn control(
        &self,
        config: &Config,
        clusters: &[Tenant],
        (machines, keep): (Machines, Option<&Arc<control::Keep>>),
    ) -> Result<Arc<Control>, String> {
        let acting = clusters.iter().map(|tenant| Arc::clone(&tenant.acting)).collect();
        let books = keep.map(Arc::clone).zip(config.control.audit_file.as_deref());
        Ok(Arc::new(Control::new(acting, machines, books, Arc::clone(&self.own), super::unix_now)?))
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
        // All but what has no part in the connection.
        let is_same = |one: &config::Host, other: &config::Host| {
            let config::Host { id, name, address, ssh, services: _, power: _, wake: _ } = one;
            (id, name, address, ssh) == (&other.id, &other.name, &other.address, &other.ssh)
        };
        let host = |told: &config::Host| {
            let same = self.hosts.iter().find(|(before, _)| same_file && is_same(before, told));
            let host = match same {
                Some((_, host)) => Arc::clone(host),
                None => Arc::new(Host::new(asker, told)?),
            };
            Some((told.clone(), host))
        };
        config.hosts.iter().filter_map(host).collect()
    }

    /// Discovery knows the addresses, and hands them over as they are asked for.
    fn guest_services(&self, discovery: &Arc<Discovery>) -> Arc<GuestServices> {
        let discovery = Arc::clone(discovery);
        let source: ServiceSource = Arc::new(move || discovery.service_targets());
        let checker = self.guest_checker.clone();
        let maker: CheckMaker = Arc::new(move |cluster, target| Check::of_guest(cluster, target, &checker));
        Arc::new(GuestServices::new(source, maker, self.guest_services.as_deref()))
    }

    fn services(&self, config: &Config) -> Vec<Arc<Services>> {
        let services = |told| Arc::new(Services::new(told, Check::all(told, &self.checker), &self.services));
        config.hosts.iter().map(services).collect()
    }

    fn clusters(&self, config: &Config, same_file: bool, asker: &Asker) -> Result<(Vec<Tenant>, Changes), String> {
        let (roots, limits) = (pve::Roots::default(), pve::Limits { max_body: config.scrape.max_body });
        let mut changes = Changes::default();
        let mut clusters = Vec::with_capacity(config.clusters.len());
        for told in &config.clusters {
            let before = self.clusters.iter().find(|tenant| tenant.config.name == told.name);
            let same = before.filter(|tenant| {
                tenant.config == *told
                    && tenant.limits == limits
                    && (same_file || told.ssh.is_none() && tenant.minter.is_none())
            });
            let list = match (before, same) {
                (_, Some(_)) => &mut changes.kept,
                (Some(_), None) => &mut changes.changed,
                (None, None) => &mut changes.added,
            };
            list.push(told.name.clone());
            let tenant = match same {
                Some(same) => same.clone(),
                None => {
                    let writer = pve::Writer::new(told, limits, &roots, Arc::clone(&self.own))?;
                    let client = pve::Client::new(told, limits, &roots, Arc::clone(&self.own))?;
                    let minter = minter(told, &client, asker);
                    let nodes = told.ssh.as_ref().map(|ssh| Nodes::new(&told.name, ssh, asker.clone()));
                    let inventory = Arc::new(Inventory::new(client));
                    let discovered = Arc::new(discovery::Cluster::new(Arc::clone(&inventory), super::unix_time));
                    let acting = Acting::new(Arc::clone(&inventory), writer);
                    let acting = Arc::new(acting.with_nodes(told.ssh.clone(), told.wakes.clone()));
                    let cluster = Arc::new(Cluster::new(Arc::clone(&inventory), &self.own, nodes));
                    Tenant { config: told.clone(), limits, inventory, cluster, discovered, acting, minter }
                }
            };
            clusters.push(tenant);
        }
        let gone = self.clusters.iter().map(|tenant| &tenant.config.name);
        let gone = gone.filter(|name| config.clusters.iter().all(|told| told.name != **name));
        changes.removed = gone.cloned().collect();
        Ok((clusters, changes))
    }
}

/// Who gets a cluster's token, where that is made over SSH.
fn minter(told: &config::Cluster, client: &pve::Client, asker: &Asker) -> Option<Arc<Minter>> {
    let config::Credential::Minted(mint) = &told.credential else { return None };
    Some(Arc::new(Minter::new(&told.name, mint, client.minted()?, &asker.client)))
}
