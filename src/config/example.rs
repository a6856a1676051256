//! Tests of `config.example.toml`: it works as it stands, and each line of it.

use std::path::Path;

use super::tests::{SECRET, collectors, manifest_dir, write};
use super::*;

pub(super) fn authority() -> String {
    identity().0
}

/// A certificate and its key.
pub(super) fn identity() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["pve1".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// The example with the files it names in a folder of the test.
pub(super) fn example(folder: &Path) -> String {
    write(&folder.join("home.token"), SECRET, 0o600);
    write(&folder.join("pve-root-ca.pem"), &authority(), 0o644);
    write(&folder.join("clients-ca.pem"), &authority(), 0o644);
    let (certificate, key) = identity();
    write(&folder.join("web.pem"), &certificate, 0o644);
    write(&folder.join("web.key"), &key, 0o600);
    write(&folder.join("id_ed25519"), ssh_tests::KEY, 0o600);
    example_of(&manifest_dir().join("config.example.toml"), folder)
}

/// Another one, with the same files.
fn example_of(path: &Path, folder: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.replace("/etc/pve-sentinel/", &format!("{}/", folder.display()))
}

pub(super) fn load_example(text: &str, folder: &Path) -> Result<Loaded, LoadError> {
    let environment = |name: &str| match name {
        "PVE_TOKEN_SECRET" => Some(SECRET.to_owned()),
        "CREDENTIALS_DIRECTORY" => Some(folder.display().to_string()),
        _ => None,
    };
    parse(text, Path::new("config.example.toml"), &Env::new(&environment), &collectors())
}

#[test]
fn the_example_loads_and_its_first_six_lines_suffice() {
    let folder = tempfile::tempdir().unwrap();
    let text = example(folder.path());
    let whole = load_example(&text, folder.path()).unwrap();
    let minimum: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).take(6).collect();
    let least = load_example(&minimum.join("\n"), folder.path()).unwrap();
    assert_eq!(whole.config.summary(), least.config.summary());
    assert!(whole.warnings.is_empty(), "{:?}", whole.warnings);
}

/// A key that is commented out.
struct Line<'a> {
    line: &'a str,
    name: String,
    /// Whether it takes the place of another line.
    is_alternative: bool,
    /// The whole example with it.
    changed: String,
}

fn commented(text: &str) -> Vec<Line<'_>> {
    let key = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned()).filter(|key| !key.contains(' '));
    let web = text.lines().position(|line| line == "[web]").unwrap();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((bare, name)) = line.strip_prefix("# ").and_then(|bare| Some((bare, key(bare)?))) else { continue };
        // Lines that work together only, or instead of several: see passwords.rs and mint.rs.
        if ["username", "password_file", "token_from_ssh"].contains(&name.as_str()) {
            continue;
        }
        let instead = ["token_secret", "tls"].into_iter().find(|family| index < web && name.starts_with(family));
        let replaced = |other: &str| instead.is_some_and(|family| other.starts_with(family));
        // An alternative takes the place of the line that it replaces.
        let changed: Vec<&str> = text
            .lines()
            .enumerate()
            .filter(|(other, _)| instead.is_none() || *other != index)
            .map(|(other, line)| if other == index || replaced(line) { bare } else { line })
            .collect();
        found.push(Line { line, name, is_alternative: instead.is_some(), changed: changed.join("\n") });
    }
    found
}

#[test]
fn the_example_of_every_version_loads() {
    let versions = std::fs::read_dir(manifest_dir().join("tests/upgrades")).unwrap();
    let mut count = 0;
    for version in versions.map(|entry| entry.unwrap().path()) {
        let folder = tempfile::tempdir().unwrap();
        example(folder.path());
        let text = example_of(&version.join("config.example.toml"), folder.path());
        let loaded =
            load_example(&text, folder.path()).unwrap_or_else(|error| panic!("{}\n{error}", version.display()));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        for Line { line, changed, .. } in commented(&text) {
            load_example(&changed, folder.path())
                .unwrap_or_else(|error| panic!("{}: {line}\n{error}", version.display()));
        }
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn each_commented_key_of_the_example_works_and_shows_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let text = example(folder.path());
    let default = load_example(&text, folder.path()).unwrap().config;
    let mut seen = Vec::new();
    for Line { line, name, is_alternative, changed } in commented(&text) {
        let loaded = load_example(&changed, folder.path()).unwrap_or_else(|error| panic!("{line}\n{error}"));
        let mut config = loaded.config;
        // A collector that is on by default does as unnamed.
        config.collectors.settings.retain(|collector, _| *collector != name);
        // These are there or not: no default could be shown.
        if !is_alternative && !["node_addresses", "modules", "ssh", "tls", "basic_auth_users"].contains(&name.as_str())
        {
            assert_eq!(format!("{config:?}"), format!("{default:?}"), "{line} is not the default");
        }
        seen.push(name);
    }
    let keys = [
        "token_secret_env",
        "token_secret_credential",
        "token_secret",
        "tls",
        "tls",
        "node_addresses",
        "modules",
        "ssh",
    ];
    let defaults = [
        "listen_addresses",
        "tls",
        "basic_auth_users",
        "enable_lifecycle",
        "timeout",
        "margin",
        "max_age",
        "max_body",
        "guest",
        "node",
    ];
    assert_eq!(seen, [keys.as_slice(), defaults.as_slice()].concat());
}
