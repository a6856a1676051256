//! The room as a whole: faulty files with their messages, secrets that never show, and the example.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::example::authority;
use super::*;

/// Names that a configuration may use, each with the keys that a guest's collector has.
pub(super) fn collectors() -> Vec<KnownCollector> {
    const OWN: CollectorKey = CollectorKey { name: "exclude", kind: KeyKind::Guests, about: "not these" };
    const FLAG: CollectorKey = CollectorKey { name: "deep", kind: KeyKind::Flag, about: "more of it" };
    let keys = vec![CollectorKey::TTL, CollectorKey::SELECT, CollectorKey::MAX_IN_FLIGHT, OWN, FLAG];
    let known = |name| match name {
        "guest_config" => KnownCollector { name, preset: Some(Preset::Full), keys: keys.clone() },
        "qdevice" => KnownCollector { name, preset: None, keys: vec![CollectorKey::TTL] },
        _ => KnownCollector { name, preset: Some(Preset::Default), keys: Vec::new() },
    };
    NAMES.map(known).to_vec()
}

const NAMES: [&str; 15] = [
    "host",
    "service",
    "backup_coverage",
    "cluster",
    "guest",
    "guest_config",
    "ha",
    "lock",
    "node",
    "node_load",
    "pool",
    "qdevice",
    "replication",
    "storage",
    "subscription",
];

/// The secret of every test: shaped like PVE's, and found in no fixture by accident.
pub(super) const SECRET: &str = "5ec2e7ab-0bad-4cab-8bad-5ec2e7ab0bad";

/// Pieces of secrets that no output may hold.
const PIECES: [&str; 5] = ["5ec2e7ab", "0bad-4cab", "hunter2", "5202020202020", "MALGJVRUyf"];

/// The hash of a password that nobody kept.
pub(super) const HASH: &str = "$2b$10$abcdefghijklmnopqrstuuqCcjMALGJVRUyfMGNUFJvOI7kBFbLDi";

pub(super) fn environment(name: &str) -> Option<String> {
    match name {
        "PVE_TOKEN" => Some(format!("{SECRET}\n")),
        "BLANK" => Some(" \n".to_owned()),
        _ => None,
    }
}

pub(super) fn parsed(text: &str) -> Result<Loaded, LoadError> {
    parse(text, Path::new("x.toml"), &Env::new(&environment), &collectors())
}

/// Everything that a caller could print.
pub(super) fn output(result: &Result<Loaded, LoadError>) -> String {
    match result {
        Ok(loaded) => format!("{loaded:?}\n{}\n{}", loaded.config.summary(), loaded.warnings.join("\n")),
        Err(error) => format!("{error:?}\n{error}"),
    }
}

pub(super) fn hides_secrets(text: &str) -> bool {
    PIECES.iter().all(|piece| !text.contains(piece))
}

/// A cluster that is right, with `more` lines.
pub(super) fn cluster(more: &str) -> String {
    format!(
        "[[clusters]]\nname = \"home\"\nendpoints = [\"https://192.0.2.11\"]\ntoken_id = \"monitor@pve!prometheus\"\n{more}\n"
    )
}

