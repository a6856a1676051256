//! Storages as each node sees them: available or not, size, usage. Try: `pvesh get /cluster/resources --type storage`

use super::shared::{self, flag};
use super::{Collector, Lane, Need, tell};
use crate::config::Preset;
use crate::inventory::Storage;
use crate::metrics::{Desc, Family, Kind, Table};

/// Every enabled storage, once per node.
pub(super) const COLLECTOR: Collector = Collector {
    name: "storage",
    about: "availability, size and usage of every storage on every node",
    needs: &[Need { privilege: "Datastore.Audit", before_9: None, path: "/storage" }],
    calls: &["/cluster/resources"],
    families: &[&shared::UP, &shared::DISK, &shared::DISK_SIZE, &SHARED, &INFO],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Fast(|view| Box::pin(tell(view.resources(), |resources| families(&resources.storages)))),
};

pub(super) static SHARED: Desc = Desc {
    name: "pve_storage_shared",
    help: "Whether the storage is the same on all nodes, from /cluster/resources.",
    kind: Kind::Gauge,
};
pub(super) static INFO: Desc = Desc {
    name: "pve_storage_info",
    help: "Node, name, type and kinds of content of the storage, from /cluster/resources.",
    kind: Kind::Gauge,
};

fn families(storages: &[Storage]) -> Vec<Family> {
    let mut figures = Table::new([&shared::UP, &shared::DISK, &shared::DISK_SIZE, &SHARED], storages.len());
    let mut info = Table::new([&INFO], storages.len());
    for storage in storages {
        let id = format!("storage/{}/{}", storage.node, storage.name);
        let values = [storage.available.map(flag), storage.used, storage.size, storage.shared.map(flag)];
        figures.push(&[("id", &id)], values);
        info.push(&info_labels(&id, storage), [Some(1.0)]);
    }
    figures.into_families().chain(info.into_families()).collect()
}

pub(super) fn info_labels<'a>(id: &'a str, storage: &'a Storage) -> [(&'static str, &'a str); 5] {
    [
        ("id", id),
        ("node", &storage.node),
        ("storage", &storage.name),
        ("plugintype", &storage.plugin),
        ("content", &storage.content),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_of_a_lost_node_has_its_info_only() {
        let storage = Storage {
            node: "a".into(),
            name: "local".into(),
            available: None,
            shared: Some(false),
            plugin: "dir".into(),
            content: "images,iso".into(),
            used: None,
            size: None,
            ghost: None,
        };
        let families = families(&[storage]);
        let said: Vec<&str> =
            families.iter().filter(|family| !family.samples.is_empty()).map(|family| family.desc.view().name).collect();
        assert_eq!(said, ["pve_storage_shared", "pve_storage_info"]);
    }
}
