//! What a guest does just now, told by itself: disks, network cards, pressure, balloon, and the QEMU it was started in.

use super::super::json::{self, List, Value};
use super::super::noise::{Shuffle, hash};
use super::cluster::Cluster;
use super::guest::{Figures, Guest, Life};
use super::population::{Condition, GIB, GuestSpec};

/// In seconds: so long before the start, and so long after it, the nodes got a new QEMU, each a while after the one before.
const UPGRADED_BEFORE: i64 = 400_000;
const UPGRADED_AFTER: i64 = 2_400;
const NEXT_NODE: i64 = 600;

/// Some disks fail at writing once in so many seconds.
const FAILS_EVERY: u64 = 600;

/// Bytes that one operation moves.
const BLOCK: u64 = 16_384;

impl Cluster {
    /// The body of `GET /nodes/N/{qemu|lxc}/ID/status/current`; `None` where there is no such guest of this kind on the
    /// node.
    pub(in super::super) fn guest_status(
        &self,
        (node, container, vmid): (usize, bool, u64),
        now: i64,
        order: Shuffle,
    ) -> Option<String> {
        let spec = self.spec(vmid).filter(|spec| spec.container == container)?;
        let guest = self.guest(spec, now);
        if guest.node != node {
            return None;
        }
        let figures = guest.figures.clone().unwrap_or_default();
        // A paused process runs for PVE; what QEMU itself says stands beside it.
        let runs = !matches!(guest.status, "stopped" | "unknown");
        let mut document = serde_json::json!({
            "vmid": vmid, "name": spec.name, "status": if runs { "running" } else { "stopped" }, "cpus": spec.cpus,
            "maxmem": spec.memory, "maxdisk": figures.maxdisk, "mem": figures.mem, "disk": figures.disk,
            "uptime": figures.uptime, "cpu": figures.cpu, "netin": figures.counters[0], "netout": figures.counters[1],
            "ha": if spec.ha { serde_json::json!({ "managed": 1, "state": "started" }) } else { serde_json::json!({ "managed": 0 }) },
        });
        if let Some(lock) = guest.lock {
            document["lock"] = lock.into();
        }
        if spec.condition == Condition::Template {
            document["template"] = 1.into();
        }
        if !spec.tags.is_empty() {
            document["tags"] = spec.tags.into();
        }
        if container {
            document["type"] = "lxc".into();
            document["maxswap"] = spec.memory.into();
            let swap = if runs { spec.memory / 50 } else { 0 };
            document["swap"] = swap.into();
        } else {
            document["qmpstatus"] = guest.status.into();
            document["serial"] = 1.into();
        }
        if runs && !self.old {
            push_pressure(&mut document, &figures, container);
        }
        if runs && !container {
            document["agent"] = 1.into();
            self.push_vm(&mut document, (spec, &guest, &figures), now);
        }
        Some(json::reordered(&serde_json::json!({ "data": document }), &mut { order }))
    }

    /// What only QEMU knows. Where it stands still, its monitor does not answer.
    fn push_vm(
        &self,
        document: &mut serde_json::Value,
        (spec, guest, figures): (&GuestSpec, &Guest, &Figures),
        now: i64,
    ) {
        let vmid = spec.vmid;
        let [netin, netout, read, written] = figures.counters;
        document["nics"][format!("tap{vmid}i0")] = serde_json::json!({ "netin": netin, "netout": netout });
        if !matches!(guest.status, "running" | "paused") {
            return;
        }
        let fails = if hash(self.seed, 71, vmid).is_multiple_of(97) { figures.uptime / FAILS_EVERY } else { 0 };
        let (first, second) = if self.second_disk(spec).is_some() { (4, 1) } else { (1, 0) };
        let share = |part: u64| [read, written].map(|bytes| bytes / (first + second) * part);
        document["blockstat"]["scsi0"] = blocks(share(first), fails);
        if second > 0 {
            document["blockstat"]["scsi1"] = blocks(share(second), 0);
        }
        let balloon = self.balloon(spec).map_or(spec.memory, |least| spec.memory - (spec.memory - least) / 4);
        document["balloon"] = balloon.into();
        document["ballooninfo"] = serde_json::json!({ "actual": balloon, "max_mem": spec.memory });
        if let Some(least) = self.balloon(spec) {
            document["balloon_min"] = least.into();
            document["shares"] = 1000.into();
            document["freemem"] = balloon.saturating_sub(figures.mem).into();
        }
        if let (Life::Running { since } | Life::Halted { since, .. }, _) = self.life_of(spec, now) {
            let version = qemu(guest.node, since);
            document["running-qemu"] = version.into();
            let (machine, _) = version.rsplit_once('.').unwrap_or((version, ""));
            document["running-machine"] = format!("pc-i440fx-{machine}+pve0").into();
        }
    }

