//! Six hours of the demo's cluster, a page a minute, before the rules: what fires is what happened, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;

use pve_sentinel::collectors::{self, Lane};
use pve_sentinel::sim::{Fault, GuestKind, World};

use crate::programs::{missing, program};
use crate::support::{Exporter, Page, Simulated, of_clusters, repository};

const MINUTES: usize = 6 * 60;
/// An exporter that has just started tells what the slow lane would; in between, it stands.
const SLOW: usize = 30;

/// What happens in the demo by itself (`sim::world::plot`), in seconds: when first, how often, how long.
const NODE_AWAY: (usize, usize, usize) = (240, 1200, 360);
const FENCED: (usize, usize, usize) = (300, 1200, 60);
const CRASH: (usize, usize, usize) = (170, 420, 30);

/// What is done to it besides, in minutes.
const HALTED: usize = 31;
const CHANGED: usize = 70;
const WITHOUT_QUORUM: Range<usize> = 92..99;
const UNREACHABLE: Range<usize> = 152..164;

/// Name and labels of a series as promtool reads them → a value a minute.
type Recording = BTreeMap<String, Vec<Option<f64>>>;
/// Alert and id → the minutes in which it fires.
type Firing = BTreeMap<(&'static str, String), BTreeSet<usize>>;

/// The guests that something happens to.
struct Cast {
    halted: String,
    deleted: u64,
    renamed: u64,
}

fn is_slow(name: &str) -> bool {
    let brings = |collector: &&collectors::Collector| collector.families.iter().any(|desc| desc.name == name);
    collectors::ALL.iter().any(|collector| matches!(collector.lane, Lane::Slow(_)) && brings(collector))
}

/// What others use is recorded first.
fn rule_files() -> Vec<String> {
    let entries = std::fs::read_dir(repository().join("alerts")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path().display().to_string());
    let mut paths: Vec<String> = paths.filter(|path| path.ends_with(".rules.yml")).collect();
    paths.sort_by_key(|path| (!path.ends_with("/recording.rules.yml"), path.clone()));
    paths
}

/// The groups of rules in the order of their files: promtool takes any other where none is told.
fn groups() -> Vec<String> {
    let names = regex_lite::Regex::new(r"(?m)^  - name: (\S+)$").unwrap();
    let texts = rule_files().into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts.flat_map(|text| names.captures_iter(&text).map(|found| found[1].to_owned()).collect::<Vec<_>>()).collect()
}

/// The families that rules speak of.
fn spoken_of() -> BTreeSet<String> {
    let names = regex_lite::Regex::new(r"\bpve_[a-z0-9_]+").unwrap();
    let texts: Vec<String> = rule_files().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    texts.iter().flat_map(|text| names.find_iter(text)).map(|found| found.as_str().to_owned()).collect()
}

fn note(recording: &mut Recording, page: &Page, wanted: impl Fn(&str) -> bool, minutes: Range<usize>) {
    for (name, series) in page.samples.iter().filter(|(name, _)| wanted(name)) {
        for (labels, value) in series {
            let labels: String = labels.iter().map(|(key, value)| format!(",{key}={value:?}")).collect();
            let text = format!("{name}{{instance=\"a\",job=\"pve\"{labels}}}");
            let values = recording.entry(text).or_insert_with(|| vec![None; MINUTES]);
            values.iter_mut().take(minutes.end).skip(minutes.start).for_each(|at| *at = Some(*value));
        }
    }
}

/// Guests of the first node that are set to start with it, and run.
fn cast(page: &Page) -> Cast {
    let runs = |id: &str| page.value("pve_up", &[("id", id)]) == Some(1.0);
    let is_here = |id: &str| page.value("pve_guest_info", &[("id", id), ("node", "pve1")]).is_some();
    let set = page.samples["pve_onboot_status"].iter().filter(|(_, value)| **value == 1.0);
    // HA's guests, and those with a part in what happens by itself, come first.
    let mut ids = set.map(|(labels, _)| labels["id"].clone()).filter(|id| runs(id) && is_here(id));
    let number = |id: String| id.split_once('/').unwrap().1.parse().unwrap();
    Cast {
        halted: ids.next_back().unwrap(),
        deleted: ids.next_back().map(number).unwrap(),
        renamed: ids.next_back().map(number).unwrap(),
    }
}

/// What happens at a minute besides what happens by itself.
fn happen(minute: usize, cluster: &Simulated, cast: &Cast) {
    let halted = cast.halted.split_once('/').unwrap().1.parse().unwrap();
    cluster.world.edit(cluster.now(), |edit| match minute {
        HALTED => assert!(edit.halt(halted)),
        CHANGED => {
            assert!(edit.delete(cast.deleted));
            assert!(edit.rename(cast.renamed, "another-name"));
            assert!(edit.create(7000, 0, GuestKind::Lxc, "newcomer"));
        }
        _ if minute == WITHOUT_QUORUM.start => edit.set_quorate(false),
        _ if minute == WITHOUT_QUORUM.end => edit.set_quorate(true),
        _ => {}
    });
    for sim in &cluster.cluster.sims {
        if minute == UNREACHABLE.start {
            sim.set_fault("", Fault::Status { code: 500, reason: "no".to_owned(), body: String::new() });
        } else if minute == UNREACHABLE.end {
            sim.clear_faults();
        }
    }
}

fn record() -> (Recording, Cast) {
    let wanted = spoken_of();
    let cluster = Simulated::lively(World::new(1, 3, 40).begun_at(0), 2);
    let config = cluster.cluster.config("home");
    let slow_page = || Page::parse(&Exporter::serve_all(&config).settled_page("/metrics", &of_clusters()));
    let exporter = Exporter::serve(&config);
    let cast = cast(&slow_page());
    let mut recording = Recording::from([("up{instance=\"a\",job=\"pve\"}".to_owned(), vec![Some(1.0); MINUTES])]);
    for minute in 0..MINUTES {
        cluster.turn_to(minute as u64 * 60);
        happen(minute, &cluster, &cast);
        let page = Page::parse(&exporter.page("/metrics"));
        note(&mut recording, &page, |name| wanted.contains(name) && !is_slow(name), minute..minute + 1);
        if minute % SLOW == 0 {
            note(&mut recording, &slow_page(), |name| wanted.contains(name) && is_slow(name), minute..minute + SLOW);
        }
    }
    (recording, cast)
}

/// The minutes, on which pages are read, in which something goes on that repeats itself.
fn repeated((first, every, lasts): (usize, usize, usize)) -> impl Iterator<Item = Range<usize>> {
    let begins = (first..).step_by(every).take_while(|begin| *begin < MINUTES * 60);
    begins.map(move |begin| begin.div_ceil(60)..(begin + lasts).div_ceil(60).min(MINUTES))
}

/// What fires where the alert wants it to go on `for_minutes` long.
fn fires(during: impl Iterator<Item = Range<usize>>, for_minutes: usize) -> BTreeSet<usize> {
    during.flat_map(|range| range.start + for_minutes..range.end).collect()
}

/// When a series was above 0, as often as that was.
fn spells(values: &[Option<f64>]) -> Vec<Range<usize>> {
    let mut spells: Vec<Range<usize>> = Vec::new();
    for (minute, _) in values.iter().enumerate().filter(|(_, value)| value.is_some_and(|value| value > 0.0)) {
        match spells.last_mut() {
            Some(last) if last.end == minute => last.end += 1,
            _ => spells.push(minute..minute + 1),
        }
    }
    spells
}

fn expected(recording: &Recording, cast: &Cast) -> Firing {
    let always = |from: usize| std::iter::once(from..MINUTES);
    // The fourth restart within an hour makes it a loop.
    let crashes = repeated(CRASH).nth(3).map(|crash| crash.start);
    let mut firing = Firing::from([
        (("PVENodeLost", "node/pve3".to_owned()), fires(repeated(NODE_AWAY), 2)),
        (("PVENodeFenced", "node/pve3".to_owned()), fires(repeated(FENCED), 0)),
        (("PVEGuestRebootLoop", "qemu/100".to_owned()), fires(always(crashes.unwrap()), 5)),
        (("PVEGuestDown", cast.halted.clone()), fires(always(HALTED), 5)),
        (("PVEQuorumLost", "cluster/demo".to_owned()), fires(std::iter::once(WITHOUT_QUORUM), 1)),
        (("PVEClusterUnreachable", String::new()), fires(std::iter::once(UNREACHABLE), 5)),
    ]);
    // A guest whose backup always fails, once that was read; no sidecar tells it here.
    firing.insert(("PVEGuestBackupFailed", "qemu/102".to_owned()), fires(always(SLOW), 15));
    // Ceph complains of what its nodes go through, and of a flag that is set now and then.
    for (_, values) in recording
        .iter()
        .filter(|(series, _)| series.starts_with("pve_ceph_health_status{") && series.contains("HEALTH_WARN"))
    {
        firing.insert(("PVECephWarning", "ceph".to_owned()), fires(spells(values).into_iter(), 15));
    }
    // When jobs run and fail is the cluster's to say; that this fires is not.
    for (series, values) in recording.iter().filter(|(series, _)| series.starts_with("pve_replication_failed_syncs{")) {
        let id = series.split("id=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let minutes = fires(spells(values).into_iter(), 15);
        if !minutes.is_empty() {
            firing.insert(("PVEReplicationFailing", id.to_owned()), minutes);
        }
    }
    firing
}

/// The tests for promtool: what was recorded, and at each minute all that fires.
fn document(recording: &Recording, firing: &Firing) -> String {
    let mut text = format!("evaluation_interval: 1m\nrule_files: {:?}\n", rule_files());
    writeln!(text, "group_eval_order: {:?}\ntests:", groups()).unwrap();
    text.push_str("  - interval: 1m\n    input_series:\n");
    for (series, values) in recording {
        // What is on a page no more is marked so.
        let before = std::iter::once(&None).chain(values);
        let values = before.zip(values).map(|(before, value)| match (before, value) {
            (_, Some(value)) => value.to_string(),
            (Some(_), None) => "stale".to_owned(),
            (None, None) => "_".to_owned(),
        });
        let (series, values) = (series.replace('\'', "''"), values.collect::<Vec<_>>().join(" "));
        writeln!(text, "      - series: '{series}'\n        values: '{values}'").unwrap();
    }
    text.push_str("    promql_expr_test:\n");
    for minute in 0..MINUTES {
        let expression = "count by (alertname, id) (ALERTS{alertstate=\"firing\",alertname!=\"PVEWatchdog\"})";
        writeln!(text, "      - expr: '{expression}'\n        eval_time: {minute}m\n        exp_samples:").unwrap();
        for ((alert, id), _) in firing.iter().filter(|(_, minutes)| minutes.contains(&minute)) {
            let id = if id.is_empty() { String::new() } else { format!(",id=\"{id}\"") };
            writeln!(text, "          - {{labels: '{{alertname=\"{alert}\"{id}}}', value: 1}}").unwrap();
        }
    }
    text
}

#[test]
fn what_fires_is_what_happened() {
    let (recording, cast) = record();
    let firing = expected(&recording, &cast);
    assert_eq!(firing.len(), 9, "{firing:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("six-hours.test.yml");
    std::fs::write(&file, document(&recording, &firing)).unwrap();
    let output = program("promtool").args(["test", "rules"]).arg(&file).output();
    let output = output.unwrap_or_else(|error| missing("promtool", &error));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
