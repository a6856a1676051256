//! Sets of states, whole: a series for each state that there can be, 1 for the one that is.
//! Try: `pvesh get /cluster/resources`

use super::super::shared::flag;
use super::super::{ha, lock, tell};
use super::{Part, Reference, Source};
use crate::inventory::{GuestList, Resources};
use crate::metrics::{Desc, Family, Kind, Table};

pub(super) const HA: Reference = Reference {
    collector: &ha::COLLECTOR,
    part: Part::Cluster,
    families: &[&HA_STATE],
    source: Source::Round(|view| Box::pin(tell(view.resources(), ha_states))),
};

pub(super) const LOCK: Reference = Reference {
    collector: &lock::COLLECTOR,
    part: Part::Cluster,
    families: &[&LOCK_STATE],
    source: Source::Round(|view| Box::pin(tell(view.resources(), |resources| lock_states(&resources.guests)))),
};

static HA_STATE: Desc = Desc {
    name: "pve_ha_state",
    help: "1 for the state in which the HA manager sees the node or guest, 0 for every other one, from /cluster/resources.",
    kind: Kind::Gauge,
};
static LOCK_STATE: Desc = Desc {
    name: "pve_lock_state",
    help: "1 for the lock that the guest's configuration holds, 0 for every other one, from /cluster/resources.",
    kind: Kind::Gauge,
};

/// The words that the reference knows; with another one, all are 0.
const NODE_STATES: [&str; 5] = ["online", "maintenance", "unknown", "fence", "gone"];
const GUEST_STATES: [&str; 11] = [
    "stopped",
    "request_stop",
    "request_start",
    "request_start_balance",
    "started",
    "fence",
    "recovery",
    "migrate",
    "relocate",
    "freeze",
    "error",
];
const LOCKS: [&str; 9] =
    ["backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspended", "suspending"];

fn ha_states(resources: &Resources) -> Vec<Family> {
    let rows = resources.guests.len() * GUEST_STATES.len() + resources.nodes.len() * NODE_STATES.len();
    let mut table = Table::new([&HA_STATE], rows);
    let mut id = String::new();
    for guest in resources.guests.iter() {
        id.clear();
        guest.identity.write_id(&mut id);
        push(&mut table, &id, &GUEST_STATES, guest.ha_state.as_deref());
    }
    for node in &resources.nodes {
        push(&mut table, &format!("node/{}", node.name), &NODE_STATES, node.ha_state.as_deref());
    }
    table.into_families().collect()
}

fn lock_states(guests: &GuestList) -> Vec<Family> {
    let mut table = Table::new([&LOCK_STATE], guests.len() * LOCKS.len());
    let mut id = String::new();
    for guest in guests.iter() {
        id.clear();
        guest.identity.write_id(&mut id);
        push(&mut table, &id, &LOCKS, guest.lock.as_deref());
    }
    table.into_families().collect()
}

fn push(table: &mut Table<1>, id: &str, states: &[&str], told: Option<&str>) {
    for state in states {
        table.push(&[("id", id), ("state", state)], [Some(flag(told == Some(state)))]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::lines;
    use super::*;

    #[test]
    fn every_state_has_its_series_and_one_of_them_is_1() {
        let resources = Resources::read(
            r#"{"data":[{"type":"node","node":"a","status":"online","hastate":"maintenance"},
                {"type":"lxc","vmid":7,"node":"a","hastate":"ignored","lock":"backup"},
                {"type":"qemu","vmid":8,"node":"a","hastate":"started","lock":"mounted"}]}"#,
        );
        let (ha, locks) = (lines(&ha_states(&resources)), lines(&lock_states(&resources.guests)));
        assert_eq!((ha.len(), locks.len()), (2 * 11 + 5, 2 * 9));
        let held = |lines: &[String]| lines.iter().filter(|line| line.ends_with(" 1")).cloned().collect::<Vec<_>>();
        assert_eq!(
            held(&ha),
            [r#"pve_ha_state{id="qemu/8",state="started"} 1"#, r#"pve_ha_state{id="node/a",state="maintenance"} 1"#]
        );
        assert_eq!(held(&locks), [r#"pve_lock_state{id="lxc/7",state="backup"} 1"#]);
        assert!(ha.iter().chain(&locks).all(|line| line.ends_with(" 0") || line.ends_with(" 1")));
    }
}
