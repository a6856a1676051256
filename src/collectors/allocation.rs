//! What guests were promised, beside what there is: CPUs and memory of each node, space on each storage. No call of its own:
//! from the list that all share, and the disks that `guest_config` has read. Try: `pvesh get /cluster/resources`

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::shared::Column;
use super::{Collector, Lane, Need, tell};
use crate::config::Preset;
use crate::inventory::{Guest, Learned, Resources};
use crate::metrics::{Desc, Family, Kind, Labels};

/// What a node has stands in `pve_cpu_usage_limit` and `pve_memory_size_bytes`, what a storage has in `pve_disk_size_bytes`.
pub(super) const COLLECTOR: Collector = Collector {
    name: "allocation",
    about: "CPUs, memory and disk space that guests were promised, per node and storage",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &["/cluster/resources"],
    families: &[&CPUS, &MEMORY, &PROVISIONED],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Fast(|view| {
        Box::pin(tell(view.resources(), |resources| families(resources, view.inventory().learned(), Instant::now())))
    }),
};

static CPUS: Desc = Desc {
    name: "pve_node_allocated_cpus",
    help: "CPUs of all guests on the node, or of those that run, each with at most those of the node, from /cluster/resources.",
    kind: Kind::Gauge,
};
static MEMORY: Desc = Desc {
    name: "pve_node_allocated_memory_bytes",
    help: "Memory of all guests on the node, or of those that run, from /cluster/resources.",
    kind: Kind::Gauge,
};
static PROVISIONED: Desc = Desc {
    name: "pve_storage_provisioned_bytes",
    help: "Sizes of the disks of guests on the storage, without snapshots, on a shared one those of all nodes, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};

/// CPUs and bytes.
#[derive(Default)]
struct Sums {
    all: [f64; 2],
    running: [f64; 2],
}

fn families(resources: &Resources, learned: &Learned, now: Instant) -> Vec<Family> {
    let mut sums: HashMap<&str, Sums, RandomState> = HashMap::default();
    // Templates are never started.
    for guest in resources.guests.iter().filter(|guest| guest.identity.template != Some(true)) {
        let sums = sums.entry(&guest.node).or_default();
        let given = [guest.usage.cpu_limit, guest.usage.memory_size].map(|figure| figure.get().unwrap_or(0.0));
        add(&mut sums.all, given);
        if runs(guest) {
            add(&mut sums.running, given);
        }
    }
    let mut columns = [&CPUS, &MEMORY].map(Column::new);
    for node in resources.nodes.iter().filter(|node| node.online && node.usage.memory_size.get().is_some()) {
        let id = format!("node/{}", node.name);
        let sums = sums.remove(node.name.as_str()).unwrap_or_default();
        for (guests, values) in [("all", sums.all), ("running", sums.running)] {
            let labels = Labels::new(&[("id", &id), ("guests", guests)]);
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(&labels, Some(value));
            }
        }
    }
    let mut provisioned = Column::new(&PROVISIONED);
    for (storage, bytes) in learned.provisioned(resources, now) {
        let id = format!("storage/{}/{}", storage.node, storage.name);
        provisioned.push(&Labels::new(&[("id", &id)]), Some(bytes));
    }
    columns.into_iter().chain([provisioned]).map(Column::into_family).collect()
}

/// A guest that is paused, or stands still, holds what it has as one that runs does.
fn runs(guest: &Guest) -> bool {
    guest.status.as_deref().is_some_and(|status| !matches!(status, "stopped" | "unknown"))
}

