//! What each running guest does, in more detail than the list of all has it: by disk, by network card, and how long it had
//! to wait. Try: `pvesh get /nodes/NODE/qemu/100/status/current`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{self, Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, Subject};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::wire::Number;
use crate::pve::{self, DiskCounters, GuestStatus};

const CALL: &str = "/nodes/{node}/{type}/{vmid}/status/current";

/// QEMU itself is asked, for which PVE waits two seconds and more with a worker of pvedaemon in hand.
pub(super) const COLLECTOR: Collector = Collector {
    name: "guest_status",
    about: "traffic of each disk and network card of running guests, their pressure, balloon and QEMU",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &[CALL],
    families: &[
        &RECEIVED,
        &TRANSMITTED,
        &DISK_BYTES,
        &DISK_OPERATIONS,
        &DISK_SECONDS,
        &DISK_FAILED,
        &BALLOON,
        &FREE,
        &SWAP,
        &PRESSURE,
        &QEMU,
        &OUTDATED,
    ],
    preset: Some(Preset::Full),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(2),
        per: Per::Running,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static RECEIVED: Desc = Desc {
    name: "pve_guest_nic_receive_bytes_total",
    help: "Bytes that the VM received over its network card since its start or last migration, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Counter,
};
static TRANSMITTED: Desc = Desc {
    name: "pve_guest_nic_transmit_bytes_total",
    help: "Bytes that the VM sent over its network card since its start or last migration, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Counter,
};
static DISK_BYTES: Desc = Desc {
    name: "pve_guest_disk_bytes_total",
    help: "Bytes read from or written to the disk of the VM since its QEMU was started, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Counter,
};
static DISK_OPERATIONS: Desc = Desc {
    name: "pve_guest_disk_operations_total",
    help: "Reads, writes and flushes of the disk of the VM since its QEMU was started, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Counter,
};
static DISK_SECONDS: Desc = Desc {
    name: "pve_guest_disk_operation_seconds_total",
    help: "Time that reads, writes and flushes of the disk of the VM took since its QEMU was started, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Counter,
};
static DISK_FAILED: Desc = Desc {
    name: "pve_guest_disk_failed_operations_total",
    help: "Reads, writes and flushes of the disk of the VM that failed since its QEMU was started, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Counter,
};
static BALLOON: Desc = Desc {
    name: "pve_guest_balloon_bytes",
    help: "Memory that the balloon leaves the VM just now, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Gauge,
};
static FREE: Desc = Desc {
    name: "pve_guest_memory_free_bytes",
    help: "Memory that is free by the word of the VM's own balloon driver, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Gauge,
};
static SWAP: Desc = Desc {
    name: "pve_guest_swap_usage_bytes",
    help: "Swap space that the container uses, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Gauge,
};
static PRESSURE: Desc = Desc {
    name: "pve_guest_pressure_ratio",
    help: "Share of the last ten seconds in which some of the guest, or all of it, waited for CPU, disk or memory, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Gauge,
};
static QEMU: Desc = Desc {
    name: "pve_guest_qemu_info",
    help: "Version of the QEMU that the VM runs in, and the machine that it makes, from /nodes/{node}/{type}/{vmid}/status/current.",
    kind: Kind::Gauge,
};
static OUTDATED: Desc = Desc {
    name: "pve_guest_qemu_outdated",
    help: "Whether the VM runs in an older QEMU than its node has by now, from /nodes/{node}/{type}/{vmid}/status/current and /nodes/{node}/apt/versions.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        let status = pve::guest_status(&answer)?;
        let Subject::Guest { node, .. } = ask.subject() else { return Ok(Vec::new()) };
        let learned = ask.inventory().learned();
        let outdated = status.running_qemu.filled().and_then(|running| learned.is_outdated(node, running));
        Ok(families(&shared::id(ask.subject()), &status, outdated))
    })
}

fn families(id: &str, status: &GuestStatus<'_>, outdated: Option<bool>) -> Vec<Family> {
    let mut families = of_memory(id, status);
    families.push(of_pressure(id, status));
    families.extend(of_nics(id, status));
    families.extend(of_disks(id, status));
    let (mut qemu, mut is_outdated) = (Column::new(&QEMU), Column::new(&OUTDATED));
    if let Some(version) = status.running_qemu.filled() {
        let machine = status.running_machine.filled().unwrap_or_default();
        qemu.push_info(Labels::new(&[("id", id), ("version", version), ("machine", machine)]));
    }
    is_outdated.push(&Labels::new(&[("id", id)]), outdated.map(flag));
    families.extend([qemu, is_outdated].map(Column::into_family));
    families
}

fn of_memory(id: &str, status: &GuestStatus<'_>) -> Vec<Family> {
    let labels = Labels::new(&[("id", id)]);
    // A container that is stopped has no swap in use, and PVE then says 0.
    let runs = status.status.filled() == Some("running");
    let told = [
        (&BALLOON, status.balloon.quantity()),
        (&FREE, status.freemem.quantity()),
        (&SWAP, status.swap.quantity().filter(|_| runs)),
    ];
    let family = |(desc, value)| {
        let mut column = Column::new(desc);
        column.push(&labels, value);
        column.into_family()
    };
    told.map(family).into()
}

