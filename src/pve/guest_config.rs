//! `GET /nodes/{node}/{qemu|lxc}/{vmid}/config`: what the administrator set for a guest; needs `VM.Audit` on it.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::interfaces::mac;
use super::wire::{Flag, Object, Text};

/// The settings that are used; the others are many.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GuestConfig<'a> {
    /// Whether it is started with its node; absent where it was never set.
    pub onboot: Flag,
    /// Of a VM: whether it has a QEMU guest agent, with options.
    #[serde(borrow)]
    pub agent: Text<'a>,
    /// The first network card, with options.
    #[serde(borrow)]
    pub net0: Text<'a>,
    /// When it is started and shut down among the others of its node, as `order=1,up=30,down=60`.
    #[serde(borrow)]
    pub startup: Text<'a>,
    /// PVE's checksum of the file: every configuration has one.
    #[serde(borrow)]
    pub digest: Text<'a>,
}

/// What `startup` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Startup {
    /// The lowest is started first; those without come after all others.
    pub order: Option<u64>,
    /// How long the next one waits after this was started, in seconds.
    pub up: Option<u64>,
    /// How long it may take to shut down, in seconds.
    pub down: Option<u64>,
}

impl GuestConfig<'_> {
    /// What is said of the order; what cannot be read counts as not said.
    pub fn startup(&self) -> Startup {
        let mut startup = Startup::default();
        for option in self.startup.filled().unwrap_or_default().split(',') {
            let (name, value) = option.split_once('=').unwrap_or(("order", option));
            let value = value.trim().parse().ok();
            match name.trim() {
                "order" => startup.order = value,
                "up" => startup.up = value,
                "down" => startup.down = value,
                _ => {}
            }
        }
        startup
    }

    /// Whether a VM is set to have a QEMU guest agent: `1`, `enabled=1`, either with options; it has none by default.
    pub fn has_agent(&self) -> bool {
        let first = |option: &str| match option.split_once('=') {
            None => Some(option.trim().to_owned()),
            Some((key, value)) => (key.trim() == "enabled").then(|| value.trim().to_owned()),
        };
        let enabled = self.agent.filled().and_then(|agent| agent.split(',').find_map(first));
        matches!(enabled.as_deref(), Some("1" | "yes" | "on" | "true"))
    }

    /// The hardware address of the first network card, in lower case: of a VM `virtio=…`, of a container `hwaddr=…`.
    pub fn first_mac(&self) -> Option<Box<str>> {
        self.net0.filled()?.split(',').find_map(|option| mac(option.split_once('=')?.1.trim()))
    }
}

/// The settings. An answer without a digest is malformed.
pub fn guest_config(answer: &Answer) -> Result<GuestConfig<'_>, Error> {
    let Object(config): Object<GuestConfig<'_>> = answer.data()?;
    if config.digest.filled().is_none() {
        return Err(answer.malformed("it has no digest; expected the configuration of a guest".to_owned()));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;

    #[test]
    fn agent_and_first_card_are_told() {
        for (file, agent, mac) in [
            ("GET_nodes__pve-lab__qemu__100__config.json", true, "bc:24:11:29:44:1d"),
            ("GET_nodes__pve-lab__lxc__200__config.json", false, "bc:24:11:b1:46:87"),
        ] {
            let answer = recorded(&format!("pve-9.2-cluster/{file}"));
            let config = guest_config(&answer).expect("a configuration");
            assert_eq!((config.has_agent(), config.first_mac().as_deref()), (agent, Some(mac)), "{file}");
        }
    }

    #[test]
    fn the_order_of_the_start_is_told() {
        for (told, order, up, down) in [
            ("order=2,up=30,down=60", Some(2), Some(30), Some(60)),
            ("2", Some(2), None, None),
            ("2,up=5", Some(2), Some(5), None),
            ("down=180", None, None, Some(180)),
            ("order=any,up=-1", None, None, None),
            ("", None, None, None),
        ] {
            let body = format!(r#"{{"data":{{"digest":"9f","startup":"{told}"}}}}"#);
            let answer = Answer::of(&body);
            let startup = guest_config(&answer).expect("a configuration").startup();
            assert_eq!(startup, Startup { order, up, down }, "{told}");
        }
    }

    #[test]
    fn an_agent_is_switched_on_in_several_ways() {
        for (told, expected) in [
            ("1", true),
            ("0", false),
            ("enabled=1", true),
            ("1,fstrim_cloned_disks=1", true),
            ("type=virtio,enabled=1", true),
            ("enabled=0,type=isa", false),
            ("fstrim_cloned_disks=1", false),
            ("", false),
        ] {
            let body = format!(r#"{{"data":{{"digest":"9f","agent":"{told}"}}}}"#);
            let answer = Answer::of(&body);
            assert_eq!(guest_config(&answer).expect("a configuration").has_agent(), expected, "{told}");
        }
        let without = Answer::of(r#"{"data":{"digest":"9f","agent":1,"net0":"virtio,bridge=vmbr0"}}"#);
        let config = guest_config(&without).expect("a configuration");
        assert_eq!((config.has_agent(), config.first_mac()), (true, None));
    }
}
