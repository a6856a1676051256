//! `GET /nodes/{node}/subscription`: whether the node has a subscription, and until when. Without `Sys.Audit` on the node
//! only the status is told.

use serde::Deserialize;

use super::answer::Answer;
use super::date::midnight;
use super::error::Error;
use super::wire::{Object, Text};

/// A node's subscription as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subscription<'a> {
    /// `new`, `notfound`, `active`, `invalid`, `expired` or `suspended`.
    #[serde(borrow)]
    pub status: Text<'a>,
    /// `c`, `b`, `s` or `p`; absent where there is none.
    #[serde(borrow)]
    pub level: Text<'a>,
    /// A day, such as `2027-01-31`; absent where there is none.
    #[serde(borrow)]
    pub nextduedate: Text<'a>,
}

/// The subscription. An answer without a status is malformed.
pub fn subscription(answer: &Answer) -> Result<Subscription<'_>, Error> {
    let Object(subscription): Object<Subscription<'_>> = answer.data()?;
    if subscription.status.filled().is_none() {
        return Err(answer.malformed("it has no status; expected one, such as notfound or active".to_owned()));
    }
    Ok(subscription)
}

impl Subscription<'_> {
    /// The beginning of the day on which it is due, UTC, in seconds since 1970: PVE tells a day and no time zone.
    pub fn next_due(&self) -> Option<f64> {
        self.nextduedate.filled().and_then(midnight)
    }
}
