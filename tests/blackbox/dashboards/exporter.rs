//! The exporter itself: whether it is told all it asks, and what it costs.

use super::grafana::{Dashboard, Row, bar, label, series, stat, table, timeline, value};
use super::{CRITICAL, FINE, Names, WARNING, any, bad, clusters, limits};

const CLUSTERS: &str = "cluster=~\"$cluster|\"";
const SELF: &str = "* on (instance, job) group_left () max by (instance, job) (pve_sentinel_build_info)";
const WELL: Names = &[(1, "told all", FINE), (0, "failed", CRITICAL)];

pub fn dashboard() -> Dashboard {
    Dashboard {
        name: "exporter",
        title: "Proxmox VE / Exporter",
        description: "The exporter itself: whether it is told all it asks, how old that is, and what it costs.",
        variables: vec![clusters()],
        marks: "max by (alertname, cluster) (ALERTS{alertstate=\"firing\", alertname=~\"PVE(Exporter|Cluster|Collector|Config|Data|Slow|Privilege|Events).+\", cluster=~\"$cluster|\"})",
        events: "cluster=~\"$cluster|\"",
        rows: vec![now(), collectors(), requests(), events(), itself()],
    }
}

fn now() -> Row {
    Row {
        title: "Now",
        panels: vec![
            stat("Exporters down", "Exporters that answered within the last day and do not now.", "short", "count(up == 0 and on (instance, job) last_over_time(pve_sentinel_build_info[1d])) or vector(0)").steps(&bad()),
            stat("Collectors that fail", "Subjects of which the last answer was not complete, in all clusters that are chosen.", "short", "count(cluster:pve_collector:success{cluster=~\"$cluster|\"} == 0) or vector(0)").steps(&any()),
            stat("Privileges missing", "Privileges that Proxmox VE said are missing; the log has the command that grants each.", "short", "count(max by (cluster, privilege, path) (pve_sentinel_privilege_missing{cluster=~\"$cluster\"}) == 1) or vector(0)").steps(&any()),
            stat("Configuration", "Whether the last reload of the configuration worked; if not, the one before stands.", "none", "min(pve_sentinel_config_last_reload_successful)").names(super::WORKS),
            stat("Waiting in the background", "Calls of nodes and guests that are due and not made yet.", "short", "sum(max by (cluster) (pve_sentinel_slow_lane_backlog{cluster=~\"$cluster\"}))"),
            stat("Version", "The version of each exporter.", "none", "max by (version) (pve_sentinel_build_info)").legend("{{version}}"),
        ],
    }
}

fn collectors() -> Row {
    let of = |metric: &str| format!("max by (cluster, collector) ({metric}{{{CLUSTERS}, host=\"\"}})");
    let errors =
        format!("sum by (cluster, collector) (increase(pve_scrape_collector_errors_total{{{CLUSTERS}}}[$__range]))");
    let columns = vec![
        label("cluster", "Cluster"),
        label("collector", "Collector"),
        value(
            "State",
            "none",
            &format!("bottomk(200, min by (cluster, collector) (cluster:pve_collector:success{{{CLUSTERS}}}))"),
        )
        .names(WELL),
        value("Age", "s", &format!("topk(200, {})", of("pve_scrape_collector_age_seconds")))
            .steps(&limits(&["data_age_seconds"])),
        value("Took", "s", &format!("topk(200, {})", of("pve_scrape_collector_duration_seconds"))),
        value("Errors in this time", "short", &format!("topk(200, {errors})")).steps(&[(1.0, WARNING)]),
        value("Full refresh", "s", &format!("topk(200, {})", of("pve_scrape_collector_refresh_duration_seconds"))),
        value("Its calls", "short", &format!("topk(200, {})", of("pve_scrape_collector_refresh_calls"))),
    ];
    let missing = vec![
        label("cluster", "Cluster"),
        label("collector", "Collector"),
        label("privilege", "Privilege"),
        label("path", "on"),
        super::grafana::base(
            "topk(100, max by (cluster, collector, privilege, path) (pve_sentinel_privilege_missing{cluster=~\"$cluster\"}) == 1)",
        ),
    ];
    Row {
        title: "What it is told",
        panels: vec![
            table("Collectors", "Every subject of every cluster that is chosen, those that fail first; age is how old the values are, a full refresh all that is asked in the background.", columns).sort("State", false).size(16, 10),
            table("Missing privileges", "What Proxmox VE refused, and what would grant it. Empty is good.", missing).size(8, 10),
            timeline("Collectors that failed", "Subjects that failed at some time that is shown; at most thirty.", WELL)
                .query(&format!("cluster:pve_collector:success{{{CLUSTERS}}} and on (cluster, collector) bottomk(30, min_over_time(cluster:pve_collector:success{{{CLUSTERS}}}[$__range] @ end()) == 0)"), "{{cluster}} {{collector}}").size(12, 8),
            series("Errors", "Calls that failed, by reason.", "cps").query(&format!("sum by (reason) (rate(pve_scrape_collector_errors_total{{{CLUSTERS}}}[$__rate_interval]))"), "{{reason}}").size(12, 8),
        ],
    }
}

