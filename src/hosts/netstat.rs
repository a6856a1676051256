//! `netstat`: what the network protocols counted. Try: `cat /proc/net/netstat /proc/net/snmp /proc/net/snmp6`

use super::lines::{Probe, integer};
use super::sink::{Sink, plain};
use crate::metrics::{Desc, Kind};

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    for path in ["/proc/net/netstat", "/proc/net/snmp"] {
        let mut lines = probe.file(path).peekable();
        if lines.peek().is_none() {
            sink.missing(path);
        }
        // A line of names, then one of figures.
        while let (Some(names), Some(figures)) = (lines.next(), lines.next()) {
            match (names.split_once(':'), figures.split_once(':')) {
                (Some((protocol, names)), Some((same, figures))) if protocol == same => {
                    for (name, figure) in names.split_whitespace().zip(figures.split_whitespace()) {
                        put(sink, path, (protocol, name), figure);
                    }
                }
                _ => sink.malformed(path, figures),
            }
        }
    }
    // Not there where IPv6 is off.
    for line in probe.file("/proc/net/snmp6") {
        let mut words = line.split_whitespace();
        let (Some(name), Some(figure)) = (words.next(), words.next()) else { continue };
        if let Some(at) = name.find('6').and_then(|at| name.split_at_checked(at + 1)) {
            put(sink, "/proc/net/snmp6", at, figure);
        }
    }
}

fn put(sink: &mut Sink, path: &str, (protocol, field): (&str, &str), figure: &str) {
    if !wanted(protocol, field) {
        return;
    }
    match integer(figure) {
        Some(value) => {
            let help = format!("{field} of {protocol} in {path}.");
            sink.put_made(
                Desc { name: &format!("node_netstat_{protocol}_{field}"), help: &help, kind: Kind::Untyped },
                &plain(),
                value,
            );
        }
        None => sink.malformed(path, figure),
    }
}

/// node_exporter's choice, that of its newer releases included.
fn wanted(protocol: &str, field: &str) -> bool {
    match (protocol, field) {
        (_, "InErrors" | "InErrs")
        | ("Ip", "Forwarding")
        | ("Ip6" | "IpExt", "InOctets" | "OutOctets")
        | ("Icmp" | "Icmp6", "InMsgs" | "OutMsgs")
        | ("TcpExt", "TCPSynRetrans" | "TCPTimeouts" | "TCPOFOQueue" | "TCPRcvQDrop")
        | ("Tcp", "ActiveOpens" | "InSegs" | "OutSegs" | "OutRsts" | "PassiveOpens" | "RetransSegs" | "CurrEstab")
        | ("Udp" | "Udp6", "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors") => true,
        ("TcpExt", field) => field.starts_with("Listen") || field.starts_with("Syncookies"),
        _ => false,
    }
}
