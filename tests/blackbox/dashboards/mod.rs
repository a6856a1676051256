//! The dashboards that come with the exporter: what they show, that the files are current, and that they keep to one style.
//!
//! `UPDATE_GOLDEN=1 cargo test --test blackbox dashboards::` writes `dashboards/*.json` from the descriptions here.

mod backup;
mod ceph;
mod cluster;
mod exporter;
mod fleet;
mod grafana;
mod guest;
mod hosts;
#[cfg(feature = "external-programs")]
mod live;
mod node;
mod promql;
mod storage;
mod style;

use grafana::{CRITICAL, Column, Dashboard, FINE, MUTED, Names, Panel, Variable, WARNING, hidden, label, table, value};

use crate::alerts;
use crate::support::check_file;

const TO_CLUSTER: (&str, &str) = (
    "Cluster",
    "/d/pve-sentinel-cluster?${datasource:queryparam}&${__url_time_range}&var-cluster=${__data.fields.cluster:percentencode}",
);
const TO_NODE: (&str, &str) = (
    "Node",
    "/d/pve-sentinel-node?${datasource:queryparam}&${__url_time_range}&var-cluster=${__data.fields.cluster:percentencode}&var-node=${__data.fields.node:percentencode}",
);
const TO_GUEST: (&str, &str) = (
    "Guest",
    "/d/pve-sentinel-guest?${datasource:queryparam}&${__url_time_range}&var-cluster=${__data.fields.cluster:percentencode}&var-guest=${__data.fields.id:percentencode}",
);
const TO_HOST: (&str, &str) = (
    "Host",
    "/d/pve-sentinel-hosts?${datasource:queryparam}&${__url_time_range}&var-host=${__data.fields.host:percentencode}",
);
const TO_STORAGE: (&str, &str) = (
    "Storage",
    "/d/pve-sentinel-storage?${datasource:queryparam}&${__url_time_range}&var-cluster=${__data.fields.cluster:percentencode}&var-storage=${__data.fields.storage:percentencode}",
);

const SEVERITIES: Names = &[(3, "critical", CRITICAL), (2, "warning", WARNING), (1, "info", MUTED)];
const ONLINE: Names = &[(1, "online", FINE), (0, "offline", CRITICAL)];
const YES: Names = &[(1, "yes", FINE), (0, "no", MUTED)];
const WORKS: Names = &[(1, "works", FINE), (0, "fails", CRITICAL)];
/// How `id:pve_guest_state:code` is shown.
const POWER: Names = &[
    (1, "running", FINE),
    (0, "stopped", MUTED),
    (2, "paused", "light-blue"),
    (3, "on its way", "purple"),
    (4, "in error", CRITICAL),
    (5, "unknown", WARNING),
];
/// How the states of HA are drawn.
const HA: Names = &[
    (1, "started or online", FINE),
    (0, "stopped", MUTED),
    (2, "frozen or in maintenance", "light-blue"),
    (3, "on its way", "purple"),
    (4, "in error, lost or fenced", CRITICAL),
];

/// Guests with what is told of them, as lines of a table.
const INFO: &str = "max by (cluster, id, name, node, type, tags)";

/// All there are.
pub fn all() -> Vec<Dashboard> {
    vec![
        fleet::dashboard(),
        cluster::dashboard(),
        node::dashboard(),
        guest::dashboard(),
        storage::dashboard(),
        ceph::dashboard(),
        backup::dashboard(),
        hosts::dashboard(),
        exporter::dashboard(),
    ]
}

/// From which values on it is orange and red: the alerts' own limits.
fn limits(thresholds: &[&str]) -> Vec<(f64, &'static str)> {
    thresholds.iter().map(|name| alerts::threshold(name)).zip([WARNING, CRITICAL]).collect()
}

/// Orange from the first on.
fn any() -> Vec<(f64, &'static str)> {
    vec![(1.0, WARNING)]
}

fn bad() -> Vec<(f64, &'static str)> {
    vec![(1.0, CRITICAL)]
}

fn clusters() -> Variable {
    let query = "label_values(pve_scrape_collector_success, cluster)";
    Variable::Query { name: "cluster", label: "Cluster", query, many: true, regex: "" }
}

fn cluster() -> Variable {
    let query = "label_values(pve_scrape_collector_success{cluster!=\"\"}, cluster)";
    Variable::Query { name: "cluster", label: "Cluster", query, many: false, regex: "" }
}

fn search() -> Variable {
    Variable::Text { name: "search", label: "Guests whose name has (regular expression)", value: "" }
}

fn top() -> Variable {
    Variable::Choice { name: "top", label: "Show the first", values: &["10", "25", "50", "100"] }
}

