//! What prometheus-pve-exporter says of the recorded cluster, we say too; every difference is named here.

use crate::support::{Cluster, Exporter, Page, Series, of_clusters, repository};

/// Families of the reference that `/metrics` does not have, and why.
const ABSENT: &[(&str, &str)] = &[
    ("pve_network_transmit_bytes", "deprecated gauge: the counter of that name with _total says it"),
    ("pve_network_receive_bytes", "deprecated gauge: the counter of that name with _total says it"),
    ("pve_disk_write_bytes", "deprecated gauge: pve_disk_written_bytes_total says it"),
    ("pve_disk_read_bytes", "deprecated gauge: pve_disk_read_bytes_total says it"),
    ("pve_not_backed_up_total", "no counter: pve_not_backed_up_guests says it"),
    ("pve_subscription_next_due_timestamp_seconds", "no recorded node has a subscription"),
    ("pve_replication_last_sync_timestamp_seconds", "the recorded job never succeeded, for which PVE says 0"),
];

/// Why a series of the reference is not on our page.
fn left_out(family: &str, labels: &Series, value: f64) -> Option<&'static str> {
    let id = labels.get("id").map(String::as_str).unwrap_or_default();
    if id.starts_with("/pool/") {
        return Some("pools have families of their own, so that sums count no guest twice");
    }
    match family {
        "pve_ha_state" | "pve_lock_state" if value == 0.0 => Some("state sets are sparse"),
        "pve_subscription_status" if value == 0.0 => Some("state sets are sparse"),
        "pve_onboot_status" if labels.contains_key("node") => Some("id only, so that a migration breaks no series"),
        "pve_disk_usage_bytes" if id.starts_with("qemu/") && value == 0.0 => Some("PVE does not know it"),
        _ => None,
    }
}

/// Why a series of ours is not on the reference's page.
fn added(family: &str, labels: &Series) -> Option<&'static str> {
    let state = labels.get("state").map(String::as_str).unwrap_or_default();
    match (family, state) {
        ("pve_ha_state", "ignored") => Some("the reference does not know this state"),
        ("pve_onboot_status", _) if labels.len() == 2 => Some("id only, so that a migration breaks no series"),
        _ => None,
    }
}

#[test]
fn shared_families_have_the_same_series_and_values() {
    let golden = repository().join("tests/fixtures/reference/prometheus-pve-exporter-3.10.2.pve-9.2-cluster.prom");
    let reference = Page::parse(&std::fs::read_to_string(golden).unwrap());
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve_all(&cluster.config("home"));
    let ours = Page::parse(&exporter.settled_page("/metrics?cluster=home", &of_clusters()));

    let mut differences = Vec::new();
    let (mut shared, mut compared) = (0, 0);
    for (family, kind) in &reference.types {
        let reference_series = reference.samples.get(family).cloned().unwrap_or_default();
        let Some(series) = ours.samples.get(family) else {
            let held = reference_series.iter().all(|(labels, value)| left_out(family, labels, *value).is_some());
            let named = ABSENT.iter().any(|(name, _)| name == family) || (held && family == "pve_lock_state");
            if !named {
                differences.push(format!("{family} is missing"));
            }
            continue;
        };
        shared += 1;
        assert!(ABSENT.iter().all(|(name, _)| name != family), "{family} is there by now");
        assert_eq!(ours.types.get(family), Some(kind), "{family}");
        let mut series = series.clone();
        for (labels, value) in reference_series {
            let mut with_cluster = labels.clone();
            with_cluster.insert("cluster".to_owned(), "home".to_owned());
            match series.remove(&with_cluster) {
                Some(found) if found == value => compared += 1,
                Some(found) => differences.push(format!("{family}{labels:?}: {found} instead of {value}")),
                None if left_out(family, &labels, value).is_some() => {}
                None => differences.push(format!("{family}{labels:?} is missing")),
            }
        }
        for labels in series.keys().filter(|labels| added(family, labels).is_none()) {
            differences.push(format!("{family}{labels:?} is not the reference's"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(shared >= 19 && compared >= 169, "only {shared} families and {compared} series were compared");
}
