//! Paths below `/api2/json`, made of a template and of names that nobody vouches for.

use std::fmt;

/// Stands for what no name of PVE can hold: the API then knows no such thing, instead of another one.
const NOWHERE: char = '\u{fffd}';

/// What is asked for, such as `/nodes/{node}/qemu/{vmid}/config` with the node and vmid filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    template: &'static str,
    text: String,
}

impl Path {
    /// Fills each `{name}` of the template in with the value of that name, percent-encoded.
    ///
    /// pveproxy decodes a path before it looks for slashes, so that encoding is no protection: slashes, percent signs,
    /// control characters and names made of dots become U+FFFD, which is in no name of PVE.
    pub fn new(template: &'static str, values: &[(&str, &str)]) -> Self {
        let mut text = String::with_capacity(template.len() + 32);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            text.push_str(before);
            let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
            encode(value, &mut text);
            rest = behind;
        }
        text.push_str(rest);
        Self { template, text }
    }

    /// The path as it is sent, query included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path without names and query: fit for a label, and for telling calls apart.
    pub fn label(&self) -> &'static str {
        self.template.split_once('?').map_or(self.template, |(path, _)| path)
    }
}

impl From<&'static str> for Path {
    fn from(path: &'static str) -> Self {
        Self::new(path, &[])
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn encode(value: &str, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let only_dots = value.chars().all(|c| c == '.');
    let impossible = |c: char| only_dots || c.is_control() || matches!(c, '/' | '\\' | '%');
    let filled = if value.is_empty() { "." } else { value };
    for c in filled.chars().map(|c| if impossible(c) { NOWHERE } else { c }) {
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let digit = |half: u8| DIGITS.get(usize::from(half)).copied().map_or('0', char::from);
                text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(node: &str) -> Path {
        Path::new("/nodes/{node}/qemu/{vmid}/config", &[("vmid", "100"), ("node", node)])
    }

    #[test]
    fn names_are_filled_in_and_kept_out_of_the_label() {
        assert_eq!(config("pve1").as_str(), "/nodes/pve1/qemu/100/config");
        assert_eq!(config("pve1").label(), "/nodes/{node}/qemu/{vmid}/config");
        assert_eq!(config("a b?c#d").as_str(), "/nodes/a%20b%3Fc%23d/qemu/100/config");
        assert_eq!(config("é").as_str(), "/nodes/%C3%A9/qemu/100/config");
        let path = Path::new("/cluster/metrics/export?local-only=1", &[]);
        assert_eq!((path.as_str(), path.label()), ("/cluster/metrics/export?local-only=1", "/cluster/metrics/export"));
        assert_eq!(Path::new("/x/{unknown}/{cut", &[]).as_str(), "/x/%EF%BF%BD/%EF%BF%BD");
    }

    #[test]
    fn nothing_is_smuggled_in() {
        for name in ["", ".", "..", "a/../../access", "a%2Fb", "%2e%2e", "a\\b", "a\r\nHost: x"] {
            let url = reqwest::Url::parse(&format!("https://x/api2/json{}", config(name))).expect("a URL");
            assert_eq!(url.path_segments().expect("segments").count(), 7, "{name:?}: {url}");
            assert!(url.path().contains("%EF%BF%BD"), "{name:?}: {url}");
        }
    }

    proptest! {
        #[test]
        fn any_name_stays_within_its_segment(name in any::<String>(), close in "[./%2eEfF]{0,6}") {
            for name in [name, close] {
                let url = reqwest::Url::parse(&format!("https://x/api2/json{}", config(&name))).expect("a URL");
                let segments: Vec<&str> = url.path_segments().expect("segments").collect();
                prop_assert_eq!(segments.len(), 7);
                prop_assert_eq!(segments[4..].to_vec(), vec!["qemu", "100", "config"]);
                prop_assert!(!segments[3].contains("%2F") && !segments[3].contains("%25"));
                prop_assert_eq!((url.query(), url.fragment()), (None, None));
            }
        }
    }
}
