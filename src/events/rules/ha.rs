//! High availability: nodes that are fenced, services in error, managers that are dead.

use std::collections::BTreeMap;

use super::{Ground, State, plain};
use crate::events::finding::{Finding, Kind};
use crate::pve::HaEntry;

/// What `/cluster/ha/status/current` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::events) struct HaLook {
    /// Whether the answering side has a majority.
    pub(in crate::events) quorate: bool,
    /// The node of the manager and whether it is dead, where one ever ran.
    pub(in crate::events) master: Option<(String, bool)>,
    /// Whether the HA of a node is dead.
    pub(in crate::events) nodes: BTreeMap<String, bool>,
    /// By service, such as `vm:100`.
    pub(in crate::events) services: BTreeMap<String, Service>,
}

/// A service as the manager sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::events) struct Service {
    /// Where it is.
    pub(in crate::events) node: String,
    /// Such as `started`, `fence` or `error`.
    pub(in crate::events) state: String,
}

impl HaLook {
    /// Entries without a node are passed over.
    pub(in crate::events) fn of(entries: &[HaEntry<'_>]) -> Self {
        let mut look = Self::default();
        for entry in entries {
            let Some(node) = entry.node.filled().map(str::to_owned) else { continue };
            match (entry.kind.filled().unwrap_or_default(), entry.sid.filled()) {
                ("quorum", _) => look.quorate = entry.quorate.0 == Some(true),
                ("master", _) => look.master = Some((node, entry.is_dead())),
                ("lrm", _) => drop(look.nodes.insert(node, entry.is_dead())),
                ("service", Some(sid)) => {
                    let state = entry.state.filled().unwrap_or_default().to_owned();
                    look.services.insert(sid.to_owned(), Service { node, state });
                }
                _ => (),
            }
        }
        look
    }
}

pub(super) fn findings(ground: &Ground<'_>, state: &mut State) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(ha) = &ground.look.ha {
        found.extend(managers(ground, state, ha));
        found.extend(services(ground, state, ha));
    }
    found
}

/// Without quorum all of them stand still, which is another finding; so is a node that is lost.
fn managers(ground: &Ground<'_>, state: &mut State, ha: &HaLook) -> Vec<Finding> {
    let online = |node: &str| {
        let members = ground.look.status.as_ref().map(|status| &status.members);
        members.is_some_and(|members| members.iter().any(|one| one.name == node && one.online == Some(true)))
    };
    let cluster = format!("cluster/{}", ground.cluster);
    let master = ha.master.iter().map(|(node, dead)| (cluster.clone(), node, *dead, "manager"));
    let nodes = ha.nodes.iter().map(|(node, dead)| (format!("node/{node}"), node, *dead, "resource manager"));
    let mut found = Vec::new();
    for (id, node, dead, what) in master.chain(nodes) {
        let is = dead && ha.quorate && online(node);
        found.extend(
            ground
                .condition(state, (Kind::HaManagerDead, &id), Some(is), || {
                    format!("The HA {what} on node {node} is dead")
                })
                .map(|finding| Finding { node: Some(node.clone()), ..finding }),
        );
    }
    found
}

fn services(ground: &Ground<'_>, state: &mut State, ha: &HaLook) -> Vec<Finding> {
    let mut found = Vec::new();
    for (sid, service) in &ha.services {
        let id = sid.replacen("vm:", "qemu/", 1).replacen("ct:", "lxc/", 1);
        let is = service.state == "error";
        found.extend(ground.condition(state, (Kind::HaServiceInError, &id), Some(is), || {
            format!("HA service {} on node {} is in error", plain(sid), service.node)
        }));
    }
    let fenced = |node: &str| ha.services.values().any(|service| service.state == "fence" && service.node == node);
    for node in ha.nodes.keys() {
        let id = format!("node/{node}");
        found.extend(
            ground
                .condition(state, (Kind::NodeFenced, &id), Some(fenced(node)), || format!("HA fences node {node}"))
                .map(|finding| Finding { node: Some(node.clone()), ..finding }),
        );
    }
    found
}
