//! What the OpenAPI document says of `/api/v1/guests` and what belongs to it.

use serde_json::{Value, json};

use crate::api::{Answer, Code, Doc, Parameter, Place};

const VMID: Parameter = Parameter {
    name: "vmid",
    place: Place::Path,
    about: "The guest's number.",
    schema: || json!({"type": "integer", "minimum": 1}),
};

pub(super) static LIST: Doc = Doc {
    operation: "listGuests",
    summary: "Tells the guests of all clusters as they were last read; templates are none. A cluster that was not read \
              since the start is read first. Those that run are asked for their addresses in the background: the next \
              answer has them.",
    parameters: &[
        word("cluster", "Only those of these clusters, by their configured names."),
        word("node", "Only those on these nodes."),
        word("tag", "Only those with one of these tags."),
        word("pool", "Only those in these pools."),
        word("status", "Only those that are so: a word of Proxmox VE, or unknown while their node is not online."),
        Parameter {
            name: "type",
            place: Place::Repeatable,
            about: "Only VMs, or only containers.",
            schema: || json!({"type": "string", "enum": ["qemu", "lxc"]}),
        },
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "The guests, by cluster in the order of the configuration and then by number.",
        schema: || json!({"type": "object", "required": ["guests"], "properties": {"guests": {"type": "array", "items": guest()}}}),
        example: || json!({"guests": [example()]}),
    }],
    errors: &[Code::PveUnreachable],
};

pub(super) static ONE: Doc = Doc {
    operation: "getGuest",
    summary: "Tells of one guest as the list does.",
    parameters: &[
        Parameter {
            name: "cluster",
            place: Place::Path,
            about: "The configured name of its cluster.",
            schema: || json!({"type": "string"}),
        },
        VMID,
    ],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "The guest.",
        schema: || json!({"type": "object", "required": ["guest"], "properties": {"guest": guest()}}),
        example: || json!({"guest": example()}),
    }],
    errors: &[Code::NotFound, Code::PveUnreachable],
};

pub(super) static AGAIN: Doc = Doc {
    operation: "lookAgain",
    summary: "Reads the guests of all clusters now, and tells when that is done. Who asks within a second of another \
              gets what that one got. Where a cluster does not answer within 10 s the answer is pve_unreachable and \
              names it; the others were read all the same.",
    parameters: &[],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "All were read.",
        schema: || {
            let cluster = json!({
                "cluster": {"type": "string"},
                "guests": {"type": "integer", "description": "How many there are, without templates."},
                "read_at": {"type": "integer", "description": "In seconds since 1970."},
            });
            let items = json!({"type": "object", "required": ["cluster", "guests", "read_at"], "properties": cluster});
            json!({"type": "object", "required": ["clusters"], "properties": {"clusters": {"type": "array", "items": items}}})
        },
        example: || json!({"clusters": [{"cluster": "home", "guests": 41, "read_at": 1_790_000_000}]}),
    }],
    errors: &[Code::PveUnreachable],
};

const fn word(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, place: Place::Repeatable, about, schema: || json!({"type": "string"}) }
}

/// The schema of a guest.
fn guest() -> Value {
    let address = json!({
        "address": {"type": "string", "description": "IPv4 or IPv6."},
        "interface": {"type": "string", "description": "As the guest calls it."},
        "mac": {"type": ["string", "null"]},
        "scope": {
            "type": "string",
            "enum": ["global", "loopback", "link-local", "inner"],
            "description": "inner: of what runs inside of the guest, or of a tunnel that begins there.",
        },
        "primary": {"type": "boolean", "description": "Whether it is the one to reach the guest at; at most one is."},
    });
    let properties = json!({
        "id": {"type": "string", "description": "{cluster}-vm-{vmid}: never changes."},
        "cluster": {"type": "string"},
        "vmid": {"type": "integer"},
        "type": {"type": "string", "enum": ["qemu", "lxc"]},
        "name": {"type": ["string", "null"]},
        "node": {"type": "string", "description": "The node it is on, or was last."},
        "status": {"type": "string", "description": "A word of Proxmox VE, or unknown while the node is not online."},
        "template": {"type": "boolean", "description": "Always false: templates are no guests."},
        "tags": {"type": "array", "items": {"type": "string"}},
        "pool": {"type": ["string", "null"]},
        "lock": {"type": ["string", "null"]},
        "ha_state": {"type": ["string", "null"], "description": "The HA manager's word; null where it is not HA-managed."},
        "uptime_seconds": {"type": ["integer", "null"]},
        "first_seen": {"type": "integer", "description": "By this process, in seconds since 1970."},
        "last_seen": {"type": "integer", "description": "When Proxmox VE last listed it, in seconds since 1970."},
        "addresses": {
            "type": "array",
            "items": object(&address),
            "description": "Empty where it does not run, was not asked yet or did not answer.",
        },
    });
    object(&properties)
}

/// All of its properties are always there.
fn object(properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|properties| properties.keys()).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

fn example() -> Value {
    json!({
        "id": "home-vm-100", "cluster": "home", "vmid": 100, "type": "qemu", "name": "web", "node": "pve1",
        "status": "running", "template": false, "tags": ["prod", "web"], "pool": "lab", "lock": null,
        "ha_state": "started", "uptime_seconds": 3600, "first_seen": 1_790_000_000, "last_seen": 1_790_000_300,
        "addresses": [
            {"address": "192.0.2.10", "interface": "eth0", "mac": "bc:24:11:00:00:64", "scope": "global", "primary": true},
        ],
    })
}
