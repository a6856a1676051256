//! `GET /api/v1/clusters`: how each cluster does, from the scrapes so far.

use serde::Serialize;
use serde_json::json;

use super::{CLUSTER, Clock, PastJson, is_in, list, names_of, wanted, with_past};
use crate::api::{Answer, Doc, Error, Reply, Request};
use crate::pve::{Condition, KnownEndpoint};
use crate::scrape::KnownCluster;

pub(super) static DOC: Doc = Doc {
    operation: "listClusters",
    summary: "Tells how each configured cluster does, from the scrapes so far; nothing is asked for it.",
    parameters: &[CLUSTER],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "The clusters, in the order of the configuration.",
        schema: || {
            let endpoint = json!({
                "url": {"type": "string"},
                "node": {"type": ["string", "null"], "description": "The node that answers there, once it is known."},
                "status": {
                    "type": "string",
                    "enum": ["unknown", "well", "troubled", "down", "refused"],
                    "description": "troubled: some calls fail there and are asked elsewhere first. refused: it belongs to another cluster.",
                },
                "in_use": {"type": "boolean", "description": "Whether it is asked first now."},
                "error": {"type": ["string", "null"]},
            });
            let endpoints = list("endpoints", &endpoint)["properties"]["endpoints"].clone();
            let properties = with_past(json!({
                "name": {"type": "string"},
                "health": {
                    "type": "string",
                    "enum": ["unknown", "well", "degraded", "down"],
                    "description": "unknown: not scraped yet. degraded: some collectors fail. down: not one of those asked at each scrape succeeded.",
                },
                "failing_collectors": {"type": "array", "items": {"type": "string"}},
                "endpoints": endpoints,
            }));
            list("clusters", &properties)
        },
        example: || {
            json!({"clusters": [{
                "name": "home",
                "health": "degraded",
                "last_success": 1_790_000_000,
                "last_failure": 1_790_000_000,
                "last_error": "cluster: https://192.0.2.11:8006: no connection: connection refused",
                "failing_collectors": ["cluster"],
                "endpoints": [
                    {"url": "https://192.0.2.11:8006", "node": "pve1", "status": "down", "in_use": false, "error": "https://192.0.2.11:8006: no connection: connection refused"},
                    {"url": "https://192.0.2.12:8006", "node": null, "status": "well", "in_use": true, "error": null},
                ],
            }]})
        },
    }],
    errors: &[],
};

#[derive(Serialize)]
struct ClusterJson<'a> {
    name: &'a str,
    health: &'static str,
    #[serde(flatten)]
    past: PastJson,
    failing_collectors: Vec<&'static str>,
    endpoints: Vec<EndpointJson<'a>>,
}

#[derive(Serialize)]
struct EndpointJson<'a> {
    url: &'a str,
    node: Option<&'a str>,
    status: &'static str,
    in_use: bool,
    error: Option<&'a str>,
}

pub(super) fn reply(clusters: &[KnownCluster], request: &Request, clock: Clock) -> Result<Reply, Error> {
    let wanted = wanted(request, &names_of(clusters))?;
    let asked = clusters.iter().filter(|cluster| is_in(&wanted, &cluster.name));
    let told: Vec<ClusterJson<'_>> = asked.map(|known| cluster(known, clock)).collect();
    Ok(Reply::ok(&json!({"clusters": told})))
}

fn cluster(known: &KnownCluster, clock: Clock) -> ClusterJson<'_> {
    let health = match known.past.answered {
        None if known.failing.is_empty() => "unknown",
        Some(false) => "down",
        None | Some(true) if !known.failing.is_empty() => "degraded",
        None | Some(true) => "well",
    };
    ClusterJson {
        name: &known.name,
        health,
        past: clock.past(&known.past),
        failing_collectors: known.failing.iter().copied().collect(),
        endpoints: known.endpoints.iter().map(endpoint).collect(),
    }
}

fn endpoint(known: &KnownEndpoint) -> EndpointJson<'_> {
    let status = match known.condition {
        Condition::Unknown => "unknown",
        Condition::Well => "well",
        Condition::Troubled => "troubled",
        Condition::Down => "down",
        Condition::Refused => "refused",
    };
    let KnownEndpoint { url, node, in_use, error, .. } = known;
    EndpointJson { url, node: node.as_deref(), status, in_use: *in_use, error: error.as_deref() }
}
