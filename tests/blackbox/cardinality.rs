//! How many series there are, and that none of them changes its name while what it is about lives on.

use std::collections::{BTreeMap, BTreeSet};

use pve_sentinel::collectors::{ALL, Lane};
use pve_sentinel::config::{Collectors, Preset};
use pve_sentinel::sim::{GuestKind, World};

use crate::support::{Exporter, Page, Series, Simulated, check_section};

/// Neither a backup nor a migration is under way in the demo, and no node is away.
const QUIET: u64 = 30;
/// The same some time later, when all of that has been.
const QUIET_AGAIN: u64 = 1100;

/// The page of a cluster with all that a preset and further lines of `[collectors]` want.
fn page(cluster: &Simulated, preset: Preset, more: &str) -> Page {
    let chosen = Collectors { preset, ..Collectors::default() };
    let names: Vec<&str> = ALL
        .iter()
        .filter(|one| matches!(one.lane, Lane::Fast(_) | Lane::Slow(_)))
        .filter(|one| one.is_on(&chosen) || more.contains(&format!("{} = true\n", one.name)))
        .map(|one| one.name)
        .collect();
    let config = cluster.cluster.config("home");
    let exporter = Exporter::serve(&format!("{config}\n[collectors]\npreset = \"{}\"\n{more}", preset.as_str()));
    Page::parse(&exporter.settled_page("/metrics?cluster=home", &names))
}

fn all_series(page: &Page) -> impl Iterator<Item = (&str, &Series)> {
    page.samples.iter().flat_map(|(name, series)| series.keys().map(move |labels| (name.as_str(), labels)))
}

/// How many series of a page are about something.
struct Counts {
    all: f64,
    storages: f64,
    services: f64,
    ceph: f64,
}

impl Counts {
    fn of(page: &Page) -> Self {
        let count = |is_meant: fn(&str, &str) -> bool| {
            let id = |labels: &Series| labels.get("id").cloned().unwrap_or_default();
            all_series(page).filter(|(name, labels)| is_meant(name, &id(labels))).count() as f64
        };
        Self {
            all: count(|_, _| true),
            storages: count(|_, id| id.starts_with("storage/")),
            services: count(|name, _| name.starts_with("pve_node_service_")),
            ceph: count(|_, id| id.starts_with("ceph")),
        }
    }
}

/// What one guest and one node more add to a preset, and what there is besides.
struct Growth {
    preset: Preset,
    guest: f64,
    node: Counts,
    besides: f64,
}

fn growth(preset: Preset) -> Growth {
    let counts = |nodes, guests| {
        let cluster = Simulated::lively(World::new(1, nodes, guests), 1);
        cluster.turn_to(QUIET);
        Counts::of(&page(&cluster, preset, ""))
    };
    let [small, guests, nodes, large] =
        [(3, 40), (3, 140), (7, 40), (7, 140)].map(|(nodes, guests)| counts(nodes, guests));
    let guest = (guests.all - small.all) / 100.0;
    let a_node = |what: fn(&Counts) -> f64| (what(&nodes) - what(&small)) / 4.0;
    let node = Counts {
        all: a_node(|counts| counts.all),
        storages: a_node(|counts| counts.storages),
        services: a_node(|counts| counts.services),
        ceph: a_node(|counts| counts.ceph),
    };
    let besides = small.all - 40.0 * guest - 3.0 * node.all;
    let expected = besides + 140.0 * guest + 7.0 * node.all;
    let off = (large.all - expected).abs() / expected;
    assert!(off < 0.02, "{preset:?}: {} series of 7 nodes and 140 guests, {expected} were expected", large.all);
    Growth { preset, guest, node, besides }
}

#[test]
fn the_readme_tells_how_many_series_there_are() {
    let growths = std::thread::scope(|scope| {
        Preset::ALL.map(|preset| scope.spawn(move || growth(preset))).map(|measured| measured.join().unwrap())
    });
    let row = |what: &str, value: &dyn Fn(&Growth) -> f64| {
        let cells: String = growths.iter().map(|one| format!(" {:.0} |", value(one))).collect();
        format!("| {what} |{cells}\n")
    };
    let presets: String = growths.iter().map(|one| format!(" `{}` |", one.preset.as_str())).collect();
    let table = [
        format!("| series of |{presets}\n|---|--:|--:|--:|\n"),
        row("each guest", &|one| one.guest),
        row("each node", &|one| one.node.all),
        row("… its storages", &|one| one.node.storages),
        row("… its services", &|one| one.node.services),
        row("… Ceph on it", &|one| one.node.ceph),
        row("the cluster", &|one| one.besides),
    ];
    check_section("series", &table.concat());
}

/// Families that say nothing but their labels.
fn is_info(name: &str) -> bool {
    name.ends_with("_info")
}

/// What a label of a series that has a value may say. One that is not here is looked at first: if it can have any number
/// of values, or another one tomorrow, it belongs on an info metric.
const BOUNDED: &[(&str, &str)] =
    &[("cluster", "as configured"), ("id", "what the series is about"), ("collector", "one of ours")];

/// Everything on, twenty minutes apart; meanwhile the demo's own backups, migrations and a lost node, and what is done by
/// edit.
#[test]
fn no_series_changes_its_labels_while_its_subject_lives() {
    let cluster = Simulated::lively(World::new(1, 3, 40), 1);
    let named: String = ALL
        .iter()
        .filter(|one| matches!(one.lane, Lane::Slow(_)) && one.preset.is_none())
        .map(|one| format!("{} = true\n", one.name))
        .collect();
    cluster.turn_to(QUIET);
    let before = numeric(&page(&cluster, Preset::Full, &named));
    let labels: BTreeSet<&str> = before.keys().flat_map(|(_, labels)| labels.keys().map(String::as_str)).collect();
    let unknown: Vec<_> = labels.iter().filter(|name| !BOUNDED.iter().any(|(known, _)| known == *name)).collect();
    println!("{unknown:?}");
    cluster.turn_to(QUIET_AGAIN - 60);
    cluster.world.edit(cluster.now(), |edit| {
        assert!(edit.rename(110, "another name"));
        assert!(edit.tag(110, "another;tag"));
        assert!(edit.migrate(110, 2));
        let _ = GuestKind::Lxc;
    });
    cluster.turn_to(QUIET_AGAIN);
    let after = numeric(&page(&cluster, Preset::Full, &named));
    for (name, labels) in before.keys().filter(|one| !after.contains_key(*one)) {
        println!("- {name} {labels:?}");
    }
    for (name, labels) in after.keys().filter(|one| !before.contains_key(*one)) {
        println!("+ {name} {labels:?}");
    }
}

fn numeric(page: &Page) -> BTreeMap<(String, Series), f64> {
    let of = |(name, series): (&String, &BTreeMap<Series, f64>)| {
        series.iter().map(|(labels, value)| ((name.clone(), labels.clone()), *value)).collect::<Vec<_>>()
    };
    page.samples.iter().filter(|(name, _)| !is_info(name)).flat_map(of).collect()
}
