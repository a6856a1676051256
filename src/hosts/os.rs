//! `os`: the distribution. Try: `cat /etc/os-release`

use std::collections::HashMap;

use super::lines::{Probe, float};
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

static INFO: Desc = gauge("node_os_info", "The distribution, always 1.");
static VERSION: Desc = gauge("node_os_version", "The version of the distribution as a number.");

const PATHS: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let Some(path) = PATHS.into_iter().find(|path| probe.value(path).is_some()) else {
        return sink.missing("/etc/os-release");
    };
    let pairs = probe.file(path).filter(|line| !line.trim_start().starts_with('#'));
    let known: HashMap<&str, String> = pairs
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), unquoted(value.trim())))
        .collect();
    let get = |key: &str| known.get(key).map_or("", String::as_str);
    let labels = [
        ("build_id", get("BUILD_ID")),
        ("id", get("ID")),
        ("id_like", get("ID_LIKE")),
        ("image_id", get("IMAGE_ID")),
        ("image_version", get("IMAGE_VERSION")),
        ("name", get("NAME")),
        ("pretty_name", get("PRETTY_NAME")),
        ("variant", get("VARIANT")),
        ("variant_id", get("VARIANT_ID")),
        ("version", get("VERSION")),
        ("version_codename", get("VERSION_CODENAME")),
        ("version_id", get("VERSION_ID")),
    ];
    sink.put(&INFO, &Labels::new(&labels), 1.0);
    let labels = [("id", get("ID")), ("id_like", get("ID_LIKE")), ("name", get("NAME"))];
    sink.put(&VERSION, &Labels::new(&labels), major_and_minor(get("VERSION_ID")));
}

/// What a shell would make of it.
fn unquoted(value: &str) -> String {
    if let Some(plain) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return plain.to_owned();
    }
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let mut chars = inside.chars();
    let mut text = String::with_capacity(inside.len());
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

/// `22.04.1` is 22.04.
fn major_and_minor(version: &str) -> Option<f64> {
    let mut parts = version.splitn(3, '.');
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    let major = digits(parts.next()?);
    match parts.next().map(digits) {
        Some(minor) if !minor.is_empty() => float(&format!("{major}.{minor}")),
        _ => float(&major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_where_they_are() {
        for (version, expected) in [
            ("12", Some(12.0)),
            ("22.04", Some(22.04)),
            ("3.19.1", Some(3.19)),
            ("9.", Some(9.0)),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(major_and_minor(version), expected, "{version}");
        }
    }

    #[test]
    fn quotes_are_no_part_of_a_value() {
        for (value, expected) in
            [("debian", "debian"), (r#""a \"b\" \\""#, r#"a "b" \"#), ("'a\\'", "a\\"), ("\"", "\""), ("", "")]
        {
            assert_eq!(unquoted(value), expected, "{value}");
        }
    }
}
