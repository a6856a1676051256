//! One queue per Alertmanager: what one of them does not take is kept for it, and delays no other.

mod client;
mod member;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use super::board::Times;
use super::ledger::Ledger;
use crate::config::{Alertmanager, Events};
use crate::metrics::Own;
pub(super) use client::Client;
use member::Member;

/// How often the disk is tried again after a failure.
const SETTLE: Duration = Duration::from_secs(10);

/// Tells seconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Posts a list of alerts as JSON.
type Post = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync>;

/// Why alerts were not taken: the rest of a sentence, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Something in the list.
    Something(String),
    /// The list as a whole, whatever is in it: try again later.
    Whole(String),
}

/// Tells the Alertmanagers of one configuration what a ledger knows.
pub struct Notifier {
    ledger: Arc<Ledger>,
    members: Vec<(String, Post)>,
    times: Times,
    clock: Clock,
    own: Arc<Own>,
}

/// Goes on telling until it is dropped.
pub struct Keeper {
    _tasks: JoinSet<()>,
    urls: Vec<String>,
    own: Arc<Own>,
}

impl Notifier {
    /// Reads the system's authorities where they are needed. Fails with a sentence for the administrator; nobody was told
    /// anything yet.
    pub fn new(ledger: &Arc<Ledger>, config: &Events, clock: Clock, own: &Arc<Own>) -> Result<Self, String> {
        let members = config.alertmanagers.iter().map(member_of).collect::<Result<_, String>>()?;
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX).max(1);
        let times = Times { hold: seconds(config.hold), resend: seconds(config.resend) };
        Ok(Self { ledger: Arc::clone(ledger), members, times, clock, own: Arc::clone(own) })
    }

    /// Begins, with what was not taken yet and what is shown still. Must run on the runtime.
    pub fn keep(&self) -> Keeper {
        let mut tasks = JoinSet::new();
        let urls: Vec<String> = self.members.iter().map(|(url, _)| url.clone()).collect();
        self.ledger.set_alertmanagers(&urls, (self.clock)());
        for (url, post) in &self.members {
            let member = Member::new(url, post, &self.ledger, (self.times, &self.clock), &self.own);
            tasks.spawn(member.run());
        }
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.clock));
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(SETTLE).await;
                ledger.settle(clock()).await;
            }
        });
        Keeper { _tasks: tasks, urls, own: Arc::clone(&self.own) }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.urls.iter().for_each(|url| self.own.events().forget(url));
    }
}

fn member_of(config: &Alertmanager) -> Result<(String, Post), String> {
    let client = Arc::new(Client::new(config)?);
    let post: Post = Arc::new(move |alerts| {
        let client = Arc::clone(&client);
        async move { client.post(alerts).await }.boxed()
    });
    Ok((config.url.clone(), post))
}

#[cfg(test)]
mod tests;
