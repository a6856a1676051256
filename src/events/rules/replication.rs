//! Replication jobs that fail.

use super::{Ground, State, plain};
use crate::events::finding::{Finding, Kind};

/// A replication job as the node of its guest tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::events) struct Job {
    /// Such as `100-0`.
    pub(in crate::events) id: String,
    /// `qemu/100`.
    pub(in crate::events) guest: String,
    /// The node the guest is on.
    pub(in crate::events) source: String,
    /// Where the copies go.
    pub(in crate::events) target: String,
    /// Failures since the last success.
    pub(in crate::events) failures: u64,
}

pub(super) fn findings(ground: &Ground<'_>, state: &mut State) -> Vec<Finding> {
    let told = ground.look.replication.iter().filter_map(|job| {
        let id = format!("replication/{}", plain(&job.id));
        let mut news = ground.condition(state, (Kind::ReplicationFailing, &id), Some(job.failures > 0), || {
            format!("Replication {} of {} from {} to {} fails", plain(&job.id), job.guest, job.source, job.target)
        })?;
        news.node = Some(job.source.clone());
        news.details.insert("failures".to_owned(), job.failures.to_string());
        Some(news)
    });
    told.collect()
}
