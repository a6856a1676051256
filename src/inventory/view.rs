//! Who fetches, and how often: once per view, whoever asks first.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
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

/// The cluster as one round sees it: each call is made at most once, when the first collector asks for it.
pub struct View<'a> {
    inventory: &'a Inventory,
    deadline: Instant,
    resources: OnceCell<Result<Arc<Resources>, Error>>,
    status: OnceCell<Result<Arc<ClusterStatus>, Error>>,
}

impl Inventory {
    /// Nothing is asked yet.
    pub fn new(client: Client) -> Self {
        Self { client, memory: Mutex::default(), release: Mutex::default() }
    }

    /// The configured name of the cluster.
    pub fn cluster(&self) -> &str {
        self.client.cluster()
    }

    /// A view whose calls end at `deadline`.
    pub fn view(&self, deadline: Instant) -> View<'_> {
        View { inventory: self, deadline, resources: OnceCell::new(), status: OnceCell::new() }
    }
}

impl View<'_> {
    /// `/cluster/resources`.
    pub async fn resources(&self) -> Result<Arc<Resources>, Error> {
        self.resources.get_or_init(|| self.fetch_resources()).await.clone()
    }

    /// What `/cluster/resources` said, if some collector asked and it answered.
    pub fn fetched_resources(&self) -> Option<Arc<Resources>> {
        self.resources.get()?.as_ref().ok().cloned()
    }

    /// `/cluster/status`.
    pub async fn status(&self) -> Result<Arc<ClusterStatus>, Error> {
        self.status.get_or_init(|| self.fetch_status()).await.clone()
    }

    /// `/version`, kept for five minutes.
    pub async fn release(&self) -> Result<Arc<Release>, Error> {
        let kept = self.inventory.release.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((since, release)) = kept
            && since.elapsed() < RELEASE_TTL
        {
            return Ok(release);
        }
        let answer = self.inventory.client.get("/version", self.deadline).await?;
        let release = Arc::new(Release::new(&pve::version(&answer)?));
        let kept = Some((Instant::now(), Arc::clone(&release)));
        *self.inventory.release.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(release)
    }

    async fn fetch_resources(&self) -> Result<Arc<Resources>, Error> {
        let answer = self.inventory.client.get("/cluster/resources", self.deadline).await?;
        let entries = pve::resources(&answer)?;
        let mut memory = self.inventory.memory.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::new(Resources::new(&entries, &mut memory)))
    }

    async fn fetch_status(&self) -> Result<Arc<ClusterStatus>, Error> {
        let answer = self.inventory.client.get("/cluster/status", self.deadline).await?;
        Ok(Arc::new(ClusterStatus::new(&pve::status(&answer)?)))
    }
}
