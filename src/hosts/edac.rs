//! `edac`: memory errors. Try: `grep -s . /sys/devices/system/edac/mc/mc*/*_count`

use super::lines::{Probe, whole};
use super::sink::{Sink, counter};
use crate::metrics::{Desc, Labels};

static CORRECTED: Desc = counter("node_edac_correctable_errors_total", "Memory errors that were corrected.");
static UNCORRECTED: Desc =
    counter("node_edac_uncorrectable_errors_total", "Memory errors that could not be corrected.");
static ROW_CORRECTED: Desc =
    counter("node_edac_csrow_correctable_errors_total", "Memory errors of a row that were corrected.");
static ROW_UNCORRECTED: Desc =
    counter("node_edac_csrow_uncorrectable_errors_total", "Memory errors of a row that could not be corrected.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    for folder in probe.things("/sys/devices/system/edac/mc/") {
        let Some(controller) = folder.name.strip_prefix("mc") else { continue };
        let labels = Labels::new(&[("controller", controller)]);
        let row = |row| Labels::new(&[("controller", controller), ("csrow", row)]);
        for (file, count) in folder.files() {
            let count = whole(count);
            match file.split_once('/') {
                None if file == "ce_count" => sink.put(&CORRECTED, &labels, count),
                None if file == "ue_count" => sink.put(&UNCORRECTED, &labels, count),
                // Errors of which nobody knows the row.
                None if file == "ce_noinfo_count" => sink.put(&ROW_CORRECTED, &row("unknown"), count),
                None if file == "ue_noinfo_count" => sink.put(&ROW_UNCORRECTED, &row("unknown"), count),
                Some((name, file)) => {
                    let Some(number) = name.strip_prefix("csrow") else { continue };
                    let desc = if file == "ce_count" { &ROW_CORRECTED } else { &ROW_UNCORRECTED };
                    sink.put(desc, &row(number), count);
                }
                None => {}
            }
        }
    }
}
