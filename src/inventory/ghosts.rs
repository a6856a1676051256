//! What PVE itself says where that is not what is known: the last figures of what a lost node held, which it repeats for
//! five minutes, guests whose names it has forgotten then. Only the drop-in page repeats it.

use super::guests::{Guest, Identity, Traffic};
use super::resources::{Node, Storage, Usage};
use crate::pve;

/// A guest in PVE's words, where they differ from what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ghost {
    status: Option<String>,
    name: Option<String>,
    tags: String,
    template: Option<bool>,
    usage: Usage,
    traffic: Traffic,
}

/// A guest in PVE's words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToldGuest<'a> {
    /// Such as `running`, or `unknown` some minutes after its node was lost.
    pub status: Option<&'a str>,
    /// Absent where PVE has forgotten it.
    pub name: Option<&'a str>,
    /// Joined by `;`, in PVE's order.
    pub tags: &'a str,
    /// Absent where PVE has forgotten it.
    pub template: Option<bool>,
    /// Figures.
    pub usage: Usage,
    /// Traffic counters.
    pub traffic: Traffic,
}

/// A storage in PVE's words.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ToldStorage {
    /// Whether PVE says `available`.
    pub available: Option<bool>,
    /// Bytes used.
    pub used: Option<f64>,
    /// Bytes in all.
    pub size: Option<f64>,
}

impl Ghost {
    /// What the entry says, unless it is what is known anyway.
    pub(super) fn of(entry: &pve::Resource<'_>, identity: &Identity, lost: bool) -> Option<Box<Self>> {
        let (name, tags) = (entry.name.filled(), entry.tags.filled().unwrap_or_default());
        let differs =
            name != identity.name.as_deref() || tags != identity.tags || entry.template.0 != identity.template;
        (lost || differs).then(|| {
            Box::new(Self {
                status: entry.status.filled().map(str::to_owned),
                name: name.map(str::to_owned),
                tags: tags.to_owned(),
                template: entry.template.0,
                usage: Usage::of(entry),
                traffic: Traffic::of(entry),
            })
        })
    }
}

impl Guest {
    /// What PVE itself says of it.
    pub fn told(&self) -> ToldGuest<'_> {
        match &self.ghost {
            Some(ghost) => ToldGuest {
                status: ghost.status.as_deref(),
                name: ghost.name.as_deref(),
                tags: &ghost.tags,
                template: ghost.template,
                usage: ghost.usage,
                traffic: ghost.traffic,
            },
            None => ToldGuest {
                status: self.status.as_deref(),
                name: self.identity.name.as_deref(),
                tags: &self.identity.tags,
                template: self.identity.template,
                usage: self.usage,
                traffic: self.traffic,
            },
        }
    }
}

impl Node {
    /// What PVE itself says of its figures.
    pub fn told(&self) -> &Usage {
        self.ghost.as_ref().unwrap_or(&self.usage)
    }
}

impl Storage {
    /// What PVE itself says of it.
    pub fn told(&self) -> ToldStorage {
        self.ghost.unwrap_or(ToldStorage { available: self.available, used: self.used, size: self.size })
    }
}

impl ToldStorage {
    pub(super) fn of(entry: &pve::Resource<'_>) -> Self {
        Self {
            available: entry.status.filled().map(|status| status == "available"),
            used: entry.disk.quantity(),
            size: entry.maxdisk.quantity(),
        }
    }
}
