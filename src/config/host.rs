//! `[[hosts]]`: machines that are no PVE nodes, or that are to be woken.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::check::Context;
use super::fault::{At, Place, Report};
use super::reader::Reader;
use super::ssh_check::{self, Defaults};
use super::ssh_raw::{self, RawSsh};
use super::{Host, Service, ServiceKind, words};
use crate::ids::SshAddress;

/// The longest id, in bytes.
const LONGEST: usize = 64;

/// The port of the magic packet.
const WAKE_PORT: u16 = 9;

/// The words for the types of services.
const KINDS: [(&str, ServiceKind); 4] =
    [("tcp", ServiceKind::Tcp), ("http", ServiceKind::Http), ("https", ServiceKind::Https), ("ssh", ServiceKind::Ssh)];

/// One of `[[hosts]]`, as typed.
pub(super) struct RawHost<'t> {
    id: Option<At<&'t str>>,
    name: Option<At<&'t str>>,
    hostname: Option<At<&'t str>>,
    mac_address: Option<At<&'t str>>,
    wake_address: Option<At<&'t str>>,
    ssh: RawSsh<'t>,
    services: Vec<RawService<'t>>,
}

struct RawService<'t> {
    place: Place,
    name: Option<At<&'t str>>,
    port: Option<At<u16>>,
    kind: Option<At<&'t str>>,
}

/// Reads `[[hosts]]`.
pub(super) fn read<'t>(root: &mut Reader<'t, '_>, report: &mut Report<'_>) -> Vec<RawHost<'t>> {
    root.tables("hosts", report).into_iter().map(|table| read_host(table, report)).collect()
}

fn read_host<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawHost<'t> {
    table.require("id", "an id, such as \"nas\"", report);
    table.require("hostname", "a name or an IP address, such as \"nas.example.com\"", report);
    let host = RawHost {
        id: table.string("id", "an id such as \"nas\"", report),
        name: table.string("name", "a name such as \"NAS\"", report),
        hostname: table.string("hostname", "a name or an IP address such as \"nas.example.com\"", report),
        mac_address: table.string("mac_address", "a MAC address such as \"aa:bb:cc:dd:ee:ff\"", report),
        wake_address: table.string("wake_address", "an address such as \"192.0.2.255:9\"", report),
        ssh: ssh_raw::read_host(&mut table, report),
        services: table.tables("services", report).into_iter().map(|table| read_service(table, report)).collect(),
    };
    table.close(report);
    host
}

fn read_service<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawService<'t> {
    table.require("name", "a name, such as \"Web UI\"", report);
    table.require("port", "a port, such as 443", report);
    let service = RawService {
        place: table.place().clone(),
        name: table.string("name", "a name such as \"Web UI\"", report),
        port: table.port("port", report),
        kind: table.string("type", "tcp, http, https or ssh", report),
    };
    table.close(report);
    service
}

/// Checks `[[hosts]]`. `None` only after a fault was reported.
pub(super) fn hosts(
    raw: &[RawHost<'_>],
    defaults: Option<&Defaults<'_, '_>>,
    context: &mut Context<'_>,
) -> Option<Vec<Host>> {
    let mut ids = HashSet::new();
    // Every host is checked, also after a bad one.
    let hosts: Vec<Option<Host>> = raw.iter().map(|raw| host(raw, defaults, &mut ids, context)).collect();
    hosts.into_iter().collect()
}

fn host<'t>(
    raw: &RawHost<'t>,
    defaults: Option<&Defaults<'_, '_>>,
    ids: &mut HashSet<&'t str>,
    context: &mut Context<'_>,
) -> Option<Host> {
    let id = raw.id.as_ref().and_then(|found| id(found, ids, &mut context.report));
    let name = match &raw.name {
        None => id.clone(),
        Some(found) => name(found, &mut context.report),
    };
    let port = defaults.map_or(22, |defaults| ssh_check::port(&raw.ssh, defaults));
    let address = raw.hostname.as_ref().and_then(|found| {
        SshAddress::new(found.value, port).map_err(|wrong| context.report.fault(&found.place, wrong)).ok()
    });
    let mac_address = optional(raw.mac_address.as_ref(), |found| mac_address(found, &mut context.report));
    let wake_address = optional(raw.wake_address.as_ref(), |found| wake_address(found, &mut context.report));
    let services: Vec<Option<Service>> = raw.services.iter().map(|raw| service(raw, &mut context.report)).collect();
    let ssh = match defaults.filter(|_| raw.ssh.is_given) {
        None => None,
        Some(defaults) => Some(Arc::new(ssh_check::settings(&raw.ssh, defaults, context)?)),
    };
    Some(Host {
        id: id?,
        name: name?,
        address: address?,
        mac_address: mac_address?,
        wake_address: wake_address?.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), WAKE_PORT)),
        ssh,
        services: services.into_iter().collect::<Option<Vec<_>>>()?,
    })
}