    /// Storage and size of a guest's second disk: a few have one, away from the first where there is another storage.
    pub(super) fn second_disk(&self, spec: &GuestSpec) -> Option<(&'static str, u64)> {
        let storage = if self.nodes.len() > 1 { "ceph-vm" } else { "local-lvm" };
        hash(self.seed, 72, spec.vmid).is_multiple_of(4).then(|| (storage, spec.disk.max(2 * GIB) / 2))
    }

    /// The memory in bytes that a VM is left with when its node runs short, if it has a balloon for that.
    pub(super) fn balloon(&self, spec: &GuestSpec) -> Option<u64> {
        (!spec.container && hash(self.seed, 73, spec.vmid).is_multiple_of(3)).then_some(spec.memory / 2)
    }

    /// The body of `GET /nodes/N/apt/versions`.
    pub(in super::super) fn packages(&self, node: usize, now: i64, order: Shuffle) -> String {
        let mut list = List::new(order, 2048);
        let qemu = format!("{}-1", qemu(node, now));
        let (manager, server) = if self.old { ("8.2.4", "8.2.1") } else { ("9.2.11", "9.2.6") };
        for (name, version) in [
            ("proxmox-ve", if self.old { "8.2.0" } else { "9.2.0" }),
            ("pve-manager", manager),
            ("qemu-server", server),
            ("pve-qemu-kvm", &qemu),
            ("pve-container", "6.1.10"),
            ("lxc-pve", "6.0.5-1"),
            ("corosync", "3.1.9-pve2"),
            ("swtpm", "0.8.0+pve3"),
        ] {
            list.push(vec![
                ("Package", Value::Text(name)),
                ("Version", Value::Text(version)),
                ("OldVersion", Value::Text(version)),
                ("CurrentState", Value::Text("Installed")),
                ("Origin", Value::Text("Proxmox")),
                ("Arch", Value::Text("amd64")),
                ("Section", Value::Text("admin")),
                ("Priority", Value::Text("optional")),
                ("Title", Value::Text("a package of Proxmox VE")),
            ]);
        }
        list.push(vec![
            ("Package", Value::Text("ceph-fuse")),
            ("Version", Value::Text("19.2.3-pve1")),
            ("CurrentState", Value::Text("NotInstalled")),
            ("Origin", Value::Text("Proxmox")),
        ]);
        list.finish()
    }
}

/// The QEMU that was installed on a node at a time.
fn qemu(node: usize, at: i64) -> &'static str {
    let later = node as i64 * NEXT_NODE;
    match at {
        at if at < later - UPGRADED_BEFORE => "10.0.11",
        at if at < later + UPGRADED_AFTER => "10.0.13",
        _ => "10.1.2",
    }
}

/// In percent, of a container as texts.
fn push_pressure(document: &mut serde_json::Value, figures: &Figures, container: bool) {
    let [waits, stands] = [figures.cpu * 12.0, figures.cpu * 3.0].map(|share| (share * 100.0).round() / 100.0);
    for (key, percent) in [
        ("pressurecpusome", waits),
        ("pressurecpufull", stands),
        ("pressureiosome", stands),
        ("pressureiofull", stands / 2.0),
        ("pressurememorysome", 0.0),
        ("pressurememoryfull", 0.0),
    ] {
        document[key] = if container { format!("{percent:.2}").into() } else { percent.into() };
    }
}

fn blocks([read, written]: [u64; 2], fails: u64) -> serde_json::Value {
    let [reads, writes] = [read / BLOCK, written / BLOCK];
    serde_json::json!({
        "rd_bytes": read, "wr_bytes": written, "rd_operations": reads, "wr_operations": writes,
        "flush_operations": writes / 8, "rd_total_time_ns": reads * 350_000, "wr_total_time_ns": writes * 900_000,
        "flush_total_time_ns": writes / 8 * 1_200_000, "failed_rd_operations": 0, "failed_wr_operations": fails,
        "failed_flush_operations": 0, "unmap_operations": 0, "unmap_bytes": 0, "account_failed": true, "timed_stats": [],
    })
}
