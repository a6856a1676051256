//! Who fetches, and how often: once per view, whoever asks first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::cluster::{ClusterStatus, Release};
use super::guests::Memory;
use super::resources::Resources;
use crate::pve::{self, Client, Error};

/// A release changes with an upgrade only; asking at every scrape would cost a call for nothing.
const RELEASE_TTL: Duration = Duration::from_mins(5);

/// One cluster: its client and what outlives a scrape.
pub struct Inventory {
    client: Client,
    memory: Mutex<Memory>,
    release: Mutex<Option<(Instant, Arc<Release>)>>,
}

/// The cluster as one round sees it: each call is made at most once, when the first collector asks for it, by whoever
/// still waits for it, and is given up when nobody does.
pub struct View {
    resources: Call<Resources>,
    status: Call<ClusterStatus>,
    release: Call<Release>,
}

type Call<T> = Shared<BoxFuture<'static, Result<Arc<T>, Error>>>;

impl Inventory {
    /// Nothing is asked yet.
    pub fn new(client: Client) -> Self {
        Self { client, memory: Mutex::default(), release: Mutex::default() }
    }

    /// The configured name of the cluster.
    pub fn cluster(&self) -> &str {
        self.client.cluster()
    }

    /// For what is not part of a view.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A view of the cluster from now on.
    pub fn view(self: &Arc<Self>) -> View {
        let [resources, status, release] = [(); 3].map(|()| Arc::clone(self));
        View {
            resources: async move { resources.fetch_resources().await }.boxed().shared(),
            status: async move { status.fetch_status().await }.boxed().shared(),
            release: async move { release.fetch_release().await }.boxed().shared(),
        }
    }

    async fn fetch_resources(&self) -> Result<Arc<Resources>, Error> {
        let answer = self.client.get("/cluster/resources").await?;
        let resources = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            Resources::new(&answer, &mut memory)?
        };
        let nodes: Vec<&str> = resources.nodes.iter().map(|node| node.name.as_str()).collect();
        self.client.learn(&answer, &nodes, None);
        Ok(Arc::new(resources))
    }

    async fn fetch_status(&self) -> Result<Arc<ClusterStatus>, Error> {
        let answer = self.client.get("/cluster/status").await?;
        let entries = pve::status(&answer)?;
        let nodes = entries.iter().filter(|entry| entry.kind.filled() == Some("node"));
        let named = |entry: &&pve::StatusEntry<'_>| entry.local.0 == Some(true);
        let local = nodes.clone().find(named).and_then(|entry| entry.name.filled());
        let nodes: Vec<&str> = nodes.filter_map(|entry| entry.name.filled()).collect();
        self.client.learn(&answer, &nodes, local);
        Ok(Arc::new(ClusterStatus::new(&entries)))
    }

    async fn fetch_release(&self) -> Result<Arc<Release>, Error> {
        let kept = self.release.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((since, release)) = kept
            && since.elapsed() < RELEASE_TTL
        {
            return Ok(release);
        }
        let answer = self.client.get("/version").await?;
        let release = Arc::new(Release::new(&pve::version(&answer)?));
        let kept = Some((Instant::now(), Arc::clone(&release)));
        *self.release.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(release)
    }
}

impl View {
    /// `/cluster/resources`.
    pub async fn resources(&self) -> Result<Arc<Resources>, Error> {
        self.resources.clone().await
    }

    /// What `/cluster/resources` said, if some collector asked and it answered.
    pub fn fetched_resources(&self) -> Option<Arc<Resources>> {
        self.resources.peek()?.as_ref().ok().cloned()
    }

    /// `/cluster/status`.
    pub async fn status(&self) -> Result<Arc<ClusterStatus>, Error> {
        self.status.clone().await
    }

    /// `/version`, kept for five minutes.
    pub async fn release(&self) -> Result<Arc<Release>, Error> {
        self.release.clone().await
    }
}
