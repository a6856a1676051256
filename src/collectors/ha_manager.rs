//! Whether HA itself is alive: its manager, each node's agent, the fencing, and what it wants of each service.
//! Try: `pvesh get /cluster/ha/status/current`

use std::time::Duration;

use super::shared::{Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, HaEntry, StatusEntry};

const CALL: &str = "/cluster/ha/status/current";
/// Tells the cluster's name; asked only where HA is in use.
const NAME_CALL: &str = "/cluster/status";

/// Manager and agents say something every ten seconds or so, and count as dead after thirty.
pub(super) const COLLECTOR: Collector = Collector {
    name: "ha_manager",
    about: "whether the HA manager and each node's HA agent live, fencing, state and wish of each service",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL, NAME_CALL],
    families: &[&MANAGER, &MANAGER_TIME, &MASTER, &FENCING, &LRM, &LRM_TIME, &SERVICE, &REQUESTED, &SERVICE_INFO],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(1),
        per: Per::Cluster,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static MANAGER: Desc = Desc {
    name: "pve_ha_manager_state",
    help: "What the cluster's HA manager does, dead after half a minute of silence, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};
static MANAGER_TIME: Desc = Desc {
    name: "pve_ha_manager_timestamp_seconds",
    help: "When the cluster's HA manager last said something, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};
static MASTER: Desc = Desc {
    name: "pve_ha_manager_master",
    help: "Whether the cluster's HA manager runs on the node, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};
static FENCING: Desc = Desc {
    name: "pve_ha_fencing_state",
    help: "Whether lost nodes will be fenced, since Proxmox VE 9.1, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};
static LRM: Desc = Desc {
    name: "pve_ha_lrm_state",
    help: "What the node's HA agent does, dead after half a minute of silence, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};
static LRM_TIME: Desc = Desc {
    name: "pve_ha_lrm_timestamp_seconds",
    help: "When the node's HA agent last said something, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};
static SERVICE: Desc = Desc {
    name: "pve_ha_service_state",
    help: "What HA does with the guest, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};
static REQUESTED: Desc = Desc {
    name: "pve_ha_service_requested_state",
    help: "In which state the administrator wants HA to keep the guest, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};
static SERVICE_INFO: Desc = Desc {
    name: "pve_ha_service_info",
    help: "On which node HA sees the guest, from /cluster/ha/status/current.",
    kind: Kind::Gauge,
};

/// PVE's words for manager and agents; another one becomes `other`.
const PHRASES: &[(&str, &str)] = &[
    ("active", "active"),
    ("idle", "idle"),
    ("wait_for_agent_lock", "idle"),
    ("maintenance mode", "maintenance"),
    ("restart mode", "restart"),
    ("shutdown mode", "shutdown"),
    ("lost_agent_lock", "lost_lock"),
    ("old timestamp - dead?", "dead"),
    ("detected time drift!", "time_drift"),
    ("unable to read lrm status", "unknown"),
];
const FENCING_STATES: &[&str] = &["armed", "standby", "disarming", "disarmed"];
const REQUESTS: &[&str] = &["started", "stopped", "enabled", "disabled", "ignored"];
const SERVICE_STATES: &[&str] = &[
    "started",
    "stopped",
    "request_start",
    "request_start_balance",
    "request_stop",
    "starting",
    "stopping",
    "queued",
    "migrate",
    "relocate",
    "freeze",
    "fence",
    "recovery",
    "error",
    "ignored",
    "disabled",
    "deleting",
];

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        let entries = pve::ha_status(&answer)?;
        // Where HA was never used there is nothing but the quorum.
        if entries.iter().all(|entry| entry.kind.filled() == Some("quorum")) {
            return Ok(Vec::new());
        }
        let answer = ask.get(NAME_CALL).await?;
        Ok(families(entries, &pve::status(&answer)?))
    })
}

fn families(mut entries: Vec<HaEntry<'_>>, status: &[StatusEntry<'_>]) -> Vec<Family> {
    entries.sort_by(|a, b| (a.node.filled(), a.sid.filled()).cmp(&(b.node.filled(), b.sid.filled())));
    let mut cluster = status.iter().filter(|entry| entry.kind.filled() == Some("cluster"));
    let cluster = cluster.find_map(|entry| entry.name.filled()).map(|name| format!("cluster/{name}"));
    let of = |kind: &'static str| entries.iter().filter(move |entry| entry.kind.filled() == Some(kind));
    let mut families = manager(cluster.as_deref(), of("master").next(), of("fencing").next());
    families.extend(agents(of("lrm"), of("master").next().and_then(|master| master.node.filled())));
    families.extend(services(of("service")));
    families
}

fn manager(id: Option<&str>, master: Option<&HaEntry<'_>>, fencing: Option<&HaEntry<'_>>) -> Vec<Family> {
    let [mut states, mut times, mut armed] = [&MANAGER, &MANAGER_TIME, &FENCING].map(Column::new);
    if let Some(id) = id {
        if let Some(master) = master {
            push_phrase(&mut states, id, master);
            times.push(&Labels::new(&[("id", id)]), moment(master));
        }
        push_word(&mut armed, id, FENCING_STATES, fencing.and_then(|fencing| fencing.armed_state.filled()));
    }
    [states, times, armed].map(Column::into_family).into()
}

fn agents<'e, 'a: 'e>(entries: impl Iterator<Item = &'e HaEntry<'a>>, master: Option<&str>) -> Vec<Family> {
    let [mut masters, mut states, mut times] = [&MASTER, &LRM, &LRM_TIME].map(Column::new);
    let mut before = None;
    for entry in entries {
        let Some(node) = entry.node.filled().filter(|node| before.replace(*node) != Some(*node)) else { continue };
        let id = format!("node/{node}");
        let labels = Labels::new(&[("id", &id)]);
        masters.push(&labels, master.map(|master| flag(master == node)));
        push_phrase(&mut states, &id, entry);
        times.push(&labels, moment(entry));
    }
    [masters, states, times].map(Column::into_family).into()
}

fn services<'e, 'a: 'e>(entries: impl Iterator<Item = &'e HaEntry<'a>>) -> Vec<Family> {
    let [mut states, mut wishes, mut infos] = [&SERVICE, &REQUESTED, &SERVICE_INFO].map(Column::new);
    let mut told: Vec<(String, &HaEntry<'_>)> =
        entries.filter_map(|entry| Some((guest_id(entry.sid.filled()?)?, entry))).collect();
    told.sort_by(|(a, _), (b, _)| a.cmp(b));
    told.dedup_by(|(b, _), (a, _)| a == b);
    for (id, entry) in &told {
        push_word(&mut states, id, SERVICE_STATES, entry.state.filled());
        push_word(&mut wishes, id, REQUESTS, entry.request_state.filled());
        infos.push_info(Labels::new(&[("id", id), ("node", entry.node.filled().unwrap_or_default())]));
    }
    [states, wishes, infos].map(Column::into_family).into()
}

/// The `id` of the guest that HA calls `vm:100` or `ct:101`.
fn guest_id(sid: &str) -> Option<String> {
    let (kind, number) = sid.split_once(':')?;
    let vmid: u64 = number.parse().ok()?;
    let kind = match kind {
        "vm" => "qemu",
        "ct" => "lxc",
        _ => return None,
    };
    Some(format!("{kind}/{vmid}"))
}

fn moment(entry: &HaEntry<'_>) -> Option<f64> {
    entry.timestamp.quantity().filter(|seconds| *seconds > 0.0)
}

fn push_phrase(column: &mut Column, id: &str, entry: &HaEntry<'_>) {
    if let Some(phrase) = entry.phrase() {
        let word = PHRASES.iter().find(|(known, _)| *known == phrase).map_or("other", |(_, word)| word);
        column.push_info(Labels::new(&[("id", id), ("state", word)]));
    }
}

fn push_word(column: &mut Column, id: &str, known: &[&'static str], word: Option<&str>) {
    if let Some(word) = word {
        let word = known.iter().find(|known| **known == word).copied().unwrap_or("other");
        column.push_info(Labels::new(&[("id", id), ("state", word)]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_object, any_rows, recorded};
    use proptest::prelude::*;

    fn told(ha: &Answer) -> Vec<String> {
        let status = recorded("pve-9.2-cluster/GET_cluster__status.json");
        lines(&families(pve::ha_status(ha).expect("entries"), &pve::status(&status).expect("a status")))
    }

    #[test]
    fn the_recorded_cluster_has_a_node_in_maintenance() {
        assert_eq!(
            told(&recorded("pve-9.2-cluster/GET_cluster__ha__status__current.json")),
            [
                "pve_ha_manager_state{id=\"cluster/labcluster\",state=\"active\"} 1",
                "pve_ha_manager_timestamp_seconds{id=\"cluster/labcluster\"} 1795209471",
                "pve_ha_fencing_state{id=\"cluster/labcluster\",state=\"armed\"} 1",
                "pve_ha_manager_master{id=\"node/pve-lab\"} 1",
                "pve_ha_manager_master{id=\"node/pve-lab2\"} 0",
                "pve_ha_lrm_state{id=\"node/pve-lab\",state=\"active\"} 1",
                "pve_ha_lrm_state{id=\"node/pve-lab2\",state=\"maintenance\"} 1",
                "pve_ha_lrm_timestamp_seconds{id=\"node/pve-lab\"} 1795209474",
                "pve_ha_lrm_timestamp_seconds{id=\"node/pve-lab2\"} 1795209478",
                "pve_ha_service_state{id=\"qemu/102\",state=\"ignored\"} 1",
                "pve_ha_service_state{id=\"qemu/300\",state=\"stopped\"} 1",
                "pve_ha_service_requested_state{id=\"qemu/102\",state=\"ignored\"} 1",
                "pve_ha_service_requested_state{id=\"qemu/300\",state=\"stopped\"} 1",
                "pve_ha_service_info{id=\"qemu/102\",node=\"pve-lab\"} 1",
                "pve_ha_service_info{id=\"qemu/300\",node=\"pve-lab\"} 1",
            ]
        );
    }

    #[test]
    fn what_other_recordings_say_is_told_as_well() {
        let moving = told(&recorded("pve-9.2-cluster/GET_cluster__ha__status__current__after_stop_request.json"));
        for line in [
            "pve_ha_lrm_state{id=\"node/pve-lab\",state=\"idle\"} 1",
            "pve_ha_service_state{id=\"qemu/300\",state=\"request_stop\"} 1",
            "pve_ha_service_requested_state{id=\"qemu/300\",state=\"stopped\"} 1",
        ] {
            assert!(moving.iter().any(|told| told == line), "{line} is not in {moving:#?}");
        }
    }

    #[test]
    fn the_dead_the_odd_and_the_absent() {
        let answer = Answer::of(
            r#"{"data":[
                {"type":"quorum","quorate":0,"node":"a","status":"No quorum on node 'a'!"},
                {"type":"master","node":"c","timestamp":0,"status":"c (old timestamp - dead?, Fri Nov 20 20:59:31 2026)"},
                {"type":"fencing","armed-state":"dancing"},
                {"type":"lrm","node":"b","status":"b (detected time drift!, watchdog active, x)","timestamp":"1795209478"},
                {"type":"lrm","node":"a","status":"a (unable to read lrm status)"},
                {"type":"lrm","node":"a","status":"a (active, watchdog active, x)"},
                {"type":"lrm","status":"who (active, x)"},
                {"type":"lrm","node":"c"},
                {"type":"service","sid":"ct:101","node":"b","state":"error","request_state":"ruling"},
                {"type":"service","sid":"vm:x"}, {"type":"service","sid":"fa:pve"}, {"type":"new","node":"a"}
            ]}"#,
        );
        assert_eq!(
            told(&answer),
            [
                "pve_ha_manager_state{id=\"cluster/labcluster\",state=\"dead\"} 1",
                "pve_ha_fencing_state{id=\"cluster/labcluster\",state=\"other\"} 1",
                "pve_ha_manager_master{id=\"node/a\"} 0",
                "pve_ha_manager_master{id=\"node/b\"} 0",
                "pve_ha_manager_master{id=\"node/c\"} 1",
                "pve_ha_lrm_state{id=\"node/a\",state=\"unknown\"} 1",
                "pve_ha_lrm_state{id=\"node/b\",state=\"time_drift\"} 1",
                "pve_ha_lrm_timestamp_seconds{id=\"node/b\"} 1795209478",
                "pve_ha_service_state{id=\"lxc/101\",state=\"error\"} 1",
                "pve_ha_service_requested_state{id=\"lxc/101\",state=\"other\"} 1",
                "pve_ha_service_info{id=\"lxc/101\",node=\"b\"} 1",
            ]
        );
    }

    #[test]
    fn no_service_of_a_stand_alone_node_is_lost() {
        let answer = Answer::of(r#"{"data":[{"type":"service","sid":"vm:7","node":"a","state":"started"}]}"#);
        let status = Answer::of(r#"{"data":[{"type":"node","name":"a","nodeid":0}]}"#);
        let families = families(pve::ha_status(&answer).expect("entries"), &pve::status(&status).expect("a status"));
        assert_eq!(
            lines(&families),
            [
                "pve_ha_service_state{id=\"qemu/7\",state=\"started\"} 1",
                "pve_ha_service_info{id=\"qemu/7\",node=\"a\"} 1"
            ]
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            rows in any_rows(&["type", "node", "sid", "status", "timestamp", "state", "request_state", "armed-state"]),
            kinds in prop::collection::vec(prop::sample::select(vec!["master", "fencing", "lrm", "service"]), 12),
            status in any_object(&["type", "name"]),
        ) {
            let mut rows = rows;
            for (row, kind) in rows.as_array_mut().into_iter().flatten().zip(kinds) {
                row["type"] = kind.into();
            }
            let ha = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            let status = Answer::of(&serde_json::json!({ "data": [status, { "type": "node", "name": "a" }] }).to_string());
            if let (Ok(entries), Ok(status)) = (pve::ha_status(&ha), pve::status(&status)) {
                check(&COLLECTOR, &families(entries, &status));
            }
        }
    }
}
