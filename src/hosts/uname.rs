//! `uname`. Try: `uname -a`

use super::lines::Probe;
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

static INFO: Desc = gauge("node_uname_info", "The kernel that runs, always 1.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let get = |file: &str| probe.value(&format!("/proc/sys/kernel/{file}"));
    let Some(release) = get("osrelease") else { return sink.missing("/proc/sys/kernel/osrelease") };
    let Some(machine) = probe.facts("machine").next() else { return sink.missing("uname -m") };
    let labels = [
        ("sysname", get("ostype").unwrap_or_default()),
        ("release", release),
        ("version", get("version").unwrap_or_default()),
        ("machine", machine),
        ("nodename", get("hostname").unwrap_or_default()),
        ("domainname", get("domainname").unwrap_or_default()),
    ];
    sink.put(&INFO, &Labels::new(&labels), 1.0);
}
