//! The composition root: the only file that knows every room, reads the environment and listens to signals.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::scrape::Scraper;
use crate::{http, pve};

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
