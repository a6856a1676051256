//! The rules that come with the exporter speak of series that it has, each alert is tested both ways, and each is explained.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pve_sentinel::collectors;
use regex_lite::Regex;

use crate::support::repository;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(folder)).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

fn all(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

fn rules() -> String {
    files("alerts", ".rules.yml").iter().map(|path| read(path)).collect()
}

/// Every series that any page is known to have.
fn known() -> BTreeSet<String> {
    let mut known: BTreeSet<String> =
        collectors::ALL.iter().flat_map(|collector| collector.families).map(|desc| desc.name.to_owned()).collect();
    let mut goldens = vec![repository().join("tests/golden")];
    while let Some(path) = goldens.pop() {
        if path.is_dir() {
            goldens.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "prom") {
            known.extend(all(r"(?m)^# TYPE (\S+)", &read(&path)));
        }
    }
    for path in files("src/metrics", ".rs").into_iter().chain(files("src/scrape", ".rs")) {
        known.extend(all(r#""((?:pve|process)_[a-z_]+)""#, &read(&path)));
    }
    known.extend(["up".to_owned()]);
    known
}

#[test]
fn rules_speak_of_series_that_there_are() {
    let known = known();
    // What stands in quotes are labels, and what has a colon the rules' own.
    let text = Regex::new(
        r#""[^"]*"|'[^']*\{\{[^']*'|(?m)#.*$|summary: .*$|description: .*$|runbook_url: .*$|labels: \{[^}]*\}|link: .*$"#,
    )
    .expect("a pattern")
    .replace_all(&rules(), "")
    .into_owned();
    let named = all(r"(?:^|[^:\w])((?:pve|node|process)_[a-z0-9_A-Z]+)(?:$|[^:\w])", &text);
    assert!(named.len() > 40, "{named:?}");
    let unknown: Vec<&String> = named.iter().filter(|name| !known.contains(*name)).collect();
    assert!(unknown.is_empty(), "no page has {unknown:?}");
    let made = all(r"- (?:\{)?record: '?([a-z_]+:[a-z_:]+)'?", &rules());
    let used = all(r"([a-z]+:[a-z_]+(?::[a-z]+)?)", &text);
    let missing: Vec<&String> = used.iter().filter(|name| !made.contains(*name)).collect();
    assert!(missing.is_empty(), "no rule records {missing:?}");
}

#[test]
fn each_alert_is_tested_both_ways_and_explained() {
    let alerts = all(r"- alert: (\w+)", &rules());
    let tests: String = files("tests/alerts", ".test.yml").iter().map(|path| read(path)).collect();
    let runbook = read(&repository().join("alerts/RUNBOOK.md"));
    assert!(alerts.len() > 50, "{}", alerts.len());
    for alert in alerts {
        assert!(runbook.contains(&format!("\n### {alert}\n")), "{alert} is not in alerts/RUNBOOK.md");
        assert!(rules().contains(&format!("runbook_url: RUNBOOK.md#{}\n", alert.to_lowercase())), "{alert}");
        assert!(tests.contains(&format!("- name: '{alert} fires'")), "{alert} has no test in which it fires");
        // The dead-man's switch always fires.
        let quiet = tests.contains(&format!("- name: '{alert} does not fire: "));
        assert!(quiet || alert == "PVEWatchdog", "{alert} has no test in which it is quiet");
    }
}

/// An alert that speaks of a cluster leads to its web interface; `#v1:0:=` is how that names what it shows.
#[test]
fn alerts_of_clusters_lead_to_their_web_interface() {
    let text = rules();
    let of_clusters: Vec<&str> =
        text.split("      - alert: ").skip(1).filter(|rule| rule.contains("{{ $labels.cluster }}")).collect();
    assert!(of_clusters.len() > 30, "{}", of_clusters.len());
    for rule in of_clusters {
        assert!(rule.contains("\n          link: '{{ with printf \"pve_sentinel_cluster_info{cluster=%q}\""), "{rule}");
    }
}
