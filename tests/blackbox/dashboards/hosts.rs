//! Hosts over SSH, in the words of node_exporter, and their services.

use super::grafana::{Dashboard, Row, Variable, bar, label, series, stat, table, value};
use super::{CRITICAL, FINE, Names, WARNING, any, bad, firing, limits};

const HOSTS: &str = "host=~\"$host\"";
const REAL: &str = "host=~\"$host\", fstype!~\"tmpfs|ramfs|squashfs|iso9660|vfat\"";
const REBOOT: Names = &[(0, "no", FINE), (1, "yes", WARNING)];
const REACHED: Names = &[(1, "yes", FINE), (0, "no", CRITICAL)];
const UP: Names = &[(1, "up", FINE), (0, "down", CRITICAL)];

pub fn dashboard() -> Dashboard {
    let host = Variable::Query {
        name: "host",
        label: "Host",
        query: "label_values({__name__=~\"pve_host_info|pve_host_up\"}, host)",
        many: true,
        regex: "",
    };
    Dashboard {
        name: "hosts",
        title: "Proxmox VE / Hosts",
        description: "Nodes and other machines that are read over SSH, and the services that are checked.",
        variables: vec![host],
        marks: "max by (alertname, host) (ALERTS{alertstate=\"firing\", alertname=~\"PVE(Host|Service|Certificate).+\", severity=~\"critical|warning\", host=~\"$host\"})",
        events: "",
        rows: vec![now(), load(), disks(), services()],
    }
}

fn by_host(expr: &str) -> String {
    format!("max by (host) ({expr})")
}

fn cpu() -> String {
    format!("1 - avg by (host) (rate(node_cpu_seconds_total{{{HOSTS}, mode=\"idle\"}}[$__rate_interval]))")
}

fn memory() -> String {
    by_host(&format!("1 - node_memory_MemAvailable_bytes{{{HOSTS}}} / node_memory_MemTotal_bytes"))
}

fn now() -> Row {
    let of = |metric: &str| by_host(&format!("{metric}{{{HOSTS}}}"));
    let file_systems = format!("1 - node_filesystem_avail_bytes{{{REAL}}} / (node_filesystem_size_bytes > 0)");
    let worst = format!(
        "topk(100, (1 - {}) * 10 + on (host) group_left () ({}) or (1 - {}) * 10)",
        of("pve_host_ssh_up"),
        cpu().replace("$__rate_interval", "5m"),
        of("pve_host_ssh_up")
    );
    let only = |expr: &str| format!("{expr} and on (host) {worst}");
    let columns = vec![
        label("host", "Host"),
        value("Reached", "none", &only(&of("pve_host_ssh_up"))).names(REACHED),
        bar("CPU", &only(&format!("({})", cpu()))).steps(&limits(&["node_cpu_ratio"])),
        value(
            "Load for each CPU",
            "short",
            &only(&format!(
                "{} / count by (host) (node_cpu_seconds_total{{{HOSTS}, mode=\"idle\"}})",
                of("node_load15")
            )),
        )
        .steps(&limits(&["node_load_per_cpu"])),
        bar("Memory", &only(&memory())).steps(&limits(&["node_memory_ratio"])),
        bar("Fullest file system", &only(&by_host(&file_systems))).steps(&limits(&["host_filesystem_ratio"])),
        value("Hottest", "celsius", &only(&of("node_hwmon_temp_celsius")))
            .steps(&limits(&["host_temperature_celsius"])),
        value("Clock is off by", "s", &only(&by_host(&format!("abs(pve_host_clock_offset_seconds{{{HOSTS}}})"))))
            .steps(&limits(&["host_clock_offset_seconds"])),
        value("Updates", "short", &only(&of("pve_host_package_updates_pending"))),
        value("of security", "short", &only(&of("pve_host_package_security_updates_pending"))).steps(&[(1.0, WARNING)]),
        value("Reboot needed", "none", &only(&of("pve_host_reboot_required"))).names(REBOOT),
        value("Up for", "s", &only(&by_host(&format!("node_time_seconds{{{HOSTS}}} - node_boot_time_seconds")))),
    ];
    Row {
        title: "Now",
        panels: vec![
            stat("Hosts over SSH", "Hosts that are chosen and read over SSH.", "short", &format!("count({})", of("pve_host_ssh_up"))),
            stat("Not reached", "Hosts that were not read over SSH the last time.", "short", &format!("count({} == 0) or vector(0)", of("pve_host_ssh_up"))).steps(&bad()),
            stat("Reboot needed", "Hosts on which an update waits for a restart.", "short", &format!("count({} == 1) or vector(0)", of("pve_host_reboot_required"))).steps(&any()),
            stat("Security updates", "Packages with security updates that apt would upgrade, on all hosts that are chosen.", "short", &format!("sum({})", of("pve_host_package_security_updates_pending"))).steps(&any()),
            stat("Services down", "Services that do not answer, on hosts that are chosen and on guests.", "short", "count(max by (cluster, host, guest, service, port, type) (pve_service_up{host=~\"$host|\"}) == 0) or vector(0)").steps(&bad()),
            stat("Memory killed", "Processes that were killed for want of memory in the chosen time.", "short", &format!("sum({})", by_host(&format!("increase(node_vmstat_oom_kill{{{HOSTS}}}[$__range])")))).steps(&any()),
            table("Hosts", "At most a hundred: those that are not reached, then those with most CPU. Choose one above to see it alone.", columns).sort("CPU", true),
            firing(HOSTS).size(24, 5),
        ],
    }
}

