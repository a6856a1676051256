//! `GET /nodes/{node}/{qemu|lxc}/{vmid}/snapshot`: the snapshots of a guest; needs `VM.Audit` on it.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Number, Text};

/// How PVE calls the guest as it is now, which it lists among its snapshots.
const NOW: &str = "current";

/// A snapshot as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GuestSnapshot<'a> {
    /// Unique in the guest.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// When it was made, in seconds since 1970; 0 where that was not written down.
    pub snaptime: Number,
    /// Of a VM: whether it has the memory too.
    pub vmstate: Flag,
    /// `prepare` or `delete` while it is being made or removed, and where that did not come to an end; else absent.
    #[serde(borrow)]
    pub snapstate: Text<'a>,
}

impl GuestSnapshot<'_> {
    /// When it was made, in seconds since 1970, where that is known.
    pub fn made(&self) -> Option<f64> {
        self.snaptime.quantity().filter(|seconds| *seconds > 0.0)
    }
}

/// The snapshots; mostly there are none. The list of every guest has an entry for itself: without any entry that has a
/// name, the answer is malformed.
pub fn snapshots(answer: &Answer) -> Result<Vec<GuestSnapshot<'_>>, Error> {
    let list: List<GuestSnapshot<'_>> = answer.data()?;
    if list.items.is_empty() && list.skipped == 0 {
        return Err(answer.malformed("it is empty; expected at least the guest as it is now".to_owned()));
    }
    let mut snapshots = shaped(answer, list, "a name", |snapshot| snapshot.name.filled().is_some())?;
    snapshots.retain(|snapshot| snapshot.name.filled() != Some(NOW));
    Ok(snapshots)
}
