//! One VM or container.

use super::grafana::{Dashboard, Row, Variable, base, hidden, label, series, stat, table, timeline, value};
use super::{FINE, HA, INFO, MUTED, Names, POWER, TO_NODE, WARNING, YES, cluster, firing, ha, search};

const GUEST: &str = "cluster=\"$cluster\", id=\"$guest\"";
const COVERED: Names = &[(0, "yes", FINE), (1, "no", WARNING)];

pub fn dashboard() -> Dashboard {
    // The name is read, the id is chosen: names may be given twice.
    let guest = Variable::Query {
        name: "guest",
        label: "Guest",
        query: "query_result(topk(2000, label_join(id:pve_guest:info{cluster=\"$cluster\", name=~\".*($search).*\"}, \"choice\", \" \", \"name\", \"id\")))",
        many: false,
        regex: "/choice=\"(?<text>[^\"]+)\".*[{,]id=\"(?<value>[^\"]+)\"/",
    };
    Dashboard {
        name: "guest",
        title: "Proxmox VE / Guest",
        description: "One VM or container.",
        variables: vec![cluster(), search(), guest],
        marks: "max by (alertname, cluster, node, name) (ALERTS{alertstate=\"firing\", alertname=~\"PVE.+\", cluster=\"$cluster\", id=\"$guest\"})",
        events: "",
        rows: vec![now(), load(), history()],
    }
}

fn now() -> Row {
    let columns = vec![
        label("name", "Name"),
        label("id", "Id"),
        label("type", "Type"),
        label("node", "Node").link(TO_NODE.0, TO_NODE.1),
        label("tags", "Tags"),
        label("pool", "Pool"),
        hidden("cluster"),
        base(&format!("{INFO} (id:pve_guest:info{{{GUEST}}})")),
        base(&format!("max by (cluster, id, pool) (pve_pool_member_info{{{GUEST}}})")),
        value("Processors", "short", &format!("max by (cluster, id) (pve_cpu_usage_limit{{{GUEST}}})")),
        value("Memory", "bytes", &format!("max by (cluster, id) (pve_memory_size_bytes{{{GUEST}}})")),
        value("Disk", "bytes", &format!("max by (cluster, id) (pve_disk_size_bytes{{{GUEST}}})")),
    ];
    Row {
        title: "Now",
        panels: vec![
            stat("State", "What Proxmox VE says. Unknown is a guest whose node is lost.", "none", &format!("max(id:pve_guest_state:code{{{GUEST}}})")).names(POWER),
            stat("Up for", "Time since the guest was started; nothing while it is stopped.", "s", &format!("max(pve_uptime_seconds{{{GUEST}}} > 0)")),
            stat("Starts with its node", "Whether Proxmox VE starts it when its node starts.", "none", &format!("max(pve_onboot_status{{{GUEST}}}) or max(pve_guest_state{{{GUEST}}}) * 0")).names(YES),
            stat("In a backup job", "Whether a backup job takes it; not whether the last backup worked.", "none", &format!("max(pve_not_backed_up_info{{{GUEST}}}) or 0 * max(pve_guest_state{{{GUEST}}}) * on () max(pve_not_backed_up_guests{{cluster=\"$cluster\"}} >= bool 0)")).names(COVERED),
            stat("Should run", "Set to start with its node, wanted by HA or tagged mon-up, and not tagged mon-off: if it does not run, an alert says so.", "none", &format!("max(id:pve_guest:wanted{{{GUEST}}}) or max(pve_guest_state{{{GUEST}}}) * 0")).names(YES),
            stat("Switched on or off", "How often the exporter saw it started or stopped in the chosen time; where the exporter keeps guests known with [discovery].", "short", &format!("max(increase(pve_guest_power_state_changes_total{{{GUEST}}}[$__range]))")).names(&[(0, "never", MUTED)]),
            table("What it is", "Its name, where it runs, and what it was given.", columns).size(24, 4),
            firing(GUEST).size(24, 5),
        ],
    }
}

fn load() -> Row {
    let of = |metric: &str| format!("max({metric}{{{GUEST}}})");
    let rate = |metric: &str| format!("max(rate({metric}{{{GUEST}}}[$__rate_interval]))");
    Row {
        title: "Load",
        panels: vec![
            series(
                "CPU",
                "Share of the guest's CPUs that is used. The dashed line is where the alert begins.",
                "percentunit",
            )
            .query(&of("pve_cpu_usage_ratio"), "used")
            .limit("guest_cpu_ratio")
            .ratio(),
            series(
                "Memory",
                "What the guest's system uses, what the host spends on it, and what it was given.",
                "bytes",
            )
            .query(&of("pve_memory_usage_bytes"), "used")
            .query(&of("pve_guest_memory_host_bytes"), "of the host")
            .query(&of("pve_memory_size_bytes"), "given"),
            series("Network", "What it receives (up) and sends (down).", "Bps")
                .query(&rate("pve_network_receive_bytes_total"), "receives")
                .below(&rate("pve_network_transmit_bytes_total"), "sends"),
            series("Disk", "What it reads (up) and writes (down).", "Bps")
                .query(&rate("pve_disk_read_bytes_total"), "reads")
                .below(&rate("pve_disk_written_bytes_total"), "writes"),
        ],
    }
}

fn history() -> Row {
    let replication = vec![
        label("id", "Job"),
        hidden("cluster"),
        label("source", "From"),
        label("target", "To"),
        base("max by (cluster, id, source, target) (pve_replication_info{cluster=\"$cluster\", guest=\"$guest\"})"),
        value("Last done ago", "s", "time() - max by (cluster, id) (pve_replication_last_sync_timestamp_seconds{cluster=\"$cluster\"} and on (cluster, id) pve_replication_info{guest=\"$guest\"})"),
        value("Failed since", "short", "max by (cluster, id) (pve_replication_failed_syncs{cluster=\"$cluster\"} and on (cluster, id) pve_replication_info{guest=\"$guest\"})").steps(&[(1.0, WARNING)]),
    ];
    Row {
        title: "Over time",
        panels: vec![
            timeline("State over time", "What Proxmox VE says of it.", POWER).query(&format!("max(id:pve_guest_state:code{{{GUEST}}})"), "state").size(12, 5),
            timeline("HA", "What the HA manager says of it; empty where it is not managed.", HA).query(&ha(GUEST), "HA").size(12, 5),
            series("Disk of a container", "How full the root file system of a container is; Proxmox VE does not know it of VMs. The dashed line is where the alert begins.", "percentunit")
                .query(&format!("max(id:pve_disk:ratio{{{GUEST}}})"), "used")
                .query(&format!("max(id:pve_guest_disk:threshold{{{GUEST}}})"), "limit of the alert, by tag").ratio(),
            table("Replication", "Jobs that copy it to other nodes, and how they do.", replication).size(12, 8),
        ],
    }
}
