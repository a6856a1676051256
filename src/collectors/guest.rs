//! VMs and containers: state, CPU, memory, disk, network, uptime. Try: `pvesh get /cluster/resources --type vm`

use std::sync::Arc;

use super::shared::{self, flag};
use super::{Collector, Lane, Need, tell};
use crate::config::Preset;
use crate::inventory::{Guest, GuestKind, GuestList};
use crate::metrics::{self, Desc, Family, Kind, Rows, Say, Things};

/// Every guest of the cluster.
pub(super) const COLLECTOR: Collector = Collector {
    name: "guest",
    about: "state, CPU, memory, disk, network and uptime of every VM and container",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &["/cluster/resources"],
    families: &[
        &shared::UP,
        &STATE,
        &INFO,
        &shared::CPU_RATIO,
        &shared::CPU_LIMIT,
        &shared::MEMORY,
        &shared::MEMORY_SIZE,
        &shared::DISK,
        &shared::DISK_SIZE,
        &shared::UPTIME,
        &MEMORY_HOST,
        &RECEIVED,
        &TRANSMITTED,
        &READ,
        &WRITTEN,
    ],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Fast(|view| Box::pin(tell(view.resources(), |resources| families(&resources.guests)))),
};

static STATE: Desc = Desc {
    name: "pve_guest_state",
    help: "The state of the guest in PVE's own word, unknown while its node is not online, from /cluster/resources.",
    kind: Kind::Gauge,
};
static INFO: Desc = Desc {
    name: "pve_guest_info",
    help: "Name, node, type, template flag and tags of the guest, as last known, from /cluster/resources.",
    kind: Kind::Gauge,
};
static MEMORY_HOST: Desc = Desc {
    name: "pve_guest_memory_host_bytes",
    help: "Memory that the VM takes of its host, QEMU's own included, from /cluster/resources since PVE 9.",
    kind: Kind::Gauge,
};
pub(super) static RECEIVED: Desc = Desc {
    name: "pve_network_receive_bytes_total",
    help: "Bytes that the guest received over the network since its start, from /cluster/resources.",
    kind: Kind::Counter,
};
pub(super) static TRANSMITTED: Desc = Desc {
    name: "pve_network_transmit_bytes_total",
    help: "Bytes that the guest sent over the network since its start, from /cluster/resources.",
    kind: Kind::Counter,
};
pub(super) static READ: Desc = Desc {
    name: "pve_disk_read_bytes_total",
    help: "Bytes that the guest read from its block devices since its start, from /cluster/resources.",
    kind: Kind::Counter,
};
pub(super) static WRITTEN: Desc = Desc {
    name: "pve_disk_written_bytes_total",
    help: "Bytes that the guest wrote to its block devices since its start, from /cluster/resources.",
    kind: Kind::Counter,
};

/// A family that is told by `id` alone, and where its value is found.
type Figure = (&'static Desc, fn(&Guest) -> Option<f64>);

const FIGURES: [Figure; 13] = [
    (&shared::UP, up),
    (&shared::CPU_RATIO, |guest| guest.usage.cpu_ratio.get()),
    (&shared::CPU_LIMIT, |guest| guest.usage.cpu_limit.get()),
    (&shared::MEMORY, |guest| guest.usage.memory.get()),
    (&shared::MEMORY_SIZE, |guest| guest.usage.memory_size.get()),
    (&shared::DISK, disk),
    (&shared::DISK_SIZE, |guest| guest.usage.disk_size.get()),
    (&shared::UPTIME, |guest| guest.usage.uptime.get()),
    (&MEMORY_HOST, memory_host),
    (&RECEIVED, |guest| guest.traffic.received.get()),
    (&TRANSMITTED, |guest| guest.traffic.transmitted.get()),
    (&READ, |guest| guest.traffic.read.get()),
    (&WRITTEN, |guest| guest.traffic.written.get()),
];

/// Families that say more of a guest, by the labels besides its `id`.
const FACTS: [&Desc; 2] = [&STATE, &INFO];

/// The states that QEMU, LXC and PVE know; another word becomes `other`, so that the label stays bounded.
const STATES: &[&str] = &[
    "running",
    "stopped",
    "paused",
    "suspended",
    "prelaunch",
    "preconfig",
    "inmigrate",
    "postmigrate",
    "finish-migrate",
    "save-vm",
    "restore-vm",
    "shutdown",
    "io-error",
    "internal-error",
    "guest-panicked",
    "watchdog",
    "debug",
    "colo",
    "frozen",
    UNKNOWN,
];
const UNKNOWN: &str = "unknown";

/// They are as many as everything else on the page together: told from the snapshot itself.
#[derive(Debug)]
struct Guests(GuestList);

fn families(guests: &GuestList) -> Vec<Family> {
    let mut names = Rows::new(guests.len());
    let mut id = String::new();
    for guest in guests.iter() {
        id.clear();
        guest.identity.write_id(&mut id);
        names.push(&[("id", &id)]);
    }
    metrics::families(Arc::new(Guests(guests.clone())), names, FIGURES.map(|(desc, _)| desc), FACTS)
}

impl Things for Guests {
    fn figures(&self, figure: usize, from: usize, values: &mut [f64]) -> usize {
        let Some((_, of)) = FIGURES.get(figure) else { return 0 };
        let mut told = 0;
        for (guest, value) in self.0.iter_from(from).zip(values) {
            *value = of(guest).unwrap_or(f64::NAN);
            told += 1;
        }
        told
    }

    fn labels(&self, fact: usize, place: usize, say: Say<'_>) {
        let Some(guest) = self.0.iter_from(place).next() else { return };
        match fact {
            0 => say(&[("state", word(guest))]),
            _ => say(&info_labels(guest)),
        }
    }
}

fn up(guest: &Guest) -> Option<f64> {
    Some(word(guest)).filter(|word| *word != UNKNOWN).map(|word| flag(word == "running"))
}

/// PVE says 0 for the disk usage of every VM because it cannot look inside.
fn disk(guest: &Guest) -> Option<f64> {
    guest.usage.disk.filter(|used| used > 0.0 || guest.identity.kind == GuestKind::Lxc)
}

fn memory_host(guest: &Guest) -> Option<f64> {
    guest.memory_host.filter(|_| guest.identity.kind == GuestKind::Qemu)
}

fn word(guest: &Guest) -> &'static str {
    let Some(status) = guest.status.as_deref() else { return UNKNOWN };
    STATES.iter().find(|state| **state == status).copied().unwrap_or("other")
}

