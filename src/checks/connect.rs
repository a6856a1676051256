//! The first address that takes a connection.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::why::{self, Why};

/// Connects to the addresses in their order, each in its share of the time until `until`; the last may use what is
/// left, and is not ended here.
///
/// # Errors
/// [`Why::Connect`] or [`Why::Refused`], with what became of each address.
pub(super) async fn connect(addresses: &[SocketAddr], until: Instant) -> Result<TcpStream, Why> {
    first(addresses, until, |address| async move {
        let stream = TcpStream::connect(address).await?;
        if talks_to_itself(&stream) { Err(ErrorKind::ConnectionRefused.into()) } else { Ok(stream) }
    })
    .await
}

/// Linux connects a socket with itself where nobody listens on the port that it happened to get.
fn talks_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(peer)) if own == peer)
}

async fn first<T, F: Future<Output = io::Result<T>>>(
    addresses: &[SocketAddr],
    until: Instant,
    dial: impl Fn(SocketAddr) -> F,
) -> Result<T, Why> {
    let mut failures = Vec::new();
    let mut refused = false;
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = until.saturating_duration_since(Instant::now()) / left;
        let dialled = if left == 1 { Ok(dial(*address).await) } else { timeout(share, dial(*address)).await };
        let words = match dialled {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => match why::of(&error, Why::Connect) {
                Why::Connect(words) => {
                    refused |= matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset);
                    words
                }
                ours => return Err(ours),
            },
            Err(_) => format!("nothing answered within {share:?}"),
        };
        failures.push(format!("{address}: {words}"));
    }
    let failures = failures.join("; ");
    Err(if refused { Why::Refused(failures) } else { Why::Connect(failures) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::time::Duration;
    use tokio::net::TcpSocket;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (0..count).map(|port| ([192, 0, 2, 1], port).into()).collect()
    }

    /// Port 2 takes the connection, port 1 hangs, all others refuse.
    async fn dial(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            2 => Ok(2),
            1 => pending().await,
            _ => Err(ErrorKind::ConnectionRefused.into()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_tried_in_order_and_one_that_hangs_has_its_share() {
        let begun = Instant::now();
        let until = begun + Duration::from_secs(6);
        assert_eq!(first(&addresses(4), until, dial).await, Ok(2));
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        let refused = [addresses(4)[3], addresses(2)[1], addresses(4)[3]];
        let why = first(&refused, until, dial).await.unwrap_err().to_string();
        assert_eq!(
            why,
            "connect: 192.0.2.1:3: connection refused; 192.0.2.1:1: nothing answered within 2s; \
             192.0.2.1:3: connection refused"
        );
    }

    #[tokio::test]
    async fn want_of_descriptors_ends_the_attempt() {
        let none_left = |_| async { Err::<(), _>(io::Error::from_raw_os_error(24)) };
        let why = first(&addresses(3), Instant::now() + Duration::from_secs(6), none_left).await.unwrap_err();
        assert!(matches!(&why, Why::NotAsked(words) if words.contains("Too many open files")), "{why}");
    }

    #[tokio::test]
    async fn a_socket_that_reached_itself_is_seen() {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let own = socket.local_addr().expect("an address");
        let stream = socket.connect(own).await.expect("a connection with itself");
        assert!(talks_to_itself(&stream));
    }
}
