//! Clients, told apart by their addresses.

use std::net::{IpAddr, Ipv6Addr};

/// The address without what one client can choose freely of it: of IPv6, the network of 64 bits.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_apart_by_what_they_cannot_choose() {
        let near = |a: &str, b: &str| neighbourhood(a.parse().unwrap()) == neighbourhood(b.parse().unwrap());
        assert!(near("2001:db8::1", "2001:db8::ffff:0:0:2") && near("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!near("2001:db8::1", "2001:db8:0:1::1") && !near("192.0.2.1", "192.0.2.2"));
    }
}
