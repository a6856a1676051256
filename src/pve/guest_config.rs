//! `GET /nodes/{node}/{qemu|lxc}/{vmid}/config`: what the administrator set for a guest; needs `VM.Audit` on it.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Flag, Object, Text};

/// The settings that are used; the others are many.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GuestConfig<'a> {
    /// Whether it is started with its node; absent where it was never set.
    pub onboot: Flag,
    /// PVE's checksum of the file: every configuration has one.
    #[serde(borrow)]
    pub digest: Text<'a>,
}

/// The settings. An answer without a digest is malformed.
pub fn guest_config(answer: &Answer) -> Result<GuestConfig<'_>, Error> {
    let Object(config): Object<GuestConfig<'_>> = answer.data()?;
    if config.digest.filled().is_none() {
        return Err(answer.malformed("it has no digest; expected the configuration of a guest".to_owned()));
    }
    Ok(config)
}
