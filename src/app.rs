//! The composition root: the only file that knows every room, reads the environment and listens to signals.

mod interrupts;
mod known;
mod live;
mod manager;
mod mint;
mod reload;
mod rooms;
mod sidecar;
mod sockets;
mod state_dir;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{OptionFuture, join3};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{Cluster, Config, ControlAddress, Ssh, Tls};
use crate::ids::{Fingerprint, SshAddress};
use crate::metrics::Own;
use crate::{http, pve, ssh};
use reload::Reloader;
use rooms::Rooms;

pub use interrupts::Interrupts;
pub use live::{check as check_live, hindrances};
pub use manager::Manager;
pub use reload::Source;
pub use sockets::{Sockets, handed_over};

/// The revision of the source that the program was made from, where the one who built it said so.
pub const REVISION: Option<&str> = option_env!("PVE_SENTINEL_REVISION");

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A configured exporter that does not listen yet.
pub struct App {
    front: Arc<http::Front>,
    rooms: Kept,
    control: Vec<http::Listener>,
    manager: Arc<Manager>,
}

impl App {
    /// Puts the rooms together. Fails with a sentence for the administrator; nothing has been asked yet.
    pub fn new(config: &Config) -> Result<Self, String> {
        let mut rooms = Rooms::new();
        let (site, _) = rooms.site(config, None)?;
        rooms.own().config_read(Some(unix_time()));
        let front = Arc::new(http::Front::new(site));
        Ok(Self { front, rooms: Kept::Rooms(Box::new(rooms)), control: Vec::new(), manager: Arc::default() })
    }

    /// The same, with a configuration that `source` can read again, at SIGHUP or where a request may wish it. Fails also
    /// where signals cannot be received. The `manager` is told of both, and of the beginning and the end of serving. Must
    /// run on the runtime.
    pub fn reloadable(config: &Config, source: Source, manager: Manager) -> Result<Self, String> {
        // Before all that takes its time: until somebody listens to it, SIGHUP ends the process.
        let hangups = signal(SignalKind::hangup()).map_err(no_signals)?;
        let mut rooms = Rooms::new();
        let (wishes, heard) = mpsc::channel(1);
        let (site, _) = rooms.site(config, Some(wishes.clone()))?;
        rooms.own().config_read(Some(unix_time()));
        let front = Arc::new(http::Front::new(site));
        let manager = Arc::new(manager);
        manager.knows(config);
        let reloader = Reloader::new(source, rooms, (&front, &manager), wishes, config);
        let rooms = Kept::Reloading(Arc::new(reloader), hangups, heard);
        Ok(Self { front, rooms, control: Vec::new(), manager })
    }

    /// The same with listeners for the API alone.
    #[must_use]
    pub fn taking_orders_at(self, control: Vec<http::Listener>) -> Self {
        Self { control, ..self }
    }

    /// Answers on the listeners until `stop`, then drains.
    pub async fn serve(self, listeners: Vec<TcpListener>, stop: impl Future<Output = ()>) -> Result<(), String> {
        let stop = stop.shared();
        self.manager.listens(&listeners);
        let (heart, pulse) = http::Heart::new();
        let mut pulses = vec![pulse];
        let pages = http::serve(listeners, Arc::clone(&self.front), heart, stop.clone());
        let orders = (!self.control.is_empty()).then(|| {
            let (heart, pulse) = http::Heart::new();
            pulses.push(pulse);
            http::serve_control(self.control, Arc::clone(&self.front), heart, stop.clone())
        });
        let orders = OptionFuture::from(orders);
        let serving = async {
            join3(pages, orders, self.manager.follow(&pulses, stop)).await;
        };
        match self.rooms {
            Kept::Rooms(rooms) => {
                serving.await;
                rooms.close().await;
            }
            Kept::Reloading(reloader, hangups, wishes) => {
                let reloads = tokio::spawn(Arc::clone(&reloader).run(hangups, wishes));
                serving.await;
                reloads.abort();
                reloader.close().await;
            }
        }
        Ok(())
    }
}

/// What lives as long as the exporter serves.
enum Kept {
    /// The rooms, with what goes on in the background.
    Rooms(Box<Rooms>),
    /// The same where the configuration can be read again.
    Reloading(Arc<Reloader>, Signal, mpsc::Receiver<http::Reload>),
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
        seen.certificate = pve::shown_certificate(endpoint).await.ok().map(|shown| shown.fingerprint);
    }
    Ok(seen)
}

/// A host to be asked over SSH by a command of its own; nothing is sent to it yet.
pub fn session(address: &SshAddress, settings: Ssh) -> ssh::Session {
    let own = Arc::new(Own::new(env!("CARGO_PKG_VERSION")));
    let client = ssh::Client::new(own, None, ssh::Limits::default(), unix_time);
    client.session(address.host(), address.clone(), Arc::new(settings))
}

/// Listens on all addresses, or says which one it cannot have. Must run on the runtime.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, String> {
    addresses.iter().map(|address| http::bind(*address).map_err(|error| error.to_string())).collect()
}

/// The same of the listeners of `[control]`.
pub async fn bind_control(addresses: &[ControlAddress]) -> Result<Vec<http::Listener>, String> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = match address {
            ControlAddress::Tcp(address) => http::bind(*address).map(http::Listener::from),
            ControlAddress::Socket { path, mode } => http::Listener::at(path, *mode).await,
        };
        listeners.push(listener.map_err(|error| error.to_string())?);
    }
    Ok(listeners)
}

/// One variable of the process' environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Seconds since the Unix epoch; 0 where the clock stands before it.
pub fn unix_time() -> i64 {
    i64::try_from(unix_now().as_secs()).unwrap_or(i64::MAX)
}

/// The same with what is left of a second.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn unix_now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// Ends at SIGTERM or SIGINT; from then on, a second one ends the process at once. Must run on the runtime.
pub fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
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

fn no_signals(error: std::io::Error) -> String {
    format!("signals cannot be received: {error}")
}
