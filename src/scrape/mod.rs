//! One round: which collectors of which clusters, until when, and what failed.
//!
//! ```text
//! a scrape → selection   what it asks for
//!          → round       the fast lane: joined by all scrapes that overlap
//!          → lane        the slow lane: what is known by now
//!          → hosts       hosts over SSH, meanwhile
//!            (demand: how long slow values of both are good)
//!          → services    services of hosts, meanwhile   guest_services  of guests
//!          → outcome     success, duration and age of each collector
//!          → health      the log's view
//! a question → known    what the scrapes so far came to
//! a target → targets     which cluster it is, for the drop-in page
//!          → reference   the same round and lane in the reference exporter's words
//!          → one_host    one host, for a page of its own
//! ```

mod demand;
mod guest_services;
mod health;
mod hosts;
mod known;
mod lane;
mod one_host;
mod outcome;
mod reference;
mod round;
mod selection;
mod services;
mod targets;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::collectors::{self, Collector, Lane as Kind};
use crate::config::{self, Config};
use crate::inventory::{Inventory, Resources};
use crate::metrics::{Labels, Own, Part};
use crate::pve::Error;
pub use guest_services::{GuestServices, Maker as CheckMaker, Source as ServiceSource};
use health::Health;
pub use hosts::{Asker, Host, Nodes};
use hosts::{Page as HostPage, Said as HostSaid, Settings as HostSettings, Wanted as HostWanted};
pub use known::{Failed, KnownCluster, KnownHost, Past};
use lane::{Lane, Reach};
use outcome::Outcome;
pub use reference::{ReferenceQuery, Refusal};
use round::{Page, PageName, Round as Shared, Rounds, Teller};
pub use selection::{DISCOVERY, PROCESS, Selection, UnknownName};
pub use services::Services;
use targets::Targets;

/// A scrape that gives the calls less time than this says nothing of a cluster's health when they do not come back.
const LEAST_TELLING: Duration = Duration::from_millis(400);

/// Orders and waits for the collectors of all clusters.
pub struct Scraper {
    clusters: Vec<Arc<Cluster>>,
    hosts: Vec<Arc<Host>>,
    services: Vec<Arc<Services>>,
    guest_services: Option<Arc<GuestServices>>,
    host_settings: HostSettings,
    targets: Targets,
    collectors: Vec<&'static Collector>,
    settings: config::Scrape,
}

/// What one round had to say.
pub struct Round {
    /// The parts of each cluster, then of each host, then of each host's services, then of each
    /// cluster's guests' services, in the order of the configuration.
    /// Scrapes that share a round get the same ones.
    pub parts: Vec<Arc<Part>>,
    /// Whether the process' own metrics belong on the page.
    pub own_metrics: bool,
    /// The clusters of which the page also says what is known of their guests.
    pub discovered: Vec<String>,
}

/// One cluster with all that outlives a scrape: its connections, the round under way, what the slow lane knows.
///
/// Where a configuration is read again, it is handed on to the next [`Scraper`] if its own part did not change.
pub struct Cluster {
    inventory: Arc<Inventory>,
    labels: Labels,
    rounds: Rounds,
    lane: Lane,
    /// Where its nodes are hosts.
    nodes: Option<Nodes>,
    health: Health,
    own: Arc<Own>,
}

impl Scraper {
    /// Nothing is asked before the first scrape.
    ///
    /// `clusters`, `hosts` and `services` are those of `config`, in its order.
    pub fn new(
        clusters: Vec<Arc<Cluster>>,
        hosts: Vec<Arc<Host>>,
        services: Vec<Arc<Services>>,
        config: &Config,
    ) -> Self {
        let (collectors, settings) = (collectors::enabled(config), config.scrape);
        for cluster in &clusters {
            cluster.rounds.keep_for(settings.max_age);
            cluster.lane.take_on(&collectors, &config.collectors);
        }
        let targets = Targets::new(&config.clusters);
        let host_settings = HostSettings::new(config);
        Self { clusters, hosts, services, guest_services: None, host_settings, targets, collectors, settings }
    }

    /// The same, which also checks services of guests.
    #[must_use]
    pub fn with_guest_services(self, services: Arc<GuestServices>) -> Self {
        Self { guest_services: Some(services), ..self }
    }

    /// The configured names of the clusters.
    pub fn cluster_names(&self) -> Vec<String> {
        self.clusters.iter().map(|cluster| cluster.inventory.cluster().to_owned()).collect()
    }

    /// How long a round may be shared by scrapes that come later.
    pub fn max_age(&self) -> Duration {
        self.settings.max_age
    }

    /// Checks the names of a request: `cluster` and `collect[]`, both repeatable; none means all.
    pub fn select(&self, clusters: &[String], collect: &[String]) -> Result<Selection, UnknownName> {
        let collectors: Vec<&'static str> = self.collectors.iter().map(|collector| collector.name).collect();
        Selection::new(clusters, collect, &self.cluster_names(), &collectors)
    }

