//! Where an SSH server is, and the fingerprint of its key.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use data_encoding::{BASE64_NOPAD, DecodeError};

/// The port of SSH.
const PORT: u16 = 22;

/// The longest name of the DNS, in bytes.
const LONGEST: usize = 253;

/// Host and port of an SSH server: a name or an IP address without any character that could spoil a line of
/// `known_hosts` or of a log. Printed as `host:port`, IPv6 in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshAddress {
    /// In lower case; IPv6 without brackets.
    host: String,
    port: u16,
}

impl SshAddress {
    /// An address from its parts; IPv6 with or without brackets. The error says what was expected and found.
    pub fn new(host: &str, port: u16) -> Result<Self, &'static str> {
        if port == 0 {
            return Err("expected a port from 1 to 65535, found 0");
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if let Some(bare) = bare {
            return match bare.parse::<Ipv6Addr>() {
                Ok(address) => Ok(Self { host: address.to_string(), port }),
                Err(_) => Err("expected an IPv6 address in the brackets, found something else"),
            };
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port });
        }
        let wrong = if host.is_empty() {
            "expected a host name or an IP address, found none"
        } else if host.len() > LONGEST {
            "expected a host name of at most 253 characters, found a longer one"
        } else if host.contains(':') {
            "expected a host name, or an IPv6 address such as [2001:db8::1], found a colon too many"
        } else if host.starts_with('-')
            || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        {
            "expected a host name of letters, digits, \".\", \"-\" and \"_\", found other characters"
        } else {
            return Ok(Self { host: host.to_ascii_lowercase(), port });
        };
        Err(wrong)
    }

    /// Reads `host`, `host:port`, `[IPv6]`, `[IPv6]:port` or a bare IPv6 address.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, &'static str> {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Self::new(text, default_port);
        }
        let after_brackets = text.rfind(']').map_or(0, |at| at + 1);
        match text.get(after_brackets..).and_then(|rest| rest.rfind(':')) {
            None => Self::new(text, default_port),
            Some(at) => {
                let (host, port) = text.split_at(after_brackets + at);
                let digits = port.get(1..).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
                let port = digits.and_then(|port| port.parse().ok());
                Self::new(host, port.ok_or("expected a port from 1 to 65535 after the colon, found something else")?)
            }
        }
    }

    /// The name or the IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// From 1 on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As OpenSSH writes it into `known_hosts`: `host`, or `[host]:port` where the port is not 22.
    pub fn known_as(&self) -> String {
        if self.port == PORT { self.host.clone() } else { format!("[{}]:{}", self.host, self.port) }
    }
}

impl fmt::Display for SshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The SHA-256 fingerprint of an SSH key, written as OpenSSH writes it: `SHA256:` and base64 without padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SshFingerprint(pub [u8; 32]);

impl SshFingerprint {
    /// Reads `SHA256:…`, with or without padding.
    pub fn parse(text: &str) -> Option<Self> {
        let base64 = text.trim().strip_prefix("SHA256:")?;
        let base64 = base64.strip_suffix('=').unwrap_or(base64);
        let decoded: Result<Vec<u8>, DecodeError> = BASE64_NOPAD.decode(base64.as_bytes());
        Some(Self(decoded.ok()?.try_into().ok()?))
    }
}

impl fmt::Display for SshFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", BASE64_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for SshFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_and_printed() {
        for (text, printed, known_as) in [
            ("PVE1.example.com", "pve1.example.com:22", "pve1.example.com"),
            ("192.0.2.11:22", "192.0.2.11:22", "192.0.2.11"),
            ("192.0.2.11:2222", "192.0.2.11:2222", "[192.0.2.11]:2222"),
            ("2001:DB8::1", "[2001:db8::1]:22", "2001:db8::1"),
            ("[2001:db8::1]", "[2001:db8::1]:22", "2001:db8::1"),
            ("[2001:db8::1]:2222", "[2001:db8::1]:2222", "[2001:db8::1]:2222"),
        ] {
            let address = SshAddress::parse(text, 22).unwrap();
            assert_eq!((address.to_string().as_str(), address.known_as().as_str()), (printed, known_as), "{text}");
        }
        assert_eq!(SshAddress::parse("a", 2200).unwrap().port(), 2200);
    }

    #[test]
    fn what_could_spoil_a_line_is_no_address() {
        for text in [
            "",
            ":22",
            "a:",
            "a:0",
            "a:x",
            "a:+2",
            "a:65536",
            "a:1:2",
            "[a]:22",
            "[2001:db8::1",
            "a b",
            "a,b",
            "*",
            "!a",
            "|1|a",
            "a\nb",
            "a\u{1b}[2J",
            "@revoked",
            "#a",
            "-oProxyCommand=x",
            "é",
        ] {
            assert!(SshAddress::parse(text, 22).is_err(), "{text:?}");
        }
        assert!(SshAddress::new(&"a".repeat(254), 22).is_err());
    }

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        let text = "SHA256:RHTuihchn6ME2lscfD+PSzsBieTl9ELN5sFN53CwY8k";
        let fingerprint = SshFingerprint::parse(text).unwrap();
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(SshFingerprint::parse(&format!(" {text}= ")), Some(fingerprint));
        for text in ["", "SHA256:", "MD5:00:11", &text[7..], &text[..49], &format!("{text}A")] {
            assert_eq!(SshFingerprint::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "[\\[\\]:a0-9.]{0,20}") {
            for text in [&text, &close] {
                if let Ok(address) = SshAddress::parse(text, 22) {
                    prop_assert_eq!(SshAddress::parse(&address.to_string(), 1), Ok(address));
                }
                let _ = SshFingerprint::parse(text);
            }
        }

        #[test]
        fn printed_fingerprints_read_back(bytes: [u8; 32]) {
            prop_assert_eq!(SshFingerprint::parse(&SshFingerprint(bytes).to_string()), Some(SshFingerprint(bytes)));
        }
    }
}