pub(super) fn manifest_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn faulty_files_give_the_messages_beside_them() {
    let folder = manifest_dir().join("tests/fixtures/config/faulty");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() >= 30, "{} files", files.len());

    let mut wrong = Vec::new();
    for path in files {
        let result = load(&path, &Env::new(&environment), &collectors());
        assert!(hides_secrets(&output(&result)), "{}: {}", path.display(), output(&result));
        let error = result.expect_err(&format!("{} was accepted", path.display()));
        let printed = format!("{error}\n").replace(&format!("{}/", folder.display()), "");
        let golden = path.with_extension("txt");
        if update {
            std::fs::write(&golden, &printed).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != printed {
            wrong.push(format!("{}:\n{printed}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "rewrite with UPDATE_GOLDEN=1 if this is meant:\n{}", wrong.join("\n"));
}

#[test]
fn a_minimal_file_gets_the_defaults() {
    let loaded = parsed(&cluster("token_secret_env = \"PVE_TOKEN\"")).unwrap();
    let config = loaded.config;
    assert_eq!(config.web.listen_addresses, ["[::]:9221".parse().unwrap()]);
    assert_eq!(config.scrape.timeout, Duration::from_secs(10));
    assert_eq!(config.scrape.margin, Duration::from_millis(500));
    assert_eq!(config.scrape.max_body, 64 << 20);
    assert_eq!(config.collectors, Collectors::default());
    let [home] = config.clusters.as_slice() else { panic!("{} clusters", config.clusters.len()) };
    assert_eq!(home.name, "home");
    assert_eq!(home.endpoints, [Endpoint { url: "https://192.0.2.11:8006".to_owned() }]);
    let Credential::Token { id, secret } = &home.credential else { panic!("no token") };
    assert_eq!((id.as_str(), secret.expose()), ("monitor@pve!prometheus", SECRET));
    assert!(matches!(home.tls, Tls::SystemRoots));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn nothing_to_serve_yet_is_said_on_purpose() {
    let loaded = parsed("hosts = []").unwrap();
    assert!(loaded.config.clusters.is_empty() && loaded.config.hosts.is_empty() && loaded.warnings.is_empty());
    let error = parsed("").unwrap_err().to_string();
    assert!(error.contains("expected at least one [[clusters]]"), "{error}");
}

#[test]
fn every_key_is_taken() {
    let fingerprint = "ab".repeat(32);
    let text = format!(
        "{}tls.fingerprints = [\"{fingerprint}\"]\n\n{}tls.insecure_skip_verify = true\n
        [web]\nlisten_addresses = [\":1\", \"localhost:2\"]\n
        [scrape]\ntimeout = \"1m30s\"\nmargin = \"1s\"\nmax_body = \"1KiB\"\n
        [collectors]\nguest = true\nha = false\nnode = {{ enabled = true }}\npool = {{ enabled = false }}\n",
        cluster(
            "token_secret_env = \"PVE_TOKEN\"\nmodules = [\"default\", \"pve 8\"]\n\
             node_addresses = { pve1 = \"https://PVE1\", pve-2 = \"https://[::1]:1\" }"
        ),
        cluster(&format!("token_secret = \" {SECRET} \"")).replace("home", "lab"),
    );
    let loaded = parsed(&text).unwrap();
    let config = &loaded.config;
    let direct: Vec<_> =
        config.clusters[0].node_addresses.iter().map(|(node, at)| (node.as_str(), at.url.as_str())).collect();
    assert_eq!(direct, [("pve-2", "https://[::1]:1"), ("pve1", "https://pve1:8006")]);
    assert!(config.clusters[1].node_addresses.is_empty());
    assert_eq!(config.clusters[0].modules, ["default", "pve 8"]);
    assert_eq!(config.web.listen_addresses, ["[::]:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
    assert_eq!(config.scrape.timeout, Duration::from_secs(90));
    assert_eq!(config.scrape.margin, Duration::from_secs(1));
    assert_eq!(config.scrape.max_body, 1024);
    let named = |enabled| {
        let settings = config.collectors.settings.iter();
        settings.filter(|(_, settings)| settings.enabled == Some(enabled)).map(|(name, _)| *name).collect::<Vec<_>>()
    };
    assert_eq!((named(false), named(true)), (vec!["ha", "pool"], vec!["guest", "node"]));
    assert!(matches!(&config.clusters[0].tls, Tls::Fingerprints(list) if *list == [Fingerprint([0xab; 32])]));
    assert!(matches!(config.clusters[1].tls, Tls::Insecure));
    let Credential::Token { secret, .. } = &config.clusters[1].credential else { panic!("no token") };
    assert_eq!(secret.expose(), SECRET);
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert!(warning.starts_with("x.toml:15: clusters[1].tls.insecure_skip_verify: "), "{warning}");
    assert!(warning.contains("cluster \"lab\""), "{warning}");
    assert_eq!(
        config.summary(),
        "2 clusters:\n  \
         home (1 endpoint, 2 nodes asked directly, modules default and pve 8, token monitor@pve!prometheus, certificates by 1 fingerprint)\n  \
         lab (1 endpoint, token monitor@pve!prometheus, certificates NOT verified)\n\
         listening on [::]:1, 127.0.0.1:2\n\
         a scrape takes at most 1m30s, less a margin of 1s\n\
         collectors switched on: guest, node\n\
         collectors switched off: ha, pool"
    );
}

#[test]
fn insecure_skip_verify_that_is_false_is_as_absent() {
    let loaded = parsed(&cluster("token_secret_env = \"PVE_TOKEN\"\ntls.insecure_skip_verify = false")).unwrap();
    assert!(matches!(loaded.config.clusters[0].tls, Tls::SystemRoots));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

/// Writes a file of the given mode.
pub(super) fn write(path: &Path, content: &str, mode: u32) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn secrets_and_authorities_are_read_from_files_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    write(&folder.path().join("home.token"), &format!("{SECRET}\r\n"), 0o600);
    write(&credentials.join("lab.token"), SECRET, 0o400);
    let pem = authority();
    write(&folder.path().join("ca.pem"), &pem, 0o644);
    let text = format!(
        "{}tls.ca_file = \"ca.pem\"\n{}",
        cluster("token_secret_file = \"home.token\""),
        cluster("token_secret_credential = \"lab.token\"").replace("home", "lab"),
    );
    write(&path, &text, 0o644);

    let environment = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| credentials.display().to_string());
    let loaded = load(&path, &Env::new(&environment), &collectors()).unwrap();
    for cluster in &loaded.config.clusters {
        let Credential::Token { secret, .. } = &cluster.credential else { panic!("no token") };
        assert_eq!(secret.expose(), SECRET);
    }
    let Tls::CaFile { path: ca, pem: read } = &loaded.config.clusters[0].tls else { panic!("no CA file") };
    assert_eq!((ca.as_path(), read.as_slice()), (folder.path().join("ca.pem").as_path(), pem.as_bytes()));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(hides_secrets(&output(&Ok(loaded))));
}

#[test]
fn files_with_secrets_that_all_may_read_draw_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let (path, token) = (folder.path().join("config.toml"), folder.path().join("home.token"));
    let load = |text: &str, mode: u32| {
        write(&path, text, mode);
        load(&path, &Env::new(&environment), &collectors()).unwrap().warnings
    };
    let by_file = cluster("token_secret_file = \"home.token\"");
    write(&token, SECRET, 0o644);
    let advice = format!("(mode 0644); run: chmod o-rwx {}", token.display());
    let warnings = load(&by_file, 0o600);
    assert!(matches!(warnings.as_slice(), [only] if only.ends_with(&advice)), "{warnings:?}");
    write(&token, SECRET, 0o640);
    assert!(load(&by_file, 0o644).is_empty());

    let inline = cluster(&format!("token_secret = \"{SECRET}\""));
    let advice = format!("(mode 0604); run: chmod o-rwx {}", path.display());
    let warnings = load(&inline, 0o604);
    assert!(matches!(warnings.as_slice(), [only] if only.ends_with(&advice)), "{warnings:?}");
    assert!(load(&inline, 0o640).is_empty());
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let fail = |name: &str| {
        let path = folder.path().join(name);
        load(&path, &Env::new(&environment), &collectors()).unwrap_err().to_string()
    };
    assert!(fail("none.toml").contains("none.toml: expected a configuration file"), "{}", fail("none.toml"));
    assert!(fail("none.toml").contains("No such file or directory"), "{}", fail("none.toml"));
    write(&folder.path().join("large.toml"), &"#".repeat((1 << 20) + 1), 0o600);
    assert!(fail("large.toml").contains("larger than 1048576 bytes"), "{}", fail("large.toml"));
}

/// A file that names every key.
fn full() -> String {
    let fingerprint = "AB".repeat(32);
    format!(
        "[web]\nlisten_addresses = [\"[::]:9221\", \"localhost:0\"]\nbasic_auth_users = {{ a = \"{HASH}\" }}\n\
         enable_lifecycle = true\n\n[scrape]\ntimeout = \"10s\"\nmargin = \"500ms\"\n\
         max_body = \"64MiB\"\n\n{}tls = {{ fingerprints = [\"{fingerprint}\"] }}\n\n{}\n[clusters.tls]\n\
         insecure_skip_verify = true\n\n[collectors]\nguest = false\nnode = {{ enabled = true }}\n",
        cluster(&format!(
            "token_secret = \"{SECRET}\"\nmodules = [\"default\"]\nnode_addresses = {{ pve1 = \"https://192.0.2.11\" }}"
        )),
        cluster("token_secret_env = \"PVE_TOKEN\"").replace("home", "shed"),
    )
}

#[test]
fn a_secret_in_any_other_key_is_not_shown() {
    let text = full();
    assert!(parsed(&text).is_ok(), "{}", output(&parsed(&text)));
    let keys: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    let others = ["token_secret_file", "token_secret_credential", "tokensecret", "tls.ca_file", "tls.insecure", "x.y"];
    // A cluster may be called what it likes, and its name is a label.
    for key in keys.into_iter().chain(others).filter(|key| *key != "name") {
        for value in
            [format!("\"{SECRET}\""), format!("[\"{SECRET}\"]"), format!("{{ x = \"{SECRET}\" }}"), SECRET.to_owned()]
        {
            let line = format!("{key} = {value}");
            let swapped: Vec<&str> = text
                .lines()
                .map(|other| if other.split_once(" = ").is_some_and(|(name, _)| name == key) { &line } else { other })
                .collect();
            for text in [swapped.join("\n"), format!("{line}\n{text}"), format!("{}{line}\n", cluster(""))] {
                let output = output(&parsed(&text));
                assert!(hides_secrets(&output), "{line}\n{output}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics(text in any::<String>(), toml in "([a-z\\[\\]{}=\"'.,#0-9\\-:é \n]|clusters|web|name|tls|\\[\\[|\"\"\"){0,60}") {
        for text in [text, toml] {
            if let Err(LoadError::Faults(faults)) = parsed(&text) {
                prop_assert!(!faults.is_empty());
            }
        }
    }

    #[test]
    fn changed_files_neither_panic_nor_show_secrets(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..6_u8, "[a-z=\"'\\[\\]{}.,# \n\\\\0-9é]"), 1..8),
    ) {
        let mut lines: Vec<String> = full().lines().map(str::to_owned).collect();
        for (at, kind, piece) in edits {
            let index = at.index(lines.len());
            let line = lines[index].clone();
            let middle = line.char_indices().map(|(offset, _)| offset).nth(at.index(line.chars().count().max(1))).unwrap_or(0);
            match kind {
                0 => lines[index].insert_str(middle, &piece),
                1 => lines[index].truncate(middle),
                2 => lines.insert(index, line),
                3 => { let other = lines.len() - 1; lines.swap(index, other); }
                4 if lines.len() > 1 => { lines.remove(index); }
                _ => lines[index] = line.replace(['"', '='], &piece),
            }
        }
        let result = parsed(&lines.join("\n"));
        prop_assert!(hides_secrets(&output(&result)), "{}", output(&result));
        if let Err(LoadError::Faults(faults)) = result {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, start in 0..4_usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        let valid = full();
        let mut content = valid.as_bytes().get(..start * valid.len() / 4).unwrap_or_default().to_vec();
        content.extend(bytes);
        std::fs::write(&path, content).unwrap();
        let result = load(&path, &Env::new(&environment), &collectors());
        prop_assert!(hides_secrets(&output(&result)), "{}", output(&result));
    }
}

#[test]
fn discovery_is_switched_on_by_its_table() {
    let minimum = "[[clusters]]\nname = \"home\"\nendpoints = [\"https://192.0.2.11\"]\ntoken_id = \"a@pve!b\"\n\
                   token_secret = \"00000000-0000-0000-0000-000000000000\"\n";
    let read = |more: &str| {
        let loaded = parse(&format!("{minimum}{more}"), Path::new("home.toml"), &Env::new(&|_| None), &collectors());
        loaded.map(|loaded| loaded.config.discovery).map_err(|error| error.to_string())
    };
    assert_eq!(read(""), Ok(None));
    let default = read("[discovery]\n").unwrap().unwrap();
    assert_eq!((default.interval, default.prefer.len(), default.address_info), (Duration::from_mins(5), 0, false));
    let all = "[discovery]\ninterval = \"30s\"\nprefer = [\"192.0.2.0/24\", \"2001:db8::/32\"]\naddress_info = true\n";
    let all = read(all).unwrap().unwrap();
    let services = "[[discovery.services]]\nguests = [\"tag:web\", \"!100-199\"]\nport = 443\ntype = \"https\"\n";
    let services = read(services).unwrap().unwrap().services;
    let told = (services[0].guests.to_string(), services[0].service.name.as_str(), services[0].service.port);
    assert_eq!(told, ("tag:web,!100-199".to_owned(), "https/443", 443));
    assert_eq!((all.interval, all.prefer.len(), all.address_info), (Duration::from_secs(30), 2, true));
    for (more, expected) in [
        ("interval = \"0s\"", "discovery.interval: expected a duration from 1s to 1d, such as \"5m\", found \"0s\""),
        (
            "prefer = [\"192.0.2.7/24\"]",
            "expected the first address of the network, which is 192.0.2.0/24, found \"192.0.2.7/24\"",
        ),
        ("prefer = [\"lan\"]", "expected a network such as 192.0.2.0/24 or 2001:db8::/32, found \"lan\""),
        ("intervall = \"5m\"", "did you mean interval?"),
        ("services = [{ guests = [\"web\"], type = \"ssh\" }]", "expected a selector such as tag:dev"),
        ("services = [{ guests = [], type = \"ssh\" }]", "expected"),
        ("services = [{ type = \"ssh\" }]", "whose service it is"),
        ("services = [{ guests = [\"tag:web\"], type = \"tcp\" }]", "expected a port"),
        (
            "services = [{ guests = [\"1\"], type = \"ssh\" }, { guests = [\"2\"], type = \"ssh\" }]",
            "expected each service once",
        ),
    ] {
        let error = read(&format!("[discovery]\n{more}\n")).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
