//! `filefd`, `entropy`, `schedstat`: small tables of the kernel.
//! Try: `cat /proc/sys/fs/file-nr /proc/sys/kernel/random/entropy_avail; grep ^cpu /proc/schedstat`

use super::lines::{Probe, whole};
use super::sink::{Sink, counter, gauge, plain};
use crate::metrics::{Desc, Labels};

static ALLOCATED: Desc = gauge("node_filefd_allocated", "Open files of all processes.");
static MAXIMUM: Desc = gauge("node_filefd_maximum", "The most files that may be open.");
static ENTROPY: Desc = gauge("node_entropy_available_bits", "Randomness that the kernel has gathered.");
static POOL: Desc = gauge("node_entropy_pool_size_bits", "Randomness that the kernel can hold.");
static RUNNING: Desc = counter("node_schedstat_running_seconds_total", "Seconds that a CPU spent running threads.");
static WAITING: Desc = counter("node_schedstat_waiting_seconds_total", "Seconds that threads waited for a CPU.");
static SLICES: Desc = counter("node_schedstat_timeslices_total", "Turns that a CPU gave to threads.");

/// Open files.
pub(super) fn filefd(probe: &Probe, sink: &mut Sink) {
    const PATH: &str = "/proc/sys/fs/file-nr";
    let Some(line) = probe.value(PATH) else { return sink.missing(PATH) };
    let mut words = line.split_whitespace().map(whole);
    match (words.next().flatten(), words.nth(1).flatten()) {
        (Some(allocated), Some(maximum)) => {
            sink.put(&ALLOCATED, &plain(), allocated);
            sink.put(&MAXIMUM, &plain(), maximum);
        }
        _ => sink.malformed(PATH, line),
    }
}

/// Randomness.
pub(super) fn entropy(probe: &Probe, sink: &mut Sink) {
    for (path, desc) in
        [("/proc/sys/kernel/random/entropy_avail", &ENTROPY), ("/proc/sys/kernel/random/poolsize", &POOL)]
    {
        match probe.value(path).map(|text| (text, whole(text))) {
            Some((_, Some(value))) => sink.put(desc, &plain(), value),
            Some((text, None)) => sink.malformed(path, text),
            None => sink.missing(path),
        }
    }
}

/// Waiting for a CPU; kernels may be built without it.
pub(super) fn schedstat(probe: &Probe, sink: &mut Sink) {
    const PATH: &str = "/proc/schedstat";
    for line in probe.file(PATH) {
        let Some((cpu, figures)) = line.strip_prefix("cpu").and_then(|rest| rest.split_once(' ')) else { continue };
        let labels = Labels::new(&[("cpu", cpu)]);
        // The last three, in nanoseconds but for the count.
        let mut words = figures.split_whitespace().skip(6).map(whole);
        match (words.next().flatten(), words.next().flatten(), words.next().flatten()) {
            (Some(running), Some(waiting), Some(slices)) => {
                sink.put(&RUNNING, &labels, running / 1e9);
                sink.put(&WAITING, &labels, waiting / 1e9);
                sink.put(&SLICES, &labels, slices);
            }
            _ => sink.malformed(PATH, line),
        }
    }
}
