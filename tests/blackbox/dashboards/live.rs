//! Every query of every dashboard, asked of a real Prometheus that scrapes the demo.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::style::{expressions, files, panels};
use crate::programs::Prometheus;
use crate::support::{Exporter, binary, repository};

/// Queries that have no answer where nothing is wrong or nothing is set up, by the beginning of their place.
const EMPTY_BY_DESIGN: &[(&str, &str)] = &[
    ("exporter: Collectors D", "nothing fails in the demo's first minutes"),
    ("exporter: Missing privileges", "the demo's token may read everything"),
    ("exporter: Collectors that failed", "nothing fails in the demo's first minutes"),
    ("exporter: Errors", "nothing fails in the demo's first minutes"),
    ("exporter: Control", "the demo lets nobody switch guests"),
    ("exporter: Events sent", "nobody takes them here"),
    ("hosts: Services", "the demo checks no services"),
    ("hosts: How fast services answer A", "the demo checks no services"),
    ("fleet: Clusters K", "alerts of a cluster wait for minutes before they fire"),
];
/// Nothing is wrong in the demo's first minutes.
const EMPTY_WHILE_ALL_IS_WELL: &[&str] = &["Alerts that fire", ": annotation", ": Guests whose state changed"];
/// The most series that any query may give on the demo: each is cut to the first few.
const MOST_SERIES: usize = 250;

/// The values that a reader could choose; a query must have data for one choice at least.
fn choices() -> Vec<(&'static str, String)> {
    let mut choices = Vec::new();
    for number in 100..140 {
        for kind in ["qemu", "lxc"] {
            choices.push(("pve1", format!("{kind}/{number}")));
        }
    }
    choices.push(("pve2", "qemu/100".to_owned()));
    choices
}

fn filled_in(expr: &str, one_cluster: bool, node: &str, guest: &str) -> String {
    let cluster = if one_cluster { "demo" } else { ".+" };
    [
        ("$__rate_interval", "15s"),
        ("$__range", "5m"),
        ("$cluster", cluster),
        ("$node", node),
        ("$guest", guest),
        ("$storage", ".+"),
        ("$host", ".+"),
        ("$search", ""),
        ("$top", "10"),
    ]
    .iter()
    .fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}

/// How many series a query has, over time and now.
fn series(prometheus: &Prometheus, expr: &str) -> Result<usize, String> {
    let now = prometheus.answer("query?", "time()")?;
    // A scalar is a pair: when, and what.
    let now: f64 = now[1].as_str().and_then(|text| text.parse().ok()).ok_or("no time")?;
    let path = format!("query_range?start={}&end={now}&step=5", now - 30.0);
    Ok(prometheus.answer(&path, expr)?.len())
}

#[test]
fn every_query_has_an_answer() {
    let mut command = binary();
    command.args(["demo", "--web.listen-address", "127.0.0.1:0", "--seed", "7"]);
    // An Alertmanager that is not there: events wait.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.args(["--alertmanager", &format!("http://{nobody}")]);
    let demo = Exporter::start(command, None);
    let mut prometheus = Prometheus::start(&format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{}/alerts/*.rules.yml']\n\
         scrape_configs:\n- job_name: pve-sentinel\n  static_configs: [{{targets: ['{}']}}]\n",
        repository().display(),
        demo.address
    ));
    prometheus.wait_for("count_over_time(up[5m])", |count| count >= 20.0);
    prometheus.wait_for("count(cluster:pve_collector:success)", |count| count > 8.0);
    let mut waiting: Vec<(String, String, bool)> = Vec::new();
    for (name, dashboard) in files() {
        let one_cluster = dashboard["templating"]["list"][1]["multi"] == false;
        waiting.extend(expressions(&name, &dashboard).into_iter().map(|(place, expr)| (place, expr, one_cluster)));
    }
    let all = waiting.len();
    let started = Instant::now();
    loop {
        waiting.retain(|(place, expr, one_cluster)| !has_data(&prometheus, place, expr, *one_cluster));
        let missing: Vec<&str> = waiting.iter().map(|(place, _, _)| place.as_str()).filter(|p| !by_design(p)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "without data:\n{}", missing.join("\n"));
    }
    tables_have_a_column_for_each_label(&prometheus);
    let empty: Vec<&str> = waiting.iter().map(|(place, _, _)| place.as_str()).collect();
    let share = (all - empty.len()) as f64 / all as f64;
    let count =
        format!("{all} queries, {} with data ({:.1} %); empty by design: {empty:?}", all - empty.len(), 100.0 * share);
    println!("{count}");
    // Every other query had to have data before we came here.
    assert!(share >= 0.88, "{count}");
    for (place, _) in EMPTY_BY_DESIGN {
        assert!(
            files().iter().any(|(name, file)| expressions(name, file).iter().any(|(p, _)| p.starts_with(place))),
            "{place}"
        );
    }
}

/// The labels of a table's lines are its columns: another would part what belongs to one line.
fn tables_have_a_column_for_each_label(prometheus: &Prometheus) {
    for (name, dashboard) in files() {
        let one_cluster = dashboard["templating"]["list"][1]["multi"] == false;
        for panel in panels(&dashboard).filter(|panel| panel["type"] == "table") {
            let columns = panel["transformations"][1]["options"]["indexByName"].as_object().unwrap();
            for target in panel["targets"].as_array().unwrap() {
                let expr = filled_in(target["expr"].as_str().unwrap(), one_cluster, "pve1", "qemu/100");
                for line in prometheus.answer("query?", &expr).unwrap() {
                    let labels = line["metric"].as_object().unwrap();
                    let odd: Vec<&String> = labels.keys().filter(|label| !columns.contains_key(*label)).collect();
                    assert!(odd.is_empty(), "{name}: {} {}: no column for {odd:?}", panel["title"], target["refId"]);
                }
            }
        }
    }
}

fn by_design(place: &str) -> bool {
    EMPTY_BY_DESIGN.iter().any(|(beginning, _)| place.starts_with(beginning))
        || EMPTY_WHILE_ALL_IS_WELL.iter().any(|part| place.contains(part))
}

fn has_data(prometheus: &Prometheus, place: &str, expr: &str, one_cluster: bool) -> bool {
    let mut choices = choices();
    if !expr.contains("$guest") && !expr.contains("$node") {
        choices.truncate(1);
    }
    choices.dedup_by(|a, b| !expr.contains("$guest") && a.0 == b.0);
    for (node, guest) in choices {
        let asked = filled_in(expr, one_cluster, node, &guest);
        let found = series(prometheus, &asked).unwrap_or_else(|error| panic!("{place}: {error}\n{asked}"));
        assert!(found <= MOST_SERIES, "{place}: {found} series\n{asked}");
        if found > 0 {
            return true;
        }
    }
    false
}
