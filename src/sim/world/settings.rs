//! What administrators wrote down: the guests' configurations, the backup job, subscriptions, the qdevice.

use std::time::Duration;

use super::super::json::{self, Field, List, Value};
use super::super::noise::{Shuffle, hash};
use super::super::routes::Call;
use super::cluster::{Cluster, tick};
use super::guest::Guest;
use super::network;
use super::population::{Condition, GIB, GuestSpec, MIB};

const DAY: i64 = 86_400;

/// The subscription is bought so many days before the start, and paid for so many days from then on.
const BOUGHT_BEFORE: i64 = 130;
const PAID_FOR: i64 = 365;

/// The level of a node's subscription: the first node has the cheapest one, the others have none.
pub(super) fn level(node: usize) -> &'static str {
    if node == 0 { "c" } else { "" }
}

impl Cluster {
    /// The body of `GET /nodes/N/{qemu|lxc}/ID/config`; `None` where there is no such guest of this kind on the node.
    pub(in super::super) fn guest_config(
        &self,
        (node, container, vmid): (usize, bool, u64),
        now: Duration,
        order: Shuffle,
    ) -> Option<String> {
        let spec = self.spec(vmid).filter(|spec| spec.container == container)?;
        let guest = self.guest(spec, tick(now));
        if guest.node != node {
            return None;
        }
        let texts = Texts::new(self, spec);
        Some(json::object(self.settings(spec, &guest, &texts), order))
    }

    /// All that is written in the configuration of a guest.
    pub(super) fn settings<'a>(&self, spec: &'a GuestSpec, guest: &Guest, texts: &'a Texts) -> Vec<Field<'a>> {
        let mut fields = if spec.container { container_fields(spec, texts) } else { vm_fields(spec, texts) };
        self.push_common(&mut fields, spec, guest, &texts.digest);
        fields
    }