fn requests() -> Row {
    let api = |by: &str| {
        format!(
            "topk(20, sum by ({by}) (rate(pve_sentinel_api_requests_total{{cluster=~\"$cluster\"}}[$__rate_interval])))"
        )
    };
    let slowest = format!(
        "topk(20, max by (cluster, collector) (pve_scrape_collector_duration_seconds{{{CLUSTERS}, host=\"\"}}))"
    );
    Row {
        title: "What it asks and answers",
        panels: vec![
            series(
                "Calls of Proxmox VE",
                "Calls of Proxmox VE's API by path, numbers and names left out; the twenty most frequent at each time.",
                "reqps",
            )
            .query(&api("path"), "{{path}}")
            .size(8, 8),
            series("Calls by outcome", "How calls of Proxmox VE's API ended.", "reqps")
                .query(&api("outcome"), "{{outcome}}")
                .size(8, 8),
            series("Slowest collectors", "How long the last answers took; the twenty slowest at each time.", "s")
                .query(&slowest, "{{cluster}} {{collector}}")
                .size(8, 8),
            series("Pages served", "Requests to the exporter, by path and status.", "reqps")
                .query(
                    "topk(20, sum by (path, code) (rate(pve_sentinel_http_requests_total[$__rate_interval])))",
                    "{{path}} {{code}}",
                )
                .size(8, 8),
            series("Sessions over SSH", "Questions to hosts over SSH, by outcome.", "reqps")
                .query(
                    "topk(20, sum by (outcome) (rate(pve_sentinel_ssh_requests_total[$__rate_interval])))",
                    "{{outcome}}",
                )
                .size(8, 8),
            series("Control", "Orders to switch guests, by action and outcome; empty where nobody may.", "reqps")
                .query(
                    "topk(20, sum by (action, outcome) (rate(pve_sentinel_control_actions_total[$__rate_interval])))",
                    "{{action}} {{outcome}}",
                )
                .size(8, 8),
        ],
    }
}

/// Two exporters side by side find the same.
fn events() -> Row {
    let grown = |by: &str, metric: &str| {
        format!("topk(20, max by ({by}) (increase(pve_sentinel_events_{metric}_total[$__rate_interval])))")
    };
    let waits = |metric: &str| format!("topk(20, max by (alertmanager) (pve_sentinel_events_{metric}))");
    let behind = "topk(20, min by (cluster, node) (time() - pve_sentinel_events_cursor_timestamp_seconds{cluster=~\"$cluster\"}))";
    Row {
        title: "Events",
        panels: vec![
            series(
                "Events found",
                "What happened in the clusters, by kind; empty where there are no [events].",
                "short",
            )
            .query(&grown("kind", "found"), "{{kind}}")
            .size(8, 8),
            series("Events sent", "Events that each Alertmanager has taken.", "short")
                .query(&grown("alertmanager", "sent"), "{{alertmanager}}")
                .size(8, 8),
            series("Posts that failed", "Posts that an Alertmanager did not take; they are tried again.", "short")
                .query(&grown("alertmanager", "failed"), "{{alertmanager}}")
                .size(8, 8),
            series(
                "Events waiting",
                "Events that an Alertmanager has not taken yet, and those that a crash would lose.",
                "short",
            )
            .query(&waits("pending"), "{{alertmanager}}")
            .query("max(pve_sentinel_events_at_risk)", "in memory only")
            .size(8, 8),
            series("Waiting for", "How long the oldest event waits for each Alertmanager.", "s")
                .query(&waits("oldest_pending_seconds"), "{{alertmanager}}")
                .size(8, 8),
            series(
                "Tasks known up to",
                "How long ago all tasks of a node were known; the twenty longest at each time.",
                "s",
            )
            .query(behind, "{{cluster}} {{node}}")
            .size(8, 8),
        ],
    }
}

fn itself() -> Row {
    let of = |metric: &str| format!("topk(20, {metric} {SELF})");
    let files = bar("Open files", &of("(process_open_fds / process_max_fds)")).steps(&[(0.8, WARNING)]);
    let columns = vec![
        label("instance", "Exporter"),
        label("job", "Job"),
        value("Up for", "s", &of("(time() - process_start_time_seconds)")),
        files,
        value("Series", "short", &of("scrape_samples_scraped")),
        value("Scrape took", "s", &of("scrape_duration_seconds")),
        value(
            "Configuration read ago",
            "s",
            &of("(time() - pve_sentinel_config_last_reload_success_timestamp_seconds)"),
        ),
    ];
    Row {
        title: "What it costs",
        panels: vec![
            table("Exporters", "Every exporter, at most twenty.", columns).size(24, 5),
            series("Length of a scrape", "How long Prometheus waited for the page.", "s")
                .query(&of("scrape_duration_seconds"), "{{instance}}")
                .size(8, 8),
            series("CPU", "CPU time that the exporter takes; 100 % is one CPU.", "percentunit")
                .query(&of("rate(process_cpu_seconds_total[$__rate_interval])"), "{{instance}}")
                .size(8, 8),
            series("Memory", "Memory that the exporter holds.", "bytes")
                .query(&of("process_resident_memory_bytes"), "{{instance}}")
                .size(8, 8),
        ],
    }
}
