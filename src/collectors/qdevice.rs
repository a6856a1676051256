//! The outside voter of a cluster with few nodes, as the answering node sees it. Try: `pvesh get /cluster/config/qdevice`

use std::time::Duration;

use super::shared::{Column, flag, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, reference};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Answer, Error, QDevice, Reason, StatusEntry};

const CALL: &str = "/cluster/config/qdevice";
/// Tells the cluster's name; asked only where there is a quorum device.
const NAME_CALL: &str = "/cluster/status";

/// It blocks because PVE waits for the daemon's words without limit.
pub(super) const COLLECTOR: Collector = Collector {
    name: "qdevice",
    about: "quorum device, if there is one, and whether it is connected",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL, NAME_CALL],
    families: &[&UP, &INFO],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(1),
        per: Per::Cluster,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

pub(super) static UP: Desc = Desc {
    name: "pve_qdevice_up",
    help: "Whether the answering node is connected to the quorum device, from /cluster/config/qdevice.",
    kind: Kind::Gauge,
};
static INFO: Desc = Desc {
    name: "pve_qdevice_info",
    help: "Model, algorithm, host, tie-breaker and state of the quorum device as the answering node sees it, from /cluster/config/qdevice.",
    kind: Kind::Gauge,
};

/// The words of corosync's daemon; another one becomes `other`.
const STATES: &[&str] = &[CONNECTED, "Connecting", "Connect failed", "Disconnected"];
const CONNECTED: &str = "Connected";

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Some(answer) = if_set_up(ask.get(CALL).await)? else { return Ok(Vec::new()) };
        let Some(device) = pve::qdevice(&answer)? else { return Ok(Vec::new()) };
        let answer = ask.get(NAME_CALL).await?;
        Ok(families(&device, &pve::status(&answer)?))
    })
}

/// PVE 9 answers `{}` where there is no quorum device; a refusal that says as much counts as such an answer.
fn if_set_up(answer: Result<Answer, Error>) -> Result<Option<Answer>, Error> {
    match if_known(answer) {
        Err(Error { reason: Reason::Status(_, words), .. })
            if words.contains("not configured") || words.contains("not in a cluster") =>
        {
            Ok(None)
        }
        answer => answer,
    }
}

fn families(device: &QDevice<'_>, status: &[StatusEntry<'_>]) -> Vec<Family> {
    let [mut up, mut info] = [&UP, &INFO].map(Column::new);
    let mut whole = None;
    let name = status.iter().find(|entry| entry.kind.filled() == Some("cluster")).and_then(|entry| entry.name.filled());
    if let Some(name) = name {
        let id = format!("cluster/{name}");
        let state = device.state.filled();
        up.push(&Labels::new(&[("id", &id)]), state.map(|state| flag(state == CONNECTED)));
        let word = |state| STATES.iter().find(|word| **word == state).copied().unwrap_or("other");
        info.push_info(info_labels(&id, device, state.map(word).unwrap_or_default()));
        whole = Some(reference::qdevice_info(&id, device));
    }
    [up, info].map(Column::into_family).into_iter().chain(whole).collect()
}

