//! The JSON of pveum and pvesh, read leniently: numbers may be texts, and fields may come and go between releases.

use serde::Deserialize;

use crate::pve::wire::{Flag, Number, Text};

/// An entry of `pveum user list`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct User<'a> {
    #[serde(borrow)]
    pub(super) userid: Text<'a>,
    #[serde(borrow)]
    pub(super) comment: Text<'a>,
    pub(super) enable: Flag,
    /// Seconds since 1970; 0: never.
    pub(super) expire: Number,
}

/// An entry of `pveum user token list`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Token<'a> {
    /// Without the user.
    #[serde(borrow)]
    pub(super) tokenid: Text<'a>,
    #[serde(borrow)]
    pub(super) comment: Text<'a>,
    pub(super) privsep: Flag,
    /// Seconds since 1970; 0: never.
    pub(super) expire: Number,
}

/// An entry of `pveum acl list`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Acl<'a> {
    #[serde(borrow)]
    pub(super) path: Text<'a>,
    /// `user`, `group` or `token`.
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) ugid: Text<'a>,
    #[serde(borrow)]
    pub(super) roleid: Text<'a>,
    pub(super) propagate: Flag,
}

/// An entry of `pveum role list`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listing<'a> {
    #[serde(borrow)]
    pub(super) roleid: Text<'a>,
    /// With commas.
    #[serde(borrow)]
    pub(super) privs: Text<'a>,
}

/// An entry of `pvesh get /pools`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pool<'a> {
    #[serde(borrow)]
    pub(super) poolid: Text<'a>,
}

/// What `pveum user token add` prints.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Added {
    #[serde(rename = "full-tokenid")]
    pub(super) id: String,
    /// The secret.
    pub(super) value: String,
}

/// An entry of `pvesh get /cluster/status`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status<'a> {
    /// `cluster` or `node`.
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) ip: Text<'a>,
    pub(super) local: Flag,
}

/// An entry of `pvesh get /nodes`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listed<'a> {
    #[serde(borrow)]
    pub(super) node: Text<'a>,
    #[serde(borrow)]
    pub(super) ssl_fingerprint: Text<'a>,
}
