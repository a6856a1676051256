//! The house rules that no compiler keeps: arrows between the rooms, sizes of files, what a collector must bring.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pve_sentinel::collectors::{self, ALL, Collector, Lane, Size};
use pve_sentinel::config::{Collectors, Preset};

use crate::support::{check_section, repository};

/// Which rooms a room may name. The README's section for contributors draws the same.
const ARROWS: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("metrics", &[]),
    ("names", &[]),
    ("config", &["ids"]),
    ("api", &["ids", "config"]),
    ("pve", &["ids", "config", "metrics", "names"]),
    ("ssh", &["ids", "config", "metrics", "names"]),
    ("checks", &["ids", "config", "metrics", "names"]),
    ("inventory", &["ids", "pve"]),
    ("hosts", &["ids", "metrics"]),
    ("collectors", &["ids", "config", "pve", "ssh", "checks", "inventory", "hosts", "metrics"]),
    ("scrape", &["ids", "config", "collectors", "inventory", "metrics", "pve", "ssh"]),
    ("discovery", &["ids", "config", "inventory", "metrics", "api"]),
    ("control", &["ids", "config", "inventory", "metrics", "api", "pve", "ssh", "discovery", "names"]),
    ("events", &["ids", "config", "inventory", "metrics", "api", "pve", "names"]),
    ("http", &["ids", "config", "scrape", "metrics", "discovery", "api"]),
    ("setup", &["ids", "config", "pve", "ssh", "collectors", "checks", "names"]),
    ("sim", &["ids"]),
    ("commands", &["ids", "config", "setup", "ssh", "sim", "collectors", "app", "names"]),
    (
        "app",
        &[
            "ids",
            "config",
            "pve",
            "ssh",
            "checks",
            "inventory",
            "collectors",
            "metrics",
            "scrape",
            "discovery",
            "control",
            "events",
            "http",
            "setup",
            "api",
            "sim",
        ],
    ),
    ("main", &["commands"]),
];

const MOST_LINES: usize = 400;

