//! The configuration as text. Every value goes through the quoting of `toml_writer`, every comment through [`comment`].

use std::fmt::Write;

use toml_writer::{TomlKeyBuilder, TomlStringBuilder, TomlWrite};

use super::modules::{Credential, Source, Verify};
use crate::ids::Fingerprint;

/// A `[[clusters]]` entry.
pub(super) struct Cluster<'m> {
    /// What people should know about it; a line each.
    pub(super) comments: Vec<String>,
    pub(super) name: String,
    /// URLs.
    pub(super) endpoints: Vec<String>,
    pub(super) modules: Vec<&'m str>,
    pub(super) credential: &'m Credential,
    /// The file of the secret, if it has been moved there.
    pub(super) secret_file: Option<String>,
    pub(super) verify: &'m Verify,
    /// The certificates that the endpoints show, where nothing is verified.
    pub(super) shown: Vec<Fingerprint>,
    /// Names and URLs.
    pub(super) node_addresses: Vec<(String, String)>,
}

/// The whole text.
pub(super) fn document(header: &[String], clusters: &[Cluster<'_>], footer: &[String]) -> String {
    let mut text = String::new();
    for line in header {
        comment(&mut text, line);
    }
    for cluster in clusters {
        text.push('\n');
        entry(&mut text, cluster);
    }
    if !footer.is_empty() {
        text.push('\n');
    }
    for line in footer {
        comment(&mut text, line);
    }
    text
}

fn entry(text: &mut String, cluster: &Cluster<'_>) {
    for line in &cluster.comments {
        comment(text, line);
    }
    text.push_str("[[clusters]]\n");
    pair(text, "name", &quoted(&cluster.name));
    pair(text, "endpoints", &list(cluster.endpoints.iter().map(String::as_str)));
    pair(text, "modules", &list(cluster.modules.iter().copied()));
    let (prefix, source) = match cluster.credential {
        Credential::Token { id, secret } => {
            pair(text, "token_id", &quoted(id));
            ("token_secret", secret)
        }
        Credential::Login { username, password } => {
            pair(text, "username", &quoted(username));
            ("password", password)
        }
    };
    match (&cluster.secret_file, source) {
        (Some(file), _) => pair(text, &format!("{prefix}_file"), &quoted(file)),
        (None, Source::Env(name, _)) => pair(text, &format!("{prefix}_env"), &quoted(name)),
        (None, Source::Inline(secret)) => pair(text, prefix, &quoted(secret.expose())),
    }
    match cluster.verify {
        Verify::System => {}
        Verify::CaFile(path) => pair(text, "tls", &format!("{{ ca_file = {} }}", quoted(path))),
        Verify::Nothing => {
            pair(text, "tls", "{ insecure_skip_verify = true }");
            pins(text, &cluster.shown);
        }
    }
    if !cluster.node_addresses.is_empty() {
        let pairs: Vec<String> =
            cluster.node_addresses.iter().map(|(node, url)| format!("{} = {}", key(node), quoted(url))).collect();
        pair(text, "node_addresses", &format!("{{ {} }}", pairs.join(", ")));
    }
}

fn pins(text: &mut String, shown: &[Fingerprint]) {
    if !shown.is_empty() {
        let pins: Vec<String> = shown.iter().map(Fingerprint::to_string).collect();
        comment(text, "Compare with `pvenode cert info` on each node; then put this in place of the line above:");
        comment(text, &format!("tls = {{ fingerprints = {} }}", list(pins.iter().map(String::as_str))));
    }
}

/// A comment on one line, whatever the text holds.
fn comment(text: &mut String, line: &str) {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.push_str("# ");
    text.push_str(line.trim_end());
    text.push('\n');
}

fn pair(text: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key} = {value}");
}

fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    format!("[{}]", texts.map(quoted).collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    let mut written = String::new();
    let _ = written.value(TomlStringBuilder::new(text).as_basic());
    written
}

fn key(text: &str) -> String {
    let mut written = String::new();
    let _ = written.key(TomlKeyBuilder::new(text).as_default());
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use proptest::prelude::*;

    fn text_of(values: &[String; 6], pick: (bool, bool)) -> String {
        let [name, endpoint, module, id, secret, path] = values;
        let source = Source::Inline(Secret::new(secret.clone()));
        let credential = if pick.0 {
            Credential::Token { id: id.clone(), secret: source }
        } else {
            Credential::Login { username: id.clone(), password: source }
        };
        let cluster = Cluster {
            comments: vec![path.clone()],
            name: name.clone(),
            endpoints: vec![endpoint.clone(), name.clone()],
            modules: vec![module],
            credential: &credential,
            secret_file: pick.1.then(|| path.clone()),
            verify: &Verify::CaFile(path.clone()),
            shown: Vec::new(),
            node_addresses: vec![(name.clone(), endpoint.clone())],
        };
        document(std::slice::from_ref(id), &[cluster], std::slice::from_ref(module))
    }

    proptest! {
        /// No text of a pve.yml ends its own quotes, or its comment.
        #[test]
        fn what_is_printed_reads_back(
            values in proptest::array::uniform6(prop_oneof![any::<String>(), "['\"\\\\\n\r\t#= \u{0}-\u{1f}\u{7f}é]{0,12}"]),
            pick: (bool, bool),
        ) {
            let text = text_of(&values, pick);
            let [name, endpoint, module, id, secret, path] = &values;
            let table: toml::Table = text.parse().unwrap();
            let string = |text: &String| toml::Value::String(text.clone());
            let mut want = toml::Table::new();
            want.insert("name".into(), string(name));
            want.insert("endpoints".into(), vec![endpoint.clone(), name.clone()].into());
            want.insert("modules".into(), vec![module.clone()].into());
            let (id_key, secret_key) =
                if pick.0 { ("token_id", "token_secret") } else { ("username", "password") };
            want.insert(id_key.into(), string(id));
            if pick.1 {
                want.insert(format!("{secret_key}_file"), string(path));
            } else {
                want.insert(secret_key.into(), string(secret));
            }
            want.insert("tls".into(), toml::Table::from_iter([("ca_file".to_owned(), string(path))]).into());
            let nodes = toml::Table::from_iter([(name.clone(), string(endpoint))]);
            want.insert("node_addresses".into(), nodes.into());
            let want = toml::Table::from_iter([("clusters".to_owned(), vec![toml::Value::Table(want)].into())]);
            prop_assert_eq!(table, want);
        }
    }
}
