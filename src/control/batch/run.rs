//! A batch from the choice of its guests to the end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::super::action::{Plan, Wish};
use super::super::batches::{Batch, BatchClaim, Choice, Chosen};
use super::super::ending::Ending;
use super::super::job::{self, Job};
use super::super::keep::{Progress, UnderWay};
use super::super::{Books, Control, dry, guests};
use super::board::Board;
use super::order;
use super::select::{self, Found};
use super::spec::Spec;
use crate::api::{Caller, Code, Error};
use crate::pve::Permissions;

/// Who asked for a batch.
pub(super) struct Run {
    pub(super) control: Arc<Control>,
    pub(super) books: Books,
    pub(super) caller: Caller,
    /// The id of the request; those of its guests begin with it.
    pub(super) id: String,
    /// `Idempotency-Key`.
    pub(super) key: Option<String>,
    pub(super) spec: Spec,
    pub(super) began: Instant,
}

impl Run {
    /// Who is meant, in which order. Fails where more are than may be, or other than expected; with what was found.
    pub(super) async fn choose(&self) -> Result<Choice, (Error, Value)> {
        let plain = |error| (error, json!({}));
        let found = select::find(&self.control, &self.spec, &self.caller).await.map_err(plain)?;
        let (count, max) = (found.picks.len(), self.spec.max);
        let told = |message: String| {
            let Found { refused, unknown, .. } = &found;
            (Error::bad_request(message), json!({"selected": count, "refused": refused, "unknown": unknown}))
        };
        if count > max {
            return Err(told(format!("{count} guests are selected, more than max, which is {max}; nothing was sent")));
        }
        if let Some(expected) = self.spec.confirm.filter(|expected| *expected != count) {
            return Err(told(format!("confirm is {expected}, and {count} guests are selected now; nothing was sent")));
        }
        let stages = order::stages(&found.picks, &self.spec).await.map_err(plain)?;
        Ok(Choice { stages, refused: found.refused, unknown: found.unknown })
    }

    /// What would be sent. With the outcome.
    pub(super) async fn dry_run(&self, choice: &Choice) -> (Value, Result<(), Error>) {
        let board = Board::new(self.spec.wish.action.as_str(), true, choice);
        let mut rights: Vec<(String, Option<Permissions>)> = Vec::new();
        for chosen in choice.guests() {
            if rights.iter().all(|(name, _)| *name != chosen.cluster)
                && let Some(writer) =
                    self.control.cluster(&chosen.cluster).ok().and_then(|acting| acting.writer.as_ref())
            {
                rights.push((chosen.cluster.clone(), dry::rights(writer).await));
            }
        }
        let rights = &rights;
        let planned: Vec<_> = choice
            .guests()
            .enumerate()
            .map(|(index, chosen)| async move {
                let held = rights.iter().find(|(name, _)| *name == chosen.cluster).and_then(|(_, held)| held.as_ref());
                (index, self.would(index, chosen, held).await)
            })
            .collect();
        let mut planned = stream::iter(planned).buffer_unordered(self.spec.parallel);
        while let Some((index, ending)) = planned.next().await {
            board.put(index, &Progress::Ended(ending.status, ending.body), None);
        }
        (board.now(), board.end().2)
    }

    async fn would(&self, index: usize, chosen: &Chosen, held: Option<&Permissions>) -> Ending {
        let job = match self.job(&self.id, index, chosen) {
            Ok(job) => job,
            Err(error) => return Ending::failed(error, None, None),
        };
        let planned: Result<(_, Plan), Error> = job.plan().await;
        match planned {
            Ok((guest, plan)) => dry::would(&job, &guest, &plan, held),
            Err(error) => Ending::failed(error, None, None),
        }
    }

    /// Carries it out. Nobody need wait for it.
    pub(super) async fn run(self, under_way: UnderWay) {
        let ended = match self.begin().await {
            Ok(Begun::Before(status, body)) => Some((status, body)),
            Ok(Begun::Now(id, choice)) => Some(self.carry_out(&id, &choice, &under_way).await),
            Err((error, more)) => {
                self.decide(&self.id, Err(&error), None).await;
                Some((error.code.status().as_u16(), failed(&error, more)))
            }
        };
        if let Some((status, body)) = ended {
            under_way.progress.send_replace(Progress::Ended(status, body));
        }
    }

    async fn begin(&self) -> Result<Begun, (Error, Value)> {
        let (journal, now) = (&self.books.keep.journal, (self.control.now)().as_secs());
        let (token, wish) = (&self.caller.name, self.spec.name());
        let claim = self.key.as_ref().map(|key| (key, journal.claim_batch(token, key, &wish, now)));
        match claim {
            Some((_, BatchClaim::Other)) => return Err((guests::other(), json!({}))),
            Some((_, BatchClaim::Ended(status, body))) => return Ok(Begun::Before(status, body)),
            // The same guests as the first time, whatever the selectors mean by now.
            Some((_, BatchClaim::Open(batch))) => return Ok(Begun::Now(batch.id, batch.chosen)),
            None | Some((_, BatchClaim::New)) => {}
        }
        let chosen = self.choose().await?;
        if let Some(key) = &self.key {
            let (id, token, key, chosen) = (self.id.clone(), token.clone(), key.clone(), chosen.clone());
            let (books, batch) = (self.books.clone(), Batch { id, at: now, token, key, wish, chosen });
            let written = tokio::task::spawn_blocking(move || books.keep.journal.begin_batch(batch)).await;
            written.unwrap_or_else(|_| Err(std::io::Error::other("interrupted"))).map_err(|error| {
                let what = format!("nothing was asked for, as it could not be written down before: {error}");
                (Error::new(Code::Internal, what), json!({}))
            })?;
        }
        Ok(Begun::Now(self.id.clone(), chosen))
    }

