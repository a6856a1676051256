//! `[discovery]`: typed and checked.

use std::time::Duration;

use super::fault::{At, Report};
use super::reader::Reader;
use super::service::{self, RawService};
use super::{Service, units, words};
use crate::ids::{GuestSelection, Network};

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
    /// `[[discovery.services]]`: what is checked of guests that run; may be empty.
    pub services: Vec<GuestService>,
}

/// One of `[[discovery.services]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestService {
    /// `guests`: whose service it is.
    pub guests: GuestSelection,
    /// What is checked.
    pub service: Service,
}

/// The table as typed.
pub(super) struct RawDiscovery<'t> {
    interval: Option<At<&'t str>>,
    prefer: Option<At<Vec<At<&'t str>>>>,
    address_info: Option<At<bool>>,
    services: Vec<RawGuestService<'t>>,
}

/// One of `services`.
struct RawGuestService<'t> {
    guests: Option<At<Vec<At<&'t str>>>>,
    service: RawService<'t>,
}

/// Reads the table.
pub(super) fn read<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawDiscovery<'t> {
    let interval = table.string("interval", "a duration such as \"5m\"", report);
    let prefer = table.strings("prefer", r#"["192.0.2.0/24"]"#, report);
    let address_info = table.boolean("address_info", report);
    let services = table.short_tables("services", r#"[{ guests = ["tag:web"], port = 443, type = "https" }]"#, report);
    let services = services.into_iter().map(|table| read_service(table, report)).collect();
    table.close(report);
    RawDiscovery { interval, prefer, address_info, services }
}

fn read_service<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawGuestService<'t> {
    table.require("guests", "whose service it is, such as [\"tag:web\"]", report);
    let guests = table.strings("guests", r#"["tag:web", "100-199"]"#, report);
    RawGuestService { guests, service: service::read_one(table, report) }
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
    let services = services(&raw.services, report);
    Some(Discovery { interval: interval?, prefer: prefer?, address_info, services: services? })
}

/// `None` only after a fault was reported.
fn services(raw: &[RawGuestService<'_>], report: &mut Report<'_>) -> Option<Vec<GuestService>> {
    let asked: Vec<Option<GuestSelection>> = raw.iter().map(|raw| selection(raw.guests.as_ref()?, report)).collect();
    // Two of one name, port and type would be the same series where a guest is meant by both.
    let checked = service::checked(raw.iter().map(|raw| &raw.service), report)?;
    let asked = asked.into_iter().collect::<Option<Vec<GuestSelection>>>()?;
    Some(asked.into_iter().zip(checked).map(|(guests, service)| GuestService { guests, service }).collect())
}

fn selection(found: &At<Vec<At<&str>>>, report: &mut Report<'_>) -> Option<GuestSelection> {
    let mut well = true;
    for selector in &found.value {
        if let Err(wrong) = GuestSelection::parse([selector.value]) {
            report.fault(&selector.place, wrong);
            well = false;
        }
    }
    if found.value.is_empty() {
        report.fault(&found.place, "expected at least one selector such as tag:web, found none".to_owned());
        return None;
    }
    GuestSelection::parse(found.value.iter().map(|selector| selector.value)).ok().filter(|_| well)
}

fn network(found: &At<&str>, report: &mut Report<'_>) -> Option<Network> {
    let read = Network::parse(found.value);
    let fault = |wrong: String| report.fault(&found.place, format!("{wrong}, found {}", words::shown(found.value)));
    read.map_err(fault).ok()
}
