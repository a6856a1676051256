//! The drop-in page: the families of prometheus-pve-exporter 3.10, exactly as it tells them.
//!
//! A second rendering of what the collectors know, each entry with the calls of its collector, and switched with it.
//! What differs from `/metrics` on purpose there is here as the reference has it: deprecated gauges, whole sets of
//! states, pools among the guests, PVE's word for a lost guest. Descriptions are shared where they hold on both pages.

mod cluster;
mod figures;
mod kept;
mod states;

use super::{Collector, Running, Subject};
use crate::inventory::{ClusterStatus, View};
use crate::metrics::{Desc, Family};

pub(super) use kept::{backup_total, qdevice_info, replication_times, subscription_status};

/// What one collector says on the drop-in page.
pub struct Reference {
    /// Whose calls it reads, with which it is switched off, and whose name its outcome bears.
    pub collector: &'static Collector,
    /// By which parameter it is asked for.
    pub part: Part,
    /// The families it may bring.
    pub families: &'static [&'static Desc],
    /// How it comes by them.
    pub source: Source,
}

/// The two halves of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `cluster=1`.
    Cluster,
    /// `node=1`: of the node that the target is.
    Node,
}

/// Where it comes from.
pub enum Source {
    /// The calls of the round.
    Round(for<'a> fn(&'a View) -> Running<'a>),
    /// What the slow lane keeps of the collector.
    Kept(fn(&Kept<'_>) -> Vec<Family>),
}

/// What the slow lane keeps of one collector.
pub struct Kept<'a> {
    /// What the collector said of each subject, narrowed to the entry's families.
    pub told: &'a [(Subject, Vec<Family>)],
    /// Of this round; absent where the call failed.
    pub status: Option<&'a ClusterStatus>,
}

/// Every entry, in the order of the collectors.
pub const ALL: &[&Reference] = &[
    &figures::GUEST,
    &figures::NODE,
    &figures::STORAGE,
    &cluster::CLUSTER,
    &states::HA,
    &states::LOCK,
    &figures::POOL,
    &kept::BACKUP_COVERAGE,
    &kept::GUEST_CONFIG,
    &kept::REPLICATION,
    &kept::SUBSCRIPTION,
    &kept::QDEVICE,
];

#[cfg(test)]
mod tests {
    use super::super::testing::reference_page;
    use super::super::{ALL as COLLECTORS, Lane};
    use super::*;
    use crate::metrics::Kind;
    use std::collections::BTreeMap;

    #[test]
    fn every_entry_reads_what_its_collector_reads() {
        for entry in ALL {
            let name = entry.collector.name;
            assert!(COLLECTORS.iter().any(|collector| collector.name == name), "{name}");
            let in_the_round = matches!(entry.source, Source::Round(_));
            assert_eq!(in_the_round, matches!(entry.collector.lane, Lane::Fast(_)), "{name}");
        }
        let known: std::collections::BTreeSet<&str> = ALL.iter().map(|entry| entry.collector.name).collect();
        let theirs = [
            "backup_coverage",
            "cluster",
            "guest",
            "guest_config",
            "ha",
            "lock",
            "node",
            "pool",
            "qdevice",
            "replication",
            "storage",
            "subscription",
        ];
        assert_eq!(known, theirs.into(), "the reference knows nothing of the others");
    }

    #[test]
    fn a_name_is_described_in_one_way() {
        let mut seen: BTreeMap<&str, &Desc> = BTreeMap::new();
        for desc in ALL.iter().flat_map(|entry| entry.families) {
            assert!(desc.help.ends_with('.') && !desc.help.contains(['\n', '\\']), "{}: {}", desc.name, desc.help);
            assert_eq!(seen.entry(desc.name).or_insert(desc), desc, "two families of one name");
        }
        let kinds = seen.values().map(|desc| (desc.name.to_owned(), desc.kind)).collect::<BTreeMap<_, _>>();
        assert_eq!(kinds, reference_kinds());
    }

    /// The types of the reference's page; the recorded cluster has no quorum device.
    fn reference_kinds() -> BTreeMap<String, Kind> {
        let page = reference_page();
        let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let kind = |word| if word == "counter" { Kind::Counter } else { Kind::Gauge };
        let quorum_device = [("pve_qdevice_up", "gauge"), ("pve_qdevice_info", "gauge")];
        types.chain(quorum_device).map(|(name, word)| (name.to_owned(), kind(word))).collect()
    }
}
