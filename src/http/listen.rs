//! From an address to a listener.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// What Linux says where IPv6 is not there at all.
const EAFNOSUPPORT: i32 = 97;

const BACKLOG: u32 = 1024;

/// Listens on `address`; port 0 lets the system choose. Where IPv6 is off, `0.0.0.0` stands in for `[::]`, which is
/// logged. The error names the address and what to do. Must be called within the runtime.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_with(address, listen)
}

fn bind_with<L>(address: SocketAddr, listen: impl Fn(SocketAddr) -> io::Result<L>) -> io::Result<L> {
    let error = match listen(address) {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let Some(other) = instead(address, &error) else {
        return Err(explain(address, &error));
    };
    let listener = listen(other).map_err(|error| explain(other, &error))?;
    tracing::warn!(%address, instead = %other, "IPv6 is off here; listening on IPv4 only");
    Ok(listener)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait until old connections are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn instead(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let no_ipv6 = error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == ErrorKind::AddrNotAvailable;
    let all = address.is_ipv6() && address.ip().is_unspecified();
    (no_ipv6 && all).then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

fn explain(address: SocketAddr, error: &io::Error) -> io::Error {
    let what_to_do = match error.kind() {
        ErrorKind::AddrInUse => "stop the program that listens there, or choose another address",
        ErrorKind::AddrNotAvailable => "this machine has no such address: choose one of its own",
        ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher one",
        _ => "choose another address",
    };
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}; {what_to_do}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_chooses_a_port() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(listener.local_addr().unwrap().port(), 0);
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let error = bind(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot listen on {address}: ")), "{text}");
        assert!(text.ends_with("; stop the program that listens there, or choose another address"), "{text}");
    }

    #[tokio::test]
    async fn a_foreign_address_is_named() {
        let text = bind("192.0.2.1:0".parse().unwrap()).unwrap_err().to_string();
        assert!(text.starts_with("cannot listen on 192.0.2.1:0: "), "{text}");
        assert!(text.ends_with("; this machine has no such address: choose one of its own"), "{text}");
    }

    #[test]
    fn ipv4_stands_in_where_ipv6_is_off() {
        let bind = |address: &str, code: i32| {
            let refuse_ipv6 = |address: SocketAddr| match address {
                SocketAddr::V4(_) => Ok(address.to_string()),
                SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(code)),
            };
            bind_with(address.parse().unwrap(), refuse_ipv6).map_err(|error| error.to_string())
        };
        let (not_available, in_use) = (99, 98);
        assert_eq!(bind("[::]:9221", EAFNOSUPPORT), Ok("0.0.0.0:9221".to_owned()));
        assert_eq!(bind("[::]:9221", not_available), Ok("0.0.0.0:9221".to_owned()));
        assert!(bind("[::]:9221", in_use).is_err());
        assert!(bind("[::1]:9221", EAFNOSUPPORT).unwrap_err().starts_with("cannot listen on [::1]:9221: "));
    }

    #[test]
    fn the_stand_in_may_fail_too() {
        let refuse = |address: SocketAddr| -> io::Result<()> {
            Err(io::Error::from_raw_os_error(if address.is_ipv6() { EAFNOSUPPORT } else { 98 }))
        };
        let error = bind_with("[::]:9221".parse().unwrap(), refuse).unwrap_err();
        assert!(error.to_string().starts_with("cannot listen on 0.0.0.0:9221: "), "{error}");
    }
}
