//! One style for all files, and only names that there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::promql;
use crate::alerts;
use crate::support::{Exporter, Page, binary, repository};

/// Labels of what neither a golden nor the demo has.
const SELDOM: [(&str, &[&str]); 9] = [
    ("pve_sentinel_privilege_missing", &["cluster", "collector", "path", "privilege"]),
    ("pve_sentinel_control_actions_total", &["action", "outcome"]),
    ("pve_scrape_collector_errors_total", &["cluster", "collector", "reason", "host"]),
    ("pve_sentinel_events_found_total", &["cluster", "kind"]),
    ("pve_sentinel_events_sent_total", &["alertmanager"]),
    ("pve_sentinel_events_failed_total", &["alertmanager"]),
    ("pve_sentinel_events_pending", &["alertmanager"]),
    ("pve_sentinel_events_oldest_pending_seconds", &["alertmanager"]),
    ("pve_sentinel_events_cursor_timestamp_seconds", &["cluster", "node"]),
];

pub fn files() -> Vec<(String, Value)> {
    let paths = alerts::files("dashboards", ".json");
    let parsed = |path: &std::path::PathBuf| serde_json::from_str(&alerts::read(path)).expect("JSON");
    paths.iter().map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), parsed(path))).collect()
}

/// Everything but headings.
pub fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// All expressions: of panels, of annotations and of variables, each with where it stands.
pub fn expressions(name: &str, dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().unwrap() {
            let place = format!("{name}: {} {}", text(panel, "title"), text(target, "refId"));
            found.push((place, text(target, "expr").to_owned()));
        }
    }
    for mark in dashboard["annotations"]["list"].as_array().unwrap() {
        found.push((format!("{name}: annotation"), text(mark, "expr").to_owned()));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = text(&variable["query"], "query");
        let inner = query.strip_prefix("label_values(").map(|rest| rest.rsplit_once(',').unwrap());
        let inner =
            inner.map(|(series, label)| format!("count by ({}) ({series})", label.trim_end_matches(')').trim()));
        let inner = inner
            .or_else(|| query.strip_prefix("query_result(").map(|rest| rest.strip_suffix(')').unwrap().to_owned()));
        found.extend(inner.map(|expr| (format!("{name}: variable {}", text(variable, "name")), expr)));
    }
    found
}