    fn push_common<'a>(&self, fields: &mut Vec<Field<'a>>, spec: &'a GuestSpec, guest: &Guest, digest: &'a str) {
        fields.push(("digest", Value::Text(digest)));
        fields.extend(self.onboot(spec).map(|onboot| ("onboot", Value::Whole(onboot.into()))));
        let tags = Some(spec.tags).filter(|tags| !tags.is_empty());
        fields.extend(tags.map(|tags| ("tags", Value::Text(tags))));
        fields.extend(spec.startup.map(|startup| ("startup", Value::Text(startup))));
        fields.extend(guest.lock.map(|lock| ("lock", Value::Text(lock))));
        if spec.condition == Condition::Template {
            fields.push(("template", Value::Whole(1)));
        }
        if spec.ha {
            fields.push(("protection", Value::Whole(1)));
        }
    }

    /// Most guests that run are to start with their node; some say so explicitly that they are not.
    fn onboot(&self, spec: &GuestSpec) -> Option<bool> {
        match (spec.condition, hash(self.seed, 60, spec.vmid) % 10) {
            (Condition::Template, _) => None,
            (Condition::Running, 0..7) => Some(true),
            (_, 7) => Some(false),
            _ => None,
        }
    }

    /// The body of `GET /cluster/backup-info/not-backed-up`.
    pub(in super::super) fn not_backed_up(&self, order: Shuffle) -> String {
        let mut list = List::new(order, 1024);
        for spec in self.guests.iter().filter(|spec| !self.plot.is_in_backup_job(spec.vmid)) {
            list.push([
                ("vmid", Value::Whole(spec.vmid)),
                ("name", Value::Text(&spec.name)),
                ("type", Value::Text(if spec.container { "lxc" } else { "qemu" })),
            ]);
        }
        list.finish()
    }

    /// The body of `GET /nodes/N/subscription`; without rights, neither the key nor the server's number is told.
    pub(in super::super) fn subscription(&self, node: usize, call: &Call<'_>) -> String {
        let number = hash(self.seed, 80, node as u64);
        let server = format!("{number:016X}{:016X}", number.rotate_left(17));
        let key = format!("pve1c-{:010x}", number & 0xFF_FFFF_FFFF);
        let bought = self.begun.saturating_sub(BOUGHT_BEFORE * DAY);
        let due = date(bought.saturating_add(PAID_FOR * DAY));
        let bought = format!("{} 00:00:00", date(bought));
        let mut fields = vec![("url", Value::Text("https://www.proxmox.com/en/proxmox-virtual-environment/pricing"))];
        if call.rights.holds("Sys.Audit") {
            fields.push(("serverid", Value::Text(&server)));
        }
        if level(node).is_empty() {
            fields.push(("status", Value::Text("notfound")));
            fields.push(("message", Value::Text("There is no subscription key")));
            return json::object(fields, call.order());
        }
        if call.rights.holds("Sys.Audit") {
            fields.push(("key", Value::Text(&key)));
        }
        fields.extend([
            ("status", Value::Text("active")),
            ("level", Value::Text(level(node))),
            ("productname", Value::Text("Proxmox VE Community Subscription 1 CPU/year")),
            ("regdate", Value::Text(&bought)),
            ("nextduedate", Value::Text(&due)),
            ("checktime", Value::Whole(self.unix(tick(call.now) / DAY * DAY))),
            ("sockets", Value::Whole(1)),
        ]);
        json::object(fields, call.order())
    }

    /// Whether a vote from outside breaks ties: where the number of nodes is even.
    pub(super) fn has_qdevice(&self) -> bool {
        self.nodes.len().is_multiple_of(2)
    }

    /// The body of `GET /cluster/config/nodes`; numbers are texts there.
    pub(in super::super) fn voters(&self, order: Shuffle) -> String {
        let mut list = List::new(order, 64 + self.nodes.len() * 128);
        for (index, node) in self.nodes.iter().enumerate().filter(|_| self.nodes.len() > 1) {
            let number = (index + 1).to_string();
            list.push(vec![
                ("name", Value::Text(&node.name)),
                ("node", Value::Text(&node.name)),
                ("nodeid", Value::Text(&number)),
                ("quorum_votes", Value::Text("1")),
                ("ring0_addr", Value::Text(&node.ip)),
            ]);
        }
        list.finish()
    }

    /// The body of `GET /cluster/config/qdevice`.
    pub(in super::super) fn qdevice(&self, order: Shuffle) -> String {
        let mut fields = Vec::new();
        if self.has_qdevice() {
            fields = vec![
                ("Model", Value::Text("Net")),
                ("Algorithm", Value::Text("Fifty-Fifty split")),
                ("QNetd host", Value::Text("192.0.2.250:5403")),
                ("Tie-breaker", Value::Text("Node with lowest node ID")),
                ("State", Value::Text("Connected")),
            ];
        }
        json::object(fields, order)
    }
}

/// What has to be put together before it can be borrowed.
pub(super) struct Texts {
    digest: String,
    disk: String,
    second_disk: Option<String>,
    net: String,
    balloon: Option<u64>,
    memory: String,
    cpus: String,
    meta: String,
    smbios: String,
    vmgenid: String,
}

