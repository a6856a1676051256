//! One VM or container.

use super::grafana::{Dashboard, Row, Variable, bar, base, hidden, label, series, stat, table, timeline, value};
use super::{FINE, HA, INFO, MUTED, Names, POWER, TO_NODE, WARNING, YES, cluster, firing, ha, limits, search};

const GUEST: &str = "cluster=\"$cluster\", id=\"$guest\"";
const ANSWERS: Names = &[(1, "answers", FINE), (0, "silent", WARNING)];
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
        rows: vec![now(), load(), devices(), inside(), history()],
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

fn inside() -> Row {
    let of = |metric: &str| format!("max by (cluster, id, mountpoint) ({metric}{{{GUEST}}})");
    let columns = vec![
        label("mountpoint", "Mounted on"),
        hidden("cluster"),
        hidden("id"),
        label("fstype", "Type"),
        label("device", "Device"),
        base(&format!("max by (cluster, id, mountpoint, fstype, device) (pve_guest_filesystem_info{{{GUEST}}})")),
        bar("Used", &of("id:pve_guest_filesystem:ratio"))
            .steps(&limits(&["guest_disk_ratio", "guest_disk_full_ratio"])),
        value("of", "bytes", &of("pve_guest_filesystem_size_bytes")),
    ];
    Row {
        title: "Inside, by its agent",
        panels: vec![
            stat("Agent", "Whether the QEMU guest agent answers. Empty where the VM is not set to have one, of containers, and where the collector guest_agent is off.", "none", &format!("max(pve_guest_agent_up{{{GUEST}}})")).names(ANSWERS).size(6, 4),
            stat("System", "The operating system, as the agent tells it.", "none", &format!("max by (name) (pve_guest_os_info{{{GUEST}}})")).legend("{{name}}").size(10, 4),
            stat("Clock ahead", "How far the guest's clock is ahead of that of Proxmox VE, to about a second.", "s", &format!("max(pve_guest_clock_offset_seconds{{{GUEST}}})")).size(8, 4),
            table("File systems", "What the guest has mounted, and how full it is; images and what containers mount are left out.", columns).sort("Used", true).size(12, 8),
            series("File systems over time", "How full each file system is. The dashed line is where the alert begins, unless a tag says otherwise.", "percentunit")
                .query(&of("id:pve_guest_filesystem:ratio"), "{{mountpoint}}").limit("guest_disk_ratio").ratio(),
        ],
    }
}

fn devices() -> Row {
    let disks = vec![
        label("disk", "Disk"),
        label("storage", "Storage"),
        label("backup", "In backups"),
        label("iothread", "Own thread"),
        label("ssd", "SSD"),
        label("discard", "Gives back"),
        base(&format!("max by (disk, storage, backup, iothread, ssd, discard) (pve_guest_disk_info{{{GUEST}}})")),
        value("Size", "bytes", &format!("max by (disk) (pve_guest_disk_size_bytes{{{GUEST}}})")),
        value("Failed", "short", &format!("sum by (disk) (max by (disk, operation) (increase(pve_guest_disk_failed_operations_total{{{GUEST}}}[$__range])))")).steps(&[(1.0, WARNING)]),
    ];
    let nics = vec![
        label("nic", "Card"),
        label("model", "Model"),
        label("bridge", "Bridge"),
        label("vlan", "VLAN"),
        label("firewall", "Firewall"),
        base(&format!("max by (nic, model, bridge, vlan, firewall) (pve_guest_nic_info{{{GUEST}}})")),
    ];
    let of = |metric: &str| format!("max({metric}{{{GUEST}}})");
    let disk = |operation: &str| {
        format!(
            "max by (disk) (rate(pve_guest_disk_bytes_total{{{GUEST}, operation=\"{operation}\"}}[$__rate_interval]))"
        )
    };
    let card = |metric: &str| format!("max by (nic) (rate({metric}{{{GUEST}}}[$__rate_interval]))");
    Row {
        title: "Disks, network cards, snapshots",
        panels: vec![
            table("Disks", "What it was given, as Proxmox VE remembers it; 1 is yes. Failed reads and writes in the chosen time are told with guest_status.", disks).size(14, 6),
            table("Network cards", "What they are plugged into; 1 is yes.", nics).size(10, 6),
            stat("Snapshots", "How many it has; with the collector snapshot.", "short", &of("pve_guest_snapshots")).size(6, 4),
            stat("Oldest snapshot", "How long ago it was made.", "s", &format!("time() - max(pve_guest_snapshot_oldest_timestamp_seconds{{{GUEST}}})")).size(6, 4),
            stat("Changes that wait", "Settings that count from its next start on; with the collector guest_pending.", "short", &of("pve_guest_pending_changes")).steps(&[(1.0, WARNING)]).size(6, 4),
            stat("Runs in an old QEMU", "Whether its node has a newer QEMU than it was started in; with the collector guest_status.", "none", &of("pve_guest_qemu_outdated")).names(&[(0, "no", FINE), (1, "yes", WARNING)]).size(6, 4),
            series("Disks of a VM", "What it reads (up) and writes (down), by disk; with the collector guest_status.", "Bps")
                .query(&disk("read"), "{{disk}} reads").below(&disk("write"), "{{disk}} writes"),
            series("Network cards of a VM", "What it receives (up) and sends (down), by card; with the collector guest_status.", "Bps")
                .query(&card("pve_guest_nic_receive_bytes_total"), "{{nic}} receives").below(&card("pve_guest_nic_transmit_bytes_total"), "{{nic}} sends"),
            series("Pressure", "Share of the time in which some of it waited for a CPU, a disk or memory; with the collector guest_status, from Proxmox VE 9 on.", "percentunit")
                .query(&format!("max by (resource) (pve_guest_pressure_ratio{{{GUEST}, kind=\"some\"}})"), "{{resource}}").ratio().size(24, 6),
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
            series("Disk of a container", "How full the root file system of a container is; of VMs see above. The dashed line is where the alert begins.", "percentunit")
                .query(&format!("max(id:pve_disk:ratio{{{GUEST}}})"), "used")
                .query(&format!("max(id:pve_guest_disk:threshold{{{GUEST}}})"), "limit of the alert, by tag").ratio(),
            table("Replication", "Jobs that copy it to other nodes, and how they do.", replication).size(12, 8),
        ],
    }
}
