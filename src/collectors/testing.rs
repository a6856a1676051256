//! What the tests of the collectors compare.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Collector;
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

/// What the reference exporter says in a family of the recorded cluster.
pub(super) fn reference(family: &str) -> Series {
    let file = "tests/fixtures/reference/prometheus-pve-exporter-3.10.2.pve-9.2-cluster.prom";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).expect("the reference's page");
    text.lines().filter(|line| line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'))).map(parse).collect()
}

/// Holds for whatever was told: only the collector's own families, each once, no series twice, finite values.
pub(super) fn check(collector: &Collector, families: &[Family]) {
    let mut names = BTreeSet::new();
    for family in families {
        let announced = |desc: &&'static Desc| family.desc == (*desc).into();
        assert!(collector.families.iter().any(announced), "{} is not announced", family.desc.view().name);
        assert!(names.insert(family.desc.view().name), "{} is there twice", family.desc.view().name);
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
