//! `/nodes/N/qemu/ID/agent/…`: what PVE has the agent of a VM say.

use std::time::Duration;

use super::super::world::{Silent, Topic, World};
use super::nodes::{interfaces, no_such_guest, pass_on};
use super::{Answer, Call, Reply, audit, failed, not_implemented, protected};

/// For so long PVE waits for a sign of life.
const PATIENCE: Duration = Duration::from_secs(3);
const MUTE: &str = "QEMU guest agent is not running";

pub(super) fn answer(
    world: &World,
    call: &Call<'_>,
    node: &str,
    (vmid, command): (u64, &str),
) -> Result<Answer, Reply> {
    let topic = Topic::of(command);
    if topic.is_none() && command != "network-get-interfaces" {
        return Err(not_implemented(call));
    }
    let privileges = if world.facts().old { "VM.Monitor" } else { "VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted" };
    audit(call, &format!("/vms/{vmid}"), privileges)?;
    let mut answer = pass_on(world, call, node, |node| match topic {
        None => interfaces(world, call, (node, false, vmid)),
        Some(topic) => match world.facts().agent_says((node, vmid), topic, call.now, call.order()) {
            Ok(body) => protected(body),
            Err(silent) => silence(world, (node, false, vmid), silent),
        },
    })?;
    if answer.reply.reason == MUTE {
        answer.after += PATIENCE;
    }
    Ok(answer)
}

/// How PVE says that a guest does not.
pub(super) fn silence(world: &World, guest: (usize, bool, u64), silent: Silent) -> Reply {
    match silent {
        Silent::Missing => no_such_guest(world, guest),
        Silent::Stopped => failed(&format!("VM {} is not running", guest.2)),
        Silent::Mute => failed(MUTE),
    }
}
