//! `GET /nodes/{node}/qemu/{vmid}/agent/{get-time|get-fsinfo|get-osinfo}`: what the agent inside a VM says; needs
//! `VM.GuestAgent.Audit`, before PVE 9 `VM.Monitor`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::answer::Answer;
use super::error::{Error, Reason};
use super::wire::{List, Number, Object, Text};

/// The guest itself answers, so that there is no end to what it may say: more is passed over.
const MOST_FILE_SYSTEMS: usize = 32;
const LONGEST: usize = 128;
const NANOSECONDS: f64 = 1e9;

/// Images that are full by nature, and what lives in memory.
const PASSED_OVER: &[&str] = &[
    "cdfs", "cd9660", "devtmpfs", "erofs", "iso9660", "nsfs", "overlay", "proc", "ramfs", "squashfs", "sysfs", "tmpfs",
    "udf",
];
/// Where mounts come and go with containers and packages, under names that no one knows before.
const PASSING: &[&str] = &[
    "/dev/",
    "/proc/",
    "/run/",
    "/snap/",
    "/sys/",
    "/var/lib/containers/",
    "/var/lib/docker/",
    "/var/lib/kubelet/",
    "/var/snap/",
];

/// How an agent was heard.
#[derive(Debug)]
pub enum Heard<T> {
    /// It said something.
    Said(T),
    /// It lives, and cannot or may not say this.
    Refused,
    /// It is expected to run, and says nothing.
    Silent,
    /// The guest has no agent, or does not run.
    Absent,
    /// This PVE does not have the call.
    Unknown,
}

/// A file system inside of a guest.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSystem {
    /// As the guest calls it, such as `/` or `C:\`; cut to 128 bytes.
    pub mountpoint: Box<str>,
    /// Such as `ext4`, in lower case.
    pub kind: Box<str>,
    /// What it is on, as the guest calls it, such as `sda1`.
    pub device: Box<str>,
    /// What users of the guest can fill, in bytes.
    pub size: Option<f64>,
    /// In bytes.
    pub used: Option<f64>,
}

/// The operating system of a guest, in the words of its maker.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OsInfo<'a> {
    /// Such as `debian` or `mswindows`.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// Such as `Debian GNU/Linux`.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Such as `Debian GNU/Linux 13 (trixie)`.
    #[serde(borrow, rename = "pretty-name")]
    pub pretty_name: Text<'a>,
    /// Such as `13`.
    #[serde(borrow, rename = "version-id")]
    pub version_id: Text<'a>,
    /// Such as `6.12.107+deb13-amd64`.
    #[serde(borrow, rename = "kernel-release")]
    pub kernel_release: Text<'a>,
}

#[derive(Deserialize)]
struct FileSystems<'a> {
    #[serde(borrow)]
    result: List<Row<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    mountpoint: Text<'a>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(rename = "total-bytes")]
    size: Number,
    #[serde(rename = "used-bytes")]
    used: Number,
}

#[derive(Deserialize)]
struct Os<'a> {
    #[serde(borrow)]
    result: Object<OsInfo<'a>>,
}

#[derive(Deserialize)]
struct Time {
    result: Number,
}

/// What an agent answers that cannot do as it was told.
#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "result")]
    _result: Object<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "error")]
    _error: Object<BTreeMap<String, IgnoredAny>>,
}

/// Tells the silence and the refusal of an agent from a failed call; PVE does so only in words.
pub fn agent_heard(answer: Result<Answer, Error>) -> Result<Heard<Answer>, Error> {
    let error = match answer {
        Ok(answer) if answer.data::<Object<Refusal>>().is_ok() => return Ok(Heard::Refused),
        Ok(answer) => return Ok(Heard::Said(answer)),
        Err(error) if error.is_unknown_call() => return Ok(Heard::Unknown),
        Err(error) => error,
    };
    let Reason::Status(500, words) = &error.reason else { return Err(error) };
    let is_command = words.contains("qga command") || words.contains("qmp command");
    Ok(match words.as_str() {
        "No QEMU guest agent configured" => Heard::Absent,
        "QEMU guest agent is not running" => Heard::Silent,
        words if words.starts_with("VM ") && words.ends_with(" is not running") => Heard::Absent,
        words if is_command && words.contains("timeout") => Heard::Silent,
        words if is_command || words.starts_with("Agent error") => Heard::Refused,
        _ => return Err(error),
    })
}

