//! What is to be known of the route.

use serde_json::{Value, json};

use super::super::docs::{KEY, WAIT};
use crate::api::{Answer, Body, Code, Doc};

pub(super) static BATCH: Doc = Doc {
    operation: "switchGuests",
    summary: "Switches many guests: says what would be sent, or with confirm sends it.",
    parameters: &[WAIT, KEY],
    body: Some(Body {
        schema: body,
        example: || json!({"action": "shutdown", "select": {"cluster": "home", "tags": ["dev"]}, "order": "startup"}),
    }),
    answers: &[
        Answer {
            status: 200,
            about: "All guests have ended, and are as asked for. Without confirm: what would be sent to each.",
            schema: answer,
            example: || {
                let guest = json!({
                    "cluster": "home", "vmid": 100, "stage": 1, "outcome": "done", "status": 200,
                    "answer": {"action": "shutdown", "changed": true, "status": "stopped"},
                });
                json!({
                    "action": "shutdown", "dry_run": false, "selected": 1, "refused": 0, "unknown": [],
                    "pauses_seconds": [0], "ended": 1, "failed": 0, "results": [guest],
                })
            },
        },
        Answer {
            status: 202,
            about: "The batch goes on; the same Idempotency-Key asks again how far it is.",
            schema: answer,
            example: || {
                let guest = json!({
                    "cluster": "home", "vmid": 100, "stage": 1, "outcome": "pending", "status": null, "answer": null,
                });
                json!({
                    "action": "shutdown", "dry_run": false, "selected": 1, "refused": 0, "unknown": [],
                    "pauses_seconds": [0], "ended": 0, "failed": 0, "results": [guest],
                })
            },
        },
    ],
    errors: &[Code::NotFound, Code::PartlyFailed, Code::PveUnreachable, Code::ControlDisabled],
};

fn body() -> Value {
    let text = || json!({"type": "string", "minLength": 1});
    let select = json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "description": "All of it must hold.",
        "properties": {
            "cluster": text(),
            "tags": {"type": "array", "minItems": 1, "items": text(), "description": "One of them is enough."},
            "pool": text(),
            "vmids": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 999_999_999}},
            "status": {"type": "string", "description": "Such as running or stopped."},
        },
    });
    let actions: Vec<&str> = super::super::Action::ALL.iter().map(|action| action.as_str()).collect();
    json!({
        "type": "object",
        "required": ["action", "select"],
        "additionalProperties": false,
        "properties": {
            "action": {"type": "string", "enum": actions},
            "select": select,
            "confirm": {"type": "integer", "minimum": 0,
                "description": "How many guests are expected; nothing is sent without it, or if another number is selected."},
            "dry_run": {"type": "boolean", "description": "With true, nothing is sent whatever confirm says."},
            "max": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20,
                "description": "If more are selected, the batch is refused."},
            "parallel": {"type": "integer", "minimum": 1, "maximum": 16, "default": 4},
            "order": {"type": "string", "enum": ["number", "startup"], "default": "number",
                "description": "With startup, those of a lower order come first, and last where they are switched off."},
            "timeout": {"type": "string", "description": "Of shutdown and reboot: how long each guest may take, such as 90s."},
            "force": {"type": "boolean", "default": false, "description": "Of shutdown: switch it off after the timeout."},
            "wait": {"type": "string", "description": "The same as behind the question mark."},
        },
    })
}

fn answer() -> Value {
    let count = |about: &str| json!({"type": "integer", "description": about});
    json!({
        "type": "object",
        "required": ["action", "dry_run", "selected", "refused", "unknown", "ended", "failed", "results"],
        "properties": {
            "action": {"type": "string"},
            "dry_run": {"type": "boolean"},
            "selected": count("The number for confirm."),
            "refused": count("How many more there are that the token does not reach."),
            "unknown": {"type": "array", "items": {"type": "integer"}, "description": "Of vmids: those that no guest has."},
            "pauses_seconds": {"type": "array", "items": {"type": "integer"}, "description": "After each stage."},
            "ended": count("How many have ended."),
            "failed": count("How many of them are not as asked for."),
            "results": {"type": "array", "items": {
                "type": "object",
                "required": ["cluster", "vmid", "stage", "outcome", "status", "answer"],
                "properties": {
                    "cluster": {"type": "string"},
                    "vmid": {"type": "integer"},
                    "stage": {"type": "integer"},
                    "outcome": {"type": "string", "description": "pending, asked, done, unchanged, dry_run, or the code of an error."},
                    "status": {"type": ["integer", "null"], "description": "That of its action alone, at the end."},
                    "answer": {"type": ["object", "null"], "description": "What its action alone is answered with, without the task's log."},
                },
            }},
        },
    })
}