#[test]
fn panels_say_what_they_show() {
    let mut faults = Vec::new();
    let mut uids = BTreeSet::new();
    for (name, dashboard) in files() {
        assert!(uids.insert(text(&dashboard, "uid").to_owned()) && text(&dashboard, "uid").len() <= 40, "{name}");
        assert!((39..=41).contains(&dashboard["schemaVersion"].as_u64().unwrap()), "{name}");
        assert!(
            dashboard["id"].is_null() && dashboard["editable"] == false && dashboard["graphTooltip"] == 1,
            "{name}"
        );
        let source = &dashboard["templating"]["list"][0];
        assert!(text(source, "name") == "datasource" && text(source, "query") == "prometheus", "{name}");
        let mut titles = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            let mut fault = |what: &str| faults.push(format!("{name}: {title:?}: {what}"));
            if title.is_empty() || !titles.insert(title) {
                fault("no title of its own");
            }
            if text(panel, "description").len() < 20 || !text(panel, "description").ends_with('.') {
                fault("no description");
            }
            let sources = panel["targets"].as_array().unwrap().iter().chain([panel]);
            if sources.map(|at| text(&at["datasource"], "uid")).any(|uid| uid != "${datasource}") {
                fault("a data source of its own");
            }
            if text(panel, "interval").is_empty() {
                fault("no least interval");
            }
            if panel["targets"].as_array().unwrap().is_empty() {
                fault("no query");
            }
            if panel["type"] == "table" {
                units_of_columns(panel).into_iter().for_each(|column| fault(&format!("{column} has no unit")));
            } else if text(&panel["fieldConfig"]["defaults"], "unit").is_empty() {
                fault("no unit");
            }
            let legend = &panel["options"]["legend"]["showLegend"];
            let lines = panel["type"] == "timeseries" || panel["type"] == "state-timeline";
            if lines && (legend != true || !all_have_legends(panel)) {
                fault("no legend");
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(uids.len(), 9);
}

fn all_have_legends(panel: &Value) -> bool {
    panel["targets"].as_array().unwrap().iter().all(|target| !text(target, "legendFormat").is_empty())
}

/// Columns that are shown and have no unit.
fn units_of_columns(panel: &Value) -> Vec<String> {
    let organize = &panel["transformations"][1]["options"];
    let shown = organize["renameByName"].as_object().unwrap().values().map(|title| title.as_str().unwrap());
    let overrides = panel["fieldConfig"]["overrides"].as_array().unwrap();
    let has_unit = |title: &str| {
        overrides.iter().any(|over| {
            over["matcher"]["options"] == title
                && over["properties"].as_array().unwrap().iter().any(|property| property["id"] == "unit")
        })
    };
    shown.filter(|title| !has_unit(title)).map(str::to_owned).collect()
}

#[test]
fn panels_fill_a_grid_without_gaps() {
    for (name, dashboard) in files() {
        let mut taken: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        let mut end = 0;
        for panel in dashboard["panels"].as_array().unwrap() {
            let id = panel["id"].as_u64().unwrap();
            assert!(ids.insert(id), "{name}: the id {id} is there twice");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for (column, line) in
                (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                assert!(column < 24, "{name}: {id} is too wide");
                let before = taken.insert((column, line), id);
                assert!(before.is_none(), "{name}: {id} and {before:?} overlap");
            }
            end = end.max(at("y") + at("h"));
        }
        assert_eq!(taken.len() as u64, end * 24, "{name}: the grid has gaps");
    }
}

#[test]
fn links_and_variables_lead_somewhere() {
    let files = files();
    let variables: BTreeMap<&str, BTreeSet<&str>> = files
        .iter()
        .map(|(_, file)| {
            let list = file["templating"]["list"].as_array().unwrap();
            (text(file, "uid"), list.iter().map(|variable| text(variable, "name")).collect())
        })
        .collect();
    for (name, file) in &files {
        let own = &variables[text(file, "uid")];
        let whole = file.to_string();
        for used in alerts::all(r"\$\{?([a-z]+)", &whole) {
            assert!(own.contains(used.as_str()), "{name}: ${used} is not there");
        }
        for defined in own {
            let uses = whole.matches(&format!("${defined}")).count() + whole.matches(&format!("${{{defined}")).count();
            assert!(uses > 0, "{name}: nothing uses ${defined}");
        }
        for link in alerts::all(r#"(/d/[^"]+)"#, &whole) {
            let (uid, query) = link[3..].split_once('?').expect("a query");
            let there = variables.get(uid).unwrap_or_else(|| panic!("{name}: no dashboard {uid}"));
            assert!(
                query.contains("${datasource:queryparam}") && query.contains("${__url_time_range}"),
                "{name}: {link}"
            );
            for passed in alerts::all(r"var-([a-z]+)=", query) {
                assert!(there.contains(passed.as_str()), "{name}: {uid} has no ${passed}");
            }
        }
    }
}

#[test]
fn expressions_speak_of_series_and_labels_that_there_are() {
    let (known, recorded, labels) = (alerts::known(), alerts::recorded(), labels());
    let everywhere: BTreeSet<&str> = labels.values().flatten().map(String::as_str).chain(["choice"]).collect();
    let (mut faults, mut count) = (Vec::new(), 0);
    for (name, dashboard) in files() {
        for (place, expr) in expressions(&name, &dashboard) {
            count += 1;
            let found = promql::names(&expr);
            let clauses = found.clauses.iter().filter(|label| !everywhere.contains(label.as_str()));
            faults.extend(clauses.map(|label| format!("{place}: nothing has a label {label}")));
            for selector in &found.selectors {
                let metric = selector.metric.as_str();
                let ours = known.contains(metric) || recorded.contains(metric) || labels.contains_key(metric);
                if !ours && !metric.is_empty() {
                    faults.push(format!("{place}: no page has {metric}"));
                }
                let of = |label: &&String| match labels.get(metric) {
                    Some(there) => !there.contains(*label),
                    None => !everywhere.contains(label.as_str()) && *label != "__name__",
                };
                faults.extend(selector.labels.iter().filter(of).map(|l| format!("{place}: {metric} has no label {l}")));
                faults.extend(rate_fault(selector).map(|what| format!("{place}: {metric} {what}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 200, "only {count} expressions");
}

/// A counter is looked at by its growth only, over a time that fits the scrapes.
fn rate_fault(selector: &promql::Selector) -> Option<&'static str> {
    let grows = ["rate", "increase"].contains(&selector.function.as_str());
    // A table shows how long a disk has run.
    let age = selector.metric == "pve_host_disk_power_on_seconds_total";
    let counted = selector.function == "count";
    if selector.metric.ends_with("_total") && !grows && !age && !counted {
        return Some("is a counter");
    }
    // Events are marked once a minute.
    let windows = ["$__rate_interval", "$__range", "15m", "5m", "1m"];
    (grows && !windows.contains(&selector.window.as_str())).then_some("grows over an odd time")
}

/// The labels of each series: of the goldens, of the demo, of the rules.
fn labels() -> BTreeMap<String, BTreeSet<String>> {
    let mut command = binary();
    command.args(["demo", "--web.listen-address", "127.0.0.1:0"]);
    let demo = Exporter::start(command, None);
    let started = std::time::Instant::now();
    let of_nodes = loop {
        // Told in the background, and by no recorded answer.
        let page = demo.page("/metrics");
        if page.contains("\npve_node_network_member_up{") {
            break page;
        }
        assert!(started.elapsed().as_secs() < 60, "{}", demo.log());
        std::thread::yield_now();
    };
    let mut pages = vec![of_nodes];
    let mut folders = vec![repository().join("tests/golden")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "prom") {
                pages.push(alerts::read(&path));
            }
        }
    }
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for page in &pages {
        for (name, series) in Page::parse(&page.replace(" MASKED\n", " 0\n")).samples {
            let of = labels.entry(name).or_default();
            of.extend(series.into_keys().flat_map(BTreeMap::into_keys));
            // Prometheus' own, and what /metrics adds to what a host tells.
            of.extend(["instance", "job", "cluster", "host"].map(str::to_owned));
        }
    }
    for (name, own) in SELDOM {
        labels.entry(name.to_owned()).or_default().extend(own.iter().map(|label| (*label).to_owned()));
    }
    let of_rules: BTreeSet<String> = labels.values().flatten().cloned().collect();
    labels.insert("pve:threshold".to_owned(), ["threshold".to_owned()].into());
    labels.insert(
        "ALERTS".to_owned(),
        of_rules.into_iter().chain(["alertname", "alertstate", "severity"].map(str::to_owned)).collect(),
    );
    recorded_labels(&mut labels);
    labels
}

/// Recorded series have the labels that their expression keeps.
fn recorded_labels(labels: &mut BTreeMap<String, BTreeSet<String>>) {
    let rules = alerts::rules();
    for piece in rules.split("- record: ").skip(1) {
        let (name, rest) = piece.split_once('\n').unwrap();
        let rest = rest.split("\n      #").next().unwrap();
        let clauses = alerts::all(r"(?:by|group_left) \(([a-z_, ]+)\)", rest);
        let mut own: BTreeSet<String> = clauses.iter().flat_map(|list| list.split(", ")).map(str::to_owned).collect();
        own.extend(alerts::all(r#"label_replace\(.*, "([a-z]+)", "\$1""#, rest));
        if own.is_empty() {
            own.extend(["cluster", "id", "storage", "node"].map(str::to_owned));
        }
        labels.insert(name.to_owned(), own);
    }
}
