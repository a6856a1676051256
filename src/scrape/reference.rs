//! The drop-in page of one target: the same round and the same slow lane as `/metrics`, told in the reference's words.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::lane::{Reach, Shelved};
use super::round::{Page, PageName, Round, Teller};
use super::{Cluster, LEAST_TELLING, Outcome, Scraper, UnknownName, outcome};
use crate::collectors::reference::{self, Kept, Part as Half, Reference, Source};
use crate::inventory::Resources;
use crate::metrics::{Family, Part};
use crate::pve::{Error, Reason};

/// Where failures of this page are logged that no collector of `/metrics` has.
const PAGE: &str = "/pve";

/// What a client asks of the drop-in page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceQuery {
    /// A cluster's name, or an address of one; absent: the only cluster there is.
    pub target: Option<String>,
    /// A name that the cluster answers to; absent: the target decides.
    pub module: Option<String>,
    /// Whether what concerns the cluster is wanted.
    pub cluster: bool,
    /// Whether what concerns the node is wanted that the target is.
    pub node: bool,
}

/// Why there is no drop-in page.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The configuration has no such target or module; nothing was asked.
    Unknown(UnknownName),
    /// The configuration does not say which cluster is meant; nothing was asked.
    Unclear(String),
    /// Not one call succeeded: the reasons, each once.
    Failed(Vec<String>),
}

/// What is to be told, and about what.
struct Wanted {
    entries: Vec<&'static Reference>,
    /// The address whose node is meant; absent: that of the endpoint which is asked first.
    address: Option<String>,
    cluster: bool,
    node: bool,
    started: Instant,
    deadline: Instant,
    time: Duration,
}

/// What came of the entries that the slow lane keeps.
#[derive(Default)]
struct Slow {
    families: Vec<Family>,
    outcomes: Vec<Outcome>,
    /// Why there is nothing to ask about, besides.
    errors: Vec<Error>,
    /// A call was answered well since the scrape began.
    answered: bool,
}

impl Scraper {
    /// The parts of the drop-in page, by the deadline as [`Scraper::scrape`] has it.
    pub async fn reference(
        &self,
        query: &ReferenceQuery,
        timeout: Option<Duration>,
    ) -> Result<Vec<Arc<Part>>, Refusal> {
        let found = self.targets.find(query.target.as_deref(), query.module.as_deref())?;
        let is_on = |entry: &&&Reference| self.collectors.iter().any(|known| known.name == entry.collector.name);
        let is_wanted = |entry: &&&Reference| match entry.part {
            Half::Cluster => query.cluster,
            Half::Node => query.node,
        };
        let entries: Vec<&'static Reference> = reference::ALL.iter().filter(is_on).filter(is_wanted).copied().collect();
        let Some(cluster) = self.clusters.get(found.cluster).filter(|_| !entries.is_empty()) else {
            return Ok(Vec::new());
        };
        let (started, time) = (Instant::now(), self.time(timeout));
        let (deadline, address) = (started + time, found.address.filter(|_| query.node));
        let (cluster_wanted, node) = (query.cluster, query.node);
        let wanted = Wanted { entries, address, cluster: cluster_wanted, node, started, deadline, time };
        cluster.reference(&wanted).await
    }
}

impl Wanted {
    fn kept(&self) -> impl Iterator<Item = (&'static Reference, fn(&Kept<'_>) -> Vec<Family>)> {
        self.entries.iter().filter_map(|entry| match entry.source {
            Source::Kept(families) => Some((*entry, families)),
            Source::Round(_) => None,
        })
    }

    fn tellers(&self) -> impl Iterator<Item = Teller> {
        self.entries.iter().filter_map(|entry| match entry.source {
            Source::Round(run) => Some(Teller { page: Page::Reference, collector: entry.collector, run }),
            Source::Kept(_) => None,
        })
    }
}

impl Cluster {
    async fn reference(&self, wanted: &Wanted) -> Result<Vec<Arc<Part>>, Refusal> {
        let round = self.rounds.join();
        let collectors = wanted.entries.iter().map(|entry| entry.collector.name).collect();
        let name = PageName { page: Page::Reference, collectors, address: wanted.address.clone() };
        if let Some(parts) = round.page(&name) {
            return Ok(parts);
        }
        let ((told, whole), slow) = tokio::join!(self.told(&round, wanted), self.slow(&round, wanted));
        let (mut parts, mut outcomes): (Vec<Arc<Part>>, Vec<Outcome>) = told.into_iter().unzip();
        self.note_reference(wanted, &outcomes, &slow, &round);
        outcomes.extend(slow.outcomes);
        let mut errors = outcomes.iter().filter_map(|outcome| outcome.error.as_ref()).chain(&slow.errors).peekable();
        if errors.peek().is_some() && round.view().answered().is_none() && !slow.answered {
            let mut reasons: Vec<String> = errors.map(ToString::to_string).collect();
            reasons.sort();
            reasons.dedup();
            return Err(Refusal::Failed(reasons));
        }
        let complete = whole && outcomes.iter().all(|outcome| outcome.error.is_none());
        for families in [slow.families, outcome::families(&outcomes)] {
            parts.push(Arc::new(Part { labels: round.labels(Page::Reference), families }));
        }
        Ok(if complete { round.keep_page(name, parts) } else { parts })
    }

