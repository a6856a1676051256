//! `meminfo`. Try: `cat /proc/meminfo`
//!
//! Kernels add lines: each becomes a family of its own.

use super::lines::{Probe, whole};
use super::sink::{Sink, plain};
use crate::metrics::{Desc, Kind};

const PATH: &str = "/proc/meminfo";

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let mut any = false;
    for line in probe.file(PATH) {
        let Some((key, figure)) = line.split_once(':') else { continue };
        let mut words = figure.split_whitespace();
        let Some(number) = words.next().and_then(whole) else {
            sink.malformed(PATH, line);
            continue;
        };
        // Active(anon) is node_memory_Active_anon_bytes.
        let key = key.trim_end_matches(')').replace('(', "_");
        let (suffix, value) = if words.next() == Some("kB") { ("_bytes", number * 1024.0) } else { ("", number) };
        let help = format!("{key} of /proc/meminfo.");
        sink.put_made(
            Desc { name: &format!("node_memory_{key}{suffix}"), help: &help, kind: Kind::Gauge },
            &plain(),
            value,
        );
        any = true;
    }
    if !any {
        sink.missing(PATH);
    }
}
