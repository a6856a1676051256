//! Errors and scrubs of ZFS pools. Try: `zpool status -p`
//!
//! The kernel's own files tell whether a pool is well (`node_zfs_zpool_state`), but not when it was last scrubbed.

use super::Frame;
use super::sink::{Sink, counter, gauge};
use crate::metrics::{Desc, Labels};

static ERRORS: Desc = counter(
    "pve_host_zpool_device_errors_total",
    "Errors of a device of a pool since they were last cleared; from zpool status.",
);
static DATA: Desc = gauge("pve_host_zpool_data_errors", "Files or blocks of a pool that are lost; from zpool status.");
static ONLINE: Desc =
    gauge("pve_host_zpool_device_online", "Whether a device of a pool is in use or ready to be; from zpool status.");
static SCRUBBED: Desc = gauge(
    "pve_host_zpool_scrub_timestamp_seconds",
    "Unix time at which the last scrub of a pool ended, 0 if there was none; from zpool status.",
);
static SCRUB_ERRORS: Desc =
    gauge("pve_host_zpool_scrub_errors", "Errors that the last scrub of a pool found; from zpool status.");
static SCANNING: Desc =
    gauge("pve_host_zpool_scanning", "Whether a scrub or resilver of a pool is under way; from zpool status.");

/// What an answer to `zpool` may bring.
pub const FAMILIES: &[&Desc] = &[&ERRORS, &DATA, &ONLINE, &SCRUBBED, &SCRUB_ERRORS, &SCANNING];

/// Where in the text we are.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Head,
    Devices,
}

/// Each pool of the answer.
pub(super) fn read(frame: &Frame, sink: &mut Sink) {
    let text = match frame.get("zpool") {
        Ok(text) => text,
        Err(gap) => return sink.trouble(format!("zpool status: {gap}")),
    };
    let (mut pool, mut place) = ("", Place::Head);
    for line in text.lines() {
        let (key, value) = line.trim_start().split_once(':').map_or(("", line), |(key, value)| (key, value.trim()));
        // Devices stand behind a tab; the heads of the other parts in the first ten columns.
        let head = !line.starts_with('\t') && !key.is_empty() && !key.contains(' ');
        match key {
            "pool" if head => (pool, place) = (value, Place::Head),
            "scan" if head => scan(pool, value, sink),
            "config" if head => place = Place::Devices,
            "errors" if head => {
                place = Place::Head;
                data_errors(pool, value, sink);
            }
            _ if place == Place::Devices => device(pool, line, sink),
            _ => {}
        }
    }
}

/// `scrub repaired 0B in 00:12:34 with 0 errors on Sun Nov  9 00:36:35 2025`, `scrub in progress since …`,
/// `resilvered 1.2G in … with 0 errors on …`, `none requested`
fn scan(pool: &str, said: &str, sink: &mut Sink) {
    let labels = Labels::new(&[("zpool", pool)]);
    sink.put(&SCANNING, &labels, f64::from(u8::from(said.contains("in progress"))));
    if said == "none requested" {
        sink.put(&SCRUBBED, &labels, 0.0);
    }
    // A resilver hides when the last scrub was: then that is not known.
    let Some(("scrub repaired", rest)) = said.match_indices(' ').nth(1).and_then(|(at, _)| said.split_at_checked(at))
    else {
        return;
    };
    let Some((_, rest)) = rest.split_once(" with ") else { return };
    let Some((errors, date)) = rest.split_once(" errors on ") else { return };
    sink.put(&SCRUB_ERRORS, &labels, errors.trim().parse::<u64>().ok().map(|errors| errors as f64));
    match unix_time(date) {
        Some(time) => sink.put(&SCRUBBED, &labels, time),
        None => sink.malformed("zpool status", said),
    }
}

/// `No known data errors`, `3 data errors, use '-v' for a list`, `Permanent errors have been detected …`
fn data_errors(pool: &str, said: &str, sink: &mut Sink) {
    let count =
        if said == "No known data errors" { Some(0.0) } else { said.split(' ').next().and_then(super::lines::whole) };
    sink.put(&DATA, &Labels::new(&[("zpool", pool)]), count);
}

/// `NAME STATE READ WRITE CKSUM`, a spare without figures.
fn device(pool: &str, line: &str, sink: &mut Sink) {
    let mut words = line.split_whitespace();
    let (Some(name), Some(state)) = (words.next(), words.next()) else { return };
    if name == "NAME" || !state.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return;
    }
    let labels = |kind| Labels::new(&[("zpool", pool), ("device", name), ("type", kind)]);
    let online = matches!(state, "ONLINE" | "AVAIL" | "INUSE");
    sink.put(&ONLINE, &Labels::new(&[("zpool", pool), ("device", name)]), f64::from(u8::from(online)));
    for kind in ["read", "write", "checksum"] {
        sink.put(&ERRORS, &labels(kind), words.next().and_then(super::lines::whole));
    }
}

/// `Sun Nov  9 00:36:35 2025`, which the probe asks for in UTC.
fn unix_time(date: &str) -> Option<f64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = date.split_whitespace().skip(1);
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let day: i64 = words.next()?.parse::<u8>().ok()?.into();
    let mut clock = words.next()?.splitn(3, ':').map(|part| part.parse::<u8>().ok().map(i64::from));
    let seconds = clock.next()?? * 3600 + clock.next()?? * 60 + clock.next()??;
    let year: i64 = words.next()?.parse::<u16>().ok()?.into();
    // Days since 1970, by years that begin in March: the leap day comes last then.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1;
    Some(((days - 719_468) * 86_400 + seconds) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (date, expected) in [
            ("Thu Jan  1 00:00:00 1970", Some(0.0)),
            ("Sun Nov  9 00:36:35 2025", Some(1_762_648_595.0)),
            ("Thu Feb 29 23:59:59 2024", Some(1_709_251_199.0)),
            ("Sun Foo  9 00:36:35 2025", None),
            ("Sun Nov  9 2025", None),
            ("", None),
        ] {
            assert_eq!(unix_time(date), expected, "{date}");
        }
    }
}
