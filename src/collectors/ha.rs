//! What the HA manager says of nodes and of the guests it manages. Try: `pvesh get /cluster/resources`

use super::shared::Column;
use super::{Collector, Lane, Need, tell};
use crate::config::Preset;
use crate::inventory::Resources;
use crate::metrics::{Desc, Family, Kind, Labels};

/// Sparse: one series per node and HA-managed guest.
pub(super) const COLLECTOR: Collector = Collector {
    name: "ha",
    about: "HA state of nodes and HA-managed guests",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &["/cluster/resources"],
    families: &[&STATE],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Fast(|view| Box::pin(tell(view.resources(), families))),
};

static STATE: Desc = Desc {
    name: "pve_ha_state",
    help: "The state in which the HA manager sees the node or guest, only of those it manages, from /cluster/resources.",
    kind: Kind::Gauge,
};

/// The words of pve-ha-manager; another one becomes `other`.
const NODE_STATES: &[&str] = &["online", "maintenance", "unknown", "fence", "gone"];
const GUEST_STATES: &[&str] = &[
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
    "ignored",
    "disabled",
    "queued",
];

fn families(resources: &Resources) -> Vec<Family> {
    let mut states = Column::new(&STATE);
    for guest in resources.guests.iter() {
        if let Some(state) = &guest.ha_state {
            push(&mut states, &guest.identity.id(), GUEST_STATES, state);
        }
    }
    for node in &resources.nodes {
        if let Some(state) = &node.ha_state {
            push(&mut states, &format!("node/{}", node.name), NODE_STATES, state);
        }
    }
    vec![states.into_family()]
}

fn push(states: &mut Column, id: &str, known: &[&'static str], state: &str) {
    let word = known.iter().find(|word| **word == state).copied().unwrap_or("other");
    states.push_info(Labels::new(&[("id", id), ("state", word)]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{GuestList, Node, Usage};

    #[test]
    fn unknown_words_are_other_and_unmanaged_nodes_are_silent() {
        let node = |name: &str, state: Option<&str>| Node {
            name: name.into(),
            online: true,
            ha_state: state.map(str::to_owned),
            usage: Usage::default(),
            ghost: None,
        };
        let resources = Resources {
            nodes: vec![node("a", Some("maintenance")), node("b", Some("dancing")), node("c", None)],
            guests: GuestList::default(),
            storages: Vec::new(),
            pools: Vec::new(),
        };
        let said: Vec<String> =
            families(&resources)[0].samples.iter().map(|sample| sample.labels.as_str().to_owned()).collect();
        assert_eq!(said, [r#"id="node/a",state="maintenance""#, r#"id="node/b",state="other""#]);
    }
}
