//! Guests that stopped or restarted although nobody asked for it, restart again and again, or are in an error state.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Ground, State, kind_word, plain};
use crate::events::finding::{Finding, Kind, Span};
use crate::events::tasks::Task;
use crate::inventory::{Guest, Resources};

/// A node that was told to stop its guests has so long to reboot; servers with much memory take their time.
const REBOOT: i64 = 900;

/// Uptimes are samples of ten seconds, and a busy node is late with them.
const TOLERANCE: i64 = 30;

/// How far PVE's clock seems to go to and fro, in seconds.
const JITTER: i64 = 5;

/// So many restarts that nobody asked for, within [`LOOP`] seconds, are a loop.
const RESTARTS: usize = 3;

const LOOP: i64 = 900;

/// PVE's words for guests that need somebody.
const ERRORS: [&str; 4] = ["internal-error", "io-error", "guest-panicked", "watchdog"];

/// States of HA in which it is at work on a guest, or has been told to stop it.
const HA_AT_WORK: [&str; 12] = [
    "request_start",
    "request_start_balance",
    "starting",
    "request_stop",
    "stopped",
    "disabled",
    "fence",
    "recovery",
    "migrate",
    "relocate",
    "freeze",
    "queued",
];

/// Tasks on all guests of a node; their own tasks follow one by one.
const ON_ALL: [&str; 5] = ["vzdump", "stopall", "startall", "migrateall", "suspendall"];

/// A guest as it was last told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::events) struct GuestMemory {
    /// The node it was on.
    pub(in crate::events) node: String,
    /// When it was started, in unix seconds; absent while it did not run.
    pub(in crate::events) begun: Option<i64>,
    /// When it was first seen stopped without anyone having asked, while that is not told yet.
    pub(in crate::events) stopped: Option<i64>,
    /// Restarts that nobody asked for, within the time of a loop.
    pub(in crate::events) restarts: VecDeque<i64>,
    /// How long it had been running at the last look, in seconds. It is another at each, and thus not kept.
    #[serde(skip)]
    pub(in crate::events) uptime: Option<i64>,
}

/// Remembers of whom something was asked.
pub(super) fn note_tasks(ground: &Ground<'_>, state: &mut State) {
    let now = ground.look.now;
    // A clock that was set back would keep them for as long as it is behind.
    let all = state.asked.values_mut().chain(state.asked_nodes.values_mut()).chain(state.stopping.values_mut());
    all.for_each(|at| *at = now.min(*at));
    state.stopping.retain(|_, at| now.saturating_sub(*at) < REBOOT);
    let tasks = ground.look.running.iter().map(|task| (task, now));
    // By our clock: that of the task may be wrong, and the archive of a node that was away comes late.
    let ended = ground.look.ended.iter().map(|task| (task, task.ended.map_or(now, |end| end.min(now))));
    for (task, at) in tasks.chain(ended.map(|(task, at)| (task, if now - at <= 2 * LOOP { now } else { at }))) {
        if ON_ALL.contains(&task.kind.as_str()) {
            state.asked_nodes.insert(task.node.clone(), at);
        }
        if task.kind == "stopall" {
            // A node that is lost meanwhile leaves it running for ever.
            state.stopping.insert(task.node.clone(), task.ended.unwrap_or(task.begun).min(now));
        }
        if task.id.parse::<u64>().is_ok() && moves(task) {
            state.asked.insert(task.id.clone(), at);
        }
    }
}

/// Forgets what was asked long ago, once the guests were looked at after it.
fn forget_tasks(ground: &Ground<'_>, state: &mut State, resources: &Resources) {
    // Long enough for a guest whose last task has ended to be seen stopped by a late sample.
    let keep = ground.look.now - grace(ground) - TOLERANCE;
    let is_blind = |node: &str| ground.look.blind.contains(node);
    let unseen = resources.guests.iter().filter(|guest| is_blind(&guest.node));
    let unseen: BTreeSet<String> = unseen.map(|guest| guest.identity.vmid.to_string()).collect();
    state.asked.retain(|vmid, at| *at >= keep || unseen.contains(vmid));
    state.asked_nodes.retain(|node, at| *at >= keep || is_blind(node));
}

/// Whether a task may stop or start its guest.
fn moves(task: &Task) -> bool {
    let kind = task.kind.as_str();
    let of_a_guest = ["qm", "vz", "ha"].iter().any(|prefix| kind.starts_with(prefix));
    of_a_guest && !matches!(kind, "qmconfig" | "qmclone" | "vzclone" | "qmsnapshot" | "vzsnapshot")
}

fn grace(ground: &Ground<'_>) -> i64 {
    2 * ground.interval
}

