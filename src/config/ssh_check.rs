//! What was typed of SSH: what it means. What a host or a cluster does not say, `[ssh]` says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::auth::Way;
use super::check::Context;
use super::fault::At;
use super::power;
use super::ssh_raw::RawSsh;
use super::{ClusterSsh, HostKeys, Ssh, SshKey, SshKeys, files, source, words};
use crate::ids::{SshAddress, SshFingerprint};

/// The largest key file that is read, in bytes.
const LARGEST: usize = 64 << 10;

/// The port of SSH.
const PORT: u16 = 22;

/// Where Debian keeps the host keys that all users of a machine know.
const KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// What `[ssh]` says, checked.
pub(super) struct Defaults<'r, 't> {
    raw: Option<&'r RawSsh<'t>>,
    keys: Option<SshKeys>,
    /// Whether there is a folder to write host keys to.
    can_learn: bool,
}

impl Defaults<'_, '_> {
    /// Whether there is a table `[ssh]`.
    pub(super) fn are_said(&self) -> bool {
        self.raw.is_some()
    }
}

/// Checks `[ssh]`. `None` only after a fault was reported.
pub(super) fn defaults<'r, 't>(
    raw: Option<&'r RawSsh<'t>>,
    can_learn: bool,
    context: &mut Context<'_>,
) -> Option<Defaults<'r, 't>> {
    let keys = match raw.filter(|raw| raw.key_file.is_some() || raw.agent_socket.is_some()) {
        None => None,
        // Read once: to decrypt a key takes a tenth of a second.
        Some(raw) => Some(own_keys(raw, context)?),
    };
    Some(Defaults { raw, keys, can_learn })
}

/// Checks `clusters.ssh`. `None` only after a fault was reported.
pub(super) fn cluster(raw: &RawSsh<'_>, defaults: &Defaults<'_, '_>, context: &mut Context<'_>) -> Option<ClusterSsh> {
    let settings = settings(raw, defaults, context);
    let port = port(raw, defaults);
    let mut addresses = BTreeMap::new();
    for (node, found) in &raw.addresses {
        match SshAddress::parse(found.value, port) {
            Ok(address) => {
                addresses.insert((*node).to_owned(), address);
            }
            Err(wrong) => context.report.fault(&found.place, wrong),
        }
    }
    let settings = Arc::new(settings?);
    let power = match &raw.power {
        None => None,
        Some(power) => Some(Arc::new(power::power(power, (raw, defaults), Some(&settings), context)?)),
    };
    (addresses.len() == raw.addresses.len()).then_some(ClusterSsh { settings, port, addresses, power })
}

/// The port of a host.
pub(super) fn port(raw: &RawSsh<'_>, defaults: &Defaults<'_, '_>) -> u16 {
    let default = defaults.raw.and_then(|defaults| defaults.port.as_ref());
    raw.port.as_ref().or(default).map_or(PORT, |port| port.value)
}

/// Who we are somewhere, and whom we talk to. `None` only after a fault was reported.
pub(super) fn settings(raw: &RawSsh<'_>, defaults: &Defaults<'_, '_>, context: &mut Context<'_>) -> Option<Ssh> {
    let user = raw.user.as_ref().or_else(|| defaults.raw?.user.as_ref());
    let user = match user {
        None => {
            let message = "expected a user for ssh, found none; name one here or as user under [ssh]";
            context.report.fault(&raw.place, message);
            None
        }
        Some(found) => user_name(found, context),
    };
    let keys = if raw.key_file.is_some() || raw.agent_socket.is_some() {
        own_keys(raw, context)
    } else {
        defaults.keys.clone().or_else(|| agent_of_environment(raw, context))
    };
    let host_keys = host_keys(raw, defaults, context);
    Some(Ssh { user: user?, keys: keys?, host_keys: host_keys? })
}

fn user_name(found: &At<&str>, context: &mut Context<'_>) -> Option<String> {
    let name = found.value;
    let is_name = !name.is_empty()
        && name.len() <= 256
        && !name.starts_with('-')
        && name.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"/:@".contains(c));
    if !is_name {
        let shown = words::shown(name);
        context.report.fault(&found.place, format!("expected a user of the host such as \"sentinel\", found {shown}"));
    }
    is_name.then(|| name.to_owned())
}

