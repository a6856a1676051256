//! Paths, parameters and rights of the simulated world's API.

mod agent;
mod disks;
mod nodes;
mod power;
mod storage;
mod tasks;
mod upkeep;

use std::time::Duration;

use bytes::Bytes;

use super::json::{self, Value};
use super::noise::Shuffle;
use super::server::Rights;
use super::source::Reply;
use super::workers::{NodeState, Work};
use super::world::{Kind, Page, World, second};
use crate::ids::Fingerprint;

/// One call, its caller known.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) rights: Rights,
    /// `user@realm` or `user@realm!token`.
    pub(super) caller: &'a str,
    pub(super) body: &'a [u8],
    /// Time since the start of the cluster.
    pub(super) now: Duration,
    /// Which node is asked.
    pub(super) node: usize,
    /// Of the asked node's certificate.
    pub(super) fingerprint: Fingerprint,
    /// How long it takes to learn that a node is away.
    pub(super) away_delay: Duration,
    /// Decide the order of the keys: a seed, and the number of this answer.
    pub(super) seed: u64,
    pub(super) answer: u64,
}

/// A reply, and how long the world lets one wait for it.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) after: Duration,
}

/// The parameters of a query.
type Parameters<'a> = [(&'a str, &'a str)];

/// What `PVEAuditor` holds.
const AUDITOR: [&str; 7] =
    ["Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit", "VM.GuestAgent.Audit"];

/// What exists in each cluster.
const ROOTS: [&str; 8] = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

/// For so long the entry node waits for a hung one when it gathers the metrics of all.
const EXPORT_PATIENCE: Duration = Duration::from_secs(20);

/// The path below `/api2/json`.
pub(super) fn api_path(path: &str) -> Option<&str> {
    path.strip_prefix("/api2/json")
}

/// What a path below `/api2/json` means for the worker that answers it.
pub(super) fn work(path: &str) -> Work {
    match path {
        "/cluster/resources" | "/cluster/status" | "/version" | "/nodes" => Work::Fast,
        "/cluster/metrics/export" => Work::Blocking,
        _ if node_of(path).is_none() => Work::Quick,
        _ if path
            .split('/')
            .skip(3)
            .any(|part| matches!(part, "agent" | "storage" | "disks" | "replication" | "services" | "apt")) =>
        {
            Work::Blocking
        }
        _ => Work::Quick,
    }
}

/// The node that a path below `/api2/json` is about.
pub(super) fn node_of(path: &str) -> Option<&str> {
    path.strip_prefix("/nodes/")?.split('/').next()
}

/// Answers as pveproxy would.
pub(super) fn answer(world: &World, call: &Call<'_>) -> Answer {
    let (path, query) = call.target.split_once('?').unwrap_or((call.target, ""));
    let known = matches!(call.method, "GET" | "POST");
    let path = if known { api_path(path).unwrap_or_default() } else { "" };
    let parameters: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let answered = match path.strip_prefix("/nodes/") {
        Some(path) if call.method == "POST" => power::answer(world, call, &path.split('/').collect::<Vec<_>>()),
        _ if call.method == "POST" => Err(not_implemented(call)),
        Some(path) => nodes::answer(world, call, path, &parameters),
        None => cluster_wide(world, call, path, &parameters),
    };
    let mut answer = answered.unwrap_or_else(Answer::from);
    if world.facts().old && answer.reply.status >= 400 {
        speak_old(&mut answer.reply);
    }
    answer
}

