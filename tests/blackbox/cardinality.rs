//! How many series there are, and that none of them changes its name while what it is about lives on.

use std::collections::BTreeSet;

use pve_sentinel::collectors::{ALL, Lane};
use pve_sentinel::config::{Collectors, Preset};
use pve_sentinel::sim::{GuestKind, World};

use crate::support::{Exporter, Page, Series, Simulated, check_section, repository};

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

/// Families that say nothing but their labels; all others have a value that is drawn and compared over time.
fn is_info(name: &str) -> bool {
    name.ends_with("_info")
}

/// The labels of series that have a value, and what they may say. One that is not here is to be looked at first: if it can
/// say anything, or something else tomorrow, it belongs on an info metric.
const LABELS: &[(&str, &str)] = &[
    ("cluster", "as configured"),
    ("id", "what the series is about"),
    ("collector", "one of ours"),
    ("path", "of a privilege that one of ours needs"),
    ("privilege", "that one of ours needs"),
    ("content", "what a storage may hold, one of PVE's words"),
    ("host", "as configured"),
    ("port", "as configured"),
    ("endpoint", "as configured"),
    ("device", "of a node: bridge, bond or thin pool"),
    ("member", "of a bridge or bond: a network card of the node"),
    ("disk", "of a guest, as in its configuration"),
    ("nic", "of a guest, as in its configuration"),
    ("mountpoint", "of a file system inside of a guest"),
    ("storage", "of a cluster"),
    ("file", "of a node's certificates, one of four"),
    ("service", "of a node, one of PVE's"),
    ("guests", "running or all"),
    ("kind", "one of few words"),
    ("operation", "read, write or flush"),
    ("origin", "of packages: one of few words"),
    ("reason", "one of few words"),
    ("resource", "CPU, memory or disks"),
    ("type", "one of few words"),
    ("check", "of Ceph's health, one of its words"),
    ("flag", "of Ceph, one of its words"),
    // These say how something is, each time one of few words: the series of a state goes when another one comes.
    ("severity", STATE),
    ("state", STATE),
    ("status", STATE),
];
const STATE: &str = "how it is";

/// A series without what it says of how something is.
fn subject((name, labels): (&str, &Series)) -> (String, Series) {
    let is_state = |label: &str| LABELS.iter().any(|(known, why)| known == &label && *why == STATE);
    let rest = labels.iter().filter(|(label, _)| !is_state(label));
    (name.to_owned(), rest.map(|(label, value)| (label.clone(), value.clone())).collect())
}

fn subjects(page: &Page, wanted: impl Fn(&str) -> bool) -> BTreeSet<(String, Series)> {
    all_series(page).filter(|(name, _)| wanted(name)).map(subject).collect()
}

fn has_value(name: &str) -> bool {
    !is_info(name)
}

fn assert_labels_are_bounded(page: &Page, place: &str) {
    for (name, labels) in all_series(page).filter(|(name, _)| has_value(name)) {
        for label in labels.keys() {
            assert!(LABELS.iter().any(|(known, _)| known == label), "{place}: {name} has the label {label}");
        }
    }
}

#[test]
fn what_has_a_value_has_no_label_that_can_say_anything() {
    for folder in ["collectors", "hand-made", ""] {
        for file in std::fs::read_dir(repository().join("tests/golden").join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "prom") {
                let text = std::fs::read_to_string(&path).unwrap().replace(" MASKED\n", " 0\n");
                assert_labels_are_bounded(&Page::parse(&text), &path.display().to_string());
            }
        }
    }
}

/// Everything is on, and eighteen minutes pass with the demo's own backups, migrations, crashes and the loss of a node,
/// while a guest gets another name, other tags and another node. Then one guest goes, and another comes.
#[test]
fn a_series_lives_as_long_as_what_it_is_about() {
    let cluster = Simulated::lively(World::new(1, 3, 40), 1);
    let named: String = ALL
        .iter()
        .filter(|one| matches!(one.lane, Lane::Slow(_)) && one.preset.is_none())
        .map(|one| format!("{} = true\n", one.name))
        .collect();
    let page_at = |second| {
        cluster.turn_to(second);
        page(&cluster, Preset::Full, &named)
    };
    let before = page_at(QUIET);
    assert_labels_are_bounded(&before, "the demo");
    let of = |page: &Page, id: &str| {
        all_series(page).filter(|(_, labels)| labels.get("id").is_some_and(|one| one == id)).count()
    };
    assert!(of(&before, CHANGED.0) > 50 && before.value("pve_up", &[("id", CHANGED.0)]) == Some(1.0));
    cluster.turn_to(QUIET_AGAIN - 60);
    cluster.world.edit(cluster.now(), |edit| {
        assert!(
            edit.rename(CHANGED.1, "another name") && edit.tag(CHANGED.1, "another;tag") && edit.migrate(CHANGED.1, 2)
        );
    });
    let after = page_at(QUIET_AGAIN);
    let (then, now) = (subjects(&before, has_value), subjects(&after, has_value));
    assert_eq!(
        then.difference(&now).collect::<Vec<_>>(),
        Vec::<&(String, Series)>::new(),
        "what was told is told still"
    );
    // The demo's guest whose backup always fails had its first attempt meanwhile.
    let came: Vec<String> = now.difference(&then).map(|(name, labels)| format!("{name} {}", labels["id"])).collect();
    let first = ["last_attempt_success", "last_attempt_timestamp_seconds", "running"];
    assert_eq!(came, first.map(|what| format!("pve_guest_backup_{what} qemu/102")));
    // What did change is on info metrics.
    let (then, now) = (subjects(&before, is_info), subjects(&after, is_info));
    let new_name = |(name, labels): &&(String, Series)| name == "pve_guest_info" && labels["id"] == CHANGED.0;
    let info =
        now.difference(&then).find(new_name).map(|(_, labels)| [&labels["name"], &labels["tags"], &labels["node"]]);
    assert_eq!(info.unwrap(), ["another name", "another;tag", "pve3"]);

    cluster.world.edit(cluster.now(), |edit| {
        assert!(edit.delete(CHANGED.1) && edit.create(7000, 0, GuestKind::Lxc, "newcomer"));
    });
    let last = page_at(QUIET_AGAIN + 20);
    let (then, now) = (subjects(&after, has_value), subjects(&last, has_value));
    let (gone, came): (BTreeSet<_>, BTreeSet<_>) = (then.difference(&now).collect(), now.difference(&then).collect());
    let ids = |series: &BTreeSet<&(String, Series)>| {
        series.iter().map(|(_, labels)| labels["id"].clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!((ids(&gone), ids(&came)), ([CHANGED.0.to_owned()].into(), ["lxc/7000".to_owned()].into()));
    assert!(gone.len() > 40 && came.len() > 20, "{} went, {} came", gone.len(), came.len());
}

/// A running VM with a guest agent that nothing happens to by itself.
const CHANGED: (&str, u64) = ("qemu/110", 110);
