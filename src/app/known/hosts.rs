//! `GET /api/v1/hosts`: whether each host over SSH answers, from the scrapes so far.

use serde::Serialize;
use serde_json::json;

use super::{CLUSTER, Clock, PastJson, is_in, list, wanted, with_past, words};
use crate::api::{Answer, Doc, Error, Parameter, Place, Reply, Request};
use crate::scrape::KnownHost;

const STATUS: [&str; 3] = ["up", "down", "unknown"];

/// What nodes of clusters are, and what all the others.
const TYPE: [&str; 2] = ["proxmox", "other"];

pub(super) static DOC: Doc = Doc {
    operation: "listHosts",
    summary: "Tells whether each host over SSH answers, from the scrapes so far; nothing is asked for it.",
    parameters: &[
        CLUSTER,
        Parameter {
            name: "status",
            place: Place::Repeatable,
            about: "Only those that are so.",
            schema: || json!({"type": "string", "enum": STATUS}),
        },
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "The hosts of the configuration, then the nodes that are known by now.",
        schema: || {
            let properties = with_past(json!({
                "id": {"type": "string", "description": "The label host of its series."},
                "name": {"type": "string"},
                "type": {"type": "string", "enum": TYPE, "description": "proxmox: a node of a configured cluster."},
                "cluster": {"type": ["string", "null"], "description": "The cluster that it is a node of."},
                "address": {"type": "string"},
                "status": {"type": "string", "enum": STATUS, "description": "unknown: not asked yet."},
            }));
            list("hosts", &properties)
        },
        example: || {
            json!({"hosts": [
                {
                    "id": "nas", "name": "NAS", "type": "other", "cluster": null, "address": "nas.example.com:22",
                    "status": "down", "last_success": null, "last_failure": 1_790_000_000,
                    "last_error": "ssh nas (nas.example.com:22): no connection: connection refused",
                },
                {
                    "id": "home-pve1", "name": "pve1", "type": "proxmox", "cluster": "home", "address": "192.0.2.11:22",
                    "status": "up", "last_success": 1_790_000_000, "last_failure": null, "last_error": null,
                },
            ]})
        },
    }],
    errors: &[],
};

#[derive(Serialize)]
struct HostJson<'a> {
    id: &'a str,
    name: &'a str,
    r#type: &'static str,
    cluster: Option<&'a str>,
    address: &'a str,
    status: &'static str,
    #[serde(flatten)]
    past: PastJson,
}

pub(super) fn reply(hosts: &[KnownHost], clusters: &[String], request: &Request, clock: Clock) -> Result<Reply, Error> {
    let (wanted, status) = (wanted(request, clusters)?, words(request, "status", &STATUS)?);
    // Hosts of no cluster are in none of those that are asked for.
    let of_clusters =
        |host: &&KnownHost| wanted.is_empty() || host.cluster.as_deref().is_some_and(|name| is_in(&wanted, name));
    let mut told: Vec<HostJson<'_>> = hosts.iter().filter(of_clusters).map(|known| host(known, clock)).collect();
    told.retain(|host| is_in(&status, host.status));
    Ok(Reply::ok(&json!({"hosts": told})))
}

fn host(known: &KnownHost, clock: Clock) -> HostJson<'_> {
    let ([up, down, unknown], [proxmox, other]) = (STATUS, TYPE);
    HostJson {
        id: &known.id,
        name: &known.name,
        r#type: if known.cluster.is_some() { proxmox } else { other },
        cluster: known.cluster.as_deref(),
        address: &known.address,
        status: match known.past.answered {
            Some(true) => up,
            Some(false) => down,
            None => unknown,
        },
        past: clock.past(&known.past),
    }
}
