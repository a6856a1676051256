//! Ceph, where clusters have it.

use super::grafana::{Dashboard, Row, bar, base, hidden, label, series, stat, table, value};
use super::{CRITICAL, FINE, MUTED, Names, TO_CLUSTER, TO_NODE, WARNING, any, bad, clusters, limits};

const WHICH: &str = "cluster=~\"$cluster\"";
const UP: Names = &[(1, "up", FINE), (0, "down", CRITICAL)];
const IN: Names = &[(1, "in", FINE), (0, "out", WARNING)];
const HEARD: Names = &[(1, "counts", WARNING), (0, "muted", MUTED)];

pub fn dashboard() -> Dashboard {
    Dashboard {
        name: "ceph",
        title: "Proxmox VE / Ceph",
        description: "Health, OSDs, placement groups, pools and traffic of Ceph. Empty where no cluster has it.",
        variables: vec![clusters()],
        marks: "max by (alertname, cluster, node, id) (ALERTS{alertstate=\"firing\", alertname=~\"PVECeph.+\", cluster=~\"$cluster\"})",
        events: "cluster=~\"$cluster|\", kind=~\"storage_.+\"",
        rows: vec![now(), osds(), over_time()],
    }
}

/// One value of each cluster.
fn of(metric: &str) -> String {
    format!("max by (cluster) ({metric}{{{WHICH}}})")
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn now() -> Row {
    let sick = format!("count(pve_ceph_health_status{{status!=\"HEALTH_OK\", {WHICH}}}) or vector(0)");
    let clean = format!("max by (cluster) (pve_ceph_pgs_in_state{{state=\"clean\", {WHICH}}})");
    let used = format!("sum({}) / sum({})", of("pve_ceph_usage_bytes"), of("pve_ceph_size_bytes"));
    let check = format!("topk(100, max by (cluster, check, severity) (pve_ceph_health_check{{{WHICH}}}))");
    let checks = vec![
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        label("check", "Check"),
        label("severity", "Severity"),
        value("Counts", "none", &check).names(HEARD),
    ];
    let fullest = format!("topk(50, max by (cluster, id) (pve_ceph_pool_usage_ratio{{{WHICH}}}))");
    let only = |metric: &str| format!("max by (cluster, id) ({metric}{{{WHICH}}}) and on (cluster, id) {fullest}");
    let pools = vec![
        label("pool", "Pool"),
        label("cluster", "In cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        hidden("id"),
        base(&format!("max by (cluster, id, pool) (pve_ceph_pool_info{{{WHICH}}}) and on (cluster, id) {fullest}")),
        bar("Used", &fullest).steps(&limits(&["ceph_pool_ratio"])),
        value("Bytes used", "bytes", &only("pve_ceph_pool_usage_bytes")),
        value("Copies", "short", &only("pve_ceph_pool_replicas")),
        value("Groups", "short", &only("pve_ceph_pool_pgs")),
    ];
    Row {
        title: "Now",
        panels: vec![
            stat(
                "With Ceph",
                "Clusters that have Ceph, of those that are chosen.",
                "short",
                &format!("count(pve_ceph_health_status{{{WHICH}}})"),
            )
            .size(4, 4),
            stat("Not well", "Clusters whose Ceph is not in HEALTH_OK.", "short", &sick).steps(&any()).size(4, 4),
            stat(
                "OSDs down",
                "OSDs that do not answer.",
                "short",
                &format!("sum({} - {})", of("pve_ceph_osds"), of("pve_ceph_osds_up")),
            )
            .steps(&bad())
            .size(4, 4),
            stat(
                "OSDs out",
                "OSDs that take no part.",
                "short",
                &format!("sum({} - {})", of("pve_ceph_osds"), of("pve_ceph_osds_in")),
            )
            .steps(&any())
            .size(4, 4),
            stat(
                "Groups not clean",
                "Placement groups that lack copies, or have them elsewhere than they should.",
                "short",
                &format!("sum({} - on (cluster) ({clean} or {} * 0))", of("pve_ceph_pgs"), of("pve_ceph_pgs")),
            )
            .steps(&any())
            .size(4, 4),
            stat("Space used", "Space in use on all OSDs, each copy counted.", "percentunit", &used)
                .steps(&limits(&["ceph_osd_ratio"]))
                .size(4, 4),
            table(
                "What Ceph complains of",
                "The checks of its health that fail, in its own words. Empty is good.",
                checks,
            )
            .sort("Counts", true)
            .size(10, 8),
            table("Pools", "The fifty fullest pools. Bytes count each copy.", pools).sort("Used", true).size(14, 8),
        ],
    }
}

fn osds() -> Row {
    let ratio = format!("max by (cluster, id) (pve_ceph_osd_usage_bytes{{{WHICH}}} / (pve_ceph_osd_size_bytes > 0))");
    // Those that are down first, then the fullest.
    let down = format!("(1 - max by (cluster, id) (pve_ceph_osd_up{{{WHICH}}}))");
    let chosen = format!("topk(50, {down} * 10 + on (cluster, id) ({ratio} or {down} * 0))");
    let only = |expr: &str| format!("{expr} and on (cluster, id) {chosen}");
    let of = |metric: &str| only(&format!("max by (cluster, id) ({metric}{{{WHICH}}})"));
    let columns = vec![
        label("id", "OSD"),
        label("node", "Node").link(TO_NODE.0, TO_NODE.1),
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        label("device_class", "Class"),
        label("version", "Version"),
        base(&only(&format!("max by (cluster, id, node, device_class, version) (pve_ceph_osd_info{{{WHICH}}})"))),
        value("State", "none", &of("pve_ceph_osd_up")).names(UP),
        value("Part", "none", &of("pve_ceph_osd_in")).names(IN),
        bar("Used", &only(&ratio)).steps(&limits(&["ceph_osd_ratio"])),
        value("of bytes", "bytes", &of("pve_ceph_osd_size_bytes")),
        value("Latency", "s", &of("pve_ceph_osd_commit_latency_seconds")),
    ];
    Row {
        title: "OSDs",
        panels: vec![
            table("OSDs", "Fifty OSDs: those that are down, then the fullest. Latency is how long it took of late until a write was safe.", columns)
                .sort("Used", true)
                .size(24, 9),
        ],
    }
}

fn over_time() -> Row {
    let usage = format!("topk(10, {} / ({} > 0))", of("pve_ceph_usage_bytes"), of("pve_ceph_size_bytes"));
    let unwell =
        format!("topk(10, max by (cluster, state) (pve_ceph_pgs_in_state{{state!~\"active|clean\", {WHICH}}}))");
    let top = |metric: &str| format!("topk(10, {})", of(metric));
    Row {
        title: "Over time",
        panels: vec![
            series("Traffic of clients", "What guests and others read, and below what they write.", "Bps")
                .query(&top("pve_ceph_client_read_bytes_per_second"), "{{cluster}} read")
                .below(&top("pve_ceph_client_written_bytes_per_second"), "{{cluster}} written")
                .size(12, 8),
            series(
                "Operations of clients",
                "How often guests and others read, and below how often they write.",
                "iops",
            )
            .query(&top("pve_ceph_client_reads_per_second"), "{{cluster}} reads")
            .below(&top("pve_ceph_client_writes_per_second"), "{{cluster}} writes")
            .size(12, 8),
            series(
                "Groups that are busy or unwell",
                "What is said of placement groups besides active and clean, the ten most frequent words.",
                "short",
            )
            .query(&unwell, "{{cluster}} {{state}}")
            .size(12, 8),
            series("Recovery", "What is copied to have enough copies again.", "Bps")
                .query(&top("pve_ceph_recovery_bytes_per_second"), "{{cluster}}")
                .size(12, 8),
            series("Slowest OSDs", "How long it took until a write was safe, the ten slowest OSDs at each time.", "s")
                .query(
                    &format!("topk(10, max by (cluster, id) (pve_ceph_osd_commit_latency_seconds{{{WHICH}}}))"),
                    "{{cluster}} {{id}}",
                )
                .size(12, 8),
            series(
                "How full all OSDs are",
                "Space in use, each copy counted. The dashed line is where the alert of a single OSD begins.",
                "percentunit",
            )
            .query(&usage, "{{cluster}}")
            .limit("ceph_osd_ratio")
            .ratio()
            .size(12, 8),
        ],
    }
}
