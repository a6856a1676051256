//! `control` of hosts and of `clusters.ssh`: who switches machines over SSH, and by which commands. `mac_address` and its
//! companions: who is woken, and how.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use toml::de::DeValue;

use super::check::Context;
use super::fault::{At, Place, Report};
use super::raw::RawConfig;
use super::reader::{Reader, wrong_type};
use super::ssh_check::{self, Defaults};
use super::ssh_raw::{self, RawSsh};
use super::{Cluster, Host, HostKeys, Power, Ssh, SshKeys, Wake, words};
use crate::ids::MacAddress;

/// Where the packet goes that wakes machines of this network.
const EVERYBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::BROADCAST), 9);

/// The longest command, in bytes.
const LONGEST: usize = 1000;

/// A table `control`, as typed.
pub(super) struct RawPower<'t> {
    ssh: RawSsh<'t>,
    suspend: Option<At<&'t str>>,
    shutdown: Option<At<&'t str>>,
    reboot: Option<At<&'t str>>,
}

/// Who is woken, as typed.
pub(super) struct RawWake<'t> {
    /// With the names of nodes; of hosts, it is one without a name.
    addresses: Vec<(&'t str, At<&'t str>)>,
    to: Option<At<&'t str>>,
}

/// Reads a table `control`.
pub(super) fn read<'t>(around: &mut Reader<'t, '_>, report: &mut Report<'_>) -> Option<RawPower<'t>> {
    let mut table = around.table("control", report)?;
    table.require("ssh_user", "a user of the host who may switch it, such as \"power\"", report);
    table.require("ssh_key_path", "the path of a private key of its own, which does not read", report);
    let ssh = ssh_raw::read_acting(&mut table, report);
    let power = RawPower {
        ssh,
        suspend: table.string("suspend", "a command such as \"systemctl suspend\"", report),
        shutdown: table.string("shutdown", "a command such as \"systemctl poweroff\"", report),
        reboot: table.string("reboot", "a command such as \"systemctl reboot\"", report),
    };
    table.close(report);
    Some(power)
}

/// Reads `mac_address` and `wake_address` of a host.
pub(super) fn read_wake<'t>(host: &mut Reader<'t, '_>, report: &mut Report<'_>) -> RawWake<'t> {
    let address = host.string("mac_address", "an address such as \"aa:bb:cc:dd:ee:ff\"", report);
    let to = read_to(host, "mac_address", report);
    RawWake { addresses: address.into_iter().map(|found| ("", found)).collect(), to }
}

/// Reads `mac_addresses` and `wake_address` of a cluster.
pub(super) fn read_wakes<'t>(cluster: &mut Reader<'t, '_>, report: &mut Report<'_>) -> RawWake<'t> {
    let mut addresses = Vec::new();
    for (node, entry) in cluster.table("mac_addresses", report).into_iter().flat_map(Reader::entries) {
        match entry.value {
            DeValue::String(text) => addresses.push((node, At { place: entry.place, value: text.as_ref() })),
            other => wrong_type(&entry.place, "an address such as \"aa:bb:cc:dd:ee:ff\", in quotes", other, report)
                .unwrap_or_default(),
        }
    }
    RawWake { addresses, to: read_to(cluster, "mac_addresses", report) }
}

fn read_to<'t>(table: &mut Reader<'t, '_>, needs: &str, report: &mut Report<'_>) -> Option<At<&'t str>> {
    let to = table.string("wake_address", "an address such as \"192.0.2.255:9\"", report)?;
    if !table.has(needs) {
        report.fault(&to.place, format!("expected {needs} beside it, whom the packet is to wake, found none"));
    }
    Some(to)
}

