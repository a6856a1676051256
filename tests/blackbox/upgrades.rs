//! What a version wrote, every later one takes over: `tests/upgrades/` has the state of each version since the first, and its
//! `config.example.toml`, which the unit tests of the configuration load.
//!
//! `UPDATE_UPGRADES=1 cargo test --test blackbox upgrades::` writes the folder of this version, before it is released.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_sentinel::events::{Ledger, Limits};
use pve_sentinel::metrics::Own;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::control::{ALL, Lab, READ, get, json, post};
use super::events::keep;
use crate::support::{Machine, Page, repository, run_to_end, write_private};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";
/// An order, and the key under which it was given.
const ORDER: (&str, &str) = ("/api/v1/guests/home/900/suspend?wait=1m", "of-the-version-before");

/// Beside cluster and tokens: events, and a host whose first key is trusted.
fn more(machine: &Machine) -> String {
    let host = machine.host("nas");
    format!("[events]\ninterval = \"1s\"\nalertmanagers = [{{ url = \"{NOBODY}\" }}]\n{host}ssh_accept_new = true\n")
}

/// The folders, one for each version.
fn versions() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(repository().join("tests/upgrades")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // That somebody has it is nothing that is kept.
        if entry.file_name() != "lock" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// What the watcher of a cluster remembers, as a copy of the folder has it.
fn cursors(state: &Path) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    copy(state, folder.path());
    let (ledger, troubles) =
        Ledger::open(folder.path(), &[NOBODY.to_owned()], Limits::default(), Arc::new(Own::new("1"))).unwrap();
    assert!(troubles.is_empty(), "{troubles:?}");
    ledger.states("home").into_keys().collect()
}

fn eventually(what: &str, there: impl Fn() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(60), "never seen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lets the binary work with an empty folder, and keeps what it wrote.
fn make(version: &Path) {
    let machine = Machine::node();
    machine.know("");
    let mut lab = Lab::start_in(tempfile::tempdir().unwrap(), &more(&machine));
    let state = lab.folder.path().join("state");
    let (path, key) = ORDER;
    assert_eq!(post(&lab.exporter, ALL, path, &[("Idempotency-Key", key)], "").status, 200);
    lab.exporter.page("/metrics");
    eventually("a host key that was learned", || state.join("known_hosts").exists());
    eventually("a task that the watcher remembers", || {
        fs::read_to_string(state.join("events.journal")).unwrap().contains("told\\\":{\\\"UPID:")
    });
    lab.exporter.terminate();
    assert!(lab.exporter.wait().success());
    keep(&state, NOBODY, 1..3);
    let _ = fs::remove_dir_all(version);
    copy(&state, &version.join("state_dir"));
    fs::copy(repository().join("config.example.toml"), version.join("config.example.toml")).unwrap();
}

/// Orders are remembered for an hour: these were given just now.
fn given_now(journal: &Path) {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut text = String::new();
    for line in fs::read_to_string(journal).unwrap().lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if let Some(intent) = line.get_mut("intent") {
            (intent["at"], intent["since"]) = (json!(now), json!(now));
        }
        writeln!(text, "{line}").unwrap();
    }
    fs::write(journal, text).unwrap();
}

/// Numbers and keys of the findings.
fn findings(journal: &Path) -> Vec<(Value, Value)> {
    let text = fs::read_to_string(journal).unwrap();
    let payloads = text.lines().map(|line| line.splitn(3, ' ').nth(2).expect("a record"));
    let records = payloads.map(|payload| serde_json::from_str::<Value>(payload).unwrap());
    let found = records.filter_map(|record| record.get("found").cloned());
    found.map(|found| (found["number"].clone(), found["finding"]["key"].clone())).collect()
}

