//! What the agent inside a VM says of its file systems, its operating system and its clock, and when it says nothing.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::json;
use super::super::noise::{Shuffle, hash, unit};
use super::cluster::{Cluster, tick};
use super::network::Silent;
use super::population::{GIB, GuestSpec, MIB};

/// What can be asked of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Topic {
    /// `get-fsinfo`.
    FileSystems,
    /// `get-osinfo`.
    System,
    /// `get-time`.
    Time,
}

/// An agent in so many hangs after so long, for so long, again and again.
const HANGS: u64 = 8;
const HANGS_FIRST: i64 = 700;
const HANGS_EVERY: i64 = 1800;
const HANGS_FOR: i64 = 300;

/// A database's file system fills up within this time, and is then cleaned.
const FILLS_WITHIN: i64 = 3600;
/// A clock that nobody sets right loses a second in so many, until somebody does.
const LOSES_ONE_IN: i64 = 360;
const SET_RIGHT_EVERY: i64 = 7200;

impl Topic {
    /// The call's last part.
    pub(in super::super) fn of(command: &str) -> Option<Self> {
        Some(match command {
            "get-fsinfo" => Self::FileSystems,
            "get-osinfo" => Self::System,
            "get-time" => Self::Time,
            _ => return None,
        })
    }
}

impl Cluster {
    /// The body of `GET /nodes/N/qemu/ID/agent/get-…`.
    pub(in super::super) fn agent_says(
        &self,
        (node, vmid): (usize, u64),
        topic: Topic,
        now: Duration,
        mut order: Shuffle,
    ) -> Result<String, Silent> {
        let spec = self.spec(vmid).filter(|spec| !spec.container).ok_or(Silent::Missing)?;
        let guest = self.guest(spec, tick(now));
        match guest.status {
            _ if guest.node != node => return Err(Silent::Missing),
            "running" if self.is_mute(spec, tick(now)) => return Err(Silent::Mute),
            "running" => {}
            _ => return Err(Silent::Stopped),
        }
        let said = match topic {
            Topic::FileSystems => self.file_systems(spec, tick(now)),
            Topic::System => self.system(spec),
            Topic::Time => json!(self.guest_clock(spec, now)),
        };
        Ok(json::reordered(&json!({ "data": { "result": said } }), &mut order))
    }

    /// Whether the agent hangs just now.
    fn is_mute(&self, spec: &GuestSpec, now: i64) -> bool {
        let since = now - HANGS_FIRST;
        since >= 0 && since.rem_euclid(HANGS_EVERY) < HANGS_FOR && hash(self.seed, 120, spec.vmid).is_multiple_of(HANGS)
    }

    fn file_systems(&self, spec: &GuestSpec, now: i64) -> Value {
        let filling = 0.3 + 0.4 * unit(self.seed, 121, spec.vmid);
        if self.is_windows(spec) {
            return json!([
                file_system(("\\\\?\\Volume{4c1b02c1-d990-11dc-99ae-806e6f6e6963}\\", "C:\\", "NTFS"), spec.disk, filling),
                { "name": "\\\\?\\Volume{0f1c2d3e-0000-11dc-99ae-806e6f6e6963}\\", "mountpoint": "System Reserved",
                  "type": "NTFS", "disk": [] },
            ]);
        }
        let mut told = vec![
            file_system(("sda1", "/", "ext4"), spec.disk / 100 * 95, filling),
            file_system(("sda15", "/boot/efi", "vfat"), 124 * MIB, 0.07),
        ];
        if spec.tags.contains("db") {
            let since = (now + (spec.vmid % 7) as i64 * 500).rem_euclid(FILLS_WITHIN);
            let share = 0.4 + 0.53 * since as f64 / FILLS_WITHIN as f64;
            told.push(file_system(("dm-0", "/var/lib/postgresql", "xfs"), 64 * GIB, share));
        }
        // Those who build mount what they work on in many places, and images beside it.
        if spec.tags.contains("ci") {
            told.push(file_system(("sda1", "/var/lib/docker/volumes/cache", "ext4"), spec.disk / 100 * 95, filling));
            told.push(file_system(("loop0", "/snap/core/17200", "squashfs"), 104 * MIB, 1.0));
        }
        Value::from(told)
    }

    fn system(&self, spec: &GuestSpec) -> Value {
        let (id, name, version, kernel) = match hash(self.seed, 122, spec.vmid) % 3 {
            _ if self.is_windows(spec) => ("mswindows", "Microsoft Windows Server 2025", "2025", "26100"),
            0 => ("ubuntu", "Ubuntu 26.04 LTS", "26.04", "7.0.0-14-generic"),
            _ => ("debian", "Debian GNU/Linux 13 (trixie)", "13", "6.12.107+deb13-cloud-amd64"),
        };
        json!({ "id": id, "name": name, "pretty-name": name, "version-id": version, "version": version,
                "kernel-release": kernel, "kernel-version": "#1 SMP PREEMPT_DYNAMIC", "machine": "x86_64" })
    }

