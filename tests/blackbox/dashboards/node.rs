//! One node: Proxmox VE's figures, its system's own where it is read over SSH, and its guests.

use super::grafana::{Dashboard, Row, Variable, series, stat, timeline};
use super::{ONLINE, POWER, TO_HOST, busiest, changed, cluster, firing, guests, limits, search, top};

const NODE: &str = "cluster=\"$cluster\", id=\"node/$node\"";
/// The node as a host over SSH.
const HOST: &str = "cluster=\"$cluster\", host=\"$cluster-$node\"";
const ITS_GUESTS: &str = "cluster=\"$cluster\", node=\"$node\"";
const CHOSEN: &str = "cluster=\"$cluster\", node=\"$node\", name=~\".*($search).*\"";

pub fn dashboard() -> Dashboard {
    let node = Variable::Query {
        name: "node",
        label: "Node",
        query: "label_values(pve_node_info{cluster=\"$cluster\"}, name)",
        many: false,
        regex: "",
    };
    Dashboard {
        name: "node",
        title: "Proxmox VE / Node",
        description: "One node: Proxmox VE's figures, its system's own where it is read over SSH, and its guests.",
        variables: vec![cluster(), node, search(), top()],
        marks: "max by (alertname, cluster, node, name) (ALERTS{alertstate=\"firing\", alertname=~\"PVE.+\", severity=~\"critical|warning\", cluster=\"$cluster\", node=\"$node\"})",
        events: "cluster=\"$cluster\", kind=~\"node_.+|quorum_.+|ha_.+\"",
        rows: vec![now(), load(), system(), its_guests()],
    }
}

fn now() -> Row {
    let of = |metric: &str| format!("max({metric}{{{NODE}}})");
    let host = |metric: &str| format!("max({metric}{{{HOST}}})");
    Row {
        title: "Now",
        panels: vec![
            stat("State", "Whether its cluster says that the node is online.", "none", &of("id:pve_up:held")).names(ONLINE).size(3, 4),
            stat("Up for", "Time since the node was started.", "s", &of("pve_uptime_seconds")).size(3, 4),
            stat("CPUs", "Threads of the node's processors.", "short", &of("pve_cpu_usage_limit")).size(3, 4),
            stat("Memory there is", "How much memory the node has.", "bytes", &of("pve_memory_size_bytes")).size(3, 4),
            stat("Guests running", "Guests that run on the node.", "short", &format!("count(max by (cluster, id) (pve_up{{cluster=\"$cluster\", id=~\"(qemu|lxc)/.+\"}}) == 1 and on (cluster, id) id:pve_guest:info{{{ITS_GUESTS}}}) or vector(0)")).size(3, 4),
            stat("Root disk", "How full the node's root file system is.", "percentunit", &of("id:pve_disk:ratio")).steps(&limits(&["node_rootfs_ratio", "node_rootfs_full_ratio"])).size(3, 4),
            stat("Updates", "Packages that apt would upgrade; where the node is read over SSH. A click opens the page of the host.", "short", &host("pve_host_package_updates_pending")).link(TO_HOST.0, "/d/pve-sentinel-hosts?${datasource:queryparam}&${__url_time_range}&var-host=${cluster:percentencode}-${node:percentencode}").size(3, 4),
            stat("Reboot needed", "Whether an update waits for a restart of the node; where the node is read over SSH.", "none", &host("pve_host_reboot_required")).names(&[(0, "no", super::FINE), (1, "yes", super::WARNING)]).size(3, 4),
            firing("cluster=\"$cluster\", node=\"$node\""),
        ],
    }
}

