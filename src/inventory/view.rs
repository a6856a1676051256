//! Who fetches, and how often: once per view, whoever asks first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, ready};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cluster::{ClusterStatus, Release};
use super::guests::Memory;
use super::node::Node;
use super::resources::{Draft, Resources};
use crate::pve::{self, Client, Error, Reason};

/// A release changes with an upgrade only; asking at every scrape would cost a call for nothing.
const RELEASE_TTL: Duration = Duration::from_mins(5);

const STATUS: &str = "/cluster/status";

/// One cluster: its client and what outlives a scrape.
pub struct Inventory {
    client: Client,
    memory: Mutex<Arc<Memory>>,
    release: Mutex<Option<(Instant, Arc<Release>)>>,
    nodes: Mutex<Option<(Instant, Vec<Node>)>>,
    /// Kept only while somebody watches: snapshots of large clusters are not to lie in memory for nobody.
    news: watch::Sender<Option<Snapshot>>,
}

/// What `/cluster/resources` said, and when.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The same as those had who asked for it.
    pub resources: Arc<Resources>,
    /// When it was answered.
    pub at: Instant,
}

/// The cluster as one round sees it: each call is made at most once, when the first collector asks for it, by whoever
/// still waits for it, and is given up when nobody does.
pub struct View {
    inventory: Arc<Inventory>,
    resources: Call<Resources>,
    status: Call<ClusterStatus>,
    release: Call<Release>,
    /// When the last of its calls was answered well.
    answered: Answered,
}

type Answered = Arc<Mutex<Option<Instant>>>;
type Call<T> = Shared<BoxFuture<'static, Result<Arc<T>, Error>>>;

impl Inventory {
    /// Nothing is asked yet.
    pub fn new(client: Client) -> Self {
        let (memory, release, nodes) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { client, memory, release, nodes, news: watch::Sender::new(None) }
    }

    /// The last good answer of `/cluster/resources` to whoever asked, from now on. Failures are no news, nor are answers
    /// without a node, or as a token without rights gets them.
    pub fn watch(&self) -> watch::Receiver<Option<Snapshot>> {
        self.news.subscribe()
    }

    /// The configured name of the cluster.
    pub fn cluster(&self) -> &str {
        self.client.cluster()
    }

    /// For what is not part of a view.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The nodes as the last answer told them, and when that was; none before the first one.
    pub fn last_nodes(&self) -> Option<(Instant, Vec<Node>)> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A view of the cluster from now on.
    pub fn view(self: &Arc<Self>) -> View {
        let answered = Answered::default();
        let [resources, status, release] = [(); 3].map(|()| (Arc::clone(self), Arc::clone(&answered)));
        View {
            inventory: Arc::clone(self),
            resources: async move { noted(&resources.1, resources.0.fetch_resources().await) }.boxed().shared(),
            status: async move { noted(&status.1, status.0.fetch_status(None).await) }.boxed().shared(),
            release: async move { release.0.fetch_release(&release.1).await }.boxed().shared(),
            answered,
        }
    }

    /// Which node answers at one of the addresses of the configuration; asked there, and nowhere else, if it is not
    /// known yet.
    pub async fn node_at(&self, address: &str) -> Result<String, Error> {
        if let Some(node) = self.client.node_at(address) {
            return Ok(node);
        }
        self.fetch_status(Some(address)).await?;
        self.client.node_at(address).ok_or_else(|| Error {
            endpoint: address.to_owned(),
            path: STATUS.to_owned(),
            reason: Reason::Malformed("no node is the local one; expected the one that answers".to_owned()),
        })
    }

    async fn fetch_resources(&self) -> Result<Arc<Resources>, Error> {
        let memory = || self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, draft) = self.client.resources(|| Draft::new(Arc::clone(&memory()))).await?;
        let resources = draft.finish(&mut memory());
        let nodes: Vec<&str> = resources.nodes.iter().map(|node| node.name.as_str()).collect();
        self.client.learn(&answer, &nodes, None);
        // An empty list is no news about any node.
        if !nodes.is_empty() {
            let told = Some((Instant::now(), resources.nodes.clone()));
            *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = told;
        }
        let resources = Arc::new(resources);
        if resources.tells_of_guests() {
            // Nobody may watch.
            let _ = self.news.send(Some(Snapshot { resources: Arc::clone(&resources), at: Instant::now() }));
        }
        Ok(resources)
    }

    /// Of an address, or of any endpoint.
    async fn fetch_status(&self, address: Option<&str>) -> Result<Arc<ClusterStatus>, Error> {
        let answer = match address {
            None => self.client.get(STATUS).await?,
            Some(address) => self.client.get_at(address, STATUS).await?,
        };
        let entries = pve::status(&answer)?;
        let nodes = entries.iter().filter(|entry| entry.kind.filled() == Some("node"));
        let named = |entry: &&pve::StatusEntry<'_>| entry.local.0 == Some(true);
        let local = nodes.clone().find(named).and_then(|entry| entry.name.filled());
        let nodes: Vec<&str> = nodes.filter_map(|entry| entry.name.filled()).collect();
        self.client.learn(&answer, &nodes, local);
        Ok(Arc::new(ClusterStatus::new(&entries)))
    }

    async fn fetch_release(&self, answered: &Answered) -> Result<Arc<Release>, Error> {
        let kept = self.release.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((since, release)) = kept
            && since.elapsed() < RELEASE_TTL
        {
            return Ok(release);
        }
        let answer = self.client.get("/version").await?;
        let release = noted(answered, Ok(Arc::new(Release::new(&pve::version(&answer)?))))?;
        let kept = Some((Instant::now(), Arc::clone(&release)));
        *self.release.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(release)
    }
}

impl View {
    /// For what is known of the cluster beyond this view.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// `/cluster/resources`.
    pub async fn resources(&self) -> Result<Arc<Resources>, Error> {
        self.resources.clone().await
    }

    /// What `/cluster/resources` said, if some collector asked and it answered.
    pub fn fetched_resources(&self) -> Option<Arc<Resources>> {
        self.resources.peek()?.as_ref().ok().cloned()
    }

    /// When the last call of this view was answered well, if one was; what was kept from before is no answer.
    pub fn answered(&self) -> Option<Instant> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `/cluster/status`.
    pub async fn status(&self) -> Result<Arc<ClusterStatus>, Error> {
        self.status.clone().await
    }

    /// `/version`, kept for five minutes.
    pub async fn release(&self) -> Result<Arc<Release>, Error> {
        self.release.clone().await
    }

    /// The same as far as it was told by now. Calls that were not answered have failed: `late` is told their paths.
    #[must_use]
    pub fn so_far(&self, late: impl Fn(&str) -> Error) -> Self {
        Self {
            inventory: Arc::clone(&self.inventory),
            resources: told_or(&self.resources, late("/cluster/resources")),
            status: told_or(&self.status, late("/cluster/status")),
            release: told_or(&self.release, late("/version")),
            answered: Arc::clone(&self.answered),
        }
    }
}

fn told_or<T: Send + Sync + 'static>(call: &Call<T>, late: Error) -> Call<T> {
    ready(call.peek().cloned().unwrap_or(Err(late))).boxed().shared()
}

fn noted<T>(answered: &Answered, result: Result<T, Error>) -> Result<T, Error> {
    if result.is_ok() {
        *answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
    result
}
