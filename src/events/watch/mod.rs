//! Looks at a cluster again and again: what is new is in the ledger before the next look begins.
//!
//! ```text
//! question  what is asked at each look: nobody waits for one that is late, and one that fails rests
//! asked     the questions of a cluster, and what was answered
//! hosts     keys of hosts over SSH
//! past      archives of nodes where the short list may have missed something, and logs of backup jobs
//! memory    what is remembered, as texts for the ledger (pure)
//! choice    which findings the configuration wants, and how urgent they are (pure)
//! ```

mod asked;
mod choice;
mod hosts;
mod memory;
mod past;
mod question;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::finding::{Finding, Kind, Span};
use super::ledger::Ledger;
use super::notify::Clock;
use super::rules::{self, Ground, Look, State};
use super::tasks::{Cursor, Task};
use crate::config::Events;
use crate::inventory::Inventory;
use crate::metrics::Own;
use asked::{Answers, Asked};
pub use hosts::HostKeys;
use past::Past;

/// Looks at clusters until it is dropped.
pub struct Watch {
    _looks: JoinSet<()>,
}

/// Looks at one cluster.
struct Watcher {
    cluster: String,
    config: Events,
    ledger: Arc<Ledger>,
    clock: Clock,
    own: Arc<Own>,
    asked: Asked,
    past: Past,
    state: State,
    /// Names of the texts that the ledger has.
    kept: Vec<String>,
    /// How far PVE's clock is ahead of ours, in seconds.
    ahead: i64,
}

impl Watch {
    /// Begins to look at these clusters, each on its own, and at the keys of hosts, and goes on from what the ledger remembers
    /// of them. Must run on the runtime.
    pub fn begin(
        (inventories, keys): (Vec<Arc<Inventory>>, HostKeys),
        config: &Events,
        ledger: &Arc<Ledger>,
        clock: &Clock,
        own: &Arc<Own>,
    ) -> Self {
        let mut looks = JoinSet::new();
        let watched = inventories.iter().map(|inventory| inventory.cluster().to_owned()).collect();
        for inventory in inventories {
            let watcher = Watcher::new(inventory, config.clone(), Arc::clone(ledger), (Arc::clone(clock), own));
            looks.spawn(watcher.run());
        }
        looks.spawn(end_of_others(watched, Arc::clone(ledger), Arc::clone(clock)));
        looks.spawn(hosts::run(keys, config.clone(), Arc::clone(ledger), Arc::clone(clock)));
        Self { _looks: looks }
    }
}

impl Watcher {
    fn new(inventory: Arc<Inventory>, config: Events, ledger: Arc<Ledger>, (clock, own): (Clock, &Arc<Own>)) -> Self {
        let cluster = inventory.cluster().to_owned();
        own.events().none_yet(&cluster, Kind::ALL.iter().map(|kind| kind.name()));
        let texts = ledger.states(&cluster);
        let (state, troubles) = memory::read(&texts);
        for trouble in troubles {
            tracing::warn!(%cluster, "what was remembered is not usable, and begins anew: {trouble}");
        }
        Self {
            asked: Asked::new(Arc::clone(&inventory), config.interval),
            past: Past::new(inventory),
            kept: texts.into_keys().collect(),
            own: Arc::clone(own),
            state,
            cluster,
            config,
            ledger,
            clock,
            ahead: 0,
        }
    }

    /// Goes on for ever.
    async fn run(mut self) {
        let mut turns = interval(self.config.interval.max(Duration::from_millis(100)));
        // A look that took long is not made up for.
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let answers = self.asked.ask().await;
        if let Some(date) = answers.tasks.as_ref().and_then(|tasks| tasks.date) {
            self.ahead = date.saturating_sub((self.clock)());
        }
        let now = (self.clock)().saturating_add(self.ahead);
        let mut state = self.state.clone();
        let look = self.seen(answers, &mut state, now).await;
        let ground = Ground { cluster: &self.cluster, interval: seconds(self.config.interval), look: &look };
        let found = rules::findings(&ground, &mut state);
        let is_open = |cluster: &str, kind, id: &str| self.ledger.has_open(cluster, kind, id);
        let mut chosen = choice::of(found, &self.config.rules, look.resources.as_deref(), is_open);
        self.asked.link(&mut chosen);
        let texts = memory::texts(&state, &self.kept);
        self.kept = texts.keys().cloned().collect();
        // What ends now stays in doubt until that is kept, and so is told.
        let doubts = state.doubts();
        self.ledger.doubt(&self.cluster, self.state.doubts().union(&doubts).cloned().collect());
        // What is remembered is on the disk with what was found, or not at all: a crash before this repeats the look.
        self.ledger.record(&self.cluster, chosen, texts, (self.clock)()).await;
        self.ledger.doubt(&self.cluster, doubts);
        self.count(&look, &state);
        self.state = state;
    }

