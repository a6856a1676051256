//! What the agent inside a VM says: file systems, operating system, clock.
//! Try: `pvesh get /nodes/NODE/qemu/100/agent/get-fsinfo`

use std::time::Duration;

use tokio::time::Instant;

use super::shared::{self, Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, Subject};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Answer, Error, FileSystem, Heard, OsInfo, agent_label};

const TIME_CALL: &str = "/nodes/{node}/qemu/{vmid}/agent/get-time";
const FILES_CALL: &str = "/nodes/{node}/qemu/{vmid}/agent/get-fsinfo";
const OS_CALL: &str = "/nodes/{node}/qemu/{vmid}/agent/get-osinfo";

/// An agent that hangs holds a worker of its node for some seconds, or for as long as the guest's slowest disk. So one call
/// at a time waits on a node, and none follows that went unanswered.
pub(super) const COLLECTOR: Collector = Collector {
    name: "guest_agent",
    about: "file systems, operating system and clock inside of VMs, by their agent",
    needs: &[Need { privilege: "VM.GuestAgent.Audit", before_9: Some("VM.Monitor"), path: "/vms" }],
    calls: &[TIME_CALL, FILES_CALL, OS_CALL],
    families: &[&UP, &CLOCK, &SIZE, &USED, &FILES_INFO, &OS_INFO],
    preset: Some(Preset::Full),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(10),
        per: Per::RunningVms,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static UP: Desc = Desc {
    name: "pve_guest_agent_up",
    help: "Whether the guest's agent answers, only of running VMs that are set to have one, from /nodes/{node}/qemu/{vmid}/agent.",
    kind: Kind::Gauge,
};
static CLOCK: Desc = Desc {
    name: "pve_guest_clock_offset_seconds",
    help: "How far the guest's clock is ahead of that of Proxmox VE, to about a second, from /nodes/{node}/qemu/{vmid}/agent/get-time.",
    kind: Kind::Gauge,
};
static SIZE: Desc = Desc {
    name: "pve_guest_filesystem_size_bytes",
    help: "What users of the guest can fill of the file system, from /nodes/{node}/qemu/{vmid}/agent/get-fsinfo.",
    kind: Kind::Gauge,
};
static USED: Desc = Desc {
    name: "pve_guest_filesystem_used_bytes",
    help: "How much of the file system inside the guest is used, from /nodes/{node}/qemu/{vmid}/agent/get-fsinfo.",
    kind: Kind::Gauge,
};
static FILES_INFO: Desc = Desc {
    name: "pve_guest_filesystem_info",
    help: "Type and device of the file system inside the guest, from /nodes/{node}/qemu/{vmid}/agent/get-fsinfo.",
    kind: Kind::Gauge,
};
static OS_INFO: Desc = Desc {
    name: "pve_guest_os_info",
    help: "Operating system, its version and kernel inside the guest, from /nodes/{node}/qemu/{vmid}/agent/get-osinfo.",
    kind: Kind::Gauge,
};

/// What was heard of one agent.
#[derive(Default)]
struct Agent {
    is_up: Option<bool>,
    /// There is no use in asking for more.
    is_over: bool,
    ahead: Option<f64>,
    file_systems: Vec<FileSystem>,
    os: Option<Labels>,
}

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Subject::Guest { vmid, .. } = ask.subject() else { return Ok(Vec::new()) };
        let begun = Instant::now();
        // Where `guest_config` tells that there is none, nobody has to refuse it.
        if ask.inventory().learned().lacks_agent(*vmid, begun) {
            return Ok(Vec::new());
        }
        let id = shared::id(ask.subject());
        let mut agent = Agent::default();
        if let Some(answer) = agent.hear(ask.get(TIME_CALL).await)? {
            agent.ahead = ahead(&answer, begun.elapsed())?;
        }
        if !agent.is_over
            && let Some(answer) = agent.hear(ask.get(FILES_CALL).await)?
        {
            agent.file_systems = understood(pve::agent_file_systems(&answer));
        }
        if !agent.is_over
            && let Some(answer) = agent.hear(ask.get(OS_CALL).await)?
        {
            let os = understood(pve::agent_os(&answer));
            agent.os = (os != OsInfo::default()).then(|| os_labels(&id, &os));
        }
        Ok(families(&id, agent))
    })
}