/// The file systems that can be filled, each device once, at the shortest of its places; the outermost first.
pub fn agent_file_systems(answer: &Answer) -> Result<Vec<FileSystem>, Error> {
    let Object(agent): Object<FileSystems<'_>> = answer.data()?;
    let mut all: Vec<FileSystem> = agent.result.items.iter().filter_map(file_system).collect();
    all.sort_by(|a, b| place(a).cmp(&place(b)));
    let mut told: Vec<FileSystem> = Vec::new();
    for found in all {
        let is_told = |known: &FileSystem| {
            known.mountpoint == found.mountpoint || (known.device == found.device && !found.device.is_empty())
        };
        if told.len() < MOST_FILE_SYSTEMS && !told.iter().any(is_told) {
            told.push(found);
        }
    }
    Ok(told)
}

/// The operating system.
pub fn agent_os(answer: &Answer) -> Result<OsInfo<'_>, Error> {
    let Object(Os { result: Object(os) }) = answer.data()?;
    Ok(os)
}

/// The guest's clock, in seconds since 1970.
pub fn agent_time(answer: &Answer) -> Result<Option<f64>, Error> {
    let Object(Time { result }) = answer.data()?;
    Ok(result.quantity().map(|nanoseconds| nanoseconds / NANOSECONDS))
}

/// The beginning of a text of a guest, short enough for a label.
pub fn agent_label(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text)
}

fn file_system(row: &Row<'_>) -> Option<FileSystem> {
    let mountpoint = row.mountpoint.filled()?;
    let kind = agent_label(row.kind.filled().unwrap_or_default()).to_ascii_lowercase();
    let is_passing = PASSING.iter().any(|prefix| mountpoint.starts_with(prefix));
    if is_passing || PASSED_OVER.contains(&kind.as_str()) {
        return None;
    }
    Some(FileSystem {
        mountpoint: agent_label(mountpoint).into(),
        kind: kind.into(),
        device: agent_label(row.name.filled().unwrap_or_default()).into(),
        size: row.size.quantity().filter(|size| *size > 0.0),
        used: row.used.quantity(),
    })
}

