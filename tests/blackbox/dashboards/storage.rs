//! Storages, and the disks below them where hosts tell of them.

use super::grafana::{Dashboard, Row, Variable, bar, label, series, stat, table, value};
use super::{CRITICAL, FINE, Names, TO_CLUSTER, TO_GUEST, TO_HOST, WARNING, any, bad, clusters, hidden, limits, named};

const WHICH: &str = "cluster=~\"$cluster\", storage=~\"$storage\"";
const HEALTH: Names = &[(1, "well", FINE), (0, "failing", CRITICAL)];

pub fn dashboard() -> Dashboard {
    let storage = Variable::Query {
        name: "storage",
        label: "Storage",
        query: "label_values(pve_storage_info{cluster=~\"$cluster\"}, storage)",
        many: true,
        regex: "",
    };
    Dashboard {
        name: "storage",
        title: "Proxmox VE / Storage",
        description: "Storages, how full they are and when they will be, disks of containers, and the disks and pools of hosts.",
        variables: vec![clusters(), storage],
        marks: "max by (alertname, cluster, node, name) (ALERTS{alertstate=\"firing\", alertname=~\"PVE(Storage|HostDisk|HostZpool|HostRAID).+\", cluster=~\"$cluster|\"})",
        events: "cluster=~\"$cluster|\", kind=~\"storage_.+\"",
        rows: vec![now(), over_time(), disks()],
    }
}

fn now() -> Row {
    let offline = format!(
        "(id:pve_up:held{{id=~\"storage/.+\", cluster=~\"$cluster\"}} == 0) * on (cluster, id) group_left (storage) max by (cluster, id, storage) (pve_storage_info{{{WHICH}}})"
    );
    let most = format!("topk(50, storage:pve_usage:ratio{{{WHICH}}})");
    let only = |metric: &str| format!("max by (cluster, storage, node) ({metric} and {most})");
    let growth = format!("deriv(storage:pve_usage:bytes{{{WHICH}}}[6h])");
    let columns = vec![
        label("storage", "Storage"),
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        label("node", "Node"),
        bar("Used", &only("storage:pve_usage:ratio")).steps(&limits(&["storage_ratio", "storage_full_ratio"])),
        value("Bytes used", "bytes", &only("storage:pve_usage:bytes")),
        value("of bytes", "bytes", &only("storage:pve_size:bytes")),
        value("Free", "bytes", &only("(storage:pve_size:bytes - storage:pve_usage:bytes)")),
        value("Growth in a day", "bytes", &only(&format!("{growth} * 86400"))),
        value(
            "Full in",
            "s",
            &only(&format!("((storage:pve_size:bytes - storage:pve_usage:bytes) / ({growth} > 0) < 31536000)")),
        ),
    ];
    Row {
        title: "Now",
        panels: vec![
            stat("Storages chosen", "Storages that are chosen; shared ones once.", "short", &format!("count(storage:pve_size:bytes{{{WHICH}}})")).size(4, 4),
            stat("Size", "Size of all that are chosen; shared ones once.", "bytes", &format!("sum(storage:pve_size:bytes{{{WHICH}}})")).size(4, 4),
            stat("Used", "Bytes that are used in all that are chosen.", "bytes", &format!("sum(storage:pve_usage:bytes{{{WHICH}}})")).size(4, 4),
            stat("Filling up", "Storages above the limit of the alert.", "short", &format!("count(storage:pve_usage:ratio{{{WHICH}}} > scalar(pve:threshold{{threshold=\"storage_ratio\"}})) or vector(0)")).steps(&any()).size(4, 4),
            stat("Full in a day", "Storages that will be full in a day if they grow as in the last six hours, and are more than half full.", "short", &format!("count(predict_linear(storage:pve_usage:bytes{{{WHICH}}}[6h], 86400) > storage:pve_size:bytes and storage:pve_usage:ratio > 0.5) or vector(0)")).steps(&bad()).size(4, 4),
            stat("Offline", "Storages that a node cannot reach, once for each such node.", "short", &format!("count({offline}) or vector(0)")).steps(&any()).size(4, 4),
            table("Storages", "The fifty fullest; shared ones once and without a node. Growth is that of the last six hours; full in is left out where it is more than a year.", columns).sort("Used", true).size(24, 10),
        ],
    }
}

