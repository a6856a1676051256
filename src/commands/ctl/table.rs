//! Answers as text: aligned columns for people, one line of JSON for programs; nothing in them that a terminal obeys.

use serde_json::Value;

use crate::setup::{is_plain, plain};

/// Stands where there is nothing.
const NOTHING: &str = "-";

/// One column of a list.
pub(super) struct Column {
    pub(super) head: &'static str,
    /// The key of each entry.
    pub(super) key: &'static str,
    pub(super) form: Form,
}

/// How a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is; a list with commas.
    Text,
    /// Seconds: how long.
    Lasted,
    /// Seconds since 1970: how long ago.
    Ago,
    /// 0 to 1.
    Percent,
    /// The one of several addresses that a guest is reached at.
    Address,
}

/// A table of the entries of a list; `now` in seconds since 1970.
pub(super) fn list(columns: &[Column], entries: &[Value], now: i64) -> String {
    let heads: Vec<String> = columns.iter().map(|column| column.head.to_owned()).collect();
    let row = |entry: &Value| columns.iter().map(|column| cell(&entry[column.key], column.form, now)).collect();
    aligned(&heads, &entries.iter().map(row).collect::<Vec<_>>())
}

/// Rows below their heads, each column as wide as its widest cell.
pub(super) fn aligned(heads: &[String], rows: &[Vec<String>]) -> String {
    let shown = |cell: &String| Some(plain(cell)).filter(|cell| !cell.is_empty()).unwrap_or_else(|| NOTHING.to_owned());
    let lines: Vec<Vec<String>> = std::iter::once(heads)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(shown).collect())
        .collect();
    let width = |index: usize| lines.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..heads.len()).map(|index| width(index).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &lines {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A value on one line of JSON, with every character escaped that a terminal would obey.
pub(in crate::commands) fn json(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if is_plain(c) {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text.push('\n');
    text
}

fn cell(value: &Value, form: Form, now: i64) -> String {
    match form {
        Form::Text => match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().map(|item| cell(item, Form::Text, now)).collect::<Vec<_>>().join(","),
            other => other.to_string(),
        },
        Form::Lasted => value.as_f64().map(lasted).unwrap_or_default(),
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        Form::Ago => value.as_f64().map(|at| lasted(now as f64 - at)).unwrap_or_default(),
        Form::Percent => value.as_f64().map(|ratio| format!("{:.0}%", ratio * 100.0)).unwrap_or_default(),
        Form::Address => {
            let told = value.as_array().map(Vec::as_slice).unwrap_or_default();
            let primary = told.iter().find(|address| address["primary"] == Value::Bool(true));
            primary.and_then(|address| address["address"].as_str()).unwrap_or_default().to_owned()
        }
    }
}

/// The largest unit of which there are two or more.
fn lasted(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.0} s"),
        _ if seconds < 7200.0 => format!("{:.0} min", (seconds / 60.0).floor()),
        _ if seconds < 172_800.0 => format!("{:.0} h", (seconds / 3600.0).floor()),
        _ => format!("{:.0} d", (seconds / 86_400.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const COLUMNS: [Column; 5] = [
        Column { head: "NAME", key: "name", form: Form::Text },
        Column { head: "TAGS", key: "tags", form: Form::Text },
        Column { head: "CPU", key: "cpu", form: Form::Percent },
        Column { head: "BEGAN", key: "began", form: Form::Ago },
        Column { head: "ADDRESS", key: "addresses", form: Form::Address },
    ];

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let told = [
            json!({"name": "web01", "tags": ["dev", "web"], "cpu": 0.256, "began": 900,
                   "addresses": [{"address": "fe80::1", "primary": false}, {"address": "192.0.2.7", "primary": true}]}),
            json!({"name": "é\u{1b}[2J\nx", "tags": [], "began": 1e12}),
        ];
        let expected = "NAME     TAGS     CPU  BEGAN  ADDRESS\n\
                        web01    dev,web  26%  100 s  192.0.2.7\n\
                        é\u{fffd}[2J\u{fffd}x  -        -    0 s    -\n";
        assert_eq!(list(&COLUMNS, &told, 1000), expected);
        assert_eq!(list(&COLUMNS[..2], &[], 0), "NAME  TAGS\n");
    }

    #[test]
    fn times_have_one_unit() {
        for (seconds, text) in
            [(119.0, "119 s"), (120.0, "2 min"), (7199.0, "119 min"), (7200.0, "2 h"), (172_800.0, "2 d")]
        {
            assert_eq!(lasted(seconds), text);
        }
    }

    #[test]
    fn json_stays_what_it_is() {
        let value = json!({"a\u{9b}": "é \u{202e}\u{e0041}\n\u{7f}"});
        let text = json(&value);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.trim_end().chars().all(is_plain), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    proptest! {
        #[test]
        fn whatever_is_told_is_one_line_each(name: String, tag: String, number: f64, at in any::<i64>()) {
            let told = [json!({"name": name, "tags": [tag], "cpu": number, "began": number, "addresses": [{"address": name, "primary": true}]})];
            let text = list(&COLUMNS, &told, at);
            prop_assert_eq!(text.lines().count(), 2);
            prop_assert!(text.chars().all(|c| c == '\n' || is_plain(c)));
            let read: Value = serde_json::from_str(&json(&told[0])).unwrap();
            prop_assert_eq!(read["name"].as_str(), Some(name.as_str()));
        }
    }
}
