//! `[discovery]`: typed and checked.

use std::time::Duration;

use super::fault::{At, Report};
use super::reader::Reader;
use super::{units, words};
use crate::ids::Network;

/// Bounds of `interval`.
const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// `[discovery]`: its presence switches it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// `interval`: the guests of every cluster are read at least this often; default 5 min.
    pub interval: Duration,
    /// `prefer`: an address in the earliest of these networks is a guest's primary one; may be empty.
    pub prefer: Vec<Network>,
    /// `address_info`: whether `/metrics` tells the addresses of guests; default no.
    pub address_info: bool,
}

/// The table as typed.
pub(super) struct RawDiscovery<'t> {
    interval: Option<At<&'t str>>,
    prefer: Option<At<Vec<At<&'t str>>>>,
    address_info: Option<At<bool>>,
}

/// Reads the table.
pub(super) fn read<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawDiscovery<'t> {
    let interval = table.string("interval", "a duration such as \"5m\"", report);
    let prefer = table.strings("prefer", r#"["192.0.2.0/24"]"#, report);
    let address_info = table.boolean("address_info", report);
    table.close(report);
    RawDiscovery { interval, prefer, address_info }
}

/// Checks the table. `None` only after a fault was reported.
pub(super) fn check(raw: &RawDiscovery<'_>, report: &mut Report<'_>) -> Option<Discovery> {
    let interval = match &raw.interval {
        None => Some(Duration::from_mins(5)),
        Some(found) => units::duration(found.value).filter(|value| INTERVAL.contains(value)).or_else(|| {
            let shown = words::shown(found.value);
            report.fault(&found.place, format!("expected a duration from 1s to 1d, such as \"5m\", found {shown}"));
            None
        }),
    };
    let listed = raw.prefer.iter().flat_map(|list| &list.value);
    // Every network is checked, also after a bad one.
    let networks: Vec<Option<Network>> = listed.map(|found| network(found, report)).collect();
    let prefer = networks.into_iter().collect::<Option<Vec<Network>>>();
    let address_info = raw.address_info.as_ref().is_some_and(|found| found.value);
    Some(Discovery { interval: interval?, prefer: prefer?, address_info })
}

fn network(found: &At<&str>, report: &mut Report<'_>) -> Option<Network> {
    let read = Network::parse(found.value);
    let fault = |wrong: String| report.fault(&found.place, format!("{wrong}, found {}", words::shown(found.value)));
    read.map_err(fault).ok()
}
