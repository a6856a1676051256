//! One cluster: its nodes, its guests, HA and pools.

use super::grafana::{Dashboard, Row, bar, base, hidden, label, series, stat, table, timeline, value};
use super::{
    HA, ONLINE, POWER, TO_GUEST, TO_NODE, any, bad, busiest, changed, cluster, firing, guests, ha, limits, named,
    search, top,
};

const CHOSEN: &str = "cluster=\"$cluster\", name=~\".*($search).*\"";
const QUORUM: super::Names = &[(1, "yes", super::FINE), (0, "no", super::CRITICAL)];

pub fn dashboard() -> Dashboard {
    Dashboard {
        name: "cluster",
        title: "Proxmox VE / Cluster",
        description: "One cluster: its nodes, its guests, HA and pools.",
        variables: vec![cluster(), search(), top()],
        marks: "max by (alertname, cluster, node) (ALERTS{alertstate=\"firing\", alertname=~\"PVE.+\", severity=\"critical\", cluster=\"$cluster\"})",
        events: "cluster=\"$cluster\"",
        rows: vec![health(), nodes(), many_guests(), availability(), rest()],
    }
}

fn health() -> Row {
    Row {
        title: "Health",
        panels: vec![
            stat("Quorum", "Whether the nodes that see each other are the majority. A stand-alone node has none to lose, and tells nothing.", "none", "min(id:pve_up:held{id=~\"cluster/.+\", cluster=\"$cluster\"})").names(QUORUM).size(3, 4),
            stat("Nodes online", "Nodes that the cluster says are online.", "short", "count(id:pve_up:held{id=~\"node/.+\", cluster=\"$cluster\"} == 1)").size(3, 4),
            stat("Nodes lost", "Nodes that the cluster says are offline.", "short", "count(id:pve_up:held{id=~\"node/.+\", cluster=\"$cluster\"} == 0) or vector(0)").steps(&bad()).size(3, 4),
            stat("Guests running", "Guests that run, on nodes that are online.", "short", "cluster:pve_guests_running:count{cluster=\"$cluster\"}").size(3, 4),
            stat("Guests down", "Guests that should run and do not: set to start with their node, wanted by HA or tagged mon-up. Locked ones and templates do not count.", "short", "count(id:pve_up:held{id=~\"(qemu|lxc)/.+\", cluster=\"$cluster\"} == 0 and on (cluster, id) id:pve_guest:wanted and on (cluster, id) id:pve_guest:info unless on (cluster, id) (pve_lock_state == 1)) or vector(0)").steps(&any()).size(3, 4),
            stat("Guests without backup", "Guests that are in no backup job.", "short", "max(pve_not_backed_up_guests{cluster=\"$cluster\"})").steps(&any()).size(3, 4),
            stat("HA in error", "Guests that HA gave up, and nodes that it fences or does not know.", "short", "count(max by (cluster, id) (pve_ha_state{cluster=\"$cluster\", state=~\"error|fence|unknown|gone\"}) == 1) or vector(0)").steps(&bad()).size(3, 4),
            stat("Proxmox VE", "The version that answers to the exporter.", "none", "max by (version) (pve_version_info{cluster=\"$cluster\"})").legend("{{version}}").size(3, 4),
            firing("cluster=\"$cluster\""),
        ],
    }
}

fn nodes() -> Row {
    let of = |metric: &str| format!("max by (cluster, id) ({metric}{{cluster=\"$cluster\", id=~\"node/.+\"}})");
    let named = |metric: &str| {
        format!("({metric}) * on (cluster, id) group_left (node) id:pve_node:info{{cluster=\"$cluster\"}}")
    };
    let load = format!("{} / {}", of("pve_node_load15"), of("pve_cpu_usage_limit"));
    let swap = format!("{} / ({} > 0)", of("pve_node_swap_usage_bytes"), of("pve_node_swap_size_bytes"));
    let columns = vec![
        label("node", "Node").link(TO_NODE.0, TO_NODE.1),
        hidden("cluster"),
        hidden("id"),
        base("max by (cluster, id, node) (id:pve_node:info{cluster=\"$cluster\"})"),
        value("State", "none", &of("id:pve_up:held")).names(ONLINE),
        bar("CPU", &of("pve_cpu_usage_ratio")).steps(&limits(&["node_cpu_ratio"])),
        value("CPUs", "short", &of("pve_cpu_usage_limit")),
        value("Load for each CPU", "short", &load).steps(&limits(&["node_load_per_cpu"])),
        value("I/O wait", "percentunit", &of("pve_node_iowait_ratio")).steps(&limits(&["node_iowait_ratio"])),
        bar("Memory", &of("id:pve_memory:ratio")).steps(&limits(&["node_memory_ratio"])),
        value("of memory", "bytes", &of("pve_memory_size_bytes")),
        bar("Swap", &swap).steps(&limits(&["node_swap_ratio"])),
        bar("Root disk", &of("id:pve_disk:ratio")).steps(&limits(&["node_rootfs_ratio", "node_rootfs_full_ratio"])),
        value("Up for", "s", &of("pve_uptime_seconds")),
    ];
    let description = "One line for each node; a click opens its page. Load is the average of fifteen minutes. What a node that is lost had is not shown.";
    let lines = |metric: &str| format!("topk($top, {})", named(&of(metric)));
    Row {
        title: "Nodes",
        panels: vec![
            table("Nodes", description, columns).sort("Node", false),
            series("CPU of nodes", "Share of a node's CPUs that is used; the busiest nodes at each time. The dashed line is where the alert begins.", "percentunit")
                .query(&lines("pve_cpu_usage_ratio"), "{{node}}").limit("node_cpu_ratio").ratio(),
            series("Memory of nodes", "Share of a node's memory that is used, ZFS' cache included; the fullest nodes at each time. The dashed line is where the alert begins.", "percentunit")
                .query(&lines("id:pve_memory:ratio"), "{{node}}").limit("node_memory_ratio").ratio(),
        ],
    }
}