impl Texts {
    pub(super) fn new(cluster: &Cluster, spec: &GuestSpec) -> Self {
        let (seed, vmid) = (cluster.seed, spec.vmid);
        let number = |subject: u64| hash(seed, subject, vmid);
        let uuid = |subject: u64| {
            let (high, low) = (number(subject), number(subject + 1));
            let part = |shift: u64| high >> shift & 0xFFFF;
            format!(
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                part(16),
                part(0),
                low >> 48,
                low & 0xFFFF_FFFF_FFFF
            )
        };
        let mac: Vec<String> = network::mac(seed, vmid).iter().map(|byte| format!("{byte:02X}")).collect();
        let mac = mac.join(":");
        let base = if spec.condition == Condition::Template { "base" } else { "vm" };
        // Another name is another file.
        let name = spec.name.bytes().fold(0, |sum, byte| hash(sum, 92, byte.into()));
        Self {
            digest: format!("{:016x}{:016x}{:08x}", number(93) ^ name, number(94) ^ name, name & 0xFFFF_FFFF),
            disk: match spec.container {
                true => format!("local-lvm:{base}-{vmid}-disk-0,size={}G", spec.disk / GIB),
                false => {
                    format!("local-lvm:{base}-{vmid}-disk-0,discard=on,iothread=1,size={}G,ssd=1", spec.disk / GIB)
                }
            },
            second_disk: cluster.second_disk(spec).map(|(storage, size)| {
                let option = if spec.container { "mp=/srv" } else { "backup=0" };
                format!("{storage}:{base}-{vmid}-disk-1,{option},size={}G", size / GIB)
            }),
            balloon: cluster.balloon(spec).map(|least| least / MIB),
            net: if spec.container {
                format!("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:{mac},ip=dhcp,type=veth")
            } else {
                let vlan = if number(99).is_multiple_of(3) { ",firewall=1,tag=20" } else { "" };
                format!("virtio=BC:24:11:{mac},bridge=vmbr0{vlan}")
            },
            memory: (spec.memory / MIB).to_string(),
            cpus: spec.cpus.to_string(),
            meta: format!("creation-qemu=10.0.13,ctime={}", 1_760_000_000 + number(95) % 30_000_000),
            smbios: format!("uuid={}", uuid(96)),
            vmgenid: uuid(98),
        }
    }
}

impl Texts {
    /// The checksum of the file.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

fn vm_fields<'a>(spec: &'a GuestSpec, texts: &'a Texts) -> Vec<Field<'a>> {
    let mut fields = vec![
        ("name", Value::Text(&spec.name)),
        // A string in PVE, other than a container's.
        ("memory", Value::Text(&texts.memory)),
        ("cores", Value::Whole(spec.cpus as u64)),
        ("sockets", Value::Whole(1)),
        ("cpu", Value::Text("host")),
        ("agent", Value::Text("1")),
        ("boot", Value::Text("order=scsi0;net0")),
        ("ostype", Value::Text("l26")),
        ("scsihw", Value::Text("virtio-scsi-single")),
        ("scsi0", Value::Text(&texts.disk)),
        ("net0", Value::Text(&texts.net)),
        ("serial0", Value::Text("socket")),
        ("meta", Value::Text(&texts.meta)),
        ("smbios1", Value::Text(&texts.smbios)),
        ("vmgenid", Value::Text(&texts.vmgenid)),
    ];
    fields.extend(texts.second_disk.as_deref().map(|disk| ("scsi1", Value::Text(disk))));
    fields.extend(texts.balloon.map(|least| ("balloon", Value::Whole(least))));
    fields
}

fn container_fields<'a>(spec: &'a GuestSpec, texts: &'a Texts) -> Vec<Field<'a>> {
    let whole = spec.cpus.fract() == 0.0;
    let mut fields = vec![
        ("hostname", Value::Text(&spec.name)),
        ("memory", Value::Whole(spec.memory / MIB)),
        ("swap", Value::Whole(spec.memory / MIB)),
        if whole { ("cores", Value::Whole(spec.cpus as u64)) } else { ("cpulimit", Value::Text(&texts.cpus)) },
        ("arch", Value::Text("amd64")),
        ("ostype", Value::Text("debian")),
        ("rootfs", Value::Text(&texts.disk)),
        ("net0", Value::Text(&texts.net)),
        ("unprivileged", Value::Whole(1)),
    ];
    fields.extend(texts.second_disk.as_deref().map(|disk| ("mp0", Value::Text(disk))));
    fields
}

/// `YYYY-MM-DD` of a Unix time, by counting in the 400 years after which the calendar repeats itself.
pub(super) fn date(unix: i64) -> String {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut days = unix.div_euclid(DAY).rem_euclid(146_097);
    let mut year = 1970 + unix.div_euclid(DAY).div_euclid(146_097).clamp(-4, 20) * 400;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year:04}-{:02}-{:02}", month + 1, days + 1)
}
