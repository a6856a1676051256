//! `GET /nodes/{node}/ceph/osd`: the OSDs of Ceph as a tree of roots, hosts and whatever lies in between; needs `Sys.Audit` or
//! `Datastore.Audit` on `/`.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{List, Number, Object, Text};

/// All OSDs.
#[derive(Debug, Default)]
pub struct CephOsds<'a> {
    /// What is switched for all of them, with commas between, such as `noout,sortbitwise`.
    pub flags: Text<'a>,
    /// In the order of the tree.
    pub osds: Vec<CephOsd<'a>>,
}

/// One OSD, or a branch of the tree.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephOsd<'a> {
    /// Its number; below 0 for a branch.
    pub id: Number,
    /// `osd`, `host`, `root` and so on.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// `up` or `down`, perhaps more to come.
    #[serde(borrow)]
    pub status: Text<'a>,
    /// Whether it takes part: 1 or 0.
    #[serde(rename = "in")]
    pub is_in: Number,
    /// The node it is on.
    #[serde(borrow)]
    pub host: Text<'a>,
    /// `ssd`, `hdd`, `nvme` or what the administrator calls it.
    #[serde(borrow)]
    pub device_class: Text<'a>,
    /// The version that runs, such as `19.2.3`.
    #[serde(borrow)]
    pub ceph_version_short: Text<'a>,
    /// In bytes.
    pub total_space: Number,
    /// In bytes.
    pub bytes_used: Number,
    /// How long a write took of late to be safe, in milliseconds.
    pub commit_latency_ms: Number,
    /// How long a write took of late to be seen, in milliseconds.
    pub apply_latency_ms: Number,
    #[serde(borrow)]
    children: Option<List<CephOsd<'a>>>,
}

/// The answer as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tree<'a> {
    #[serde(borrow)]
    flags: Text<'a>,
    #[serde(borrow)]
    root: Option<Object<CephOsd<'a>>>,
}

/// The OSDs, of which there may be none yet. An answer without a tree is malformed.
pub fn ceph_osds(answer: &Answer) -> Result<CephOsds<'_>, Error> {
    let Object(tree): Object<Tree<'_>> = answer.data()?;
    let Some(Object(root)) = tree.root else {
        return Err(answer.malformed("it has no root; expected the tree of OSDs".to_owned()));
    };
    let mut osds = Vec::new();
    root.collect(&mut osds);
    Ok(CephOsds { flags: tree.flags, osds })
}

impl<'a> CephOsd<'a> {
    fn collect(mut self, osds: &mut Vec<CephOsd<'a>>) {
        let below = self.children.take();
        if self.kind.filled() == Some("osd") && self.id.whole().is_some() {
            osds.push(self);
        }
        // As deep as JSON may be, which its parser bounds.
        for branch in below.into_iter().flat_map(|list| list.items) {
            branch.collect(osds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_json, any_rows, recorded};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hand_made_tree_is_read() {
        let answer = recorded("hand-made/GET_nodes__localhost__ceph__osd.json");
        let tree = ceph_osds(&answer).expect("a tree");
        assert_eq!(tree.flags.filled(), Some("noout,sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit"));
        let seen: Vec<_> =
            tree.osds.iter().map(|osd| (osd.id.whole(), osd.host.filled(), osd.status.filled())).collect();
        assert_eq!(
            seen,
            [
                (Some(0), Some("pve-lab"), Some("up")),
                (Some(1), Some("pve-lab"), Some("up")),
                (Some(2), Some("pve-lab2"), Some("down"))
            ]
        );
    }

    #[test]
    fn a_tree_without_osds_is_no_failure() {
        assert!(
            ceph_osds(&Answer::of(r#"{"data":{"root":{"leaf":0,"children":[]}}}"#)).expect("a tree").osds.is_empty()
        );
        for data in ["{}", "[]", "null", r#"{"root":[]}"#] {
            assert!(ceph_osds(&Answer::of(&format!("{{\"data\":{data}}}"))).is_err(), "{data}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(data in any_json(), rows in any_rows(&["id", "type", "status", "in", "host", "children"])) {
            for data in [data, serde_json::json!({ "root": { "children": [{ "children": rows }] } })] {
                let _ = ceph_osds(&Answer::of(&serde_json::json!({ "data": data }).to_string()));
            }
        }
    }
}
