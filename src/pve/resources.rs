//! `GET /cluster/resources`: everything pvestatd broadcasts, in one cheap call.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Number, Text};

/// One entry as PVE sends it. Which fields are filled depends on `type` and on what the token may see.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resource<'a> {
    /// `node`, `qemu`, `lxc`, `storage`, `pool`; others exist and more will come.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// The node it belongs to.
    #[serde(borrow)]
    pub node: Text<'a>,
    /// A guest's number.
    pub vmid: Number,
    /// A storage's name.
    #[serde(borrow)]
    pub storage: Text<'a>,
    /// The name of a pool, or the pool of a guest.
    #[serde(borrow)]
    pub pool: Text<'a>,
    /// PVE's own word, per type.
    #[serde(borrow)]
    pub status: Text<'a>,
    /// A guest's name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// A guest's tags, joined by `;`.
    #[serde(borrow)]
    pub tags: Text<'a>,
    /// Whether a guest is a template.
    pub template: super::wire::Flag,
    /// A guest's lock, such as `backup`.
    #[serde(borrow)]
    pub lock: Text<'a>,
    /// The state in which the HA manager sees a guest or node.
    #[serde(borrow)]
    pub hastate: Text<'a>,
    /// A storage's kind of content, joined by `,`, in any order.
    #[serde(borrow)]
    pub content: Text<'a>,
    /// A storage's type, such as `zfspool`.
    #[serde(borrow)]
    pub plugintype: Text<'a>,
    /// Whether a storage is the same on all nodes.
    pub shared: super::wire::Flag,
    /// Seconds.
    pub uptime: Number,
    /// A fraction of `maxcpu`, 0 to about 1.
    pub cpu: Number,
    /// CPUs; a container's may be a fraction.
    pub maxcpu: Number,
    /// Bytes.
    pub mem: Number,
    /// Bytes.
    pub maxmem: Number,
    /// Bytes that a VM takes of its host.
    pub memhost: Number,
    /// Bytes.
    pub disk: Number,
    /// Bytes.
    pub maxdisk: Number,
    /// Bytes since the guest's network device exists.
    pub netin: Number,
    /// Bytes since the guest's network device exists.
    pub netout: Number,
    /// Bytes since the guest's start.
    pub diskread: Number,
    /// Bytes since the guest's start.
    pub diskwrite: Number,
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
    Err(answer.malformed(format!("none of its {told} entries has a type; expected at least the node that answers")))
}
