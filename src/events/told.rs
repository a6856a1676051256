//! `GET /api/v1/events`: every single finding, also those that nobody is told of.

use std::sync::Arc;

use http::Method;
use serde::Serialize;
use serde_json::json;

use super::alert::rfc3339;
use super::finding::{Finding, Span};
use super::ledger::Ledger;
use crate::api::{Answer, Doc, Error, Parameter, Place, Reply, Request, Route, handler};
use crate::ids::Scope;

/// The longest list.
const MOST: usize = 1000;

static DOC: Doc = Doc {
    operation: "listEvents",
    summary: "Tells of events in the order in which they were found, each with a number that grows, at most 1000 at a time.",
    parameters: &[
        Parameter {
            name: "since",
            place: Place::Query,
            about: "Only events after this one: the next of an earlier answer. Without it, from the oldest that is kept.",
            schema: || json!({"type": "integer", "minimum": 0}),
        },
        Parameter {
            name: "cluster",
            place: Place::Repeatable,
            about: "Only those of these clusters, by their configured names.",
            schema: || json!({"type": "string"}),
        },
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "The events, and in next what to say in since to get those that follow.",
        schema: || {
            let text = || json!({"type": "string"});
            let optional = || json!({"type": ["string", "null"]});
            let properties = json!({
                "number": {"type": "integer"},
                "found_at": {"type": "string", "format": "date-time"},
                "key": {"type": "string", "description": "The same for everyone who found it."},
                "kind": text(),
                "alertname": text(),
                "severity": {"type": "string", "enum": ["critical", "warning", "info"]},
                "cluster": text(),
                "id": text(),
                "node": optional(),
                "task_type": optional(),
                "state": {"type": "string", "enum": ["occurred", "began", "ended"]},
                "started_at": {"type": "string", "format": "date-time"},
                "ended_at": {"type": ["string", "null"], "format": "date-time"},
                "summary": text(),
                "description": text(),
                "details": {"type": "object", "additionalProperties": text()},
            });
            let required: Vec<&String> = properties.as_object().into_iter().flat_map(|all| all.keys()).collect();
            let item = json!({"type": "object", "required": required, "properties": properties});
            let properties = json!({"events": {"type": "array", "items": item}, "next": {"type": "integer"}});
            json!({"type": "object", "required": ["events", "next"], "properties": properties})
        },
        example: || {
            json!({"events": [{
                "number": 7, "found_at": "2026-01-31T07:05:10Z", "key": "task/UPID:pve1:…", "kind": "task_failed",
                "alertname": "PVETaskFailed", "severity": "warning", "cluster": "home", "id": "qemu/100", "node": "pve1",
                "task_type": "qmstart", "state": "occurred", "started_at": "2026-01-31T07:05:00Z", "ended_at": null,
                "summary": "Starting web failed", "description": "no space left", "details": {"user": "root@pam"},
            }], "next": 7})
        },
    }],
    errors: &[],
};

#[derive(Serialize)]
struct EventJson {
    number: u64,
    found_at: String,
    key: String,
    kind: &'static str,
    alertname: &'static str,
    severity: &'static str,
    cluster: String,
    id: String,
    node: Option<String>,
    task_type: Option<String>,
    state: &'static str,
    started_at: String,
    ended_at: Option<String>,
    summary: String,
    description: String,
    details: std::collections::BTreeMap<String, String>,
}

/// The route.
pub fn route(ledger: &Arc<Ledger>) -> Route {
    let ledger = Arc::clone(ledger);
    let answer = move |request: Request| std::future::ready(Reply::from(reply(&ledger, &request)));
    Route { method: Method::GET, pattern: "/api/v1/events", scope: Scope::Read, handler: handler(answer), doc: &DOC }
}

fn reply(ledger: &Ledger, request: &Request) -> Result<Reply, Error> {
    let since = match request.query_all("since").first() {
        None => 0,
        Some(text) => text.parse::<u64>().map_err(|_| {
            Error::bad_request("expected since to be the number of an event, such as the next of an earlier answer")
        })?,
    };
    let clusters = request.query_all("cluster");
    let is_meant = |finding: &Finding| clusters.is_empty() || clusters.contains(&finding.cluster.as_str());
    let told = |number, at, finding: &Finding| is_meant(finding).then(|| event(number, at, finding));
    let (events, last) = ledger.pick(since, MOST, told);
    // Where all were told that there are, those of other clusters need not be looked at again.
    let next = events.last().filter(|_| events.len() == MOST).map_or(last, |event| event.number);
    Ok(Reply::ok(&json!({"events": events, "next": next})))
}

