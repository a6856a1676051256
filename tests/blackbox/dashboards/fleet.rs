//! All clusters on one page: what is wrong first, then how much room there is.

use super::grafana::{Dashboard, Row, bar, label, series, stat, table, value};
use super::{TO_CLUSTER, TO_STORAGE, any, bad, clusters, firing, limits};

const QUORUM: super::Names = &[(1, "quorum", super::FINE), (0, "no quorum", super::CRITICAL)];

pub fn dashboard() -> Dashboard {
    Dashboard {
        name: "fleet",
        title: "Proxmox VE / Fleet",
        description: "All clusters: what is wrong, then how much room there is.",
        variables: vec![clusters()],
        marks: "max by (alertname, cluster, node) (ALERTS{alertstate=\"firing\", alertname=~\"PVE(NodeLost|QuorumLost|ClusterUnreachable|NodeFenced)\", cluster=~\"$cluster\"})",
        events: "cluster=~\"$cluster\"",
        rows: vec![wrong(), room(), storages()],
    }
}

fn wrong() -> Row {
    Row {
        title: "What is wrong",
        panels: vec![
            stat("Critical alerts", "Alerts that fire with severity critical; those without a cluster, too.", "short", "count(ALERTS{alertstate=\"firing\", alertname=~\"PVE.+\", severity=\"critical\", cluster=~\"$cluster|\"}) or vector(0)").steps(&bad()),
            stat("Warnings", "Alerts that fire with severity warning; those without a cluster, too.", "short", "count(ALERTS{alertstate=\"firing\", alertname=~\"PVE.+\", severity=\"warning\", cluster=~\"$cluster|\"}) or vector(0)").steps(&any()),
            stat("Nodes lost", "Nodes that their cluster says are offline. Held for half an hour where the exporter is told nothing.", "short", "count(id:pve_up:held{id=~\"node/.+\", cluster=~\"$cluster\"} == 0) or vector(0)").steps(&bad()),
            stat("Guests down", "Guests that should run and do not: set to start with their node, wanted by HA or tagged mon-up. Locked ones and templates do not count.", "short", "count(id:pve_up:held{id=~\"(qemu|lxc)/.+\", cluster=~\"$cluster\"} == 0 and on (cluster, id) id:pve_guest:wanted and on (cluster, id) id:pve_guest:info unless on (cluster, id) (pve_lock_state == 1)) or vector(0)").steps(&any()),
            stat("Storages filling up", "Storages above the limit of the alert, shared ones once.", "short", "count(storage:pve_usage:ratio{cluster=~\"$cluster\"} > scalar(pve:threshold{threshold=\"storage_ratio\"})) or vector(0)").steps(&any()),
            stat("Guests without backup", "Guests that are in no backup job.", "short", "sum(max by (cluster) (pve_not_backed_up_guests{cluster=~\"$cluster\"}))").steps(&any()),
            firing("cluster=~\"$cluster|\""),
            clusters_table(),
        ],
    }
}

fn clusters_table() -> super::Panel {
    let (cpu, memory) = (cpu(), memory());
    let columns = vec![
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        value("Quorum", "none", "min by (cluster) (id:pve_up:held{id=~\"cluster/.+\", cluster=~\"$cluster\"})").names(QUORUM),
        value("Nodes online", "short", "count by (cluster) (id:pve_up:held{id=~\"node/.+\", cluster=~\"$cluster\"} == 1)"),
        value("of nodes", "short", "count by (cluster) (id:pve_up:held{id=~\"node/.+\", cluster=~\"$cluster\"})"),
        value("Guests running", "short", "max by (cluster) (cluster:pve_guests_running:count{cluster=~\"$cluster\"})"),
        value("of guests", "short", "count by (cluster) (id:pve_guest:info{cluster=~\"$cluster\"})"),
        bar("CPU", &cpu).steps(&limits(&["node_cpu_ratio"])),
        bar("Memory", &memory).steps(&limits(&["node_memory_ratio"])),
        value("Memory promised", "percentunit", "cluster:pve_memory_promised:bytes{cluster=~\"$cluster\"} / (cluster:pve_memory_size:bytes > 0)").steps(&[(1.0, super::WARNING)]),
        value("CPUs promised", "percentunit", "cluster:pve_cpus_promised:sum{cluster=~\"$cluster\"} / (cluster:pve_cpus:sum > 0)"),
        bar("Fullest storage", "max by (cluster) (storage:pve_usage:ratio{cluster=~\"$cluster\"})").steps(&limits(&["storage_ratio", "storage_full_ratio"])),
        value("Alerts", "short", "count by (cluster) (ALERTS{alertstate=\"firing\", alertname=~\"PVE.+\", severity=~\"critical|warning\", cluster=~\"$cluster\"})").steps(&any()),
    ];
    let description = "One line for each cluster; a click opens its page. Promised is what running guests were given, as a share of what the nodes that are online have: more than 100 % of memory cannot all be used at once.";
    table("Clusters", description, columns).sort("Alerts", true)
}

