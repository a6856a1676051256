//! Membership, quorum and release, as owned types.

use crate::pve;

/// What `/cluster/status` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Absent on a stand-alone node.
    pub cluster: Option<ClusterEntry>,
    /// All members, lost ones included, sorted by name; each name once.
    pub members: Vec<Member>,
}

/// The cluster as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterEntry {
    /// PVE's name of the cluster, not the configured one.
    pub name: String,
    /// How many nodes it has, lost ones included; empty where PVE does not say.
    pub nodes: String,
    /// Whether the answering side has a majority.
    pub quorate: Option<bool>,
    /// The version of the corosync configuration; empty where PVE does not say.
    pub version: String,
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node's name.
    pub name: String,
    /// Corosync's number; `0` on a stand-alone node, empty where PVE does not say.
    pub nodeid: String,
    /// The subscription level: empty, `c`, `b`, `s` or `p`.
    pub level: String,
    /// Whether it is a member of the cluster now.
    pub online: Option<bool>,
    /// Where it is; empty where PVE does not say.
    pub address: String,
}

/// What `/version` says; fields are empty where PVE does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Such as `9.2.11`.
    pub version: String,
    /// Such as `9.2`.
    pub release: String,
    /// The commit it was built from.
    pub repoid: String,
}

impl ClusterStatus {
    pub(super) fn new(entries: &[pve::StatusEntry<'_>]) -> Self {
        let mut members: Vec<Member> = of_kind(entries, "node")
            .map(|(name, entry)| Member {
                name: name.to_owned(),
                nodeid: owned(&entry.nodeid),
                level: owned(&entry.level),
                online: entry.online.0,
                address: owned(&entry.ip),
            })
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by(|a, b| a.name == b.name);
        let cluster = of_kind(entries, "cluster").next().map(|(name, entry)| ClusterEntry {
            name: name.to_owned(),
            nodes: owned(&entry.nodes),
            quorate: entry.quorate.0,
            version: owned(&entry.version),
        });
        Self { cluster, members }
    }
}

impl Release {
    pub(super) fn new(version: &pve::Version<'_>) -> Self {
        Self { version: owned(&version.version), release: owned(&version.release), repoid: owned(&version.repoid) }
    }
}

fn of_kind<'e, 'a>(
    entries: &'e [pve::StatusEntry<'a>],
    kind: &str,
) -> impl Iterator<Item = (&'e str, &'e pve::StatusEntry<'a>)> {
    entries
        .iter()
        .filter(move |entry| entry.kind.filled() == Some(kind))
        .filter_map(|entry| entry.name.filled().map(|name| (name, entry)))
}

fn owned(text: &pve::wire::Text<'_>) -> String {
    text.filled().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> ClusterStatus {
        let answer = pve::Answer::of(json);
        ClusterStatus::new(&pve::status(&answer).expect("a status"))
    }

    #[test]
    fn a_stand_alone_node_has_no_cluster() {
        let status = status(
            r#"{"data":[{"type":"node","name":"pve","nodeid":0,"online":1,"local":1,"level":"","ip":"192.0.2.1"}]}"#,
        );
        assert_eq!(status.cluster, None);
        assert_eq!(
            status.members,
            [Member {
                name: "pve".into(),
                nodeid: "0".into(),
                level: String::new(),
                online: Some(true),
                address: "192.0.2.1".into()
            }]
        );
    }

    #[test]
    fn unknown_entries_and_doubled_members_are_passed_over() {
        let status = status(
            r#"{"data":[{"type":"qdevice","name":"q"},{"type":"node","name":"b"},{"type":"node","name":"a"},
                {"type":"node","name":"b"},{"type":"cluster","name":"c","quorate":"1","nodes":2}]}"#,
        );
        assert_eq!(status.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(status.cluster.expect("a cluster").quorate, Some(true));
    }
}
