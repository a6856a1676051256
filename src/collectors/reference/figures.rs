//! Guests, nodes, storages and pools by `id`, all in the same families. Try: `pvesh get /cluster/resources`

use super::super::shared::{self, flag};
use super::super::{guest, node, pool, storage, tell};
use super::{Part, Reference, Source};
use crate::inventory::{Figure, Guest, GuestList, Node, Pool, Storage, Traffic};
use crate::metrics::{Desc, Family, Kind, Table};

pub(super) const GUEST: Reference = Reference {
    collector: &guest::COLLECTOR,
    part: Part::Cluster,
    families: &[
        &shared::UP,
        &shared::CPU_RATIO,
        &shared::CPU_LIMIT,
        &shared::MEMORY,
        &shared::MEMORY_SIZE,
        &DISK,
        &shared::DISK_SIZE,
        &shared::UPTIME,
        &guest::RECEIVED,
        &guest::TRANSMITTED,
        &guest::READ,
        &guest::WRITTEN,
        &OLD_RECEIVED,
        &OLD_TRANSMITTED,
        &OLD_READ,
        &OLD_WRITTEN,
        &INFO,
    ],
    source: Source::Round(|view| Box::pin(tell(view.resources(), |resources| guests(&resources.guests)))),
};

pub(super) const NODE: Reference = Reference {
    collector: &node::COLLECTOR,
    part: Part::Cluster,
    families: &USAGE,
    source: Source::Round(|view| Box::pin(tell(view.resources(), |resources| nodes(&resources.nodes)))),
};

pub(super) const STORAGE: Reference = Reference {
    collector: &storage::COLLECTOR,
    part: Part::Cluster,
    families: &[&shared::UP, &DISK, &shared::DISK_SIZE, &storage::SHARED, &storage::INFO],
    source: Source::Round(|view| Box::pin(tell(view.resources(), |resources| storages(&resources.storages)))),
};

/// Among guests and nodes, as `/pool/NAME`.
pub(super) const POOL: Reference = Reference {
    collector: &pool::COLLECTOR,
    part: Part::Cluster,
    families: &USAGE,
    source: Source::Round(|view| Box::pin(tell(view.resources(), |resources| pools(&resources.pools)))),
};

static DISK: Desc = Desc {
    name: "pve_disk_usage_bytes",
    help: "Disk space in use of the node's or container's root file system or of the storage, 0 for every VM, from /cluster/resources.",
    kind: Kind::Gauge,
};
static INFO: Desc = Desc {
    name: "pve_guest_info",
    help: "Name, node, type, template flag and tags of the guest, as far as PVE knows them now, from /cluster/resources.",
    kind: Kind::Gauge,
};
static OLD_RECEIVED: Desc = Desc {
    name: "pve_network_receive_bytes",
    help: "Deprecated name of pve_network_receive_bytes_total.",
    kind: Kind::Gauge,
};
static OLD_TRANSMITTED: Desc = Desc {
    name: "pve_network_transmit_bytes",
    help: "Deprecated name of pve_network_transmit_bytes_total.",
    kind: Kind::Gauge,
};
static OLD_READ: Desc =
    Desc { name: "pve_disk_read_bytes", help: "Deprecated name of pve_disk_read_bytes_total.", kind: Kind::Gauge };
static OLD_WRITTEN: Desc =
    Desc { name: "pve_disk_write_bytes", help: "Deprecated name of pve_disk_written_bytes_total.", kind: Kind::Gauge };

/// For the values of [`shared::usage`].
const USAGE: [&Desc; 7] = [
    &shared::CPU_RATIO,
    &shared::CPU_LIMIT,
    &shared::MEMORY,
    &shared::MEMORY_SIZE,
    &DISK,
    &shared::DISK_SIZE,
    &shared::UPTIME,
];
/// For the values of [`traffic`].
const TRAFFIC: [&Desc; 8] = [
    &guest::RECEIVED,
    &guest::TRANSMITTED,
    &guest::READ,
    &guest::WRITTEN,
    &OLD_RECEIVED,
    &OLD_TRANSMITTED,
    &OLD_READ,
    &OLD_WRITTEN,
];

fn guests(guests: &GuestList) -> Vec<Family> {
    let rows = guests.len();
    let [cpu, cpus, memory, memory_size, disk, disk_size, uptime] = USAGE;
    let [received, transmitted, read, written, old_received, old_transmitted, old_read, old_written] = TRAFFIC;
    let columns = [
        &shared::UP,
        cpu,
        cpus,
        memory,
        memory_size,
        disk,
        disk_size,
        uptime,
        received,
        transmitted,
        read,
        written,
        old_received,
        old_transmitted,
        old_read,
        old_written,
    ];
    let mut figures = Table::new(columns, rows);
    let mut info = Table::new([&INFO], rows);
    let mut id = String::new();
    for guest in guests.iter() {
        id.clear();
        guest.identity.write_id(&mut id);
        figures.push(&[("id", &id)], values(guest));
        info.push(&info_labels(&id, guest), [Some(1.0)]);
    }
    figures.into_families().chain(info.into_families()).collect()
}

