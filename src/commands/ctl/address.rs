//! Where the API is asked, and what may stand in a path.

use std::fmt;
use std::path::PathBuf;

use http::Uri;

/// Where `serve` and `demo` answer unless they are told otherwise.
pub(super) const DEFAULT: &str = "http://127.0.0.1:9221";

/// Where the API is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) place: Place,
    /// What comes before `/api`, without a slash at its end.
    pub(super) prefix: String,
}

/// What is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// http
    Plain { host: String, port: u16 },
    /// https
    Tls { host: String, port: u16 },
    /// A socket of this machine.
    Unix(PathBuf),
}

impl Address {
    /// Reads `http://HOST[:PORT]`, `https://…` or `unix:/PATH`. The error says what was expected, and quotes nothing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err("expected an absolute path, as in unix:/run/pve-sentinel.sock, found another".to_owned());
            }
            return Ok(Self { place: Place::Unix(path.into()), prefix: String::new() });
        }
        let expected = |found: &str| {
            Err(format!(
                "expected http://HOST:PORT, https://HOST[:PORT] or unix:/PATH, such as {DEFAULT}, found {found}"
            ))
        };
        let Ok(uri) = text.parse::<Uri>() else { return expected("no address") };
        let Some(authority) = uri.authority() else { return expected("no host") };
        if authority.as_str().contains('@') {
            return expected("an \"@\"; a token or password never belongs into an address");
        }
        if uri.query().is_some() {
            return expected("a \"?\"");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return expected("no host");
        }
        let port = authority.port_u16();
        if port.is_none() && authority.as_str().len() > authority.host().len() {
            return expected("no port behind the \":\"");
        }
        let place = match uri.scheme_str() {
            Some("http") => Place::Plain { host, port: port.unwrap_or(80) },
            Some("https") => Place::Tls { host, port: port.unwrap_or(443) },
            _ => return expected("another scheme or none"),
        };
        Ok(Self { place, prefix: uri.path().trim_end_matches('/').to_owned() })
    }

    /// What the `Host` header says.
    pub(super) fn authority(&self) -> String {
        match &self.place {
            Place::Plain { host, port } | Place::Tls { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Plain { host, port } | Place::Tls { host, port } => format!("{host}:{port}"),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Plain { .. } => write!(f, "http://{}{}", self.authority(), self.prefix),
            Place::Tls { .. } => write!(f, "https://{}{}", self.authority(), self.prefix),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text as one segment of a path, or as a value of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && text != "." && text != "..") {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

/// A path with what is asked of it.
pub(in crate::commands) fn target(path: &str, query: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_urls_or_sockets() {
        for (text, shown) in [
            (DEFAULT, "http://127.0.0.1:9221"),
            ("http://localhost", "http://localhost:80"),
            ("https://pve.example.com/", "https://pve.example.com:443"),
            ("https://[2001:db8::1]:9221/sentinel/", "https://[2001:db8::1]:9221/sentinel"),
            ("unix:/run/pve sentinel.sock", "unix:/run/pve sentinel.sock"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
        for text in [
            "",
            "pve1",
            "pve1:9221",
            "/run/x",
            "ftp://pve1",
            "http://",
            "http://ops:pvs_secret@pve1",
            "http://pve1/?token=x",
            "unix:",
            "unix:run/x",
            "http://pve1:99999",
            "http://a b",
        ] {
            let wrong = Address::parse(text).unwrap_err();
            assert!(wrong.contains("expected") && !wrong.contains("pvs_secret"), "{text}: {wrong}");
        }
    }

    #[test]
    fn what_is_typed_is_one_segment() {
        assert_eq!(encoded("home-1.a_~"), "home-1.a_~");
        assert_eq!((encoded("a/b?c&d=é").as_str(), encoded("..").as_str()), ("a%2Fb%3Fc%26d%3D%C3%A9", "%2E%2E"));
        assert_eq!(target("/x", &[("tag", "a b"), ("tag", "c")]), "/x?tag=a%20b&tag=c");
        assert_eq!(target("/x", &[]), "/x");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "(http|https|unix)(:/|://)[a\\[\\]:@/.0-9]{0,12}") {
            for text in [text, close] {
                if let Ok(address) = Address::parse(&text) {
                    prop_assert!(!address.prefix.ends_with('/'));
                    let _ = (address.authority(), address.to_string());
                }
                prop_assert!(encoded(&text).bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~.%".contains(&byte)));
            }
        }
    }
}
