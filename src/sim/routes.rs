//! Paths, parameters and rights of the simulated world's API.

use std::time::Duration;

use super::json::{self, Value};
use super::noise::Shuffle;
use super::server::Rights;
use super::source::Reply;
use super::world::{Kind, World};
use crate::ids::Fingerprint;

/// One call, its caller known.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) rights: Rights,
    /// Time since the start of the cluster.
    pub(super) now: Duration,
    /// Which node is asked.
    pub(super) node: usize,
    /// Of the asked node's certificate.
    pub(super) fingerprint: Fingerprint,
}

/// What `PVEAuditor` holds.
const AUDITOR: [&str; 7] =
    ["Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit", "VM.GuestAgent.Audit"];

/// The path below `/api2/json`.
pub(super) fn api_path(path: &str) -> Option<&str> {
    path.strip_prefix("/api2/json")
}

/// Answers as pveproxy would.
pub(super) fn answer(world: &World, call: &Call<'_>, order: Shuffle) -> Reply {
    let (path, query) = call.target.split_once('?').unwrap_or((call.target, ""));
    let path = if call.method == "GET" { api_path(path).unwrap_or_default() } else { "" };
    let parameters: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let known: &[&str] = if path == "/cluster/resources" { &["type"] } else { &[] };
    let unknown = parameters.iter().find(|(name, _)| !known.contains(name));
    match (path, unknown) {
        ("/version" | "/cluster/resources" | "/cluster/status" | "/nodes" | "/access/permissions", Some((name, _))) => {
            invalid(name, "property is not defined in schema and the schema does not allow additional properties")
        }
        ("/version", _) => ok(version(order)),
        ("/cluster/resources", _) => resources(world, call, &parameters, order),
        ("/cluster/status", _) if call.rights == Rights::None => forbidden("/", "Sys.Audit"),
        ("/cluster/status", _) => Reply { protected: true, ..ok(world.status_from(call.now, call.node, order)) },
        ("/nodes", _) => ok(world.nodes_for(call, order)),
        ("/access/permissions", _) => ok(permissions(call.rights, order)),
        _ => not_implemented(call),
    }
}

fn resources(world: &World, call: &Call<'_>, parameters: &[(&str, &str)], order: Shuffle) -> Reply {
    let kind = match parameters.first() {
        None => None,
        Some((_, "vm")) => Some(Kind::Guest),
        Some((_, "node")) => Some(Kind::Node),
        Some((_, "storage")) => Some(Kind::Storage),
        Some((_, "sdn")) => Some(Kind::Sdn),
        Some((name, value)) => {
            let list = "'vm, storage, node, sdn'";
            return invalid(name, &format!("value '{value}' does not have a value in the enumeration {list}"));
        }
    };
    ok(world.resources_for(call.now, kind, call.rights, order))
}

/// The effective rights: nothing at all for a token without any.
fn permissions(rights: Rights, mut order: Shuffle) -> String {
    let mut document = serde_json::json!({ "data": {} });
    if rights == Rights::Auditor {
        let held: serde_json::Map<_, _> = AUDITOR.iter().map(|&name| (name.to_owned(), 1.into())).collect();
        for path in ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"] {
            document["data"][path] = held.clone().into();
        }
    }
    json::reordered(&document, &mut order)
}

/// 501: no such path, or not with this method.
pub(super) fn not_implemented(call: &Call<'_>) -> Reply {
    let path = call.target.split('?').next().unwrap_or_default();
    let reason = format!("Method '{} {}' not implemented", call.method, api_path(path).unwrap_or(path));
    let body = serde_json::json!({ "data": null, "message": reason });
    Reply::json(501, &reason, body.to_string())
}

fn forbidden(path: &str, privilege: &str) -> Reply {
    let reason = format!("Permission check failed ({path}, {privilege})");
    let body = serde_json::json!({ "data": null, "message": format!("{reason}\n") });
    Reply::json(403, &reason, body.to_string())
}

fn invalid(parameter: &str, text: &str) -> Reply {
    let reason = "Parameter verification failed.";
    let message = format!("{reason}\n");
    let body = serde_json::json!({ "data": null, "message": message, "errors": { parameter: text } });
    Reply::json(400, reason, body.to_string())
}

fn ok(body: String) -> Reply {
    Reply::json(200, "OK", body)
}

/// `GET /version`.
pub(super) fn version(order: Shuffle) -> String {
    let fields = vec![
        ("console", Value::Text("html5")),
        ("release", Value::Text("9.2")),
        ("repoid", Value::Text("14a22df35955d97d")),
        ("version", Value::Text("9.2.11")),
    ];
    json::object(fields, order)
}
