//! What the administrator set for a guest: CPUs, memory, disks, network cards, and whether it starts with its node. What
//! waits for its next start counts as set.
//! Try: `pvesh get /nodes/NODE/qemu/100/config`

use std::time::Duration;

use tokio::time::Instant;

use super::shared::{self, Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, Subject};
use crate::config::Preset;
use crate::inventory::GuestKind;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, GuestConfig, GuestDisk, Nic};

const CALL: &str = "/nodes/{node}/{type}/{vmid}/config";
const TTL: Duration = Duration::from_hours(1);

/// One call per guest, and settings seldom change: an hour is soon enough.
pub(super) const COLLECTOR: Collector = Collector {
    name: "guest_config",
    about: "CPUs, memory, disks and network cards that guests were given, and whether they start with their node",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &[CALL],
    families: &[
        &ONBOOT, &CPUS, &SOCKETS, &CPU_LIMIT, &MEMORY, &BALLOON, &SWAP, &PROTECTED, &ORDER, &AGENT, &DISK_SIZE, &DISK,
        &NIC,
    ],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow { ttl: TTL, per: Per::Guest, blocks: false, max_in_flight: None, sees_all: false, fetch }),
};

pub(super) static ONBOOT: Desc = Desc {
    name: "pve_onboot_status",
    help: "Whether the guest is set to start with its node, only where that was ever set, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static CPUS: Desc = Desc {
    name: "pve_guest_allocated_cpus",
    help: "CPUs that the guest was given, absent for a container that may use all of its node, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static SOCKETS: Desc = Desc {
    name: "pve_guest_cpu_sockets",
    help: "Sockets that the CPUs of the VM are spread over, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static CPU_LIMIT: Desc = Desc {
    name: "pve_guest_cpu_limit",
    help: "How many CPUs may work for the guest at a time, only where that is limited, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static MEMORY: Desc = Desc {
    name: "pve_guest_allocated_memory_bytes",
    help: "Memory that the guest was given, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static BALLOON: Desc = Desc {
    name: "pve_guest_balloon_minimum_bytes",
    help: "Memory that the VM is left with when its node runs short, only where its balloon has such a bound, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static SWAP: Desc = Desc {
    name: "pve_guest_allocated_swap_bytes",
    help: "Swap space that the container was given, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static PROTECTED: Desc = Desc {
    name: "pve_guest_protected",
    help: "Whether the guest is protected from being removed, only where that was ever set, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static ORDER: Desc = Desc {
    name: "pve_guest_startup_order",
    help: "Place of the guest in the order in which those of its node start, only where it has one, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static AGENT: Desc = Desc {
    name: "pve_guest_agent_enabled",
    help: "Whether the VM is set to have a QEMU guest agent, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static DISK_SIZE: Desc = Desc {
    name: "pve_guest_disk_size_bytes",
    help: "Size of the disk or mount point of the guest as Proxmox VE remembers it, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static DISK: Desc = Desc {
    name: "pve_guest_disk_info",
    help: "Storage of the disk or mount point of the guest, and whether it is backed up, has a thread of its own, counts as SSD and gives back what is freed, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};
static NIC: Desc = Desc {
    name: "pve_guest_nic_info",
    help: "Model, bridge, VLAN and firewall of the network card of the guest, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};

/// Disks and agent are remembered, for what storages were promised and for whom to ask, as long as the shelf keeps values.
fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        let config = pve::guest_config(&answer)?;
        let Subject::Guest { kind, vmid, .. } = ask.subject() else { return Ok(Vec::new()) };
        let disks = config.disks();
        let taken = disks.iter().filter_map(|disk| Some((disk.storage?, bytes(disk)?)));
        let good_for = (ask.settings().ttl.unwrap_or(TTL) * 3).max(Duration::from_mins(30));
        let until = Instant::now() + good_for;
        ask.inventory().learned().note_guest((*kind, *vmid), taken, config.has_agent(), until);
        Ok(families(&shared::id(ask.subject()), *kind, &config))
    })
}

