//! `GET /nodes/{node}/sdn/zones` and `GET /cluster/sdn/zones`: the zones of the software-defined network, which of them work
//! on a node, and of what type they are; `SDN.Audit` decides which are told. Releases without SDN do not know the calls.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Text};

/// A zone as a node tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SdnZone<'a> {
    /// Its name: a letter and up to seven more.
    #[serde(borrow)]
    pub zone: Text<'a>,
    /// On a node: `available`, `pending` or `error`.
    #[serde(borrow)]
    pub status: Text<'a>,
}

/// The zones; mostly there are none. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn sdn_zones(answer: &Answer) -> Result<Vec<SdnZone<'_>>, Error> {
    let list: List<SdnZone<'_>> = answer.data()?;
    shaped(answer, list, "a zone", |zone| zone.zone.filled().is_some())
}