impl Agent {
    /// Learns from an answer, and hands on what was said.
    fn hear(&mut self, answer: Result<Answer, Error>) -> Result<Option<Answer>, Error> {
        let heard = pve::agent_heard(answer)?;
        self.is_up = match heard {
            Heard::Said(_) | Heard::Refused => Some(true),
            Heard::Silent => Some(false),
            Heard::Absent => None,
            Heard::Unknown => self.is_up,
        };
        self.is_over = matches!(heard, Heard::Silent | Heard::Absent);
        Ok(match heard {
            Heard::Said(answer) => Some(answer),
            _ => None,
        })
    }
}

/// The guest itself answers: nonsense of its is nobody's failure.
fn understood<T: Default>(said: Result<T, Error>) -> T {
    said.unwrap_or_else(|error| {
        tracing::debug!(%error, "an agent said what nobody understands");
        T::default()
    })
}

/// The guest's clock against that of who answered, in the middle of the call. Proxmox VE tells its own in whole seconds, of
/// which half a one is missing on average.
fn ahead(answer: &Answer, took: Duration) -> Result<Option<f64>, Error> {
    const MISSING: f64 = 0.5;
    let guest = pve::agent_time(answer)?;
    let ours = answer.date().map(|date| date + MISSING - took.as_secs_f64() / 2.0);
    Ok(guest.zip(ours).map(|(guest, ours)| guest - ours))
}

fn families(id: &str, agent: Agent) -> Vec<Family> {
    let labels = Labels::new(&[("id", id)]);
    let [mut up, mut clock, mut os] = [&UP, &CLOCK, &OS_INFO].map(Column::new);
    up.push(&labels, agent.is_up.map(flag));
    clock.push(&labels, agent.ahead);
    if let Some(told) = agent.os {
        os.push_info(told);
    }
    let [mut sizes, mut used, mut infos] = [&SIZE, &USED, &FILES_INFO].map(Column::new);
    for found in &agent.file_systems {
        let mountpoint = ("mountpoint", &*found.mountpoint);
        let labels = Labels::new(&[("id", id), mountpoint]);
        sizes.push(&labels, found.size);
        used.push(&labels, found.used);
        infos.push_info(Labels::new(&[("id", id), mountpoint, ("fstype", &found.kind), ("device", &found.device)]));
    }
    [up, clock, sizes, used, infos, os].map(Column::into_family).into()
}

