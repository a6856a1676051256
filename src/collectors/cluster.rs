//! Membership, quorum and release. Try: `pvesh get /cluster/status` and `pvesh get /version`

use super::shared::{self, Column, flag};
use super::{Collector, Lane, Need, Told};
use crate::config::Preset;
use crate::inventory::{ClusterStatus, Release};
use crate::metrics::{Desc, Family, Kind, Labels};

/// The cluster as a whole.
pub(super) const COLLECTOR: Collector = Collector {
    name: "cluster",
    about: "quorum, members and release of the cluster",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &["/cluster/status", "/version"],
    families: &[&shared::UP, &CLUSTER_INFO, &NODE_INFO, &VERSION_INFO],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Fast(|view| {
        Box::pin(async {
            let (status, release) = tokio::join!(view.status(), view.release());
            Told {
                families: families(status.as_deref().ok(), release.as_deref().ok()),
                error: status.err().or(release.err()),
            }
        })
    }),
};

static CLUSTER_INFO: Desc = Desc {
    name: "pve_cluster_info",
    help: "Number of nodes, quorum and configuration version of the cluster, from /cluster/status.",
    kind: Kind::Gauge,
};
static NODE_INFO: Desc = Desc {
    name: "pve_node_info",
    help: "Subscription level, name and corosync number of the node, from /cluster/status.",
    kind: Kind::Gauge,
};
static VERSION_INFO: Desc = Desc {
    name: "pve_version_info",
    help: "Release of the node that answers for the cluster, from /version.",
    kind: Kind::Gauge,
};

pub(super) fn families(status: Option<&ClusterStatus>, release: Option<&Release>) -> Vec<Family> {
    let [mut up, mut cluster_info, mut node_info, mut version_info] =
        [&shared::UP, &CLUSTER_INFO, &NODE_INFO, &VERSION_INFO].map(Column::new);
    if let Some(cluster) = status.and_then(|status| status.cluster.as_ref()) {
        let id = format!("cluster/{}", cluster.name);
        up.push(&Labels::new(&[("id", &id)]), cluster.quorate.map(flag));
        let quorate = match cluster.quorate {
            Some(true) => "1",
            Some(false) => "0",
            None => "",
        };
        cluster_info.push_info(Labels::new(&[
            ("id", &id),
            ("nodes", &cluster.nodes),
            ("quorate", quorate),
            ("version", &cluster.version),
        ]));
    }
    for member in status.map(|status| &status.members).into_iter().flatten() {
        let id = format!("node/{}", member.name);
        node_info.push_info(Labels::new(&[
            ("id", &id),
            ("level", &member.level),
            ("name", &member.name),
            ("nodeid", &member.nodeid),
        ]));
    }
    if let Some(Release { version, release, repoid }) = release {
        version_info.push_info(Labels::new(&[("release", release), ("repoid", repoid), ("version", version)]));
    }
    [up, cluster_info, node_info, version_info].map(Column::into_family).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_alone_node_has_no_quorum_to_speak_of() {
        let status = ClusterStatus { cluster: None, members: Vec::new() };
        let release = Release { version: "9.2.11".into(), release: "9.2".into(), repoid: "x".into() };
        let families = families(Some(&status), Some(&release));
        let said: Vec<&str> =
            families.iter().filter(|family| !family.samples.is_empty()).map(|family| family.desc.view().name).collect();
        assert_eq!(said, ["pve_version_info"]);
    }
}
