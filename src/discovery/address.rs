//! Which of a guest's addresses others reach it at. Pure.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::ids;
use crate::inventory::{Interface, Network};

/// Beginnings of the names of interfaces that lead to containers, VMs and tunnels inside of a guest.
const INNER: [&str; 22] = [
    "docker",
    "veth",
    "br-",
    "cni",
    "virbr",
    "vnet",
    "tailscale",
    "podman",
    "flannel",
    "cali",
    "cilium",
    "kube",
    "lxc",
    "lxd",
    "tap",
    "tun",
    "wg",
    "zt",
    "fwbr",
    "fwpr",
    "fwln",
    "nerdctl",
];

/// What an address is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Others may reach it.
    Global,
    /// Of the guest alone.
    Loopback,
    /// Of one wire alone.
    LinkLocal,
    /// Of what runs inside of the guest, or of a tunnel that begins there.
    Inner,
}

impl Scope {
    /// As it is written in labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Inner => "inner",
        }
    }
}

/// An address of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    /// IPv4 or IPv6.
    pub address: IpAddr,
    /// The interface, as the guest calls it.
    pub interface: Box<str>,
    /// Its hardware address in lower case, where it is told.
    pub mac: Option<Box<str>>,
    /// What it is good for.
    pub scope: Scope,
    /// Whether it is the one to reach the guest at; at most one is.
    pub primary: bool,
}

/// All addresses of a guest in its own order, at most one of them primary.
///
/// That is the first one in the earliest network of `prefer` in which there is one; else that of the card which is the
/// first in the configuration of the guest; else of any other interface that leads out of it. Of these, IPv4 comes before
/// IPv6. What `prefer` or the card say stands above the name of an interface: a router's `br-lan` leads out of it. An address
/// that leads back to whoever asks is never it, unless `prefer` has a network of nothing else.
pub fn addresses(network: &Network, prefer: &[ids::Network]) -> Vec<Address> {
    let mut all: Vec<Address> = network.interfaces.iter().flat_map(of_interface).collect();
    let is_first_card = |address: &Address| address.mac.is_some() && address.mac == network.first_mac;
    let reaches_out = |address: &Address| matches!(address.scope, Scope::Global | Scope::Inner);
    let rank = |address: &Address| {
        let is_meant = |network: &ids::Network| reaches_out(address) || network.is_loopback();
        let preferred = prefer.iter().position(|network| network.contains(address.address) && is_meant(network));
        let preferred = preferred.unwrap_or(prefer.len());
        let card = is_first_card(address) && reaches_out(address);
        let fits = preferred < prefer.len() || card || address.scope == Scope::Global;
        fits.then_some((preferred, !card, address.address.is_ipv6()))
    };
    let ranked = all.iter().enumerate().filter_map(|(place, address)| Some((rank(address)?, place)));
    if let Some((_, place)) = ranked.min()
        && let Some(primary) = all.get_mut(place)
    {
        primary.primary = true;
    }
    all
}

fn of_interface(interface: &Interface) -> impl Iterator<Item = Address> {
    interface.addresses.iter().map(|address| Address {
        address: *address,
        interface: interface.name.clone(),
        mac: interface.mac.clone(),
        scope: scope(&interface.name, *address),
        primary: false,
    })
}

