//! A configuration as it may be shown to others: every key, and the values of those that hold no secret.

use std::fmt::Write;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::hidden::{self, HIDDEN, Hidden};
use super::{Cluster, Config, Credential, Login, Secret, credential, endpoint, files};

/// Keys whose values are shown, and all below them. What is in neither list is not shown, but for true and false.
const SHOWN: &[&str] = &[
    "address",
    "addresses",
    "audit_file",
    "ca_file",
    "cert_file",
    "client_ca_file",
    "collectors",
    "endpoints",
    "fingerprints",
    "guests",
    "hold",
    "hostname",
    "id",
    "instance",
    "interval",
    "key_file",
    "known_hosts_file",
    "known_hosts_files",
    "listen_addresses",
    "lookback",
    "mac_address",
    "mac_addresses",
    "margin",
    "max_age",
    "max_body",
    "modules",
    "name",
    "node_addresses",
    "port",
    "prefer",
    "resend",
    "rules",
    "scopes",
    "severity",
    "ssh_key_path",
    "ssh_known_hosts_file",
    "ssh_port",
    "ssh_user",
    "state_dir",
    "timeout",
    "token_id",
    "token_secret_file",
    "type",
    "url",
    "user",
    "username",
    "wake_address",
];

/// Keys whose values are never shown, nor anything below them, wherever they stand: secrets, what they are checked against, and
/// commands, which may hold some.
const NOT_SHOWN: &[&str] =
    &["basic_auth_users", "bearer_token", "password", "reboot", "sha256", "shutdown", "suspend", "token_secret"];

/// A configuration as it may be shown.
#[derive(Debug, Default)]
pub struct Shown {
    /// A line `key = value` for each value; no comments.
    pub text: String,
    /// Texts that were not shown, so that they can be looked for elsewhere.
    pub hidden: Vec<Hidden>,
}

/// Shows the text of a configuration, usable or not; none where it is not TOML. Relative paths start at the folder of `file`.
pub(super) fn shown(text: &str, file: &Path) -> Option<Shown> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return None;
    }
    let mut shown = Shown::default();
    of_table(document.get_ref(), ("", None), file, &mut shown);
    Some(shown)
}

impl Config {
    /// All secrets that it holds, wherever they came from; keys of SSH and certificates are not among them.
    pub fn secrets(&self) -> Vec<&Secret> {
        let of_clusters = self.clusters.iter().flat_map(|cluster: &Cluster| {
            [Some(&cluster.credential), cluster.control.as_ref()].into_iter().flatten().filter_map(|one| match one {
                Credential::Token { secret, .. } | Credential::User { password: secret, .. } => Some(secret),
                Credential::Minted(_) => None,
            })
        });
        let logins = self.events.iter().flat_map(|events| &events.alertmanagers).filter_map(|one| one.login.as_ref());
        let of_logins = logins.map(|login| match login {
            Login::Basic { password, .. } => password,
            Login::Bearer(token) => token,
        });
        of_clusters.chain(of_logins).chain(self.web.basic_auth_users.values()).collect()
    }
}

/// What was said of the nearest key that is in a list.
type Said = Option<bool>;

fn of_table(table: &DeTable<'_>, (path, said): (&str, Said), file: &Path, shown: &mut Shown) {
    for (name, value) in table {
        let name = name.get_ref().as_ref();
        let below = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let said = match said {
            Some(false) => Some(false),
            _ if NOT_SHOWN.contains(&name) => Some(false),
            // What is not known under a table that is hidden or shown as a whole.
            _ if SHOWN.contains(&name) => Some(true),
            before => before.filter(|_| !looks_like_a_key_of_secrets(name)),
        };
        of_value(value.get_ref(), (&below, said), file, shown);
    }
}

