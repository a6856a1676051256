//! One round: which collectors of which clusters, until when, and what failed.

mod health;
mod selection;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::collectors::{self, Collector, Lane, Told};
use crate::config;
use crate::inventory::Inventory;
use crate::metrics::{Desc, Family, Kind, Labels, Own, Part, Sample};
use health::Health;
pub use selection::{PROCESS, Selection, UnknownName};

/// Orders and waits for the collectors of all clusters.
pub struct Scraper {
    clusters: Vec<Cluster>,
    collectors: Vec<&'static Collector>,
    settings: config::Scrape,
    own: Arc<Own>,
}

/// What one round had to say.
pub struct Round {
    /// One part per cluster, in the order of the configuration.
    pub parts: Vec<Arc<Part>>,
    /// Whether the process' own metrics belong on the page.
    pub own_metrics: bool,
}

struct Cluster {
    inventory: Inventory,
    labels: Labels,
    health: Health,
}

struct Outcome {
    collector: &'static str,
    told: Told,
    duration: Duration,
}

static SUCCESS: Desc = Desc {
    name: "pve_scrape_collector_success",
    help: "Whether the collector told all it could in this scrape.",
    kind: Kind::Gauge,
};
static DURATION: Desc = Desc {
    name: "pve_scrape_collector_duration_seconds",
    help: "How long this scrape waited for the collector.",
    kind: Kind::Gauge,
};

impl Scraper {
    /// Nothing is asked before the first scrape.
    pub fn new(inventories: Vec<Inventory>, disabled: &[String], settings: config::Scrape, own: Arc<Own>) -> Self {
        let clusters = inventories
            .into_iter()
            .map(|inventory| Cluster {
                labels: Labels::new(&[("cluster", inventory.cluster())]),
                health: Health::default(),
                inventory,
            })
            .collect();
        let enabled = |collector: &&&Collector| !disabled.iter().any(|name| name == collector.name);
        Self { clusters, collectors: collectors::ALL.iter().filter(enabled).copied().collect(), settings, own }
    }

    /// The configured names of the clusters.
    pub fn cluster_names(&self) -> Vec<String> {
        self.clusters.iter().map(|cluster| cluster.inventory.cluster().to_owned()).collect()
    }

    /// Checks the names of a request: `cluster` and `collect[]`, both repeatable; none means all.
    pub fn select(&self, clusters: &[String], collect: &[String]) -> Result<Selection, UnknownName> {
        let collectors: Vec<&'static str> = self.collectors.iter().map(|collector| collector.name).collect();
        Selection::new(clusters, collect, &self.cluster_names(), &collectors)
    }

    /// Runs a round that ends `margin` before `timeout` (the caller's, else the configured one).
    pub async fn scrape(&self, selection: &Selection, timeout: Option<Duration>) -> Round {
        let timeout = timeout.unwrap_or(self.settings.timeout);
        // A caller in a great hurry still leaves half of its time to the calls.
        let deadline = Instant::now() + timeout.saturating_sub(self.settings.margin).max(timeout / 2);
        let clusters = self.clusters.iter().filter(|cluster| selection.has_cluster(cluster.inventory.cluster()));
        let collectors: Vec<&'static Collector> =
            self.collectors.iter().filter(|collector| selection.has_collector(collector.name)).copied().collect();
        let parts = if collectors.is_empty() {
            Vec::new()
        } else {
            join_all(clusters.map(|cluster| cluster.round(&collectors, deadline, &self.own))).await
        };
        Round { parts, own_metrics: selection.own_metrics }
    }
}

impl Cluster {
    async fn round(&self, collectors: &[&'static Collector], deadline: Instant, own: &Own) -> Arc<Part> {
        let view = self.inventory.view(deadline);
        let outcomes = join_all(collectors.iter().map(async |collector| {
            let started = Instant::now();
            let told = match collector.lane {
                Lane::Fast(run) => run(&view).await,
                Lane::Slow(_) => Ok(Vec::new()).into(),
            };
            Outcome { collector: collector.name, told, duration: started.elapsed() }
        }))
        .await;
        let name = self.inventory.cluster();
        for outcome in &outcomes {
            if let Some(error) = &outcome.told.error {
                own.collector_error(name, outcome.collector, error.label());
            }
        }
        self.health.note(name, &outcomes, view.fetched_resources().as_deref());
        Arc::new(Part { labels: self.labels.clone(), families: families(outcomes) })
    }
}

fn families(outcomes: Vec<Outcome>) -> Vec<Family> {
    let mut success = Family { desc: &SUCCESS, samples: Vec::with_capacity(outcomes.len()) };
    let mut duration = Family { desc: &DURATION, samples: Vec::with_capacity(outcomes.len()) };
    let mut families = Vec::new();
    for outcome in outcomes {
        let labels = Labels::new(&[("collector", outcome.collector)]);
        let whole = f64::from(u8::from(outcome.told.error.is_none()));
        success.samples.push(Sample { labels: labels.clone(), value: whole });
        duration.samples.push(Sample { labels, value: outcome.duration.as_secs_f64() });
        families.extend(outcome.told.families);
    }
    families.extend([success, duration]);
    families
}
