//! What a node says of its own condition: hardware and kernel, pressure, services, network, certificates, packages.

use serde_json::{Value, json};

use super::super::json;
use super::super::noise::{Shuffle, Wave};
use super::super::routes::Call;
use super::World;
use super::cluster::{Cluster, second, tick};
use super::node::NodeFigures;
use super::plot::{SERVICE_DEAD, SLAVE_GONE, ZONE_ERROR};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// So many points a graph of an hour has.
const POINTS: i64 = 60;

/// The node to which it all happens: the second one, or the only one.
const UNLUCKY: usize = 1;

/// PVE's list, and what a well-kept node makes of it.
const SERVICES: &[(&str, &str, Unit)] = &[
    ("chrony", "chrony, an NTP client/server", Unit::Runs),
    ("corosync", "Corosync Cluster Engine", Unit::Runs),
    ("cron", "Regular background program processing daemon", Unit::Runs),
    ("ksmtuned", "Kernel Samepage Merging (KSM) Tuning Daemon", Unit::Runs),
    ("lxcfs", "FUSE filesystem for LXC", Unit::Runs),
    ("postfix", "Postfix Mail Transport Agent", Unit::Runs),
    ("proxmox-firewall", "Proxmox nftables firewall", Unit::Runs),
    ("pve-cluster", "The Proxmox VE cluster filesystem", Unit::Runs),
    ("pve-firewall", "Proxmox VE firewall", Unit::Runs),
    ("pve-ha-crm", "PVE Cluster HA Resource Manager Daemon", Unit::Runs),
    ("pve-ha-lrm", "PVE Local HA Resource Manager Daemon", Unit::Runs),
    ("pve-lxc-syscalld", "Proxmox VE LXC Syscall Daemon", Unit::Runs),
    ("pvedaemon", "PVE API Daemon", Unit::Runs),
    ("pvefw-logger", "Proxmox VE firewall logger", Unit::Static),
    ("pveproxy", "PVE API Proxy Server", Unit::Runs),
    ("pvescheduler", "Proxmox VE scheduler", Unit::Runs),
    ("pvestatd", "PVE Status Daemon", Unit::Runs),
    ("qmeventd", "PVE Qemu Event Daemon", Unit::Runs),
    ("spiceproxy", "PVE SPICE Proxy Server", Unit::Runs),
    ("sshd", "OpenBSD Secure Shell server", Unit::Runs),
    ("syslog", "syslog.service", Unit::Missing),
    ("systemd-journald", "Journal Service", Unit::Static),
    ("systemd-timesyncd", "systemd-timesyncd.service", Unit::Missing),
];

/// The one that dies now and then; nothing else suffers from it.
const MORTAL: &str = "spiceproxy";

/// How a unit is installed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Runs,
    Static,
    Missing,
}

impl World {
    /// The body of `GET /nodes/N/status`.
    pub(in super::super) fn node_status(&self, node: usize, call: &Call<'_>) -> String {
        let cluster = self.facts();
        let figures = cluster.node_figures(&self.pages.scene(&cluster, tick(call.now)), node);
        cluster.node_status(&figures, node, call)
    }
}

impl Cluster {
    /// Two processors of one make; `cpu` and `wait` are those of a worker that was not asked before.
    fn node_status(&self, figures: &NodeFigures, node: usize, call: &Call<'_>) -> String {
        let spec = &self.nodes[node];
        let load = spec.load.at(tick(call.now)) * spec.cpus as f64;
        let free = spec.memory - figures.mem;
        let (manager, kernel) = if self.old {
            ("pve-manager/8.2.4/faa83925c9641325", "6.8.8-2-pve")
        } else {
            ("pve-manager/9.2.11/14a22df35955d97d", "6.17.4-2-pve")
        };
        let build = "#1 SMP PREEMPT_DYNAMIC PMX";
        let loads = [0.9, 1.0, 1.1].map(|share| format!("{:.2}", load * share));
        let mut status = json!({
            "pveversion": manager, "kversion": format!("Linux {kernel} {build}"), "uptime": figures.uptime,
            "current-kernel": { "sysname": "Linux", "release": kernel, "machine": "x86_64", "version": build },
            "boot-info": { "mode": "efi", "secureboot": 0 }, "cpu": 0, "wait": 0, "idle": 0,
            "loadavg": loads,
            "cpuinfo": {
                "model": "AMD EPYC 7302 16-Core Processor", "sockets": 2, "cores": (spec.cpus / 2).max(1), "cpus": spec.cpus,
                "mhz": "2994.372", "family": "23", "vendor": "AuthenticAMD", "hvm": "1", "user_hz": 100, "flags": "fpu svm",
            },
            "memory": { "total": spec.memory, "used": figures.mem, "free": free / 2, "available": free },
            "ksm": { "shared": self.shared(node, tick(call.now)) }, "swap": { "total": 0, "used": 0, "free": 0 },
            "rootfs": {
                "total": spec.disk, "used": figures.disk, "free": spec.disk - figures.disk,
                "avail": (spec.disk - figures.disk).saturating_sub(spec.disk / 20),
            },
        });
        if self.old
            && let Some(memory) = status["memory"].as_object_mut()
        {
            memory.remove("available");
        }
        said(status, call.order())
    }