fn many_guests() -> Row {
    let of = "cluster=\"$cluster\", id=~\"(qemu|lxc)/.+\"";
    let gauge = |metric: &str| {
        busiest(&format!("{metric}{{{of}}}"), &format!("avg_over_time({metric}{{{of}}}[15m] @ end())"), CHOSEN)
    };
    let rate = |metric: &str| {
        busiest(
            &format!("rate({metric}{{{of}}}[$__rate_interval])"),
            &format!("rate({metric}{{{of}}}[15m] @ end())"),
            CHOSEN,
        )
    };
    Row {
        title: "Guests",
        panels: vec![
            guests("Guests", CHOSEN, "cluster=\"$cluster\""),
            series("CPU of guests", "Share of a guest's CPUs that is used; those that were busiest in the last quarter of an hour. The dashed line is where the alert begins.", "percentunit")
                .query(&gauge("pve_cpu_usage_ratio"), "{{name}}").limit("guest_cpu_ratio").ratio(),
            series("Memory of guests", "Memory that is used in a guest; those that used most in the last quarter of an hour.", "bytes")
                .query(&gauge("pve_memory_usage_bytes"), "{{name}}"),
            series("Network of guests", "What guests receive (up) and send (down); those that moved most in the last quarter of an hour.", "Bps")
                .query(&rate("pve_network_receive_bytes_total"), "{{name}} receives").below(&rate("pve_network_transmit_bytes_total"), "{{name}} sends"),
            series("Disks of guests", "What guests read (up) and write (down); those that moved most in the last quarter of an hour.", "Bps")
                .query(&rate("pve_disk_read_bytes_total"), "{{name}} reads").below(&rate("pve_disk_written_bytes_total"), "{{name}} writes"),
            timeline("Guests whose state changed", "What Proxmox VE says of the guests that had more than one state in the chosen time, templates left out. Unknown is a guest whose node is lost.", POWER)
                .query(&changed(CHOSEN), "{{name}}").link(TO_GUEST.0, "/d/pve-sentinel-guest?${datasource:queryparam}&${__url_time_range}&var-cluster=${__field.labels.cluster:percentencode}&var-guest=${__field.labels.id:percentencode}").size(24, 8),
        ],
    }
}

fn availability() -> Row {
    let nodes = ha("cluster=\"$cluster\", id=~\"node/.+\"");
    let guests = ha("cluster=\"$cluster\", id=~\"(qemu|lxc)/.+\"");
    let guests = named(&format!("topk($top, {guests})"), "cluster=\"$cluster\"");
    Row {
        title: "High availability",
        panels: vec![
            timeline("Nodes in HA", "What the HA manager says of nodes; empty where HA manages nothing.", HA)
                .query(&nodes, "{{id}}")
                .size(12, 7),
            timeline(
                "Guests in HA",
                "What the HA manager says of guests; those in the worst state first. Empty where HA manages nothing.",
                HA,
            )
            .query(&guests, "{{name}}")
            .size(12, 7),
        ],
    }
}

fn rest() -> Row {
    let pool = |metric: &str| format!("max by (cluster, id) ({metric}{{cluster=\"$cluster\"}})");
    let share = format!("{} / ({} > 0)", pool("pve_pool_memory_usage_bytes"), pool("pve_pool_memory_size_bytes"));
    let pools = vec![
        label("id", "Pool"),
        hidden("cluster"),
        bar("CPU", &pool("pve_pool_cpu_usage_ratio")),
        value("CPUs", "short", &pool("pve_pool_cpu_usage_limit")),
        bar("Memory", &share),
        value("of memory", "bytes", &pool("pve_pool_memory_size_bytes")),
        value(
            "Members",
            "short",
            "max by (cluster, id) (label_replace(count by (cluster, pool) (max by (cluster, pool, id) (pve_pool_member_info{cluster=\"$cluster\"})), \"id\", \"$1\", \"pool\", \"(.+)\"))",
        ),
    ];
    let subscriptions = vec![
        label("id", "Node"),
        hidden("cluster"),
        label("status", "Subscription"),
        label("level", "Level"),
        base("max by (cluster, id, status) (pve_subscription_status{cluster=\"$cluster\"})"),
        base("max by (cluster, id, level) (pve_subscription_info{cluster=\"$cluster\"})"),
        value(
            "Due in",
            "s",
            "max by (cluster, id) (pve_subscription_next_due_timestamp_seconds{cluster=\"$cluster\"}) - time()",
        ),
    ];
    Row {
        title: "Pools and subscriptions",
        panels: vec![
            table("Pools", "What the running members of each pool use, of what they were given.", pools)
                .sort("CPU", true)
                .size(14, 7),
            table("Subscriptions", "What each node says of its subscription, and when it is due.", subscriptions)
                .size(10, 7),
        ],
    }
}
