//! Thin pools of LVM on each node. Try: `pvesh get /nodes/NODE/disks/lvmthin`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{Column, node_of};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::wire::Number;
use crate::pve::{self, ThinPool};

const CALL: &str = "/nodes/{node}/disks/lvmthin";

/// It blocks because the node runs lvs, which waits for disks.
pub(super) const COLLECTOR: Collector = Collector {
    name: "lvm",
    about: "data and metadata of every node's thin pools",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL],
    families: &[&INFO, &SIZE, &USAGE, &METADATA_SIZE, &METADATA_USAGE],
    preset: Some(Preset::Full),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(5),
        per: Per::Node,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static INFO: Desc = Desc {
    name: "pve_lvm_thin_info",
    help: "Node, volume group and name of the thin pool, from /nodes/{node}/disks/lvmthin.",
    kind: Kind::Gauge,
};
static SIZE: Desc = Desc {
    name: "pve_lvm_thin_size_bytes",
    help: "Room for data in the thin pool, from /nodes/{node}/disks/lvmthin.",
    kind: Kind::Gauge,
};
static USAGE: Desc = Desc {
    name: "pve_lvm_thin_usage_bytes",
    help: "Data in the thin pool, from /nodes/{node}/disks/lvmthin.",
    kind: Kind::Gauge,
};
static METADATA_SIZE: Desc = Desc {
    name: "pve_lvm_thin_metadata_size_bytes",
    help: "Room for metadata of the thin pool, from /nodes/{node}/disks/lvmthin.",
    kind: Kind::Gauge,
};
static METADATA_USAGE: Desc = Desc {
    name: "pve_lvm_thin_metadata_usage_bytes",
    help: "Metadata of the thin pool, which fails when they are full, from /nodes/{node}/disks/lvmthin.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(node_of(ask.subject()), &pve::thin_pools(&answer)?))
    })
}

fn families(node: &str, pools: &[ThinPool<'_>]) -> Vec<Family> {
    let mut info = Column::new(&INFO);
    let mut values = [&SIZE, &USAGE, &METADATA_SIZE, &METADATA_USAGE].map(Column::new);
    // By name, each once. LVM has no name with a slash.
    let pools: BTreeMap<(&str, &str), &ThinPool<'_>> = pools
        .iter()
        .filter_map(|pool| Some(((pool.vg.filled()?, pool.lv.filled()?), pool)))
        .filter(|((vg, lv), _)| !vg.contains('/') && !lv.contains('/'))
        .collect();
    for ((vg, lv), pool) in pools {
        let id = format!("lvmthin/{node}/{vg}/{lv}");
        info.push_info(Labels::new(&[("id", &id), ("node", node), ("vg", vg), ("lv", lv)]));
        let labels = Labels::new(&[("id", &id)]);
        // What has no size is not a pool of none.
        let size = |size: Number| size.quantity().filter(|size| *size > 0.0);
        let (room, metadata_room) = (size(pool.lv_size), size(pool.metadata_size));
        let told = [
            room,
            pool.used.quantity().filter(|_| room.is_some()),
            metadata_room,
            pool.metadata_used.quantity().filter(|_| metadata_room.is_some()),
        ];
        for (column, value) in values.iter_mut().zip(told) {
            column.push(&labels, value);
        }
    }
    std::iter::once(info).chain(values).map(Column::into_family).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<String> {
        lines(&families("pve-lab", &pve::thin_pools(answer).expect("thin pools")))
    }

    #[test]
    fn the_recorded_node_has_none() {
        assert!(told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__disks__lvmthin.json")).is_empty());
    }

    #[test]
    fn data_and_metadata_are_told() {
        assert_eq!(
            told(&recorded("hand-made/GET_nodes__pve-lab__disks__lvmthin.json")),
            [
                "pve_lvm_thin_info{id=\"lvmthin/pve-lab/pve/data\",node=\"pve-lab\",vg=\"pve\",lv=\"data\"} 1",
                "pve_lvm_thin_size_bytes{id=\"lvmthin/pve-lab/pve/data\"} 858993459200",
                "pve_lvm_thin_usage_bytes{id=\"lvmthin/pve-lab/pve/data\"} 654982512640",
                "pve_lvm_thin_metadata_size_bytes{id=\"lvmthin/pve-lab/pve/data\"} 8589934592",
                "pve_lvm_thin_metadata_usage_bytes{id=\"lvmthin/pve-lab/pve/data\"} 1073741824",
            ]
        );
    }

    #[test]
    fn what_is_no_figure_is_absent() {
        let answer = Answer::of(r#"{"data":[{"vg":"a","lv":"b","lv_size":-1,"used":"x"},{"vg":"a"}]}"#);
        assert_eq!(
            told(&answer),
            ["pve_lvm_thin_info{id=\"lvmthin/pve-lab/a/b\",node=\"pve-lab\",vg=\"a\",lv=\"b\"} 1"]
        );
        assert!(pve::thin_pools(&Answer::of(r#"{"data":[{"vg":"a"}]}"#)).is_err());
    }

    #[test]
    fn a_pool_without_size_is_neither_empty_nor_full() {
        let answer = Answer::of(
            r#"{"data":[{"vg":"a","lv":"b","lv_size":0,"used":7,"metadata_size":0,"metadata_used":0},
                {"vg":"x/y","lv":"z","lv_size":1},{"vg":"x","lv":"y/z","lv_size":1}]}"#,
        );
        assert_eq!(
            told(&answer),
            ["pve_lvm_thin_info{id=\"lvmthin/pve-lab/a/b\",node=\"pve-lab\",vg=\"a\",lv=\"b\"} 1"]
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(pools in any_rows(&["vg", "lv", "lv_size", "used", "metadata_size", "metadata_used"])) {
            let answer = Answer::of(&serde_json::json!({ "data": pools }).to_string());
            if let Ok(pools) = pve::thin_pools(&answer) {
                check(&COLLECTOR, &families("a", &pools));
            }
        }
    }
}