    /// Runs a round that ends `margin` before `timeout` (the caller's, else the configured one), or joins one.
    pub async fn scrape(&self, selection: &Selection, timeout: Option<Duration>) -> Round {
        let time = self.time(timeout);
        let is_wanted = |collector: &&&Collector| selection.has_collector(collector.name);
        let wanted = || self.collectors.iter().copied().filter(|collector| is_wanted(&collector));
        let of_hosts: Vec<_> = wanted().filter(|collector| matches!(collector.lane, Kind::Host(_))).collect();
        let of_services = wanted().any(|collector| matches!(collector.lane, Kind::Services));
        let of_clusters: Vec<_> =
            wanted().filter(|collector| matches!(collector.lane, Kind::Fast(_) | Kind::Slow(_))).collect();
        let wanted = self.host_wanted(HostPage::Metrics, &of_hosts, time);
        let (mut parts, of_hosts, of_services) = tokio::join!(
            self.of_clusters(selection, &of_clusters, time),
            self.of_hosts(selection, &wanted),
            self.of_services(of_services, selection, time),
        );
        parts.extend(of_hosts);
        parts.extend(of_services);
        let discovered = self.cluster_names().into_iter().filter(|name| selection.has_discovery(name)).collect();
        Round { parts, own_metrics: selection.own_metrics, discovered }
    }

    async fn of_clusters(
        &self,
        selection: &Selection,
        collectors: &[&'static Collector],
        time: Duration,
    ) -> Vec<Arc<Part>> {
        if collectors.is_empty() {
            return Vec::new();
        }
        let clusters = self.clusters.iter().filter(|cluster| selection.has_cluster(cluster.inventory.cluster()));
        join_all(clusters.map(|cluster| cluster.scrape(collectors, time))).await.concat()
    }

    /// Hosts that are no nodes belong to no cluster.
    async fn of_hosts(&self, selection: &Selection, wanted: &HostWanted<'_>) -> Vec<Arc<Part>> {
        if wanted.collectors.is_empty() {
            return Vec::new();
        }
        let clusters = self.clusters.iter().filter(|cluster| selection.has_cluster(cluster.inventory.cluster()));
        let nodes = clusters.map(|cluster| cluster.node_hosts(wanted));
        let others = self.hosts.iter().filter(|_| selection.has_all_clusters()).map(|host| host.scrape(wanted));
        let (mut parts, others) = tokio::join!(join_all(nodes), join_all(others));
        parts.extend(others.into_iter().map(|HostSaid { parts, .. }| parts));
        parts.concat()
    }

    /// Hosts belong to no cluster, guests do.
    async fn of_services(&self, wanted: bool, selection: &Selection, time: Duration) -> Vec<Arc<Part>> {
        if !wanted {
            return Vec::new();
        }
        let (deadline, max_age) = (Instant::now() + time, self.settings.max_age);
        let hosts = self.services.iter().filter(|_| selection.has_all_clusters());
        let hosts = join_all(hosts.map(|services| services.scrape(deadline, max_age)));
        let guests = async {
            match &self.guest_services {
                Some(services) => services.scrape(|name| selection.has_cluster(name), deadline, max_age).await,
                None => Vec::new(),
            }
        };
        let (hosts, guests) = tokio::join!(hosts, guests);
        hosts.into_iter().flatten().chain(guests).collect()
    }

    fn host_wanted<'a>(
        &'a self,
        page: HostPage,
        collectors: &'a [&'static Collector],
        time: Duration,
    ) -> HostWanted<'a> {
        HostWanted { page, collectors, settings: &self.host_settings, deadline: Instant::now() + time, time }
    }

    /// What a caller's timeout leaves to the calls.
    fn time(&self, timeout: Option<Duration>) -> Duration {
        let timeout = timeout.unwrap_or(self.settings.timeout);
        // A caller in a great hurry still leaves half of its time to the calls.
        timeout.saturating_sub(self.settings.margin).max(timeout / 2)
    }
}

impl Cluster {
    /// Nothing was asked yet. Which collectors there are, the [`Scraper`] says.
    /// `nodes` where they are hosts.
    pub fn new(inventory: Arc<Inventory>, own: &Arc<Own>, nodes: Option<Nodes>) -> Self {
        let labels = Labels::new(&[("cluster", inventory.cluster())]);
        Self {
            rounds: Rounds::new(Arc::clone(&inventory), labels.clone(), Arc::clone(own)),
            lane: Lane::new(Arc::clone(&inventory), Arc::clone(own)),
            nodes,
            health: Health::default(),
            own: Arc::clone(own),
            labels,
            inventory,
        }
    }

    async fn node_hosts(&self, wanted: &HostWanted<'_>) -> Vec<Arc<Part>> {
        match &self.nodes {
            Some(nodes) => nodes.scrape(self.rounds.join().view(), wanted).await,
            None => Vec::new(),
        }
    }

