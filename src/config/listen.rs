//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fault::{At, Report};
use super::words;

/// What an address looks like, for messages.
const SHAPE: &str = "IP:port, [IPv6]:port, :port or localhost:port";

/// Reads an address to listen on: `192.0.2.1:9221`, `[::1]:9221`, `:9221` (all addresses, `[::]`) or `localhost:9221`
/// (`127.0.0.1`). Port 0 lets the system choose.
///
/// The error is the rest of a sentence: what was expected, what was found, what to write instead.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let split = text.rsplit_once(':').map(|(host, port)| (host, port_number(port)));
    match split {
        Some(("", Some(port))) => return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
        Some(("localhost", Some(port))) => return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        _ => {}
    }
    let advice = if port_number(text).is_some() {
        format!("; write \":{text}\" to listen on all addresses")
    } else if text.parse::<Ipv6Addr>().is_ok() {
        format!("; write \"[{text}]:9221\"")
    } else if text.parse::<Ipv4Addr>().is_ok() {
        format!("; write \"{text}:9221\"")
    } else if split.is_some_and(|(host, port)| port.is_some() && host.chars().any(|c| c.is_ascii_alphabetic())) {
        "; names are not looked up".to_owned()
    } else {
        String::new()
    };
    Err(format!("expected {SHAPE}, found {}{advice}", words::shown(text)))
}

/// The addresses of `[web]`; those that are wrong are reported and left out.
pub(super) fn addresses(raw: Option<&At<Vec<At<&str>>>>, report: &mut Report<'_>) -> Vec<SocketAddr> {
    let Some(raw) = raw else {
        return vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 9221)];
    };
    let mut addresses = Vec::new();
    for found in &raw.value {
        match listen_address(found.value) {
            Ok(address) if addresses.contains(&address) => {
                report.fault(&found.place, format!("expected each address once, found {address} again"));
            }
            Ok(address) => addresses.push(address),
            Err(message) => report.fault(&found.place, message),
        }
    }
    addresses
}

/// A port in digits.
fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read() {
        for (text, want) in [
            ("192.0.2.1:9221", "192.0.2.1:9221"),
            ("[::1]:80", "[::1]:80"),
            (":9221", "[::]:9221"),
            ("localhost:0", "127.0.0.1:0"),
        ] {
            assert_eq!(listen_address(text).map(|address| address.to_string()), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_texts_say_what_to_write() {
        for (text, advice) in [
            ("9221", "; write \":9221\" to listen on all addresses"),
            ("::1", "; write \"[::1]:9221\""),
            ("192.0.2.1", "; write \"192.0.2.1:9221\""),
            ("nas.example.com:9221", "; names are not looked up"),
            ("192.0.2.1:99999", "found \"192.0.2.1:99999\""),
            (":+80", "found \":+80\""),
            ("localhost:", "found \"localhost:\""),
            ("192.0.2.0/24", "found \"192.0.2.0/24\""),
            ("", "found an empty text"),
        ] {
            let message = listen_address(text).unwrap_err();
            assert!(message.ends_with(advice), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn printed_addresses_read_back(ip: IpAddr, port: u16) {
            let address = SocketAddr::new(ip, port);
            prop_assert_eq!(listen_address(&address.to_string()), Ok(address));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = listen_address(&text);
        }
    }
}
