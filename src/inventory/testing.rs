//! Owned types made of bodies, for the tests of other rooms.

use super::{ClusterStatus, Resources};
use crate::pve;

/// `/cluster/resources` as if never asked before.
pub(crate) fn resources(body: &str) -> Resources {
    Resources::read(body)
}

/// `/cluster/status`.
pub(crate) fn status(body: &str) -> ClusterStatus {
    let answer = pve::Answer::of(body);
    ClusterStatus::new(&pve::status(&answer).expect("a status"))
}
