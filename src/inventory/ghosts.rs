//! What PVE itself says where that is not what is known: the last figures of what a lost node held, which it repeats for
//! five minutes, guests whose names it has forgotten then. Only the drop-in page repeats it.

use std::sync::Arc;

use super::guests::{Guest, Traffic};
use super::node::{Node, Usage};
use super::resources::Storage;
use crate::pve;

/// A guest in PVE's words, where they differ from what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ghost {
    status: Option<Arc<str>>,
    name: Option<Box<str>>,
    tags: Arc<str>,
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
    /// Of a guest as it was just read, unless PVE calls it as it is known anyway.
    pub(super) fn of(entry: &pve::Resource<'_>, guest: &Guest) -> Option<Box<Self>> {
        let (name, tags, template) = (entry.name.filled(), entry.tags.filled().unwrap_or_default(), entry.template.0);
        let identity = &guest.identity;
        let differs = name != identity.name.as_deref() || *tags != *identity.tags || template != identity.template;
        differs.then(|| {
            let (name, tags) = (name.map(Into::into), tags.into());
            Box::new(Self { name, tags, template, ..Self::figures(guest) })
        })
    }

    /// Of a guest whose node is lost, before what was read of it is dropped.
    pub(super) fn left_by(guest: &Guest) -> Box<Self> {
        Box::new(Self::figures(guest))
    }

    fn figures(guest: &Guest) -> Self {
        Self {
            status: guest.status.clone(),
            name: guest.identity.name.clone(),
            tags: Arc::clone(&guest.identity.tags),
            template: guest.identity.template,
            usage: guest.usage,
            traffic: guest.traffic,
        }
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