/// The same at each call, in whatever order the guest tells them.
fn place(found: &FileSystem) -> (usize, usize, &str, &str) {
    let is_step = |byte: &u8| matches!(byte, b'/' | b'\\');
    let steps = found.mountpoint.trim_end_matches(['/', '\\']).bytes().filter(|byte| is_step(byte)).count();
    (steps, found.mountpoint.len(), &found.mountpoint, &found.device)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_json, any_rows, recorded};
    use super::*;
    use proptest::prelude::*;

    fn failed(code: u16, words: &str) -> Result<Answer, Error> {
        Err(Error { endpoint: String::new(), path: String::new(), reason: Reason::Status(code, words.to_owned()) })
    }

    fn shown(heard: Result<Heard<Answer>, Error>) -> &'static str {
        match heard {
            Ok(Heard::Said(_)) => "said",
            Ok(Heard::Refused) => "refused",
            Ok(Heard::Silent) => "silent",
            Ok(Heard::Absent) => "absent",
            Ok(Heard::Unknown) => "unknown",
            Err(_) => "failed",
        }
    }

    fn places(rows: &str) -> Vec<String> {
        let answer = Answer::of(&format!(r#"{{"data":{{"result":[{rows}]}}}}"#));
        let told = agent_file_systems(&answer).expect("file systems");
        told.iter().map(|found| found.mountpoint.to_string()).collect()
    }

    #[test]
    fn silence_refusal_and_failure_differ() {
        for (code, words, expected) in [
            (500, "No QEMU guest agent configured", "absent"),
            (500, "VM 100 is not running", "absent"),
            (500, "QEMU guest agent is not running", "silent"),
            (500, "VM 100 qga command 'guest-get-fsinfo' failed - got timeout", "silent"),
            (500, "VM 100 qmp command 'guest-ping' failed - got timeout", "silent"),
            (
                500,
                "VM 100 qga command 'guest-get-fsinfo' failed - The command guest-get-fsinfo has not been found",
                "refused",
            ),
            (500, "Agent error: Command guest-get-osinfo has been disabled", "refused"),
            (500, "got timeout", "failed"),
            (501, "Method 'GET /nodes/a/qemu/1/agent/get-time' not implemented", "unknown"),
            (596, "Connection timed out", "failed"),
        ] {
            assert_eq!(shown(agent_heard(failed(code, words))), expected, "{words}");
        }
        for (body, expected) in [
            (r#"{"data":{"result":{"error":{"class":"CommandNotFound","desc":"no"}}}}"#, "refused"),
            (r#"{"data":{"result":[]}}"#, "said"),
            (r#"{"data":{"result":{"id":"debian","error":"none"}}}"#, "said"),
        ] {
            assert_eq!(shown(agent_heard(Ok(Answer::of(body)))), expected, "{body}");
        }
    }

    #[test]
    fn recorded_and_hand_made_answers_are_read() {
        let file = |name: &str| recorded(&format!("pve-9.2-cluster/GET_nodes__pve-lab__qemu__103__agent__{name}.json"));
        assert!(agent_file_systems(&file("get-fsinfo")).expect("a list").is_empty());
        let os = file("get-osinfo");
        let os = agent_os(&os).expect("a system");
        assert_eq!((os.id.filled(), os.pretty_name.filled()), (Some("lab"), Some("Lab busybox")));
        assert_eq!(os.kernel_release.filled(), Some("6.12.107+deb13-cloud-amd64"));
        let answer = recorded("hand-made/GET_nodes__pve-lab__qemu__100__agent__get-fsinfo.json");
        let told = agent_file_systems(&answer).expect("file systems");
        let told: Vec<_> =
            told.iter().map(|found| (&*found.mountpoint, &*found.kind, &*found.device, found.size)).collect();
        assert_eq!(
            told,
            [
                ("/", "ext4", "sda1", Some(33_501_757_440.0)),
                ("/boot/efi", "vfat", "sda15", Some(129_718_272.0)),
                ("/srv/data", "xfs", "dm-0", None),
            ]
        );
        let time = agent_time(&recorded("hand-made/GET_nodes__pve-lab__qemu__100__agent__get-time.json"));
        assert_eq!(time, Ok(Some(1_795_209_483.5)));
    }

    #[test]
    fn each_device_is_told_once_and_nothing_that_passes() {
        let rows = r#"{"name":"sda1","mountpoint":"/var/lib/kubelet"},{"name":"sda1","mountpoint":"/"},
            {"name":"rbd0","mountpoint":"/var/lib/kubelet/pods/7f/volumes/x","type":"ext4"},
            {"name":"loop1","mountpoint":"/opt/image","type":"squashfs"},{"name":"sr0","mountpoint":"D:\\","type":"CDFS"},
            {"mountpoint":"C:\\","type":"NTFS"},{"mountpoint":"C:\\"},{"mountpoint":"E:\\"},{"name":"sdb"},7"#;
        assert_eq!(places(rows), ["/", "C:\\", "E:\\"]);
    }

    /// Windows calls all that has no letter alike, and what is mounted over another thing hides it.
    #[test]
    fn of_those_at_one_place_it_is_always_the_same() {
        let [one, other] = [
            r#"{"name":"\\\\?\\Volume{1}\\","mountpoint":"System Reserved","type":"NTFS"}"#,
            r#"{"name":"\\\\?\\Volume{2}\\","mountpoint":"System Reserved","type":"NTFS"}"#,
        ];
        for rows in [format!("{one},{other}"), format!("{other},{one}")] {
            let answer = Answer::of(&format!(r#"{{"data":{{"result":[{rows}]}}}}"#));
            let told = agent_file_systems(&answer).expect("file systems");
            assert_eq!(told.iter().map(|found| &*found.device).collect::<Vec<_>>(), [r"\\?\Volume{1}\"], "{rows}");
        }
    }

    #[test]
    fn there_is_an_end_to_what_a_guest_may_say() {
        let row = |at: usize| format!(r#"{{"name":"sd{at}","mountpoint":"/{at:03}{}"}}"#, "é".repeat(100));
        let told = places(&(0..1000).map(row).collect::<Vec<_>>().join(","));
        assert_eq!(told.len(), MOST_FILE_SYSTEMS);
        assert!(told.iter().all(|place| place.len() <= LONGEST), "{told:?}");
        assert!(told[0].starts_with("/000") && told[31].starts_with("/031"), "{told:?}");
    }

    proptest! {
        #[test]
        fn no_answer_panics(rows in any_rows(&["name", "mountpoint", "type", "total-bytes", "used-bytes"]), json in any_json()) {
            for data in [serde_json::json!({ "result": rows }), serde_json::json!({ "result": json }), json] {
                let answer = Answer::of(&serde_json::json!({ "data": data }).to_string());
                let _ = (agent_file_systems(&answer), agent_os(&answer), agent_time(&answer));
                let _ = agent_heard(Ok(answer));
            }
        }

        #[test]
        fn no_label_is_longer_than_it_may_be(text in ".{0,200}") {
            prop_assert!(agent_label(&text).len() <= LONGEST && text.starts_with(agent_label(&text)));
        }
    }
}