fn cluster_wide(world: &World, call: &Call<'_>, path: &str, parameters: &Parameters<'_>) -> Result<Answer, Reply> {
    let cluster = world.facts();
    let known: &[&str] = match path {
        "/cluster/resources" => &["type"],
        "/access/users" => &["enabled", "full"],
        "/cluster/metrics/export" if !cluster.old => &["history", "local-only", "node-list", "start-time"],
        "/version"
        | "/cluster/status"
        | "/nodes"
        | "/access/permissions"
        | "/cluster/backup-info/not-backed-up"
        | "/cluster/replication"
        | "/cluster/tasks"
        | "/cluster/config/nodes"
        | "/cluster/backup"
        | "/cluster/ha/status/current"
        | "/cluster/ceph/status"
        | "/cluster/config/qdevice" => &[],
        "/cluster/sdn/zones" if !cluster.old => &[],
        _ => return Err(not_implemented(call)),
    };
    check_names(parameters, known)?;
    if matches!(
        path,
        "/cluster/status"
            | "/cluster/metrics/export"
            | "/cluster/backup-info/not-backed-up"
            | "/cluster/config/nodes"
            | "/cluster/config/qdevice"
            | "/cluster/ha/status/current"
    ) {
        audit(call, "/", "Sys.Audit")?;
    }
    Ok(Answer::from(match path {
        "/version" => ok(version(cluster.old, call.order())),
        "/cluster/resources" => ok(world.page(Page::Resources(kind(parameters)?), call)),
        "/cluster/status" => protected(cluster.status(call.now, call.node, call.order())),
        "/cluster/metrics/export" => return export(world, call, parameters),
        "/cluster/backup-info/not-backed-up" => protected(cluster.not_backed_up(call.order())),
        "/cluster/replication" => ok(cluster.replication_jobs(call.now, call.rights, call.order())),
        "/cluster/config/nodes" => protected(cluster.voters(call.order())),
        "/cluster/sdn/zones" => ok(cluster.zones(call)),
        "/cluster/config/qdevice" => protected(cluster.qdevice(call.order())),
        "/cluster/tasks" => tasks::of_cluster(world, call),
        "/cluster/backup" if call.rights.holds("Sys.Audit") => ok(cluster.backup_jobs(second(call.now), call.order())),
        "/cluster/backup" => ok("{\"data\":[]}".to_owned()),
        "/cluster/ha/status/current" => ok(cluster.ha_status(second(call.now), call.node, call.order())),
        "/cluster/ceph/status" => {
            audit(call, "/", "Sys.Audit|Datastore.Audit")?;
            disks::ceph_status(world, call)
        }
        "/access/users" => ok(cluster.users(call, parameters.contains(&("full", "1")))),
        "/nodes" => ok(world.node_list(call)),
        _ => ok(permissions(call.rights, cluster.old, call.order())),
    }))
}

/// What `type=` asks for.
fn kind(parameters: &Parameters<'_>) -> Result<Option<Kind>, Reply> {
    Ok(Some(match parameters.first() {
        None => return Ok(None),
        Some((_, "vm")) => Kind::Guest,
        Some((_, "node")) => Kind::Node,
        Some((_, "storage")) => Kind::Storage,
        Some((_, "sdn")) => Kind::Sdn,
        Some((name, value)) => {
            let list = "'vm, storage, node, sdn'";
            return Err(invalid(name, &format!("value '{value}' does not have a value in the enumeration {list}")));
        }
    }))
}

/// `/cluster/metrics/export`: a list of nodes outweighs `local-only`. Only the newest sample is kept, so `history` adds nothing.
fn export(world: &World, call: &Call<'_>, parameters: &Parameters<'_>) -> Result<Answer, Reply> {
    let value = |wanted: &str| parameters.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let mut nodes: Vec<usize> = (0..world.node_count()).collect();
    if let Some(list) = value("node-list") {
        let names = || list.split(',').filter(|name| !name.is_empty());
        let index = |name: &str| world.node_index(name).filter(|_| world.node_count() > 1);
        if let Some(unknown) = names().find(|name| index(name).is_none()) {
            return Err(failed(&format!("Requested node-list contains unknown nodes - {unknown}")));
        }
        nodes = names().filter_map(index).collect();
    } else if value("local-only") == Some("1") {
        nodes = vec![call.node];
    }
    let mut after = Duration::ZERO;
    nodes.retain(|node| {
        let state = if *node == call.node { NodeState::Well } else { world.workers().state(world.node_name(*node)) };
        match state {
            NodeState::Hung if !world.is_away(*node, call.now) => after += EXPORT_PATIENCE,
            NodeState::Slow(time) => after += time,
            _ => {}
        }
        !matches!(state, NodeState::Hung | NodeState::Dead)
    });
    let since = value("start-time").and_then(|since| since.parse().ok()).unwrap_or(0);
    if world.sampled_at(call.now) <= since {
        nodes.clear();
    }
    let whole = nodes.len() == world.node_count();
    let body = if whole { world.page(Page::Export, call) } else { world.export_of(&nodes, call).into() };
    Ok(Answer { reply: ok(body), after })
}