#[test]
fn rooms_name_only_the_rooms_they_may() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(room, others)| (*room, others.iter().copied().collect())).collect();
    let mut faults = Vec::new();
    let mut found = BTreeSet::new();
    for file in sources() {
        let room = room_of(&file);
        if room == "lib" {
            continue;
        }
        let Some(others) = allowed.get(room.as_str()) else {
            faults.push(format!("{}: the room {room} is not on the map", file.display()));
            continue;
        };
        for named in named_rooms(&fs::read_to_string(&file).expect("a source file"), &allowed) {
            found.insert((room.clone(), named.clone()));
            if named != room && !others.contains(named.as_str()) {
                faults.push(format!("{}: {room} → {named} is no arrow of the house", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The reader itself must work: these arrows exist.
    for (from, to) in [("main", "commands"), ("http", "scrape"), ("collectors", "inventory"), ("pve", "config")] {
        assert!(found.contains(&(from.to_owned(), to.to_owned())), "{from} → {to} was not seen");
    }
}

#[test]
fn only_those_who_act_name_the_one_who_may() {
    let code =
        |text: &str| -> String { text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect() };
    let names = |text: &str| {
        let named = |piece: &str| piece.split_once("pve::").is_some_and(|(_, rest)| rest.contains("Writer"));
        code(text).split(';').any(named) || text.contains("pub struct Writer(")
    };
    let namers: BTreeSet<String> = sources()
        .into_iter()
        .filter(|file| names(&fs::read_to_string(file).expect("a source file")))
        .map(|file| room_of(&file))
        .collect();
    let may: BTreeSet<String> = ["app", "control", "pve"].map(str::to_owned).into();
    assert_eq!(namers, may);
}

#[test]
fn the_reader_of_arrows_sees_every_way_to_name_a_room() {
    let rooms: BTreeMap<&str, BTreeSet<&str>> = ARROWS.iter().map(|(room, _)| (*room, BTreeSet::new())).collect();
    let named = |text: &str| named_rooms(text, &rooms).into_iter().collect::<Vec<_>>();
    assert_eq!(named("use crate::pve::Client;"), ["pve"]);
    assert_eq!(named("use crate::{app, config::{Tls, Web},\n    sim};"), ["app", "config", "sim"]);
    assert_eq!(named("let x = crate::http::bind(1); // crate::scrape"), ["http"]);
    assert_eq!(named("use super::super::scrape::Scraper;"), ["scrape"]);
    assert_eq!(named("use pve_sentinel::sim::Sim; fn f() {}"), ["sim"]);
    assert!(named("//! [`crate::http`] is told elsewhere\nuse super::tests;").is_empty());
}

#[test]
fn files_stay_short_enough_to_hold_in_mind() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|file| {
            let text = fs::read_to_string(&file).expect("a source file");
            let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
            (lines > MOST_LINES).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines, split by subject:\n{}", long.join("\n"));
}

/// Dependencies that need no reason: the contract names them.
const GIVEN: &[&str] = &["hyper", "prometheus-client", "reqwest", "russh", "serde", "tokio", "toml", "tracing"];

/// Those whose reason is also that of the line below.
const SHARED: &[&str] = &["http", "http-body", "tracing-logfmt"];

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).expect("the manifest");
    let (mut is_list, mut has_reason, mut count, mut without) = (false, false, 0, Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_list = line.contains("dependencies");
            has_reason = false;
        } else if line.starts_with('#') {
            has_reason = true;
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| is_list) {
            count += 1;
            if !has_reason && !GIVEN.contains(&name) {
                without.push(name.to_owned());
            }
            has_reason = has_reason && SHARED.contains(&name);
        }
    }
    assert!(without.is_empty(), "a line above says what it is for and why not another: {}", without.join(", "));
    assert!(count > 40, "{count}");
}

#[test]
fn every_collector_brings_its_fixtures_its_golden_and_its_row() {
    let mut faults = Vec::new();
    for collector in pve_sentinel::collectors::ALL {
        let name = collector.name;
        if !repository().join(format!("src/collectors/{name}.rs")).is_file() {
            faults.push(format!("src/collectors/{name}.rs: the file of the collector {name} has another name"));
        }
        for call in collector.calls.iter().filter(|call| !has_fixture(call)) {
            faults.push(format!("tests/fixtures/pve-9.2-cluster has no answer to {call}, which {name} reads"));
        }
        let golden = match collector.lane {
            // What an answer to this question tells.
            Lane::Host(over_ssh) => format!("tests/golden/hosts/*.{}.prom", over_ssh.mode.as_str()),
            Lane::Fast(_) | Lane::Slow(_) | Lane::Services => format!("tests/golden/collectors/{name}.prom"),
        };
        if !exists(&golden) {
            faults.push(format!("{golden}: missing; UPDATE_GOLDEN=1 writes it"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Whether there is such a file; a star is any beginning of its name.
fn exists(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').expect("a folder");
    let ending = name.strip_prefix('*').map_or_else(|| format!("/{name}"), str::to_owned);
    let files = fs::read_dir(repository().join(folder)).expect("a folder");
    files.map(|entry| entry.expect("an entry").path()).any(|path| path.to_string_lossy().ends_with(&ending))
}

/// Whether a recording answers the call; what stands in braces may be anything.
fn has_fixture(call: &str) -> bool {
    // Logs were recorded by what their tasks did, lists of tasks without a choice.
    if call.contains("/tasks/{upid}/log") {
        return exists("tests/fixtures/pve-9.2-cluster/*__log.json");
    }
    let call = if call.contains("/tasks?") { call.split('?').next().unwrap_or(call) } else { call };
    let name = format!("GET{}.json", call.replacen('/', "_", 1).replace(['/', '?'], "__"));
    let mut literals = name.split('{').map(|part| part.split_once('}').map_or(part, |(_, literal)| literal));
    let first = literals.next().expect("a first part").to_owned();
    let others: Vec<String> = literals.map(str::to_owned).collect();
    let folders = ["pve-9.2-cluster", "hand-made"].map(|name| repository().join("tests/fixtures").join(name));
    folders.iter().flat_map(|folder| fs::read_dir(folder).expect("the fixtures")).any(|entry| {
        let file = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let Some(mut rest) = file.strip_prefix(first.as_str()) else { return false };
        for literal in &others {
            match rest.find(literal.as_str()) {
                Some(at) if at > 0 => rest = &rest[at + literal.len()..],
                _ => return false,
            }
        }
        rest.is_empty()
    })
}

/// The README's row of a collector.
fn row(collector: &Collector) -> String {
    let code = |texts: Vec<String>| texts.join(", ");
    let needs = code(collector.needs.iter().map(|need| format!("`{}` on `{}`", need.privilege, need.path)).collect());
    let calls = code(collector.calls.iter().map(|call| format!("`{call}`")).collect());
    let preset = collector.preset.map_or("", Preset::as_str);
    let asked = collector.asked(None);
    format!("| `{}` | {} | {preset} | {asked} | {needs} | {calls} |\n", collector.name, collector.about)
}

/// The README's rows of what collectors cost.
fn costs() -> String {
    let sizes =
        [(3, 100), (32, 10_000)].map(|(nodes, guests)| Size { nodes, guests, interval: Duration::from_mins(1) });
    let mut text = String::from("| collector | 3 nodes, 100 guests | 32 nodes, 10,000 guests |\n|---|---|---|\n");
    let slow = ALL.iter().filter(|collector| matches!(collector.lane, Lane::Slow(_)));
    for collector in slow {
        let [small, large] = sizes.map(|size| collectors::calls_per_hour(collector, None, &size).ceil());
        text.push_str(&format!("| `{}` | {small:.0} | {large:.0} |\n", collector.name));
    }
    for preset in Preset::ALL {
        let config = Collectors { preset, ..Collectors::default() };
        let [small, large] = sizes.map(|size| {
            let on = ALL.iter().copied().filter(|collector| collector.is_on(&config));
            let calls = collectors::calls_of_all(on.map(|collector| (collector, None)), &size);
            let share = collectors::share_of_workers(calls, Duration::from_millis(50), &size) * 100.0;
            format!("{:.0} ({share:.2} %)", calls.ceil())
        });
        text.push_str(&format!("| all of the preset `{}` | {small} | {large} |\n", preset.as_str()));
    }
    text
}

#[test]
fn the_readme_tells_what_the_collectors_are_and_cost() {
    let head = "| collector | what | preset | asked every | needs | API calls |\n|---|---|---|---|---|---|\n";
    let rows: String = ALL.iter().map(|collector| row(collector)).collect();
    check_section("collectors", &format!("{head}{rows}"));
    check_section("costs", &costs());
}

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![repository().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 20, "the sources were not found");
    files
}

fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix(repository().join("src")).expect("below src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that the code names through `crate::`, `pve_sentinel::` or `super::`, comments left out.
fn named_rooms(text: &str, rooms: &BTreeMap<&str, BTreeSet<&str>>) -> BTreeSet<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut named = BTreeSet::new();
    for root in ["crate::", "pve_sentinel::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            let words: Vec<String> = match rest.strip_prefix('{') {
                Some(group) => first_words_of_group(group),
                None => vec![word(rest)],
            };
            named.extend(words.into_iter().filter(|word| {
                // A room's own file may share a room's name; only a path that goes on or a group can be the room.
                rooms.contains_key(word.as_str())
            }));
        }
    }
    named
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn first_words_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut words, mut current) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.push(std::mem::take(&mut current)),
            other if depth == 0 => current.push(other),
            _ => {}
        }
    }
    words.push(current);
    words.iter().map(|entry| word(entry.trim())).collect()
}

#[test]
fn each_code_of_the_api_is_in_the_readme_with_its_status() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    for code in pve_sentinel::api::Code::ALL {
        let (word, status) = (format!("`{}`", code.as_str()), code.status().as_u16().to_string());
        let told = readme.lines().any(|line| {
            let mut cells = line.split('|').skip(1);
            let statuses = cells.next().unwrap_or_default();
            statuses.split(',').any(|one| one.trim() == status) && cells.any(|cell| cell.contains(&word))
        });
        assert!(told, "{word} with {status} is not in the README");
    }
}
