//! What is to be known of the routes.

use serde_json::{Value, json};

use crate::api::{Answer, Body, Code, Doc, Parameter, Place};

pub(super) const CLUSTER: Parameter = Parameter {
    name: "cluster",
    place: Place::Path,
    about: "The configured name of the cluster.",
    schema: || json!({"type": "string"}),
};
const VMID: Parameter = Parameter {
    name: "vmid",
    place: Place::Path,
    about: "The number of the guest.",
    schema: || json!({"type": "integer", "minimum": 1, "maximum": 999_999_999}),
};
pub(super) const WAIT: Parameter = Parameter {
    name: "wait",
    place: Place::Query,
    about: "How long to wait for the guest to be as asked for, such as 30s, at most 10m; without it, the task is told at once.",
    schema: || json!({"type": "string"}),
};
pub(super) const KEY: Parameter = Parameter {
    name: "Idempotency-Key",
    place: Place::Header,
    about: "Names this order. For an hour, also after a restart, the same key gets the answer of the first time and nothing is \
            sent again; with another order it is refused.",
    schema: || json!({"type": "string", "minLength": 1, "maxLength": 128}),
};

const ERRORS: &[Code] = &[
    Code::UnsupportedAction,
    Code::NotFound,
    Code::Locked,
    Code::Template,
    Code::HaForbids,
    Code::TaskFailed,
    Code::PveUnreachable,
    Code::PveRefused,
    Code::OutcomeUnknown,
    Code::ControlDisabled,
    Code::NoQuorum,
];

const fn of_guest(operation: &'static str, summary: &'static str) -> Doc {
    Doc {
        operation,
        summary,
        parameters: &[CLUSTER, VMID, WAIT, KEY],
        body: Some(Body { schema: body, example: || json!({"dry_run": true}) }),
        answers: &[
            Answer {
                status: 200,
                about: "The guest is as asked for: it was before (changed is false), or is so now. With dry_run: what would be sent.",
                schema: done,
                example: || {
                    json!({
                        "action": "start", "guest": guest_example(), "changed": true, "status": "running",
                        "task": task_example("stopped", Some("OK")),
                    })
                },
            },
            Answer {
                status: 202,
                about: "Proxmox VE has a task for it, which had not ended when this was answered.",
                schema: asked,
                example: || json!({"action": "start", "guest": guest_example(), "task": task_example("running", None)}),
            },
        ],
        errors: ERRORS,
    }
}

static GUESTS: [Doc; 8] = [
    of_guest("startGuest", "Switches a guest on; one that was hibernated goes on."),
    of_guest("stopGuest", "Switches a guest off without asking it."),
    of_guest("shutdownGuest", "Asks a guest to shut down; with force, it is switched off after the timeout."),
    of_guest("rebootGuest", "Asks a guest to shut down, and switches it on again."),
    of_guest("resetGuest", "Presses the reset button of a virtual machine."),
    of_guest("suspendGuest", "Pauses a guest."),
    of_guest("resumeGuest", "Lets a paused or hibernated guest go on."),
    of_guest("hibernateGuest", "Writes the memory of a virtual machine to disk, and switches it off."),
];

/// Patterns and docs, in the order of the actions.
pub(super) fn guests() -> impl Iterator<Item = (&'static str, &'static Doc)> {
    const PATTERNS: [&str; 8] = [
        "/api/v1/guests/{cluster}/{vmid}/start",
        "/api/v1/guests/{cluster}/{vmid}/stop",
        "/api/v1/guests/{cluster}/{vmid}/shutdown",
        "/api/v1/guests/{cluster}/{vmid}/reboot",
        "/api/v1/guests/{cluster}/{vmid}/reset",
        "/api/v1/guests/{cluster}/{vmid}/suspend",
        "/api/v1/guests/{cluster}/{vmid}/resume",
        "/api/v1/guests/{cluster}/{vmid}/hibernate",
    ];
    PATTERNS.into_iter().zip(&GUESTS)
}

pub(super) static TASK: Doc = Doc {
    operation: "getTask",
    summary: "Tells how a task does, with the last lines of its log.",
    parameters: &[
        CLUSTER,
        Parameter {
            name: "upid",
            place: Place::Path,
            about: "The name of the task, as an action answers it.",
            schema: || json!({"type": "string"}),
        },
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "The task.",
        schema: || json!({"type": "object", "required": ["task"], "properties": {"task": task()}}),
        example: || json!({"task": task_example("stopped", Some("OK"))}),
    }],
    errors: &[Code::NotFound, Code::PveUnreachable],
};

