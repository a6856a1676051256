//! `filesystem`: sizes of what is mounted. Try: `stat -f /`
//!
//! The probe leaves out what may never answer (network, cluster and FUSE file systems) and what has no size.

use std::collections::HashMap;

use super::lines::{Probe, whole};
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

static SIZE: Desc = gauge("node_filesystem_size_bytes", "Size of a file system.");
static FREE: Desc = gauge("node_filesystem_free_bytes", "Free bytes, those kept for root included.");
static AVAILABLE: Desc = gauge("node_filesystem_avail_bytes", "Free bytes for users.");
static FILES: Desc = gauge("node_filesystem_files", "Files that a file system can hold.");
static FILES_FREE: Desc = gauge("node_filesystem_files_free", "Files that can still be made.");
static READ_ONLY: Desc = gauge("node_filesystem_readonly", "Whether a file system is mounted read-only.");
static ERROR: Desc = gauge("node_filesystem_device_error", "Whether the size of a file system could not be had.");

#[derive(Debug, Default, Clone, Copy)]
struct Sizes {
    size: Option<f64>,
    free: Option<f64>,
    available: Option<f64>,
    files: Option<f64>,
    files_free: Option<f64>,
}

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let (mounts, sizes) = match (probe.section("mounts"), sizes(probe)) {
        (Ok(mounts), Ok(sizes)) => (mounts, sizes),
        (Err(gap), _) | (_, Err(gap)) => return sink.trouble(format!("file systems: {gap}")),
    };
    for line in mounts.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (Some(device), Some(point), Some(kind), Some(flags)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            sink.malformed("/proc/self/mounts", line);
            continue;
        };
        let (device, point) = (plain_text(device), plain_text(point));
        if !probe.options.mount_points.keeps(&point) || !probe.options.file_system_types.keeps(kind) {
            continue;
        }
        let labels = Labels::new(&[("device", &device), ("fstype", kind), ("mountpoint", &point)]);
        let told = sizes.get(point.as_str()).copied();
        sink.put(&ERROR, &labels, f64::from(u8::from(told.is_none())));
        let told = told.unwrap_or_default();
        sink.put(&SIZE, &labels, told.size);
        sink.put(&FREE, &labels, told.free);
        sink.put(&AVAILABLE, &labels, told.available);
        sink.put(&FILES, &labels, told.files);
        sink.put(&FILES_FREE, &labels, told.files_free);
        sink.put(&READ_ONLY, &labels, f64::from(u8::from(flags.split(',').any(|flag| flag == "ro"))));
    }
}

/// By mount point.
fn sizes<'a>(probe: &Probe<'a>) -> Result<HashMap<&'a str, Sizes>, super::frame::Gap> {
    let of_stat = probe.section("statfs")?.lines().filter_map(of_stat);
    let of_df = probe.section("df")?.lines().filter_map(of_df);
    Ok(of_stat.chain(of_df).collect())
}

/// `BLOCK_SIZE BLOCKS FREE AVAILABLE FILES FILES_FREE MOUNT POINT`
fn of_stat(line: &str) -> Option<(&str, Sizes)> {
    let mut words = line.splitn(7, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let block = number()?;
    let mut bytes = || number().map(|blocks| blocks.saturating_mul(block) as f64);
    let (size, free, available) = (bytes()?, bytes()?, bytes()?);
    let (files, files_free) = (number()? as f64, number()? as f64);
    let sizes = Sizes {
        size: Some(size),
        free: Some(free),
        available: Some(available),
        files: Some(files),
        files_free: Some(files_free),
    };
    Some((words.next()?, sizes))
}

/// `DEVICE KIB USED AVAILABLE PERCENT% MOUNT POINT`; the device may hold blanks, so the percent sign is the landmark.
fn of_df(line: &str) -> Option<(&str, Sizes)> {
    let (before, point) = line.split_once("% /")?;
    let point = line.get(line.len() - point.len() - 1..)?;
    let mut words = before.split_whitespace().rev().skip(1);
    let mut bytes = || words.next().and_then(whole).map(|kib| kib * 1024.0);
    let (available, used, size) = (bytes()?, bytes()?, bytes()?);
    let sizes = Sizes { size: Some(size), free: Some(size - used), available: Some(available), ..Sizes::default() };
    Some((point, sizes))
}

/// Without the octal escapes of blanks and backslashes.
fn plain_text(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        rest = match code {
            Some(code) => {
                text.push(char::from(code));
                after.get(3..).unwrap_or_default()
            }
            None => {
                text.push('\\');
                after
            }
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_mount_points() {
        for (word, text) in [
            ("/", "/"),
            (r"/mnt/my\040disk", "/mnt/my disk"),
            (r"/a\134b\011c", "/a\\b\tc"),
            (r"/a\", "/a\\"),
            (r"/a\9é", "/a\\9é"),
            (r"/a\777", r"/a\777"),
        ] {
            assert_eq!(plain_text(word), text, "{word}");
        }
    }

    #[test]
    fn df_where_stat_knows_no_file_systems() {
        let (point, sizes) = of_df("/dev/my disk   1000   400    500  45% /mnt/my disk").unwrap();
        assert_eq!(point, "/mnt/my disk");
        assert_eq!((sizes.size, sizes.free, sizes.available), (Some(1_024_000.0), Some(614_400.0), Some(512_000.0)));
        assert!(of_df("Filesystem 1024-blocks Used Available Capacity Mounted on").is_none());
    }
}