fn values(guest: &Guest) -> [Option<f64>; 16] {
    let told = guest.told();
    let up = told.status.map(|status| flag(status == "running"));
    let [cpu, cpus, memory, memory_size, disk, disk_size, uptime] = shared::usage(&told.usage);
    let Traffic { received, transmitted, read, written } = told.traffic;
    let [received, transmitted, read, written] = [received, transmitted, read, written].map(Figure::get);
    [
        up,
        cpu,
        cpus,
        memory,
        memory_size,
        disk,
        disk_size,
        uptime,
        received,
        transmitted,
        read,
        written,
        received,
        transmitted,
        read,
        written,
    ]
}

fn info_labels<'a>(id: &'a str, guest: &'a Guest) -> [(&'static str, &'a str); 6] {
    let told = guest.told();
    let template = match told.template {
        Some(true) => "1",
        Some(false) => "0",
        None => "",
    };
    [
        ("id", id),
        ("node", &guest.node),
        ("name", told.name.unwrap_or_default()),
        ("type", guest.identity.kind.as_str()),
        ("template", template),
        ("tags", told.tags),
    ]
}

fn nodes(nodes: &[Node]) -> Vec<Family> {
    let mut usage = Table::new(USAGE, nodes.len());
    for node in nodes {
        usage.push(&[("id", &format!("node/{}", node.name))], shared::usage(node.told()));
    }
    usage.into_families().collect()
}

fn pools(pools: &[Pool]) -> Vec<Family> {
    let mut usage = Table::new(USAGE, pools.len());
    for pool in pools {
        usage.push(&[("id", &format!("/pool/{}", pool.name))], shared::usage(&pool.usage));
    }
    usage.into_families().collect()
}

fn storages(storages: &[Storage]) -> Vec<Family> {
    let mut figures = Table::new([&shared::UP, &DISK, &shared::DISK_SIZE, &storage::SHARED], storages.len());
    let mut info = Table::new([&storage::INFO], storages.len());
    for storage in storages {
        let (told, id) = (storage.told(), format!("storage/{}/{}", storage.node, storage.name));
        let values = [told.available.map(flag), told.used, told.size, storage.shared.map(flag)];
        figures.push(&[("id", &id)], values);
        info.push(&storage::info_labels(&id, storage), [Some(1.0)]);
    }
    figures.into_families().chain(info.into_families()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::lines;
    use super::*;
    use crate::inventory::Resources;

    const LOST: &str = r#"{"data":[
        {"type":"node","node":"a","status":"offline","maxmem":9,"hastate":"unknown"},
        {"type":"storage","node":"a","storage":"s","status":"available","disk":3,"shared":0,"content":"rootdir,iso"},
        {"type":"lxc","vmid":7,"node":"a","status":"running","name":"web","tags":"b;a","template":0,"mem":5,"netin":6},
        {"type":"qemu","vmid":8,"node":"a","status":"unknown"}
    ]}"#;

    #[test]
    fn what_a_lost_node_held_is_told_as_pve_tells_it() {
        let resources = Resources::read(LOST);
        assert_eq!(lines(&nodes(&resources.nodes)), [r#"pve_memory_size_bytes{id="node/a"} 9"#]);
        assert_eq!(
            lines(&storages(&resources.storages)),
            [
                r#"pve_up{id="storage/a/s"} 1"#,
                r#"pve_disk_usage_bytes{id="storage/a/s"} 3"#,
                r#"pve_storage_shared{id="storage/a/s"} 0"#,
                r#"pve_storage_info{id="storage/a/s",node="a",storage="s",plugintype="",content="iso,rootdir"} 1"#,
            ]
        );
        assert_eq!(
            lines(&guests(&resources.guests)),
            [
                r#"pve_up{id="lxc/7"} 1"#,
                r#"pve_up{id="qemu/8"} 0"#,
                r#"pve_memory_usage_bytes{id="lxc/7"} 5"#,
                r#"pve_network_receive_bytes_total{id="lxc/7"} 6"#,
                r#"pve_network_receive_bytes{id="lxc/7"} 6"#,
                r#"pve_guest_info{id="lxc/7",node="a",name="web",type="lxc",template="0",tags="b;a"} 1"#,
                r#"pve_guest_info{id="qemu/8",node="a",name="",type="qemu",template="",tags=""} 1"#,
            ]
        );
    }

    #[test]
    fn pools_stand_among_the_guests_and_vms_use_no_disk() {
        let resources = Resources::read(
            r#"{"data":[{"type":"pool","pool":"prod","id":"/pool/prod","mem":3,"uptime":4},
                {"type":"qemu","vmid":8,"node":"a","status":"stopped","disk":0}]}"#,
        );
        assert_eq!(
            lines(&pools(&resources.pools)),
            [r#"pve_memory_usage_bytes{id="/pool/prod"} 3"#, r#"pve_uptime_seconds{id="/pool/prod"} 4"#]
        );
        let told = lines(&guests(&resources.guests));
        assert!(told.contains(&r#"pve_disk_usage_bytes{id="qemu/8"} 0"#.to_owned()), "{told:?}");
    }
}
