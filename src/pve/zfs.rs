//! `GET /nodes/{node}/disks/zfs` and `…/zfs/{name}`: the ZFS pools of a node, and what `zpool status` says of one; need
//! `Sys.Audit` on `/`.

use serde::Deserialize;

use super::answer::Answer;
use super::date::clock_time;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number, Object, Text};

/// A pool as `zpool list` has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ZfsPool<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `ONLINE`, `DEGRADED` and so on.
    #[serde(borrow)]
    pub health: Text<'a>,
    /// In bytes, redundancy included.
    pub size: Number,
    /// In bytes, redundancy included.
    pub alloc: Number,
    /// Per cent of the free space that lies in pieces.
    pub frag: Number,
    /// How many times the data that are kept once are used.
    pub dedup: Number,
}

/// A pool as `zpool status` has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ZfsStatus<'a> {
    /// What the last or present scrub or resilver is at, in words.
    #[serde(borrow)]
    pub scan: Text<'a>,
    /// What is lost, in words.
    #[serde(borrow)]
    pub errors: Text<'a>,
    /// The pool itself, and its logs, caches and spares.
    pub children: Option<List<ZfsDevice>>,
}

/// A device, or several as one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ZfsDevice {
    /// Failed reads. PVE makes 1 of `1.2K`.
    pub read: Number,
    /// Failed writes.
    pub write: Number,
    /// Data that came back other than they went.
    pub cksum: Number,
    /// Of what it is made.
    pub children: Option<List<ZfsDevice>>,
}

/// What a pool was last scanned for, and how that ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scan {
    /// A scrub or resilver is under way.
    Running,
    /// A scrub found so many errors and ended at a time by the node's own clock, in seconds as if that were UTC.
    Scrubbed {
        /// Those it could not mend.
        errors: f64,
        /// In seconds since 1970, by the clock on the node's wall.
        ended: f64,
    },
    /// Something else: when the last scrub was is not known, or there was none.
    Other,
}

/// The pools; none where ZFS is not used. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn zfs_pools(answer: &Answer) -> Result<Vec<ZfsPool<'_>>, Error> {
    let list: List<ZfsPool<'_>> = answer.data()?;
    shaped(answer, list, "a name", |pool| pool.name.filled().is_some())
}

/// What is known of one pool.
pub fn zfs_status(answer: &Answer) -> Result<ZfsStatus<'_>, Error> {
    let Object(status): Object<ZfsStatus<'_>> = answer.data()?;
    Ok(status)
}

impl ZfsStatus<'_> {
    /// `scrub repaired 0B in 00:12:34 with 0 errors on Sun Nov  9 00:36:35 2025`, `scrub in progress since …`,
    /// `resilvered 1.2G in … with 0 errors on …`, `none requested`; absent where nothing is told.
    pub fn scan(&self) -> Option<Scan> {
        let said = self.scan.filled()?;
        if said.contains("in progress") {
            return Some(Scan::Running);
        }
        let scrubbed = || {
            let (_, rest) = said.strip_prefix("scrub repaired")?.split_once(" with ")?;
            let (errors, date) = rest.split_once(" errors on ")?;
            Some(Scan::Scrubbed { errors: errors.trim().parse::<u32>().ok()?.into(), ended: clock_time(date)? })
        };
        Some(scrubbed().unwrap_or(Scan::Other))
    }

    /// How many files or blocks are lost: `No known data errors`, `3 data errors, use '-v' for a list`.
    pub fn data_errors(&self) -> Option<f64> {
        let said = self.errors.filled()?;
        if said == "No known data errors" {
            return Some(0.0);
        }
        said.split(' ').next()?.parse::<u32>().ok().map(f64::from)
    }

    /// Errors of all devices, of one kind. What a group counts and none of its devices is counted, too.
    pub fn device_errors(&self, kind: fn(&ZfsDevice) -> Number) -> Option<f64> {
        let sum = |children: &List<ZfsDevice>| children.items.iter().map(|device| device.errors(kind)).sum();
        // Numbers of whoever sends such large ones may add up to no number.
        self.children.as_ref().map(sum).filter(|sum: &f64| sum.is_finite())
    }
}