    /// In nanoseconds since 1970.
    fn guest_clock(&self, spec: &GuestSpec, now: Duration) -> u64 {
        let right = Duration::from_secs(self.unix(0)).saturating_add(now);
        let lost = match hash(self.seed, 123, spec.vmid) % 20 {
            0 => tick(now).rem_euclid(SET_RIGHT_EVERY) / LOSES_ONE_IN,
            _ => 0,
        };
        let wrong = right.saturating_sub(Duration::from_secs(lost.unsigned_abs()));
        u64::try_from(wrong.as_nanos()).unwrap_or(u64::MAX)
    }

    fn is_windows(&self, spec: &GuestSpec) -> bool {
        spec.tags.contains("mail")
    }
}

fn file_system((name, mountpoint, kind): (&str, &str, &str), size: u64, share: f64) -> Value {
    let used = (size as f64 * share).round();
    json!({
        "name": name, "mountpoint": mountpoint, "type": kind, "total-bytes": size, "used-bytes": used as u64,
        "disk": [{ "bus-type": "scsi", "bus": 0, "target": 0, "unit": 0, "dev": "/dev/sda",
                   "pci-controller": { "domain": 0, "bus": 9, "slot": 1, "function": 0 } }],
    })
}

#[cfg(test)]
mod tests {
    use super::super::World;
    use super::*;

    fn said(world: &World, vmid: u64, topic: Topic, now: u64) -> Result<Value, &'static str> {
        let facts = world.facts();
        let now = Duration::from_secs(now);
        let spec = facts.spec(vmid).expect("a guest");
        let node = facts.guest(spec, tick(now)).node;
        match facts.agent_says((node, vmid), topic, now, Shuffle::new(1, 1)) {
            Ok(body) => Ok(serde_json::from_str::<Value>(&body).unwrap()["data"]["result"].take()),
            Err(Silent::Missing) => Err("missing"),
            Err(Silent::Stopped) => Err("stopped"),
            Err(Silent::Mute) => Err("mute"),
        }
    }

    fn running_vms(world: &World) -> Vec<u64> {
        let facts = world.facts();
        let runs = |vmid: &u64| said(world, *vmid, Topic::Time, 0).is_ok();
        facts.guests.iter().map(|spec| spec.vmid).filter(runs).collect()
    }

    #[test]
    fn agents_tell_and_some_hang_now_and_then() {
        let world = World::new(1, 3, 40);
        let vms = running_vms(&world);
        assert!(vms.len() > 10);
        let mute = |now| vms.iter().filter(|vmid| said(&world, **vmid, Topic::Time, now) == Err("mute")).count();
        assert_eq!((mute(690), mute(1010)), (0, 0));
        assert!((1..vms.len() / 2).contains(&mute(720)), "{}", mute(720));
        for vmid in vms {
            let told = said(&world, vmid, Topic::FileSystems, 60).unwrap();
            for found in told.as_array().unwrap() {
                let [size, used] = ["total-bytes", "used-bytes"].map(|key| found[key].as_u64());
                assert!(found["mountpoint"].is_string() && used <= size, "{found}");
            }
            assert!(said(&world, vmid, Topic::System, 60).unwrap()["pretty-name"].is_string());
        }
    }

    #[test]
    fn clocks_run_and_some_fall_behind() {
        let world = World::new(1, 1, 200);
        let begun = world.facts().unix(0);
        let behind = |vmid: u64, now: u64| {
            let told = said(&world, vmid, Topic::Time, now).unwrap().as_u64().unwrap();
            (begun + now) * 1_000_000_000 - told
        };
        let vms = running_vms(&world);
        assert!(vms.iter().all(|vmid| behind(*vmid, 0) == 0));
        let late =
            vms.iter().filter(|vmid| said(&world, **vmid, Topic::Time, 3605).is_ok_and(|_| behind(**vmid, 3605) > 0));
        assert!((1..vms.len() / 4).contains(&late.count()));
    }

    #[test]
    fn a_container_has_no_agent() {
        let world = World::new(1, 1, 40);
        let facts = world.facts();
        let container = facts.guests.iter().find(|spec| spec.container).unwrap().vmid;
        assert_eq!(said(&world, container, Topic::System, 0), Err("missing"));
    }
}