fn over_time() -> Row {
    let guests = "cluster=~\"$cluster\", id=~\"lxc/.+\"";
    let fullest = format!("topk(20, max by (cluster, id) (id:pve_disk:ratio{{{guests}}}))");
    let containers = vec![
        label("name", "Container").link(TO_GUEST.0, TO_GUEST.1),
        hidden("id"),
        label("cluster", "Cluster"),
        label("node", "Node"),
        bar("Used", &named(&fullest, "cluster=~\"$cluster\""))
            .steps(&limits(&["guest_disk_ratio", "guest_disk_full_ratio"])),
        value(
            "of bytes",
            "bytes",
            &named(
                &format!("max by (cluster, id) (pve_disk_size_bytes{{{guests}}}) and on (cluster, id) {fullest}"),
                "cluster=~\"$cluster\"",
            ),
        ),
    ];
    Row {
        title: "Over time",
        panels: vec![
            series("How full", "The ten fullest storages at each time. The dashed line is where the alert begins.", "percentunit")
                .query(&format!("topk(10, storage:pve_usage:ratio{{{WHICH}}})"), "{{cluster}} {{storage}} {{node}}").limit("storage_ratio").ratio().size(12, 9),
            table("Fullest disks of containers", "The twenty fullest root file systems; Proxmox VE does not know them of VMs. The colours are the alert's limits without tags.", containers).sort("Used", true).size(12, 9),
        ],
    }
}

fn disks() -> Row {
    let host = "cluster=~\"$cluster|\"";
    let disk = |metric: &str| format!("max by (host, device) ({metric}{{{host}}})");
    let pool = |metric: &str| format!("max by (host, zpool) ({metric}{{{host}}})");
    let disks = vec![
        label("host", "Host").link(TO_HOST.0, TO_HOST.1),
        label("device", "Disk"),
        label("model", "Model"),
        super::grafana::base(&format!("topk(100, max by (host, device, model) (pve_host_disk_info{{{host}}}))")),
        value("Health", "none", &format!("bottomk(100, {})", disk("pve_host_disk_smart_healthy"))).names(HEALTH),
        bar("Worn", &format!("topk(100, {})", disk("pve_host_disk_wear_ratio")))
            .steps(&limits(&["host_disk_wear_ratio"])),
        value("Temperature", "celsius", &format!("topk(100, {})", disk("pve_host_disk_temperature_celsius"))),
        value("Runs for", "s", &format!("topk(100, {})", disk("pve_host_disk_power_on_seconds_total"))),
    ];
    let pools = vec![
        label("host", "Host").link(TO_HOST.0, TO_HOST.1),
        label("zpool", "Pool"),
        value("Damaged files", "short", &format!("topk(100, {})", pool("pve_host_zpool_data_errors")))
            .steps(&[(1.0, CRITICAL)]),
        value("Errors of the scrub", "short", &format!("topk(100, {})", pool("pve_host_zpool_scrub_errors")))
            .steps(&[(1.0, WARNING)]),
        value(
            "Last scrub ago",
            "s",
            &format!("topk(100, time() - ({} > 0))", pool("pve_host_zpool_scrub_timestamp_seconds")),
        ),
        value("Busy", "none", &format!("topk(100, {})", pool("pve_host_zpool_scanning"))).names(super::YES),
    ];
    Row {
        title: "Disks and pools of hosts",
        panels: vec![
            table(
                "Disks",
                "What SMART says, of at most a hundred disks. Only of hosts over SSH, with the collector host_smart.",
                disks,
            )
            .sort("Health", false)
            .size(14, 9),
            table(
                "ZFS pools",
                "What zpool says, of at most a hundred pools. Only of hosts over SSH, with the collector host_zpool.",
                pools,
            )
            .sort("Damaged files", true)
            .size(10, 9),
        ],
    }
}