pub(super) fn findings(ground: &Ground<'_>, state: &mut State) -> Vec<Finding> {
    let Some(resources) = ground.look.resources.as_ref().filter(|resources| !resources.guests.is_empty()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for guest in resources.guests.iter().filter(|guest| guest.identity.template != Some(true)) {
        let id = guest.identity.id();
        let Some(status) = guest.status.as_deref() else {
            // Its node is lost, which is told; where it is and how it does is seen anew.
            state.guests.remove(&id);
            continue;
        };
        seen.insert(id.clone());
        if ground.look.blind.contains(&*guest.node) {
            continue;
        }
        let error = ERRORS.contains(&status);
        found.extend(
            ground
                .condition(state, (Kind::GuestInError, &id), Some(error), || {
                    format!("{} is in the state {}", named(guest), plain(status))
                })
                .map(|finding| on(finding, guest)),
        );
        found.extend(changed(ground, state, guest, status));
    }
    // Guests that were removed, or that the token may not see any more, did not stop.
    state.guests.retain(|id, _| seen.contains(id));
    forget_tasks(ground, state, resources);
    // Answers are dated to the second: what differs by so little is no jump, and need not be written down.
    if state.ahead.is_none_or(|ahead| (ground.look.ahead - ahead).abs() > JITTER) {
        state.ahead = Some(ground.look.ahead);
    }
    found
}

fn changed(ground: &Ground<'_>, state: &mut State, guest: &Guest, status: &str) -> Vec<Finding> {
    let (id, now) = (guest.identity.id(), ground.look.now);
    #[expect(clippy::cast_possible_truncation, reason = "seconds; the cast saturates")]
    let uptime = guest.usage.uptime.get().map_or(0, |seconds| seconds as i64);
    let begun = (status != "stopped").then(|| now.saturating_sub(uptime));
    let node = guest.node.to_string();
    let fresh = GuestMemory { node, begun, stopped: None, restarts: VecDeque::default(), uptime: Some(uptime) };
    let asked = is_asked(state, guest);
    // Where PVE's clock jumped while nobody looked, it is not as far from ours as it was; nor is it where ours did.
    let jumped = state.ahead.map_or(0, |ahead| ground.look.ahead - ahead);
    let Some(known) = state.guests.get_mut(&id).filter(|known| known.node == *guest.node) else {
        // Seen for the first time here: where it moved, somebody or HA moved it.
        state.guests.insert(id, fresh);
        return Vec::new();
    };
    let mut found = Vec::new();
    let last = known.uptime.replace(uptime);
    match (known.begun, begun) {
        (Some(_), None) if asked => *known = GuestMemory { restarts: std::mem::take(&mut known.restarts), ..fresh },
        (Some(_), None) => {
            // The clock may have been set back since.
            let since = known.stopped.map_or(now, |since| since.min(now));
            known.stopped = Some(since);
            if now - since >= grace(ground) {
                known.begun = None;
                known.stopped = None;
                let summary = format!("{} on node {} stopped although nobody asked", named(guest), guest.node);
                let span = Span::Occurred { at: since };
                found.push(on(ground.finding(Kind::GuestStoppedUnexpectedly, &id, span, summary), guest));
            }
        }
        (Some(before), Some(after)) => {
            known.stopped = None;
            // A clock that jumps moves the start, but makes no uptime shorter.
            let moved = after - before;
            let is_later = moved > TOLERANCE && moved - jumped > TOLERANCE;
            let is_far_shorter = last.is_some_and(|last| uptime.saturating_add(TOLERANCE) < last);
            if moved.abs() > TOLERANCE || is_far_shorter {
                known.begun = Some(after);
            }
            let is_restarted = is_far_shorter || (is_later && last.is_none_or(|last| uptime < last));
            if is_restarted && !asked {
                found.extend(restarted(ground, &mut known.restarts, guest, after));
            }
        }
        (None, _) => {
            known.begun = begun;
            known.stopped = None;
        }
    }
    found
}

fn restarted(ground: &Ground<'_>, restarts: &mut VecDeque<i64>, guest: &Guest, at: i64) -> Vec<Finding> {
    let id = guest.identity.id();
    restarts.retain(|earlier| at - earlier < LOOP);
    restarts.push_back(at);
    let summary = format!("{} on node {} restarted although nobody asked", named(guest), guest.node);
    let span = Span::Occurred { at };
    let mut found = vec![on(ground.finding(Kind::GuestRestartedUnexpectedly, &id, span, summary), guest)];
    if restarts.len() >= RESTARTS {
        let summary = format!("{} on node {} restarts again and again", named(guest), guest.node);
        found.push(on(ground.finding(Kind::GuestRebootLoop, &id, span, summary), guest));
        restarts.clear();
    }
    found
}

/// Whether what becomes of the guest is somebody's will: a task of it or on all of its node, a backup that stops it, or
/// HA at work.
fn is_asked(state: &State, guest: &Guest) -> bool {
    let at_work = guest.ha_state.as_deref().is_some_and(|ha| HA_AT_WORK.contains(&ha));
    at_work
        || guest.lock.is_some()
        || state.asked.contains_key(&guest.identity.vmid.to_string())
        || state.asked_nodes.contains_key(&*guest.node)
}

fn named(guest: &Guest) -> String {
    let word = kind_word(guest.identity.kind);
    match guest.identity.name.as_deref() {
        Some(name) => format!("{word} {} ({})", guest.identity.vmid, plain(name)),
        None => format!("{word} {}", guest.identity.vmid),
    }
}

fn on(mut finding: Finding, guest: &Guest) -> Finding {
    finding.details.insert("on_node".to_owned(), guest.node.to_string());
    if let Some(name) = guest.identity.name.as_deref() {
        finding.details.insert("name".to_owned(), plain(name));
    }
    finding
}