impl ZfsDevice {
    fn errors(&self, kind: fn(&ZfsDevice) -> Number) -> f64 {
        let below: f64 = self.children.iter().flat_map(|list| &list.items).map(|device| device.errors(kind)).sum();
        kind(self).quantity().unwrap_or(0.0).max(below)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_json, any_rows, recorded};
    use super::*;
    use proptest::prelude::*;

    fn status(data: &str) -> Answer {
        Answer::of(&format!("{{\"data\":{data}}}"))
    }

    #[test]
    fn the_hand_made_pool_is_read() {
        let pools = recorded("hand-made/GET_nodes__pve-lab__disks__zfs.json");
        let pools = zfs_pools(&pools).expect("pools");
        let [pool, ..] = pools.as_slice() else { panic!("{pools:?}") };
        assert_eq!((pool.name.filled(), pool.health.filled()), (Some("tank"), Some("DEGRADED")));
        let answer = recorded("hand-made/GET_nodes__pve-lab__disks__zfs__tank.json");
        let tank = zfs_status(&answer).expect("a status");
        assert_eq!(tank.scan(), Some(Scan::Scrubbed { errors: 0.0, ended: 1_794_702_995.0 }));
        assert_eq!(tank.data_errors(), Some(0.0));
        assert_eq!(tank.device_errors(|device| device.read), Some(3.0));
        assert_eq!(tank.device_errors(|device| device.cksum), Some(12.0));
    }

    #[test]
    fn words_of_zpool() {
        let table = [
            (
                "scrub repaired 0B in 00:12:34 with 2 errors on Sun Nov  9 00:36:35 2025",
                Some(Scan::Scrubbed { errors: 2.0, ended: 1_762_648_595.0 }),
            ),
            (
                "scrub repaired 1.5M in 2 days 03:12:34 with 0 errors on Thu Feb 29 23:59:59 2024",
                Some(Scan::Scrubbed { errors: 0.0, ended: 1_709_251_199.0 }),
            ),
            ("scrub in progress since Sun Nov  9 00:24:01 2025 1.02T / 3.4T scanned", Some(Scan::Running)),
            ("resilver in progress since Sun Nov  9 00:24:01 2025", Some(Scan::Running)),
            ("resilvered 1.2G in 00:00:10 with 0 errors on Sun Nov  9 00:36:35 2025", Some(Scan::Other)),
            ("scrub canceled on Sun Nov  9 00:36:35 2025", Some(Scan::Other)),
            ("scrub repaired 0B in 00:12:34 with 2 errors on yesterday", Some(Scan::Other)),
            ("none requested", Some(Scan::Other)),
            ("", None),
        ];
        for (said, scan) in table {
            let answer = status(&serde_json::json!({ "scan": said }).to_string());
            assert_eq!(zfs_status(&answer).expect("a status").scan(), scan, "{said}");
        }
        for (said, count) in [
            ("No known data errors", Some(0.0)),
            ("3 data errors, use '-v' for a list", Some(3.0)),
            ("List of errors unavailable: permission denied", None),
        ] {
            let answer = status(&serde_json::json!({ "errors": said }).to_string());
            assert_eq!(zfs_status(&answer).expect("a status").data_errors(), count, "{said}");
        }
        for nothing in ["{}", r#"{"children":[{"read":1e308},{"read":1e308}]}"#] {
            assert_eq!(zfs_status(&status(nothing)).expect("a status").device_errors(|device| device.read), None);
        }
    }

    #[test]
    fn a_node_without_zfs_is_told_by_its_error() {
        assert!(zfs_pools(&status("[]")).expect("no pools").is_empty());
        assert!(zfs_pools(&status(r#"[{"size":1}]"#)).is_err());
        assert!(zfs_status(&status("[]")).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(data in any_json(), rows in any_rows(&["read", "write", "cksum", "name"]), words in ".{0,60}") {
            let nested = serde_json::json!({ "children": [{ "children": rows }], "scan": format!("scrub repaired {words}"), "errors": words });
            for data in [data, nested] {
                let answer = status(&data.to_string());
                let _ = zfs_pools(&answer);
                if let Ok(status) = zfs_status(&answer) {
                    let _ = (status.scan(), status.data_errors(), status.device_errors(|device| device.write));
                }
            }
        }
    }
}