fn scope(interface: &str, address: IpAddr) -> Scope {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    // What is no address of anybody is at least not one of others.
    let is_nobodys = address.is_unspecified() || address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_loopback() || is_nobodys || interface == "lo" {
        Scope::Loopback
    } else if is_link_local {
        Scope::LinkLocal
    } else if INNER.iter().any(|beginning| interface.starts_with(beginning)) {
        Scope::Inner
    } else {
        Scope::Global
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Interfaces as `name mac address …`.
    fn network(first_mac: Option<&str>, interfaces: &[&str]) -> Network {
        let interface = |text: &&str| {
            let mut words = text.split(' ');
            let name = words.next().expect("a name").into();
            let mac = words.next().filter(|mac| *mac != "-").map(Into::into);
            Interface { name, mac, addresses: words.map(|word| word.parse().expect("an address")).collect() }
        };
        Network { interfaces: interfaces.iter().map(interface).collect(), first_mac: first_mac.map(Into::into) }
    }

    fn primary(network: &Network, prefer: &[&str]) -> Option<String> {
        let prefer: Vec<ids::Network> =
            prefer.iter().map(|text| ids::Network::parse(text).expect("a network")).collect();
        let all = addresses(network, &prefer);
        let mut primary = all.iter().filter(|address| address.primary);
        let first = primary.next().map(|address| address.address.to_string());
        assert!(primary.next().is_none());
        first
    }

    #[test]
    fn the_primary_address_is_found_by_the_rule() {
        let inside = &[
            "lo - 127.0.0.1 ::1",
            "docker0 aa 172.17.0.1",
            "eth1 bb fe80::1 2001:db8::1 192.0.2.9",
            "eth0 cc 198.51.100.7",
        ];
        for (first_mac, prefer, expected) in [
            (None, &[][..], "192.0.2.9"),
            (Some("cc"), &[], "198.51.100.7"),
            (Some("bb"), &[], "192.0.2.9"),
            (Some("aa"), &[], "172.17.0.1"),
            (Some("zz"), &[], "192.0.2.9"),
            (Some("bb"), &["198.51.100.0/24"], "198.51.100.7"),
            (None, &["203.0.113.0/24", "2001:db8::/32", "198.51.100.0/24"], "2001:db8::1"),
            (None, &["172.17.0.0/16"], "172.17.0.1"),
            (Some("cc"), &["203.0.113.0/24"], "198.51.100.7"),
            // Neither stands for the guest anywhere but on itself.
            (None, &["0.0.0.0/1", "::/1", "fe80::/10"], "2001:db8::1"),
            (None, &["126.0.0.0/7", "fe80::/10"], "192.0.2.9"),
            (None, &["127.0.0.0/8"], "127.0.0.1"),
        ] {
            assert_eq!(
                primary(&network(first_mac, inside), prefer).as_deref(),
                Some(expected),
                "{first_mac:?} {prefer:?}"
            );
        }
        assert_eq!(primary(&network(None, &["eth0 - fe80::1 fd00::5"]), &[]).as_deref(), Some("fd00::5"));
        for alone in [
            "lo - 127.0.0.1",
            "eth0 - fe80::1 169.254.3.4",
            "tailscale0 - 100.64.0.1",
            "veth1 - 10.0.0.1",
            "eth0 - 255.255.255.255 224.0.0.1 0.0.0.0",
        ] {
            assert_eq!(primary(&network(None, &[alone]), &[]), None, "{alone}");
        }
        // A router's own bridge has the address of its card.
        let router = network(Some("aa"), &["eth0 aa", "br-lan aa 192.0.2.1", "wg0 - 10.9.0.1"]);
        assert_eq!(primary(&router, &[]).as_deref(), Some("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn at_most_one_is_primary_and_none_is_lost(
            interfaces in prop::collection::vec(("[a-z]{1,4}[0-9]|lo|docker0", prop::collection::vec(any::<IpAddr>(), 0..4)), 0..5),
            prefer in prop::collection::vec((any::<IpAddr>(), 0_u8..129), 0..3),
        ) {
            let interfaces: Vec<Interface> = interfaces.into_iter()
                .map(|(name, addresses)| Interface { name: name.into(), mac: None, addresses }).collect();
            let count: usize = interfaces.iter().map(|interface| interface.addresses.len()).sum();
            let prefer: Vec<ids::Network> =
                prefer.into_iter().filter_map(|(address, bits)| ids::Network::parse(&format!("{address}/{bits}")).ok()).collect();
            let all = addresses(&Network { interfaces, first_mac: None }, &prefer);
            prop_assert_eq!(all.len(), count);
            prop_assert!(all.iter().filter(|address| address.primary).count() <= 1);
            let primary = all.iter().find(|address| address.primary);
            let reaches_out = |address: &&Address| matches!(address.scope, Scope::Global | Scope::Inner);
            prop_assert!(primary.filter(|address| !reaches_out(address)).is_none() || prefer.iter().any(ids::Network::is_loopback));
            prop_assert_eq!(primary.is_none() && all.iter().any(|address| address.scope == Scope::Global), false);
        }
    }
}
