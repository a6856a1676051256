//! Who lives in the simulated cluster: nodes, guests, their sizes and names.

use super::super::noise::{Wave, hash, unit};
use crate::ids::Fingerprint;

pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

/// PVE gives no lower one.
const FIRST_VMID: u64 = 100;

/// Pools, by the number in [`GuestSpec::pool`].
pub(super) const POOLS: [&str; 3] = ["dev", "infra", "prod"];

/// What a guest is for: name, tags (sorted), pool. Some guests are in no pool, and some have no tags.
const ROLES: [(&str, &str, Option<usize>); 10] = [
    ("web", "prod;web", Some(2)),
    ("db", "db;prod", Some(2)),
    ("cache", "prod", Some(2)),
    ("mail", "mail;prod", Some(2)),
    ("dns", "infra", Some(1)),
    ("proxy", "edge;infra", Some(1)),
    ("build", "ci;dev", Some(0)),
    ("git", "dev", Some(0)),
    ("home", "", None),
    ("lab", "lab", None),
];

/// A node as it was bought.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeSpec {
    pub(super) name: String,
    pub(super) ip: String,
    pub(super) cpus: u64,
    pub(super) memory: u64,
    pub(super) disk: u64,
    pub(super) booted: i64,
    pub(super) fingerprint: Fingerprint,
    /// What the node does besides its guests: of its CPUs, and of its network cards.
    pub(super) load: Wave,
}

/// A guest as it was configured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GuestSpec {
    pub(super) vmid: u64,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) container: bool,
    pub(super) tags: &'static str,
    pub(super) pool: Option<usize>,
    /// Where it lives unless the plot moves it.
    pub(super) home: usize,
    /// May be a fraction for containers.
    pub(super) cpus: f64,
    pub(super) memory: u64,
    pub(super) disk: u64,
    pub(super) condition: Condition,
    /// Managed by HA.
    pub(super) ha: bool,
    pub(super) started: i64,
    pub(super) load: Wave,
    /// Bytes per second at full load: in, out, read, written.
    pub(super) traffic: [f64; 4],
    /// Used of the memory when idle, and of a container's disk.
    pub(super) filling: f64,
    /// What was made of it since, in the order of time.
    pub(super) steps: Vec<super::power::Step>,
    /// It does not listen to a shutdown.
    pub(super) deaf: bool,
    /// Held by an administrator.
    pub(super) lock: Option<&'static str>,
    /// When it is started among others.
    pub(super) startup: Option<&'static str>,
}

/// What its owner made of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Running,
    Stopped,
    /// Since before the start.
    Paused,
    Template,
}

/// What differs from guest to guest before the sizes are drawn.
struct Role {
    container: bool,
    condition: Condition,
    home: usize,
    ha: bool,
}

/// All guests; the first few have parts in the plot.
pub(super) fn guests(seed: u64, nodes: usize, count: usize) -> Vec<GuestSpec> {
    (0..count).map(|index| guest(seed, nodes, index)).collect()
}

/// All nodes of a cluster, alike, with room for their guests and for those of a lost neighbour.
pub(super) fn nodes(seed: u64, count: usize, guests: &[GuestSpec]) -> Vec<NodeSpec> {
    let mut memory = vec![0; count];
    let mut cpus = vec![0.0; count];
    for guest in guests {
        memory[guest.home] += guest.memory;
        cpus[guest.home] += guest.cpus;
    }
    let memory = memory.into_iter().max().unwrap_or(0) * 3 / 2;
    let cpus = cpus.into_iter().fold(0.0, f64::max);
    let node = |index: usize| {
        let number = index as u64;
        NodeSpec {
            name: format!("pve{}", index + 1),
            ip: format!("192.0.2.{}", 11 + number % 240),
            cpus: ((cpus / 3.0).ceil() as u64).next_power_of_two().max(8),
            memory: (memory + 8 * GIB).next_multiple_of(32 * GIB),
            disk: 94 * GIB,
            booted: -86_400 - (hash(seed, 1, number) % 2_000_000) as i64,
            fingerprint: fingerprint(seed, number),
            load: Wave::new(seed, number ^ 0xA0DE, 0.05 + 0.1 * unit(seed, 21, number)),
        }
    };
    (0..count).map(node).collect()
}

