//! `GET /nodes/{node}/certificates/info`: the certificates that a node keeps for pveproxy, and the cluster's authority;
//! any user may ask.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number, Text};

/// A certificate file as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Certificate<'a> {
    /// `pve-root-ca.pem`, `pve-ssl.pem` or, where an own one was put up, `pveproxy-ssl.pem`.
    #[serde(borrow)]
    pub filename: Text<'a>,
    /// Such as `/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN=pve1`.
    #[serde(borrow)]
    pub subject: Text<'a>,
    /// Who signed it, written alike.
    #[serde(borrow)]
    pub issuer: Text<'a>,
    /// Valid until, in seconds since 1970.
    pub notafter: Number,
}

/// The certificates. Entries without a file name are passed over; if all are so, the answer is malformed.
pub fn certificates(answer: &Answer) -> Result<Vec<Certificate<'_>>, Error> {
    let list: List<Certificate<'_>> = answer.data()?;
    shaped(answer, list, "a filename", |certificate| certificate.filename.filled().is_some())
}
