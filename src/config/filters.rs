//! What `[collectors.host]` leaves out: regular expressions, typed and checked.

use regex_lite::Regex;

use super::fault::{At, Report};
use super::reader::Reader;
use super::words;

/// `[collectors.host]`; what is absent is left out as by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFilters {
    /// Block devices by name.
    pub disks: Option<NameFilter>,
    /// Network devices by name.
    pub network_devices: Option<NameFilter>,
    /// File systems by where they are mounted.
    pub mount_points: Option<NameFilter>,
    /// File systems by type.
    pub file_system_types: Option<NameFilter>,
}

/// What is told of, and what of that is not; one of them is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFilter {
    /// Only what it matches.
    pub include: Option<Pattern>,
    /// Nothing that it matches.
    pub exclude: Option<Pattern>,
}

/// A regular expression; equal ones are written alike.
#[derive(Debug, Clone)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// The tables of `[collectors.host]` as typed: `include` and `exclude` of each.
#[derive(Default)]
pub(super) struct RawFilters<'t>([Option<[Option<At<&'t str>>; 2]>; 4]);

/// The keys of the tables.
const KEYS: [&str; 4] = ["disks", "network_devices", "mount_points", "file_system_types"];

/// Reads the tables.
pub(super) fn read<'t>(table: &mut Reader<'t, '_>, report: &mut Report<'_>) -> RawFilters<'t> {
    RawFilters(KEYS.map(|key| {
        let mut filter = table.table(key, report)?;
        if !filter.has("include") && !filter.has("exclude") {
            report.fault(filter.place(), "expected include or exclude, found neither");
        }
        let expected = "a regular expression such as \"^sd\"";
        let read = ["include", "exclude"].map(|key| filter.string(key, expected, report));
        filter.close(report);
        Some(read)
    }))
}

/// Checks the tables. `None` only after a fault was reported.
pub(super) fn filters(raw: &RawFilters<'_>, report: &mut Report<'_>) -> Option<HostFilters> {
    // Every one is checked, also after a bad one.
    let [disks, network_devices, mount_points, file_system_types] = raw.0.each_ref().map(|raw| match raw {
        None => Some(None),
        Some(raw) => {
            let [include, exclude] = raw.each_ref().map(|raw| pattern(raw.as_ref(), report));
            Some(Some(NameFilter { include: include?, exclude: exclude? }))
        }
    });
    let (disks, network_devices) = (disks?, network_devices?);
    Some(HostFilters { disks, network_devices, mount_points: mount_points?, file_system_types: file_system_types? })
}

fn pattern(raw: Option<&At<&str>>, report: &mut Report<'_>) -> Option<Option<Pattern>> {
    let Some(found) = raw else { return Some(None) };
    match Regex::new(found.value) {
        Ok(regex) => Some(Some(Pattern(regex))),
        Err(error) => {
            let shown = words::shown(found.value);
            report.fault(&found.place, format!("expected a regular expression, found {shown}: {error}"));
            None
        }
    }
}
