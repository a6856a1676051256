//! All connections at once: how many there may be, who makes room, and how they end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use super::Front;
use super::connection::connection;
use super::listener::Arrival;
use super::phase::Track;

/// The connections that are open.
pub(super) struct Crowd {
    limit: usize,
    tasks: JoinSet<()>,
    tracks: HashMap<Id, Arc<Track>>,
    graceful: GracefulShutdown,
    news: Arc<Notify>,
}

impl Crowd {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            tasks: JoinSet::new(),
            tracks: HashMap::new(),
            graceful: GracefulShutdown::new(),
            news: Arc::default(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.tasks.len() < self.limit
    }

    pub(super) fn add(&mut self, arrival: Arrival, front: &Arc<Front>) {
        let track = Arc::new(Track::new(Arc::clone(&self.news)));
        let task = connection(arrival, Arc::clone(front), self.graceful.watcher(), Arc::clone(&track));
        let id = self.tasks.spawn(task).id();
        self.tracks.insert(id, track);
    }

    /// Closes the connection that has waited longest without a whole request, so that silent clients keep nobody
    /// out. Where an answer is owed on each, one of them has to end first. To be called again at each change.
    pub(super) fn make_room(&self) {
        if self.tracks.values().any(|track| track.is_closing()) {
            return;
        }
        let waiting = self.tracks.values().filter_map(|track| Some((track.waiting_since()?, track)));
        if let Some((_, track)) = waiting.min_by_key(|(since, _)| *since) {
            track.close();
        }
    }

    /// Waits until a connection has ended or, where somebody waits for room, until one may be closed. Nothing is lost
    /// when it is dropped.
    pub(super) async fn change(&mut self, somebody_waits: bool) {
        tokio::select! {
            () = self.news.notified(), if somebody_waits => {}
            Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
            else => std::future::pending().await,
        }
    }

    /// Lets the requests under way finish within `limit`, cuts the rest off. Where no answer is owed, nobody waits.
    pub(super) async fn drain(mut self, limit: Duration) {
        for track in self.tracks.values() {
            track.close();
        }
        let in_time = tokio::time::timeout(limit, self.graceful.shutdown()).await.is_ok();
        while let Some(ended) = self.tasks.try_join_next() {
            report(ended);
        }
        if !in_time {
            let limit_seconds = limit.as_secs_f64();
            tracing::error!(connections = self.tasks.len(), limit_seconds, "cutting off requests that did not finish");
        }
        self.tasks.shutdown().await;
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.tracks.remove(&id);
        report(ended.map(|_| ()));
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request ended in a panic; its connection is closed");
    }
}