    /// What a look shows; no more than what is refused before tasks and members were told for the first time.
    async fn seen(&mut self, answers: Answers, state: &mut State, now: i64) -> Look {
        let (token_refused, certificates) = self.asked.refused(&answers);
        let refused = Look { now, ahead: self.ahead, token_refused, certificates, ..Look::default() };
        let first = state.begun.is_none();
        if first && (answers.tasks.is_none() || answers.status.is_none()) {
            return refused;
        }
        state.begun.get_or_insert(now);
        let mut look = Look {
            resources: answers.resources,
            status: answers.status,
            ha: answers.ha,
            backups: answers.backups,
            replication: answers.replication.unwrap_or_default(),
            ..refused
        };
        let Some(tasks) = answers.tasks else {
            // Whether a guest was asked to stop is not known.
            look.resources = None;
            return look;
        };
        let floor = if first { now.saturating_sub(seconds(self.config.lookback)) } else { now };
        let mut listed: BTreeMap<String, Vec<Task>> = BTreeMap::new();
        for task in tasks.listed {
            listed.entry(task.node.clone()).or_default().push(task);
        }
        if let Some(status) = look.status.as_ref().filter(|status| !status.members.is_empty()) {
            let is_member = |node: &str| status.members.iter().any(|member| member.name == node);
            state.cursors.retain(|node, _| is_member(node) || listed.contains_key(node));
            listed.retain(|node, _| is_member(node));
            for member in &status.members {
                state.cursors.entry(member.name.clone()).or_insert_with(|| Cursor::new(floor));
            }
        }
        for (node, cursor) in &mut state.cursors {
            let told = listed.remove(node).unwrap_or_default();
            look.ended.extend(cursor.take(&told));
            look.running.extend(told.into_iter().filter(|task| task.ended.is_none()));
        }
        self.past.catch_up(&mut look, &mut state.cursors).await;
        self.past.read_logs(&mut look).await;
        look
    }

    fn count(&self, look: &Look, state: &State) {
        let book = self.asked.inventory().tasks();
        book.keep(|node| state.cursors.contains_key(node));
        if state.begun.is_some() {
            book.begin();
        }
        // A cursor tells each task once, over restarts too.
        for task in &look.ended {
            book.ended(&task.node, &task.kind, &task.status);
        }
        for node in self.state.cursors.keys().filter(|node| !state.cursors.contains_key(*node)) {
            self.own.events().forget_cursor(&self.cluster, node);
        }
        for node in state.cursors.keys().filter(|node| !look.blind.contains(*node)) {
            self.own.events().cursor(&self.cluster, node, look.now);
        }
    }
}

/// Nobody would ever see the end of what is true in clusters that are not watched any more.
async fn end_of_others(watched: Vec<String>, ledger: Arc<Ledger>, clock: Clock) {
    let mut others: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for began in ledger.open_conditions() {
        // Hosts may be of no cluster, and are looked at on their own.
        if let Span::Began { since } = began.span
            && began.kind != Kind::HostKeyChanged
            && !watched.contains(&began.cluster)
        {
            let span = Span::Ended { since, at: clock() };
            let summary = format!("Not watched any more: {}", began.summary);
            let ended = Finding { span, summary, ..Finding::clone(&began) };
            others.entry(ended.cluster.clone()).or_default().push(ended);
        }
    }
    for (cluster, ended) in others {
        // What was remembered of it would be wrong when it is watched again.
        let forgotten = ledger.states(&cluster).into_keys().map(|name| (name, String::new())).collect();
        ledger.record(&cluster, ended, forgotten, clock()).await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.asked.inventory().tasks().end();
        self.state.cursors.keys().for_each(|node| self.own.events().forget_cursor(&self.cluster, node));
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
