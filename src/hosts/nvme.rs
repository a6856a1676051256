//! `nvme`: which NVMe disks there are. Try: `grep -s . /sys/class/nvme/*/{model,serial,firmware_rev,state}`

use super::lines::Probe;
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

static INFO: Desc = gauge("node_nvme_info", "What an NVMe disk is, always 1.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    for disk in probe.things("/sys/class/nvme/") {
        let get = |file| disk.get(file).unwrap_or_default();
        let labels = [
            ("device", disk.name),
            ("firmware_revision", get("firmware_rev")),
            ("model", get("model")),
            ("serial", get("serial")),
            ("state", get("state")),
        ];
        sink.put(&INFO, &Labels::new(&labels), 1.0);
    }
}