    async fn scrape(&self, collectors: &[&'static Collector], time: Duration) -> Vec<Arc<Part>> {
        let deadline = Instant::now() + time;
        let names: Vec<&'static str> = collectors.iter().map(|collector| collector.name).collect();
        let round = self.rounds.join();
        let name = PageName { page: Page::Metrics, collectors: names.clone(), address: None };
        if let Some(parts) = round.page(&name) {
            return parts;
        }
        let teller = |collector: &&'static Collector| match collector.lane {
            Kind::Fast(run) => Some(Teller { page: Page::Metrics, collector, run }),
            Kind::Slow(_) | Kind::Host(_) | Kind::Services => None,
        };
        let tellers = collectors.iter().filter_map(teller);
        let fast = tellers.map(|teller| self.fast(&round, teller, deadline, time));
        let (told, ()) = tokio::join!(join_all(fast), self.ask(&round, collectors, &names, deadline));
        let mut parts: Vec<Arc<Part>> = Vec::with_capacity(collectors.len() + 2);
        let mut outcomes = Vec::with_capacity(collectors.len());
        for (part, outcome) in told {
            parts.push(part);
            outcomes.push(outcome);
        }
        let whole = outcomes.iter().all(|outcome| outcome.error.is_none());
        let (mut slow, mut refreshes) = (Vec::new(), Vec::new());
        for said in self.lane.say(&names) {
            let lane::Said { collector, families, error, duration, age, refresh } = said;
            slow.extend(families);
            refreshes.extend(refresh.map(|refresh| (collector, refresh)));
            outcomes.push(Outcome { collector, error, duration, age });
        }
        parts.push(Arc::new(Part { labels: self.labels.clone(), families: slow }));
        let (resources, client) = (round.view().fetched_resources(), self.inventory.client());
        let blind = resources.as_deref().is_some_and(Resources::looks_like_a_token_without_rights);
        let mut families = outcome::families(&outcomes);
        families.extend(outcome::refreshes(&refreshes));
        families.extend(outcome::missing(&outcomes, blind));
        parts.push(Arc::new(Part { labels: self.labels.clone(), families }));
        // Whoever leaves the calls no time learns nothing of the cluster's health.
        if time >= LEAST_TELLING {
            self.health.note((client.cluster(), client.identity()), &outcomes, resources.as_deref());
        }
        self.rounds.finish(&round, whole).await;
        if whole { round.keep_page(name, parts) } else { parts }
    }

    /// One collector of the fast lane, until the deadline of this scrape.
    async fn fast(
        &self,
        round: &Arc<Shared>,
        teller: Teller,
        deadline: Instant,
        time: Duration,
    ) -> (Arc<Part>, Outcome) {
        let Teller { page, collector, run } = teller;
        let outcome = |error, duration, age| Outcome { collector: collector.name, error, duration, age };
        match timeout_at(deadline, round.told(teller)).await {
            Ok(told) => {
                let age = told.error.is_none().then(|| told.at.elapsed());
                (Arc::clone(&told.part), outcome(told.error.clone(), told.duration, age))
            }
            Err(_) => {
                // One late call hides nothing of what the others told.
                let so_far = run(&round.view().so_far(|path| self.late(path, time))).now_or_never();
                let first_call = collector.calls.first().copied().unwrap_or_default();
                let told = so_far.unwrap_or_else(|| Err(self.late(first_call, time)).into());
                if let Some(error) = told.error.as_ref().filter(|_| time >= LEAST_TELLING) {
                    self.own.collector_error(self.inventory.cluster(), collector.name, error.label());
                }
                let part = Arc::new(Part { labels: round.labels(page), families: told.families });
                (part, outcome(told.error, time, None))
            }
        }
    }

    /// The error of a call that was not answered by the deadline.
    fn late(&self, path: &str, time: Duration) -> Error {
        self.inventory.client().late(path, time)
    }

    /// Lets the slow lane know what is wanted, as soon as it is known what there is to ask about.
    async fn ask(
        &self,
        round: &Arc<Shared>,
        collectors: &[&'static Collector],
        names: &[&'static str],
        deadline: Instant,
    ) {
        if collectors.iter().any(|collector| matches!(collector.lane, Kind::Slow(_))) {
            let resources = timeout_at(deadline, round.view().resources()).await;
            // A call about the cluster takes a place of the node that answers, so that node has to be known first.
            if !self.inventory.client().is_entry_known() {
                let _ = timeout_at(deadline, round.view().status()).await;
            }
            self.lane.ask(names, resources.ok().and_then(Result::ok).as_ref(), Reach::All);
        }
    }
}

impl Drop for Cluster {
    /// The last scrape that knew it is over, and no other will come.
    fn drop(&mut self) {
        self.lane.close();
    }
}
