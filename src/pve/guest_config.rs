//! `GET /nodes/{node}/{qemu|lxc}/{vmid}/config`: what the administrator set for a guest; needs `VM.Audit` on it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::answer::Answer;
use super::devices::{self, GuestDisk, Nic};
use super::error::Error;
use super::interfaces::mac;
use super::wire::{Flag, Number, Object, Text};

const MIB: f64 = 1_048_576.0;
/// In MiB; what PVE gives a guest whose configuration does not say.
const DEFAULT_MEMORY: f64 = 512.0;

/// The settings that are used; the others are many.
#[derive(Debug, Default)]
pub struct GuestConfig<'a> {
    /// Whether it is started with its node; absent where it was never set.
    pub onboot: Flag,
    /// Whether it and its disks cannot be removed; absent where it was never set.
    pub protection: Flag,
    /// Of a VM: whether it has a QEMU guest agent, with options.
    pub agent: Text<'a>,
    /// When it is started and shut down among the others of its node, as `order=1,up=30,down=60`.
    pub startup: Text<'a>,
    /// PVE's checksum of the file: every configuration has one.
    pub digest: Text<'a>,
    /// Of a VM: cores per socket; of a container: all that it may use, absent where that is every one of its node.
    pub cores: Number,
    /// Of a VM.
    pub sockets: Number,
    /// Of a VM: how many of the cores are plugged in at its start.
    pub vcpus: Number,
    /// How many CPUs' time it may use; 0: as much as there is.
    pub cpulimit: Number,
    /// Mebibytes, also as `current=…`.
    memory: Text<'a>,
    /// Of a VM, mebibytes: it gets no less; 0: it has no balloon.
    balloon: Number,
    /// Of a container, mebibytes.
    swap: Number,
    /// Disks, mount points and network cards, with options.
    devices: Vec<(Text<'a>, Text<'a>)>,
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
        let (_, net0) = self.devices.iter().find(|(key, _)| key.filled() == Some("net0"))?;
        net0.filled()?.split(',').find_map(|option| mac(option.split_once('=')?.1.trim()))
    }

    /// The CPUs of a VM: those that are plugged in, else all cores of all sockets, of which it has one each by default.
    pub fn vcpus(&self) -> Option<f64> {
        let of = |number: Number| number.0.map_or(Some(1.0), |value| Some(value).filter(|value| *value >= 1.0));
        match self.vcpus.quantity().filter(|vcpus| *vcpus >= 1.0) {
            Some(vcpus) => Some(vcpus),
            None => Some(of(self.sockets)? * of(self.cores)?),
        }
    }

    /// How many CPUs' time it may use, where that is limited.
    pub fn cpu_limit(&self) -> Option<f64> {
        self.cpulimit.quantity().filter(|limit| *limit > 0.0)
    }

    /// Its memory in bytes; what is written there but cannot be read is not known.
    pub fn memory_bytes(&self) -> Option<f64> {
        let Some(told) = self.memory.filled() else { return Some(DEFAULT_MEMORY * MIB) };
        let first = told.split(',').next().unwrap_or_default();
        let number = first.strip_prefix("current=").unwrap_or(first).trim();
        bytes(number.parse().ok().filter(|size: &f64| *size >= 0.0)?)
    }

    /// The least memory that a VM is left with when its node runs short, in bytes, where it has a balloon for that.
    pub fn balloon_bytes(&self) -> Option<f64> {
        self.balloon.quantity().filter(|least| *least > 0.0).and_then(bytes)
    }

    /// The swap space of a container in bytes.
    pub fn swap_bytes(&self) -> Option<f64> {
        self.swap.0.map_or(Some(DEFAULT_MEMORY), |_| self.swap.quantity()).and_then(bytes)
    }

    /// Disks and mount points by their key, without CD drives and volumes that are not in use.
    pub fn disks(&self) -> Vec<GuestDisk<'_>> {
        let mut disks = self.of_devices(devices::disk);
        disks.dedup_by(|b, a| b.key == a.key);
        disks
    }

    /// Network cards by their key.
    pub fn nics(&self) -> Vec<Nic<'_>> {
        let mut nics = self.of_devices(devices::nic);
        nics.dedup_by(|b, a| b.key == a.key);
        nics
    }

    fn of_devices<'b, T: Ord>(&'b self, read: fn(&'b str, &'b str) -> Option<T>) -> Vec<T> {
        let filled = self.devices.iter().filter_map(|(key, value)| Some((key.filled()?, value.filled()?)));
        let mut found: Vec<T> = filled.filter_map(|(key, value)| read(key, value)).collect();
        found.sort_unstable();
        found
    }
}

