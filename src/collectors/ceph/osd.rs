//! Ceph's OSDs.

use std::collections::{BTreeMap, BTreeSet};

use super::super::shared::{Column, flag};
use super::{ID, gauge};
use crate::metrics::{Desc, Family, Labels};
use crate::pve::{CephOsd, CephOsds};

pub(super) static FLAG: Desc = gauge(
    "pve_ceph_flag",
    "A switch that the administrator has set for all OSDs, such as noout, from /nodes/{node}/ceph/osd.",
);
pub(super) static VERSIONS: Desc =
    gauge("pve_ceph_osd_versions", "How many versions of Ceph the OSDs run, from /nodes/{node}/ceph/osd.");
pub(super) static INFO: Desc =
    gauge("pve_ceph_osd_info", "Node, class of device and version of the OSD, from /nodes/{node}/ceph/osd.");
pub(super) static UP: Desc = gauge("pve_ceph_osd_up", "Whether the OSD answers, from /nodes/{node}/ceph/osd.");
pub(super) static IN: Desc = gauge("pve_ceph_osd_in", "Whether the OSD takes part, from /nodes/{node}/ceph/osd.");
pub(super) static SIZE: Desc = gauge("pve_ceph_osd_size_bytes", "Size of the OSD, from /nodes/{node}/ceph/osd.");
pub(super) static USAGE: Desc =
    gauge("pve_ceph_osd_usage_bytes", "Space of the OSD that is in use, from /nodes/{node}/ceph/osd.");
pub(super) static COMMIT: Desc = gauge(
    "pve_ceph_osd_commit_latency_seconds",
    "How long it took the OSD of late until a write was safe, from /nodes/{node}/ceph/osd.",
);
pub(super) static APPLY: Desc = gauge(
    "pve_ceph_osd_apply_latency_seconds",
    "How long it took the OSD of late until a write was seen, from /nodes/{node}/ceph/osd.",
);

/// Switches of the administrator; the others tell of features, and are always set.
const FLAGS: &[&str] = &[
    "full",
    "nearfull",
    "nobackfill",
    "nodeep-scrub",
    "nodown",
    "noin",
    "noout",
    "norebalance",
    "norecover",
    "noscrub",
    "nosnaptrim",
    "notieragent",
    "noup",
    "pauserd",
    "pausewr",
];

pub(super) fn families(told: &CephOsds<'_>) -> Vec<Family> {
    let [mut switch, mut versions, mut info] = [&FLAG, &VERSIONS, &INFO].map(Column::new);
    let mut values = [&UP, &IN, &SIZE, &USAGE, &COMMIT, &APPLY].map(Column::new);
    let set: BTreeSet<&str> = told.flags.filled().unwrap_or_default().split(',').map(str::trim).collect();
    for name in FLAGS.iter().filter(|name| set.contains(*name)) {
        switch.push_info(Labels::new(&[("id", ID), ("flag", name)]));
    }
    // By number, each once, though it may hang in several trees.
    let osds: BTreeMap<u64, &CephOsd<'_>> = told.osds.iter().filter_map(|osd| Some((osd.id.whole()?, osd))).collect();
    let running: BTreeSet<&str> = osds.values().filter_map(|osd| osd.ceph_version_short.filled()).collect();
    versions.push(&Labels::new(&[("id", ID)]), (!running.is_empty()).then_some(running.len() as f64));
    for (number, osd) in osds {
        let id = format!("ceph/osd.{number}");
        info.push_info(Labels::new(&[
            ("id", &id),
            ("node", osd.host.filled().unwrap_or_default()),
            ("device_class", osd.device_class.filled().unwrap_or_default()),
            ("version", osd.ceph_version_short.filled().unwrap_or_default()),
        ]));
        let labels = Labels::new(&[("id", &id)]);
        for (column, value) in values.iter_mut().zip(figures(osd)) {
            column.push(&labels, value);
        }
    }
    [switch, versions, info].into_iter().chain(values).map(Column::into_family).collect()
}

fn figures(osd: &CephOsd<'_>) -> [Option<f64>; 6] {
    let up = osd.status.filled().map(|status| status == "up");
    // One that does not answer has the latency 0.
    let seconds = |milliseconds: Option<f64>| milliseconds.filter(|_| up == Some(true)).map(|time| time / 1000.0);
    [
        up.map(flag),
        osd.is_in.0.map(|told| flag(told > 0.0)),
        osd.total_space.quantity(),
        osd.bytes_used.quantity(),
        seconds(osd.commit_latency_ms.quantity()),
        seconds(osd.apply_latency_ms.quantity()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::lines;
    use super::*;
    use crate::pve::testing::recorded;
    use crate::pve::{self, Answer};

    #[test]
    fn the_hand_made_osds_are_told() {
        let answer = recorded("hand-made/GET_nodes__localhost__ceph__osd.json");
        let lines = lines(&families(&pve::ceph_osds(&answer).expect("OSDs")));
        assert_eq!(
            lines[..8],
            [
                "pve_ceph_flag{id=\"ceph\",flag=\"noout\"} 1",
                "pve_ceph_osd_versions{id=\"ceph\"} 2",
                "pve_ceph_osd_info{id=\"ceph/osd.0\",node=\"pve-lab\",device_class=\"ssd\",version=\"19.2.3\"} 1",
                "pve_ceph_osd_info{id=\"ceph/osd.1\",node=\"pve-lab\",device_class=\"ssd\",version=\"19.2.3\"} 1",
                "pve_ceph_osd_info{id=\"ceph/osd.2\",node=\"pve-lab2\",device_class=\"ssd\",version=\"19.2.1\"} 1",
                "pve_ceph_osd_up{id=\"ceph/osd.0\"} 1",
                "pve_ceph_osd_up{id=\"ceph/osd.1\"} 1",
                "pve_ceph_osd_up{id=\"ceph/osd.2\"} 0",
            ]
        );
        assert_eq!(
            lines[17..],
            [
                "pve_ceph_osd_commit_latency_seconds{id=\"ceph/osd.0\"} 0.002",
                "pve_ceph_osd_commit_latency_seconds{id=\"ceph/osd.1\"} 0.002",
                "pve_ceph_osd_apply_latency_seconds{id=\"ceph/osd.0\"} 0.003",
                "pve_ceph_osd_apply_latency_seconds{id=\"ceph/osd.1\"} 0.003",
            ]
        );
    }

    #[test]
    fn an_osd_in_two_trees_is_one() {
        let osd = r#"{"id":"4","type":"osd","status":"up","in":0}"#;
        let answer = Answer::of(&format!(r#"{{"data":{{"root":{{"children":[{osd},{{"children":[{osd}]}}]}}}}}}"#));
        assert_eq!(
            lines(&families(&pve::ceph_osds(&answer).expect("OSDs"))),
            [
                "pve_ceph_osd_info{id=\"ceph/osd.4\",node=\"\",device_class=\"\",version=\"\"} 1",
                "pve_ceph_osd_up{id=\"ceph/osd.4\"} 1",
                "pve_ceph_osd_in{id=\"ceph/osd.4\"} 0",
            ]
        );
    }
}