/// The answer that an order got, as the journal has it.
fn answered(journal: &Path) -> Value {
    let text = fs::read_to_string(journal).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.find_map(|line| line.get("ended").cloned()).expect("an order that ended")["body"].clone()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the one variable that makes the folder")]
fn this_version_has_a_folder() {
    let version = repository().join("tests/upgrades").join(env!("CARGO_PKG_VERSION"));
    if std::env::var("UPDATE_UPGRADES").is_ok_and(|value| value == "1") {
        make(&version);
    }
    for name in
        ["config.example.toml", "state_dir/events.journal", "state_dir/control.journal", "state_dir/known_hosts"]
    {
        assert!(version.join(name).is_file(), "{}: UPDATE_UPGRADES=1 writes it", version.join(name).display());
    }
}

#[test]
fn the_state_of_every_version_is_taken_over() {
    for version in versions() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        copy(&version.join("state_dir"), &state);
        given_now(&state.join("control.journal"));
        let (before, answer) = (cursors(&state), answered(&state.join("control.journal")));
        let found = findings(&state.join("events.journal"));
        assert!(!before.is_empty(), "{}", version.display());
        let audit = fs::read_to_string(state.join("audit.log")).unwrap();
        // Another machine, where the one stood whose key is known.
        let machine = Machine::node();
        machine.know("");
        let line = fs::read_to_string(state.join("known_hosts")).unwrap();
        let (_, key) = line.split_once(' ').unwrap();
        let known = format!("[127.0.0.1]:{} {key}", machine.sim.address().port());
        fs::write(state.join("known_hosts"), &known).unwrap();

        let mut lab = Lab::start_in(folder, &more(&machine));
        let events = json(&get(&lab.exporter, READ, "/api/v1/events"));
        let told = |event: &Value| (event["number"].clone(), event["key"].clone());
        let told: Vec<_> = events["events"].as_array().unwrap().iter().map(told).collect();
        assert!(found.len() > 1 && told.starts_with(&found), "{found:?} {events}");
        let (path, key) = ORDER;
        let again = post(&lab.exporter, ALL, path, &[("Idempotency-Key", key)], "");
        assert_eq!((again.status, json(&again)), (200, answer));
        assert!(lab.orders().is_empty(), "it was given twice");
        let page = Page::parse(&lab.exporter.page("/metrics"));
        assert_eq!(page.value("pve_host_ssh_up", &[("host", "nas")]), Some(0.0));
        let refused = lab.exporter.wait_for_log("host key changed");
        assert!(refused.contains("known_hosts:1"), "{refused}");
        for trouble in ["passed over", "cut off", "newer"] {
            assert!(!lab.exporter.log().contains(trouble), "{}", lab.exporter.log());
        }
        lab.exporter.terminate();
        assert!(lab.exporter.wait().success());
        let after = cursors(&state);
        assert!(before.iter().all(|name| after.contains(name)), "{before:?} {after:?}");
        assert!(fs::read_to_string(state.join("audit.log")).unwrap().starts_with(&audit));
        assert_eq!(fs::read_to_string(state.join("known_hosts")).unwrap(), known);
    }
}

#[test]
fn newer_state_ends_the_start_and_is_left_as_it_is() {
    let mut lab = Lab::start_with(&format!("[events]\nalertmanagers = [{{ url = \"{NOBODY}\" }}]\n"));
    lab.kill();
    let state = lab.folder.path().join("state");
    let config = lab.folder.path().join("config.toml");
    write_private(&config, &lab.config);
    let format = "{\"format\":{\"version\":2}}";
    let sum: String = Sha256::digest(format).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let framed = format!("{:08x} {sum} {format}\n", format.len());
    for (name, newer) in [("events.journal", framed), ("control.journal", format!("{format}\n"))] {
        let file = state.join(name);
        let before = fs::read(&file).unwrap();
        fs::write(&file, &newer).unwrap();
        let path = config.display().to_string();
        let finished = run_to_end(&["serve", "--config.file", &path, "--web.listen-address", "127.0.0.1:0"]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let said = format!("expected {} in format 1, found format 2", file.display());
        assert!(finished.stderr.contains(&said), "{finished:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), newer);
        fs::write(&file, before).unwrap();
    }
}
