//! One Alertmanager: what it is to be told, and how it takes that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::super::alert::Alert;
use super::super::board::{Board, Key, Times};
use super::super::ledger::{Ledger, News};
use super::{Clock, Post, Refusal};
use crate::metrics::Own;

/// How many alerts are posted at once.
const BATCH: usize = 64;
/// The longest pause, in seconds: what waits is counted in between.
const PAUSE: i64 = 10;
/// The longest pause after a failure, in seconds.
const BACK_OFF: u64 = 30;

/// Tells one Alertmanager.
pub(super) struct Member {
    url: String,
    post: Post,
    ledger: Arc<Ledger>,
    times: Times,
    clock: Clock,
    own: Arc<Own>,
    board: Board,
    /// What is on the board.
    seen: News,
    /// Failures in a row.
    failures: u32,
}

impl Member {
    pub(super) fn new(
        url: &str,
        post: &Post,
        ledger: &Arc<Ledger>,
        (times, clock): (Times, &Clock),
        own: &Arc<Own>,
    ) -> Self {
        Self {
            url: url.to_owned(),
            post: Arc::clone(post),
            ledger: Arc::clone(ledger),
            times,
            clock: Arc::clone(clock),
            own: Arc::clone(own),
            board: Board::new(times),
            seen: News::default(),
            failures: 0,
        }
    }

    /// Goes on for ever.
    pub(super) async fn run(mut self) {
        let mut news = self.ledger.news();
        loop {
            self.read(&mut news);
            let pause = match self.send((self.clock)()).await {
                Ok(()) => {
                    self.well();
                    self.pause()
                }
                Err(why) => self.unwell(&why),
            };
            self.count();
            tokio::select! {
                () = sleep(pause) => {}
                // After a failure, news are no reason to hurry.
                Ok(()) = news.changed(), if self.failures == 0 => {}
            }
        }
    }

    /// Takes what is new onto the board, or all of it where something was left out.
    fn read(&mut self, news: &mut watch::Receiver<News>) {
        let latest = *news.borrow_and_update();
        if latest.losses != self.seen.losses {
            self.board = Board::new(self.times);
            self.seen.last = 0;
        }
        let now = (self.clock)();
        for told in self.ledger.told(&self.url, self.seen.last) {
            self.board.add(&told, now);
            self.seen.last = told.number;
        }
        self.seen = News { last: self.seen.last.max(latest.last), ..latest };
    }

    /// Sends all that is due. Fails with the rest of a sentence where the Alertmanager takes nothing now.
    async fn send(&mut self, now: i64) -> Result<(), String> {
        loop {
            self.board.doubt(self.ledger.doubts());
            let due = self.board.due(now, BATCH);
            if due.is_empty() {
                return Ok(());
            }
            let mut batches = vec![due];
            while let Some(mut batch) = batches.pop() {
                match self.post(&batch).await {
                    Ok(()) => self.accept(&batch, now).await,
                    Err(Refusal::Whole(why)) => return Err(why),
                    // One of them must not stand in the way of the others.
                    Err(Refusal::Something(_)) if batch.len() > 1 => {
                        let half = batch.split_off(batch.len() / 2);
                        batches.extend([half, batch]);
                    }
                    Err(Refusal::Something(why)) => self.refuse(&batch, &why, now),
                }
            }
        }
    }

    async fn post(&self, batch: &[(Key, Alert)]) -> Result<(), Refusal> {
        let alerts: Vec<&Alert> = batch.iter().map(|(_, alert)| alert).collect();
        let json = serde_json::to_vec(&alerts).map_err(|error| Refusal::Something(error.to_string()))?;
        let result = (self.post)(json.into()).await;
        if result.is_err() {
            self.own.events().failed(&self.url);
        }
        result
    }

    async fn accept(&mut self, batch: &[(Key, Alert)], now: i64) {
        let keys: Vec<Key> = batch.iter().map(|(key, _)| key.clone()).collect();
        let numbers = self.board.accepted(&keys, now);
        if !numbers.is_empty() {
            self.own.events().sent(&self.url, numbers.len());
            self.ledger.delivered(&self.url, numbers, now).await;
        }
    }

    fn refuse(&mut self, batch: &[(Key, Alert)], why: &str, now: i64) {
        for (key, alert) in batch {
            let (name, id) = (alert.labels.get("alertname"), alert.labels.get("id"));
            tracing::warn!(
                alertmanager = self.url,
                alertname = name,
                id,
                error = why,
                "an alert was refused, it is tried again later"
            );
            self.board.refused(key, now);
        }
    }

    fn well(&mut self) {
        if self.failures > 0 {
            tracing::info!(alertmanager = self.url, "events are taken again");
        }
        self.failures = 0;
    }

    /// How long to wait after a failure.
    fn unwell(&mut self, why: &str) -> Duration {
        if self.failures == 0 {
            tracing::warn!(alertmanager = self.url, error = why, "events are not taken: they are kept and tried again");
        } else {
            tracing::debug!(alertmanager = self.url, error = why, "events are still not taken");
        }
        let seconds = 1_u64.checked_shl(self.failures.min(6)).unwrap_or(BACK_OFF).min(BACK_OFF);
        self.failures = self.failures.saturating_add(1);
        Duration::from_secs(seconds)
    }

    fn pause(&self) -> Duration {
        let now = (self.clock)();
        let next = self.board.next(now).map_or(PAUSE, |next| next.saturating_sub(now));
        Duration::from_secs(next.clamp(1, PAUSE).unsigned_abs())
    }

    fn count(&self) {
        let (pending, oldest) = self.board.pending();
        let age = oldest.map_or(0, |at| (self.clock)().saturating_sub(at).max(0));
        self.own.events().pending(&self.url, pending, age);
    }
}
