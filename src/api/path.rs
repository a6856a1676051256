//! Paths and the patterns that they fit, such as `/api/v1/guests/{cluster}/{vmid}`.
//!
//! Literal segments are compared as they stand. What stands for a name is decoded strictly, so that nothing can be
//! smuggled into it: no separator, no `..`, no control character, and it is never empty.

use crate::ids::percent_decoded;

/// The longest path that is looked at, in bytes.
const LONGEST: usize = 2048;

/// The longest value of a name, in bytes, before it is decoded.
const LONGEST_VALUE: usize = 512;

/// The names of a pattern, with what a path has for them.
pub(super) type Values = Vec<(&'static str, String)>;

/// What a path is to a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// Something else.
    None,
    /// It fits, but this name has no value that could be meant.
    Malformed(&'static str),
    /// It fits, with these values.
    Values(Values),
}

/// Compares a path, as it came, with a pattern.
pub(super) fn fit(pattern: &'static str, path: &str) -> Fit {
    if path.len() > LONGEST || pattern.split('/').count() != path.split('/').count() {
        return Fit::None;
    }
    let pairs = || pattern.split('/').zip(path.split('/'));
    if pairs().any(|(wanted, found)| name(wanted).is_none() && wanted != found) {
        return Fit::None;
    }
    let mut values = Vec::new();
    for (wanted, found) in pairs() {
        if let Some(name) = name(wanted) {
            let Some(value) = value(found) else { return Fit::Malformed(name) };
            values.push((name, value));
        }
    }
    Fit::Values(values)
}

/// The names of a pattern, in order.
#[cfg(test)]
pub(super) fn names(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    pattern.split('/').filter_map(name)
}

fn name(segment: &'static str) -> Option<&'static str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

fn value(segment: &str) -> Option<String> {
    let value = Some(segment).filter(|segment| segment.len() <= LONGEST_VALUE).and_then(percent_decoded)?;
    let smuggled = value.contains(['/', '\\']) || value.chars().any(char::is_control) || value == "." || value == "..";
    (!value.is_empty() && !smuggled).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GUEST: &str = "/api/v1/guests/{cluster}/{vmid}";

    #[test]
    fn values_are_decoded() {
        let values =
            |cluster: &str, vmid: &str| Fit::Values(vec![("cluster", cluster.to_owned()), ("vmid", vmid.to_owned())]);
        assert_eq!(fit(GUEST, "/api/v1/guests/home/100"), values("home", "100"));
        assert_eq!(fit(GUEST, "/api/v1/guests/my%20lab+%C3%A9/1:2@x"), values("my lab+é", "1:2@x"));
        assert_eq!(fit("/api/v1/nodes", "/api/v1/nodes"), Fit::Values(Vec::new()));
        assert_eq!(names(GUEST).collect::<Vec<_>>(), ["cluster", "vmid"]);
    }

    #[test]
    fn nothing_is_smuggled_in() {
        for bad in ["", "%", "%2", "%zz", "%2f", "%2F", "a%2fb", "%5c", "%00", "%0a", ".", "..", "%2e%2e", "%ff"] {
            assert_eq!(fit(GUEST, &format!("/api/v1/guests/home/{bad}")), Fit::Malformed("vmid"), "{bad}");
        }
        assert_eq!(fit(GUEST, &format!("/api/v1/guests/home/{}", "1".repeat(513))), Fit::Malformed("vmid"));
        for other in [
            "",
            "/",
            "/api/v1/guests/home",
            "/api/v1/guests/home/100/",
            "/api/v1/guests//home/100",
            "//api/v1/guests/home/100",
            "/api/v1/%67uests/home/100",
            "/API/v1/guests/home/100",
            "/api/v1/guests/../home/100",
        ] {
            assert_eq!(fit(GUEST, other), Fit::None, "{other}");
        }
        assert_eq!(fit(GUEST, &format!("/api/v1/guests/{}/100", "a".repeat(2048))), Fit::None);
    }

    proptest! {
        #[test]
        fn no_path_panics(path in ".{0,60}", close in "/api/v1/guests/[a-f0-9%./é]{0,12}/[a-f0-9%./é]{0,12}") {
            for path in [path, close] {
                if let Fit::Values(values) = fit(GUEST, &path) {
                    prop_assert!(values.iter().all(|(_, value)| !value.is_empty() && !value.contains(['/', '\0', '\n'])));
                }
            }
        }
    }
}
