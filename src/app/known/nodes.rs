//! `GET /api/v1/nodes`: the nodes as the last scrape told them.

use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::{CLUSTER, Clock, is_in, list, names_of, wanted, words};
use crate::api::{Answer, Doc, Error, Parameter, Place, Reply, Request, whole};
use crate::inventory::Node;
use crate::scrape::KnownCluster;

const STATUS: [&str; 2] = ["online", "offline"];

pub(super) static DOC: Doc = Doc {
    operation: "listNodes",
    summary: "Tells of the nodes of each cluster as the last scrape found them; nothing is asked for it.",
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
        about: "The nodes by cluster and name; none of a cluster that was not scraped yet.",
        schema: || {
            let (whole, number) = (|| json!({"type": ["integer", "null"]}), || json!({"type": ["number", "null"]}));
            let properties = json!({
                "cluster": {"type": "string"},
                "node": {"type": "string"},
                "status": {"type": "string", "enum": STATUS},
                "told_at": {"type": "integer", "description": "When Proxmox VE told this, in seconds since 1970."},
                "ha_state": {"type": ["string", "null"], "description": "The word of the HA manager, such as online or maintenance."},
                "uptime_seconds": whole(),
                "cpu_usage_ratio": number(),
                "cpus": whole(),
                "memory_usage_bytes": whole(),
                "memory_size_bytes": whole(),
                "disk_usage_bytes": whole(),
                "disk_size_bytes": whole(),
            });
            list("nodes", &properties)
        },
        example: || {
            json!({"nodes": [
                {
                    "cluster": "home", "node": "pve1", "status": "online", "told_at": 1_790_000_000, "ha_state": "online",
                    "uptime_seconds": 86_400, "cpu_usage_ratio": 0.25, "cpus": 16,
                    "memory_usage_bytes": 8_589_934_592_u64, "memory_size_bytes": 34_359_738_368_u64,
                    "disk_usage_bytes": 10_737_418_240_u64, "disk_size_bytes": 107_374_182_400_u64,
                },
                {
                    "cluster": "home", "node": "pve2", "status": "offline", "told_at": 1_790_000_000, "ha_state": null,
                    "uptime_seconds": null, "cpu_usage_ratio": null, "cpus": null, "memory_usage_bytes": null,
                    "memory_size_bytes": null, "disk_usage_bytes": null, "disk_size_bytes": null,
                },
            ]})
        },
    }],
    errors: &[],
};

#[derive(Serialize)]
struct NodeJson<'a> {
    cluster: &'a str,
    node: &'a str,
    status: &'static str,
    told_at: u64,
    ha_state: Option<&'a str>,
    uptime_seconds: Option<u64>,
    cpu_usage_ratio: Option<f64>,
    cpus: Option<u64>,
    memory_usage_bytes: Option<u64>,
    memory_size_bytes: Option<u64>,
    disk_usage_bytes: Option<u64>,
    disk_size_bytes: Option<u64>,
}

pub(super) fn reply(clusters: &[KnownCluster], request: &Request, clock: Clock) -> Result<Reply, Error> {
    let (wanted, status) = (wanted(request, &names_of(clusters))?, words(request, "status", &STATUS)?);
    let mut told = Vec::new();
    for cluster in clusters.iter().filter(|cluster| is_in(&wanted, &cluster.name)) {
        if let Some((at, nodes)) = &cluster.nodes {
            told.extend(nodes.iter().map(|known| node(&cluster.name, known, *at, clock)));
        }
    }
    told.retain(|node| is_in(&status, node.status));
    Ok(Reply::ok(&json!({"nodes": told})))
}

fn node<'a>(cluster: &'a str, known: &'a Node, at: Instant, clock: Clock) -> NodeJson<'a> {
    let [online, offline] = STATUS;
    let usage = &known.usage;
    NodeJson {
        cluster,
        node: &known.name,
        status: if known.online { online } else { offline },
        told_at: clock.seconds(at),
        ha_state: known.ha_state.as_deref(),
        uptime_seconds: whole(usage.uptime.get()),
        cpu_usage_ratio: usage.cpu_ratio.get(),
        cpus: whole(usage.cpu_limit.get()),
        memory_usage_bytes: whole(usage.memory.get()),
        memory_size_bytes: whole(usage.memory_size.get()),
        disk_usage_bytes: whole(usage.disk.get()),
        disk_size_bytes: whole(usage.disk_size.get()),
    }
}