fn families(id: &str, kind: GuestKind, config: &GuestConfig<'_>) -> Vec<Family> {
    let is_vm = kind == GuestKind::Qemu;
    let labels = Labels::new(&[("id", id)]);
    let cores = config.cores.quantity().filter(|cores| *cores >= 1.0);
    let order = config.startup().order.and_then(|order| u32::try_from(order).ok());
    let told = [
        (&ONBOOT, config.onboot.0.map(flag)),
        (&CPUS, if is_vm { config.vcpus() } else { cores }),
        (&SOCKETS, config.sockets.quantity().or(Some(1.0)).filter(|_| is_vm)),
        (&CPU_LIMIT, config.cpu_limit()),
        (&MEMORY, config.memory_bytes()),
        (&BALLOON, config.balloon_bytes().filter(|_| is_vm)),
        (&SWAP, config.swap_bytes().filter(|_| !is_vm)),
        (&PROTECTED, config.protection.0.map(flag)),
        (&ORDER, order.map(f64::from)),
        (&AGENT, is_vm.then(|| flag(config.has_agent()))),
    ];
    let plain = told.into_iter().map(|(desc, value)| {
        let mut column = Column::new(desc);
        column.push(&labels, value);
        column.into_family()
    });
    plain.chain(of_disks(id, &config.disks())).chain([of_nics(id, &config.nics())]).collect()
}