fn of_pressure(id: &str, status: &GuestStatus<'_>) -> Family {
    let mut pressure = Column::new(&PRESSURE);
    for (resource, kind, percent) in [
        ("cpu", "some", status.cpu_some),
        ("cpu", "full", status.cpu_full),
        ("io", "some", status.io_some),
        ("io", "full", status.io_full),
        ("memory", "some", status.memory_some),
        ("memory", "full", status.memory_full),
    ] {
        let labels = Labels::new(&[("id", id), ("resource", resource), ("kind", kind)]);
        pressure.push(&labels, percent.quantity().map(|percent| percent / 100.0));
    }
    pressure.into_family()
}

fn of_nics(id: &str, status: &GuestStatus<'_>) -> [Family; 2] {
    let named = status.nics.0.iter().filter_map(|(name, nic)| Some((card(name.filled()?)?, nic)));
    let cards: BTreeMap<u32, _> = named.collect();
    let (mut received, mut transmitted) = (Column::new(&RECEIVED), Column::new(&TRANSMITTED));
    for (number, nic) in cards {
        let labels = Labels::new(&[("id", id), ("nic", &format!("net{number}"))]);
        received.push(&labels, nic.netin.quantity());
        transmitted.push(&labels, nic.netout.quantity());
    }
    [received, transmitted].map(Column::into_family)
}

/// The number of the card that an interface of the node, such as `tap100i0`, belongs to.
fn card(interface: &str) -> Option<u32> {
    let (_, number) = interface.strip_prefix("tap")?.split_once('i')?;
    number.parse().ok()
}

