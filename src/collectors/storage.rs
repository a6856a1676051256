//! Storages as each node sees them: available or not, size, usage; and shared ones once. Try: `pvesh get /cluster/resources
//! --type storage`

use std::collections::BTreeMap;

use super::shared::{self, Column, flag};
use super::{Collector, Lane, Need, tell};
use crate::config::Preset;
use crate::inventory::Storage;
use crate::metrics::{Desc, Family, Kind, Labels, Table};

/// Every enabled storage, once per node. What all nodes share is told a second time, under names and with an `id` of their
/// own, `storage/NAME` without a node: sums over the cluster count it once, and sums of `pve_disk_size_bytes` are what they
/// were.
pub(super) const COLLECTOR: Collector = Collector {
    name: "storage",
    about: "availability, size and usage of every storage on every node, and of shared storages once",
    needs: &[Need { privilege: "Datastore.Audit", before_9: None, path: "/storage" }],
    calls: &["/cluster/resources"],
    families: &[
        &shared::UP,
        &shared::DISK,
        &shared::DISK_SIZE,
        &SHARED,
        &INFO,
        &SHARED_INFO,
        &SHARED_SIZE,
        &SHARED_USAGE,
    ],
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
static SHARED_INFO: Desc = Desc {
    name: "pve_storage_shared_info",
    help: "Name and type of the storage that is the same on all nodes, each once in the cluster, from /cluster/resources.",
    kind: Kind::Gauge,
};
static SHARED_SIZE: Desc = Desc {
    name: "pve_storage_shared_size_bytes",
    help: "Size of the storage that is the same on all nodes, each once in the cluster, from /cluster/resources.",
    kind: Kind::Gauge,
};
static SHARED_USAGE: Desc = Desc {
    name: "pve_storage_shared_usage_bytes",
    help: "Space in use of the storage that is the same on all nodes, each once in the cluster, from /cluster/resources.",
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
    figures.into_families().chain(info.into_families()).chain(once(storages)).collect()
}

/// Each shared storage by name, with the figures of the first node, by name, that can use it: nodes look at different
/// moments, and a sum over storages should not mix what is of one.
fn once(storages: &[Storage]) -> [Family; 3] {
    let mut shared: BTreeMap<&str, &Storage> = BTreeMap::new();
    for storage in storages.iter().filter(|storage| storage.shared == Some(true)) {
        let told = shared.entry(&storage.name).or_insert(storage);
        if rank(storage) < rank(told) {
            *told = storage;
        }
    }
    let [mut info, mut size, mut usage] = [&SHARED_INFO, &SHARED_SIZE, &SHARED_USAGE].map(Column::new);
    for (name, storage) in shared {
        let id = format!("storage/{name}");
        info.push_info(Labels::new(&[("id", &id), ("storage", name), ("plugintype", &storage.plugin)]));
        let labels = Labels::new(&[("id", &id)]);
        let figure = |figure: Option<f64>| figure.filter(|_| can_be_used(storage));
        size.push(&labels, figure(storage.size));
        usage.push(&labels, figure(storage.used));
    }
    [info, size, usage].map(Column::into_family)
}

fn rank(storage: &Storage) -> (bool, &str) {
    (!can_be_used(storage), &storage.node)
}

fn can_be_used(storage: &Storage) -> bool {
    storage.available == Some(true) && storage.size.is_some_and(|size| size > 0.0)
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
    use super::super::testing::lines;
    use super::*;

    fn storage(node: &str, name: &str) -> Storage {
        Storage {
            node: node.into(),
            name: name.into(),
            available: None,
            shared: Some(false),
            plugin: "dir".into(),
            content: "images,iso".into(),
            used: None,
            size: None,
            ghost: None,
        }
    }

    #[test]
    fn a_storage_of_a_lost_node_has_its_info_only() {
        let families = families(&[storage("a", "local")]);
        let said: Vec<&str> =
            families.iter().filter(|family| !family.samples.is_empty()).map(|family| family.desc.view().name).collect();
        assert_eq!(said, ["pve_storage_shared", "pve_storage_info"]);
    }

    #[test]
    fn a_shared_storage_is_told_once_by_a_node_that_can_use_it() {
        let nas = |node: &str, used: f64| Storage {
            available: Some(true),
            shared: Some(true),
            used: Some(used),
            size: Some(100.0),
            ..storage(node, "nas")
        };
        let told = |storages: &[Storage]| lines(&Vec::from(once(storages)));
        let info = "pve_storage_shared_info{id=\"storage/nas\",storage=\"nas\",plugintype=\"dir\"} 1";
        let size = "pve_storage_shared_size_bytes{id=\"storage/nas\"} 100";
        let used = |used: u8| format!("pve_storage_shared_usage_bytes{{id=\"storage/nas\"}} {used}");
        let local = Storage { available: Some(true), size: Some(7.0), ..storage("a", "local") };
        assert_eq!(told(&[nas("c", 52.0), nas("a", 50.0), nas("b", 51.0), local]), [info, size, &used(50)]);
        let lost = Storage { available: None, used: None, size: None, ..nas("a", 0.0) };
        let dead = Storage { available: Some(false), used: None, size: None, ..nas("b", 0.0) };
        assert_eq!(told(&[lost.clone(), dead.clone(), nas("c", 52.0)]), [info, size, &used(52)]);
        let empty = Storage { available: Some(true), used: Some(0.0), size: Some(0.0), ..nas("c", 0.0) };
        assert_eq!(told(&[lost, dead, empty]), [info], "no node knows its size");
    }
}