fn load() -> Row {
    let pressure = |what: &str| {
        format!(
            "topk(20, {})",
            by_host(&format!("rate(node_pressure_{what}_seconds_total{{{HOSTS}}}[$__rate_interval])"))
        )
    };
    let network = |metric: &str| {
        format!("topk(20, max by (host, device) (rate({metric}{{{HOSTS}, device!=\"lo\"}}[$__rate_interval])))")
    };
    let errors = format!(
        "topk(20, max by (host, device) (rate(node_network_receive_errs_total{{{HOSTS}}}[$__rate_interval]) + rate(node_network_transmit_errs_total{{{HOSTS}}}[$__rate_interval])))"
    );
    let hottest = format!("topk(20, max by (host, chip, sensor) (node_hwmon_temp_celsius{{{HOSTS}}}))");
    let modes = format!(
        "topk(20, sum by (mode) (rate(node_cpu_seconds_total{{{HOSTS}, mode!=\"idle\"}}[$__rate_interval])) / on () group_left () count(node_cpu_seconds_total{{{HOSTS}, mode=\"idle\"}}))"
    );
    Row {
        title: "Load",
        panels: vec![
            series("CPU", "Share of the time in which CPUs are not idle; the twenty busiest hosts at each time.", "percentunit")
                .query(&format!("topk(20, {})", cpu()), "{{host}}").limit("node_cpu_ratio").ratio().size(8, 8),
            series("CPU by what it does", "All CPUs of the hosts that are chosen together; the rest is idle.", "percentunit").query(&modes, "{{mode}}").stacked().ratio().size(8, 8),
            series("Memory", "Memory that is not available; the twenty fullest hosts at each time. The dashed line is where the alert of nodes begins.", "percentunit")
                .query(&format!("topk(20, {})", memory()), "{{host}}").limit("node_memory_ratio").ratio().size(8, 8),
            series("Pressure of CPU", "Share of the time in which some process waits for a CPU; the twenty worst hosts at each time.", "percentunit")
                .query(&pressure("cpu_waiting"), "{{host}}").size(8, 8),
            series("Pressure of memory", "Share of the time in which all processes wait for memory. The dashed line is where the alert begins.", "percentunit")
                .query(&pressure("memory_stalled"), "{{host}}").limit("host_pressure_ratio").size(8, 8),
            series("Pressure of disks", "Share of the time in which all processes wait for disks. The dashed line is where the alert begins.", "percentunit")
                .query(&pressure("io_stalled"), "{{host}}").limit("host_pressure_ratio").size(8, 8),
            series("Network", "What network cards receive (up) and send (down); the twenty busiest at each time.", "Bps")
                .query(&network("node_network_receive_bytes_total"), "{{host}} {{device}} receives").below(&network("node_network_transmit_bytes_total"), "{{host}} {{device}} sends").size(8, 8),
            series("Network errors", "Packets with errors, received and sent; the alert begins at one in a second.", "pps").query(&errors, "{{host}} {{device}}").size(8, 8),
            series("Temperatures", "What sensors tell, the twenty hottest. The dashed line is where the alert begins.", "celsius")
                .query(&hottest, "{{host}} {{chip}} {{sensor}}").limit("host_temperature_celsius").size(8, 8),
        ],
    }
}