fn load() -> Row {
    let of = |metric: &str| format!("max({metric}{{{NODE}}})");
    let rate = |metric: &str| format!("max(rate({metric}{{{NODE}}}[$__rate_interval]))");
    let per_cpu = |metric: &str| format!("{} / {}", of(metric), of("pve_cpu_usage_limit"));
    Row {
        title: "Load",
        panels: vec![
            series("CPU", "Share of the node's CPUs that is used, and share of the time in which they wait for disks. The dashed line is where the alert begins.", "percentunit")
                .query(&of("pve_cpu_usage_ratio"), "used").query(&of("pve_node_iowait_ratio"), "waits for disks").limit("node_cpu_ratio").ratio(),
            series("Load for each CPU", "Processes that run or wait, for each CPU: above 1 some wait. Needs Proxmox VE 8.2.5. The dashed line is where the alert begins.", "short")
                .query(&per_cpu("pve_node_load1"), "1 min").query(&per_cpu("pve_node_load5"), "5 min").query(&per_cpu("pve_node_load15"), "15 min").limit("node_load_per_cpu"),
            series("Memory", "Memory that is used, ZFS' cache included, of what there is; and the same of swap.", "bytes")
                .query(&of("pve_memory_usage_bytes"), "used").query(&of("pve_memory_size_bytes"), "there is").query(&of("pve_node_swap_usage_bytes"), "swap used"),
            series("Network", "What the node's physical network cards receive (up) and send (down).", "Bps")
                .query(&rate("pve_node_network_receive_bytes_total"), "receives").below(&rate("pve_node_network_transmit_bytes_total"), "sends"),
        ],
    }
}

fn system() -> Row {
    let pressure = |what: &str| format!("max(rate(node_pressure_{what}_seconds_total{{{HOST}}}[$__rate_interval]))");
    let disk = |metric: &str| format!("topk(20, max by (device) (rate({metric}{{{HOST}}}[$__rate_interval])))");
    Row {
        title: "Its system, over SSH",
        panels: vec![
            series("Pressure", "Share of the time in which processes wait for CPU, memory or disks; stalled is when all of them do. The dashed line is where the alert begins, for stalled memory or disks. Only where the node is read over SSH.", "percentunit")
                .query(&pressure("cpu_waiting"), "waits for CPU").query(&pressure("memory_stalled"), "stalled by memory").query(&pressure("io_stalled"), "stalled by disks").limit("host_pressure_ratio").size(8, 8),
            series("Disks", "What is read (up) and written (down). Only where the node is read over SSH.", "Bps")
                .query(&disk("node_disk_read_bytes_total"), "{{device}} reads").below(&disk("node_disk_written_bytes_total"), "{{device}} writes").size(8, 8),
            series("Temperatures", "What sensors tell, the twenty hottest. The dashed line is where the alert begins. Only where the node is read over SSH.", "celsius")
                .query(&format!("topk(20, max by (chip, sensor) (node_hwmon_temp_celsius{{{HOST}}}))"), "{{chip}} {{sensor}}").limit("host_temperature_celsius").size(8, 8),
        ],
    }
}

fn its_guests() -> Row {
    let of = "cluster=\"$cluster\", id=~\"(qemu|lxc)/.+\"";
    let gauge = |metric: &str| {
        busiest(&format!("{metric}{{{of}}}"), &format!("avg_over_time({metric}{{{of}}}[15m] @ end())"), CHOSEN)
    };
    Row {
        title: "Guests on this node",
        panels: vec![
            guests("Guests", CHOSEN, "cluster=\"$cluster\""),
            series("CPU of guests", "Share of a guest's CPUs that is used; those that were busiest in the last quarter of an hour. The dashed line is where the alert begins.", "percentunit")
                .query(&gauge("pve_cpu_usage_ratio"), "{{name}}").limit("guest_cpu_ratio").ratio(),
            series("Memory of guests", "Memory that is used in a guest; those that used most in the last quarter of an hour.", "bytes")
                .query(&gauge("pve_memory_usage_bytes"), "{{name}}"),
            timeline("Guests whose state changed", "What Proxmox VE says of the guests that had more than one state in the chosen time and are on this node at its end, templates left out.", POWER)
                .query(&changed(CHOSEN), "{{name}}").size(24, 7),
        ],
    }
}