fn os_labels(id: &str, os: &OsInfo<'_>) -> Labels {
    let name = os.pretty_name.filled().or(os.name.filled());
    let [os, name, version, kernel] = [os.id.filled(), name, os.version_id.filled(), os.kernel_release.filled()]
        .map(|words| agent_label(words.unwrap_or_default()));
    Labels::new(&[("id", id), ("os", os), ("name", name), ("version", version), ("kernel", kernel)])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Reason;
    use crate::pve::testing::{any_object, any_rows, recorded};
    use proptest::prelude::*;

    fn failed(words: &str) -> Result<Answer, Error> {
        let reason = Reason::Status(500, words.to_owned());
        Err(Error { endpoint: String::new(), path: String::new(), reason })
    }

    #[test]
    fn an_agent_that_says_all_is_told() {
        let file = |name: &str| recorded(&format!("hand-made/GET_nodes__pve-lab__qemu__100__agent__{name}.json"));
        let os = recorded("pve-9.2-cluster/GET_nodes__pve-lab__qemu__103__agent__get-osinfo.json");
        let agent = Agent {
            is_up: Some(true),
            is_over: false,
            // 21:18:07.5 on average less the half of a second and a half, and 21:18:03.5.
            ahead: ahead(&file("get-time"), Duration::from_millis(1500)).expect("a time"),
            file_systems: pve::agent_file_systems(&file("get-fsinfo")).expect("file systems"),
            os: Some(os_labels("qemu/100", &pve::agent_os(&os).expect("a system"))),
        };
        assert_eq!(
            lines(&families("qemu/100", agent)),
            [
                "pve_guest_agent_up{id=\"qemu/100\"} 1",
                "pve_guest_clock_offset_seconds{id=\"qemu/100\"} -3.25",
                "pve_guest_filesystem_size_bytes{id=\"qemu/100\",mountpoint=\"/\"} 33501757440",
                "pve_guest_filesystem_size_bytes{id=\"qemu/100\",mountpoint=\"/boot/efi\"} 129718272",
                "pve_guest_filesystem_used_bytes{id=\"qemu/100\",mountpoint=\"/\"} 21474836480",
                "pve_guest_filesystem_used_bytes{id=\"qemu/100\",mountpoint=\"/boot/efi\"} 9125888",
                "pve_guest_filesystem_info{id=\"qemu/100\",mountpoint=\"/\",fstype=\"ext4\",device=\"sda1\"} 1",
                "pve_guest_filesystem_info{id=\"qemu/100\",mountpoint=\"/boot/efi\",fstype=\"vfat\",device=\"sda15\"} 1",
                "pve_guest_filesystem_info{id=\"qemu/100\",mountpoint=\"/srv/data\",fstype=\"xfs\",device=\"dm-0\"} 1",
                "pve_guest_os_info{id=\"qemu/100\",os=\"lab\",name=\"Lab busybox\",version=\"1\",\
                 kernel=\"6.12.107+deb13-cloud-amd64\"} 1",
            ]
        );
    }

    #[test]
    fn silence_is_down_and_no_agent_is_no_news() {
        for (words, up, asks_on) in [
            ("QEMU guest agent is not running", Some("0"), false),
            ("VM 7 qga command 'guest-get-time' failed - got timeout", Some("0"), false),
            ("VM 7 qga command 'guest-get-time' failed - The command has been disabled", Some("1"), true),
            ("No QEMU guest agent configured", None, false),
            ("VM 7 is not running", None, false),
        ] {
            let mut agent = Agent::default();
            assert!(agent.hear(failed(words)).expect("known words").is_none());
            assert_eq!(agent.is_over, !asks_on, "{words}");
            let expected: Vec<String> =
                up.iter().map(|up| format!("pve_guest_agent_up{{id=\"qemu/7\"}} {up}")).collect();
            assert_eq!(lines(&families("qemu/7", agent)), expected, "{words}");
        }
        assert!(Agent::default().hear(failed("got timeout")).is_err());
    }

    #[test]
    fn an_agent_that_falls_silent_in_the_middle_is_down() {
        let mut agent = Agent::default();
        assert!(agent.hear(Ok(Answer::of(r#"{"data":{"result":5}}"#))).expect("an answer").is_some());
        assert_eq!((agent.is_up, agent.is_over), (Some(true), false));
        assert!(
            agent.hear(failed("VM 7 qga command 'guest-get-fsinfo' failed - got timeout")).expect("words").is_none()
        );
        assert_eq!((agent.is_up, agent.is_over), (Some(false), true));
    }

    #[test]
    fn without_a_date_there_is_no_difference() {
        let answer = Answer::of(r#"{"data":{"result":1795209483500000000}}"#);
        assert_eq!(ahead(&answer, Duration::ZERO), Ok(None));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            rows in any_rows(&["name", "mountpoint", "type", "total-bytes", "used-bytes"]),
            os in any_object(&["id", "name", "pretty-name", "version-id", "kernel-release"]),
            is_up in any::<Option<bool>>(),
        ) {
            let answer = |result| Answer::of(&serde_json::json!({ "data": { "result": result } }).to_string());
            let (rows, os) = (answer(rows), answer(os));
            if let (Ok(file_systems), Ok(os)) = (pve::agent_file_systems(&rows), pve::agent_os(&os)) {
                let os = Some(os_labels("qemu/7", &os));
                let agent = Agent { is_up, is_over: false, ahead: None, file_systems, os };
                check(&COLLECTOR, &families("qemu/7", agent));
            }
        }
    }
}
