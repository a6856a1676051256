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
        let message =
            "expected a key of its own in ssh_key_path, found that which reads; who reads must not be able to act";
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
        report
            .fault(&found.place, format!("expected a command of 1 to {LONGEST} bytes on one line, found another text"));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Loaded;
    use super::super::example::{example, load_example};
    use super::super::ssh_tests::{self, loaded};
    use super::super::tests::write;
    use super::*;

    const HOST: &str = "[[hosts]]\nid = \"nas\"\nhostname = \"nas\"\nssh_user = \"sentinel\"\nssh_key_path = \"id\"\n\
                        ssh_known_hosts_file = \"/kh\"\n";
    const ACTS: &str = "ssh_user = \"power\", ssh_key_path = \"locked\", ssh_key_passphrase_file = \"phrase\"";

    fn host(lines: &str) -> Result<Loaded, String> {
        loaded("", &format!("{HOST}{lines}"))
    }

    #[test]
    fn hosts_and_nodes_are_switched_by_a_user_with_a_key_of_its_own() {
        let control = format!("control = {{ {ACTS}, shutdown = \"systemctl poweroff\", suspend = \"s\" }}");
        let config = host(&format!("{control}\nmac_address = \"AA-bb-cc-dd-ee-0f\"")).unwrap().config;
        let host = &config.hosts[0];
        let power = host.power.as_deref().unwrap();
        assert_eq!(
            (power.ssh.user.as_str(), power.suspend.as_deref(), power.reboot.as_deref()),
            ("power", Some("s"), None)
        );
        assert_eq!(power.ssh.host_keys, host.ssh.as_deref().unwrap().host_keys);
        let wake = host.wake.unwrap();
        assert_eq!(
            (wake.mac.to_string().as_str(), wake.to.to_string().as_str()),
            ("aa:bb:cc:dd:ee:0f", "255.255.255.255:9")
        );
        assert!(config.acts() && config.control.audit_file.is_some());
        assert!(
            config.summary().contains("switched over ssh as power, woken at aa:bb:cc:dd:ee:0f"),
            "{}",
            config.summary()
        );

        let nodes = format!(
            "ssh = {{ user = \"sentinel\", key_file = \"id\", fingerprint = \"SHA256:RHTuihchn6ME2lscfD+PSzsBieTl9ELN5sFN53CwY8k\", \
             {control} }}\nmac_addresses = {{ pve1 = \"aa:bb:cc:dd:ee:0f\" }}\nwake_address = \"192.0.2.255:7\""
        );
        let config = loaded(&nodes, "").unwrap().config;
        let cluster = &config.clusters[0];
        let power = cluster.ssh.as_ref().unwrap().power.as_deref().unwrap();
        assert!(matches!(power.ssh.host_keys, HostKeys::Pinned(_)) && power.shutdown.is_some());
        assert_eq!(cluster.wakes["pve1"].to.to_string(), "192.0.2.255:7");
        assert!(!loaded("", HOST).unwrap().config.acts());
    }

    #[test]
    fn a_host_without_a_reading_key_is_switched_too() {
        let text = format!(
            "[ssh]\nknown_hosts_file = \"/kh\"\n[[hosts]]\nid = \"tv\"\nhostname = \"tv\"\nssh = false\n\
             services = [{{ type = \"ssh\" }}]\ncontrol = {{ {ACTS}, shutdown = \"poweroff\" }}"
        );
        let config = loaded("", &text).unwrap().config;
        let power = config.hosts[0].power.as_deref().unwrap();
        assert!(config.hosts[0].ssh.is_none());
        assert!(matches!(&power.ssh.host_keys, HostKeys::Known { files, .. } if files[0].ends_with("kh")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let control = |keys: &str| format!("control = {{ {keys} }}");
        for (lines, words) in [
            (control("shutdown = \"x\""), "hosts[0].control.ssh_user: expected a user"),
            (control("ssh_user = \"power\", shutdown = \"x\""), "hosts[0].control.ssh_key_path: expected the path"),
            (control(ACTS), "hosts[0].control: expected a command for at least one of suspend, shutdown and reboot"),
            (control(&format!("{ACTS}, shutdown = \"\"")), "control.shutdown: expected a command of 1 to 1000 bytes"),
            (control(&format!("{ACTS}, reboot = \"a\\nb\"")), "control.reboot: expected a command"),
            (control(&format!("{ACTS}, shutdwn = \"x\"")), "did you mean shutdown?"),
            (
                control("ssh_user = \"a b\", ssh_key_path = \"id\", reboot = \"x\""),
                "control.ssh_user: expected a user of the host",
            ),
            (
                control("ssh_user = \"power\", ssh_key_path = \"id\", reboot = \"x\""),
                "hosts[0].control: expected a key of its own in ssh_key_path, found that which reads",
            ),
            ("mac_address = \"ff:ff:ff:ff:ff:ff\"".to_owned(), "mac_address: expected the address of one network card"),
            ("mac_adress = \"aa:bb:cc:dd:ee:0f\"".to_owned(), "did you mean mac_address?"),
            ("wake_address = \"192.0.2.255:9\"".to_owned(), "wake_address: expected mac_address beside it"),
            (
                "mac_address = \"aa:bb:cc:dd:ee:0f\"\nwake_address = \"everybody\"".to_owned(),
                "wake_address: expected an IP address and a port",
            ),
        ] {
            let said = host(&lines).map(|loaded| loaded.config.summary()).unwrap_err();
            assert!(said.contains(words), "{lines}\n{said}");
        }
        let said = loaded("# no state_dir", &format!("{HOST}mac_address = \"aa:bb:cc:dd:ee:0f\"")).unwrap_err();
        assert!(said.contains("hosts[0].mac_address: expected state_dir at the top"), "{said}");
        let said = loaded("mac_addresses = { pve1 = 7 }", "").unwrap_err();
        assert!(said.contains("mac_addresses.pve1: expected an address such as"), "{said}");
    }

    #[test]
    fn the_example_works_with_what_switches_machines() {
        let folder = tempfile::tempdir().unwrap();
        let text = example(folder.path());
        write(&folder.path().join("power_key"), ssh_tests::KEY, 0o600);
        let table: String = text
            .lines()
            .skip_while(|line| *line != "#   [[hosts]]")
            .take_while(|line| line.starts_with("#   "))
            .map(|line| line.trim_start_matches("#   ").to_owned() + "\n")
            .filter(|line| !line.starts_with("ssh_"))
            .collect();
        let with = format!("state_dir = \"/var\"\n{text}\n[[hosts]]{}", table.trim_start_matches("[[hosts]]"));
        let config = load_example(&with, folder.path()).unwrap().config;
        let host = &config.hosts[0];
        assert!(host.power.as_deref().is_some_and(|power| power.reboot.is_some()) && host.wake.is_some(), "{table}");
        let cluster = text.replace("#   mac_addresses", "mac_addresses");
        let config = load_example(&format!("state_dir = \"/var\"\n{cluster}"), folder.path()).unwrap().config;
        assert!(config.clusters[0].wakes.contains_key("pve1"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9:. é-]{0,40}") {
            // No text is both.
            let lines = format!("mac_address = {text:?}\nwake_address = {text:?}");
            prop_assert!(host(&lines).is_err());
        }
    }
}