fn of_disks(id: &str, disks: &[GuestDisk<'_>]) -> [Family; 2] {
    let (mut sizes, mut info) = (Column::new(&DISK_SIZE), Column::new(&DISK));
    for disk in disks {
        sizes.push(&Labels::new(&[("id", id), ("disk", disk.key)]), bytes(disk));
        info.push_info(Labels::new(&[
            ("id", id),
            ("disk", disk.key),
            ("storage", disk.storage.unwrap_or_default()),
            ("backup", word(Some(disk.backup))),
            ("iothread", word(disk.iothread)),
            ("ssd", word(disk.ssd)),
            ("discard", word(disk.discard)),
        ]));
    }
    [sizes, info].map(Column::into_family)
}

fn of_nics(id: &str, nics: &[Nic<'_>]) -> Family {
    let mut info = Column::new(&NIC);
    for nic in nics {
        info.push_info(Labels::new(&[
            ("id", id),
            ("nic", nic.key),
            ("model", nic.model.unwrap_or_default()),
            ("bridge", nic.bridge.unwrap_or_default()),
            ("vlan", nic.vlan.unwrap_or_default()),
            ("firewall", word(Some(nic.firewall))),
        ]));
    }
    info.into_family()
}

#[expect(clippy::cast_precision_loss, reason = "sizes are at most 2^53")]
fn bytes(disk: &GuestDisk<'_>) -> Option<f64> {
    disk.size.map(|size| size as f64)
}

/// Empty where there is no such choice.
fn word(is_set: Option<bool>) -> &'static str {
    match is_set {
        Some(true) => "1",
        Some(false) => "0",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Series, check, lines, reference, series};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_object, recorded};
    use proptest::prelude::*;

    fn told(id: &str, answer: &Answer) -> Vec<Family> {
        let kind = if id.starts_with("lxc/") { GuestKind::Lxc } else { GuestKind::Qemu };
        families(id, kind, &pve::guest_config(answer).expect("a configuration"))
    }

    /// What only says whether it starts with its node.
    fn onboot(mut families: Vec<Family>) -> Vec<Family> {
        families.retain(|family| family.desc == (&ONBOOT).into());
        families
    }

    #[test]
    fn the_recorded_guests_are_the_references_but_for_where_they_are() {
        let mut ours = Series::new();
        for (id, file) in [
            ("qemu/100", "GET_nodes__pve-lab__qemu__100__config.json"),
            ("qemu/9000", "GET_nodes__pve-lab__qemu__9000__config.json"),
            ("lxc/200", "GET_nodes__pve-lab__lxc__200__config.json"),
            ("lxc/202", "GET_lxc_202_cpulimit_0.5_config.json"),
        ] {
            ours.extend(series(&onboot(told(id, &recorded(&format!("pve-9.2-cluster/{file}"))))));
        }
        let without_place = |((name, mut labels), value): ((String, std::collections::BTreeMap<_, _>), f64)| {
            labels.retain(|label: &String, _| label == "id");
            ((name, labels), value)
        };
        let reference: Series = reference("pve_onboot_status").into_iter().map(without_place).collect();
        assert_eq!(reference.len(), 2);
        assert_eq!(ours, reference);
    }

    #[test]
    fn what_was_never_set_is_absent() {
        for (typed, value) in [(r#","onboot":1"#, Some("1")), (r#","onboot":"0""#, Some("0")), ("", None)] {
            let answer = Answer::of(&format!(r#"{{"data":{{"digest":"9f9a"{typed}}}}}"#));
            let expected: Vec<String> =
                value.iter().map(|value| format!("pve_onboot_status{{id=\"qemu/7\"}} {value}")).collect();
            assert_eq!(lines(&onboot(told("qemu/7", &answer))), expected);
        }
        for body in [r#"{"data":{"onboot":1}}"#, r#"{"data":{}}"#, r#"{"data":[1,"9f9a"]}"#, r#"{"data":null}"#] {
            assert!(pve::guest_config(&Answer::of(body)).is_err(), "{body}");
        }
    }

    #[test]
    fn recorded_guests_are_told_with_all_they_were_given() {
        assert_eq!(
            lines(&told("qemu/100", &recorded("pve-9.2-cluster/GET_nodes__pve-lab__qemu__100__config.json"))),
            [
                r#"pve_onboot_status{id="qemu/100"} 1"#,
                r#"pve_guest_allocated_cpus{id="qemu/100"} 1"#,
                r#"pve_guest_cpu_sockets{id="qemu/100"} 1"#,
                r#"pve_guest_allocated_memory_bytes{id="qemu/100"} 268435456"#,
                r#"pve_guest_agent_enabled{id="qemu/100"} 1"#,
                r#"pve_guest_disk_size_bytes{id="qemu/100",disk="scsi0"} 1073741824"#,
                r#"pve_guest_disk_info{id="qemu/100",disk="scsi0",storage="local",backup="1",iothread="0",ssd="0",discard="0"} 1"#,
                r#"pve_guest_nic_info{id="qemu/100",nic="net0",model="virtio",bridge="vmbr0",vlan="",firewall="0"} 1"#,
            ]
        );
        assert_eq!(
            lines(&told("lxc/202", &recorded("pve-9.2-cluster/GET_lxc_202_cpulimit_0.5_config.json"))),
            [
                r#"pve_guest_cpu_limit{id="lxc/202"} 0.5"#,
                r#"pve_guest_allocated_memory_bytes{id="lxc/202"} 67108864"#,
                r#"pve_guest_allocated_swap_bytes{id="lxc/202"} 0"#,
                r#"pve_guest_disk_size_bytes{id="lxc/202",disk="rootfs"} 1073741824"#,
                r#"pve_guest_disk_info{id="lxc/202",disk="rootfs",storage="local",backup="1",iothread="",ssd="",discard=""} 1"#,
                r#"pve_guest_nic_info{id="lxc/202",nic="net0",model="veth",bridge="vmbr0",vlan="",firewall="0"} 1"#,
            ]
        );
    }

    #[test]
    fn what_a_guest_does_not_have_is_absent() {
        for (id, settings, expected) in [
            ("lxc/7", r#""balloon":512,"sockets":2,"agent":1"#, &[][..]),
            (
                "qemu/7",
                r#""swap":512,"cpulimit":0,"balloon":0"#,
                &["pve_guest_agent_enabled", "pve_guest_allocated_cpus", "pve_guest_cpu_sockets"],
            ),
            (
                "qemu/7",
                r#""balloon":512,"protection":1,"startup":"order=3""#,
                &[
                    "pve_guest_agent_enabled",
                    "pve_guest_allocated_cpus",
                    "pve_guest_balloon_minimum_bytes",
                    "pve_guest_cpu_sockets",
                    "pve_guest_protected",
                    "pve_guest_startup_order",
                ],
            ),
        ] {
            let answer = Answer::of(&format!(r#"{{"data":{{"digest":"9f9a",{settings}}}}}"#));
            let told = series(&told(id, &answer));
            let mut names: Vec<&str> = told.keys().map(|(name, _)| name.as_str()).collect();
            names
                .retain(|name| !matches!(*name, "pve_guest_allocated_memory_bytes" | "pve_guest_allocated_swap_bytes"));
            assert_eq!(names, expected, "{settings}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(config in any_object(&[
            "onboot", "digest", "name", "cores", "sockets", "vcpus", "cpulimit", "memory", "balloon", "swap", "protection",
            "startup", "agent", "scsi0", "scsi00", "virtio1", "mp0", "rootfs", "net0", "net1",
        ])) {
            let answer = Answer::of(&serde_json::json!({ "data": config }).to_string());
            if let Ok(config) = pve::guest_config(&answer) {
                check(&COLLECTOR, &families("qemu/7", GuestKind::Qemu, &config));
                check(&COLLECTOR, &families("lxc/7", GuestKind::Lxc, &config));
            }
        }
    }
}
