//! Ceph, where the cluster has it. Try: `pvesh get /cluster/ceph/status`, `pvesh get /nodes/NODE/ceph/osd` and
//! `pvesh get /nodes/NODE/ceph/pool`

mod osd;
mod pool;
mod status;

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{if_there, if_told};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::{CollectorKey, KeyKind, Preset};
use crate::metrics::{Desc, Family, Kind};
use crate::pve::{self, Answer, CephOsds, CephPool, CephPoolStatistics, CephStatus, Error};

const CALL: &str = "/cluster/ceph/status";
/// PVE takes `localhost` for the node that is asked: any with Ceph will do.
const OSD_CALL: &str = "/nodes/localhost/ceph/osd";
const POOL_CALL: &str = "/nodes/localhost/ceph/pool";
/// For one pool; asked only where it is wished.
const STATISTICS_CALL: &str = "/nodes/localhost/ceph/pool/{pool}/status?verbose=1";
const OBJECTS: &str = "objects";
/// Of so many pools it is asked: each costs a call.
const MOST_ASKED: usize = 64;

/// It blocks because Ceph without a quorum does not answer.
///
/// PVE does not pass on the quotas of pools; of one that is near its quota Ceph says so in the checks `POOL_NEAR_FULL` and
/// `POOL_FULL`.
pub(super) const COLLECTOR: Collector = Collector {
    name: "ceph",
    about: "health, OSDs, placement groups, pools, space and traffic of Ceph, where there is one; objects and data of each pool \
            with `objects = true`",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL, OSD_CALL, POOL_CALL, STATISTICS_CALL],
    families: FAMILIES,
    preset: Some(Preset::Default),
    options: &[CollectorKey { name: OBJECTS, kind: KeyKind::Flag, about: "objects and data, by a call for each pool" }],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(1),
        per: Per::Cluster,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

const FAMILIES: &[&Desc] = &[
    &status::HEALTH,
    &status::CHECK,
    &status::MONS,
    &status::MONS_IN_QUORUM,
    &status::MGR_UP,
    &status::OSDS,
    &status::OSDS_UP,
    &status::OSDS_IN,
    &status::PGS,
    &status::PGS_IN_STATE,
    &status::OBJECTS,
    &status::DEGRADED,
    &status::MISPLACED,
    &status::UNFOUND,
    &status::DATA,
    &status::SIZE,
    &status::USAGE,
    &status::READ,
    &status::WRITTEN,
    &status::READS,
    &status::WRITES,
    &status::RECOVERED,
    &status::RECOVERED_OBJECTS,
    &osd::FLAG,
    &osd::VERSIONS,
    &osd::INFO,
    &osd::UP,
    &osd::IN,
    &osd::SIZE,
    &osd::USAGE,
    &osd::COMMIT,
    &osd::APPLY,
    &pool::INFO,
    &pool::USAGE,
    &pool::RATIO,
    &pool::REPLICAS,
    &pool::MIN_REPLICAS,
    &pool::PGS,
    &pool::OBJECTS,
    &pool::DATA,
];

/// There is one Ceph in a cluster.
const ID: &str = "ceph";

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Some(answer) = asked(ask, CALL).await? else { return Ok(Vec::new()) };
        let status = pve::ceph_status(&answer)?;
        let osds = asked(ask, OSD_CALL).await?;
        let osds = osds.as_ref().map(pve::ceph_osds).transpose()?;
        let pools = asked(ask, POOL_CALL).await?;
        let pools = pools.as_ref().map(pve::ceph_pools).transpose()?.unwrap_or_default();
        let held = if ask.settings().flag(OBJECTS) { statistics(ask, &pools).await? } else { BTreeMap::new() };
        Ok(families(&status, &osds.unwrap_or_default(), (&pools, &held)))
    })
}

/// One pool after the other. One that was deleted meanwhile is left out.
async fn statistics(ask: &Ask<'_>, pools: &[CephPool<'_>]) -> Result<BTreeMap<String, CephPoolStatistics>, Error> {
    let mut told = BTreeMap::new();
    for name in pools.iter().filter_map(|pool| pool.pool_name.filled()).take(MOST_ASKED) {
        if let Some(answer) = if_told(ask.get_with(STATISTICS_CALL, &[("pool", name)]).await)? {
            told.insert(name.to_owned(), pve::ceph_pool_statistics(&answer)?);
        }
    }
    Ok(told)
}

/// An endpoint without Ceph fails and another one is asked: none is left only where none has it.
async fn asked(ask: &Ask<'_>, call: &'static str) -> Result<Option<Answer>, Error> {
    if_there(ask.get(call).await)
}

fn families(
    status: &CephStatus<'_>,
    osds: &CephOsds<'_>,
    (pools, held): (&[CephPool<'_>], &BTreeMap<String, CephPoolStatistics>),
) -> Vec<Family> {
    [status::families(status), osd::families(osds), pool::families(pools, held)].concat()
}

const fn gauge(name: &'static str, help: &'static str) -> Desc {
    Desc { name, help, kind: Kind::Gauge }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::testing::{any_object, any_rows, recorded};
    use proptest::prelude::*;

    #[test]
    fn the_hand_made_cluster_is_told_whole() {
        let [status, osds, pools] = [
            "GET_cluster__ceph__status.json",
            "GET_nodes__localhost__ceph__osd.json",
            "GET_nodes__localhost__ceph__pool.json",
        ]
        .map(|file| recorded(&format!("hand-made/{file}")));
        let families = families(
            &pve::ceph_status(&status).expect("a status"),
            &pve::ceph_osds(&osds).expect("OSDs"),
            (&pve::ceph_pools(&pools).expect("pools"), &pool::testing::held()),
        );
        check(&COLLECTOR, &families);
        let told: Vec<&str> =
            families.iter().filter(|family| !family.samples.is_empty()).map(|family| family.desc.view().name).collect();
        assert_eq!(told.len(), FAMILIES.len(), "each family has something to say: {told:?}");
        assert_eq!(lines(&families).len(), 63 + 2);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            check_told in any_object(&["severity", "muted"]),
            pgmap in any_object(&["num_pgs", "num_objects", "bytes_total", "bytes_used", "read_bytes_sec", "degraded_objects"]),
            states in any_rows(&["state_name", "count"]),
            osds in any_rows(&["id", "type", "status", "in", "host", "device_class", "total_space", "bytes_used", "commit_latency_ms"]),
            pools in any_rows(&["pool_name", "type", "size", "min_size", "pg_num", "bytes_used", "percent_used"]),
        ) {
            let mut status = serde_json::json!({ "data": {
                "health": { "status": "HEALTH_TEA", "checks": { "X": check_told, "Y": {} } }, "pgmap": pgmap,
            } });
            status["data"]["pgmap"]["pgs_by_state"] = states;
            let status = Answer::of(&status.to_string());
            let osds = Answer::of(&serde_json::json!({ "data": { "flags": "noout,noout", "root": { "children": osds } } }).to_string());
            let pools = Answer::of(&serde_json::json!({ "data": pools }).to_string());
            if let (Ok(status), Ok(osds)) = (pve::ceph_status(&status), pve::ceph_osds(&osds)) {
                let pools = pve::ceph_pools(&pools).unwrap_or_default();
                check(&COLLECTOR, &families(&status, &osds, (&pools, &pool::testing::held())));
            }
        }
    }
}