fn of_disks(id: &str, status: &GuestStatus<'_>) -> [Family; 4] {
    let named = status.blockstat.0.iter().filter_map(|(key, disk)| Some((key.filled()?, disk)));
    // A backup plugs in helpers of its own for a while, under names that no guest's configuration has.
    let disks: BTreeMap<&str, &DiskCounters> = named.filter(|(key, _)| pve::is_disk(key)).collect();
    let mut columns = [&DISK_BYTES, &DISK_OPERATIONS, &DISK_SECONDS, &DISK_FAILED].map(Column::new);
    for (key, disk) in disks {
        let told = [
            ("read", Some(disk.rd_bytes), disk.rd_operations, disk.rd_total_time_ns, disk.failed_rd_operations),
            ("write", Some(disk.wr_bytes), disk.wr_operations, disk.wr_total_time_ns, disk.failed_wr_operations),
            ("flush", None, disk.flush_operations, disk.flush_total_time_ns, disk.failed_flush_operations),
        ];
        for (operation, bytes, count, nanoseconds, failed) in told {
            let labels = Labels::new(&[("id", id), ("disk", key), ("operation", operation)]);
            let seconds = nanoseconds.quantity().map(|time| time / 1e9);
            let values = [bytes.and_then(Number::quantity), count.quantity(), seconds, failed.quantity()];
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(&labels, value);
            }
        }
    }
    columns.map(Column::into_family)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_json, any_object, recorded};
    use proptest::prelude::*;

    fn told(id: &str, answer: &Answer) -> Vec<String> {
        lines(&families(id, &pve::guest_status(answer).expect("a status"), None))
    }

    #[test]
    fn a_recorded_vm_is_told_by_disk_and_card() {
        assert_eq!(
            told("qemu/103", &recorded("pve-9.2-cluster/GET_nodes__pve-lab__qemu__103__status__current.json")),
            [
                r#"pve_guest_balloon_bytes{id="qemu/103"} 402653184"#,
                r#"pve_guest_pressure_ratio{id="qemu/103",resource="cpu",kind="some"} 0.0181"#,
                r#"pve_guest_pressure_ratio{id="qemu/103",resource="cpu",kind="full"} 0.0128"#,
                r#"pve_guest_pressure_ratio{id="qemu/103",resource="io",kind="some"} 0"#,
                r#"pve_guest_pressure_ratio{id="qemu/103",resource="io",kind="full"} 0"#,
                r#"pve_guest_pressure_ratio{id="qemu/103",resource="memory",kind="some"} 0"#,
                r#"pve_guest_pressure_ratio{id="qemu/103",resource="memory",kind="full"} 0"#,
                r#"pve_guest_nic_receive_bytes_total{id="qemu/103",nic="net0"} 1146"#,
                r#"pve_guest_nic_transmit_bytes_total{id="qemu/103",nic="net0"} 1076"#,
                r#"pve_guest_disk_bytes_total{id="qemu/103",disk="scsi0",operation="read"} 67244544"#,
                r#"pve_guest_disk_bytes_total{id="qemu/103",disk="scsi0",operation="write"} 0"#,
                r#"pve_guest_disk_operations_total{id="qemu/103",disk="scsi0",operation="read"} 515"#,
                r#"pve_guest_disk_operations_total{id="qemu/103",disk="scsi0",operation="write"} 0"#,
                r#"pve_guest_disk_operations_total{id="qemu/103",disk="scsi0",operation="flush"} 0"#,
                r#"pve_guest_disk_operation_seconds_total{id="qemu/103",disk="scsi0",operation="read"} 0.04480027"#,
                r#"pve_guest_disk_operation_seconds_total{id="qemu/103",disk="scsi0",operation="write"} 0"#,
                r#"pve_guest_disk_operation_seconds_total{id="qemu/103",disk="scsi0",operation="flush"} 0"#,
                r#"pve_guest_disk_failed_operations_total{id="qemu/103",disk="scsi0",operation="read"} 0"#,
                r#"pve_guest_disk_failed_operations_total{id="qemu/103",disk="scsi0",operation="write"} 0"#,
                r#"pve_guest_disk_failed_operations_total{id="qemu/103",disk="scsi0",operation="flush"} 0"#,
                r#"pve_guest_qemu_info{id="qemu/103",version="10.0.13",machine="pc-i440fx-10.0"} 1"#,
            ]
        );
    }

    #[test]
    fn a_container_tells_its_pressure_in_texts_and_has_no_qemu() {
        let lines = told("lxc/202", &recorded("pve-9.2-cluster/GET_lxc_202_cpulimit_0.5_status.json"));
        assert_eq!(lines.len(), 7);
        assert_eq!(lines[0], r#"pve_guest_swap_usage_bytes{id="lxc/202"} 0"#);
        assert_eq!(lines[1], r#"pve_guest_pressure_ratio{id="lxc/202",resource="cpu",kind="some"} 0.0004"#);
    }

    #[test]
    fn what_qemu_does_not_tell_is_absent() {
        // Paused, and its monitor busy: neither disks nor versions.
        let paused = told("qemu/102", &recorded("pve-9.2-cluster/GET_qemu_102_paused_status.json"));
        assert_eq!(paused.len(), 8, "{paused:?}");
        for file in [
            "GET_nodes__pve-lab__qemu__102__status__current.json",
            "GET_nodes__pve-lab__lxc__201__status__current.json",
        ] {
            assert_eq!(told("qemu/102", &recorded(&format!("pve-9.2-cluster/{file}"))), [""; 0], "{file}");
        }
    }

    #[test]
    fn cards_and_the_age_of_qemu_are_told() {
        let body = r#"{"data":{"status":"running","running-qemu":"9.2.0","nics":{"tap7i10":{"netin":1},"tap7i2":{"netout":"5"},
            "tap7i02":{"netin":-1},"veth7i0":{"netin":1},"tap7":{"netin":1},"tap7ix":{"netin":1}}}}"#;
        let answer = Answer::of(body);
        let status = pve::guest_status(&answer).expect("a status");
        assert_eq!(
            lines(&families("qemu/7", &status, Some(true))),
            [
                r#"pve_guest_nic_receive_bytes_total{id="qemu/7",nic="net10"} 1"#,
                r#"pve_guest_qemu_info{id="qemu/7",version="9.2.0",machine=""} 1"#,
                r#"pve_guest_qemu_outdated{id="qemu/7"} 1"#,
            ]
        );
    }

    #[test]
    fn what_a_backup_plugs_in_is_no_disk_of_the_guest() {
        let named = ["scsi0", "scsi0-fleecing", "fleecing-scsi0", "tpmstate0-backup", "pflash0", "efidisk0", "ide2"];
        let disks: Vec<String> = named.map(|name| format!(r#""{name}":{{"rd_bytes":1}}"#)).into();
        let body = format!(r#"{{"data":{{"status":"running","blockstat":{{{}}}}}}}"#, disks.join(","));
        let told = told("qemu/7", &Answer::of(&body));
        let expected = ["efidisk0", "ide2", "scsi0"]
            .map(|disk| format!(r#"pve_guest_disk_bytes_total{{id="qemu/7",disk="{disk}",operation="read"}} 1"#));
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            mut status in any_object(&["status", "running-qemu", "balloon", "freemem", "swap", "pressurecpusome"]),
            nics in any_json(),
            disk in any_object(&["rd_bytes", "wr_bytes", "rd_operations", "flush_total_time_ns", "failed_wr_operations"]),
        ) {
            status["nics"] = serde_json::json!({ "tap7i0": nics, "tap7i00": disk });
            status["blockstat"] = serde_json::json!({ "scsi0": disk, "virtio1": disk, "": disk, "x\"": disk, "more": nics });
            let answer = Answer::of(&serde_json::json!({ "data": status }).to_string());
            if let Ok(status) = pve::guest_status(&answer) {
                check(&COLLECTOR, &families("qemu/7", &status, Some(false)));
            }
        }
    }
}
