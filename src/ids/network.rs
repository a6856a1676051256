//! A network of IP addresses.

use std::fmt;
use std::net::IpAddr;

/// Addresses that begin with the same bits, such as `192.0.2.0/24` or `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads an address with the number of its bits that count; without them, all do. Bits that do not count must be 0.
    /// The error is a sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected a network such as 192.0.2.0/24 or 2001:db8::/32".to_owned();
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| expected())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let is_plain = |bits: &str| !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => width,
            Some(bits) => {
                let bits = Some(bits).filter(|bits| is_plain(bits)).and_then(|bits| bits.parse().ok());
                bits.filter(|bits| *bits <= width).ok_or_else(expected)?
            }
        };
        let network = Self { address, bits };
        let begin = network.masked(address);
        if begin != address {
            return Err(format!("expected the first address of the network, which is {begin}/{bits}"));
        }
        Ok(network)
    }

    /// Whether the address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && self.masked(address) == self.address
    }

    /// Whether all of them lead to whoever asks.
    pub fn is_loopback(&self) -> bool {
        self.address.is_loopback()
    }

    /// The address with 0 for all bits that do not count.
    fn masked(&self, address: IpAddr) -> IpAddr {
        let bits = u32::from(self.bits);
        match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_network_of_loopback_is_wholly_so() {
        let is_loopback = |text: &str| Network::parse(text).unwrap().is_loopback();
        assert!(["127.0.0.0/8", "127.0.0.1", "127.1.0.0/16", "::1"].into_iter().all(is_loopback));
        assert!(!["0.0.0.0/0", "126.0.0.0/7", "::/0", "::/127", "192.0.2.0/24"].into_iter().any(is_loopback));
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "fe80::1", "0.0.0.0"),
        ] {
            let network = Network::parse(network).expect("a network");
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "/", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "2001:db8::/129", "192.0.2/24", "lan"] {
            assert_eq!(Network::parse(text).unwrap_err(), "expected a network such as 192.0.2.0/24 or 2001:db8::/32");
        }
        let wrong = Network::parse("192.0.2.7/24").unwrap_err();
        assert_eq!(wrong, "expected the first address of the network, which is 192.0.2.0/24");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}", address: std::net::IpAddr, bits in 0_u8..140) {
            let _ = Network::parse(&text);
            if let Ok(network) = Network::parse(&format!("{address}/{bits}")) {
                prop_assert!(network.contains(address));
                prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
            }
        }
    }
}
