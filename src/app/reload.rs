//! Reads the configuration again: at SIGHUP, or when a request wishes it. One at a time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::{Manager, Rooms};
use crate::config::{Config, ControlAddress, Loaded};
use crate::http;

/// Reads the configuration: what is usable, or one line per fault, without secrets.
pub type Source = Box<dyn Fn() -> Result<Loaded, String> + Send + Sync>;

/// Puts a new configuration in the place of the old one, or leaves that where it is.
pub(super) struct Reloader {
    source: Source,
    rooms: Mutex<Rooms>,
    front: Arc<http::Front>,
    manager: Arc<Manager>,
    /// For the site to come.
    wishes: mpsc::Sender<http::Reload>,
    /// Where we listen, whatever a later configuration says.
    bound: Vec<SocketAddr>,
    /// The same of orders.
    taking_orders_at: Vec<ControlAddress>,
}

impl Reloader {
    pub(super) fn new(
        source: Source,
        rooms: Rooms,
        (front, manager): (&Arc<http::Front>, &Arc<Manager>),
        wishes: mpsc::Sender<http::Reload>,
        config: &Config,
    ) -> Self {
        let bound = config.web.listen_addresses.clone();
        let taking_orders_at = config.control.listen_addresses.clone();
        let (front, manager) = (Arc::clone(front), Arc::clone(manager));
        Self { source, rooms: Mutex::new(rooms), front, manager, wishes, bound, taking_orders_at }
    }

    /// Answers signals and wishes, one after the other, until nobody is left who could have one.
    pub(super) async fn run(self: Arc<Self>, mut hangups: Signal, mut wishes: mpsc::Receiver<http::Reload>) {
        loop {
            let wish = tokio::select! {
                Some(()) = hangups.recv() => None,
                Some(wish) = wishes.recv() => Some(wish),
                else => return,
            };
            self.manager.reloading();
            let reloader = Arc::clone(&self);
            // It reads files, and may wait for a disk.
            let ended = tokio::task::spawn_blocking(move || reloader.reload()).await;
            let ended = ended.unwrap_or_else(|_| Err("reading the configuration ended in a panic".to_owned()));
            if let Err(faults) = &ended {
                tracing::error!("the configuration is refused, the old one goes on");
                faults.lines().for_each(|fault| tracing::error!("{fault}"));
            }
            self.manager.reloaded(ended.is_ok());
            if let Some(wish) = wish {
                // Whoever wished it may have left.
                let _ = wish.send(ended);
            }
        }
    }

    /// Takes back what was made elsewhere for the time of serving.
    pub(super) async fn close(&self) {
        let closing = self.rooms.lock().unwrap_or_else(PoisonError::into_inner).close();
        closing.await;
    }

    fn reload(&self) -> Result<(), String> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wished = Vec::new();
        let read = (self.source)().and_then(|mut loaded| {
            // Whether orders have listeners of their own is as it was at the start, as these are.
            let there_are = self.taking_orders_at.clone();
            wished = std::mem::replace(&mut loaded.config.control.listen_addresses, there_are);
            let (site, changes) = rooms.site(&loaded.config, Some(self.wishes.clone()))?;
            Ok((loaded, site, changes))
        });
        let (loaded, site, changes) = match read {
            Ok(read) => read,
            Err(faults) => {
                rooms.own().config_read(None);
                return Err(faults);
            }
        };
        self.front.replace(site);
        self.manager.knows(&loaded.config);
        rooms.own().config_read(Some(super::unix_time()));
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let bound: Vec<String> = self.bound.iter().map(ToString::to_string).collect();
        if loaded.config.web.listen_addresses != self.bound {
            tracing::warn!(listening = bound.join(","), "other listen_addresses need a restart");
        }
        if wished != self.taking_orders_at {
            let there_are: Vec<String> = self.taking_orders_at.iter().map(ToString::to_string).collect();
            tracing::warn!(listening = there_are.join(","), "other listen_addresses of [control] need a restart");
        }
        tracing::info!(
            clusters_kept = changes.kept.join(","),
            clusters_changed = changes.changed.join(","),
            clusters_added = changes.added.join(","),
            clusters_removed = changes.removed.join(","),
            "the configuration was read again and is in force"
        );
        Ok(())
    }
}