    /// What the round tells, and whether it is all there. Whoever goes on to wait for the slow lane keeps no round open
    /// that others would join.
    async fn told(&self, round: &Arc<Round>, wanted: &Wanted) -> (Vec<(Arc<Part>, Outcome)>, bool) {
        let tellers = wanted.tellers().map(|teller| self.fast(round, teller, wanted.deadline, wanted.time));
        let told = join_all(tellers).await;
        let whole = match told.is_empty() {
            true => timeout_at(wanted.deadline, round.view().resources()).await.is_ok_and(|told| told.is_ok()),
            false => told.iter().all(|(_, outcome)| outcome.error.is_none()),
        };
        self.rounds.finish(round, whole).await;
        (told, whole)
    }

    /// What the slow lane keeps. Who asks for something for the first time waits for it until the deadline.
    async fn slow(&self, round: &Round, wanted: &Wanted) -> Slow {
        let mut slow = Slow::default();
        if wanted.kept().next().is_none() {
            return slow;
        }
        let late = |path: &str| self.late(path, wanted.time);
        let (resources, node) = tokio::join!(
            async {
                let told = timeout_at(wanted.deadline, round.view().resources()).await;
                told.unwrap_or_else(|_| Err(late("/cluster/resources")))
            },
            async {
                let node = timeout_at(wanted.deadline, self.node(round, wanted)).await;
                node.unwrap_or_else(|_| Err(late("/cluster/status")))
            },
        );
        slow.answered = node.as_ref().is_ok_and(|(_, asked)| *asked);
        slow.errors.extend(resources.as_ref().err().cloned());
        let node = node.map(|(node, _)| node);
        let known: Vec<_> = wanted.kept().filter(|(entry, _)| entry.part == Half::Cluster || node.is_ok()).collect();
        let names: Vec<&'static str> = known.iter().map(|(entry, _)| entry.collector.name).collect();
        let reach = node.as_ref().map_or(Reach::All, |node| Reach::Node(node));
        self.lane.ask(&names, resources.as_ref().ok(), reach);
        self.lane.settled(&names, reach, wanted.deadline).await;
        let status = match known.iter().any(|(entry, _)| entry.part == Half::Cluster) {
            true => timeout_at(wanted.deadline, round.view().status()).await.ok().and_then(Result::ok),
            false => None,
        };
        for (entry, families) in &known {
            let Some(shelved) = self.lane.kept(entry, reach, wanted.started) else { continue };
            slow.families.extend(families(&Kept { told: &shelved.told, status: status.as_deref() }));
            slow.answered |= shelved.answered;
            let lost = node.as_ref().ok().filter(|_| entry.part == Half::Node);
            let error = lost.and_then(|node| self.lost(node, resources.as_deref().ok()));
            slow.outcomes.push(self.shelved(entry, shelved, error, wanted));
        }
        if let Err(error) = &node {
            let unknown = wanted.kept().filter(|(entry, _)| entry.part == Half::Node);
            slow.outcomes.extend(unknown.map(|(entry, _)| Outcome {
                collector: entry.collector.name,
                error: Some(error.clone()),
                duration: wanted.started.elapsed(),
                age: None,
            }));
        }
        slow
    }

    /// The node that is meant, and whether it had to be asked for. No other address stands in for the one that is named.
    async fn node(&self, round: &Round, wanted: &Wanted) -> Result<(String, bool), Error> {
        if !wanted.node {
            return Ok((String::new(), false));
        }
        let client = self.inventory.client();
        let address = wanted.address.clone().unwrap_or_else(|| client.asked());
        if let Some(node) = client.node_at(&address) {
            return Ok((node, false));
        }
        // The question that the round asks anyway may tell.
        if wanted.cluster || client.asked() == address {
            match round.view().status().await {
                Err(error) if error.endpoint == address => return Err(error),
                _ => {}
            }
        }
        Ok((self.inventory.node_at(&address).await?, true))
    }

    /// What is wrong with what is kept of a node that is not there.
    fn lost(&self, node: &str, resources: Option<&Resources>) -> Option<Error> {
        let offline = resources?.nodes.iter().any(|known| known.name == node && !known.online);
        offline.then(|| Error {
            endpoint: self.inventory.client().asked(),
            path: "/cluster/resources".to_owned(),
            reason: Reason::Unreachable(format!("the node {node} is not online")),
        })
    }

    fn shelved(&self, entry: &Reference, shelved: Shelved, lost: Option<Error>, wanted: &Wanted) -> Outcome {
        let late = || self.late(entry.collector.calls.first().copied().unwrap_or_default(), wanted.time);
        let error = lost.or(shelved.error).or_else(|| shelved.unanswered.then(late));
        Outcome { collector: entry.collector.name, error, duration: shelved.duration, age: shelved.age }
    }

    /// The log hears of a collector what it would hear from `/metrics`, so that the two pages do not take turns in it.
    fn note_reference(&self, wanted: &Wanted, fast: &[Outcome], slow: &Slow, round: &Round) {
        if wanted.time < LEAST_TELLING {
            return;
        }
        let names: Vec<&'static str> = wanted.kept().map(|(entry, _)| entry.collector.name).collect();
        let mut outcomes = self.lane.outcomes(&names);
        outcomes.extend(fast.iter().cloned());
        if fast.is_empty() {
            let error = slow.errors.first().cloned();
            outcomes.push(Outcome { collector: PAGE, error, duration: Duration::ZERO, age: None });
        }
        self.health.note(
            (self.inventory.cluster(), self.inventory.client().identity()),
            &outcomes,
            round.view().fetched_resources().as_deref(),
        );
    }
}
