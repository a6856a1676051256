//! The ledger over restarts, and at its limits.

use super::super::finding::{Severity, Span};
use super::super::testing::{failed_task, lost_node};
use super::*;
use crate::metrics::Format;

const ONE: &str = "http://127.0.0.1:9093";
const TWO: &str = "http://127.0.0.1:9094";

fn open(folder: &Path, urls: &[&str]) -> (Arc<Ledger>, Vec<String>) {
    open_with(folder, urls, Limits::default())
}

fn open_with(folder: &Path, urls: &[&str], limits: Limits) -> (Arc<Ledger>, Vec<String>) {
    let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
    let (ledger, troubles) = Ledger::open(folder, &urls, limits, Arc::new(Own::new("1"))).unwrap();
    (Arc::new(ledger), troubles)
}

fn none() -> BTreeMap<String, String> {
    BTreeMap::new()
}

fn state(name: &str, text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), text.to_owned())])
}

fn numbers(ledger: &Ledger, url: &str) -> Vec<(u64, Option<i64>)> {
    ledger.told(url, 0).into_iter().map(|told| (told.number, told.delivered)).collect()
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path(), &[ONE, TWO]);
    ledger.record("home", vec![failed_task("a", 1), failed_task("b", 2)], state("pve1", "2"), 10).await;
    // A watcher that was killed before it knew that this was kept says it again.
    ledger
        .record("home", vec![failed_task("b", 2), failed_task("c", 3), failed_task("c", 3)], state("pve2", "x"), 11)
        .await;
    ledger.record("home", vec![], state("pve2", ""), 12).await;
    ledger.delivered(ONE, vec![1, 2], 20).await;
    for _ in 0..2 {
        let (ledger, troubles) = open(folder.path(), &[ONE, TWO]);
        assert!(troubles.is_empty());
        assert_eq!(numbers(&ledger, ONE), [(1, Some(20)), (2, Some(20)), (3, None)]);
        assert_eq!(numbers(&ledger, TWO), [(1, None), (2, None), (3, None)]);
        assert_eq!(ledger.states("home"), state("pve1", "2"));
        assert!(ledger.states("lab").is_empty());
        ledger.record("home", vec![failed_task("a", 1)], none(), 30).await;
        assert_eq!(numbers(&ledger, TWO).len(), 3);
    }
}

#[tokio::test]
async fn a_new_alertmanager_is_told_of_what_is_true_and_of_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path(), &[ONE]);
    let lost = |node: &str| lost_node(node, Span::Began { since: 5 });
    ledger.record("home", vec![failed_task("a", 1), lost("pve1"), lost("pve2")], none(), 10).await;
    ledger.record("home", vec![lost_node("pve2", Span::Ended { since: 5, at: 9 })], none(), 10).await;
    ledger.set_alertmanagers(&[ONE.to_owned(), TWO.to_owned()], 20);
    let info = Finding { severity: Severity::Info, ..failed_task("b", 2) };
    ledger.record("home", vec![info, failed_task("c", 3)], none(), 30).await;
    let (ledger, _) = open(folder.path(), &[ONE, TWO]);
    assert_eq!(numbers(&ledger, TWO), [(2, None), (6, None)]);
    assert_eq!(numbers(&ledger, ONE).len(), 5);
    // All of it is told to those who ask.
    assert_eq!(ledger.pick(0, 9, |number, _, _| Some(number)), (vec![1, 2, 3, 4, 5, 6], 6));
    assert_eq!(ledger.pick(4, 1, |number, _, _| Some(number)), (vec![5], 6));
    // One that left and came back is a new one.
    ledger.set_alertmanagers(&[TWO.to_owned()], 40);
    ledger.set_alertmanagers(&[ONE.to_owned(), TWO.to_owned()], 50);
    assert_eq!(numbers(&ledger, ONE), [(2, None)]);
}

#[tokio::test]
async fn a_broken_journal_is_told_of_again_rather_than_never() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path(), &[ONE]);
    ledger.record("home", vec![failed_task("a", 1), failed_task("b", 2)], none(), 10).await;
    drop(ledger);
    let path = folder.path().join("events.journal");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("{\"member\"", "{\"mumber\"") + "torn").unwrap();
    let (ledger, troubles) = open(folder.path(), &[ONE]);
    assert_eq!(troubles.len(), 3, "{troubles:?}");
    assert!(troubles[2].ends_with("events.journal.damaged"), "{troubles:?}");
    assert_eq!(numbers(&ledger, ONE), [(1, None), (2, None)]);
    assert!(open(folder.path(), &[ONE]).1.is_empty());
}