    /// What KSM saves: it works itself up to a few per cent of the memory, and down again.
    fn shared(&self, node: usize, now: i64) -> u64 {
        let share = Wave::new(self.seed, 900 + node as u64, 0.02).at(now).max(0.0);
        (self.nodes[node].memory as f64 * share) as u64 / 4096 * 4096
    }

    /// The body of `GET /nodes/N/rrddata?timeframe=hour`: a point a minute, empty where the node was away.
    pub(in super::super) fn node_graph(&self, node: usize, call: &Call<'_>) -> String {
        let newest = second(call.now).div_euclid(MINUTE) * MINUTE - MINUTE;
        let point = |at: i64| {
            let mut point = json!({ "time": self.unix(at) });
            let there = self.plot.outage_of(node, at).is_none();
            if there {
                self.push_graph(&mut point, node, at);
            }
            point
        };
        let points: Vec<Value> = (0..POINTS).rev().map(|ago| point(newest - ago * MINUTE)).collect();
        said(points.into(), call.order())
    }

    fn push_graph(&self, point: &mut Value, node: usize, at: i64) {
        let spec = &self.nodes[node];
        let load = spec.load.at(at);
        let waits = |number: u64, mean: f64| Wave::new(self.seed, number + node as u64, mean).at(at).max(0.0);
        for (name, value) in [
            ("cpu", load),
            ("iowait", load / 20.0),
            ("loadavg", load * spec.cpus as f64),
            ("maxcpu", spec.cpus as f64),
            ("memtotal", spec.memory as f64),
            ("roottotal", spec.disk as f64),
            ("netin", load * 4e6),
            ("netout", load * 3e6),
        ] {
            point[name] = value.into();
        }
        if self.old {
            return;
        }
        let (io, memory) = (waits(920, 4.0), waits(940, 0.2));
        for (name, percent) in [
            ("pressurecpusome", (load * 60.0).min(100.0)),
            ("pressureiosome", io),
            ("pressureiofull", io * 0.8),
            ("pressurememorysome", memory),
            ("pressurememoryfull", memory * 0.5),
        ] {
            point[name] = percent.into();
        }
    }

    /// The body of `GET /nodes/N/services`.
    pub(in super::super) fn services(&self, node: usize, call: &Call<'_>) -> String {
        let dead = self.is_struck(node) && SERVICE_DEAD.current(second(call.now)).is_some();
        let service = |(name, description, unit): &(&str, &str, Unit)| {
            let (unit_state, active, state) = match unit {
                Unit::Missing => ("not-found", "inactive", "dead"),
                // Without a cluster there is nothing for it to do.
                _ if *name == "corosync" && self.nodes.len() == 1 => ("enabled", "inactive", "dead"),
                _ if *name == MORTAL && dead => ("enabled", "failed", "failed"),
                Unit::Static => ("static", "active", "running"),
                Unit::Runs => ("enabled", "active", "running"),
            };
            json!({ "service": name, "name": name, "desc": description, "unit-state": unit_state,
                "active-state": active, "state": state })
        };
        said(SERVICES.iter().map(service).collect(), call.order())
    }

    /// The body of `GET /nodes/N/network`: a bridge on one card, and one on a bond of two.
    pub(in super::super) fn node_network(&self, node: usize, call: &Call<'_>) -> String {
        let gone = self.is_struck(node) && SLAVE_GONE.current(second(call.now)).is_some();
        let plain = |name: &str, kind: &str, priority: u64| {
            json!({ "iface": name, "type": kind, "priority": priority, "method": "manual", "method6": "manual",
                "families": ["inet"], "active": 1 })
        };
        let mut cards = vec![plain("eno1", "eth", 3), plain("enp65s0f0", "eth", 4), plain("enp65s0f1", "eth", 5)];
        for card in &mut cards {
            card["exists"] = 1.into();
        }
        if gone && let Some(card) = cards.last_mut().and_then(Value::as_object_mut) {
            card.retain(|name, _| !matches!(name.as_str(), "active" | "exists"));
        }
        let mut bond = plain("bond0", "bond", 6);
        (bond["slaves"], bond["bond_mode"], bond["bond_miimon"]) =
            ("enp65s0f0 enp65s0f1".into(), "802.3ad".into(), "100".into());
        let bridge = |name: &str, port: &str, priority| {
            let mut bridge = plain(name, "bridge", priority);
            (bridge["bridge_ports"], bridge["bridge_stp"], bridge["bridge_fd"]) =
                (port.into(), "off".into(), "0".into());
            bridge["autostart"] = 1.into();
            bridge
        };
        let mut first = bridge("vmbr0", "eno1", 7);
        let address = &self.nodes[node].ip;
        (first["method"], first["address"], first["netmask"]) = ("static".into(), address.as_str().into(), "24".into());
        (first["cidr"], first["gateway"]) = (format!("{address}/24").into(), "192.0.2.1".into());
        cards.extend([bond, first, bridge("vmbr1", "bond0", 8)]);
        said(cards.into(), call.order())
    }