/// Before PVE 8.3, errors said nothing in their body but what was wrong with a parameter.
fn speak_old(reply: &mut Reply) {
    if let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(&reply.body)
        && let Some(fields) = body.as_object_mut()
    {
        fields.remove("message");
        reply.body = body.to_string().into();
    }
}

/// 400 if there is a parameter of another name.
fn check_names(parameters: &Parameters<'_>, known: &[&str]) -> Result<(), Reply> {
    let unknown = parameters.iter().find(|(name, _)| !known.contains(name));
    unknown.map_or(Ok(()), |(name, _)| {
        let text = "property is not defined in schema and the schema does not allow additional properties";
        Err(invalid(name, text))
    })
}

/// 403 unless the caller holds the privilege, or one of several with `|` between them.
fn audit(call: &Call<'_>, path: &str, privilege: &str) -> Result<(), Reply> {
    let is_held = privilege.split('|').any(|privilege| call.rights.holds(privilege));
    if is_held { Ok(()) } else { Err(forbidden(path, privilege)) }
}

/// The effective rights: nothing at all for a token without any.
fn permissions(rights: Rights, old: bool, mut order: Shuffle) -> String {
    let mut document = serde_json::json!({ "data": {} });
    let paths = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
    let held = |privileges: &[&str]| -> serde_json::Map<String, serde_json::Value> {
        let exists = |name: &&&str| **name != if old { "VM.GuestAgent.Audit" } else { "VM.Monitor" };
        privileges.iter().filter(exists).map(|&name| (name.to_owned(), 1.into())).collect()
    };
    let (paths, held) = match rights {
        Rights::None => (Vec::new(), held(&[])),
        Rights::Operator => (paths(&["/vms"]), held(&["VM.Audit", "VM.PowerMgmt"])),
        Rights::Auditor => (paths(&ROOTS), held(&AUDITOR)),
        Rights::Administrator => (
            paths(&ROOTS),
            held(
                &[&AUDITOR[..], &["Sys.Modify", "Sys.PowerMgmt", "VM.Config.Disk", "VM.Monitor", "VM.PowerMgmt"]]
                    .concat(),
            ),
        ),
    };
    for path in paths {
        document["data"][path] = held.clone().into();
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

/// 500, as PVE answers whatever else went wrong.
fn failed(reason: &str) -> Reply {
    let body = serde_json::json!({ "data": null, "message": format!("{reason}\n") });
    Reply::json(500, reason, body.to_string())
}

/// `{"data":"…"}`.
fn json_text(text: &str) -> String {
    serde_json::json!({ "data": text }).to_string()
}

fn ok(body: impl Into<Bytes>) -> Reply {
    Reply::json(200, "OK", body)
}

/// By way of pvedaemon.
fn protected(body: String) -> Reply {
    Reply { protected: true, ..ok(body) }
}

impl Call<'_> {
    /// The order of the keys of this answer.
    pub(super) fn order(&self) -> Shuffle {
        Shuffle::new(self.seed, self.answer)
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, after: Duration::ZERO }
    }
}

/// `GET /version`.
pub(super) fn version(old: bool, order: Shuffle) -> String {
    let (release, repoid, version) =
        if old { ("8.2", "faa83925c9641325", "8.2.4") } else { ("9.2", "14a22df35955d97d", "9.2.11") };
    let fields = vec![
        ("console", Value::Text("html5")),
        ("release", Value::Text(release)),
        ("repoid", Value::Text(repoid)),
        ("version", Value::Text(version)),
    ];
    json::object(fields, order)
}

#[cfg(test)]
mod condition_tests;
#[cfg(test)]
mod tests;
