//! Ceph's pools.

use std::collections::BTreeMap;

use super::super::shared::Column;
use super::gauge;
use crate::metrics::{Desc, Family, Labels};
use crate::pve::{CephPool, CephPoolStatistics};

pub(super) static INFO: Desc =
    gauge("pve_ceph_pool_info", "Name and type of Ceph's pool, from /nodes/{node}/ceph/pool.");
pub(super) static USAGE: Desc = gauge(
    "pve_ceph_pool_usage_bytes",
    "Space of Ceph's pool that is in use, each copy counted, from /nodes/{node}/ceph/pool.",
);
pub(super) static RATIO: Desc = gauge(
    "pve_ceph_pool_usage_ratio",
    "How much is in use of the space that Ceph's pool could have, from /nodes/{node}/ceph/pool.",
);
pub(super) static REPLICAS: Desc = gauge(
    "pve_ceph_pool_replicas",
    "How many copies, or pieces, Ceph's pool should have of each object, from /nodes/{node}/ceph/pool.",
);
pub(super) static MIN_REPLICAS: Desc = gauge(
    "pve_ceph_pool_min_replicas",
    "With how many copies, or pieces, Ceph's pool still can be written, from /nodes/{node}/ceph/pool.",
);
pub(super) static PGS: Desc =
    gauge("pve_ceph_pool_pgs", "Number of placement groups of Ceph's pool, from /nodes/{node}/ceph/pool.");

pub(super) static OBJECTS: Desc =
    gauge("pve_ceph_pool_objects", "Number of objects in Ceph's pool, from /nodes/{node}/ceph/pool/{name}/status.");
pub(super) static DATA: Desc = gauge(
    "pve_ceph_pool_data_bytes",
    "Data in Ceph's pool, each object once, from /nodes/{node}/ceph/pool/{name}/status.",
);

pub(super) fn families(pools: &[CephPool<'_>], held: &BTreeMap<String, CephPoolStatistics>) -> Vec<Family> {
    let mut info = Column::new(&INFO);
    let mut values = [&USAGE, &RATIO, &REPLICAS, &MIN_REPLICAS, &PGS, &OBJECTS, &DATA].map(Column::new);
    // By name, each once.
    let pools: BTreeMap<&str, &CephPool<'_>> =
        pools.iter().filter_map(|pool| Some((pool.pool_name.filled()?, pool))).collect();
    for (&name, &pool) in &pools {
        let id = format!("ceph/pool/{name}");
        info.push_info(Labels::new(&[("id", &id), ("pool", name), ("type", pool.kind.filled().unwrap_or_default())]));
        let labels = Labels::new(&[("id", &id)]);
        let held = held.get(name).filter(|held| is_of(held, pool, &pools)).copied().unwrap_or_default();
        let told =
            [pool.bytes_used, pool.percent_used, pool.size, pool.min_size, pool.pg_num, held.objects, held.stored];
        for (column, value) in values.iter_mut().zip(told) {
            column.push(&labels, value.quantity());
        }
    }
    std::iter::once(info).chain(values).map(Column::into_family).collect()
}

/// Some releases of PVE tell the figures of the last pool whichever they are asked for: theirs are nearer to what the list
/// says of another one.
fn is_of(held: &CephPoolStatistics, pool: &CephPool<'_>, pools: &BTreeMap<&str, &CephPool<'_>>) -> bool {
    let Some(told) = held.bytes_used.quantity() else { return false };
    let distance = |pool: &CephPool<'_>| pool.bytes_used.quantity().map(|listed| (listed - told).abs());
    distance(pool).is_some_and(|own| pools.values().copied().filter_map(distance).all(|other| own <= other))
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::pve::wire::Number;

    /// What one pool of the fixture made by hand holds.
    pub(in super::super) fn held() -> BTreeMap<String, CephPoolStatistics> {
        let number = |number| Number(Some(number));
        let held = CephPoolStatistics { objects: number(8264.0), stored: number(31e9), bytes_used: number(96e9) };
        BTreeMap::from([("vms".to_owned(), held)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::lines;
    use super::*;
    use crate::pve::{self, Answer};

    #[test]
    fn a_pool_is_told_and_its_missing_figures_are_not() {
        let answer = Answer::of(
            r#"{"data":[{"pool":2,"pool_name":"vms","type":"replicated","size":3,"min_size":2,"pg_num":128,"bytes_used":96000,"percent_used":0.0162},{"pool_name":"new"},{"pool":4}]}"#,
        );
        assert_eq!(
            lines(&families(&pve::ceph_pools(&answer).expect("pools"), &BTreeMap::new())),
            [
                "pve_ceph_pool_info{id=\"ceph/pool/new\",pool=\"new\",type=\"\"} 1",
                "pve_ceph_pool_info{id=\"ceph/pool/vms\",pool=\"vms\",type=\"replicated\"} 1",
                "pve_ceph_pool_usage_bytes{id=\"ceph/pool/vms\"} 96000",
                "pve_ceph_pool_usage_ratio{id=\"ceph/pool/vms\"} 0.0162",
                "pve_ceph_pool_replicas{id=\"ceph/pool/vms\"} 3",
                "pve_ceph_pool_min_replicas{id=\"ceph/pool/vms\"} 2",
                "pve_ceph_pool_pgs{id=\"ceph/pool/vms\"} 128",
            ]
        );
        assert!(pve::ceph_pools(&Answer::of(r#"{"data":[{"pool":4}]}"#)).is_err());
    }

    #[test]
    fn objects_are_told_of_the_pool_that_has_them() {
        let answer = Answer::of(
            r#"{"data":[{"pool_name":".mgr","bytes_used":4096},{"pool_name":"vms","bytes_used":96000000000},{"pool_name":"new"}]}"#,
        );
        let pools = pve::ceph_pools(&answer).expect("pools");
        let told = |names: &[&str]| {
            let held: BTreeMap<String, CephPoolStatistics> = names
                .iter()
                .flat_map(|name| testing::held().into_values().map(|held| ((*name).to_owned(), held)))
                .collect();
            let lines = lines(&families(&pools, &held)).into_iter();
            lines.filter(|line| line.contains("_objects{") || line.contains("_data_bytes{")).collect::<Vec<_>>()
        };
        let own = [
            "pve_ceph_pool_objects{id=\"ceph/pool/vms\"} 8264",
            "pve_ceph_pool_data_bytes{id=\"ceph/pool/vms\"} 31000000000",
        ];
        assert_eq!(told(&["vms"]), own);
        assert_eq!(told(&[".mgr", "vms", "new"]), own, "a release that tells the same of all");
        assert!(told(&["gone"]).is_empty());
    }
}