/// Mebibytes as bytes, as far as there is such a number.
fn bytes(mebibytes: f64) -> Option<f64> {
    Some(mebibytes * MIB).filter(|bytes| bytes.is_finite())
}

/// The settings. An answer without a digest is malformed.
pub fn guest_config(answer: &Answer) -> Result<GuestConfig<'_>, Error> {
    let Object(config): Object<GuestConfig<'_>> = answer.data()?;
    if config.digest.filled().is_none() {
        return Err(answer.malformed("it has no digest; expected the configuration of a guest".to_owned()));
    }
    Ok(config)
}

/// By hand, for the keys of devices, which are many and numbered.
impl<'de: 'a, 'a> Deserialize<'de> for GuestConfig<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Settings(GuestConfig::default()))
    }
}

struct Settings<'a>(GuestConfig<'a>);

impl<'de: 'a, 'a> Visitor<'de> for Settings<'a> {
    type Value = GuestConfig<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration of a guest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GuestConfig<'a>, A::Error> {
        let Self(mut config) = self;
        while let Some(key) = map.next_key::<Text<'a>>()? {
            match key.filled().unwrap_or_default() {
                "onboot" => config.onboot = map.next_value()?,
                "protection" => config.protection = map.next_value()?,
                "agent" => config.agent = map.next_value()?,
                "startup" => config.startup = map.next_value()?,
                "digest" => config.digest = map.next_value()?,
                "cores" => config.cores = map.next_value()?,
                "sockets" => config.sockets = map.next_value()?,
                "vcpus" => config.vcpus = map.next_value()?,
                "cpulimit" => config.cpulimit = map.next_value()?,
                "memory" => config.memory = map.next_value()?,
                "balloon" => config.balloon = map.next_value()?,
                "swap" => config.swap = map.next_value()?,
                name if devices::is_device(name) => config.devices.push((key, map.next_value()?)),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(config)
    }
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

    #[test]
    fn sizes_are_those_of_the_recorded_guests() {
        const MIB: f64 = 1_048_576.0;
        for (file, vcpus, limit, memory, swap) in [
            ("GET_nodes__pve-lab__qemu__100__config.json", Some(1.0), None, 256.0, 512.0),
            ("GET_nodes__pve-lab__lxc__200__config.json", Some(1.0), None, 128.0, 64.0),
            ("GET_lxc_202_cpulimit_0.5_config.json", Some(1.0), Some(0.5), 64.0, 0.0),
        ] {
            let answer = recorded(&format!("pve-9.2-cluster/{file}"));
            let config = guest_config(&answer).expect("a configuration");
            assert_eq!((config.vcpus(), config.cpu_limit()), (vcpus, limit), "{file}");
            assert_eq!((config.memory_bytes(), config.swap_bytes()), (Some(memory * MIB), Some(swap * MIB)), "{file}");
            assert_eq!((config.disks().len(), config.nics().len()), (1, 1), "{file}");
        }
    }

    #[test]
    fn what_is_not_said_has_a_default_and_what_cannot_be_read_has_none() {
        for (told, vcpus, memory, balloon) in [
            (r#""sockets":2,"cores":"4""#, Some(8.0), Some(512.0), None),
            (r#""sockets":2,"cores":4,"vcpus":3"#, Some(3.0), Some(512.0), None),
            (r#""memory":"current=2048","balloon":1024"#, Some(1.0), Some(2048.0), Some(1024.0)),
            (r#""memory":2048,"balloon":0"#, Some(1.0), Some(2048.0), None),
            (r#""memory":"much","cores":-1,"balloon":-5"#, None, None, None),
            (r#""memory":"1.7e308","swap":1.7e308,"balloon":1.7e308"#, Some(1.0), None, None),
        ] {
            let body = format!(r#"{{"data":{{"digest":"9f",{told}}}}}"#);
            let answer = Answer::of(&body);
            let config = guest_config(&answer).expect("a configuration");
            assert!(config.swap_bytes().is_none_or(f64::is_finite), "{told}");
            let mib = |bytes: Option<f64>| bytes.map(|bytes| bytes / 1_048_576.0);
            assert_eq!(
                (config.vcpus(), mib(config.memory_bytes()), mib(config.balloon_bytes())),
                (vcpus, memory, balloon),
                "{told}"
            );
        }
    }
}