fn disks() -> Row {
    let disk = |metric: &str| format!("topk(20, max by (host, device) (rate({metric}{{{HOSTS}}}[$__rate_interval])))");
    let used = format!(
        "topk(50, max by (host, mountpoint) (1 - node_filesystem_avail_bytes{{{REAL}}} / (node_filesystem_size_bytes > 0)))"
    );
    let only = |expr: &str| format!("{expr} and on (host, mountpoint) {used}");
    let inodes =
        format!("max by (host, mountpoint) (1 - node_filesystem_files_free{{{REAL}}} / (node_filesystem_files > 0))");
    let columns = vec![
        label("host", "Host"),
        label("mountpoint", "File system"),
        bar("Used", &used).steps(&limits(&["host_filesystem_ratio"])),
        value("Free", "bytes", &only(&format!("max by (host, mountpoint) (node_filesystem_avail_bytes{{{REAL}}})"))),
        bar("Inodes", &only(&inodes)).steps(&limits(&["host_filesystem_ratio"])),
    ];
    Row {
        title: "Disks",
        panels: vec![
            series(
                "Read and written",
                "What is read (up) and written (down); the twenty busiest disks at each time.",
                "Bps",
            )
            .query(&disk("node_disk_read_bytes_total"), "{{host}} {{device}} reads")
            .below(&disk("node_disk_written_bytes_total"), "{{host}} {{device}} writes")
            .size(8, 9),
            series(
                "Busy",
                "Share of the time in which a disk has something to do; the twenty busiest at each time.",
                "percentunit",
            )
            .query(&disk("node_disk_io_time_seconds_total"), "{{host}} {{device}}")
            .ratio()
            .size(8, 9),
            table("File systems", "The fifty fullest; a click on a heading sorts.", columns)
                .sort("Used", true)
                .size(8, 9),
        ],
    }
}

fn services() -> Row {
    let which = "host=~\"$host|\"";
    let labels = "host, guest, service, port, type";
    let of = |metric: &str| format!("max by ({labels}) ({metric}{{{which}}})");
    let columns = vec![
        label("host", "Host"),
        label("guest", "Guest"),
        label("service", "Service"),
        label("type", "Type"),
        label("port", "Port"),
        value("State", "none", &format!("bottomk(100, {})", of("pve_service_up"))).names(UP),
        value("Answers in", "s", &format!("topk(100, {})", of("pve_service_response_seconds")))
            .steps(&limits(&["service_seconds"])),
        value(
            "Certificate ends in",
            "s",
            &format!("bottomk(100, {} - time())", of("pve_service_certificate_not_after_timestamp_seconds")),
        )
        .steps(&[(-1e12, CRITICAL), (86400.0 * crate::alerts::threshold("certificate_days"), super::MUTED)]),
    ];
    Row {
        title: "Services",
        panels: vec![
            table("Services", "At most a hundred services of hosts and guests, those that are down first. Empty where none is configured.", columns).sort("State", false).size(14, 9),
            series("How fast services answer", "Time until the answer; the twenty slowest at each time. The dashed line is where the alert begins.", "s")
                .query(&format!("topk(20, {})", of("pve_service_response_seconds")), "{{host}}{{guest}} {{service}}").limit("service_seconds").size(10, 9),
        ],
    }
}
