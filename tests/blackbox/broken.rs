//! Journals that are broken and disks that are full: the real binary says so, tells what there is, and goes on.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use pve_sentinel::sim::World;
use serde_json::Value;

use super::events::{Fake, config, events, keep};
use super::watch::{Lab, listed, look};
use crate::support::{Cluster, Exporter, Page, binary, within, write_private};

const JOURNAL: &str = "events.journal";

/// A recorded cluster, an Alertmanager, and a journal with findings that nobody was told of.
struct Kept {
    cluster: Cluster,
    folder: tempfile::TempDir,
    fake: Fake,
}

impl Kept {
    fn new(numbers: std::ops::Range<u64>) -> Self {
        let (cluster, folder, fake) = (Cluster::recorded(), tempfile::tempdir().unwrap(), Fake::start());
        keep(folder.path(), &format!("http://{}/prefix", fake.address), numbers);
        Self { cluster, folder, fake }
    }

    fn config(&self) -> String {
        let member = format!("{{ url = \"http://{}/prefix\" }}", self.fake.address);
        config(self.folder.path(), &self.cluster, &member)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.folder.path().join(JOURNAL);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }

    /// Starts; waits until these are told, and gives what the log says of the journal.
    fn told(&self, ids: &[&str]) -> Vec<String> {
        let exporter = Exporter::serve(&self.config());
        let told = |fake: &Fake| {
            let alerts = fake.accepted();
            let mut told: Vec<String> =
                alerts.iter().map(|alert| alert["labels"]["id"].as_str().unwrap().to_owned()).collect();
            told.sort();
            told.dedup();
            told
        };
        self.fake.wait("what the journal holds", |fake| told(fake) == ids);
        let answer = events(&exporter, "?since=0");
        let listed: Vec<&str> =
            answer["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(listed, ids);
        let log = exporter.log();
        log.lines()
            .filter(|line| line.contains("of the journal") || line.contains("in the journal"))
            .map(str::to_owned)
            .collect()
    }
}

#[test]
fn a_torn_journal_is_cut_off_and_that_is_said_once() {
    let kept = Kept::new(1..6);
    kept.change(|bytes| bytes.truncate(bytes.len() - 10));
    let said = kept.told(&["qemu/1", "qemu/2", "qemu/3", "qemu/4"]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("level=warn") && said[0].contains("no whole record and were cut off"), "{said:?}");
    assert!(said[0].contains(&kept.folder.path().display().to_string()), "{said:?}");
    assert_eq!(kept.told(&["qemu/1", "qemu/2", "qemu/3", "qemu/4"]), Vec::<String>::new());
}

#[test]
fn a_flipped_bit_costs_one_event_and_that_is_said_once() {
    let kept = Kept::new(1..6);
    kept.change(|bytes| {
        let at = bytes.windows(15).position(|window| window == b"\"id\":\"qemu/3\",\"").unwrap();
        bytes[at + 8] ^= 0x10;
    });
    let said = kept.told(&["qemu/1", "qemu/2", "qemu/4", "qemu/5"]);
    assert!(said.len() == 1 && said[0].contains("1 broken places in the journal were passed over"), "{said:?}");
    assert_eq!(kept.told(&["qemu/1", "qemu/2", "qemu/4", "qemu/5"]), Vec::<String>::new());
}

#[test]
fn what_is_no_journal_at_all_is_no_reason_to_refuse() {
    for (what, bytes) in
        [("nothing", vec![]), ("zeros", vec![0; 70_000]), ("noise", (0..=255).cycle().take(9000).collect())]
    {
        let kept = Kept::new(1..2);
        kept.change(|journal| *journal = bytes.clone());
        let said = kept.told(&[]);
        assert_eq!(said.is_empty(), bytes.is_empty(), "{what}: {said:?}");
    }
}

/// Wherever the last write was torn, the next process finds again what is missing.
#[test]
fn what_a_torn_write_lost_is_found_again() {
    let lab = Lab::new(World::new(1, 3, 40));
    let journal = lab.folder.path().join(JOURNAL);
    let mut expected = Vec::new();
    for round in 0..5_usize {
        let exporter = Exporter::serve(&lab.config(""));
        look(&exporter);
        let before = std::fs::metadata(&journal).unwrap().len();
        let now = 110 + 20 * i64::try_from(round).unwrap();
        for vmid in 110..113 {
            let kind = ["qmstart", "qmstop", "qmreboot", "qmclone", "qmsuspend"][round];
            lab.task(0, (kind, &vmid.to_string()), (now - 4, now), "it failed");
            expected.push("task_failed".to_owned());
        }
        lab.at(&exporter, now.unsigned_abs());
        // SIGKILL.
        drop(exporter);
        let bytes = std::fs::read(&journal).unwrap();
        let written = bytes.len() - usize::try_from(before).unwrap();
        assert!(written > 1000, "{written}");
        std::fs::write(&journal, &bytes[..bytes.len() - written * (round + 1) / 6]).unwrap();
        let exporter = Exporter::serve(&lab.config(""));
        look(&exporter);
        let found: Vec<String> = listed(&exporter).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(found, expected, "round {round}\n{}", exporter.log());
        exporter.wait_for_log("of the journal are no whole record and were cut off");
    }
}

fn at_risk(exporter: &Exporter) -> f64 {
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    page.samples["pve_sentinel_events_at_risk"].values().sum()
}

/// A lab whose journal can grow no more, and the one event that does not fit.
fn full() -> (Lab, Exporter) {
    let lab = Lab::new(World::new(1, 3, 40));
    // Twice: the second one begins with a journal that says no more than it must.
    for _ in 0..2 {
        look(&Exporter::serve(&lab.config("")));
    }
    let length = std::fs::metadata(lab.folder.path().join(JOURNAL)).unwrap().len();
    let exporter = Exporter::serve_within(length.div_ceil(512) + 1, &lab.config(""));
    look(&exporter);
    assert_eq!(at_risk(&exporter), 0.0);
    lab.task(0, ("qmstart", "110"), (95, 101), &"no space ".repeat(100));
    lab.at(&exporter, 110);
    (lab, exporter)
}

#[test]
fn a_full_disk_is_said_and_what_is_found_is_told_from_memory() {
    let (lab, exporter) = full();
    let said = exporter.wait_for_log("events cannot be written to state_dir");
    assert!(said.contains("level=error") && said.contains(&lab.folder.path().display().to_string()), "{said}");
    assert_eq!(at_risk(&exporter), 1.0);
    let id = listed(&exporter)[0].1.clone();
    lab.wait_for(&exporter, &format!("PVETaskFailed {id}"));
    // SIGKILL: it is found again, once.
    drop(exporter);
    let exporter = Exporter::serve(&lab.config(""));
    look(&exporter);
    assert_eq!((listed(&exporter), at_risk(&exporter)), (vec![("task_failed".to_owned(), id)], 0.0));
}

#[cfg(feature = "external-programs")]
#[test]
fn a_disk_that_has_room_again_is_written_to_again() {
    let (lab, exporter) = full();
    assert_eq!(at_risk(&exporter), 1.0);
    let mut prlimit = super::programs::program("prlimit");
    prlimit.args([format!("--pid={}", exporter.id()), "--fsize=unlimited:".to_owned()]);
    assert!(prlimit.status().unwrap().success());
    exporter.wait_for_log("events are on the disk again");
    assert_eq!(at_risk(&exporter), 0.0);
    drop(exporter);
    let journal = std::fs::read_to_string(lab.folder.path().join(JOURNAL)).unwrap();
    assert!(journal.contains("no space no space"), "{journal}");
}

#[test]
fn a_disk_that_is_full_at_the_start_is_named() {
    let kept = Kept::new(1..3);
    let file = kept.folder.path().join("config.toml");
    write_private(&file, &kept.config());
    let mut command = within(0);
    command.args(["serve", "--web.listen-address", "127.0.0.1:0", "--config.file"]).arg(&file);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("state_dir: ") && said.contains(&kept.folder.path().display().to_string()), "{said}");
    // What was there is there.
    assert_eq!(kept.told(&["qemu/1", "qemu/2"]), Vec::<String>::new());
}

/// Ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// At each start the journal is written anew, beside the old one. Here that goes into a pipe, which takes a part of it only
/// until somebody reads on.
#[test]
fn a_kill_while_the_journal_is_written_anew_leaves_the_old_one() {
    let kept = Kept::new(1..301);
    let (fresh, file) = (kept.folder.path().join("events.journal.new"), kept.folder.path().join("config.toml"));
    let before = std::fs::read(kept.folder.path().join(JOURNAL)).unwrap();
    assert!(before.len() > 150_000, "{}", before.len());
    make_pipe(&fresh);
    let mut reader = std::fs::File::options().read(true).write(true).open(&fresh).unwrap();
    write_private(&file, &kept.config());
    let mut command = binary();
    command.args(["serve", "--web.listen-address", "127.0.0.1:0", "--config.file"]).arg(&file);
    let process = Killed(command.spawn().unwrap());
    let mut half = vec![0; 20_000];
    reader.read_exact(&mut half).unwrap();
    drop(process);
    assert_eq!(std::fs::read(kept.folder.path().join(JOURNAL)).unwrap(), before);
    // What a disk would have of it.
    std::fs::remove_file(&fresh).unwrap();
    std::fs::File::create(&fresh).unwrap().write_all(&half).unwrap();
    let exporter = Exporter::serve(&kept.config());
    let count = |alerts: Vec<Value>| {
        let ids = alerts.iter().map(|alert| alert["labels"]["id"].to_string());
        ids.collect::<std::collections::BTreeSet<_>>().len()
    };
    let started = Instant::now();
    while count(kept.fake.accepted()) < 300 {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", count(kept.fake.accepted()));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(events(&exporter, "?since=0")["events"].as_array().unwrap().len(), 300);
}

#[expect(clippy::disallowed_methods, reason = "the standard library makes no pipes with names")]
fn make_pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}