fn info_labels(guest: &Guest) -> [(&'static str, &str); 5] {
    let identity = &guest.identity;
    let template = match identity.template {
        Some(true) => "1",
        Some(false) => "0",
        None => "",
    };
    [
        ("name", identity.name.as_deref().unwrap_or_default()),
        ("node", &guest.node),
        ("type", identity.kind.as_str()),
        ("template", template),
        ("tags", &identity.tags),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Identity, Traffic, Usage};

    fn guest(kind: GuestKind, status: Option<&str>) -> Guest {
        Guest {
            identity: Arc::new(Identity {
                kind,
                vmid: 100,
                name: Some("a \"quoted\" name".into()),
                tags: "a;b".into(),
                pool: None,
                template: None,
            }),
            node: "pve1".into(),
            status: status.map(Into::into),
            lock: None,
            ha_state: None,
            usage: Usage { disk: Some(0.0).into(), memory: Some(5.0).into(), ..Usage::default() },
            memory_host: Some(6.0).into(),
            traffic: Traffic { received: Some(7.0).into(), ..Traffic::default() },
            ghost: None,
        }
    }

    fn lines(guest: Guest) -> Vec<String> {
        let mut lines = Vec::new();
        for family in families(&GuestList::from_iter([guest])) {
            for sample in family.samples.iter() {
                lines.push(format!("{}{{{}}} {}", family.desc.view().name, sample.labels.as_str(), sample.value));
            }
        }
        lines
    }

    #[test]
    fn what_pve_does_not_know_is_absent() {
        assert_eq!(
            lines(guest(GuestKind::Qemu, Some("running"))),
            [
                "pve_up{id=\"qemu/100\"} 1",
                "pve_memory_usage_bytes{id=\"qemu/100\"} 5",
                "pve_guest_memory_host_bytes{id=\"qemu/100\"} 6",
                "pve_network_receive_bytes_total{id=\"qemu/100\"} 7",
                "pve_guest_state{id=\"qemu/100\",state=\"running\"} 1",
                "pve_guest_info{id=\"qemu/100\",name=\"a \\\"quoted\\\" name\",node=\"pve1\",type=\"qemu\",template=\"\",tags=\"a;b\"} 1",
            ]
        );
        let container = lines(guest(GuestKind::Lxc, Some("stopped")));
        assert!(container.contains(&"pve_disk_usage_bytes{id=\"lxc/100\"} 0".to_owned()), "{container:?}");
        assert!(!container.iter().any(|line| line.starts_with("pve_guest_memory_host")), "{container:?}");
    }

    #[test]
    fn states_are_pves_words_or_other_and_unknown_is_not_down() {
        for (status, state, up) in [
            (Some("running"), "running", Some("1")),
            (Some("io-error"), "io-error", Some("0")),
            (Some("brand-new"), "other", Some("0")),
            (Some("unknown"), "unknown", None),
            (None, "unknown", None),
        ] {
            let lines = lines(guest(GuestKind::Qemu, status));
            assert!(lines.contains(&format!("pve_guest_state{{id=\"qemu/100\",state=\"{state}\"}} 1")), "{lines:?}");
            let found = lines.iter().find_map(|line| line.strip_prefix("pve_up{id=\"qemu/100\"} "));
            assert_eq!(found, up, "{status:?}");
        }
    }
}
