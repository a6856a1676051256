//! `GET /cluster/ceph/status`: how Ceph is, where the cluster has it; needs `Sys.Audit` or `Datastore.Audit` on `/`. PVE
//! passes on what Ceph says of itself.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::loose::{Listed, Part};
use super::wire::{Flag, Named, Number, Object, Text};

/// What `ceph status` says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephStatus<'a> {
    /// How it feels.
    #[serde(borrow)]
    pub health: Part<CephHealth<'a>>,
    /// Its monitors.
    pub monmap: Part<MonMap>,
    /// The monitors that agree with each other, by rank.
    pub quorum: Listed<Anything>,
    /// Its managers.
    #[serde(borrow)]
    pub mgrmap: Part<MgrMap<'a>>,
    /// How many OSDs there are.
    pub osdmap: Part<OsdMap>,
    /// Placement groups, space and traffic.
    #[serde(borrow)]
    pub pgmap: Part<PgMap<'a>>,
}

/// Its health, and what it is made of.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephHealth<'a> {
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    #[serde(borrow)]
    pub status: Text<'a>,
    /// By name, such as `OSD_DOWN`; only what is wrong.
    #[serde(borrow)]
    pub checks: Named<'a, CephCheck<'a>>,
}

/// Something that is wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CephCheck<'a> {
    /// `HEALTH_WARN` or `HEALTH_ERR`.
    #[serde(borrow)]
    pub severity: Text<'a>,
    /// Whether the administrator does not want to hear of it.
    pub muted: Flag,
}

/// The monitors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MonMap {
    /// One each, where PVE tells them.
    pub mons: Listed<Anything>,
    /// How many there are, where it does not.
    pub num_mons: Number,
}

/// An entry that is only counted.
#[derive(Debug, Deserialize)]
pub struct Anything {}

/// The managers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MgrMap<'a> {
    /// Whether one is at work.
    pub available: Flag,
    /// Its name; empty where there is none.
    #[serde(borrow)]
    pub active_name: Text<'a>,
}

/// How many OSDs there are.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OsdMap {
    /// In all.
    pub num_osds: Number,
    /// Those that answer.
    pub num_up_osds: Number,
    /// Those that take part.
    pub num_in_osds: Number,
}

/// Placement groups, space and traffic. What Ceph leaves out is 0.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PgMap<'a> {
    /// In all.
    pub num_pgs: Number,
    /// By state, such as `active+clean+scrubbing`.
    #[serde(borrow)]
    pub pgs_by_state: Listed<PgState<'a>>,
    /// In all pools.
    pub num_objects: Number,
    /// Copies of objects that are fewer than wanted.
    pub degraded_objects: Number,
    /// Copies of objects that lie elsewhere than they should.
    pub misplaced_objects: Number,
    /// Objects of which no copy is found.
    pub unfound_objects: Number,
    /// Of objects, each counted once.
    pub data_bytes: Number,
    /// Of all OSDs.
    pub bytes_total: Number,
    /// On all OSDs, each copy counted.
    pub bytes_used: Number,
    /// By clients, in a second.
    pub read_bytes_sec: Number,
    /// By clients, in a second.
    pub write_bytes_sec: Number,
    /// By clients, in a second.
    pub read_op_per_sec: Number,
    /// By clients, in a second.
    pub write_op_per_sec: Number,
    /// In a second.
    pub recovering_bytes_per_sec: Number,
    /// In a second.
    pub recovering_objects_per_sec: Number,
}

/// Placement groups in one state.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PgState<'a> {
    /// Words with `+` between them.
    #[serde(borrow)]
    pub state_name: Text<'a>,
    /// How many.
    pub count: Number,
}

/// What Ceph says of itself. An answer without a health is malformed.
pub fn ceph_status(answer: &Answer) -> Result<CephStatus<'_>, Error> {
    let Object(status): Object<CephStatus<'_>> = answer.data()?;
    if status.health.0.status.filled().is_none() {
        return Err(answer.malformed("it has no health.status; expected one, such as HEALTH_OK".to_owned()));
    }
    Ok(status)
}

impl CephStatus<'_> {
    /// How many monitors there are.
    pub fn monitors(&self) -> Option<f64> {
        self.monmap.0.mons.length.map(|length| length as f64).or(self.monmap.0.num_mons.quantity())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_json, any_object, any_rows, recorded};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hand_made_status_is_read() {
        let answer = recorded("hand-made/GET_cluster__ceph__status.json");
        let status = ceph_status(&answer).expect("a status");
        assert_eq!(status.health.0.status.filled(), Some("HEALTH_WARN"));
        assert_eq!(status.health.0.checks.0.len(), 3);
        assert_eq!((status.monitors(), status.quorum.length), (Some(3.0), Some(3)));
        assert_eq!((status.osdmap.0.num_osds.0, status.osdmap.0.num_up_osds.0), (Some(6.0), Some(5.0)));
        let pgmap = &status.pgmap.0;
        assert_eq!(pgmap.pgs_by_state.items[0].state_name.filled(), Some("active+clean"));
        assert_eq!(pgmap.recovering_bytes_per_sec.0, None);
    }

    #[test]
    fn monitors_are_counted_in_either_form() {
        for (monmap, count) in [(r#"{"num_mons":3}"#, Some(3.0)), (r#"{"mons":[{},7]}"#, Some(2.0)), ("{}", None)] {
            let answer = Answer::of(&format!(r#"{{"data":{{"health":{{"status":"HEALTH_OK"}},"monmap":{monmap}}}}}"#));
            assert_eq!(ceph_status(&answer).expect("a status").monitors(), count, "{monmap}");
        }
        for data in ["{}", "[]", "null", r#"{"health":{"status":""}}"#, r#"{"health":"HEALTH_OK"}"#] {
            assert!(ceph_status(&Answer::of(&format!("{{\"data\":{data}}}"))).is_err(), "{data}");
        }
    }

    #[test]
    fn a_part_of_another_type_hides_nothing_of_the_others() {
        let answer = Answer::of(
            r#"{"data":{"health":{"status":"HEALTH_OK","checks":{"A":null,"B":7,"C":{"muted":true}}},"quorum":null,
                "monmap":null,"mgrmap":[],"osdmap":{"num_osds":"3"},"pgmap":{"num_pgs":5,"pgs_by_state":{}}}}"#,
        );
        let status = ceph_status(&answer).expect("a status");
        assert_eq!(status.health.0.checks.0.len(), 1);
        assert_eq!((status.monitors(), status.quorum.length), (None, None));
        assert_eq!((status.osdmap.0.num_osds.0, status.pgmap.0.num_pgs.0), (Some(3.0), Some(5.0)));
    }

    proptest! {
        #[test]
        fn nothing_panics(
            data in any_json(),
            check in any_object(&["severity", "muted"]),
            states in any_rows(&["state_name", "count"]),
        ) {
            let nested = serde_json::json!({
                "health": { "status": "HEALTH_WARN", "checks": { "X": check } }, "pgmap": { "pgs_by_state": states },
            });
            for data in [data, nested] {
                let answer = Answer::of(&serde_json::json!({ "data": data }).to_string());
                if let Ok(status) = ceph_status(&answer) {
                    let _ = status.monitors();
                }
            }
        }
    }
}