    /// The body of `GET /nodes/N/certificates/info`, without the certificates themselves: the second node has one of its
    /// own, and nobody has renewed it yet.
    pub(in super::super) fn certificates(&self, node: usize, call: &Call<'_>) -> String {
        let authority =
            "/CN=Proxmox Virtual Environment/OU=5f3c7a52-8d4f-4b7e-9a65-1c2d3e4f5a6b/O=PVE Cluster Manager CA";
        let name = &self.nodes[node].name;
        let own = format!("/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={name}.example.com");
        let bought = format!("/CN={name}.example.com");
        let certificate = |file: &str, subject: &str, issuer: &str, (begins, ends): (i64, i64)| {
            json!({ "filename": file, "subject": subject, "issuer": issuer, "san": [name], "public-key-bits": 2048,
                "public-key-type": "rsaEncryption", "notbefore": self.unix(begins * DAY), "notafter": self.unix(ends * DAY) })
        };
        let mut list = vec![
            certificate("pve-root-ca.pem", authority, authority, (-400, 3250)),
            certificate("pve-ssl.pem", &own, authority, (-200, 530)),
        ];
        if self.is_struck(node) {
            list.push(certificate("pveproxy-ssl.pem", &bought, "/C=US/O=Let's Encrypt/CN=R11", (-70, 20)));
        }
        said(list.into(), call.order())
    }

    /// The body of `GET /cluster/sdn/zones`.
    pub(in super::super) fn zones(&self, call: &Call<'_>) -> String {
        let mut zones = vec![json!({ "zone": "lan", "type": "simple", "ipam": "pve" })];
        zones.retain(|_| call.rights.holds("SDN.Audit"));
        said(zones.into(), call.order())
    }

    /// The body of `GET /nodes/N/sdn/zones`.
    pub(in super::super) fn node_zones(&self, node: usize, call: &Call<'_>) -> String {
        let status = if self.is_zone_broken(node, second(call.now)) { "error" } else { "available" };
        said(json!([{ "zone": "lan", "status": status }]), call.order())
    }

    /// Whether the zone of the software-defined network does not work on a node.
    pub(super) fn is_zone_broken(&self, node: usize, now: i64) -> bool {
        self.is_struck(node) && ZONE_ERROR.current(now).is_some()
    }

    /// The body of `GET /nodes/N/apt/update`.
    pub(in super::super) fn pending_updates(&self, node: usize, call: &Call<'_>) -> String {
        let update = |package: &&str| {
            let debian = super::extras::is_debians(package);
            json!({ "Package": package, "Title": package, "Description": package, "OldVersion": "1.0-1", "Version": "1.0-2",
                "Origin": if debian { "Debian" } else { "Proxmox" }, "Arch": "amd64", "Section": "admin", "Priority": "optional" })
        };
        said(self.waiting(node, tick(call.now)).iter().map(update).collect(), call.order())
    }

    /// The body of `GET /nodes/N/apt/repositories`: one of them is the one that nobody recommends.
    pub(in super::super) fn repositories(call: &Call<'_>) -> String {
        let path = "/etc/apt/sources.list.d/proxmox.sources";
        let repository = json!({ "Enabled": 1, "FileType": "sources", "Types": ["deb"], "Suites": ["trixie"],
            "URIs": ["http://download.proxmox.com/debian/pve"], "Components": ["pve-no-subscription"] });
        let info = |kind: &str, message: &str| json!({ "path": path, "index": "0", "kind": kind, "message": message });
        let standard = |handle: &str, status: u64| json!({ "handle": handle, "name": handle, "status": status });
        let repositories = json!({
            "digest": "00", "errors": [],
            "files": [{ "path": path, "file-type": "sources", "digest": [0], "repositories": [repository] }],
            "infos": [info("origin", "Proxmox"), info("warning", "not recommended for production use")],
            "standard-repos": [standard("enterprise", 0), standard("no-subscription", 1), { "handle": "test", "name": "test" }],
        });
        said(repositories, call.order())
    }

    fn is_struck(&self, node: usize) -> bool {
        self.plot.wears_out() && node == UNLUCKY.min(self.nodes.len() - 1)
    }
}

fn said(data: Value, mut order: Shuffle) -> String {
    json::reordered(&json!({ "data": data }), &mut order)
}
