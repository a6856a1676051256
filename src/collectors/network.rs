//! Bridges and bonds of each node, and whether what they consist of is up. Try: `pvesh get /nodes/NODE/network`

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::shared::{self, Column, flag};
use super::{Ask, Asking, Collector, Lane, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, NodeInterface};

const CALL: &str = "/nodes/{node}/network";

/// Any token may ask. Whether a cable is in, only the node's own kernel knows: see the collector `host`.
pub(super) const COLLECTOR: Collector = Collector {
    name: "network",
    about: "bridges and bonds of every node, and which of their ports are up",
    needs: &[],
    calls: &[CALL],
    families: &[&UP, &INFO, &MEMBER_UP],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(5),
        per: Per::Node,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static UP: Desc = Desc {
    name: "pve_node_network_up",
    help: "Whether the bridge or bond exists and is set up; a cable that is out does not change it; from /nodes/{node}/network.",
    kind: Kind::Gauge,
};
static INFO: Desc = Desc {
    name: "pve_node_network_info",
    help: "Type of the bridge or bond, and the mode of a bond, from /nodes/{node}/network.",
    kind: Kind::Gauge,
};
static MEMBER_UP: Desc = Desc {
    name: "pve_node_network_member_up",
    help: "Whether the port of the bridge or slave of the bond exists and is set up; a cable that is out does not change it; from /nodes/{node}/network.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(&shared::id(ask.subject()), &pve::node_network(&answer)?))
    })
}

fn families(id: &str, interfaces: &[NodeInterface<'_>]) -> Vec<Family> {
    let [mut up, mut info, mut member_up] = [&UP, &INFO, &MEMBER_UP].map(Column::new);
    // PVE leaves `active` out where it is not so.
    let is_up = |interface: &NodeInterface<'_>| interface.active.0.unwrap_or(false);
    let known: BTreeMap<&str, &NodeInterface<'_>> =
        interfaces.iter().filter_map(|interface| Some((interface.iface.filled()?, interface))).collect();
    for (device, interface) in known.iter().filter(|(_, interface)| interface.has_members()) {
        up.push(&Labels::new(&[("id", id), ("device", device)]), Some(flag(is_up(interface))));
        info.push_info(Labels::new(&[
            ("id", id),
            ("device", device),
            ("type", interface.kind.filled().unwrap_or_default()),
            ("bond_mode", interface.bond_mode.filled().unwrap_or_default()),
        ]));
        // What PVE does not list, such as a VLAN that is only named as a port, may well be up.
        let members: BTreeSet<&str> = interface.members().collect();
        for (member, port) in members.iter().filter_map(|member| Some((*member, known.get(member)?))) {
            let labels = Labels::new(&[("id", id), ("device", device), ("member", member)]);
            member_up.push(&labels, Some(flag(is_up(port))));
        }
    }
    [up, info, member_up].map(Column::into_family).into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<String> {
        lines(&families("node/pve-lab", &pve::node_network(answer).expect("interfaces")))
    }

    #[test]
    fn the_recorded_node_has_a_bridge_without_ports() {
        assert_eq!(
            told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__network.json")),
            [
                "pve_node_network_up{id=\"node/pve-lab\",device=\"vmbr0\"} 1",
                "pve_node_network_info{id=\"node/pve-lab\",device=\"vmbr0\",type=\"bridge\",bond_mode=\"\"} 1",
            ]
        );
    }

    #[test]
    fn ports_and_slaves_are_told_with_what_they_belong_to() {
        assert_eq!(
            told(&recorded("hand-made/GET_nodes__pve-lab__network.json")),
            [
                "pve_node_network_up{id=\"node/pve-lab\",device=\"bond0\"} 1",
                "pve_node_network_up{id=\"node/pve-lab\",device=\"ovsbond0\"} 1",
                "pve_node_network_up{id=\"node/pve-lab\",device=\"vmbr0\"} 1",
                "pve_node_network_up{id=\"node/pve-lab\",device=\"vmbr1\"} 1",
                "pve_node_network_up{id=\"node/pve-lab\",device=\"vmbr2\"} 0",
                "pve_node_network_info{id=\"node/pve-lab\",device=\"bond0\",type=\"bond\",bond_mode=\"802.3ad\"} 1",
                "pve_node_network_info{id=\"node/pve-lab\",device=\"ovsbond0\",type=\"OVSBond\",bond_mode=\"balance-slb\"} 1",
                "pve_node_network_info{id=\"node/pve-lab\",device=\"vmbr0\",type=\"bridge\",bond_mode=\"\"} 1",
                "pve_node_network_info{id=\"node/pve-lab\",device=\"vmbr1\",type=\"OVSBridge\",bond_mode=\"\"} 1",
                "pve_node_network_info{id=\"node/pve-lab\",device=\"vmbr2\",type=\"bridge\",bond_mode=\"\"} 1",
                "pve_node_network_member_up{id=\"node/pve-lab\",device=\"bond0\",member=\"enp1s0f0\"} 1",
                "pve_node_network_member_up{id=\"node/pve-lab\",device=\"bond0\",member=\"enp1s0f1\"} 0",
                "pve_node_network_member_up{id=\"node/pve-lab\",device=\"ovsbond0\",member=\"enp2s0f0\"} 1",
                "pve_node_network_member_up{id=\"node/pve-lab\",device=\"ovsbond0\",member=\"enp2s0f1\"} 1",
                "pve_node_network_member_up{id=\"node/pve-lab\",device=\"vmbr0\",member=\"bond0\"} 1",
                "pve_node_network_member_up{id=\"node/pve-lab\",device=\"vmbr1\",member=\"ovsbond0\"} 1",
            ]
        );
    }

    #[test]
    fn what_is_not_listed_is_not_said_to_be_down() {
        let body = r#"{"data":[{"iface":"vmbr0","type":"bridge","active":1,"bridge_ports":"eno1.100 eno1 eno1"},
            {"iface":"eno1","type":"eth"},{"iface":"vmbr0","type":"bridge","active":1},{"type":"bond"}]}"#;
        let lines = told(&Answer::of(body));
        assert_eq!(lines.len(), 2, "of two of one name, one is told: {lines:?}");
        let body = body.replace("{\"iface\":\"vmbr0\",\"type\":\"bridge\",\"active\":1},", "");
        let lines = told(&Answer::of(&body));
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[2], "pve_node_network_member_up{id=\"node/pve-lab\",device=\"vmbr0\",member=\"eno1\"} 0");
        assert!(pve::node_network(&Answer::of(r#"{"data":[{"type":"bridge"}]}"#)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            rows in any_rows(&["iface", "active", "bridge_ports", "slaves", "bond_mode"]),
            kind in prop::sample::select(vec!["bridge", "bond", "OVSBridge", "eth"]),
        ) {
            let mut rows = rows;
            for row in rows.as_array_mut().into_iter().flatten() {
                row["type"] = kind.into();
            }
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(interfaces) = pve::node_network(&answer) {
                check(&COLLECTOR, &families("node/a", &interfaces));
            }
        }
    }
}
