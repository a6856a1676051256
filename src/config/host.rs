//! `[[hosts]]`: machines that are no PVE nodes.

use std::collections::HashSet;
use std::sync::Arc;

use super::check::Context;
use super::fault::{At, Place, Report};
use super::power::{self, RawPower, RawWake};
use super::reader::Reader;
use super::service::{self, RawService};
use super::ssh_check::{self, Defaults};
use super::ssh_raw::{self, RawSsh};
use super::{Cluster, Host, words};
use crate::ids::SshAddress;

/// The longest id, in bytes.
const LONGEST: usize = 64;

/// One of `[[hosts]]`, as typed.
pub(super) struct RawHost<'t> {
    id: Option<At<&'t str>>,
    name: Option<At<&'t str>>,
    hostname: Option<At<&'t str>>,
    /// Whether it is asked over SSH.
    asks: Option<At<bool>>,
    ssh: RawSsh<'t>,
    /// The first key of SSH, known or not.
    ssh_key: Option<(&'t str, Place)>,
    services: Vec<RawService<'t>>,
    /// What is no service was told already.
    has_services: bool,
    /// `control`.
    power: Option<RawPower<'t>>,
    wake: RawWake<'t>,
}

impl<'t> RawHost<'t> {
    /// By what it may be switched.
    pub(super) fn acting(&self) -> (Option<&RawPower<'t>>, &RawWake<'t>) {
        (self.power.as_ref(), &self.wake)
    }
}

/// Reads `[[hosts]]`.
pub(super) fn read<'t>(root: &mut Reader<'t, '_>, report: &mut Report<'_>) -> Vec<RawHost<'t>> {
    // An empty one is how a configuration begins that has nothing to serve yet.
    root.tables_or_none("hosts", report).into_iter().map(|table| read_host(table, report)).collect()
}

fn read_host<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawHost<'t> {
    table.require("id", "an id, such as \"nas\"", report);
    table.require("hostname", "a name or an IP address, such as \"nas.example.com\"", report);
    let host = RawHost {
        id: table.string("id", "an id such as \"nas\"", report),
        name: table.string("name", "a name such as \"NAS\"", report),
        hostname: table.string("hostname", "a name or an IP address such as \"nas.example.com\"", report),
        asks: table.boolean("ssh", report),
        ssh: ssh_raw::read_host(&mut table, report),
        ssh_key: table.first_with("ssh_"),
        has_services: table.has("services"),
        services: service::read(&mut table, report),
        power: power::read(&mut table, report),
        wake: power::read_wake(&mut table, report),
    };
    table.close(report);
    host
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

/// Reports hosts that are called as nodes are.
pub(super) fn apart(raw: &[RawHost<'_>], clusters: &[Cluster], report: &mut Report<'_>) {
    for found in raw.iter().filter_map(|raw| raw.id.as_ref()) {
        let nodes = |cluster: &Cluster| {
            let node = found.value.strip_prefix(cluster.name.as_str())?.strip_prefix('-')?;
            cluster.ssh.as_ref()?.addresses.contains_key(node).then(|| format!("{node} of {}", cluster.name))
        };
        if let Some(node) = clusters.iter().find_map(nodes) {
            let shown = words::shown(found.value);
            report
                .fault(&found.place, format!("expected an id of its own, found {shown}, which is that of node {node}"));
        }
    }
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
    let services = service::services(&raw.services, &mut context.report);
    let ssh = if asks(raw, defaults?, &mut context.report)? {
        Some(Arc::new(ssh_check::settings(&raw.ssh, defaults?, context)?))
    } else {
        None
    };
    let power = match &raw.power {
        None => None,
        Some(power) => Some(Arc::new(power::power(power, (&raw.ssh, defaults?), ssh.as_deref(), context)?)),
    };
    let wake = power::wakes(&raw.wake, &mut context.report)?.into_values().next();
    Some(Host { id: id?, name: name?, address: address?, ssh, services: services?, power, wake })
}

/// Whether the host is asked over SSH: where anything is said of SSH, and where there is nothing else to do. `None` only
/// after a fault was reported.
fn asks(raw: &RawHost<'_>, defaults: &Defaults<'_, '_>, report: &mut Report<'_>) -> Option<bool> {
    match (&raw.asks, &raw.ssh_key) {
        (Some(At { value: false, .. }), Some((key, place))) => {
            report.fault(place, format!("expected no keys of ssh where ssh = false, found {key}; remove one of them"));
            None
        }
        (Some(At { value: false, place }), None) if !raw.has_services => {
            report
                .fault(place, "expected services where ssh = false, found none: there is nothing to tell of the host");
            None
        }
        (Some(told), _) => Some(told.value),
        (None, key) => Some(key.is_some() || defaults.are_said() || !raw.has_services),
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
