//! `GET /cluster/backup`: the backup jobs; only those of which the token may know.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Number, Text};

/// A backup job as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BackupJob<'a> {
    /// Its name.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// Whether it is on; jobs that say nothing are.
    pub enabled: Flag,
    /// A calendar event, such as `02:30`.
    #[serde(borrow)]
    pub schedule: Text<'a>,
    /// The only node it runs on, if it is bound to one.
    #[serde(borrow)]
    pub node: Text<'a>,
    /// Where the backups go.
    #[serde(borrow)]
    pub storage: Text<'a>,
    /// `snapshot`, `suspend` or `stop`.
    #[serde(borrow)]
    pub mode: Text<'a>,
    /// Whether it means all guests.
    pub all: Flag,
    /// Numbers of the guests that it means, separated by commas.
    #[serde(borrow)]
    pub vmid: Text<'a>,
    /// Numbers of guests that it leaves out of all, separated by commas.
    #[serde(borrow)]
    pub exclude: Text<'a>,
    /// The pool whose guests it means.
    #[serde(borrow)]
    pub pool: Text<'a>,
    /// When it is due next, in seconds since 1970, counted from now on; absent where it is off.
    #[serde(rename = "next-run")]
    pub next_run: Number,
}

/// The jobs. Entries without an id are passed over; if all are so, the answer is malformed.
pub fn backup_jobs(answer: &Answer) -> Result<Vec<BackupJob<'_>>, Error> {
    let list: List<BackupJob<'_>> = answer.data()?;
    shaped(answer, list, "an id", |job| job.id.filled().is_some())
}
