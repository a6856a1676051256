//! What can be asked of a machine, and what stands against it (pure).

use std::fmt::Write;

use super::votes::Votes;
use crate::api::{Code, Error};
use crate::config::{Power, Wake};

/// What can be asked of a node or host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Shut down, and stay so.
    Shutdown,
    /// Shut down, and start again.
    Reboot,
    /// Sleep.
    Suspend,
    /// Be switched on by its network card.
    Wake,
}

/// What is asked, beside of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) action: Action,
    /// Whether a node may run guests.
    pub(super) allow_running: bool,
    /// Whether the cluster may lose its quorum by it.
    pub(super) force_quorum: bool,
}

/// What the machine is to be, so that the action has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Gone,
    There,
    /// Gone, and there after it.
    Again,
}

/// How it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Proxmox VE is asked.
    Pve,
    /// This command over SSH.
    Ssh(String),
    /// A packet of our own.
    Packet(Wake),
}

/// By what a node can be switched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    /// Whether there is an acting credential.
    pub(super) acts: bool,
    pub(super) power: Option<&'a Power>,
    pub(super) wake: Option<Wake>,
}

impl Action {
    /// All there are.
    pub(super) const ALL: [Self; 4] = [Self::Shutdown, Self::Reboot, Self::Suspend, Self::Wake];

    /// As it stands in paths.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Reboot => "reboot",
            Self::Suspend => "suspend",
            Self::Wake => "wake",
        }
    }

    /// As it is counted.
    pub(super) fn counted(self, of_node: bool) -> &'static str {
        match (self, of_node) {
            (Self::Shutdown, true) => "node_shutdown",
            (Self::Reboot, true) => "node_reboot",
            (Self::Suspend, true) => "node_suspend",
            (Self::Wake, true) => "node_wake",
            (Self::Shutdown, false) => "host_shutdown",
            (Self::Reboot, false) => "host_reboot",
            (Self::Suspend, false) => "host_suspend",
            (Self::Wake, false) => "host_wake",
        }
    }

    /// Reads what [`Action::as_str`] writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    pub(super) fn goal(self) -> Goal {
        match self {
            Self::Shutdown | Self::Suspend => Goal::Gone,
            Self::Reboot => Goal::Again,
            Self::Wake => Goal::There,
        }
    }

    /// The command for it, if there is one.
    pub(super) fn command(self, power: &Power) -> Option<&str> {
        match self {
            Self::Shutdown => power.shutdown.as_deref(),
            Self::Reboot => power.reboot.as_deref(),
            Self::Suspend => power.suspend.as_deref(),
            Self::Wake => None,
        }
    }
}

impl Wish {
    /// All that makes an order another one.
    pub(super) fn name(&self, target: &str) -> String {
        let running = if self.allow_running { " with running guests" } else { "" };
        let quorum = if self.force_quorum { " without regard to the quorum" } else { "" };
        format!("{} {target}{running}{quorum}", self.action.as_str())
    }
}

/// How a node is switched: what was configured for it comes before what Proxmox VE offers.
pub(super) fn way_of_node(action: Action, cluster: &str, node: &str, means: Means<'_>) -> Result<Way, Error> {
    if let Some(line) = means.power.and_then(|power| action.command(power)) {
        return Ok(Way::Ssh(line.to_owned()));
    }
    if let (Action::Wake, Some(wake)) = (action, means.wake) {
        return Ok(Way::Packet(wake));
    }
    if means.acts && action != Action::Suspend {
        return Ok(Way::Pve);
    }
    let word = action.as_str();
    let message = match action {
        Action::Wake => format!(
            "nothing wakes nodes of {cluster}: its [[clusters]] has neither {node} in mac_addresses nor control, the acting \
             credential"
        ),
        Action::Suspend => format!(
            "Proxmox VE cannot suspend a node: set suspend in the table control of ssh in the [[clusters]] of {cluster}"
        ),
        Action::Shutdown | Action::Reboot => format!(
            "nothing switches nodes of {cluster}: its [[clusters]] has neither control, the acting credential, nor {word} in \
             the table control of its ssh"
        ),
    };
    Err(Error::new(Code::ControlDisabled, message))
}

/// How a host is switched.
pub(super) fn way_of_host(action: Action, host: &str, power: Option<&Power>, wake: Option<Wake>) -> Result<Way, Error> {
    let disabled = |message| Err(Error::new(Code::ControlDisabled, message));
    match (action, power) {
        (Action::Wake, _) => match wake {
            Some(wake) => Ok(Way::Packet(wake)),
            None => disabled(format!("nothing wakes {host}: its [[hosts]] has no mac_address")),
        },
        (_, None) => disabled(format!("nothing switches {host}: its [[hosts]] has no control")),
        (action, Some(power)) => match action.command(power) {
            Some(line) => Ok(Way::Ssh(line.to_owned())),
            None => {
                let word = action.as_str();
                disabled(format!("there is no command to {word} {host}: set {word} in control of its [[hosts]]"))
            }
        },
    }
}

/// Refuses to take a node away from guests that run there.
pub(super) fn guard_guests(node: &str, running: &[u64]) -> Result<(), Error> {
    const SHOWN: usize = 10;
    let Some(count) = std::num::NonZero::new(running.len()) else { return Ok(()) };
    let mut list = running.iter().take(SHOWN).map(u64::to_string).collect::<Vec<_>>().join(", ");
    if count.get() > SHOWN {
        // Writing to a String cannot fail.
        let _ = write!(list, " and {} more", count.get() - SHOWN);
    }
    let message = format!("{node} runs guests ({list}); move or stop them, or say \"allow_running\": true");
    Err(Error::new(Code::RunningGuests, message))
}

