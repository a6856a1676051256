//! Services of guests: checked as those of hosts are, at the addresses that others found out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::outcome;
use super::services::{Found, Kept, Watched, figures, kept, lock};
use crate::collectors::{Check, service};
use crate::ids::{ServiceTarget, ServiceTargets};
use crate::metrics::{Labels, Part};

/// Who knows the targets: asked at each scrape that wants services.
pub type Source = Arc<dyn Fn() -> Vec<ServiceTargets> + Send + Sync>;

/// Makes the check of a target in a cluster. It should have turns of its own, so that guests that hang take none of hosts.
pub type Maker = Arc<dyn Fn(&str, &ServiceTarget) -> Check + Send + Sync>;

/// The services of all guests, by cluster.
pub struct GuestServices {
    source: Source,
    maker: Maker,
    clusters: Mutex<HashMap<Arc<str>, Arc<Cluster>>>,
}

/// The services of one cluster's guests, while the list is the same.
struct Cluster {
    labels: Labels,
    targets: Arc<[ServiceTarget]>,
    watched: Vec<Arc<Watched>>,
    page: Mutex<Option<Kept>>,
}

impl GuestServices {
    /// Nothing was checked yet but what goes on from before.
    pub fn new(source: Source, maker: Maker, before: Option<&Self>) -> Self {
        let clusters = before.map(|before| lock(&before.clusters).clone()).unwrap_or_default();
        Self { source, maker, clusters: Mutex::new(clusters) }
    }

    /// What is known by the deadline of the clusters that are meant.
    pub(super) async fn scrape(
        &self,
        is_meant: impl Fn(&str) -> bool,
        deadline: Instant,
        max_age: Duration,
    ) -> Vec<Arc<Part>> {
        let clusters = self.clusters((self.source)());
        let meant = clusters.iter().filter(|(name, _)| is_meant(name));
        let parts = join_all(meant.map(|(_, cluster)| cluster.scrape(deadline, max_age))).await;
        parts.into_iter().flatten().collect()
    }

    /// Those of now; what is not checked any more ends.
    fn clusters(&self, told: Vec<ServiceTargets>) -> Vec<(Arc<str>, Arc<Cluster>)> {
        let mut known = lock(&self.clusters);
        let now: Vec<(Arc<str>, Arc<Cluster>)> = told
            .into_iter()
            .map(|(name, targets)| {
                let cluster = match known.get(&name) {
                    Some(cluster) if Arc::ptr_eq(&cluster.targets, &targets) => Arc::clone(cluster),
                    before => Arc::new(Cluster::new(&name, targets, before.map(|before| &**before), &self.maker)),
                };
                (name, cluster)
            })
            .collect();
        *known = now.iter().cloned().collect();
        now
    }
}

impl Cluster {
    fn new(name: &str, targets: Arc<[ServiceTarget]>, before: Option<&Self>, maker: &Maker) -> Self {
        let known: HashMap<&ServiceTarget, &Arc<Watched>> =
            before.into_iter().flat_map(|before| before.targets.iter().zip(&before.watched)).collect();
        let watched = |target: &ServiceTarget| match known.get(target) {
            Some(same) => Arc::clone(same),
            None => Arc::new(Watched::new(maker(name, target))),
        };
        let watched = targets.iter().map(watched).collect();
        Self { labels: Labels::new(&[("cluster", name)]), targets, watched, page: Mutex::default() }
    }

    /// As of the services of a host.
    async fn scrape(&self, deadline: Instant, max_age: Duration) -> Option<Arc<Part>> {
        if self.watched.is_empty() {
            return None;
        }
        let started = Instant::now();
        if let Some(part) = kept(&lock(&self.page)) {
            return Some(part);
        }
        let found = join_all(self.watched.iter().map(|watched| watched.look(deadline, max_age))).await;
        let mut page = lock(&self.page);
        if let Some(part) = kept(&page) {
            return Some(part);
        }
        let (part, whole) = self.part(&found, started);
        let part = Arc::new(part);
        if whole {
            *page = Some(Kept { part: Arc::clone(&part), until: Instant::now() + max_age });
        }
        Some(part)
    }

    /// The part of a page, and whether nothing is missing from it.
    fn part(&self, found: &[Option<Found>], started: Instant) -> (Part, bool) {
        let told = self.watched.iter().zip(found);
        let told = told.filter_map(|(watched, found)| Some((watched.check(), &*found.as_ref()?.checked)));
        let mut families = service::guest_families(told);
        let figures = figures(found, started);
        let success = figures.success;
        families.extend(outcome::told([figures].into_iter()));
        (Part { labels: self.labels.clone(), families }, success)
    }
}