    async fn carry_out(&self, id: &str, choice: &Choice, under_way: &UnderWay) -> (u16, Value) {
        let board = Board::new(self.spec.wish.action.as_str(), false, choice);
        under_way.progress.send_replace(Progress::Asked(board.now()));
        let mut first = 0_usize;
        for stage in &choice.stages {
            let orders = stage.guests.iter().enumerate();
            let orders: Vec<_> = orders
                .map(|(at, chosen)| self.order(id, (first.saturating_add(at), chosen), (&board, under_way)))
                .collect();
            let mut running = stream::iter(orders).buffer_unordered(self.spec.parallel);
            while running.next().await.is_some() {}
            first = first.saturating_add(stage.guests.len());
            sleep(Duration::from_secs(stage.pause)).await;
        }
        let (status, body, ended) = board.end();
        self.decide(id, ended.as_ref().copied(), Some((status, &body))).await;
        (status, body)
    }

    /// One guest, as if it were asked for alone.
    async fn order(&self, id: &str, (index, chosen): (usize, &Chosen), (board, under_way): (&Board, &UnderWay)) {
        let put = |progress: &Progress| board.put(index, progress, Some(&under_way.progress));
        let refuse = |error: &Error| put(&Progress::Ended(error.code.status().as_u16(), failed(error, json!({}))));
        // Begun long ago, perhaps by another configuration.
        let still = self.books.keep.still(&self.caller, &chosen.cluster);
        let job = still.and_then(|caller| Ok(Job { caller, ..self.job(id, index, chosen)? }));
        let mut progress = match job.and_then(guests::give) {
            Ok(progress) => progress,
            Err(error) => return refuse(&error),
        };
        loop {
            let now = progress.borrow_and_update().clone();
            put(&now);
            if matches!(now, Progress::Ended(..)) {
                return;
            }
            if progress.changed().await.is_err() {
                return refuse(&Error::new(Code::Internal, "the action broke off; the log says more"));
            }
        }
    }

    /// The order of one guest, with an id and a key of its own.
    fn job(&self, id: &str, index: usize, chosen: &Chosen) -> Result<Job, Error> {
        let Chosen { cluster, vmid, timeout } = chosen;
        let acting = self.control.cluster(cluster)?;
        if acting.writer.is_none() {
            return Err(job::disabled(cluster));
        }
        let timeout = timeout.map(Duration::from_secs).or(self.spec.wish.timeout);
        Ok(Job {
            control: Arc::clone(&self.control),
            acting: Arc::clone(acting),
            books: self.books.clone(),
            caller: self.caller.clone(),
            id: format!("{id}.{}", index.saturating_add(1)),
            // No key of a request has a space in it.
            key: self.key.as_ref().map(|key| format!("{key} {cluster}/{vmid}")),
            vmid: *vmid,
            wish: Wish { timeout, ..self.spec.wish },
            began: Instant::now(),
        })
    }

    /// Tells and writes down how it ended; with its answer where something was begun.
    async fn decide(&self, id: &str, ended: Result<(), &Error>, answer: Option<(u16, &Value)>) {
        let outcome = ended.err().map_or("done", |error| error.code.as_str());
        self.control.own.control_action("batch", outcome);
        if let (Some(_), Some((status, body))) = (&self.key, answer) {
            let (books, id, body) = (self.books.clone(), id.to_owned(), body.clone());
            let written = tokio::task::spawn_blocking(move || books.keep.journal.batch_ended(&id, status, &body)).await;
            if let Ok(Err(error)) = written {
                tracing::error!(%error, "the end of a batch cannot be written down");
            }
        }
        let message = ended.err().map(|error| error.message.clone());
        self.books.note(self.entry(outcome, message)).await;
    }

    /// A line about it as it is now.
    pub(super) fn entry(&self, outcome: &'static str, message: Option<String>) -> super::super::audit::Entry {
        let asked = super::Asked { control: &self.control, caller: &self.caller, id: &self.id };
        let mut entry = asked.entry(outcome, message);
        entry.cluster = self.spec.select.cluster.clone().unwrap_or_default().chars().take(64).collect();
        entry.dry_run = self.spec.confirm.is_none();
        entry.duration_seconds = self.began.elapsed().as_secs_f64();
        entry
    }
}

/// What there is to do.
enum Begun {
    /// Nothing: it was done before, and answered so.
    Before(u16, Value),
    /// These guests, under the id that it was begun with.
    Now(String, Choice),
}

/// The body of an error, with what is known besides.
pub(super) fn failed(error: &Error, more: Value) -> Value {
    let mut body = more;
    body["error"] = json!({"code": error.code.as_str(), "message": error.message});
    body
}