/// What is wrong, the worst first; `which` are further matchers.
fn firing(which: &str) -> Panel {
    let labels = "alertname, cluster, node, name, id, host, storage, collector, service, device";
    let of = |severity: &str| {
        format!(
            "ALERTS{{alertstate=\"firing\", alertname=~\"PVE.+\", alertname!=\"PVEWatchdog\", severity=\"{severity}\", {which}}}"
        )
    };
    let expr =
        format!("topk(100, max by ({labels}) ({} * 3 or {} * 2 or {}))", of("critical"), of("warning"), of("info"));
    let columns = vec![
        value("Severity", "none", &expr).names(SEVERITIES).width(90),
        label("alertname", "Alert").width(230),
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        label("node", "Node").link(TO_NODE.0, TO_NODE.1),
        label("name", "Guest").link(TO_GUEST.0, TO_GUEST.1),
        label("id", "Id"),
        label("storage", "Storage"),
        label("host", "Host").link(TO_HOST.0, TO_HOST.1),
        label("service", "Service"),
        label("device", "Device"),
        label("collector", "Collector"),
    ];
    let description = "Alerts of the rules that come with the exporter, the hundred worst. Empty is good. What each means is in alerts/RUNBOOK.md.";
    table("Alerts that fire", description, columns).sort("Severity", true).size(24, 7)
}

/// The states of HA that `which` selects, as the numbers of [`HA`].
fn ha(which: &str) -> String {
    let of = |matcher: &str| format!("pve_ha_state{{{which}, state{matcher}}}");
    format!(
        "max by (cluster, id) ({} * 1 or {} * 0 or {} * 2 or {} * 4 or {} * 3)",
        of("=~\"started|online\""),
        of("=~\"stopped|ignored|disabled\""),
        of("=~\"freeze|maintenance\""),
        of("=~\"error|unknown|fence|gone\""),
        of("!~\"started|online|stopped|ignored|disabled|freeze|maintenance|error|unknown|fence|gone\""),
    )
}

/// A figure of guests with names; `metric` has one series for each guest.
fn named(metric: &str, which: &str) -> String {
    format!("({metric}) * on (cluster, id) group_left (name, node) id:pve_guest:info{{{which}}}")
}

/// The lines of the guests of which `ending` is most. It says `@ end()` of all it names, so that Prometheus chooses once: that
/// costs little, and keeps colours and counts.
fn busiest(metric: &str, ending: &str, which: &str) -> String {
    let chosen = named(&format!("max by (cluster, id) ({ending})"), which);
    let chosen = format!("(topk($top, {chosen} @ end()) * 0 + 1)");
    format!(
        "max by (cluster, id) ({metric} and on (cluster, id) {chosen}) * on (cluster, id) group_left (name, node) {chosen}"
    )
}

/// The states of the guests that had several in the chosen time.
fn changed(which: &str) -> String {
    let states = "id:pve_guest_state:code{cluster=\"$cluster\"}";
    busiest(states, &format!("changes({states}[$__range] @ end()) > 0"), which)
}

/// Guests as lines of a table, those with most CPU first.
fn guests(title: &'static str, which: &str, matchers: &str) -> Panel {
    let chosen = format!(
        "topk($top, (max by (cluster, id) (pve_cpu_usage_ratio{{{matchers}}}) or id:pve_guest_state:code{{{matchers}}} * 0) and on (cluster, id) id:pve_guest:info{{{which}}})"
    );
    let only = |metric: &str| format!("max by (cluster, id) ({metric} and on (cluster, id) {chosen})");
    let of = |metric: &str| only(&format!("{metric}{{{matchers}}}"));
    let columns: Vec<Column> = vec![
        label("name", "Guest").link(TO_GUEST.0, TO_GUEST.1).width(200),
        hidden("cluster"),
        label("id", "Id").width(100),
        label("node", "Node").link(TO_NODE.0, TO_NODE.1),
        grafana::base(&format!("{INFO} (id:pve_guest:info{{{which}}} and on (cluster, id) {chosen})")),
        value("State", "none", &of("id:pve_guest_state:code")).names(POWER),
        grafana::bar("CPU", &of("pve_cpu_usage_ratio")).steps(&limits(&["guest_cpu_ratio"])),
        value("CPUs", "none", &of("pve_cpu_usage_limit")),
        grafana::bar("Memory", &of("id:pve_memory:ratio")).steps(&limits(&["guest_memory_ratio"])),
        value("of memory", "bytes", &of("pve_memory_size_bytes")),
        grafana::bar("Disk (containers)", &of("id:pve_disk:ratio"))
            .steps(&limits(&["guest_disk_ratio", "guest_disk_full_ratio"])),
        value("Up for", "s", &only(&format!("pve_uptime_seconds{{{matchers}}} > 0"))),
        label("tags", "Tags"),
        hidden("type"),
    ];
    let description = "The guests with most CPU time now, templates left out. The text field above chooses by name, a click on one opens its page. Memory of a VM is what its system uses, caches included where there is no balloon driver.";
    table(title, description, columns).sort("CPU", true).size(24, 10)
}

#[test]
fn the_files_are_current() {
    for dashboard in all() {
        check_file(&format!("dashboards/{}.json", dashboard.name), &dashboard.text());
    }
    let files = alerts::files("dashboards", ".json");
    assert_eq!(files.len(), all().len(), "a file without a description: {files:?}");
}
