//! `GET /nodes/{node}/replication`: the replication jobs whose guest is on the node; only those of guests with `VM.Audit`.
//!
//! It has all that `/nodes/{node}/replication/{id}/status` has, and disabled jobs too, on which that call fails.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Number, Text};

/// A job as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplicationJob<'a> {
    /// The guest's number and the job's, such as `100-0`.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// `local`; more may come.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// The node the guest is on.
    #[serde(borrow)]
    pub source: Text<'a>,
    /// The node that gets the copies.
    #[serde(borrow)]
    pub target: Text<'a>,
    /// The guest's number.
    #[serde(borrow)]
    pub guest: Text<'a>,
    /// `qemu` or `lxc`.
    #[serde(borrow)]
    pub vmtype: Text<'a>,
    /// Whether the administrator has switched it off.
    pub disable: Flag,
    /// Seconds that the last try took; absent before the first has ended.
    pub duration: Number,
    /// When the last successful try began, in seconds since 1970; 0 if there was none.
    pub last_sync: Number,
    /// When the last try began, in seconds since 1970; 0 if there was none or the next is asked for at once.
    pub last_try: Number,
    /// When the next try is due, in seconds since 1970; 0 if it is not planned, 1 if the job is to be removed.
    pub next_sync: Number,
    /// Failures since the last success.
    pub fail_count: Number,
}

/// The jobs; mostly there are none. Entries without an id are passed over; if all are so, the answer is malformed.
pub fn replication(answer: &Answer) -> Result<Vec<ReplicationJob<'_>>, Error> {
    let list: List<ReplicationJob<'_>> = answer.data()?;
    shaped(answer, list, "an id", |job| job.id.filled().is_some())
}