pub(super) fn info_labels(id: &str, device: &QDevice<'_>, state: &str) -> Labels {
    Labels::new(&[
        ("id", id),
        ("model", device.model.filled().unwrap_or_default()),
        ("algorithm", device.algorithm.filled().unwrap_or_default()),
        ("qnetd_host", device.qnetd_host.filled().unwrap_or_default()),
        ("tie_breaker", device.tie_breaker.filled().unwrap_or_default()),
        ("state", state),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines, own};
    use super::*;
    use crate::pve::testing::{any_object, recorded};
    use proptest::prelude::*;

    fn told(device: &Answer) -> Vec<String> {
        let status = recorded("pve-9.2-cluster/GET_cluster__status.json");
        let device = pve::qdevice(device).expect("an answer").expect("a quorum device");
        lines(&own(&COLLECTOR, families(&device, &pve::status(&status).expect("a status"))))
    }

    #[test]
    fn a_connected_device_is_told() {
        assert_eq!(
            told(&recorded("hand-made/GET_cluster__config__qdevice.json")),
            [
                "pve_qdevice_up{id=\"cluster/labcluster\"} 1",
                "pve_qdevice_info{id=\"cluster/labcluster\",model=\"Net\",algorithm=\"Fifty-Fifty split\",\
                 qnetd_host=\"10.77.1.9:5403\",tie_breaker=\"Node with lowest node ID\",state=\"Connected\"} 1",
            ]
        );
    }

    #[test]
    fn only_connected_is_up_and_unknown_words_are_other() {
        for (state, up, word) in [
            ("\"Connect failed\"", Some("0"), "Connect failed"),
            ("\"Dancing\"", Some("0"), "other"),
            ("null", None, ""),
            ("{}", None, ""),
        ] {
            let lines = told(&Answer::of(&format!(r#"{{"data":{{"Model":"Net","State":{state}}}}}"#)));
            let found = lines.iter().find_map(|line| line.strip_prefix("pve_qdevice_up{id=\"cluster/labcluster\"} "));
            assert_eq!(found, up, "{state}");
            let info = lines.last().expect("info");
            assert!(
                info.ends_with(&format!("algorithm=\"\",qnetd_host=\"\",tie_breaker=\"\",state=\"{word}\"}} 1")),
                "{info}"
            );
        }
    }

    #[test]
    fn no_device_and_no_cluster_are_no_failure() {
        for body in [r#"{"data":{}}"#, r#"{"data":null}"#, r#"{"data":{"Last poll call":"","new":1}}"#] {
            assert_eq!(pve::qdevice(&Answer::of(body)).expect("an answer"), None, "{body}");
        }
        assert_eq!(
            pve::qdevice(&recorded("pve-9.2-cluster/GET_cluster__config__qdevice.json")).expect("an answer"),
            None
        );
        assert!(pve::qdevice(&Answer::of(r#"{"data":["Net"]}"#)).is_err());
        let failed = |code, words: &str| {
            if_set_up(Err(Error {
                endpoint: String::new(),
                path: String::new(),
                reason: Reason::Status(code, words.to_owned()),
            }))
        };
        assert!(
            failed(501, "Method 'GET /cluster/config/qdevice' not implemented").is_ok_and(|answer| answer.is_none())
        );
        assert!(failed(500, "node is not in a cluster").is_ok_and(|answer| answer.is_none()));
        assert!(failed(500, "qdevice not configured").is_ok_and(|answer| answer.is_none()));
        assert!(failed(500, "Can't use an undefined value as filehandle reference").is_err());
        assert!(if_set_up(Ok(Answer::of("{}"))).is_ok_and(|answer| answer.is_some()));
    }

    #[test]
    fn a_stand_alone_node_has_no_id_for_it() {
        let device = Answer::of(r#"{"data":{"Model":"Net","State":"Connected"}}"#);
        let device = pve::qdevice(&device).expect("an answer").expect("a quorum device");
        let status = Answer::of(r#"{"data":[{"type":"node","name":"pve1","nodeid":0}]}"#);
        assert!(lines(&families(&device, &pve::status(&status).expect("a status"))).is_empty());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            device in any_object(&["Model", "Algorithm", "QNetd host", "Tie-breaker", "State"]),
            status in any_object(&["type", "name"]),
        ) {
            let device = Answer::of(&serde_json::json!({ "data": device }).to_string());
            let status = Answer::of(&serde_json::json!({ "data": [status, { "type": "node", "name": "a" }] }).to_string());
            if let (Ok(Some(device)), Ok(status)) = (pve::qdevice(&device), pve::status(&status)) {
                check(&COLLECTOR, &families(&device, &status));
            }
        }
    }
}
