//! `diskstats`: what block devices did, and what udev knows of them. Try: `cat /proc/diskstats`

use std::collections::HashMap;

use super::lines::Probe;
use super::sink::{Sink, counter, gauge};
use crate::metrics::{Desc, Labels};

const PATH: &str = "/proc/diskstats";
const SECTOR: u64 = 512;

/// The columns behind the name: what a unit of them is worth, as a factor and a divisor.
static COLUMNS: [(Desc, u64, f64); 17] = [
    (counter("node_disk_reads_completed_total", "Reads completed."), 1, 1.0),
    (counter("node_disk_reads_merged_total", "Reads merged into others."), 1, 1.0),
    (counter("node_disk_read_bytes_total", "Bytes read."), SECTOR, 1.0),
    (counter("node_disk_read_time_seconds_total", "Seconds spent by all reads."), 1, 1000.0),
    (counter("node_disk_writes_completed_total", "Writes completed."), 1, 1.0),
    (counter("node_disk_writes_merged_total", "Writes merged into others."), 1, 1.0),
    (counter("node_disk_written_bytes_total", "Bytes written."), SECTOR, 1.0),
    (counter("node_disk_write_time_seconds_total", "Seconds spent by all writes."), 1, 1000.0),
    (gauge("node_disk_io_now", "Requests in progress."), 1, 1.0),
    (counter("node_disk_io_time_seconds_total", "Seconds in which a request was in progress."), 1, 1000.0),
    (counter("node_disk_io_time_weighted_seconds_total", "Seconds spent by all requests."), 1, 1000.0),
    (counter("node_disk_discards_completed_total", "Discards completed."), 1, 1.0),
    (counter("node_disk_discards_merged_total", "Discards merged into others."), 1, 1.0),
    (counter("node_disk_discarded_sectors_total", "Sectors discarded."), 1, 1.0),
    (counter("node_disk_discard_time_seconds_total", "Seconds spent by all discards."), 1, 1000.0),
    (counter("node_disk_flush_requests_total", "Flushes completed."), 1, 1.0),
    (counter("node_disk_flush_requests_time_seconds_total", "Seconds spent by all flushes."), 1, 1000.0),
];

static INFO: Desc = gauge("node_disk_info", "What a block device is, always 1; from udev.");
static FILE_SYSTEM: Desc =
    gauge("node_disk_filesystem_info", "The file system on a block device, always 1; from udev.");
static MAPPER: Desc = gauge("node_disk_device_mapper_info", "What a mapped device is, always 1; from udev.");
static ROTATION: Desc = gauge(
    "node_disk_ata_rotation_rate_rpm",
    "Revolutions per minute of an ATA disk, 0 where nothing turns; from udev.",
);
static CACHE: Desc = gauge("node_disk_ata_write_cache", "Whether an ATA disk has a write cache; from udev.");
static CACHE_ENABLED: Desc =
    gauge("node_disk_ata_write_cache_enabled", "Whether the write cache of an ATA disk is on; from udev.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let mut any = false;
    // Without it the labels would be those of other disks.
    let udev = probe.section("udev");
    if let Err(gap) = &udev {
        sink.trouble(format!("/run/udev/data: {gap}"));
    }
    for line in probe.file(PATH) {
        any = true;
        let mut words = line.split_whitespace();
        let (Some(major), Some(minor), Some(device)) = (words.next(), words.next(), words.next()) else {
            sink.malformed(PATH, line);
            continue;
        };
        if !probe.options.disks.keeps(device) {
            continue;
        }
        let labels = Labels::new(&[("device", device)]);
        // Older kernels have fewer columns.
        for ((desc, factor, divisor), word) in COLUMNS.iter().zip(words) {
            match word.parse::<u64>() {
                Ok(number) => sink.put(desc, &labels, number.saturating_mul(*factor) as f64 / divisor),
                Err(_) => sink.malformed(PATH, line),
            }
        }
        if udev.is_ok() {
            identity(probe, sink, device, (major, minor));
        }
    }
    if !any {
        sink.missing(PATH);
    }
}

fn identity(probe: &Probe, sink: &mut Sink, device: &str, number: (&str, &str)) {
    let (major, minor) = number;
    let known: HashMap<&str, &str> =
        probe.file(&format!("/run/udev/data/b{major}:{minor}")).filter_map(|line| line.split_once('=')).collect();
    let get = |key: &str| known.get(key).copied().unwrap_or_default();
    let serial = if known.contains_key("SCSI_IDENT_SERIAL") { "SCSI_IDENT_SERIAL" } else { "ID_SERIAL_SHORT" };
    let labels = [
        ("device", device),
        ("major", major),
        ("minor", minor),
        ("path", get("ID_PATH")),
        ("wwn", get("ID_WWN")),
        ("model", get("ID_MODEL")),
        ("serial", get(serial)),
        ("revision", get("ID_REVISION")),
    ];
    sink.put(&INFO, &Labels::new(&labels), 1.0);
    if !get("ID_FS_USAGE").is_empty() {
        let labels = [
            ("device", device),
            ("type", get("ID_FS_TYPE")),
            ("usage", get("ID_FS_USAGE")),
            ("uuid", get("ID_FS_UUID")),
            ("version", get("ID_FS_VERSION")),
        ];
        sink.put(&FILE_SYSTEM, &Labels::new(&labels), 1.0);
    }
    if !get("DM_NAME").is_empty() {
        let labels = [
            ("device", device),
            ("name", get("DM_NAME")),
            ("uuid", get("DM_UUID")),
            ("vg_name", get("DM_VG_NAME")),
            ("lv_name", get("DM_LV_NAME")),
            ("lv_layer", get("DM_LV_LAYER")),
        ];
        sink.put(&MAPPER, &Labels::new(&labels), 1.0);
    }
    let ata = [
        ("ID_ATA_ROTATION_RATE_RPM", &ROTATION),
        ("ID_ATA_WRITE_CACHE", &CACHE),
        ("ID_ATA_WRITE_CACHE_ENABLED", &CACHE_ENABLED),
    ];
    for (key, desc) in ata {
        sink.put(desc, &Labels::new(&[("device", device)]), super::lines::whole(get(key)));
    }
}
