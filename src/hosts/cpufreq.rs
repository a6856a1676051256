//! `cpufreq`: how fast CPUs run. Try: `grep -s . /sys/devices/system/cpu/cpu*/cpufreq/*`

use super::lines::{Probe, whole};
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

/// In kHz there.
static FILES: [(&str, Desc); 6] = [
    ("cpuinfo_cur_freq", gauge("node_cpu_frequency_hertz", "Frequency as the hardware says.")),
    ("cpuinfo_min_freq", gauge("node_cpu_frequency_min_hertz", "The lowest frequency of a CPU.")),
    ("cpuinfo_max_freq", gauge("node_cpu_frequency_max_hertz", "The highest frequency of a CPU.")),
    ("scaling_cur_freq", gauge("node_cpu_scaling_frequency_hertz", "Frequency as the kernel says.")),
    (
        "scaling_min_freq",
        gauge("node_cpu_scaling_frequency_min_hertz", "The lowest frequency that the kernel may choose."),
    ),
    (
        "scaling_max_freq",
        gauge("node_cpu_scaling_frequency_max_hertz", "The highest frequency that the kernel may choose."),
    ),
];
static GOVERNOR: Desc = gauge("node_cpu_scaling_governor", "Whether it is this that chooses the frequency.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    for folder in probe.things("/sys/devices/system/cpu/") {
        let Some(cpu) = folder.name.strip_prefix("cpu") else { continue };
        let labels = Labels::new(&[("cpu", cpu)]);
        for (file, desc) in &FILES {
            sink.put(desc, &labels, folder.get(&format!("cpufreq/{file}")).and_then(whole).map(|khz| khz * 1000.0));
        }
        let Some(chosen) = folder.get("cpufreq/scaling_governor") else { continue };
        let available = folder.get("cpufreq/scaling_available_governors").unwrap_or(chosen);
        for governor in available.split_whitespace() {
            let value = f64::from(u8::from(governor == chosen));
            sink.put(&GOVERNOR, &Labels::new(&[("cpu", cpu), ("governor", governor)]), value);
        }
    }
}
