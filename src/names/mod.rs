//! From the name of a machine to its addresses: the one way of all who connect.
//!
//! The C library looks names up by parts that it loads at run time. A static binary has none of them, so there they are
//! looked up by [`own`], in `/etc/hosts` and by DNS.

#[cfg(feature = "own-resolver")]
mod own;

use std::io;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

#[cfg(all(target_env = "gnu", target_feature = "crt-static", not(feature = "own-resolver")))]
compile_error!("a static binary finds no names without --features own-resolver; packaging/build --static builds one");

/// The addresses of a host, a name or an address without brackets, in the order in which they are to be tried. Nothing is
/// kept from one call to the next: changed files of the system hold at once.
///
/// # Errors
/// Where the name has none, or nobody could be asked.
pub async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    #[cfg(feature = "own-resolver")]
    if cfg!(all(target_env = "gnu", target_feature = "crt-static")) {
        return own::lookup(host, port, own::SYSTEM).await;
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let found = tokio::net::lookup_host((host, port)).await?;
    Ok(found.collect())
}

/// The same for HTTP clients.
#[derive(Debug, Clone, Copy)]
pub struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = lookup(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own() {
        for (host, expected) in [("192.0.2.7", "192.0.2.7:80"), ("2001:db8::7", "[2001:db8::7]:80")] {
            assert_eq!(lookup(host, 80).await.unwrap(), [expected.parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn this_machine_has_its_name() {
        let found = lookup("localhost", 80).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
        let found: Vec<SocketAddr> = Names.resolve("localhost".parse().unwrap()).await.unwrap().collect();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
    }
}
