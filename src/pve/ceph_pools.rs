//! `GET /nodes/{node}/ceph/pool` and `…/pool/{name}/status?verbose=1`: the pools of Ceph, and what one holds; need `Sys.Audit`
//! or `Datastore.Audit` on `/`. Quotas are in neither.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::loose::Part;
use super::rows::shaped;
use super::wire::{List, Number, Object, Text};

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

/// What a pool holds, as `ceph df` has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CephPoolStatistics {
    /// Objects, each once.
    pub objects: Number,
    /// Data, each object once.
    pub stored: Number,
    /// Bytes on all OSDs, each copy counted.
    pub bytes_used: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    statistics: Part<CephPoolStatistics>,
}

/// What a pool holds; PVE leaves it out while Ceph does not know it.
pub fn ceph_pool_statistics(answer: &Answer) -> Result<CephPoolStatistics, Error> {
    let Object(status): Object<Status> = answer.data()?;
    Ok(status.statistics.0)
}

/// The pools. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn ceph_pools(answer: &Answer) -> Result<Vec<CephPool<'_>>, Error> {
    let list: List<CephPool<'_>> = answer.data()?;
    shaped(answer, list, "a pool_name", |pool| pool.pool_name.filled().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::testing::any_json;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_pool_holds_is_read() {
        let told =
            |data: &str| ceph_pool_statistics(&Answer::of(&format!("{{\"data\":{data}}}"))).map(|told| told.objects.0);
        assert_eq!(told(r#"{"id":2,"statistics":{"objects":"8264","stored":1}}"#), Ok(Some(8264.0)));
        for data in ["{}", r#"{"statistics":null}"#, r#"{"statistics":[]}"#] {
            assert_eq!(told(data), Ok(None), "{data}");
        }
        assert!(told("[]").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(data in any_json()) {
            let answer = Answer::of(&serde_json::json!({ "data": { "statistics": data } }).to_string());
            assert!(ceph_pool_statistics(&answer).is_ok());
        }
    }
}
