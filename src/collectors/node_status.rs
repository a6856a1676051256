//! What each node is made of and runs: release, kernel, boot mode, processors, memory that is left, KSM.
//! Try: `pvesh get /nodes/NODE/status`

use std::time::Duration;

use super::shared::{self, Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, NodeStatus};

const CALL: &str = "/nodes/{node}/status";

/// What `/cluster/resources` says of CPU, memory and root file system is not repeated here.
pub(super) const COLLECTOR: Collector = Collector {
    name: "node_status",
    about: "release, kernel, boot mode, processors, available memory and KSM of every node",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" }],
    calls: &[CALL],
    families: &[
        &SOFTWARE,
        &CPU,
        &SOCKETS,
        &CORES,
        &THREADS,
        &SECURE_BOOT,
        &MEMORY_AVAILABLE,
        &KSM_SHARED,
        &ROOTFS_AVAILABLE,
    ],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(1),
        per: Per::Node,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static SOFTWARE: Desc = Desc {
    name: "pve_node_software_info",
    help: "Version of Proxmox VE, running kernel and boot mode of the node, from /nodes/{node}/status.",
    kind: Kind::Gauge,
};
static CPU: Desc = Desc {
    name: "pve_node_cpu_info",
    help: "Model of the node's processors, from /nodes/{node}/status.",
    kind: Kind::Gauge,
};
static SOCKETS: Desc = Desc {
    name: "pve_node_cpu_sockets",
    help: "Number of the node's processor sockets in use, from /nodes/{node}/status.",
    kind: Kind::Gauge,
};
static CORES: Desc = Desc {
    name: "pve_node_cpu_cores",
    help: "Number of the node's physical cores, all sockets together, from /nodes/{node}/status.",
    kind: Kind::Gauge,
};
static THREADS: Desc = Desc {
    name: "pve_node_cpu_threads",
    help: "Number of the node's logical CPUs, from /nodes/{node}/status.",
    kind: Kind::Gauge,
};
static SECURE_BOOT: Desc = Desc {
    name: "pve_node_secure_boot",
    help: "Whether the node booted with secure boot, absent without EFI, from /nodes/{node}/status.",
    kind: Kind::Gauge,
};
static MEMORY_AVAILABLE: Desc = Desc {
    name: "pve_node_memory_available_bytes",
    help: "Memory that new processes could have without swapping, absent before PVE 9, from /nodes/{node}/status.",
    kind: Kind::Gauge,
};
static KSM_SHARED: Desc = Desc {
    name: "pve_node_ksm_shared_bytes",
    help: "Memory that the node saves because guests share equal pages (KSM), from /nodes/{node}/status.",
    kind: Kind::Gauge,
};
static ROOTFS_AVAILABLE: Desc = Desc {
    name: "pve_node_rootfs_available_bytes",
    help: "Space of the node's root file system that is left for processes, reserved blocks taken off, from /nodes/{node}/status.",
    kind: Kind::Gauge,
};

/// PVE's words for how a node booted; another one becomes `other`.
const BOOT_MODES: &[&str] = &["efi", "legacy-bios"];

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(&shared::id(ask.subject()), &pve::node_status(&answer)?))
    })
}

