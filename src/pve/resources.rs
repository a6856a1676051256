//! `GET /cluster/resources`: everything pvestatd broadcasts, in one cheap call.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Flag, Number, Text};

/// One entry as PVE sends it. Which fields are filled depends on `type` and on what the token may see.
#[derive(Debug, Default, Deserialize)]
pub struct Resource<'a> {
    /// `node`, `qemu`, `lxc`, `storage`, `pool`; others exist and more will come.
    #[serde(borrow, default, rename = "type")]
    pub kind: Text<'a>,
    /// The node it belongs to.
    #[serde(borrow, default)]
    pub node: Text<'a>,
    /// A guest's number.
    #[serde(default)]
    pub vmid: Number,
    /// A storage's name.
    #[serde(borrow, default)]
    pub storage: Text<'a>,
    /// The name of a pool, or the pool of a guest.
    #[serde(borrow, default)]
    pub pool: Text<'a>,
    /// PVE's own word, per type.
    #[serde(borrow, default)]
    pub status: Text<'a>,
    /// A guest's name.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// A guest's tags, joined by `;`.
    #[serde(borrow, default)]
    pub tags: Text<'a>,
    /// Whether a guest is a template.
    #[serde(default)]
    pub template: Flag,
    /// A guest's lock, such as `backup`.
    #[serde(borrow, default)]
    pub lock: Text<'a>,
    /// The state in which the HA manager sees a guest or node.
    #[serde(borrow, default)]
    pub hastate: Text<'a>,
    /// A storage's kind of content, joined by `,`, in any order.
    #[serde(borrow, default)]
    pub content: Text<'a>,
    /// A storage's type, such as `zfspool`.
    #[serde(borrow, default)]
    pub plugintype: Text<'a>,
    /// Whether a storage is the same on all nodes.
    #[serde(default)]
    pub shared: Flag,
    /// Seconds.
    #[serde(default)]
    pub uptime: Number,
    /// A fraction of `maxcpu`, 0 to about 1.
    #[serde(default)]
    pub cpu: Number,
    /// CPUs; a container's may be a fraction.
    #[serde(default)]
    pub maxcpu: Number,
    /// Bytes.
    #[serde(default)]
    pub mem: Number,
    /// Bytes.
    #[serde(default)]
    pub maxmem: Number,
    /// Bytes that a VM takes of its host.
    #[serde(default)]
    pub memhost: Number,
    /// Bytes.
    #[serde(default)]
    pub disk: Number,
    /// Bytes.
    #[serde(default)]
    pub maxdisk: Number,
    /// Bytes since the guest's network device exists.
    #[serde(default)]
    pub netin: Number,
    /// Bytes since the guest's network device exists.
    #[serde(default)]
    pub netout: Number,
    /// Bytes since the guest's start.
    #[serde(default)]
    pub diskread: Number,
    /// Bytes since the guest's start.
    #[serde(default)]
    pub diskwrite: Number,
}

/// Takes entries one by one; after a failure, what was taken is void.
pub trait Taker: Send {
    /// One more.
    fn take(&mut self, entry: &Resource<'_>);
}

/// Hands each entry to `take` as soon as it is read; after a failure, what was taken is void. A list without a single
/// typed entry is malformed: PVE lists at least the node that answers.
pub fn resources<'a>(answer: &'a Answer, mut take: impl FnMut(&Resource<'a>)) -> Result<(), Error> {
    let mut typed = false;
    let told = answer.each(|resource: &Resource<'a>| {
        typed |= resource.kind.filled().is_some();
        take(resource);
    })?;
    if typed {
        return Ok(());
    }
    Err(untyped(answer, told))
}

/// The failure of a list without a single typed entry.
pub(super) fn untyped<B>(answer: &Answer<B>, told: usize) -> Error {
    answer.malformed(format!("none of its {told} entries has a type; expected at least the node that answers"))
}
