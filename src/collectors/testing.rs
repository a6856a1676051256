//! What the tests of the collectors compare.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Collector, reference};
use crate::metrics::{Desc, Family};

/// A series' name and labels, and its value.
pub(super) type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// What the families say, as lines of a page.
pub(super) fn lines(families: &[Family]) -> Vec<String> {
    let line = |family: &Family, labels: &str, value: f64| format!("{}{{{labels}}} {value}", family.desc.view().name);
    families
        .iter()
        .flat_map(|family| family.samples.iter().map(|sample| line(family, sample.labels.as_str(), sample.value)))
        .collect()
}

/// What the families say, without regard to order.
pub(super) fn series(families: &[Family]) -> Series {
    lines(families).iter().map(|line| parse(line)).collect()
}

/// What stands on `/metrics`: the shelf also keeps what only the drop-in page says.
pub(super) fn own(collector: &Collector, mut families: Vec<Family>) -> Vec<Family> {
    families.retain(|family| collector.families.iter().any(|desc| family.desc == (*desc).into()));
    families
}

/// The reference exporter's page of the recorded cluster.
pub(super) fn reference_page() -> String {
    let file = "tests/fixtures/reference/prometheus-pve-exporter-3.10.2.pve-9.2-cluster.prom";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).expect("the reference's page")
}

/// What the reference exporter says in a family of the recorded cluster.
pub(super) fn reference(family: &str) -> Series {
    let text = reference_page();
    text.lines().filter(|line| line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'))).map(parse).collect()
}

/// Holds for whatever was told: only the collector's own families and those of the drop-in page, each once, no series twice, finite values.
pub(super) fn check(collector: &Collector, families: &[Family]) {
    let entry = reference::ALL.iter().find(|entry| entry.collector.name == collector.name);
    let announced = |family: &Family| {
        let is = |desc: &&'static Desc| family.desc == (*desc).into();
        collector.families.iter().any(is) || entry.is_some_and(|entry| entry.families.iter().any(is))
    };
    let mut descs = BTreeSet::new();
    for family in families {
        assert!(announced(family), "{} is not announced", family.desc.view().name);
        let desc = family.desc.view();
        assert!(descs.insert((desc.name, desc.help)), "{} is there twice", family.desc.view().name);
        let mut seen = BTreeSet::new();
        for sample in family.samples.iter() {
            assert!(
                seen.insert(sample.labels.clone()),
                "{}{{{}}} is there twice",
                family.desc.view().name,
                sample.labels.as_str()
            );
            assert!(sample.value.is_finite(), "{}", sample.value);
        }
    }
}

fn parse(line: &str) -> ((String, BTreeMap<String, String>), f64) {
    let (name, rest) = line.split_once('{').expect("labels");
    let (labels, value) = rest.rsplit_once("} ").expect("a value");
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once("=\"").expect("a pair");
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    });
    ((name.to_owned(), pairs.collect()), value.parse().expect("a number"))
}