fn of_value(value: &DeValue<'_>, (path, said): (&str, Said), file: &Path, shown: &mut Shown) {
    let text = match value {
        DeValue::Table(table) => return of_table(table, (path, said), file, shown),
        DeValue::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                of_value(element.get_ref(), (&format!("{path}[{index}]"), said), file, shown);
            }
            return;
        }
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(at) => at.to_string(),
    };
    let is_text = matches!(value, DeValue::String(_));
    let is_shown = match value {
        DeValue::Boolean(_) => true,
        _ => said == Some(true) && !(is_text && looks_like_a_secret(&text)) && !is_misplaced(&text, path, file),
    };
    let told = match is_shown {
        true if is_text => {
            shown.hidden.extend(hidden::left_off(&text));
            format!("{:?}", hidden::origin(&text))
        }
        true => text,
        false => {
            // Numbers stand everywhere.
            shown.hidden.extend(is_text.then(|| hidden::whole(&text)).into_iter().flatten());
            HIDDEN.to_owned()
        }
    };
    // Writing into a string cannot fail.
    let _ = writeln!(shown.text, "{path} = {told}");
}

/// In a table that is shown as a whole, a name that its maker did not think of.
fn looks_like_a_key_of_secrets(name: &str) -> bool {
    ["secret", "pass", "token", "key", "auth"].iter().any(|part| name.to_ascii_lowercase().contains(part))
}

/// A text that its key is not made for, so that it may be a secret that was put into the wrong one.
fn is_misplaced(text: &str, path: &str, file: &Path) -> bool {
    let names: Vec<&str> = path.split('.').map(|part| part.split('[').next().unwrap_or(part)).collect();
    let is_below = |table: &str| names.contains(&table);
    match names.last() {
        Some(&"token_id") => credential::token_id(text).is_err(),
        Some(&"url") => !hidden::is_address(text),
        _ if is_below("endpoints") || is_below("node_addresses") => {
            !hidden::is_address(text) && endpoint::target(text).is_none()
        }
        Some(name) if ["_file", "_files", "_path"].iter().any(|end| name.ends_with(end)) => {
            // What cannot be looked for may be there, or be no path.
            !text.contains('/') && files::resolve(file, text).symlink_metadata().is_err()
        }
        _ => false,
    }
}

