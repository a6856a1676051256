//! `/nodes/N/…`: calls that pveproxy passes on to the node they are about.

use std::time::Duration;

use super::super::workers::NodeState;
use super::super::world::{Silent, World, second};
use super::{Answer, Call, Parameters, Reply, agent, disks, storage, tasks, upkeep};
use super::{audit, check_names, failed, forbidden, invalid, not_implemented, ok, protected};

/// After so long pveproxy gives up on another node.
const PROXY_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers a path below `/nodes/`. Names and rights are checked by the node that is asked, all else by the one it is about.
pub(super) fn answer(world: &World, call: &Call<'_>, path: &str, parameters: &Parameters<'_>) -> Result<Answer, Reply> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [node, kind @ ("qemu" | "lxc"), vmid, "config"] => {
            check_names(parameters, &["current", "snapshot"])?;
            let vmid = vmid_of("vmid", vmid)?;
            audit(call, &format!("/vms/{vmid}"), "VM.Audit")?;
            pass_on(world, call, node, |node| guest_config(world, call, (node, *kind == "lxc", vmid)))
        }
        [node, "qemu", vmid, "agent", command] => {
            check_names(parameters, &[])?;
            agent::answer(world, call, node, (vmid_of("vmid", vmid)?, command))
        }
        [node, "lxc", vmid, "interfaces"] => {
            check_names(parameters, &[])?;
            let vmid = vmid_of("vmid", vmid)?;
            audit(call, &format!("/vms/{vmid}"), "VM.Audit")?;
            pass_on(world, call, node, |node| interfaces(world, call, (node, true, vmid)))
        }
        [node, "replication"] => {
            check_names(parameters, &["guest"])?;
            let guest = parameters.first().map(|(name, value)| vmid_of(name, value)).transpose()?;
            pass_on(world, call, node, |node| {
                protected(world.facts().replication_states((node, guest), call.now, call.rights, call.order()))
            })
        }
        [node, "replication", id, "status"] => {
            check_names(parameters, &[])?;
            pass_on(world, call, node, |node| replication_state(world, call, (node, id)))
        }
        [node, "subscription"] => {
            check_names(parameters, &[])?;
            pass_on(world, call, node, |node| ok(world.facts().subscription(node, call)))
        }
        [node, "apt", "versions"] => {
            check_names(parameters, &[])?;
            audit(call, &format!("/nodes/{node}"), "Sys.Audit")?;
            pass_on(world, call, node, |node| ok(world.facts().packages(node, second(call.now), call.order())))
        }
        [node, kind @ ("qemu" | "lxc"), vmid, what @ ("snapshot" | "pending")]
        | [node, kind @ ("qemu" | "lxc"), vmid, "status", what @ "current"] => {
            check_names(parameters, &[])?;
            let vmid = vmid_of("vmid", vmid)?;
            audit(call, &format!("/vms/{vmid}"), "VM.Audit")?;
            pass_on(world, call, node, |node| guest_details(world, call, (node, *kind == "lxc", vmid), what))
        }
        [node, "storage", name, "content"] => storage::content(world, call, (node, name), parameters),
        [_, "sdn", "zones"] if world.facts().old => Err(not_implemented(call)),
        [node, "status" | "rrddata" | "services" | "network"]
        | [node, "certificates", "info"]
        | [node, "sdn", "zones"]
        | [node, "apt", "update" | "repositories"] => {
            let what = path.split_once('/').map_or("", |(_, what)| what);
            upkeep::answer(world, call, (node, what), parameters)
        }
        [_, "disks" | "storage" | "time" | "ceph", ..] => disks::of_node(world, call, &parts, parameters),
        [node, "tasks", rest @ ..] => tasks::of_node(world, call, node, rest, parameters),
        _ => Err(not_implemented(call)),
    }
}

/// Its state, its snapshots, or what waits for its next start: only that one is not asked of pvedaemon.
fn guest_details(world: &World, call: &Call<'_>, guest: (usize, bool, u64), what: &str) -> Reply {
    let facts = world.facts();
    let body = match what {
        "snapshot" => facts.snapshots(guest, call.now, call.order()),
        "pending" => facts.pending(guest, call.now, call.order()),
        _ => facts.guest_status(guest, second(call.now), call.order()),
    };
    match body {
        Some(body) if what == "pending" => ok(body),
        Some(body) => protected(body),
        None => no_such_guest(world, guest),
    }
}

fn guest_config(world: &World, call: &Call<'_>, (node, container, vmid): (usize, bool, u64)) -> Reply {
    match world.facts().guest_config((node, container, vmid), call.now, call.order()) {
        Some(body) => ok(body),
        None => no_such_guest(world, (node, container, vmid)),
    }
}

pub(super) fn no_such_guest(world: &World, (node, container, vmid): (usize, bool, u64)) -> Reply {
    let folder = if container { "lxc" } else { "qemu-server" };
    let node = world.node_name(node);
    failed(&format!("Configuration file 'nodes/{node}/{folder}/{vmid}.conf' does not exist"))
}

pub(super) fn interfaces(world: &World, call: &Call<'_>, guest: (usize, bool, u64)) -> Reply {
    match world.facts().interfaces(guest, call.now, call.order()) {
        Ok(body) => protected(body),
        Err(Silent::Stopped) if guest.1 => protected("{\"data\":null}".to_owned()),
        Err(silent) => agent::silence(world, guest, silent),
    }
}

/// The rights are those on the guest, which is known only when the job has been found.
fn replication_state(world: &World, call: &Call<'_>, (node, id): (usize, &str)) -> Reply {
    match world.facts().replication_state((node, id), call.now, call.order()) {
        None => failed(&format!("no such replication job '{id}'")),
        Some(_) if !call.rights.holds("VM.Audit") => {
            forbidden(&format!("/vms/{}", id.split('-').next().unwrap_or_default()), "VM.Audit")
        }
        Some(body) => protected(body),
    }
}

/// Has the node answer that a call is about, or tells what keeps it from doing so.
pub(super) fn pass_on(
    world: &World,
    call: &Call<'_>,
    name: &str,
    answer: impl FnOnce(usize) -> Reply,
) -> Result<Answer, Reply> {
    let Some(node) = world.node_index(name) else {
        let text = format!("failed to get address info for: {name}: Name or service not known");
        return Err(failed(&format!("hostname lookup '{name}' failed - {text}")));
    };
    if node == call.node {
        return Ok(answer(node).into());
    }
    if world.is_away(node, call.now) {
        return Ok(Answer { reply: Reply::bare(595, "No route to host"), after: call.away_delay });
    }
    Ok(match world.workers().state(name) {
        NodeState::Well => answer(node).into(),
        NodeState::Slow(after) => Answer { reply: answer(node), after },
        NodeState::Dead => Reply::bare(595, "Connection refused").into(),
        NodeState::Hung => Answer { reply: Reply::bare(596, "Connection timed out"), after: PROXY_TIMEOUT },
    })
}

pub(super) fn vmid_of(parameter: &str, text: &str) -> Result<u64, Reply> {
    text.parse().map_err(|_| invalid(parameter, &format!("type check ('integer') failed - got '{text}'")))
}