fn fingerprint(seed: u64, node: u64) -> Fingerprint {
    let mut bytes = [0; 32];
    for (index, part) in bytes.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&hash(seed, 200 + index as u64, node).to_be_bytes());
    }
    Fingerprint(bytes)
}

fn guest(seed: u64, nodes: usize, index: usize) -> GuestSpec {
    let role = role(seed, nodes, index);
    let (kind, tags, pool) = ROLES[index % ROLES.len()];
    let vmid = FIRST_VMID + index as u64;
    let name = match role.condition {
        Condition::Template => format!("tmpl-{vmid}"),
        _ => format!("{kind}-{:02}", 1 + index / ROLES.len()),
    };
    GuestSpec { tags, pool, ..drawn(seed, vmid, &role, name) }
}

/// A guest that was not there at the start: it runs since `now`, without tags, pool and HA.
pub(super) fn newcomer(seed: u64, vmid: u64, (home, container): (usize, bool), name: &str, now: i64) -> GuestSpec {
    let role = Role { container, condition: Condition::Running, home, ha: false };
    GuestSpec { started: now, ..drawn(seed, vmid, &role, name.to_owned()) }
}

/// A guest whose sizes and loads are drawn by its VMID.
fn drawn(seed: u64, vmid: u64, role: &Role, name: String) -> GuestSpec {
    let number = vmid.wrapping_sub(FIRST_VMID);
    let pick = |subject: u64, from: &[u64]| from[(hash(seed, subject, number) % from.len() as u64) as usize];
    let kind = if role.container { "lxc" } else { "qemu" };
    let cpus = match (role.container, number) {
        (true, 3) => 0.5,
        (true, _) => pick(10, &[1, 1, 2, 2, 4, 3]) as f64 / pick(11, &[1, 1, 1, 2]) as f64,
        (false, _) => pick(10, &[1, 2, 2, 4, 4, 8]) as f64,
    };
    let memory =
        if role.container { pick(12, &[256, 512, 512, 1024, 2048]) } else { pick(12, &[1024, 2048, 4096, 8192]) };
    let scale = |subject: u64, most: f64| most * (0.02 + unit(seed, subject, number).powi(3));
    GuestSpec {
        vmid,
        id: format!("{kind}/{vmid}"),
        name,
        container: role.container,
        tags: "",
        pool: None,
        home: role.home,
        cpus,
        memory: memory * MIB,
        disk: if role.container { pick(13, &[4, 8, 16]) } else { pick(13, &[16, 32, 32, 64, 128]) } * GIB,
        condition: role.condition,
        ha: role.ha,
        started: -3600 - (hash(seed, 14, number) % 1_000_000) as i64,
        load: Wave::new(seed, number, 0.02 + 0.45 * unit(seed, 15, number).powi(2)),
        traffic: [scale(16, 12e6), scale(17, 12e6), scale(18, 40e6), scale(19, 15e6)],
        filling: 0.25 + 0.35 * unit(seed, 20, number),
        steps: Vec::new(),
        deaf: false,
        lock: None,
        startup: None,
    }
}

/// The first guests show every kind there is, however few they are; the others are drawn.
fn role(seed: u64, nodes: usize, index: usize) -> Role {
    let last = nodes - 1;
    let role = |container, condition, home, ha| Role { container, condition, home, ha: ha && nodes > 1 };
    match index {
        0 => role(false, Condition::Running, 0, true),
        1 => role(false, Condition::Running, 0, false),
        2 => role(false, Condition::Running, 1.min(last), false),
        3 => role(true, Condition::Running, 1.min(last), false),
        4 => role(false, Condition::Running, last, true),
        5 => role(false, Condition::Stopped, 0, false),
        6 => role(false, Condition::Paused, 0, false),
        7 => role(false, Condition::Template, 0, false),
        8 => role(true, Condition::Running, last, false),
        9 => role(false, Condition::Running, last, false),
        _ => {
            let draw = |subject: u64| unit(seed, subject, index as u64);
            let container = draw(30) < 0.3;
            let condition = match draw(31) {
                x if x < 0.86 => Condition::Running,
                x if x < 0.97 => Condition::Stopped,
                _ => Condition::Template,
            };
            role(container, condition, index % nodes, condition == Condition::Running && draw(32) < 0.08)
        }
    }
}