/// Refuses to take a node away from a cluster that then has no majority. `leaving` are nodes that others switch off now.
pub(super) fn guard_quorum(node: &str, votes: &Votes, leaving: &[String]) -> Result<(), Error> {
    let refused = |why: String| {
        let message = format!("{why}; bring nodes back first, or say \"force_quorum\": true");
        Err(Error::new(Code::WouldLoseQuorum, message))
    };
    if votes.quorate == Some(false) {
        return refused(format!("the cluster has no quorum now, and would be further from it without {node}"));
    }
    let without: Vec<&str> = leaving.iter().map(String::as_str).chain([node]).collect();
    let (left, needed) = (votes.left(&without), votes.needed());
    if left >= needed {
        return Ok(());
    }
    let others = match leaving.iter().filter(|other| *other != node).cloned().collect::<Vec<_>>() {
        others if others.is_empty() => String::new(),
        others => format!(" ({} on the way out already)", others.join(", ")),
    };
    refused(format!("without {node} the cluster would have {left} of the {needed} votes that its quorum needs{others}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::votes::Device;
    use super::*;
    use crate::config::{HostKeys, Ssh, SshKeys};
    use crate::ids::{MacAddress, SshFingerprint};

    fn votes(online: &[bool], device: Option<Device>) -> Votes {
        let node = |(index, online): (usize, &bool)| (format!("n{index}"), *online, 1);
        Votes { nodes: online.iter().enumerate().map(node).collect(), device, quorate: Some(true) }
    }

    #[test]
    fn a_node_goes_only_where_a_majority_stays() {
        let two = Some(Device { votes: 1, connected: true });
        let mute = Some(Device { votes: 1, connected: false });
        let last = Some(Device { votes: 2, connected: true });
        for (online, device, goes) in [
            (&[true, true][..], None, false),
            (&[true, true], two, true),
            (&[true, true], mute, false),
            (&[true, true, true], None, true),
            (&[true, true, false], None, false),
            (&[true, true, false], last, true),
            (&[true, true, true, true], None, true),
            (&[true, true, true, false], None, false),
            (&[true, true, true, false], two, true),
            (&[true; 5], None, true),
            (&[true, true, true, false, false], None, false),
        ] {
            let told = guard_quorum("n0", &votes(online, device), &[]);
            assert_eq!(told.is_ok(), goes, "{online:?} {device:?}: {told:?}");
        }
        // A node that has more votes than others.
        let mut heavy = votes(&[true, true, true], None);
        heavy.nodes[0].2 = 3;
        assert!(guard_quorum("n0", &heavy, &[]).is_err() && guard_quorum("n1", &heavy, &[]).is_ok());
        // Another one is on its way out.
        let three = votes(&[true, true, true], None);
        let refused = guard_quorum("n0", &three, &["n1".to_owned()]).unwrap_err();
        assert_eq!(refused.code, Code::WouldLoseQuorum);
        assert!(refused.message.contains("1 of the 2 votes") && refused.message.contains("n1 on the way out"));
        assert!(guard_quorum("n0", &three, &["n0".to_owned()]).is_ok());
        let none = Votes { quorate: Some(false), ..votes(&[true, true, true], None) };
        assert!(guard_quorum("n0", &none, &[]).unwrap_err().message.contains("no quorum now"));
    }

    #[test]
    fn guests_that_run_are_named() {
        assert!(guard_guests("pve1", &[]).is_ok());
        let refused = guard_guests("pve1", &(100..112).collect::<Vec<_>>()).unwrap_err();
        assert_eq!(refused.code, Code::RunningGuests);
        assert!(refused.message.contains("100, 101, ") && refused.message.contains("109 and 2 more"), "{refused:?}");
    }

    #[test]
    fn what_was_configured_comes_before_what_pve_offers_and_what_is_missing_is_named() {
        let (keys, host_keys) = (SshKeys::Agent("/a".into()), HostKeys::Pinned(SshFingerprint([0; 32])));
        let ssh = Arc::new(Ssh { user: "power".to_owned(), keys, host_keys });
        let power = Power { ssh, suspend: Some("s".to_owned()), shutdown: None, reboot: None };
        let wake = Wake { mac: MacAddress([2, 0, 0, 0, 0, 1]), to: ([127, 0, 0, 1], 9).into() };
        let of = |action, means| way_of_node(action, "home", "pve1", means).map_err(|error| error.message);
        let all = Means { acts: true, power: Some(&power), wake: Some(wake) };
        assert_eq!(
            Action::ALL.map(|action| of(action, all)),
            [Ok(Way::Pve), Ok(Way::Pve), Ok(Way::Ssh("s".to_owned())), Ok(Way::Packet(wake))]
        );
        let pve = Means { acts: true, power: None, wake: None };
        assert_eq!((of(Action::Wake, pve), of(Action::Shutdown, pve)), (Ok(Way::Pve), Ok(Way::Pve)));
        assert!(of(Action::Suspend, pve).unwrap_err().contains("set suspend in the table control of ssh"));
        let none = Means { acts: false, power: Some(&power), wake: None };
        assert!(of(Action::Reboot, none).unwrap_err().contains("nor reboot in the table control"));
        assert!(of(Action::Wake, none).unwrap_err().contains("neither pve1 in mac_addresses"));
        let of = |action, power| way_of_host(action, "nas", power, None).map_err(|error| error.message);
        assert_eq!(of(Action::Suspend, Some(&power)), Ok(Way::Ssh("s".to_owned())));
        assert!(of(Action::Reboot, Some(&power)).unwrap_err().contains("set reboot in control of its [[hosts]]"));
        assert!(of(Action::Reboot, None).unwrap_err().contains("has no control"));
        assert!(of(Action::Wake, Some(&power)).unwrap_err().contains("has no mac_address"));
    }
}
