//! What is packaged, without packaging it: `packaging/test` does that. The configuration as it is shipped, and what
//! Cargo.toml says the package is made of.

use std::fs;
use std::process::Stdio;

use crate::support::{Exporter, repository, run_to_end, write_private};

fn check(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    write_private(&path, text);
    let ended = run_to_end(&["check", "--config.file", path.to_str().unwrap()]);
    (ended.code, ended.stdout + &ended.stderr)
}

#[test]
fn the_shipped_configuration_is_valid_and_takes_what_setup_prints() {
    let shipped = fs::read_to_string(repository().join("packaging/config.toml")).unwrap();
    let (code, said) = check(&shipped);
    assert!(code == Some(0) && said.contains("0 clusters") && !said.contains("warning"), "{said}");
    let printed = "[[clusters]]\nname = \"home\"\nendpoints = [\"https://192.0.2.11:8006\"]\n\
                   token_id = \"sentinel@pve!monitor\"\ntoken_secret = \"0b9e7a52-1111-4222-8333-5a5a5a5a5a5a\"\n";
    let (code, said) = check(&format!("{shipped}{printed}"));
    assert!(code == Some(0) && said.contains("1 cluster"), "{said}");
    let host = "[[hosts]]\nid = \"nas\"\nhostname = \"nas.lan\"\nssh = false\nservices = [{ port = 443 }]\n";
    let with_host = shipped.lines().filter(|line| *line != "hosts = []").collect::<Vec<_>>().join("\n");
    let (code, said) = check(&format!("{with_host}\n{host}{printed}"));
    assert!(code == Some(0) && said.contains("1 host"), "{said}");
}

#[test]
fn the_shipped_configuration_serves_our_own_metrics() {
    let shipped = fs::read_to_string(repository().join("packaging/config.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::serve(&shipped.replace("/var/lib/pve-sentinel", folder.path().to_str().unwrap()));
    assert!(exporter.page("/metrics").contains("\npve_sentinel_build_info{"));
}

/// The files that Cargo.toml packs, in the repository or made by `packaging/build`, and where they go.
fn assets() -> Vec<(String, String)> {
    let manifest: toml::Table = fs::read_to_string(repository().join("Cargo.toml")).unwrap().parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let word = |row: &toml::Value, index: usize| row[index].as_str().unwrap().to_owned();
    assets.iter().map(|row| (word(row, 0), word(row, 1))).collect()
}

#[test]
fn what_is_packed_is_there() {
    for (source, _) in assets() {
        if source.starts_with("target/package/") {
            continue;
        }
        let (folder, name) = source.rsplit_once('/').unwrap_or(("", &source));
        let (begin, end) = name.split_once('*').unwrap_or((name, ""));
        let mut names = fs::read_dir(repository().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let found =
            names.any(|name| name.to_str().unwrap().starts_with(begin) && name.to_str().unwrap().ends_with(end));
        assert!(found, "Cargo.toml packs {source}, which is not there");
    }
    // Nothing that an administrator looks for is left out.
    for folder in ["dashboards", "alerts"] {
        for entry in fs::read_dir(repository().join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            let is_packed = assets().iter().any(|(source, _)| {
                let (begin, end) = source.split_once('*').unwrap_or((source, ""));
                name.starts_with(begin) && name.ends_with(end)
            });
            assert!(is_packed, "{name} is not packed");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the shell reads them")]
#[test]
fn the_scripts_of_the_package_are_shell() {
    let scripts = fs::read_dir(repository().join("packaging/debian")).unwrap().map(|entry| entry.unwrap().path());
    let all: Vec<_> =
        scripts.chain([repository().join("packaging/build"), repository().join("packaging/test")]).collect();
    assert_eq!(all.len(), 5);
    for script in all {
        let read = std::process::Command::new("sh").arg("-n").arg(&script).stdin(Stdio::null()).output().unwrap();
        assert!(read.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&read.stderr));
    }
}
