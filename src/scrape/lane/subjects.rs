//! What a shelf asks about: the subjects that there are, in their order.

use std::cmp::Ordering;
use std::sync::Arc;

use tokio::time::Instant;

use super::super::demand::seed;
use crate::collectors::{Per, Subject};
use crate::ids::GuestSelection;
use crate::inventory::{Guest, GuestKind, Identity, Resources};

/// A subject that there is, where it is listed.
#[derive(Clone, Copy)]
pub(super) enum Found<'r> {
    Cluster,
    Node(&'r str, bool),
    Guest(&'r Guest),
}

/// A subject that is to be asked about.
#[derive(Debug, Clone)]
pub(super) struct Due {
    /// When it was last asked about; none: never.
    pub(super) since: Option<Instant>,
    pub(super) subject: Subject,
    /// It took long the last time.
    pub(super) is_slow: bool,
}

impl Found<'_> {
    /// As it is kept.
    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Cluster => Subject::Cluster,
            Self::Node(name, _) => Subject::Node((*name).into()),
            Self::Guest(guest) => {
                let Identity { kind, vmid, .. } = *guest.identity;
                Subject::Guest { kind, vmid, node: Arc::clone(&guest.node) }
            }
        }
    }
}

/// What there is to ask about, in its order.
pub(super) fn found<'r>(
    per: Per,
    resources: &'r Resources,
    select: Option<&'r GuestSelection>,
) -> Box<dyn Iterator<Item = Found<'r>> + 'r> {
    match per {
        Per::Cluster => Box::new(std::iter::once(Found::Cluster)),
        Per::Node => Box::new(resources.nodes.iter().map(|node| Found::Node(&node.name, node.online))),
        Per::Guest | Per::Running | Per::RunningVms => {
            let is_meant = move |guest: &&Guest| select.is_none_or(|select| selects(select, guest));
            let is_kind = move |guest: &Guest| per != Per::RunningVms || guest.identity.kind == GuestKind::Qemu;
            // What is known of a guest that is lost may still be told; of one that stopped, nothing is true any more.
            let runs = move |guest: &Guest| per == Per::Guest || guest.status.as_deref() != Some("stopped");
            let is_there = move |guest: &&Guest| is_kind(guest) && runs(guest);
            Box::new(resources.guests.iter().filter(is_there).filter(is_meant).map(Found::Guest))
        }
    }
}

fn selects(select: &GuestSelection, guest: &Guest) -> bool {
    let Identity { vmid, tags, pool, .. } = &*guest.identity;
    select.has(*vmid, tags.split(';'), pool.as_deref())
}

/// Subjects of a shelf are of one kind, nodes by name and guests by number: a guest is the same wherever it is.
pub(super) fn order(subject: &Subject, found: &Found<'_>) -> Ordering {
    match (subject, found) {
        (Subject::Node(name), Found::Node(other, _)) => (**name).cmp(other),
        (Subject::Guest { kind, vmid, .. }, Found::Guest(guest)) => {
            (*vmid, *kind).cmp(&(guest.identity.vmid, guest.identity.kind))
        }
        _ => Ordering::Equal,
    }
}

/// The order of those that are kept.
pub(super) fn order_of(subject: &Subject, other: &Subject) -> Ordering {
    match (subject, other) {
        (Subject::Node(name), Subject::Node(other)) => name.cmp(other),
        (Subject::Guest { kind, vmid, .. }, Subject::Guest { kind: other, vmid: number, .. }) => {
            (vmid, kind).cmp(&(number, other))
        }
        _ => Ordering::Equal,
    }
}

/// What spreads the subjects in time.
pub(super) fn spread(subject: &Subject) -> u64 {
    match subject {
        Subject::Cluster => 0,
        Subject::Node(name) => seed(name),
        Subject::Guest { vmid, .. } => *vmid,
    }
}
