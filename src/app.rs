//! The composition root: the only file that knows every room, reads the environment and listens to signals.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Cluster, Config, Tls};
use crate::ids::Fingerprint;
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::scrape::Scraper;
use crate::{http, pve};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A configured exporter that does not listen yet.
pub struct App {
    site: Arc<http::Site>,
}

impl App {
    /// Puts the rooms together. Fails with a sentence for the administrator; nothing has been asked yet.
    pub fn new(config: &Config) -> Result<Self, String> {
        let own = Arc::new(Own::new(env!("CARGO_PKG_VERSION")));
        let roots = pve::Roots::default();
        let limits = pve::Limits { max_body: config.scrape.max_body };
        let mut inventories = Vec::with_capacity(config.clusters.len());
        for cluster in &config.clusters {
            inventories.push(Inventory::new(pve::Client::new(cluster, limits, &roots, Arc::clone(&own))?));
        }
        let scraper = Scraper::new(inventories, config, &own);
        Ok(Self {
            site: Arc::new(http::Site::new(Arc::new(scraper), own, env!("CARGO_PKG_VERSION"), http::Limits::default())),
        })
    }

    /// Answers on the listeners until `stop`, then drains.
    pub async fn serve(self, listeners: Vec<TcpListener>, stop: impl Future<Output = ()>) {
        http::serve(listeners, self.site, stop).await;
    }
}

/// What an endpoint tells of itself and its cluster.
pub struct Seen {
    /// The cluster's name; none: a stand-alone node.
    pub cluster: Option<String>,
    /// All nodes with their addresses, where those are told.
    pub nodes: Vec<(String, Option<String>)>,
    /// The node that answered.
    pub local: Option<String>,
    /// Its certificate, where the configuration verifies none.
    pub certificate: Option<Fingerprint>,
}

/// Asks a cluster once who it is, with `/cluster/status`. Fails with a sentence for the administrator. Must run on the
/// runtime.
pub async fn look(cluster: &Cluster) -> Result<Seen, String> {
    let limits = pve::Limits { max_body: 1 << 20 };
    let own = Arc::new(Own::new(env!("CARGO_PKG_VERSION")));
    let client = pve::Client::new(cluster, limits, &pve::Roots::default(), own)?;
    let answer = tokio::time::timeout(PATIENCE, client.get("/cluster/status")).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|error| error.to_string())?;
    let entries = pve::status(&answer).map_err(|error| error.to_string())?;
    let mut seen = Seen { cluster: None, nodes: Vec::new(), local: None, certificate: None };
    for entry in &entries {
        let Some(name) = entry.name.filled() else { continue };
        match entry.kind.filled() {
            Some("cluster") => seen.cluster = Some(name.to_owned()),
            Some("node") => {
                seen.nodes.push((name.to_owned(), entry.ip.filled().map(str::to_owned)));
                if entry.local.0 == Some(true) {
                    seen.local = Some(name.to_owned());
                }
            }
            _ => {}
        }
    }
    if let (Tls::Insecure, Some(endpoint)) = (&cluster.tls, cluster.endpoints.first()) {
        seen.certificate = pve::shown_certificate(endpoint).await.ok();
    }
    Ok(seen)
}

/// Listens on all addresses, or says which one it cannot have. Must run on the runtime.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, String> {
    addresses.iter().map(|address| http::bind(*address).map_err(|error| error.to_string())).collect()
}

/// One variable of the process' environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Seconds since the Unix epoch; 0 where the clock stands before it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn unix_time() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Ends at SIGTERM or SIGINT; from then on, a second one ends the process at once. Must run on the runtime.
pub fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let fault = |error| format!("signals cannot be received: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    Ok(async move {
        let name = next().await;
        tracing::info!(signal = name, "stopping: requests in flight are answered first");
        tokio::spawn(async move {
            let name = next().await;
            tracing::warn!(signal = name, "stopping at once: requests in flight are cut off");
            std::process::exit(1);
        });
    })
}
