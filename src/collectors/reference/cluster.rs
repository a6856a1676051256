//! The cluster and its members. Try: `pvesh get /cluster/status` and `pvesh get /version`

use super::super::shared::{self, Column, flag};
use super::super::{Told, cluster};
use super::{Part, Reference, Source};
use crate::inventory::ClusterStatus;
use crate::metrics::{Family, Labels};

/// What `/metrics` says, and whether each node is a member now.
pub(super) const CLUSTER: Reference = Reference {
    collector: &cluster::COLLECTOR,
    part: Part::Cluster,
    families: cluster::COLLECTOR.families,
    source: Source::Round(|view| {
        Box::pin(async {
            let (status, release) = tokio::join!(view.status(), view.release());
            let mut families = cluster::families(status.as_deref().ok(), release.as_deref().ok());
            families.extend(status.as_deref().ok().map(nodes));
            Told { families, error: status.err().or(release.err()) }
        })
    }),
};

fn nodes(status: &ClusterStatus) -> Family {
    let mut up = Column::new(&shared::UP);
    for member in &status.members {
        up.push(&Labels::new(&[("id", &format!("node/{}", member.name))]), member.online.map(flag));
    }
    up.into_family()
}
