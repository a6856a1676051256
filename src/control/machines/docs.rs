//! What is to be known of the routes of nodes and hosts.

use serde_json::{Value, json};

use super::super::docs::{CLUSTER, KEY};
use super::action::Action;
use crate::api::{Answer, Body, Code, Doc, Parameter, Place};

const NODE: Parameter = Parameter {
    name: "node",
    place: Place::Path,
    about: "The name of the node.",
    schema: || json!({"type": "string"}),
};
const HOST: Parameter = Parameter {
    name: "id",
    place: Place::Path,
    about: "The id of the host, as the configuration has it.",
    schema: || json!({"type": "string"}),
};
const WAIT: Parameter = Parameter {
    name: "wait",
    place: Place::Query,
    about: "How long to wait for the machine to be as asked for, such as 5m, at most 10m; without it, the answer comes as soon as \
            it was asked.",
    schema: || json!({"type": "string"}),
};

const NODE_ERRORS: &[Code] = &[
    Code::NotFound,
    Code::RunningGuests,
    Code::WouldLoseQuorum,
    Code::TaskFailed,
    Code::PveUnreachable,
    Code::PveRefused,
    Code::HostUnreachable,
    Code::OutcomeUnknown,
    Code::ControlDisabled,
    Code::NoQuorum,
];
const HOST_ERRORS: &[Code] =
    &[Code::NotFound, Code::TaskFailed, Code::HostUnreachable, Code::OutcomeUnknown, Code::ControlDisabled];

const DONE: &str =
    "The machine is as asked for: it was before (changed is false), or is so now. With dry_run: what would be sent.";
const ASKED: &str = "The machine was asked, and was not as wanted yet when this was answered.";

const fn of_node(operation: &'static str, summary: &'static str) -> Doc {
    Doc {
        operation,
        summary,
        parameters: &[CLUSTER, NODE, WAIT, KEY],
        body: Some(Body { schema: || body(true), example: || json!({"dry_run": true}) }),
        answers: &[
            Answer {
                status: 200,
                about: DONE,
                schema: || done(true),
                example: || {
                    json!({
                        "action": "shutdown", "node": {"cluster": "home", "node": "pve1"}, "changed": true,
                        "status": "offline",
                    })
                },
            },
            Answer {
                status: 202,
                about: ASKED,
                schema: || asked(true),
                example: || json!({"action": "shutdown", "node": {"cluster": "home", "node": "pve1"}}),
            },
        ],
        errors: NODE_ERRORS,
    }
}

const fn of_host(operation: &'static str, summary: &'static str) -> Doc {
    Doc {
        operation,
        summary,
        parameters: &[HOST, WAIT, KEY],
        body: Some(Body { schema: || body(false), example: || json!({"dry_run": true}) }),
        answers: &[
            Answer {
                status: 200,
                about: DONE,
                schema: || done(false),
                example: || json!({"action": "wake", "host": {"id": "nas", "name": "NAS"}, "changed": true, "status": "up"}),
            },
            Answer {
                status: 202,
                about: ASKED,
                schema: || asked(false),
                example: || json!({"action": "wake", "host": {"id": "nas", "name": "NAS"}}),
            },
        ],
        errors: HOST_ERRORS,
    }
}

static NODES: [Doc; 4] = [
    of_node("shutdownNode", "Shuts a node down, unless it runs guests or its cluster would lose the quorum."),
    of_node("rebootNode", "Starts a node again, unless it runs guests or its cluster would lose the quorum meanwhile."),
    of_node(
        "suspendNode",
        "Lets a node sleep, by a command over SSH, unless it runs guests or its cluster would lose the quorum.",
    ),
    of_node("wakeNode", "Wakes a node through another member, or by a packet of our own."),
];
static HOSTS: [Doc; 4] = [
    of_host("shutdownHost", "Shuts a host down by a command over SSH."),
    of_host("rebootHost", "Starts a host again by a command over SSH."),
    of_host("suspendHost", "Lets a host sleep by a command over SSH."),
    of_host("wakeHost", "Wakes a host by a packet to its network card."),
];

/// Actions, whether they are those of nodes, patterns and docs.
pub(super) fn all() -> impl Iterator<Item = (Action, bool, &'static str, &'static Doc)> {
    const OF_NODES: [&str; 4] = [
        "/api/v1/nodes/{cluster}/{node}/shutdown",
        "/api/v1/nodes/{cluster}/{node}/reboot",
        "/api/v1/nodes/{cluster}/{node}/suspend",
        "/api/v1/nodes/{cluster}/{node}/wake",
    ];
    const OF_HOSTS: [&str; 4] = [
        "/api/v1/hosts/{id}/shutdown",
        "/api/v1/hosts/{id}/reboot",
        "/api/v1/hosts/{id}/suspend",
        "/api/v1/hosts/{id}/wake",
    ];
    let of = |of_node: bool, patterns: [&'static str; 4], docs: &'static [Doc; 4]| {
        let rows = Action::ALL.into_iter().zip(patterns).zip(docs);
        rows.map(move |((action, pattern), doc)| (action, of_node, pattern, doc))
    };
    of(true, OF_NODES, &NODES).chain(of(false, OF_HOSTS, &HOSTS))
}

fn body(of_node: bool) -> Value {
    let mut body = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "dry_run": {"type": "boolean", "default": false, "description": "Say what would be sent, and send nothing."},
        },
    });
    if of_node {
        body["properties"]["allow_running"] =
            json!({"type": "boolean", "default": false, "description": "Also where the node runs guests."});
        body["properties"]["force_quorum"] = json!({"type": "boolean", "default": false, "description": "Also where the cluster loses its quorum by it."});
    }
    body
}

fn asked(of_node: bool) -> Value {
    let (key, names) = if of_node { ("node", ["cluster", "node"]) } else { ("host", ["id", "name"]) };
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
    let mut schema = json!({
        "type": "object", "required": ["action", key], "properties": {"action": {"type": "string"}},
    });
    schema["properties"][key] = json!({"type": "object", "required": names, "properties": properties});
    schema
}

fn done(of_node: bool) -> Value {
    let mut schema = asked(of_node);
    let words = if of_node { ["online", "offline"] } else { ["up", "down"] };
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("changed".into());
    }
    let properties = &mut schema["properties"];
    properties["changed"] = json!({"type": "boolean"});
    properties["status"] =
        json!({"type": "string", "enum": words, "description": "What the machine is now; not with dry_run."});
    properties["dry_run"] = json!({"type": "boolean"});
    properties["request"] = json!({
        "type": "object",
        "description": "What would be sent: a POST to Proxmox VE, a command over ssh, or a packet.",
    });
    properties["needs"] = json!({"type": "array", "items": {"type": "object", "properties": {
        "privilege": {"type": "string"}, "path": {"type": "string"}, "held": {"type": ["boolean", "null"]},
    }}});
    schema
}