#[tokio::test]
async fn too_much_is_left_out_delivered_things_first_and_true_ones_last() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { findings: 100, bytes: 1 << 20 };
    let (ledger, _) = open_with(folder.path(), &[ONE], limits);
    ledger.record("home", vec![lost_node("pve1", Span::Began { since: 5 })], none(), 10).await;
    ledger.delivered(ONE, vec![1], 10).await;
    let many = |from: i64, to: i64| (from..to).map(|n| failed_task(&n.to_string(), n)).collect::<Vec<_>>();
    ledger.record("home", many(0, 50), none(), 10).await;
    ledger.delivered(ONE, (2..30).collect(), 10).await;
    ledger.record("home", many(50, 110), none(), 10).await;
    let kept: Vec<u64> = numbers(&ledger, ONE).into_iter().map(|(number, _)| number).collect();
    // 111 were there; a tenth more than needed goes, as long as it was delivered.
    assert_eq!((kept.len(), kept[..3].to_vec()), (90, vec![1, 23, 24]));
    assert_eq!(ledger.news().borrow().losses, 0);
    ledger.record("home", many(110, 180), none(), 10).await;
    let kept: Vec<u64> = numbers(&ledger, ONE).into_iter().map(|(number, _)| number).collect();
    assert_eq!((kept.len(), kept.first(), kept.last()), (100, Some(&82), Some(&181)));
    assert_eq!(ledger.news().borrow().losses, 1);
}

#[tokio::test]
async fn the_journal_does_not_grow_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = open(folder.path(), &[ONE]);
    let path = folder.path().join("events.journal");
    let mut longest = 0;
    for step in 0..100 {
        ledger.record("home", vec![], state("all", &format!("{step}{}", "x".repeat(100_000))), step).await;
        longest = longest.max(std::fs::metadata(&path).unwrap().len());
    }
    assert!(longest > SLACK && longest < SLACK + 1_000_000, "{longest}");
    // What did not change is not written.
    let before = std::fs::metadata(&path).unwrap().len();
    ledger.record("home", vec![], ledger.states("home"), 200).await;
    assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
}

#[tokio::test]
async fn a_disk_that_fails_puts_events_at_risk_until_it_works_again() {
    let folder = tempfile::tempdir().unwrap();
    let own = Arc::new(Own::new("1"));
    let (ledger, _) = Ledger::open(folder.path(), &[ONE.to_owned()], Limits::default(), Arc::clone(&own)).unwrap();
    let ledger = Arc::new(ledger);
    let at_risk = |count: usize| {
        let text = own.encode(Format::Text004);
        assert!(text.contains(&format!("\npve_sentinel_events_at_risk {count}\n")), "{text}");
    };
    at_risk(0);
    // A journal that cannot be appended to, in a folder where none can be made.
    let aside = folder.path().with_extension("aside");
    std::fs::rename(folder.path(), &aside).unwrap();
    let read_only = std::fs::File::open(aside.join("events.journal")).unwrap();
    ledger.disk.lock().unwrap().journal.as_mut().unwrap().break_with(read_only);
    ledger.record("home", vec![failed_task("a", 1)], none(), 10).await;
    ledger.record("home", vec![failed_task("b", 2)], none(), 11).await;
    at_risk(2);
    assert_eq!(numbers(&ledger, ONE).len(), 2);
    std::fs::rename(&aside, folder.path()).unwrap();
    // Not tried at each event.
    ledger.settle(15).await;
    at_risk(2);
    ledger.settle(30).await;
    at_risk(0);
    assert_eq!(numbers(&open(folder.path(), &[ONE]).0, ONE).len(), 2);
}

#[test]
fn the_file_that_cannot_be_used_is_named() {
    for name in ["events.journal", "events.journal.new", "events.journal.damaged"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.journal"), "garbage\n").unwrap();
        let _ = std::fs::remove_file(folder.path().join(name));
        std::fs::create_dir(folder.path().join(name)).unwrap();
        let refused = Ledger::open(folder.path(), &[], Limits::default(), Arc::new(Own::new("1"))).unwrap_err();
        let named = format!("state_dir: expected to be able to read and write {}/{name}, ", folder.path().display());
        assert!(refused.starts_with(&named), "{refused}");
    }
}

#[test]
fn an_unusable_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let refused = Ledger::open(&none, &[], Limits::default(), Arc::new(Own::new("1"))).unwrap_err();
    assert!(refused.starts_with("state_dir: ") && refused.contains(&none.display().to_string()), "{refused}");
}