fn add(sum: &mut [f64; 2], given: [f64; 2]) {
    sum.iter_mut().zip(given).for_each(|(sum, given)| *sum += given);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::inventory::GuestKind;
    use proptest::prelude::*;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_hours(1);

    fn told(body: &str, learned: &Learned) -> Vec<String> {
        let families = families(&Resources::read(body), learned, Instant::now());
        check(&COLLECTOR, &families);
        lines(&families)
    }

    #[test]
    fn running_guests_and_all_are_summed_up_by_node() {
        let body = r#"{"data":[
            {"type":"node","node":"a","status":"online","maxcpu":8,"maxmem":100},
            {"type":"node","node":"b","status":"online","maxcpu":8,"maxmem":100},
            {"type":"node","node":"c","status":"offline","maxcpu":8,"maxmem":100},
            {"type":"node","node":"d","status":"online"},
            {"type":"qemu","vmid":100,"node":"a","status":"running","maxcpu":4,"maxmem":10,"template":0},
            {"type":"qemu","vmid":101,"node":"a","status":"paused","maxcpu":2,"maxmem":5,"template":0},
            {"type":"lxc","vmid":102,"node":"a","status":"stopped","maxcpu":0.5,"maxmem":3,"template":0},
            {"type":"qemu","vmid":103,"node":"a","status":"stopped","maxcpu":64,"maxmem":64,"template":1},
            {"type":"qemu","vmid":104,"node":"a","status":"unknown"},
            {"type":"qemu","vmid":105,"node":"c","status":"running","maxcpu":4,"maxmem":10,"template":0}]}"#;
        assert_eq!(
            told(body, &Learned::default()),
            [
                r#"pve_node_allocated_cpus{id="node/a",guests="all"} 6.5"#,
                r#"pve_node_allocated_cpus{id="node/a",guests="running"} 6"#,
                r#"pve_node_allocated_cpus{id="node/b",guests="all"} 0"#,
                r#"pve_node_allocated_cpus{id="node/b",guests="running"} 0"#,
                r#"pve_node_allocated_memory_bytes{id="node/a",guests="all"} 18"#,
                r#"pve_node_allocated_memory_bytes{id="node/a",guests="running"} 15"#,
                r#"pve_node_allocated_memory_bytes{id="node/b",guests="all"} 0"#,
                r#"pve_node_allocated_memory_bytes{id="node/b",guests="running"} 0"#,
            ]
        );
    }

    #[test]
    fn storages_are_told_what_they_were_promised() {
        let body = r#"{"data":[{"type":"node","node":"a","status":"online","maxmem":1},
            {"type":"qemu","vmid":100,"node":"a","status":"stopped","template":1},
            {"type":"storage","storage":"nfs","node":"a","shared":1,"status":"available","content":"images"},
            {"type":"storage","storage":"nfs","node":"b","shared":1,"status":"available","content":"images"}]}"#;
        let learned = Learned::default();
        learned.note_guest((GuestKind::Qemu, 100), [("nfs", 7.0)], false, Instant::now() + HOUR);
        assert_eq!(
            told(body, &learned)[4..],
            [
                r#"pve_storage_provisioned_bytes{id="storage/a/nfs"} 7"#,
                r#"pve_storage_provisioned_bytes{id="storage/b/nfs"} 7"#,
            ]
        );
    }

    #[test]
    fn what_is_beyond_all_measure_is_not_told() {
        let guest = |vmid: u32| {
            format!(r#"{{"type":"qemu","vmid":{vmid},"node":"a","status":"running","maxcpu":1,"maxmem":1.7e308}}"#)
        };
        let node = r#"{"type":"node","node":"a","status":"online","maxmem":100}"#;
        let told = told(&format!(r#"{{"data":[{node},{},{}]}}"#, guest(1), guest(2)), &Learned::default());
        assert!(told.iter().all(|line| line.starts_with("pve_node_allocated_cpus{")) && told.len() == 2, "{told:?}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in crate::pve::testing::any_rows(&["type", "node", "vmid", "status", "maxcpu", "maxmem", "storage"])) {
            let learned = Learned::default();
            learned.note_guest((GuestKind::Qemu, 1), [("local", 1.0)], false, Instant::now() + HOUR);
            let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
            let node = serde_json::json!({ "type": "node", "node": "a", "status": "online" });
            let all: Vec<_> = rows.iter().chain([&node]).collect();
            told(&serde_json::json!({ "data": all }).to_string(), &learned);
        }
    }
}
