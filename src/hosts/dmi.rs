//! `dmi`: what the firmware says of the machine. Try: `grep -s . /sys/class/dmi/id/*`
//!
//! Serial numbers are for root's eyes; their labels are there only where the user may read them.

use super::lines::Probe;
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

static INFO: Desc = gauge("node_dmi_info", "The machine as its firmware describes it, always 1.");

const FILES: [&str; 19] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
];

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let get = |file: &str| probe.value(&format!("/sys/class/dmi/id/{file}"));
    let mut labels: Vec<(&str, &str)> = FILES.into_iter().filter_map(|file| Some((file, get(file)?))).collect();
    labels.extend(get("sys_vendor").map(|vendor| ("system_vendor", vendor)));
    // A machine without such firmware, or a container.
    if !labels.is_empty() {
        sink.put(&INFO, &Labels::new(&labels), 1.0);
    }
}
