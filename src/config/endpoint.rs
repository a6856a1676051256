//! Addresses of PVE APIs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Endpoint;
use super::fault::{At, Report};
use super::words;

/// The port of pveproxy.
const DEFAULT_PORT: u16 = 8006;

/// An address as people name it where no scheme is wanted: `host`, `host:port`, an IPv6 address with or without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// In the form of [`Endpoint::url`].
    pub url: String,
    /// Whether the port was named; else it is 8006.
    pub has_port: bool,
}

/// Reads a [`Target`]; `None` where the text is no such thing.
pub fn target(text: &str) -> Option<Target> {
    let bare = text.parse::<Ipv6Addr>().is_ok().then(|| format!("[{text}]"));
    let authority = bare.as_deref().unwrap_or(text);
    let url = host_and_port(authority).ok()?;
    let has_port = !authority.ends_with(']') && authority.contains(':');
    Some(Target { url, has_port })
}

impl Endpoint {
    /// The address without the port.
    pub fn host(&self) -> &str {
        self.url.rsplit_once(':').map_or(&self.url, |(host, _)| host)
    }
}

/// The endpoints of a cluster. `None` only after a fault was reported.
pub(super) fn endpoints(raw: &At<Vec<At<&str>>>, report: &mut Report<'_>) -> Option<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    for found in &raw.value {
        match endpoint(found.value) {
            Ok(endpoint) if endpoints.contains(&endpoint) => {
                report.fault(&found.place, format!("expected each address once, found {} again", endpoint.url));
            }
            Ok(endpoint) => endpoints.push(endpoint),
            Err(message) => report.fault(&found.place, message),
        }
    }
    Some(endpoints).filter(|endpoints| !endpoints.is_empty())
}

/// The addresses at which nodes are asked directly. `None` only after a fault was reported.
pub(super) fn node_addresses(raw: &[(&str, At<&str>)], report: &mut Report<'_>) -> Option<BTreeMap<String, Endpoint>> {
    let mut addresses: BTreeMap<String, Endpoint> = BTreeMap::new();
    for (node, found) in raw {
        let twin = |endpoint: &Endpoint| addresses.iter().find(|(_, known)| *known == endpoint).map(|(node, _)| node);
        let message = if node_name(node) {
            match endpoint(found.value) {
                Ok(endpoint) => match twin(&endpoint) {
                    None => {
                        addresses.insert((*node).to_owned(), endpoint);
                        continue;
                    }
                    Some(twin) => format!("expected each node's own address, found that of {twin} again"),
                },
                Err(message) => message,
            }
        } else {
            "expected the name of a node as key, letters, digits and \"-\" such as pve1, found another text".to_owned()
        };
        report.fault(&found.place, message);
    }
    Some(addresses).filter(|addresses| addresses.len() == raw.len())
}

/// Whether PVE would take it: a node is called as its host, without domain.
fn node_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Reads `https://host[:port]`; the error is the rest of a sentence.
fn endpoint(text: &str) -> Result<Endpoint, String> {
    const SHAPE: &str = "expected an address such as \"https://192.0.2.11:8006\"";
    let Some((scheme, rest)) = text.split_once("://") else {
        let url = host_and_port(text).ok().filter(|_| !words::hidden(text));
        let advice = url.map(|url| format!("; write \"{url}\"")).unwrap_or_default();
        return Err(format!("{SHAPE}, found {} without https://{advice}", careful(text)));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "https" => {}
        "http" => {
            return Err(format!(
                "{SHAPE}, found http://; PVE's API speaks https only, and a token is never sent in clear"
            ));
        }
        other => return Err(format!("{SHAPE}, found the scheme {}", words::shown(other))),
    }
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(format!("{SHAPE}, found a user or password in it (not shown); use token_id and a token secret"));
    }
    if tail.contains('?') || tail.contains('#') {
        return Err(format!("{SHAPE}, found a query or fragment in it (not shown); leave it off"));
    }
    if !matches!(tail, "" | "/") {
        return Err(format!("{SHAPE}, found the path {}; leave it off", words::shown(tail)));
    }
    host_and_port(authority).map(|url| Endpoint { url }).map_err(|wrong| format!("{SHAPE}, found {wrong}"))
}

/// Reads `host[:port]` and gives the whole URL; the error names what is wrong in it.
fn host_and_port(text: &str) -> Result<String, String> {
    authority(text, "https", DEFAULT_PORT)
}

/// The same for any scheme and default port.
pub(super) fn authority(authority: &str, scheme: &str, default_port: u16) -> Result<String, String> {
    let bracketed = authority.strip_prefix('[').map(|rest| rest.split_once(']').unwrap_or((rest, "]")));
    let (host, port) = match bracketed {
        Some((host, port)) => {
            let address: Ipv6Addr =
                host.parse().map_err(|_| format!("{}, which is no IPv6 address in brackets", careful(authority)))?;
            (format!("[{address}]"), port)
        }
        None => {
            if authority.parse::<Ipv6Addr>().is_ok() {
                return Err(format!(
                    "an IPv6 address without brackets; write \"{scheme}://[{authority}]:{default_port}\""
                ));
            }
            let (host, port) =
                authority.split_at_checked(authority.find(':').unwrap_or(authority.len())).unwrap_or_default();
            (host_name(host)?, port)
        }
    };
    let port = match port {
        "" => Some(default_port),
        _ => port
            .strip_prefix(':')
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|port| *port != 0),
    };
    let port = port.ok_or_else(|| format!("{}, whose port is not from 1 to 65535", careful(authority)))?;
    Ok(format!("{scheme}://{host}:{port}"))
}

