//! Hosts by name or address, and their addresses. The system looks names up on threads that cannot be stopped, so that
//! a lookup that we gave up on keeps its place until it ends.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::why::{self, Why};
use crate::names::lookup;

/// Names that are looked up at once.
pub(super) const MOST_LOOKUPS: usize = 16;

/// The addresses of a name that are tried.
const MOST_ADDRESSES: usize = 8;

/// The longest name, in bytes.
const LONGEST: usize = 253;

/// Where a service lives, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    /// Also an IPv6 address with a zone, `fe80::1%eth0`, which the system has to read.
    Name(String),
}

impl Host {
    /// # Errors
    /// [`Why::Name`] for what can be neither name nor address; so nothing but the host gets into a request.
    pub(super) fn read(text: &str) -> Result<Self, Why> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let valid = match bare.split_once('%') {
            Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && zone.bytes().all(fits),
            None => bare == text && bare.bytes().all(fits),
        };
        if bare.is_empty() || bare.len() > LONGEST || !valid {
            return Err(Why::Name(format!(
                "expected a host name or an IP address, found {}",
                why::shown(text.as_bytes())
            )));
        }
        Ok(Self::Name(bare.to_owned()))
    }

    /// The header Host: the port is left out where it is `usual`.
    pub(super) fn header(&self, port: u16, usual: u16) -> String {
        let host = match self {
            Self::Address(IpAddr::V4(address)) => address.to_string(),
            Self::Address(IpAddr::V6(address)) => format!("[{address}]"),
            // A zone means something on this machine only.
            Self::Name(name) => match name.split_once('%') {
                Some((address, _)) => format!("[{address}]"),
                None => name.clone(),
            },
        };
        if port == usual { host } else { format!("{host}:{port}") }
    }

    /// The name that TLS asks for; of anything but a DNS name the address `peer`, which is not sent.
    pub(super) fn server_name(&self, peer: IpAddr) -> ServerName<'static> {
        match self {
            Self::Address(_) => ServerName::from(peer),
            Self::Name(name) => ServerName::try_from(name.clone()).unwrap_or_else(|_| ServerName::from(peer)),
        }
    }
}

/// The place of one lookup; addresses need none.
pub(super) type Place = Option<OwnedSemaphorePermit>;

/// All lookups of a [`Checker`](super::Checker).
#[derive(Debug, Clone)]
pub(super) struct Names {
    places: Arc<Semaphore>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_LOOKUPS)) }
    }

    /// Waits until the host may be looked up.
    pub(super) async fn place(&self, host: &Host) -> Place {
        match host {
            Host::Address(_) => None,
            Host::Name(_) => Arc::clone(&self.places).acquire_owned().await.ok(),
        }
    }
}

/// The host's addresses in the order in which the system names them, at least one.
///
/// # Errors
/// [`Why::Name`] where there is none.
pub(super) async fn addresses(host: &Host, port: u16, place: Place) -> Result<Vec<SocketAddr>, Why> {
    let name = match host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
        Host::Name(name) => name.clone(),
    };
    let blame = format!("{name}: ");
    let found = look_up(place, async move {
        let mut found = lookup(&name, port).await?;
        found.truncate(MOST_ADDRESSES);
        Ok(found)
    });
    match found.await {
        Ok(found) if found.is_empty() => Err(Why::Name(format!("{blame}it has no address"))),
        Ok(found) => Ok(found),
        Err(error) => Err(match why::of(&error, Why::Name) {
            Why::Name(words) => Why::Name(blame + &words),
            other => other,
        }),
    }
}

/// Keeps the place as long as the lookup lasts, also when nobody waits for it any more.
async fn look_up<T: Send + 'static>(
    place: Place,
    lookup: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    let lookup = async move {
        let found = lookup.await;
        drop(place);
        found
    };
    tokio::spawn(lookup).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    #[test]
    fn hosts_are_read_and_named_again() {
        for (text, header, tls) in [
            ("nas.example.com", "nas.example.com:8443", "nas.example.com"),
            ("nas_1", "nas_1:8443", "nas_1"),
            ("192.0.2.7", "192.0.2.7:8443", "192.0.2.99"),
            ("2001:db8::7", "[2001:db8::7]:8443", "192.0.2.99"),
            ("[2001:DB8::7]", "[2001:db8::7]:8443", "192.0.2.99"),
            ("fe80::1%eth0", "[fe80::1]:8443", "192.0.2.99"),
            ("-odd-", "-odd-:8443", "192.0.2.99"),
        ] {
            let host = Host::read(text).expect(text);
            assert_eq!(host.header(8443, 443), header);
            assert_eq!(host.header(443, 443), header.trim_end_matches(":8443"));
            assert_eq!(host.server_name([192, 0, 2, 99].into()).to_str(), tls);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(254);
        for text in
            ["", "a b", "a\r\nCookie: b", "a/b", "a@b", "a:80", "[a]", "[::1", "::1]", "a%b", "::1%a b", "é", &long]
        {
            let why = Host::read(text).unwrap_err().to_string();
            assert!(why.starts_with("name lookup: expected a host name or an IP address, found \""), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_nor_gets_into_a_request(text in prop_oneof![".{0,40}", "[0-9a-f:.%\\[\\]]{0,40}"]) {
            if let Ok(host) = Host::read(&text) {
                let header = host.header(1, 80);
                prop_assert!(header.bytes().all(|byte| byte.is_ascii_graphic()), "{}", header);
                host.server_name([192, 0, 2, 99].into());
            }
        }
    }

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let names = Names::new();
        let host = Host::read("localhost").expect("a name");
        let found = addresses(&host, 80, names.place(&host).await).await.expect("addresses");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
        assert_eq!(names.places.available_permits(), MOST_LOOKUPS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_nobody_waits_for_keeps_its_place_until_it_ends() {
        let names = Names::new();
        let name = Host::Name("slow".into());
        let moment = Duration::from_secs(1);
        let mut ends = Vec::new();
        for _ in 0..MOST_LOOKUPS {
            let (end, ended) = oneshot::channel::<()>();
            ends.push(end);
            let lookup = look_up(names.place(&name).await, async { ended.await.map_err(io::Error::other) });
            assert!(timeout(moment, lookup).await.is_err());
        }
        assert!(timeout(moment, names.place(&name)).await.is_err());
        // An address needs no place.
        assert!(timeout(moment, names.place(&Host::Address([127, 0, 0, 1].into()))).await.is_ok());
        drop(ends.pop());
        assert!(timeout(moment, names.place(&name)).await.is_ok());
    }
}
