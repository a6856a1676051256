//! What can be asked of a guest, and what is sent for it (pure): action × kind × state → an order, nothing, or a refusal.

use std::time::Duration;

use super::guest::{Condition, Guest, Seen};
use crate::api::{Code, Error};

/// What can be asked of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Switch on, or wake from the disk.
    Start,
    /// Switch off, without asking it.
    Stop,
    /// Ask it to shut down.
    Shutdown,
    /// Ask it to shut down, and switch it on again.
    Reboot,
    /// Press the button.
    Reset,
    /// Pause.
    Suspend,
    /// Go on after a pause, or wake from the disk.
    Resume,
    /// Write its memory to disk, and switch it off.
    Hibernate,
}

/// What is asked, beside of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) action: Action,
    /// How long the guest may take to shut down.
    pub(super) timeout: Option<Duration>,
    /// Whether it is switched off if it takes longer.
    pub(super) force: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is so already.
    Already,
    /// One POST.
    Send(Order),
}

/// One POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// The last word of its path.
    pub(super) verb: &'static str,
    /// Its fields.
    pub(super) fields: Vec<(&'static str, String)>,
    /// The privileges that PVE asks for, with their paths.
    pub(super) needs: Vec<(&'static str, String)>,
    /// Whether HA is asked instead of the guest.
    pub(super) via_ha: bool,
}

/// What the guest is to be, so that the action has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Running,
    Stopped,
    Paused,
    /// Not stopped: who is reset in a pause stays in it.
    Alive,
    /// Of a container, which has no process while it sleeps.
    Still,
    Hibernated,
    /// Running, and not as long as before.
    Again,
}

impl Action {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Stop,
        Self::Shutdown,
        Self::Reboot,
        Self::Reset,
        Self::Suspend,
        Self::Resume,
        Self::Hibernate,
    ];

    /// As it stands in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Shutdown => "shutdown",
            Self::Reboot => "reboot",
            Self::Reset => "reset",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Hibernate => "hibernate",
        }
    }

    /// Reads what [`Action::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// Whether a timeout means something.
    pub(super) fn takes_time(self) -> bool {
        matches!(self, Self::Shutdown | Self::Reboot)
    }

    pub(super) fn goal(self, kind: &str) -> Goal {
        match self {
            Self::Start | Self::Resume => Goal::Running,
            Self::Reset => Goal::Alive,
            Self::Stop | Self::Shutdown => Goal::Stopped,
            Self::Reboot => Goal::Again,
            Self::Suspend if kind == "lxc" => Goal::Still,
            Self::Suspend => Goal::Paused,
            Self::Hibernate => Goal::Hibernated,
        }
    }

    /// The types of the tasks that it may become, HA's included; a guest that sleeps on disk is resumed by a start.
    pub(super) fn tasks(self) -> &'static [&'static str] {
        match self {
            Self::Start => &["qmstart", "vzstart", "hastart"],
            Self::Stop => &["qmstop", "vzstop", "hastop"],
            Self::Shutdown => &["qmshutdown", "vzshutdown", "hastop"],
            Self::Reboot => &["qmreboot", "vzreboot"],
            Self::Reset => &["qmreset"],
            Self::Suspend => &["qmpause", "vzsuspend"],
            Self::Resume => &["qmresume", "vzresume", "qmstart", "hastart"],
            Self::Hibernate => &["qmsuspend"],
        }
    }
}

impl Goal {
    /// Whether a guest is so now, so long after it was asked for; `before` is how long it ran then.
    pub(super) fn is_met(self, seen: &Seen, before: u64, elapsed: Duration) -> bool {
        match self {
            Self::Running => seen.condition == Condition::Running,
            Self::Stopped => seen.condition == Condition::Stopped,
            Self::Paused => seen.condition == Condition::Paused,
            Self::Alive => seen.condition != Condition::Stopped,
            Self::Still => matches!(seen.condition, Condition::Paused | Condition::Stopped),
            Self::Hibernated => seen.condition == Condition::Stopped && seen.sleeps(),
            Self::Again => {
                seen.condition == Condition::Running && (seen.uptime < before || seen.uptime <= elapsed.as_secs())
            }
        }
    }
}

/// What is to be done for a wish.
pub(super) fn plan(wish: &Wish, guest: &Guest) -> Result<Plan, Error> {
    let (action, seen) = (wish.action, &guest.seen);
    let (id, name) = (guest.vmid, if guest.is_container() { "container" } else { "virtual machine" });
    if guest.is_container() && matches!(action, Action::Reset | Action::Hibernate) {
        let message = format!("{id} is a container, which Proxmox VE cannot {}", action.as_str());
        return Err(Error::new(Code::UnsupportedAction, message));
    }
    if guest.template {
        return Err(Error::new(Code::Template, format!("{id} is a template, which never runs")));
    }
    let wakes = seen.sleeps() && matches!(action, Action::Start | Action::Resume);
    let is_asleep = seen.sleeps() && action == Action::Hibernate;
    if let Some(lock) = seen.lock.as_deref().filter(|_| !wakes && !is_asleep) {
        return Err(Error::new(Code::Locked, format!("the {name} {id} is locked ({lock}); wait until that has ended")));
    }
    let is_already = match action {
        Action::Start | Action::Resume => seen.condition == Condition::Running,
        Action::Stop | Action::Shutdown => seen.condition == Condition::Stopped,
        Action::Suspend => seen.condition == Condition::Paused,
        Action::Hibernate => is_asleep,
        Action::Reboot | Action::Reset => false,
    };
    if is_already {
        return Ok(Plan::Already);
    }
    let via_ha = seen.is_managed && matches!(action, Action::Start | Action::Stop | Action::Shutdown);
    // In these states the HA manager is busy with the guest, or has given up on it.
    let busy = guest.ha_state.as_deref().filter(|state| matches!(*state, "error" | "fence" | "freeze" | "recovery"));
    if let Some(state) = busy.filter(|_| via_ha) {
        let message =
            format!("the HA manager holds {id} in the state {state} and would not act on it; see ha-manager status");
        return Err(Error::new(Code::HaForbids, message));
    }
    Ok(Plan::Send(Order { via_ha, ..order(wish, guest) }))
}

fn order(wish: &Wish, guest: &Guest) -> Order {
    let path = format!("/vms/{}", guest.vmid);
    let mut needs = vec![("VM.PowerMgmt", path.clone())];
    let mut fields = Vec::new();
    let verb = match wish.action {
        // PVE wakes from the disk what is started.
        Action::Resume if guest.seen.sleeps() => "start",
        Action::Hibernate => {
            fields.push(("todisk", "1".to_owned()));
            needs.push(("VM.Config.Disk", path));
            "suspend"
        }
        action => action.as_str(),
    };
    fields.extend(wish.timeout.map(|timeout| ("timeout", timeout.as_secs().to_string())));
    if wish.force {
        fields.push(("forceStop", "1".to_owned()));
    }
    Order { verb, fields, needs, via_ha: false }
}

#[cfg(test)]
#[path = "action_tests.rs"]
mod tests;
