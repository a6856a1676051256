//! What holds for all subjects, whatever comes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::testing::{fixture, lines};
use super::*;

const FIXTURES: [&str; 5] = ["pve-node.probe", "debian-vm.probe", "disks.smart", "pools.zpool", "debian.updates"];

/// Reads an answer whatever its mode, and returns what it tells.
fn tell(answer: &[u8]) -> Option<Told> {
    let frame = Frame::read(answer).ok()?;
    let clock = Clock { asked: Duration::from_secs(1_764_000_000), round_trip: Duration::from_millis(3) };
    let told = probe(&frame, Some(clock), &Options::default());
    told.or_else(|_| smart(&frame)).or_else(|_| zpool(&frame)).or_else(|_| updates(&frame)).ok()
}

/// No family and no series twice, whatever a host repeats: one of them would cost Prometheus the whole page.
fn check(told: &Told, bytes: usize) {
    let mut names = BTreeSet::new();
    let mut samples = 0;
    for family in &told.families {
        let desc = family.desc.view();
        assert!(names.insert(desc.name), "{} is there twice", desc.name);
        assert!(desc.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{}", desc.name);
        let mut seen = BTreeSet::new();
        for sample in family.samples.iter() {
            assert!(sample.value.is_finite(), "{}: {}", desc.name, sample.value);
            assert!(seen.insert(sample.labels.clone()), "{} has a series twice", desc.name);
            samples += 1;
        }
    }
    assert!(samples <= bytes + SUBJECTS.len(), "{samples} samples of {bytes} bytes");
}

#[test]
fn a_cut_answer_tells_no_other_figures() {
    for name in ["pve-node.probe", "debian-vm.probe"] {
        let answer = fixture(name);
        let whole: BTreeSet<String> = lines(&tell(&answer).unwrap().families).into_iter().collect();
        let mut before = Vec::new();
        for length in 0..=answer.len() {
            // What is told changes only where a section ends.
            if length < answer.len() && !answer[..length].ends_with(b"\n") {
                continue;
            }
            let Ok(frame) = Frame::read(&answer[..length]) else { continue };
            let sections: Vec<_> = frame.names("").map(|name| (name.to_owned(), frame.get(name).is_ok())).collect();
            if sections == before {
                continue;
            }
            before = sections;
            let told = tell(&answer[..length]).unwrap();
            for line in lines(&told.families).iter().filter(|line| !line.starts_with("node_scrape_collector_success")) {
                assert!(whole.contains(line), "{length} bytes: {line}");
            }
            assert!(!frame.is_whole() || told.troubles.is_empty(), "{length}: {:?}", told.troubles);
            // What was cut off is no success, even of what a host need not have.
            for subject in SUBJECTS.iter().filter(|subject| frame.get(subject.section) == Err(frame::Gap::Cut)) {
                assert!(told.troubles.iter().any(|(name, _)| name == subject.name), "{length}: {}", subject.name);
            }
        }
        assert!(before.len() > 5);
    }
}

#[test]
fn what_is_not_there_fails_only_where_every_host_has_it() {
    let empty = "\n@pve-sentinel 1 begin probe\n\n@pve-sentinel 1 end probe\n";
    let told = tell(empty.as_bytes()).unwrap();
    let failed: Vec<&str> = told.troubles.iter().map(|(name, _)| name.as_str()).collect();
    let needed = [
        "cpu",
        "diskstats",
        "entropy",
        "filefd",
        "loadavg",
        "meminfo",
        "netclass",
        "netdev",
        "netstat",
        "os",
        "sockstat",
        "softnet",
        "stat",
        "time",
        "uname",
        "vmstat",
    ];
    assert_eq!(failed, needed);
    assert_eq!(lines(&told.families).len(), SUBJECTS.len(), "nothing but successes and failures");
}

#[test]
fn a_refusal_is_told_and_is_no_figure() {
    let said = "sudo: a password is required";
    for mode in ["smart", "zpool", "updates"] {
        let answer = format!(
            "\n@pve-sentinel 1 begin {mode}\n\n@pve-sentinel 1 absent {mode} {said}\n\n@pve-sentinel 1 end {mode}\n"
        );
        let told = tell(answer.as_bytes()).unwrap();
        let success = format!("node_scrape_collector_success{{collector=\"{mode}\"}} 0");
        assert_eq!(lines(&told.families), [success], "nothing but the failure");
        assert!(told.troubles.len() == 1 && told.troubles[0].1.ends_with(said), "{:?}", told.troubles);
        let frame = Frame::read(answer.as_bytes()).unwrap();
        assert!(probe(&frame, None, &Options::default()).is_err());
    }
}

#[test]
fn options_choose_what_is_told() {
    let answer = fixture("pve-node.probe");
    let frame = Frame::read(&answer).unwrap();
    let only = |include| Filter { include: regex_lite::Regex::new(include).ok(), exclude: None };
    let options = Options {
        disks: only("^loop"),
        network_devices: only("^tap"),
        mount_points: only("^/boot"),
        file_system_types: Filter::default(),
    };
    let told = lines(&probe(&frame, None, &options).unwrap().families);
    let devices = |family: &str| -> Vec<&str> {
        told.iter().filter(|line| line.starts_with(family)).filter_map(|line| line.split('"').nth(1)).collect()
    };
    assert_eq!(devices("node_disk_io_now"), ["loop0"]);
    assert_eq!(devices("node_network_receive_bytes_total"), ["tap100i0"]);
    assert_eq!(devices("node_network_up"), Vec::<&str>::new());
    assert_eq!(devices("node_filesystem_size_bytes"), ["/dev/sda2"]);
    assert!(!told.iter().any(|line| line.starts_with("pve_host_clock_offset")));
}

#[test]
fn a_host_without_apt_has_nothing_to_tell_of_it() {
    let answer = |why| {
        let absent = format!("\n@pve-sentinel 1 absent updates {why}\n");
        tell(format!("\n@pve-sentinel 1 begin updates\n{absent}\n@pve-sentinel 1 end updates\n").as_bytes()).unwrap()
    };
    let told = answer("no apt-get");
    assert_eq!(lines(&told.families), ["node_scrape_collector_success{collector=\"updates\"} 1"]);
    assert_eq!(told.troubles, []);
    assert_eq!(answer("E: Unmet dependencies").troubles.len(), 1);
}

#[test]
fn our_own_descriptions_are_sound() {
    for name in FIXTURES {
        let told = tell(&fixture(name)).unwrap();
        let known: Vec<&'static Desc> = told
            .families
            .iter()
            .filter_map(|family| match family.desc {
                crate::metrics::About::Known(desc) => Some(desc),
                crate::metrics::About::Made(_) => None,
            })
            .collect();
        assert_eq!(crate::metrics::faults(&known), Vec::<String>::new(), "{name}");
        for family in &told.families {
            let desc = family.desc.view();
            assert!(desc.help.ends_with('.') && !desc.help.contains('\n'), "{}: {}", desc.name, desc.help);
        }
    }
}

/// A change to an answer.
#[derive(Debug, Clone)]
enum Change {
    Byte(usize, u8),
    Remove(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let place = 0..40_000_usize;
    let odd = prop::sample::select(vec![
        b"-1".to_vec(),
        b"18446744073709551616".to_vec(),
        b"nan".to_vec(),
        b"1e999".to_vec(),
        b":".to_vec(),
        b"/".to_vec(),
        b" ".to_vec(),
        b"\n".to_vec(),
        b"\xff\xfe".to_vec(),
        "\u{e9}".as_bytes().to_vec(),
        b"\\".to_vec(),
        b"{[(\"".to_vec(),
    ]);
    let change = prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (place.clone(), 1..60_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (place.clone(), 1..200_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        (place, odd).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ];
    prop::collection::vec(change, 1..40)
}

fn apply(answer: &mut Vec<u8>, changes: &[Change]) {
    for change in changes {
        let length = answer.len().max(1);
        match change {
            Change::Byte(at, byte) => {
                if let Some(found) = answer.get_mut(at % length) {
                    *found = *byte;
                }
            }
            Change::Remove(at, count) => {
                let at = at % length;
                answer.drain(at.min(answer.len())..(at + count).min(answer.len()));
            }
            Change::Repeat(at, count) => {
                let at = (at % length).min(answer.len());
                let piece = answer[at..(at + count).min(answer.len())].to_vec();
                answer.splice(at..at, piece);
            }
            Change::Insert(at, bytes) => {
                let at = (at % length).min(answer.len());
                answer.splice(at..at, bytes.iter().copied());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_change_to_an_answer_is_read(fixture_at in 0..FIXTURES.len(), changes in changes()) {
        let mut answer = fixture(FIXTURES[fixture_at]);
        apply(&mut answer, &changes);
        if let Some(told) = tell(&answer) {
            check(&told, answer.len());
        }
    }

    #[test]
    fn any_lines_of_any_file_are_read(text in r"[ -~\t\n\u{e9}]{0,400}", numbers in "[0-9a-fx .:/\n-]{0,200}") {
        let paths = [
            "/proc/stat", "/proc/loadavg", "/proc/meminfo", "/proc/vmstat", "/proc/diskstats", "/proc/mdstat",
            "/proc/pressure/cpu", "/proc/net/dev", "/proc/net/arp", "/proc/net/netstat", "/proc/net/snmp6",
            "/proc/net/sockstat", "/proc/net/softnet_stat", "/proc/net/stat/nf_conntrack", "/proc/sys/fs/file-nr",
            "/proc/schedstat", "/etc/os-release", "/proc/sys/kernel/osrelease",
        ];
        let folders = [
            "/sys/class/net/eth0/speed", "/sys/devices/system/edac/mc/mc0/csrow0/ce_count", "/sys/class/powercap/a:0/energy_uj",
            "/sys/class/hwmon/hwmon0/temp1_input", "/sys/class/thermal/thermal_zone0/temp", "/proc/spl/kstat/zfs/a:b/io",
            "/proc/spl/kstat/zfs/p/objset-0x1", "/proc/spl/kstat/zfs/arcstats", "/run/udev/data/b8:0",
        ];
        let mut answer = String::from("\n@pve-sentinel 1 begin probe\n");
        for section in ["clock", "facts", "mounts", "statfs", "df", "chips", "timex"] {
            answer += &format!("\n@pve-sentinel 1 open {section}\n{text}\n{numbers}\n\n@pve-sentinel 1 close {section}\n");
        }
        for (section, paths) in [("proc", paths.as_slice()), ("sys", &folders)] {
            answer += &format!("\n@pve-sentinel 1 open {section}\n");
            for path in paths {
                for line in text.lines().chain(numbers.lines()) {
                    answer += &format!("{path}:{line}\n{path}:cpu0 {line}\n{path}:a: {line}\n{path}:   8 0 sda {line}\n");
                }
            }
            answer += &format!("\n@pve-sentinel 1 close {section}\n");
        }
        answer += "\n@pve-sentinel 1 end probe\n";
        check(&tell(answer.as_bytes()).unwrap(), answer.len());
    }

    #[test]
    fn any_text_of_the_extras_is_read(text in r"[ -~\t\n\u{e9}]{0,400}", json in r#"[\[\]{}":,a-z0-9_. -]{0,200}"#) {
        for mode in ["smart", "zpool", "updates"] {
            let section = if mode == "smart" { "smart.sda" } else { mode };
            for text in [&text, &json, &format!("{{\"smart_status\":{{{json}}},\"ata_smart_attributes\":{text}}}")] {
                let answer = format!(
                    "\n@pve-sentinel 1 begin {mode}\n@pve-sentinel 1 open {section}\n{text}\n@pve-sentinel 1 close {section}\n@pve-sentinel 1 end {mode}\n"
                );
                check(&tell(answer.as_bytes()).unwrap(), answer.len());
            }
        }
    }
}