/// Checks an IPv4 address or a DNS name; in lower case.
fn host_name(host: &str) -> Result<String, String> {
    if host.parse::<Ipv4Addr>().is_ok() {
        return Ok(host.to_owned());
    }
    if host.is_empty() {
        return Err("no host".to_owned());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if host.len() > 253 || numeric || !host.split('.').all(label) {
        return Err(format!("the host {}, which is neither an IP address nor a DNS name", careful(host)));
    }
    Ok(host.to_ascii_lowercase())
}

/// A text for a message, hidden where it may hold a password.
fn careful(text: &str) -> String {
    if text.contains(['@', '=', '?']) { "a text (not shown)".to_owned() } else { words::shown(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_are_read_and_written_in_one_way() {
        for (text, url) in [
            ("https://192.0.2.11", "https://192.0.2.11:8006"),
            ("https://192.0.2.11:8006/", "https://192.0.2.11:8006"),
            ("HTTPS://PVE1.Example.com:443", "https://pve1.example.com:443"),
            ("https://[2001:DB8:0::1]", "https://[2001:db8::1]:8006"),
            ("https://[::1]:1", "https://[::1]:1"),
            ("https://pve_1", "https://pve_1:8006"),
        ] {
            assert_eq!(endpoint(text), Ok(Endpoint { url: url.to_owned() }), "{text}");
        }
    }

    #[test]
    fn other_texts_say_what_is_wrong() {
        for (text, wrong) in [
            ("http://192.0.2.11:8006", "https only"),
            ("192.0.2.11:8006", "write \"https://192.0.2.11:8006\""),
            ("pve1", "write \"https://pve1:8006\""),
            ("ftp://x", "scheme \"ftp\""),
            ("https://", "no host"),
            ("https://:8006", "no host"),
            ("https://192.0.2.300", "neither an IP address nor a DNS name"),
            ("https://pve 1", "neither an IP address nor a DNS name"),
            ("https://-x", "neither an IP address nor a DNS name"),
            ("https://a..b", "neither an IP address nor a DNS name"),
            ("https://pvé", "neither an IP address nor a DNS name"),
            ("https://::1", "write \"https://[::1]:8006\""),
            ("https://[::1", "port is not from 1 to 65535"),
            ("https://[1.2.3.4]", "no IPv6 address in brackets"),
            ("https://x:0", "port is not from 1 to 65535"),
            ("https://x:+1", "port is not from 1 to 65535"),
            ("https://x:", "port is not from 1 to 65535"),
            ("https://x:80:90", "port is not from 1 to 65535"),
            ("https://x/api2/json", "path \"/api2/json\""),
        ] {
            let message = endpoint(text).unwrap_err();
            assert!(message.contains(wrong), "{text}: {message}");
        }
    }

    #[test]
    fn targets_are_endpoints_without_a_scheme() {
        for (text, url, has_port) in [
            ("192.0.2.11", "https://192.0.2.11:8006", false),
            ("PVE1.Example.com", "https://pve1.example.com:8006", false),
            ("pve1:443", "https://pve1:443", true),
            ("2001:DB8:0::1", "https://[2001:db8::1]:8006", false),
            ("[2001:db8::1]", "https://[2001:db8::1]:8006", false),
            ("[::1]:1", "https://[::1]:1", true),
        ] {
            let found = target(text).expect(text);
            assert_eq!((found.url.as_str(), found.has_port), (url, has_port), "{text}");
            let host = Endpoint { url: found.url.clone() }.host().to_owned();
            assert!(found.url.starts_with(&format!("{host}:")), "{host}");
        }
        for text in ["", "https://pve1", "user@pve1", "pve1/", "pve1#x", "3221225995", "pve1:", "[::1", "pve1:x", "a b"]
        {
            assert_eq!(target(text), None, "{text}");
        }
    }

    #[test]
    fn what_may_hold_a_password_is_not_quoted() {
        for text in [
            "https://root:hunter2@x",
            "https://x/?password=hunter2",
            "https://x#hunter2",
            "https://x/hunter2?",
            "root:hunter2@x",
            "https://x=hunter2",
            "https://[x@hunter2",
        ] {
            let message = endpoint(text).unwrap_err();
            assert!(!message.contains("hunter2"), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "(https://)?[a-z0-9.:\\[\\]@/-]{0,20}(:[0-9]{1,6})?") {
            if let Ok(read) = endpoint(&text) {
                prop_assert_eq!(endpoint(&read.url), Ok(read));
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = target(&text);
            let _ = (endpoint(&text), endpoint(&format!("https://{text}")));
        }
    }
}