fn event(number: u64, at: i64, finding: &Finding) -> EventJson {
    let (state, started, ended) = match finding.span {
        Span::Occurred { at } => ("occurred", at, None),
        Span::Began { since } => ("began", since, None),
        Span::Ended { since, at } => ("ended", since, Some(at)),
    };
    EventJson {
        number,
        found_at: rfc3339(at),
        key: finding.key.clone(),
        kind: finding.kind.name(),
        alertname: finding.kind.alertname(),
        severity: finding.severity.name(),
        cluster: finding.cluster.clone(),
        id: finding.id.clone(),
        node: finding.node.clone(),
        task_type: finding.task_type.clone(),
        state,
        started_at: rfc3339(started),
        ended_at: ended.map(rfc3339),
        summary: finding.summary.clone(),
        description: finding.description.clone(),
        details: finding.details.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use serde_json::Value;

    use super::super::testing::{failed_task, lost_node};
    use super::*;
    use crate::api::{Caller, gaps};
    use crate::events::Limits;
    use crate::metrics::Own;

    fn ask(ledger: &Ledger, query: &[(&str, &str)]) -> (u16, Value) {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let caller = Caller { name: "ops".to_owned(), scopes: vec![Scope::Read], guests: None, from: None };
        let request = Request { path: Vec::new(), query, body: Bytes::new(), caller, key: None, id: "1".to_owned() };
        let reply = Reply::from(reply(ledger, &request));
        (reply.status.as_u16(), serde_json::from_slice(&reply.json).unwrap())
    }

    fn numbers(answer: &Value) -> Vec<u64> {
        answer["events"].as_array().unwrap().iter().map(|event| event["number"].as_u64().unwrap()).collect()
    }

    async fn ledger(findings: Vec<Finding>) -> (tempfile::TempDir, Arc<Ledger>) {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, _) = Ledger::open(folder.path(), &[], Limits::default(), Arc::new(Own::new("1"))).unwrap();
        let ledger = Arc::new(ledger);
        ledger.record("home", findings, BTreeMap::new(), 1_790_000_010).await;
        (folder, ledger)
    }

    #[tokio::test]
    async fn every_event_is_told_once_to_who_goes_on_from_next() {
        let findings = (0..2500).map(|number| Finding {
            cluster: if number % 2 == 0 { "home" } else { "lab" }.to_owned(),
            ..failed_task(&number.to_string(), number)
        });
        let (_folder, ledger) = ledger(findings.collect()).await;
        let (mut since, mut all) = (0, Vec::new());
        for expected in [1000, 1000, 500, 0] {
            let (_, answer) = ask(&ledger, &[("since", &since.to_string())]);
            assert_eq!(numbers(&answer).len(), expected);
            all.extend(numbers(&answer));
            since = answer["next"].as_u64().unwrap();
        }
        assert_eq!(all, (1..=2500).collect::<Vec<_>>());
        let (_, lab) = ask(&ledger, &[("cluster", "lab"), ("since", "2000")]);
        assert_eq!((numbers(&lab).len(), numbers(&lab)[0], lab["next"].as_u64()), (250, 2002, Some(2500)));
        assert_eq!(ask(&ledger, &[("since", "1h")]).0, 400);
        assert_eq!(ask(&ledger, &[("since", "-1")]).0, 400);
    }

    #[tokio::test]
    async fn an_event_is_told_as_it_is_documented() {
        let span = Span::Ended { since: 1_790_000_000, at: 1_790_000_005 };
        let (_folder, ledger) = ledger(vec![failed_task("UPID:a", 1_790_000_000), lost_node("pve1", span)]).await;
        let (_, answer) = ask(&ledger, &[]);
        assert_eq!(
            answer["events"][0],
            json!({
                "number": 1, "found_at": "2026-09-21T14:13:30Z", "key": "task/UPID:a", "kind": "task_failed",
                "alertname": "PVETaskFailed", "severity": "warning", "cluster": "home", "id": "qemu/100", "node": "pve1",
                "task_type": "qmstart", "state": "occurred", "started_at": "2026-09-21T14:13:20Z", "ended_at": null,
                "summary": "Starting web failed", "description": "no space", "details": {"upid": "UPID:a"},
            })
        );
        let ended = &answer["events"][1];
        assert_eq!(
            (ended["state"].as_str(), ended["ended_at"].as_str()),
            (Some("ended"), Some("2026-09-21T14:13:25Z"))
        );
        let route = route(&ledger);
        assert_eq!(gaps(std::slice::from_ref(&route)), Vec::<String>::new());
        let documented = (route.doc.answers[0].schema)();
        let properties = documented["properties"]["events"]["items"]["properties"].as_object().unwrap().clone();
        for event in [&answer["events"][0], &(route.doc.answers[0].example)()["events"][0]] {
            assert_eq!(event.as_object().unwrap().keys().collect::<Vec<_>>(), properties.keys().collect::<Vec<_>>());
        }
    }
}
