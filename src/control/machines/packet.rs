//! The packet that wakes a machine.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use crate::config::Wake;
use crate::ids::MacAddress;

/// Six bytes of ones, and the address sixteen times.
pub(super) fn packet(MacAddress(mac): MacAddress) -> [u8; 102] {
    let mut bytes = [0xff; 102];
    bytes.iter_mut().skip(6).zip(mac.into_iter().cycle()).for_each(|(byte, of_mac)| *byte = of_mac);
    bytes
}

/// Sends it once.
pub(super) async fn send(wake: &Wake) -> io::Result<()> {
    let from: SocketAddr = match wake.to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(from).await?;
    socket.set_broadcast(true)?;
    socket.send_to(&packet(wake.mac), wake.to).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_packet_names_the_card_sixteen_times() {
        let heard = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mac = MacAddress::parse("02:11:22:33:44:55").unwrap();
        send(&Wake { mac, to: heard.local_addr().unwrap() }).await.unwrap();
        let mut bytes = [0; 200];
        let length = heard.recv(&mut bytes).await.unwrap();
        let expected = [&[0xff; 6][..], &[2, 0x11, 0x22, 0x33, 0x44, 0x55].repeat(16)].concat();
        assert_eq!(&bytes[..length], &expected[..]);
    }
}
