//! What was typed of SSH: the same words in `[ssh]` and `clusters.ssh`, and with `ssh_` in front in `[[hosts]]`.

use toml::de::DeValue;

use super::auth::{self, RawSecret, Sources};
use super::fault::{At, Place, Report};
use super::power::{self, RawPower};
use super::reader::{Reader, wrong_type};

/// What was said of SSH at one place.
pub(super) struct RawSsh<'t> {
    /// The table.
    pub(super) place: Place,
    pub(super) user: Option<At<&'t str>>,
    /// A path.
    pub(super) key_file: Option<At<&'t str>>,
    pub(super) passphrase: Option<RawSecret<'t>>,
    /// A path.
    pub(super) agent_socket: Option<At<&'t str>>,
    /// Paths.
    pub(super) known_hosts: Vec<At<&'t str>>,
    pub(super) fingerprint: Option<At<&'t str>>,
    pub(super) port: Option<At<u16>>,
    pub(super) accept_new: Option<At<bool>>,
    /// Of nodes, by name; in `clusters.ssh` only.
    pub(super) addresses: Vec<(&'t str, At<&'t str>)>,
    /// `control`; in `clusters.ssh` only.
    pub(super) power: Option<Box<RawPower<'t>>>,
}

/// The keys at one place.
pub(super) struct Names {
    user: &'static str,
    key_file: &'static str,
    passphrase: Sources,
    agent_socket: &'static str,
    known_hosts_file: &'static str,
    known_hosts_files: &'static str,
    fingerprint: &'static str,
    port: &'static str,
    accept_new: &'static str,
}

/// In a table of their own.
const PLAIN: Names = Names {
    user: "user",
    key_file: "key_file",
    passphrase: ["key_passphrase_file", "key_passphrase_env", "key_passphrase_credential", "key_passphrase"],
    agent_socket: "agent_socket",
    known_hosts_file: "known_hosts_file",
    known_hosts_files: "known_hosts_files",
    fingerprint: "fingerprint",
    port: "port",
    accept_new: "accept_new",
};

/// Among the other keys of a host.
const OF_HOST: Names = Names {
    user: "ssh_user",
    key_file: "ssh_key_path",
    passphrase: [
        "ssh_key_passphrase_file",
        "ssh_key_passphrase_env",
        "ssh_key_passphrase_credential",
        "ssh_key_passphrase",
    ],
    agent_socket: "ssh_agent_socket",
    known_hosts_file: "ssh_known_hosts_file",
    known_hosts_files: "ssh_known_hosts_files",
    fingerprint: "ssh_fingerprint",
    port: "ssh_port",
    accept_new: "ssh_accept_new",
};

/// Reads `[ssh]`.
pub(super) fn read_defaults<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawSsh<'t> {
    let raw = read(&mut table, &PLAIN, report);
    table.close(report);
    raw
}

/// Reads `clusters.ssh`.
pub(super) fn read_cluster<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawSsh<'t> {
    let mut raw = read(&mut table, &PLAIN, report);
    raw.power = power::read(&mut table, report).map(Box::new);
    if let Some(nodes) = table.table("addresses", report) {
        for (node, entry) in nodes.entries() {
            match entry.value {
                DeValue::String(text) => raw.addresses.push((node, At { place: entry.place, value: text.as_ref() })),
                other => wrong_type(&entry.place, "an address such as \"192.0.2.11:22\", in quotes", other, report)
                    .unwrap_or_default(),
            }
        }
    }
    table.close(report);
    raw
}

/// Reads the keys of a table that has others as well.
pub(super) fn read_among<'t>(table: &mut Reader<'t, '_>, report: &mut Report<'_>) -> RawSsh<'t> {
    read(table, &PLAIN, report)
}

/// Reads the keys with `ssh_` in front of a host.
pub(super) fn read_host<'t>(table: &mut Reader<'t, '_>, report: &mut Report<'_>) -> RawSsh<'t> {
    read(table, &OF_HOST, report)
}

/// Reads the keys of a table `control`: who acts, and with what.
pub(super) fn read_acting<'t>(table: &mut Reader<'t, '_>, report: &mut Report<'_>) -> RawSsh<'t> {
    let user = table.string(OF_HOST.user, "a user of the host such as \"power\"", report);
    let key_file = table.string(OF_HOST.key_file, "the path of a private key", report);
    RawSsh {
        place: table.place().clone(),
        user,
        key_file,
        passphrase: auth::passphrase(table, OF_HOST.passphrase, report),
        agent_socket: None,
        known_hosts: Vec::new(),
        fingerprint: None,
        port: None,
        accept_new: None,
        addresses: Vec::new(),
        power: None,
    }
}

fn read<'t>(table: &mut Reader<'t, '_>, names: &Names, report: &mut Report<'_>) -> RawSsh<'t> {
    let Names {
        user, key_file, agent_socket, known_hosts_file, known_hosts_files, fingerprint, port, accept_new, ..
    } = *names;
    one_of(table, [key_file, agent_socket], "source of keys", report);
    one_of(table, [known_hosts_file, known_hosts_files], "way to name known_hosts files", report);
    one_of(table, [known_hosts_file, fingerprint], "way to verify host keys", report);
    one_of(table, [known_hosts_files, fingerprint], "way to verify host keys", report);
    one_of(table, [fingerprint, accept_new], "way to verify host keys", report);
    let user = table.string(user, "a user of the host such as \"sentinel\"", report);
    let key_file = table.string(key_file, "the path of a private key", report);
    let single = table.string(known_hosts_file, "the path of a known_hosts file", report);
    let several = table.strings(known_hosts_files, r#"["/etc/ssh/ssh_known_hosts"]"#, report);
    RawSsh {
        place: table.place().clone(),
        user,
        key_file,
        passphrase: auth::passphrase(table, names.passphrase, report),
        agent_socket: table.string(agent_socket, "the path of an ssh-agent's socket", report),
        known_hosts: single.into_iter().chain(several.into_iter().flat_map(|list| list.value)).collect(),
        fingerprint: table.string(fingerprint, "the fingerprint of a host key such as \"SHA256:…\"", report),
        port: table.port(port, report),
        accept_new: table.boolean(accept_new, report),
        addresses: Vec::new(),
        power: None,
    }
}

fn one_of(table: &Reader<'_, '_>, keys: [&str; 2], what: &str, report: &mut Report<'_>) {
    let [first, second] = keys;
    if table.has(first) && table.has(second) {
        let places = [table.place_of(first), table.place_of(second)];
        if let Some(last) = places.iter().max_by_key(|place| place.offset) {
            report.fault(last, format!("expected one {what}, found {first} and {second}; keep one of them"));
        }
    }
}
