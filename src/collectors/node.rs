//! Nodes: online or not, CPU, memory, root file system, uptime. Try: `pvesh get /cluster/resources --type node`

use super::shared::{self, flag};
use super::{Collector, Lane, Need, tell};
use crate::config::Preset;
use crate::inventory::Node;
use crate::metrics::{Family, Table};

/// Every node of the cluster, lost ones included.
pub(super) const COLLECTOR: Collector = Collector {
    name: "node",
    about: "state, CPU, memory, root file system and uptime of every node",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" }],
    calls: &["/cluster/resources"],
    families: &[
        &shared::UP,
        &shared::CPU_RATIO,
        &shared::CPU_LIMIT,
        &shared::MEMORY,
        &shared::MEMORY_SIZE,
        &shared::DISK,
        &shared::DISK_SIZE,
        &shared::UPTIME,
    ],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Fast(|view| Box::pin(tell(view.resources(), |resources| families(&resources.nodes)))),
};

fn families(nodes: &[Node]) -> Vec<Family> {
    let mut up = Table::new([&shared::UP], nodes.len());
    let mut usage = Table::new(shared::USAGE, nodes.len());
    for node in nodes {
        let id = format!("node/{}", node.name);
        up.push(&[("id", &id)], [Some(flag(node.online))]);
        usage.push(&[("id", &id)], shared::usage(&node.usage));
    }
    up.into_families().chain(usage.into_families()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Usage;

    #[test]
    fn a_node_without_figures_is_still_up_or_down() {
        let node = |name: &str, online| {
            let usage = Usage::default();
            Node { name: name.into(), online, ha_state: None, usage, ghost: None }
        };
        let families = families(&[node("a", true), node("b", false)]);
        let values: Vec<f64> =
            families.iter().flat_map(|family| family.samples.iter()).map(|sample| sample.value).collect();
        assert_eq!(values, [1.0, 0.0], "one sample per node: absent figures are no zeros");
    }
}
