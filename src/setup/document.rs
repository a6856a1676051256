//! The configuration to print. Every value goes through the quoting of `toml_writer`.

use std::fmt::Write;

use toml_writer::{TomlStringBuilder, TomlWrite};

use super::account::{Account, Acts};
use super::error::Error;
use super::facts::{Member, Membership};
use super::token_file::TokenFile;
use crate::ids::SshAddress;

/// The port of the API.
const PORT: u16 = 8006;

/// What the configuration is made from.
pub struct Facts<'a> {
    /// The value of `name`.
    pub name: &'a str,
    /// Of Proxmox VE.
    pub version: &'a str,
    /// Where the node was reached.
    pub address: &'a SshAddress,
    /// The nodes.
    pub membership: &'a Membership,
    /// The token.
    pub account: &'a Account,
    /// The file of its secret.
    pub file: &'a TokenFile,
    /// Whether the token was there before.
    pub again: bool,
}

/// What an earlier run printed is in the configuration already; a second part of the same name would be refused.
const AGAIN: &str =
    "# The token was there already: replace what setup printed for it before by this, rather than add it.\n";

/// The whole text, and a line about each node that is left out. Fails where no node tells its certificate.
pub fn document(facts: &Facts<'_>) -> Result<(String, Vec<String>), Error> {
    let Facts { membership, .. } = facts;
    let mut left_out = Vec::new();
    let (mut endpoints, mut fingerprints): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let local = std::iter::once((&membership.local, Some(facts.address.host().to_owned())));
    let others = membership.others.iter().map(|member| (member, member.address.map(|address| address.to_string())));
    for (Member { name, fingerprint, .. }, host) in local.chain(others) {
        let (Some(host), Some(fingerprint)) = (host, fingerprint) else {
            left_out
                .push(format!("node {name} is no endpoint: Proxmox VE does not tell its address or its certificate"));
            continue;
        };
        let url =
            if host.contains(':') { format!("https://[{host}]:{PORT}") } else { format!("https://{host}:{PORT}") };
        if !endpoints.contains(&url) {
            endpoints.push(url);
        }
        // One certificate may be that of all nodes.
        let fingerprint = fingerprint.to_string();
        if !fingerprints.contains(&fingerprint) {
            fingerprints.push(fingerprint);
        }
    }
    if endpoints.is_empty() {
        let message = "expected Proxmox VE to tell a node's certificate, found none; on the node: pvesh get /nodes";
        return Err(Error::InTheWay(message.to_owned()));
    }
    let nodes = membership.others.len() + 1;
    let mut text = format!(
        "{}# Made by pve-sentinel setup on node {} (Proxmox VE {}), of {nodes} in all.\n[[clusters]]\n",
        note(facts.again),
        membership.local.name,
        facts.version
    );
    let path = facts.file.path().display().to_string();
    pair(&mut text, "name", &quoted(facts.name));
    pair(&mut text, "endpoints", &list(&endpoints));
    pair(&mut text, "token_id", &quoted(&facts.account.to_string()));
    pair(&mut text, "token_secret_file", &quoted(&path));
    text.push_str(
        "# The certificates that the nodes show now, as they told over SSH. After one is renewed, run setup again.\n",
    );
    pair(&mut text, "tls", &format!("{{ fingerprints = {} }}", list(&fingerprints)));
    Ok((text, left_out))
}

/// The lines that let guests be switched, to be put into a configuration that there is; `name` is that of the cluster,
/// `again` whether the token was there before.
pub fn acting(name: &str, (account, again): (&Account, bool), file: &TokenFile, acts: Acts<'_>) -> String {
    let credential = format!(
        "{{ token_id = {}, token_secret_file = {} }}",
        quoted(&account.to_string()),
        quoted(&file.path().display().to_string())
    );
    let scopes = if acts.nodes { r#"["read", "power", "node-power"]"# } else { r#"["read", "power"]"# };
    let guests = acts.pool.map(|pool| format!(", guests = [{}]", quoted(&format!("pool:{pool}")))).unwrap_or_default();
    format!(
        "{}# Made by pve-sentinel setup --power. Into the entry of [[clusters]] with the name {}:\n\
         control = {credential}\n\
         \n\
         # And once, the first at the top, the other anywhere; pve-sentinel hash-token makes the token and its hash:\n\
         # state_dir = \"/var/lib/pve-sentinel\"\n\
         # [control]\n\
         # tokens = [{{ name = \"ops\", sha256 = \"…\", scopes = {scopes}{guests} }}]\n",
        note(again),
        quoted(name)
    )
}

fn note(again: bool) -> &'static str {
    if again { AGAIN } else { "" }
}

fn pair(text: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

/// A text as TOML has it.
pub fn quoted(text: &str) -> String {
    let mut written = String::new();
    let _ = written.value(TomlStringBuilder::new(text).as_basic());
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Tls};
    use crate::ids::Fingerprint;

    fn member(name: &str, address: Option<&str>, fingerprint: Option<u8>) -> Member {
        let address = address.map(|address| address.parse().unwrap());
        Member { name: name.to_owned(), address, fingerprint: fingerprint.map(|byte| Fingerprint([byte; 32])) }
    }

    fn printed(address: &str, membership: &Membership) -> Result<(String, Vec<String>), Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.token");
        std::fs::write(&path, "0b9e7a52-1111-4222-8333-5a5a5a5a5a5a\n").unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let (account, file) = (Account::reader("monitor").unwrap(), TokenFile::find(folder.path(), "home").unwrap());
        let address = SshAddress::parse(address, 22).unwrap();
        let facts = |again| {
            let (name, version) = ("home", "9.2.11");
            Facts { name, version, address: &address, membership, account: &account, file: &file, again }
        };
        let (text, left_out) = document(&facts(false))?;
        assert_eq!(document(&facts(true))?.0, format!("{AGAIN}{text}"));
        let loaded = config::parse(&text, std::path::Path::new("x.toml"), &config::Env::new(&|_| None), &[]).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let Tls::Fingerprints(pins) = &loaded.config.clusters[0].tls else { panic!("{text}") };
        assert_eq!(pins.len(), loaded.config.clusters[0].endpoints.len());
        Ok((text, left_out))
    }

    #[test]
    fn the_node_is_asked_where_it_was_reached_and_the_others_where_it_knows_them() {
        let others = vec![
            member("pve2", Some("192.0.2.12"), Some(2)),
            member("pve3", None, Some(3)),
            member("pve4", Some("2001:db8::4"), Some(4)),
        ];
        let local = member("pve1", Some("10.0.0.1"), Some(1));
        let membership = Membership { cluster: Some("lab".to_owned()), local, others };
        let (text, left_out) = printed("pve1.example.com:2222", &membership).unwrap();
        assert!(
            text.contains(
                r#"["https://pve1.example.com:8006", "https://192.0.2.12:8006", "https://[2001:db8::4]:8006"]"#
            ),
            "{text}"
        );
        assert!(left_out.len() == 1 && left_out[0].contains("pve3"), "{left_out:?}");
        assert!(printed("[2001:db8::1]", &membership).unwrap().0.contains("https://[2001:db8::1]:8006"));
    }

    #[test]
    fn without_any_certificate_there_is_no_configuration() {
        let local = member("pve1", None, None);
        let wrong = printed("pve1", &Membership { cluster: None, local, others: Vec::new() }).unwrap_err();
        assert!(wrong.to_string().contains("pvesh get /nodes"), "{wrong}");
    }
}
