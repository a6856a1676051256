//! `GET /nodes/{node}/disks/lvmthin`: the thin pools of a node; needs `Sys.Audit` on `/`.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number, Text};

/// A thin pool as PVE sends it. All figures are bytes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ThinPool<'a> {
    /// Its volume group, such as `pve`.
    #[serde(borrow)]
    pub vg: Text<'a>,
    /// Its name in the group, such as `data`.
    #[serde(borrow)]
    pub lv: Text<'a>,
    /// Room for data.
    pub lv_size: Number,
    /// Data.
    pub used: Number,
    /// Room for the records of which block is where.
    pub metadata_size: Number,
    /// Such records.
    pub metadata_used: Number,
}

/// The thin pools; none where there is no LVM. Entries without names are passed over; if all are so, the answer is malformed.
pub fn thin_pools(answer: &Answer) -> Result<Vec<ThinPool<'_>>, Error> {
    let list: List<ThinPool<'_>> = answer.data()?;
    shaped(answer, list, "a vg and an lv", |pool| pool.vg.filled().is_some() && pool.lv.filled().is_some())
}
