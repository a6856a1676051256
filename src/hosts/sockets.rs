//! `sockstat`, `softnet`, `conntrack`, `arp`: sockets and packets in the kernel's hands.
//! Try: `cat /proc/net/sockstat /proc/net/softnet_stat /proc/net/stat/nf_conntrack /proc/net/arp`

use std::collections::BTreeMap;

use super::lines::{Probe, integer, whole};
use super::sink::{Sink, counter, gauge, plain};
use crate::metrics::{Desc, Kind, Labels};

static PROCESSED: Desc = counter("node_softnet_processed_total", "Packets that a CPU took from network devices.");
static DROPPED: Desc = counter("node_softnet_dropped_total", "Packets that a CPU dropped because its queue was full.");
static SQUEEZED: Desc =
    counter("node_softnet_times_squeezed_total", "Times a CPU stopped taking packets before there were none left.");
static ENTRIES: Desc = gauge("node_nf_conntrack_entries", "Connections that the firewall tracks.");
static LIMIT: Desc = gauge("node_nf_conntrack_entries_limit", "Connections that the firewall can track.");
static ARP: Desc = gauge("node_arp_entries", "Neighbours known by their address, by device.");

/// Sums over all CPUs of what the connection tracking did.
static TRACKED: [(&str, Desc); 8] = [
    ("found", gauge("node_nf_conntrack_stat_found", "Tracked connections that were looked for and found.")),
    ("invalid", gauge("node_nf_conntrack_stat_invalid", "Packets that cannot be tracked.")),
    ("ignore", gauge("node_nf_conntrack_stat_ignore", "Packets of connections that were tracked already.")),
    ("insert", gauge("node_nf_conntrack_stat_insert", "Connections put into the table.")),
    (
        "insert_failed",
        gauge("node_nf_conntrack_stat_insert_failed", "Connections that could not be put into the table."),
    ),
    ("drop", gauge("node_nf_conntrack_stat_drop", "Packets dropped because tracking failed.")),
    ("early_drop", gauge("node_nf_conntrack_stat_early_drop", "Connections dropped from a full table.")),
    (
        "search_restart",
        gauge("node_nf_conntrack_stat_search_restart", "Searches begun again because the table was resized."),
    ),
];

/// Sockets by protocol and state.
pub(super) fn sockstat(probe: &Probe, sink: &mut Sink) {
    let page_size = probe.facts("page_size").next().and_then(whole);
    // The file for IPv6 is not there where that is off.
    for path in ["/proc/net/sockstat", "/proc/net/sockstat6"] {
        let mut any = path.ends_with('6');
        for line in probe.file(path) {
            let Some((protocol, pairs)) = line.split_once(':') else { continue };
            any = true;
            let mut words = pairs.split_whitespace();
            while let (Some(state), Some(figure)) = (words.next(), words.next()) {
                let Some(value) = integer(figure) else {
                    sink.malformed(path, line);
                    continue;
                };
                let mut put = |state: &str, value: f64| {
                    let help = format!("{state} of {protocol} in {path}.");
                    sink.put_made(
                        Desc { name: &format!("node_sockstat_{protocol}_{state}"), help: &help, kind: Kind::Gauge },
                        &plain(),
                        value,
                    );
                };
                put(state, value);
                if let ("mem", Some(page_size)) = (state, page_size) {
                    put("mem_bytes", value * page_size);
                }
            }
        }
        if !any {
            sink.missing(path);
        }
    }
}

/// Packets by CPU.
pub(super) fn softnet(probe: &Probe, sink: &mut Sink) {
    const PATH: &str = "/proc/net/softnet_stat";
    let mut any = false;
    for (index, line) in probe.file(PATH).enumerate() {
        any = true;
        let words: Vec<&str> = line.split_whitespace().collect();
        let column = |at: usize| words.get(at).and_then(|word| u32::from_str_radix(word, 16).ok());
        // Newer kernels say which CPU it is: those that are off have no line.
        let cpu = column(12).map_or_else(|| index.to_string(), |cpu| cpu.to_string());
        let labels = Labels::new(&[("cpu", &cpu)]);
        match (column(0), column(1), column(2)) {
            (Some(processed), Some(dropped), Some(squeezed)) => {
                sink.put(&PROCESSED, &labels, f64::from(processed));
                sink.put(&DROPPED, &labels, f64::from(dropped));
                sink.put(&SQUEEZED, &labels, f64::from(squeezed));
            }
            _ => sink.malformed(PATH, line),
        }
    }
    if !any {
        sink.missing(PATH);
    }
}

/// Nothing where no firewall is in use.
pub(super) fn conntrack(probe: &Probe, sink: &mut Sink) {
    const PATH: &str = "/proc/net/stat/nf_conntrack";
    for (path, desc) in
        [("/proc/sys/net/netfilter/nf_conntrack_count", &ENTRIES), ("/proc/sys/net/netfilter/nf_conntrack_max", &LIMIT)]
    {
        sink.put(desc, &plain(), probe.value(path).and_then(whole));
    }
    let mut lines = probe.file(PATH);
    let Some(names) = lines.next() else { return };
    let mut sums = BTreeMap::new();
    for line in lines {
        for (name, figure) in names.split_whitespace().zip(line.split_whitespace()) {
            match u32::from_str_radix(figure, 16) {
                Ok(value) => *sums.entry(name).or_insert(0_u64) += u64::from(value),
                Err(_) => sink.malformed(PATH, line),
            }
        }
    }
    for (name, desc) in &TRACKED {
        sink.put(desc, &plain(), sums.get(name).map(|sum| *sum as f64));
    }
}

/// Neighbours by device.
pub(super) fn arp(probe: &Probe, sink: &mut Sink) {
    let mut entries = BTreeMap::new();
    // The first line is a header, the last word of the others the device.
    for device in probe.file("/proc/net/arp").skip(1).filter_map(|line| line.split_whitespace().nth(5)) {
        *entries.entry(device).or_insert(0_u32) += 1;
    }
    for (device, count) in entries {
        sink.put(&ARP, &Labels::new(&[("device", device)]), f64::from(count));
    }
}
