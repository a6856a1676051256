//! `token_from_ssh`: which node makes the token, who we are there, and whose token it is.

use std::path::Path;
use std::sync::Arc;

use super::check::Context;
use super::fault::{At, Report};
use super::reader::Reader;
use super::ssh_check::{self, Defaults};
use super::ssh_raw::{self, RawSsh};
use super::{Endpoint, Mint, auth, files, words};
use crate::ids::SshAddress;

const KEY: &str = "token_from_ssh";

/// Where the kernel tells the name of this machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The longest name of an instance.
const LONGEST: usize = 32;

/// What was typed.
pub(super) struct RawMint<'t> {
    ssh: RawSsh<'t>,
    address: Option<At<&'t str>>,
    instance: Option<At<&'t str>>,
}

/// Reads the table, and sees that no other way to be let in is beside it.
pub(super) fn read<'t>(cluster: &mut Reader<'t, '_>, report: &mut Report<'_>) -> Option<RawMint<'t>> {
    let mut table = cluster.table(KEY, report)?;
    auth::none_beside(KEY, cluster, report);
    let ssh = ssh_raw::read_among(&mut table, report);
    let address = table.string("address", "the node that makes the token, such as \"192.0.2.11:22\"", report);
    let instance = table.string("instance", "a name such as \"prometheus-1\"", report);
    table.close(report);
    Some(RawMint { ssh, address, instance })
}

/// Checks the table. `None` only after a fault was reported.
pub(super) fn mint(
    raw: &RawMint<'_>,
    endpoints: Option<&[Endpoint]>,
    defaults: &Defaults<'_, '_>,
    context: &mut Context<'_>,
) -> Option<Mint> {
    let ssh = ssh_check::settings(&raw.ssh, defaults, context);
    let address = address(raw, endpoints, ssh_check::port(&raw.ssh, defaults), context);
    let instance = instance(raw, context);
    let (ssh, address, instance) = (ssh?, address?, instance?);
    Some(Mint { id: format!("sentinel@pve!mint-{instance}"), instance, address, ssh: Arc::new(ssh) })
}

fn address(
    raw: &RawMint<'_>,
    endpoints: Option<&[Endpoint]>,
    port: u16,
    context: &mut Context<'_>,
) -> Option<SshAddress> {
    let (place, parsed) = match &raw.address {
        Some(found) => (&found.place, SshAddress::parse(found.value, port)),
        // Without any endpoint, that was told.
        None => (&raw.ssh.place, SshAddress::new(host(&endpoints?.first()?.url), port)),
    };
    parsed.map_err(|wrong| context.report.fault(place, wrong)).ok()
}

/// The host of `https://host:port`.
fn host(url: &str) -> &str {
    let authority = url.strip_prefix("https://").unwrap_or(url);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn instance(raw: &RawMint<'_>, context: &mut Context<'_>) -> Option<String> {
    let Some(found) = &raw.instance else {
        let name = files::read(Path::new(HOST_NAME), 256).ok().and_then(|name| cleaned(&name.bytes));
        if name.is_none() {
            let message = "expected instance, a name of this exporter, as this machine has none, found none";
            context.report.fault(&raw.ssh.place, message);
        }
        return name;
    };
    let is_name = is_instance(found.value);
    if !is_name {
        let shown = words::shown(found.value);
        let message = format!("expected 1 to {LONGEST} of a-z, 0-9 and \"-\", such as \"prometheus-1\", found {shown}");
        context.report.fault(&found.place, message);
    }
    is_name.then(|| found.value.to_owned())
}

fn is_instance(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The first part of a machine's name, as an instance may be called.
fn cleaned(name: &[u8]) -> Option<String> {
    let name = name.trim_ascii().split(|byte| *byte == b'.').next()?;
    let byte = |byte: &u8| match byte.to_ascii_lowercase() {
        byte if byte.is_ascii_alphanumeric() => char::from(byte),
        _ => '-',
    };
    let name: String = name.iter().take(LONGEST).map(byte).collect();
    is_instance(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::example::{example, load_example};
    use super::super::tests::write;
    use super::super::{Credential, ssh_tests};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_name_of_a_machine_becomes_an_instance() {
        for (name, instance) in [("Mon_1.example.com\n", Some("mon-1")), ("", None), (".x", None), ("é", Some("--"))] {
            assert_eq!(cleaned(name.as_bytes()).as_deref(), instance, "{name}");
        }
        assert!(["", "A", "a b", "a;b", "a\n", "é", &"a".repeat(33)].iter().all(|name| !is_instance(name)));
    }

    #[test]
    fn the_host_of_an_endpoint_is_asked() {
        for (url, found) in [("https://pve1:8006", "pve1"), ("https://[2001:db8::1]:8006", "[2001:db8::1]")] {
            assert_eq!(host(url), found);
            assert!(SshAddress::new(host(url), 22).is_ok());
        }
    }

    #[test]
    fn the_example_works_in_place_of_a_token_only() {
        let folder = tempfile::tempdir().unwrap();
        let text = example(folder.path());
        write(&folder.path().join("mint_key"), ssh_tests::KEY, 0o600);
        let with = text.replace("# token_from_ssh", "token_from_ssh");
        let wrong = load_example(&with, folder.path()).unwrap_err().to_string();
        assert!(wrong.contains("found token_from_ssh and token_id and token_secret_file; keep one"), "{wrong}");
        let is_token = |line: &&str| line.starts_with("token_id") || line.starts_with("token_secret");
        let alone: Vec<&str> = with.lines().filter(|line| !is_token(line)).collect();
        let config = load_example(&alone.join("\n"), folder.path()).unwrap().config;
        assert_eq!(config.clusters[0].credential.identity(), "sentinel@pve!mint-prometheus-1");
        let Credential::Minted(mint) = &config.clusters[0].credential else { panic!("no token_from_ssh") };
        assert_eq!((mint.address.host(), mint.address.port()), (host(&config.clusters[0].endpoints[0].url), 22));
        let wrong = alone.join("\n").replace("\"prometheus-1\"", "\"a;b\"");
        assert!(load_example(&wrong, folder.path()).unwrap_err().to_string().contains("expected 1 to 32 of a-z"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in any::<String>()) {
            prop_assert!(cleaned(&bytes).is_none_or(|name| is_instance(&name)));
            let _ = (host(&text), is_instance(&text));
        }
    }
}
