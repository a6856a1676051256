//! `pressure`: how long work waited for a resource. Try: `grep . /proc/pressure/*`
//!
//! Kernels without pressure stall information have none of it; `irq` is there since Linux 6.1.

use super::lines::{Probe, whole};
use super::sink::{Sink, counter, plain};
use crate::metrics::Desc;

/// File, kind of line, family. A whole machine without any CPU is no thing, so `full` of `cpu` is left out.
static LINES: [(&str, &str, Desc); 6] = [
    (
        "/proc/pressure/cpu",
        "some",
        counter("node_pressure_cpu_waiting_seconds_total", "Seconds in which some threads waited for a CPU."),
    ),
    (
        "/proc/pressure/io",
        "some",
        counter("node_pressure_io_waiting_seconds_total", "Seconds in which some threads waited for disks."),
    ),
    (
        "/proc/pressure/io",
        "full",
        counter(
            "node_pressure_io_stalled_seconds_total",
            "Seconds in which all threads that could run waited for disks.",
        ),
    ),
    (
        "/proc/pressure/memory",
        "some",
        counter("node_pressure_memory_waiting_seconds_total", "Seconds in which some threads waited for memory."),
    ),
    (
        "/proc/pressure/memory",
        "full",
        counter(
            "node_pressure_memory_stalled_seconds_total",
            "Seconds in which all threads that could run waited for memory.",
        ),
    ),
    (
        "/proc/pressure/irq",
        "full",
        counter(
            "node_pressure_irq_stalled_seconds_total",
            "Seconds in which interrupts kept all threads from running.",
        ),
    ),
];

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    for (path, kind, desc) in &LINES {
        for line in probe.file(path) {
            let Some(words) = line.strip_prefix(kind) else { continue };
            let total = words.split_whitespace().find_map(|word| word.strip_prefix("total="));
            match total.and_then(whole) {
                Some(microseconds) => sink.put(desc, &plain(), microseconds / 1e6),
                None => sink.malformed(path, line),
            }
        }
    }
}