/// The user that is named here. `None` only after a fault was reported.
pub(super) fn user(raw: &RawSsh<'_>, context: &mut Context<'_>) -> Option<String> {
    user_name(raw.user.as_ref()?, context)
}

/// The keys that are named here. `None` only after a fault was reported, or where none are.
pub(super) fn own_keys(raw: &RawSsh<'_>, context: &mut Context<'_>) -> Option<SshKeys> {
    let Some(found) = &raw.key_file else {
        let socket = raw.agent_socket.as_ref()?;
        return Some(SshKeys::Agent(files::resolve(context.file, socket.value)));
    };
    let passphrase = match &raw.passphrase {
        None => None,
        // Of a passphrase holds what holds of a password.
        Some(secret) => Some(source::secret(secret, Way::User, context)?),
    };
    let path = files::resolve(context.file, found.value);
    let shown = words::path(&path);
    let content = match files::read(&path, LARGEST) {
        Ok(content) => content,
        Err(error) => {
            let advice = files::advice(&error);
            let message =
                format!("expected a readable private key, found that {shown} cannot be read: {error}; {advice}");
            context.report.fault(&found.place, message);
            return None;
        }
    };
    if let Some(warning) = SshKey::open_to_others(&path) {
        context.report.warn(&found.place, warning);
    }
    match SshKey::decode(&path, &content.bytes, passphrase.as_ref()) {
        Ok(key) => Some(SshKeys::File(key)),
        Err(wrong) => {
            context
                .report
                .fault(&found.place, format!("expected a private key of ssh-keygen in {shown}, found {wrong}"));
            None
        }
    }
}

fn agent_of_environment(raw: &RawSsh<'_>, context: &mut Context<'_>) -> Option<SshKeys> {
    let socket = context.env.get("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
    if socket.is_none() {
        let message = "expected a key for ssh, found none; name a key file here or under [ssh], or start an ssh-agent \
                       (SSH_AUTH_SOCK is not set)";
        context.report.fault(&raw.place, message);
    }
    socket.map(|socket| SshKeys::Agent(PathBuf::from(socket)))
}

/// Which host keys are right. `None` only after a fault was reported.
pub(super) fn host_keys(raw: &RawSsh<'_>, defaults: &Defaults<'_, '_>, context: &mut Context<'_>) -> Option<HostKeys> {
    let says = |raw: &RawSsh<'_>| raw.fingerprint.is_some() || !raw.known_hosts.is_empty();
    let of = if says(raw) { raw } else { defaults.raw.filter(|defaults| says(defaults)).unwrap_or(raw) };
    if let Some(found) = &of.fingerprint {
        let fingerprint = SshFingerprint::parse(found.value);
        if fingerprint.is_none() {
            let shown = words::shown(found.value);
            let message = format!(
                "expected a fingerprint such as \"SHA256:\" and 43 characters, as ssh-keygen -l prints it, found {shown}"
            );
            context.report.fault(&found.place, message);
        }
        return fingerprint.map(HostKeys::Pinned);
    }
    let accept_new = raw.accept_new.as_ref().or_else(|| defaults.raw?.accept_new.as_ref());
    if let Some(found) = accept_new.filter(|accept| accept.value && !defaults.can_learn) {
        let message = "expected state_dir at the top of the file, a folder to write host keys to, found none";
        context.report.fault(&found.place, message);
        return None;
    }
    let accept_new = accept_new.is_some_and(|accept| accept.value);
    if let (true, Some(found)) = (accept_new, &raw.accept_new) {
        let message = "the first key that a new host shows is trusted: whoever is on the way then stays trusted; add host \
                       keys to known_hosts instead";
        context.report.warn(&found.place, message);
    }
    if let Some(found) = of.known_hosts.iter().find(|found| found.value.is_empty()) {
        context.report.fault(&found.place, "expected the path of a known_hosts file, found an empty text");
        return None;
    }
    let mut files: Vec<PathBuf> =
        of.known_hosts.iter().map(|found| files::resolve(context.file, found.value)).collect();
    if files.is_empty() {
        files.push(PathBuf::from(KNOWN_HOSTS));
    }
    Some(HostKeys::Known { files, accept_new })
}