pub(super) static TASKS: Doc = Doc {
    operation: "listTasks",
    summary: "Lists the tasks that run, and the last ones that ended: up to 25 of each node.",
    parameters: &[
        Parameter {
            name: "cluster",
            place: Place::Repeatable,
            about: "Only those of these clusters, by their configured names.",
            schema: || json!({"type": "string"}),
        },
        Parameter {
            name: "guest",
            place: Place::Query,
            about: "Only those of the guest with this number.",
            schema: || json!({"type": "integer"}),
        },
        Parameter {
            name: "running",
            place: Place::Query,
            about: "Only those that run, or only those that ended.",
            schema: || json!({"type": "boolean"}),
        },
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "The tasks, those that began last first.",
        schema: || {
            let mut item = task();
            item["required"] = json!(["upid", "cluster", "node", "status", "exit_status", "started", "ended"]);
            item["properties"]["started"] = json!({"type": "integer"});
            item["properties"]["ended"] = json!({"type": ["integer", "null"]});
            json!({"type": "object", "required": ["tasks"], "properties": {"tasks": {"type": "array", "items": item}}})
        },
        example: || {
            let mut item = task_example("stopped", Some("OK"));
            if let Some(item) = item.as_object_mut() {
                item.remove("log");
            }
            (item["started"], item["ended"]) = (json!(1_790_000_000), json!(1_790_000_001));
            json!({"tasks": [item]})
        },
    }],
    errors: &[Code::PveUnreachable],
};

fn body() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "dry_run": {"type": "boolean", "default": false, "description": "Say what would be sent, and send nothing."},
            "timeout": {"type": "string", "description": "Of shutdown and reboot: how long the guest may take, such as 90s."},
            "force": {"type": "boolean", "default": false, "description": "Of shutdown: switch it off after the timeout."},
        },
    })
}

fn task() -> Value {
    json!({
        "type": "object",
        "required": ["upid", "cluster", "node", "status", "exit_status"],
        "properties": {
            "upid": {"type": "string"}, "cluster": {"type": "string"}, "node": {"type": "string"},
            "type": {"type": "string"}, "id": {"type": "string"}, "user": {"type": "string"},
            "status": {"type": "string", "enum": ["running", "stopped"]},
            "exit_status": {"type": ["string", "null"], "description": "OK, WARNINGS: n, or what went wrong."},
            "log": {"type": "array", "items": {"type": "string"}},
        },
    })
}

fn of_action(required: &[&str], more: Value) -> Value {
    let mut properties = json!({
        "action": {"type": "string"},
        "guest": {
            "type": "object",
            "required": ["id", "cluster", "vmid", "type", "name", "node"],
            "properties": {
                "id": {"type": "string"}, "cluster": {"type": "string"}, "vmid": {"type": "integer"},
                "type": {"type": "string", "enum": ["qemu", "lxc"]}, "name": {"type": ["string", "null"]},
                "node": {"type": "string"},
            },
        },
        "task": task(),
        "via": {"type": "string", "enum": ["ha"], "description": "The HA manager was asked, and acts when it sees fit."},
    });
    if let (Value::Object(properties), Value::Object(more)) = (&mut properties, more) {
        properties.extend(more);
    }
    let required = [&["action", "guest"], required].concat();
    json!({"type": "object", "required": required, "properties": properties})
}

fn asked() -> Value {
    of_action(&["task"], json!({}))
}

fn done() -> Value {
    let more = json!({
        "changed": {"type": "boolean"},
        "status": {"type": "string", "description": "What the guest does now, in Proxmox VE's own word."},
        "dry_run": {"type": "boolean"},
        "request": {"type": "object", "description": "What would be sent to Proxmox VE."},
        "needs": {"type": "array", "items": {"type": "object", "properties": {
            "privilege": {"type": "string"}, "path": {"type": "string"}, "held": {"type": ["boolean", "null"]},
        }}},
    });
    of_action(&["changed", "status"], more)
}

fn guest_example() -> Value {
    json!({"id": "home-vm-100", "cluster": "home", "vmid": 100, "type": "qemu", "name": "web01", "node": "pve1"})
}

fn task_example(status: &str, exit: Option<&str>) -> Value {
    let log: Vec<String> = exit.iter().map(|exit| format!("TASK {exit}")).collect();
    json!({
        "upid": "UPID:pve1:00000748:00037E4D:6B00B167:qmstart:100:operator@pve!power:", "cluster": "home", "node": "pve1",
        "type": "qmstart", "id": "100", "user": "operator@pve!power", "status": status, "exit_status": exit, "log": log,
    })
}
