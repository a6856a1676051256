//! Owned types made of bodies, for the tests of other rooms.

use super::guests::Memory;
use super::{ClusterStatus, Resources};
use crate::pve;

/// `/cluster/resources` as if never asked before.
pub(crate) fn resources(body: &str) -> Resources {
    Resources::new(&pve::Answer::of(body), &mut Memory::default()).expect("resources")
}

/// `/cluster/status`.
pub(crate) fn status(body: &str) -> ClusterStatus {
    let answer = pve::Answer::of(body);
    ClusterStatus::new(&pve::status(&answer).expect("a status"))
}