/// Checks a table `control`; `around` says where the host's keys are known from, and `reading` who reads there. `None` only
/// after a fault was reported.
pub(super) fn power(
    raw: &RawPower<'_>,
    (around, defaults): (&RawSsh<'_>, &Defaults<'_, '_>),
    reading: Option<&Ssh>,
    context: &mut Context<'_>,
) -> Option<Power> {
    let host_keys = match reading {
        Some(ssh) => Some(ssh.host_keys.clone()),
        None => ssh_check::host_keys(around, defaults, context),
    };
    let [suspend, shutdown, reboot] =
        [&raw.suspend, &raw.shutdown, &raw.reboot].map(|found| command(found.as_ref(), &mut context.report));
    let acting = acting(raw, host_keys, context)?;
    let place = &raw.ssh.place;
    if let (SshKeys::File(own), Some(Ssh { keys: SshKeys::File(other), .. })) = (&acting.keys, reading)
        && own.fingerprint() == other.fingerprint()
    {
        let message = "expected a key of its own in ssh_key_path, found that which reads; who reads must not be able to act";
        context.report.fault(place, message);
        return None;
    }
    let power = Power { ssh: Arc::new(acting), suspend: suspend?, shutdown: shutdown?, reboot: reboot? };
    if power.suspend.is_none() && power.shutdown.is_none() && power.reboot.is_none() {
        context.report.fault(place, "expected a command for at least one of suspend, shutdown and reboot, found none");
        return None;
    }
    Some(power)
}

fn acting(raw: &RawPower<'_>, host_keys: Option<HostKeys>, context: &mut Context<'_>) -> Option<Ssh> {
    // What is missing was told.
    if raw.ssh.user.is_none() || raw.ssh.key_file.is_none() {
        return None;
    }
    let (user, keys) = (ssh_check::user(&raw.ssh, context), ssh_check::own_keys(&raw.ssh, context));
    Some(Ssh { user: user?, keys: keys?, host_keys: host_keys? })
}

/// One line. `None` only after a fault was reported.
fn command(found: Option<&At<&str>>, report: &mut Report<'_>) -> Option<Option<String>> {
    let Some(found) = found else { return Some(None) };
    let line = found.value;
    if line.trim().is_empty() || line.len() > LONGEST || line.chars().any(char::is_control) {
        report.fault(&found.place, format!("expected a command of 1 to {LONGEST} bytes on one line, found another text"));
        return None;
    }
    Some(Some(line.to_owned()))
}

/// Checks who is woken. `None` only after a fault was reported.
pub(super) fn wakes(raw: &RawWake<'_>, report: &mut Report<'_>) -> Option<BTreeMap<String, Wake>> {
    let to = match &raw.to {
        None => Some(EVERYBODY),
        Some(found) => {
            let parsed = found.value.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
            if parsed.is_none() {
                let shown = words::shown(found.value);
                report.fault(
                    &found.place,
                    format!("expected an IP address and a port, such as \"192.0.2.255:9\", found {shown}"),
                );
            }
            parsed
        }
    };
    let mut wakes = BTreeMap::new();
    for (node, found) in &raw.addresses {
        match (MacAddress::parse(found.value), to) {
            (Some(mac), Some(to)) => drop(wakes.insert((*node).to_owned(), Wake { mac, to })),
            (Some(_), None) => {}
            (None, _) => {
                let shown = words::shown(found.value);
                report.fault(
                    &found.place,
                    format!("expected the address of one network card, such as \"aa:bb:cc:dd:ee:ff\", found {shown}"),
                );
            }
        }
    }
    (to.is_some() && wakes.len() == raw.addresses.len()).then_some(wakes)
}

/// Whether anything may be switched with this configuration.
pub(super) fn acts(clusters: &[Cluster], hosts: &[Host]) -> bool {
    let cluster = |cluster: &Cluster| {
        let over_ssh = cluster.ssh.as_ref().is_some_and(|ssh| ssh.power.is_some());
        cluster.control.is_some() || over_ssh || !cluster.wakes.is_empty()
    };
    clusters.iter().any(cluster) || hosts.iter().any(|host| host.power.is_some() || host.wake.is_some())
}

/// The first place, in the order of the file, by which something may be switched.
pub(super) fn first_place<'r>(raw: &'r RawConfig<'_>) -> Option<&'r Place> {
    fn of_wake<'r>(wake: &'r RawWake<'_>) -> impl Iterator<Item = &'r Place> {
        wake.addresses.iter().map(|(_, found)| &found.place)
    }
    let of_power = |power: &'r RawPower<'_>| &power.ssh.place;
    let clusters = raw.clusters.iter().flat_map(move |cluster| {
        let over_ssh = cluster.ssh.as_ref().and_then(|ssh| ssh.power.as_deref());
        let acting = cluster.control.as_ref().map(|(place, _)| place);
        acting.into_iter().chain(over_ssh.map(of_power)).chain(of_wake(&cluster.wake))
    });
    let hosts = raw.hosts.iter().flat_map(move |host| {
        let (power, wake) = host.acting();
        power.map(of_power).into_iter().chain(of_wake(wake))
    });
    clusters.chain(hosts).min_by_key(|place| place.offset)
}
