//! `GET /nodes/{node}/ceph/pool`: the pools of Ceph; needs `Sys.Audit` or `Datastore.Audit` on `/`.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number, Text};

/// A pool as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephPool<'a> {
    /// Its name.
    #[serde(borrow)]
    pub pool_name: Text<'a>,
    /// `replicated`, `erasure` or `unknown`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// How many copies, or pieces, there should be of each object.
    pub size: Number,
    /// With fewer, nothing is written.
    pub min_size: Number,
    /// Placement groups.
    pub pg_num: Number,
    /// Bytes on all OSDs, each copy counted.
    pub bytes_used: Number,
    /// A fraction, in spite of its name: what is used of what the pool could have.
    pub percent_used: Number,
}

/// The pools. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn ceph_pools(answer: &Answer) -> Result<Vec<CephPool<'_>>, Error> {
    let list: List<CephPool<'_>> = answer.data()?;
    shaped(answer, list, "a pool_name", |pool| pool.pool_name.filled().is_some())
}
