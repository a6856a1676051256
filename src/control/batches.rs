//! Batches in the journal: which guests were chosen under which key, so that whoever repeats it means the same ones.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// So long a key stands for its batch, in seconds; the orders of its guests are remembered at least as long.
const REMEMBERED: u64 = 3600;

/// A batch that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// The id of the request.
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) at: u64,
    /// The name of the token.
    pub(super) token: String,
    /// The `Idempotency-Key`.
    pub(super) key: String,
    /// All that makes it another one.
    pub(super) wish: String,
    pub(super) chosen: Choice,
}

/// Who was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Choice {
    /// One after the other.
    pub(super) stages: Vec<Stage>,
    /// How many the token does not reach.
    pub(super) refused: usize,
    /// Numbers that no guest has.
    pub(super) unknown: Vec<u64>,
}

/// Those that may be asked at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stage {
    pub(super) guests: Vec<Chosen>,
    /// What is waited after it, in seconds.
    pub(super) pause: u64,
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chosen {
    pub(super) cluster: String,
    pub(super) vmid: u64,
    /// How long it may take to shut down, in seconds.
    pub(super) timeout: Option<u64>,
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum BatchClaim {
    /// Nothing yet.
    New,
    /// The same batch, which has ended so.
    Ended(u16, Value),
    /// The same batch, which was broken off.
    Open(Box<Batch>),
    /// Something else.
    Other,
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BatchLine {
    Begun(Batch),
    Ended { id: String, status: u16, body: Value },
}

/// Those that are remembered, by their ids.
#[derive(Default)]
pub(super) struct Batches(HashMap<String, (Batch, Option<(u16, Value)>)>);

impl Choice {
    pub(super) fn guests(&self) -> impl Iterator<Item = &Chosen> {
        self.stages.iter().flat_map(|stage| &stage.guests)
    }
}

impl Batches {
    pub(super) fn take(&mut self, line: BatchLine) {
        match line {
            BatchLine::Begun(batch) => {
                self.0.insert(batch.id.clone(), (batch, None));
            }
            BatchLine::Ended { id, status, body } => {
                self.0.get_mut(&id).into_iter().for_each(|(_, ended)| *ended = Some((status, body.clone())));
            }
        }
    }

    pub(super) fn forget(&mut self, now: u64) {
        self.0.retain(|_, (batch, _)| is_fresh(batch, now));
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = BatchLine> {
        self.0.values().flat_map(|(batch, ended)| {
            let ended = ended.as_ref();
            let id = &batch.id;
            let ended =
                ended.map(|(status, body)| BatchLine::Ended { id: id.clone(), status: *status, body: body.clone() });
            [Some(BatchLine::Begun(batch.clone())), ended].into_iter().flatten()
        })
    }

    /// Whether a token's key stands for a batch.
    pub(super) fn has(&self, token: &str, key: &str, now: u64) -> bool {
        self.find(token, key, now).is_some()
    }

    pub(super) fn claim(&self, token: &str, key: &str, wish: &str, now: u64) -> BatchClaim {
        match self.find(token, key, now) {
            None => BatchClaim::New,
            Some((batch, _)) if batch.wish != wish => BatchClaim::Other,
            Some((_, Some((status, body)))) => BatchClaim::Ended(*status, body.clone()),
            Some((batch, None)) => BatchClaim::Open(Box::new(batch.clone())),
        }
    }

    fn find(&self, token: &str, key: &str, now: u64) -> Option<&(Batch, Option<(u16, Value)>)> {
        self.0.values().find(|(batch, _)| batch.token == token && batch.key == key && is_fresh(batch, now))
    }
}

fn is_fresh(batch: &Batch, now: u64) -> bool {
    now < batch.at.saturating_add(REMEMBERED)
}
