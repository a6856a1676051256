//! What the tests of several rooms feed to the parsers.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::answer::Answer;

/// The answer of a recording below `tests/fixtures`.
pub(crate) fn recorded(file: &str) -> Answer {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let recording: Value = serde_json::from_str(&text).expect("a recording");
    let headers = recording["headers"].as_array().expect("headers");
    let date = headers.iter().find(|header| header[0] == "Date").and_then(|header| header[1].as_str());
    let date = date.map(|date| httpdate::parse_http_date(date).expect("a date"));
    let date = date.map(|date| date.duration_since(std::time::UNIX_EPOCH).expect("a date of now").as_secs_f64());
    Answer { date, ..Answer::of(&recording["body"].to_string()) }
}

/// JSON of any shape, with the names and words that the parsers look for.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "data", "type", "id", "node", "vmid", "storage", "name", "status", "cpu", "mem", "tags", "template", "version",
        "nodes", "quorate", "nodeid", "level", "metric", "value", "State", "new",
    ]);
    leaf().prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

/// An object with some of the fields, whatever is in them.
pub(crate) fn any_object(fields: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::vec(prop::option::weighted(0.8, leaf()), fields.len()).prop_map(move |values| {
        let told = fields.iter().zip(values).filter_map(|(field, value)| Some(((*field).to_owned(), value?)));
        Value::from(Map::from_iter(told))
    })
}

/// A list of such objects.
pub(crate) fn any_rows(fields: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::vec(any_object(fields), 0..12).prop_map(Value::from)
}

fn leaf() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        4 => prop::sample::select(vec![
            "node", "qemu", "lxc", "storage", "pool", "cluster", "online", "running", "1", "x\u{0}", "node/a", "node/b",
            "qemu/100", "cpu_avg1", "net_in", "100-0", "local", "active", "2027-01-31", "Connected", "0.5",
        ])
        .prop_map(str::to_owned),
        1 => ".{0,12}"
    ];
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        2 => (0..3_u8).prop_map(Value::from),
        5 => word.prop_map(Value::from),
    ]
}
