//! What the benchmark takes for the least that can be done writes the very series of the exporter: see `tests/bench`.

#[path = "../bench/floor/page.rs"]
mod page;

use std::collections::BTreeSet;

use pve_sentinel::sim::World;

use crate::support::{Exporter, Simulated};

/// Series of these are not about what was asked for.
const OWN: [&str; 2] = ["pve_scrape_", "pve_sentinel_"];

#[test]
fn the_floor_of_the_benchmark_writes_what_the_exporter_writes() {
    let lab = Simulated::start(World::new(7, 4, 40), 1);
    let exporter = Exporter::serve(&lab.cluster.config("bench"));
    let page = exporter.page("/metrics?collect[]=guest&collect[]=node&collect[]=storage");
    let told: BTreeSet<&str> =
        page.lines().filter(|line| !line.starts_with('#') && !OWN.iter().any(|own| line.starts_with(own))).collect();

    let mut floor = Vec::new();
    let count = page::write(&lab.world.resources(lab.now()), &mut Vec::with_capacity(page::CHUNK), &mut floor).unwrap();
    let floor = String::from_utf8(floor).unwrap();
    let written: BTreeSet<&str> = floor.lines().collect();

    assert!(count > 400, "{count} series");
    assert_eq!(written.len(), usize::try_from(count).unwrap());
    let more: Vec<_> = told.symmetric_difference(&written).collect();
    assert!(more.is_empty(), "in one of them only: {more:#?}");
}
