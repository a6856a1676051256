//! `GET /version`: the release of the node that answers; any valid credential may ask.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Object, Text};

/// The release as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Version<'a> {
    /// Such as `9.2.11`.
    #[serde(borrow)]
    pub version: Text<'a>,
    /// Such as `9.2`.
    #[serde(borrow)]
    pub release: Text<'a>,
    /// The commit it was built from.
    #[serde(borrow)]
    pub repoid: Text<'a>,
}

impl Version<'_> {
    /// Such as 9; `None` where it cannot be read.
    pub fn major(&self) -> Option<u32> {
        self.version.filled()?.split('.').next()?.parse().ok()
    }
}

/// The release. An answer without `version` is malformed.
pub fn version(answer: &Answer) -> Result<Version<'_>, Error> {
    let Object(version): Object<Version<'_>> = answer.data()?;
    if version.version.filled().is_none() {
        return Err(answer.malformed("it has no version".to_owned()));
    }
    Ok(version)
}
