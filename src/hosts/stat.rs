//! `cpu` and `stat`: /proc/stat. Try: `cat /proc/stat`

use super::lines::{Probe, whole};
use super::sink::{Sink, counter, gauge, plain};
use crate::metrics::{Desc, Labels};

const PATH: &str = "/proc/stat";
/// The kernel counts in hundredths of a second on every architecture that Proxmox VE or Debian runs on.
const TICKS: f64 = 100.0;

static CPU: Desc = counter("node_cpu_seconds_total", "Seconds that a CPU spent in each mode.");
static GUEST: Desc = counter(
    "node_cpu_guest_seconds_total",
    "Seconds that a CPU spent running guests; they are in node_cpu_seconds_total too.",
);
static INTERRUPTS: Desc = counter("node_intr_total", "Interrupts serviced.");
static SWITCHES: Desc = counter("node_context_switches_total", "Context switches.");
static FORKS: Desc = counter("node_forks_total", "Processes and threads started.");
static BOOT: Desc = gauge("node_boot_time_seconds", "Unix time of the boot.");
static RUNNING: Desc = gauge("node_procs_running", "Threads that run or wait for a CPU.");
static BLOCKED: Desc = gauge("node_procs_blocked", "Threads that wait for a disk.");

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];

/// Time of each CPU by mode.
pub(super) fn cpu(probe: &Probe, sink: &mut Sink) {
    let mut any = false;
    for line in probe.file(PATH) {
        let Some((name, times)) = line.split_once(' ') else { continue };
        let Some(number) = name.strip_prefix("cpu").filter(|number| number.parse::<u32>().is_ok()) else { continue };
        let mut times = times.split_whitespace();
        for mode in MODES {
            let seconds = times.next().and_then(whole).map(|ticks| ticks / TICKS);
            sink.put(&CPU, &Labels::new(&[("cpu", number), ("mode", mode)]), seconds);
            any |= seconds.is_some();
        }
        // Kernels before 2.6.33 do not know all of these.
        for (mode, ticks) in GUEST_MODES.iter().zip(times) {
            let seconds = whole(ticks).map(|ticks| ticks / TICKS);
            sink.put(&GUEST, &Labels::new(&[("cpu", number), ("mode", mode)]), seconds);
        }
    }
    if !any {
        sink.missing(PATH);
    }
}

/// The other lines.
pub(super) fn stat(probe: &Probe, sink: &mut Sink) {
    let mut any = false;
    for line in probe.file(PATH) {
        let mut words = line.split_whitespace();
        let desc = match words.next() {
            Some("intr") => &INTERRUPTS,
            Some("ctxt") => &SWITCHES,
            Some("processes") => &FORKS,
            Some("btime") => &BOOT,
            Some("procs_running") => &RUNNING,
            Some("procs_blocked") => &BLOCKED,
            _ => continue,
        };
        match words.next().and_then(whole) {
            Some(value) => sink.put(desc, &plain(), value),
            None => sink.malformed(PATH, line),
        }
        any = true;
    }
    if !any {
        sink.missing(PATH);
    }
}
