//! `GET /cluster/backup-info/not-backed-up`: guests that no backup job covers; needs `Sys.Audit` on `/`, and
//! tells only of guests with `VM.Audit`.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number, Text};

/// A guest without a backup job.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Uncovered<'a> {
    /// Its number.
    pub vmid: Number,
    /// `qemu` or `lxc`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
}

/// The guests, templates too; none may be good news. Entries without a number or type are passed over; if all are so,
/// the answer is malformed.
pub fn not_backed_up(answer: &Answer) -> Result<Vec<Uncovered<'_>>, Error> {
    let list: List<Uncovered<'_>> = answer.data()?;
    shaped(answer, list, "a vmid and a type", |guest| guest.vmid.whole().is_some() && guest.kind.filled().is_some())
}
