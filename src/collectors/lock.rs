//! Locks that guests hold, such as `backup`. Try: `pvesh get /cluster/resources --type vm`

use super::shared::Column;
use super::{Collector, Lane, Need, tell};
use crate::config::Preset;
use crate::inventory::GuestList;
use crate::metrics::{Desc, Family, Kind, Labels};

/// Sparse: one series per held lock.
pub(super) const COLLECTOR: Collector = Collector {
    name: "lock",
    about: "locks that guests hold, such as backup, migrate or snapshot",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &["/cluster/resources"],
    families: &[&STATE],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Fast(|view| Box::pin(tell(view.resources(), |resources| families(&resources.guests)))),
};

static STATE: Desc = Desc {
    name: "pve_lock_state",
    help: "The lock that the guest's configuration holds, only of guests that hold one, from /cluster/resources.",
    kind: Kind::Gauge,
};

/// The words of qemu-server and pve-container; another one becomes `other`.
const LOCKS: &[&str] = &[
    "backup",
    "clone",
    "create",
    "destroyed",
    "disk",
    "fstrim",
    "migrate",
    "mounted",
    "rollback",
    "snapshot",
    "snapshot-delete",
    "suspended",
    "suspending",
];

fn families(guests: &GuestList) -> Vec<Family> {
    let mut states = Column::new(&STATE);
    for guest in guests.iter() {
        if let Some(lock) = &guest.lock {
            let word = LOCKS.iter().find(|word| ***word == **lock).copied().unwrap_or("other");
            states.push_info(Labels::new(&[("id", &guest.identity.id()), ("state", word)]));
        }
    }
    vec![states.into_family()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Figure, Guest, GuestKind, Identity, Traffic, Usage};
    use std::sync::Arc;

    #[test]
    fn only_held_locks_are_told() {
        let guest = |vmid, lock: Option<&str>| Guest {
            identity: Arc::new(Identity {
                kind: GuestKind::Lxc,
                vmid,
                name: None,
                tags: "".into(),
                pool: None,
                template: None,
            }),
            node: "a".into(),
            status: None,
            lock: lock.map(Into::into),
            ha_state: None,
            usage: Usage::default(),
            memory_host: Figure::default(),
            traffic: Traffic::default(),
            ghost: None,
        };
        let said: Vec<String> =
            families(&[guest(1, None), guest(2, Some("backup")), guest(3, Some("new"))].into_iter().collect())[0]
                .samples
                .iter()
                .map(|sample| sample.labels.as_str().to_owned())
                .collect();
        assert_eq!(said, [r#"id="lxc/2",state="backup""#, r#"id="lxc/3",state="other""#]);
    }
}
