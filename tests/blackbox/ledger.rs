//! Events are not lost: the ledger in processes that are killed at any moment, and on disks that are full.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pve_sentinel::events::{Finding, Kind, Ledger, Limits, Span};
use pve_sentinel::metrics::{Format, Own};

/// In the environment of a child: the folder of its ledger.
const FOLDER: &str = "PVE_SENTINEL_TEST_LEDGER";
/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";

/// A task that failed.
pub fn failed_task(number: u64, id: &str, at: i64) -> Finding {
    Finding {
        key: format!("task/{number}"),
        kind: Kind::TaskFailed,
        severity: Kind::TaskFailed.severity(),
        cluster: "home".to_owned(),
        id: id.to_owned(),
        node: Some("pve1".to_owned()),
        task_type: Some("vzdump".to_owned()),
        span: Span::Occurred { at },
        summary: format!("task {number} failed"),
        description: "x".repeat(300),
        details: BTreeMap::from([("upid".to_owned(), format!("UPID:{number}"))]),
    }
}

/// The ledger of a folder, and what is said of its journal.
fn open(folder: &Path, own: &Arc<Own>) -> Result<(Arc<Ledger>, Vec<String>), String> {
    let (ledger, troubles) = Ledger::open(folder, &[NOBODY.to_owned()], Limits::default(), Arc::clone(own))?;
    Ok((Arc::new(ledger), troubles))
}

fn own() -> Arc<Own> {
    Arc::new(Own::new("1"))
}

/// Finds one event after the other, and says so on stdout, until somebody ends it or the disk is full. Runs in processes that
/// the tests below start; there is nothing to do in any other.
#[test]
fn finds_events_in_a_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let own = own();
    let (ledger, troubles) = match open(Path::new(&folder), &own) {
        Ok(opened) => opened,
        Err(why) => return println!("\nrefused {why}"),
    };
    println!("\nopened with {} troubles", troubles.len());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = ledger.states("home").get("last").map_or(0, |last| last.parse::<u64>().unwrap());
    for number in first + 1..100_000 {
        let states = BTreeMap::from([("last".to_owned(), number.to_string())]);
        runtime.block_on(ledger.record("home", vec![failed_task(number, "qemu/100", 1)], states, 1));
        if own.encode(Format::Text004).contains("\npve_sentinel_events_at_risk 1\n") {
            println!("at risk {number}");
            return;
        }
        println!("kept {number}");
    }
}

/// Starts the test above; `limit` is the largest file that it may write, in blocks of 512 bytes.
#[expect(clippy::disallowed_methods, reason = "the test starts itself again")]
fn child(folder: &Path, limit: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "ledger::finds_events_in_a_child", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[test]
fn what_was_kept_is_there_after_sigkill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 1..=12_u64 {
        let mut child = child(folder.path(), "unlimited");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // Killed while it writes: after a few more each time, at some moment of the next.
        let kept =
            lines.by_ref().filter(|line| line.starts_with("kept ")).nth(usize::try_from(round * 7 % 40).unwrap());
        child.kill().unwrap();
        let last = lines.filter(|line| line.starts_with("kept ")).last().or(kept).unwrap();
        child.wait().unwrap();
        let last: u64 = last.strip_prefix("kept ").unwrap().parse().unwrap();
        let (ledger, troubles) = open(folder.path(), &own()).unwrap();
        assert!(troubles.iter().all(|trouble| trouble.contains("cut off")), "{troubles:?}");
        let state: u64 = ledger.states("home")["last"].parse().unwrap();
        assert!(state >= last, "round {round}: {state} < {last}");
        total = total.max(state);
    }
    // What is said to be known was found: none is missing, and none is there twice.
    let journal = std::fs::read_to_string(folder.path().join("events.journal")).unwrap();
    let key = |line: &str| line.split("\"key\":\"task/").nth(1)?.split('"').next()?.parse::<u64>().ok();
    let mut found: Vec<u64> = journal.lines().filter(|line| line.contains("{\"found\":")).filter_map(key).collect();
    found.sort_unstable();
    // One more may have been found than is said to be known.
    let expected = u64::try_from(found.len()).unwrap();
    assert!(expected >= total && expected <= total + 1, "{expected} of {total}");
    assert_eq!(found, (1..=expected).collect::<Vec<_>>());
    assert!(total > 50, "{total}");
}

#[test]
fn a_full_disk_keeps_what_was_kept_and_says_what_is_at_risk() {
    let folder = tempfile::tempdir().unwrap();
    let output = child(folder.path(), "40").wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let number = |words: &str| -> Option<u64> {
        said.lines().filter_map(|line| line.strip_prefix(words)).next_back().map(|number| number.parse().unwrap())
    };
    let (kept, at_risk) = (number("kept ").unwrap(), number("at risk ").expect("the limit was met"));
    assert_eq!(at_risk, kept + 1);
    let (ledger, troubles) = open(folder.path(), &own()).unwrap();
    assert!(troubles.is_empty(), "{troubles:?}");
    assert_eq!(ledger.states("home")["last"], kept.to_string());
}

#[test]
fn a_disk_that_is_full_at_the_start_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = child(folder.path(), "0").wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let refused = said.lines().find(|line| line.starts_with("refused ")).expect("a refusal");
    assert!(refused.contains("state_dir: ") && refused.contains(&folder.path().display().to_string()), "{refused}");
}