/// A secret in a place that is none for it: with a UUID, as those of tokens are, a private key, or a long word without any
/// punctuation.
fn looks_like_a_secret(text: &str) -> bool {
    let is_hex = |word: &str, digits: usize| word.len() == digits && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let is_uuid = |part: &[&str]| part.iter().zip([8, 4, 4, 4, 12]).all(|(word, digits)| is_hex(word, digits));
    let is_fingerprint = text.starts_with("SHA256:") || words.len() == 1 && is_hex(text, 64);
    words.windows(5).any(is_uuid)
        || text.contains("PRIVATE KEY")
        || text.contains("pvs_")
        || !is_fingerprint && words.iter().any(|word| word.len() > 30)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::manifest_dir;
    use super::*;

    fn text(config: &str) -> String {
        read(config).unwrap().text
    }

    fn read(config: &str) -> Option<Shown> {
        shown(config, &manifest_dir().join("config.toml"))
    }

    #[test]
    fn keys_are_shown_and_secrets_are_not() {
        let config = "# a comment with hunter2\nstate_dir = \"/var/lib/x\"\n[web]\n\
                      basic_auth_users = { name = \"$2y$10$abc\" }\n[scrape]\nmax_age = \"1s\"\n[[clusters]]\nname = \"home\"\n\
                      endpoints = [\"https://root:hunter2@192.0.2.1:8006/x?y=hunter2\"]\ntoken_secret = \"hunter2\"\n\
                      tokn_secret = \"hunter2\"\nnode_addresses = { pve1 = \"https://192.0.2.1:8006\" }\n";
        assert_eq!(
            text(config),
            "clusters[0].endpoints[0] = \"https://192.0.2.1:8006/…\"\nclusters[0].name = \"home\"\n\
             clusters[0].node_addresses.pve1 = \"https://192.0.2.1:8006\"\nclusters[0].token_secret = <hidden>\n\
             clusters[0].tokn_secret = <hidden>\nscrape.max_age = \"1s\"\nstate_dir = \"/var/lib/x\"\n\
             web.basic_auth_users.name = <hidden>\n"
        );
        let hidden = read(config).unwrap().hidden;
        let mut hidden: Vec<&str> = hidden.iter().map(|one| one.text.expose()).collect();
        hidden.sort_unstable();
        let address = "https://root:hunter2@192.0.2.1:8006/x?y=hunter2";
        assert_eq!(hidden, ["$2y$10$abc", address, "hunter2", "hunter2", "hunter2", "y=hunter2"]);
        assert!(read("password = \"hun\"ter2\"").is_none());
    }

    #[test]
    fn secrets_in_other_places_are_not_shown() {
        for wrong in [
            "token_id = \"monitor@pve!x=7f1c2f0a-5eec-4e7b-9d43-0123456789ab\"",
            "key_file = \"-----BEGIN OPENSSH PRIVATE KEY-----\\nabc\"",
            "name = \"pvs_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA\"",
            "collectors = { guest = { password = \"hunter2\" } }",
            "collectors = { guest = { api_key = 12345 } }",
            "whatever = 5",
        ] {
            assert!(text(wrong).ends_with(" = <hidden>\n"), "{wrong}: {}", text(wrong));
        }
        let pinned = "fingerprints = [\"BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD\"]";
        assert!(text(pinned).contains("BA7816BF"), "{}", text(pinned));
    }

    /// Hidden, and looked for in the other parts.
    #[test]
    fn what_a_key_is_not_made_for_is_not_shown() {
        for (key, wrong) in [
            ("token_id", "PVEAPIToken=a@pve!b=hunter2"),
            ("token_id", "hunter2"),
            ("url", "example.com/hunter2"),
            ("url", "://hunter2"),
            ("endpoints", "example.com/hunter2"),
            ("node_addresses.pve1", "root:hunter2@example.com"),
            ("token_secret_file", "hunter2"),
            ("ca_file", "hunter2"),
            ("ssh_key_path", "hunter2"),
        ] {
            let found = read(&format!("{key} = \"{wrong}\"")).unwrap();
            assert_eq!(found.text, format!("{key} = <hidden>\n"));
            let hidden: Vec<&str> = found.hidden.iter().map(|one| one.text.expose()).collect();
            assert!(hidden.contains(&wrong) && hidden.iter().all(|text| text.contains("hunter2")), "{hidden:?}");
        }
        for right in [
            "token_id = \"monitor@pve!x\"",
            "url = \"http://127.0.0.1:9093\"",
            "endpoints[0] = \"pve1:8006\"",
            "token_secret_file = \"/run/none-such\"",
            "token_secret_file = \"./none-such\"",
            "token_secret_file = \"Cargo.toml\"",
        ] {
            let typed = right.replace("s[0] = ", "s = [").replace("8006\"", "8006\"]");
            assert_eq!(text(&typed), format!("{right}\n"));
        }
    }

    /// Whoever adds a key decides whether it is shown: in the example each key is in a list, or below one that is.
    #[test]
    fn it_is_decided_of_every_key_of_the_example() {
        let example = std::fs::read_to_string(manifest_dir().join("config.example.toml")).unwrap();
        // Sources of secrets whose names tell nothing.
        let unsaid = ["token_secret_env", "token_secret_credential", "password_file"];
        let mut count = 0;
        for line in example.lines() {
            let bare = line.trim_start_matches(['#', ' ']);
            let Some((key, rest)) = bare.split_once(" = ") else { continue };
            let Some(found) = read(bare).filter(|_| rest.starts_with(['"', '[', '{', 't', 'f'])) else { continue };
            let told = found.text.lines().all(|line| !line.ends_with(HIDDEN));
            let not = |key: &str| NOT_SHOWN.contains(&key) || unsaid.contains(&key) || key == "token_from_ssh";
            let has_commands = bare.contains("suspend") || bare.contains("sha256");
            let is_of_collectors =
                ["host_", "backup", "guest", "node =", "host ="].iter().any(|name| bare.starts_with(name));
            assert!(told || not(key) || has_commands || is_of_collectors, "{bare}\n{}", found.text);
            count += 1;
        }
        assert!(count > 40, "{count}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_password_is_shown(text: String, password in "[a-zA-Z0-9]{9,20}", before in "[a-z_ =\\[\\]\n\"]{0,40}") {
            let _ = read(&text);
            let _ = looks_like_a_secret(&text);
            if let Some(found) = read(&format!("{before}\npassword = \"{password}\"\n")) {
                prop_assert!(!found.text.contains(&password));
            }
        }
    }
}