/// `Some(None)` for what was not said, `None` after a fault.
fn optional<'t, T>(raw: Option<&At<&'t str>>, check: impl FnOnce(&At<&'t str>) -> Option<T>) -> Option<Option<T>> {
    match raw {
        None => Some(None),
        Some(found) => check(found).map(Some),
    }
}

fn id<'t>(found: &At<&'t str>, ids: &mut HashSet<&'t str>, report: &mut Report<'_>) -> Option<String> {
    let id = found.value;
    let is_id = (1..=LONGEST).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let wrong = if !is_id {
        format!("expected an id of letters, digits, \"-\", \"_\" and \".\" such as \"nas\", found {}", words::shown(id))
    } else if !ids.insert(id) {
        format!("expected an id of its own for each host, found {} again", words::shown(id))
    } else {
        return Some(id.to_owned());
    };
    report.fault(&found.place, wrong);
    None
}

fn name(found: &At<&str>, report: &mut Report<'_>) -> Option<String> {
    let name = found.value.trim();
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        report.fault(&found.place, "expected a name of 1 to 128 bytes on one line, found another text");
        return None;
    }
    Some(name.to_owned())
}

fn mac_address(found: &At<&str>, report: &mut Report<'_>) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = found
        .value
        .split(['-', ':'])
        .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2 && !byte.starts_with('+')))
        .collect();
    let address = bytes.and_then(|bytes| bytes.try_into().ok());
    if address.is_none() {
        let shown = words::shown(found.value);
        report.fault(&found.place, format!("expected a MAC address such as \"aa:bb:cc:dd:ee:ff\", found {shown}"));
    }
    address
}

fn wake_address(found: &At<&str>, report: &mut Report<'_>) -> Option<SocketAddr> {
    let bare = || found.value.parse::<IpAddr>().map(|address| SocketAddr::new(address, WAKE_PORT));
    let address = found.value.parse::<SocketAddr>().or_else(|_| bare()).ok().filter(|address| address.port() != 0);
    if address.is_none() {
        let shown = words::shown(found.value);
        report.fault(&found.place, format!("expected an IP address such as \"192.0.2.255:9\", found {shown}"));
    }
    address
}

fn service(raw: &RawService<'_>, report: &mut Report<'_>) -> Option<Service> {
    let service_name = raw.name.as_ref().and_then(|found| name(found, report));
    let kind = match &raw.kind {
        None => {
            let place = Place { key: format!("{}.type", raw.place.key), ..raw.place.clone() };
            report.fault(&place, "expected tcp, http, https or ssh, found none");
            None
        }
        Some(found) => {
            let kind = KINDS.into_iter().find(|(word, _)| *word == found.value).map(|(_, kind)| kind);
            if kind.is_none() {
                let words = KINDS.map(|(word, _)| word);
                let near = words::nearest(found.value, &words).map(|near| format!("; did you mean {near}?"));
                let (shown, near) = (words::shown(found.value), near.unwrap_or_default());
                report.fault(&found.place, format!("expected tcp, http, https or ssh, found {shown}{near}"));
            }
            kind
        }
    };
    Some(Service { name: service_name?, port: raw.port.as_ref()?.value, kind: kind? })
}