fn families(id: &str, status: &NodeStatus<'_>) -> Vec<Family> {
    let [mut software, mut cpu] = [&SOFTWARE, &CPU].map(Column::new);
    let boot_mode = status.boot.mode.filled();
    let boot_mode =
        boot_mode.map_or("", |said| BOOT_MODES.iter().find(|word| **word == said).copied().unwrap_or("other"));
    software.push_info(Labels::new(&[
        ("id", id),
        ("version", status.version().unwrap_or_default()),
        ("kernel", status.kernel_release().unwrap_or_default()),
        ("boot_mode", boot_mode),
    ]));
    if let Some(model) = status.cpu.model.filled() {
        cpu.push_info(Labels::new(&[("id", id), ("model", model)]));
    }
    let labels = Labels::new(&[("id", id)]);
    // A node has at least one of each.
    let number = |number: pve::wire::Number| number.0.filter(|number| *number >= 1.0);
    let values = [
        (&SOCKETS, number(status.cpu.sockets)),
        (&CORES, number(status.cpu.cores)),
        (&THREADS, number(status.cpu.cpus)),
        (&SECURE_BOOT, status.boot.secureboot.0.map(flag)),
        (&MEMORY_AVAILABLE, status.memory_available.quantity()),
        (&KSM_SHARED, status.ksm_shared.quantity()),
        (&ROOTFS_AVAILABLE, status.rootfs_available.quantity()),
    ];
    let values = values.map(|(desc, value)| {
        let mut column = Column::new(desc);
        column.push(&labels, value);
        column
    });
    [software, cpu].into_iter().chain(values).map(Column::into_family).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_json, any_object, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<String> {
        lines(&families("node/pve-lab", &pve::node_status(answer).expect("a status")))
    }

    #[test]
    fn the_recorded_node_is_told_without_the_figures_of_a_worker() {
        assert_eq!(
            told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__status.json")),
            [
                "pve_node_software_info{id=\"node/pve-lab\",version=\"9.2.11\",kernel=\"6.18.44-fc-v669\",boot_mode=\"legacy-bios\"} 1",
                "pve_node_cpu_info{id=\"node/pve-lab\",model=\"Intel(R) Xeon(R) Processor\"} 1",
                "pve_node_cpu_sockets{id=\"node/pve-lab\"} 1",
                "pve_node_cpu_cores{id=\"node/pve-lab\"} 2",
                "pve_node_cpu_threads{id=\"node/pve-lab\"} 2",
                "pve_node_memory_available_bytes{id=\"node/pve-lab\"} 21985607680",
                "pve_node_ksm_shared_bytes{id=\"node/pve-lab\"} 0",
                "pve_node_rootfs_available_bytes{id=\"node/pve-lab\"} 74323513344",
            ]
        );
    }

    #[test]
    fn what_a_release_does_not_tell_is_absent() {
        let old = r#"{"data":{"pveversion":"pve-manager/8.0.4/d258a813","kversion":"Linux 6.2.16-3-pve #1 SMP",
            "memory":{"total":8,"free":4,"used":4},"cpuinfo":{"cores":"16","sockets":0,"cpus":32},"ksm":{}}}"#;
        assert_eq!(
            told(&Answer::of(old)),
            [
                "pve_node_software_info{id=\"node/pve-lab\",version=\"8.0.4\",kernel=\"6.2.16-3-pve\",boot_mode=\"\"} 1",
                "pve_node_cpu_cores{id=\"node/pve-lab\"} 16",
                "pve_node_cpu_threads{id=\"node/pve-lab\"} 32",
            ]
        );
        let efi = |mode: &str, secure: &str| {
            told(&Answer::of(&format!(
                r#"{{"data":{{"pveversion":"pve-manager/9.0.0/1","boot-info":{{"mode":"{mode}","secureboot":{secure}}}}}}}"#
            )))
        };
        assert_eq!(
            efi("efi", "1"),
            [
                "pve_node_software_info{id=\"node/pve-lab\",version=\"9.0.0\",kernel=\"\",boot_mode=\"efi\"} 1",
                "pve_node_secure_boot{id=\"node/pve-lab\"} 1",
            ]
        );
        assert!(efi("dancing", "0")[0].contains("boot_mode=\"other\""));
        assert!(efi("efi", "0")[1].ends_with(" 0"));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            mut status in any_object(&["kversion"]),
            cpu in any_object(&["model", "cores", "sockets", "cpus"]),
            boot in any_object(&["mode", "secureboot"]),
            memory in any_object(&["available"]),
            other in any_json(),
        ) {
            status["pveversion"] = "pve-manager/9.2/1".into();
            (status["cpuinfo"], status["boot-info"], status["memory"], status["ksm"]) = (cpu, boot, memory, other);
            let answer = Answer::of(&serde_json::json!({ "data": status }).to_string());
            check(&COLLECTOR, &families("node/a", &pve::node_status(&answer).expect("a status")));
        }
    }
}