fn cpu() -> String {
    let nodes = "cluster=~\"$cluster\", id=~\"node/.+\"";
    format!(
        "sum by (cluster) (max by (cluster, id) (pve_cpu_usage_ratio{{{nodes}}}) * max by (cluster, id) (pve_cpu_usage_limit{{{nodes}}})) / (cluster:pve_cpus:sum > 0)"
    )
}

fn memory() -> String {
    "cluster:pve_memory_usage:bytes{cluster=~\"$cluster\"} / (cluster:pve_memory_size:bytes > 0)".to_owned()
}

fn room() -> Row {
    let most = |expr: &str| format!("topk(20, {expr})");
    Row {
        title: "How much room there is",
        panels: vec![
            series("CPU used", "Share of the CPUs of all nodes that are online, by cluster; the twenty with most. The dashed line is where the alert for one node begins.", "percentunit")
                .query(&most(&cpu()), "{{cluster}}").limit("node_cpu_ratio").ratio(),
            series("Memory used", "Share of the memory of all nodes that are online, by cluster; the twenty with most. The dashed line is where the alert for one node begins.", "percentunit")
                .query(&most(&memory()), "{{cluster}}").limit("node_memory_ratio").ratio(),
            series("Memory promised", "Memory that running guests were given, as a share of what the nodes have, by cluster; the twenty with most.", "percentunit")
                .query(&most("cluster:pve_memory_promised:bytes{cluster=~\"$cluster\"} / (cluster:pve_memory_size:bytes > 0)"), "{{cluster}}"),
            series("Guests running", "Guests that run, by cluster; the twenty with most.", "short")
                .query(&most("cluster:pve_guests_running:count{cluster=~\"$cluster\"}"), "{{cluster}}"),
        ],
    }
}

fn storages() -> Row {
    let fullest = "topk(20, storage:pve_usage:ratio{cluster=~\"$cluster\"})";
    let only = |metric: &str| format!("max by (cluster, storage, node) ({metric} and {fullest})");
    let columns = vec![
        label("storage", "Storage").link(TO_STORAGE.0, TO_STORAGE.1),
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        label("node", "Node"),
        bar("Used", &only("storage:pve_usage:ratio")).steps(&limits(&["storage_ratio", "storage_full_ratio"])),
        value("Bytes used", "bytes", &only("storage:pve_usage:bytes")),
        value("of bytes", "bytes", &only("storage:pve_size:bytes")),
    ];
    let description =
        "The twenty fullest storages; shared ones once and without a node. A click opens the page of the storage.";
    let growth = "topk(10, storage:pve_usage:ratio{cluster=~\"$cluster\"})";
    Row {
        title: "Storages",
        panels: vec![
            table("Fullest storages", description, columns).sort("Used", true).size(12, 9),
            series(
                "Fullest storages over time",
                "The ten fullest storages at each time. The dashed line is where the alert begins.",
                "percentunit",
            )
            .query(growth, "{{cluster}} {{storage}} {{node}}")
            .limit("storage_ratio")
            .ratio()
            .size(12, 9),
        ],
    }
}
