//! What /proc says of this process, under the names that all exporters use.

use procfs::process::{LimitValue, Process, Stat};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Read anew for each page; what cannot be read is absent.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// Kept: the boot time that it is reckoned from moves when the clock is set, which would look like a restart.
    start_seconds: Option<f64>,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        Self { start_seconds: start_seconds() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let mut counter =
            |name, help, value: Option<f64>| write(&mut encoder, name, help, value.map(ConstCounter::new));
        let process = Process::myself().ok();
        let stat = process.as_ref().and_then(|process| process.stat().ok());
        counter(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            stat.as_ref().map(|stat| (stat.utime + stat.stime) as f64 / ticks()),
        )?;
        let mut gauge = |name, help, value: Option<u64>| write(&mut encoder, name, help, value.map(ConstGauge::new));
        gauge("process_max_fds", "Maximum number of open file descriptors.", process.as_ref().and_then(max_fds))?;
        gauge("process_open_fds", "Number of open file descriptors.", process.as_ref().and_then(open_fds))?;
        gauge("process_resident_memory_bytes", "Resident memory size in bytes.", stat.as_ref().map(resident))?;
        gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", stat.as_ref().map(|stat| stat.vsize))?;
        gauge(
            "process_threads",
            "Number of threads of the process.",
            stat.as_ref().and_then(|stat| u64::try_from(stat.num_threads).ok()),
        )?;
        write(
            &mut encoder,
            "process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds.",
            self.start_seconds.map(ConstGauge::new),
        )
    }
}

fn write<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    metric: Option<M>,
) -> std::fmt::Result {
    match metric {
        Some(metric) => metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?),
        None => Ok(()),
    }
}

fn start_seconds() -> Option<f64> {
    let stat = Process::myself().and_then(|process| process.stat()).ok()?;
    Some(procfs::boot_time_secs().ok()? as f64 + stat.starttime as f64 / ticks())
}

fn ticks() -> f64 {
    procfs::ticks_per_second() as f64
}

fn resident(stat: &Stat) -> u64 {
    stat.rss.saturating_mul(procfs::page_size())
}

fn open_fds(process: &Process) -> Option<u64> {
    process.fd_count().ok().and_then(|count| u64::try_from(count).ok())
}

fn max_fds(process: &Process) -> Option<u64> {
    match process.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(limit) => Some(limit),
        LimitValue::Unlimited => None,
    }
}
