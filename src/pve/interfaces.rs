//! `GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces` (needs `VM.GuestAgent.Audit`, before PVE 9 `VM.Monitor`)
//! and `GET /nodes/{node}/lxc/{vmid}/interfaces` (needs `VM.Audit`): what a guest says of its network.

use std::net::IpAddr;

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{List, Object, Text};

/// The guest itself answers, so that there is no end to what it may say: more is passed over.
const MOST_INTERFACES: usize = 128;
const MOST_ADDRESSES: usize = 64;
const LONGEST_NAME: usize = 64;

/// A network interface inside of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the guest calls it.
    pub name: Box<str>,
    /// In lower case, such as `bc:24:11:29:44:1d`; absent where it is not told.
    pub mac: Option<Box<str>>,
    /// In the guest's order.
    pub addresses: Vec<IpAddr>,
}

#[derive(Deserialize)]
struct Agent<'a> {
    #[serde(borrow)]
    result: List<Row<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, rename = "hardware-address")]
    hardware_address: Text<'a>,
    /// The same for containers; before pve-container 5.2.6 the only one.
    #[serde(borrow)]
    hwaddr: Text<'a>,
    #[serde(borrow, rename = "ip-addresses")]
    addresses: Option<List<Address<'a>>>,
    /// Of containers: one address with the bits of its network.
    #[serde(borrow)]
    inet: Text<'a>,
    #[serde(borrow)]
    inet6: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address<'a> {
    #[serde(borrow, rename = "ip-address")]
    address: Text<'a>,
}

/// What the agent of a VM says.
pub fn agent_interfaces(answer: &Answer) -> Result<Vec<Interface>, Error> {
    let Object(agent): Object<Agent<'_>> = answer.data()?;
    Ok(interfaces(&agent.result.items))
}

/// What a container says; nothing where it does not run.
pub fn container_interfaces(answer: &Answer) -> Result<Option<Vec<Interface>>, Error> {
    let list: Option<List<Row<'_>>> = answer.data()?;
    Ok(list.map(|list| interfaces(&list.items)))
}

/// A hardware address in lower case.
pub(super) fn mac(text: &str) -> Option<Box<str>> {
    let mut pairs = text.split(':');
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_mac = pairs.by_ref().take(6).filter(|pair| is_pair(pair)).count() == 6 && pairs.next().is_none();
    is_mac.then(|| text.to_ascii_lowercase().into())
}

fn interfaces(rows: &[Row<'_>]) -> Vec<Interface> {
    rows.iter().filter_map(interface).take(MOST_INTERFACES).collect()
}

fn interface(row: &Row<'_>) -> Option<Interface> {
    let name = row.name.filled().filter(|name| name.len() <= LONGEST_NAME && !name.chars().any(char::is_control))?;
    let mac = row.hardware_address.filled().or(row.hwaddr.filled()).and_then(mac);
    let listed = row.addresses.iter().flat_map(|list| &list.items).map(|entry| &entry.address);
    let single = [&row.inet, &row.inet6].into_iter().filter(|_| row.addresses.is_none());
    let addresses = listed.chain(single).filter_map(|text| address(text.filled()?)).take(MOST_ADDRESSES).collect();
    Some(Interface { name: name.into(), mac, addresses })
}

/// Without the bits of the network and the name of the interface that may follow. An IPv4 address is one however it is
/// written: `::ffff:127.0.0.1` leads to whoever connects to it.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.split(['/', '%']).next()?.trim().parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_json, any_rows, recorded};
    use super::*;
    use proptest::prelude::*;

    fn told(interfaces: &[Interface]) -> Vec<String> {
        let shown = |interface: &Interface| {
            let Interface { name, mac, addresses } = interface;
            format!("{name} {} {addresses:?}", mac.as_deref().unwrap_or("-"))
        };
        interfaces.iter().map(shown).collect()
    }

    #[test]
    fn recorded_guests_tell_their_addresses() {
        let agent = recorded("pve-9.2-cluster/GET_nodes__pve-lab__qemu__103__agent__network-get-interfaces.json");
        let expected = [
            "lo 00:00:00:00:00:00 [127.0.0.1, ::1]",
            "eth0 bc:24:11:27:88:e8 [10.77.2.103, fe80::be24:11ff:fe27:88e8]",
        ];
        assert_eq!(told(&agent_interfaces(&agent).expect("interfaces")), expected);
        let container = recorded("pve-9.2-cluster/GET_nodes__pve-lab__lxc__200__interfaces.json");
        let expected =
            ["lo 00:00:00:00:00:00 [127.0.0.1, ::1]", "eth0 bc:24:11:b1:46:87 [10.77.2.50, fe80::be24:11ff:feb1:4687]"];
        assert_eq!(told(&container_interfaces(&container).expect("an answer").expect("interfaces")), expected);
        let stopped = recorded("pve-9.2-cluster/GET_nodes__pve-lab__lxc__201__interfaces.json");
        assert_eq!(container_interfaces(&stopped).expect("an answer"), None);
    }

    #[test]
    fn what_is_odd_is_passed_over_and_older_answers_are_read() {
        let odd = r#"{"data":[{"name":"eth0","hwaddr":"AA:BB:CC:DD:EE:FF","inet":"192.0.2.5/24","inet6":"2001:db8::5/64"},
            {"name":"a\nb","inet":"192.0.2.6/24"},{"inet":"192.0.2.7/24"},7,
            {"name":"eth1","hardware-address":"none","ip-addresses":[{"ip-address":"x"},{"ip-address":"fe80::1%eth1"},3,
            {"ip-address":"::ffff:127.0.0.1"}]}]}"#;
        let interfaces = container_interfaces(&Answer::of(odd)).expect("an answer").expect("interfaces");
        let expected = ["eth0 aa:bb:cc:dd:ee:ff [192.0.2.5, 2001:db8::5]", "eth1 - [fe80::1, 127.0.0.1]"];
        assert_eq!(told(&interfaces), expected);
        let many: Vec<String> = (0..1000).map(|at| format!(r#"{{"name":"eth{at}"}}"#)).collect();
        let many = format!(r#"{{"data":{{"result":[{}]}}}}"#, many.join(","));
        assert_eq!(agent_interfaces(&Answer::of(&many)).expect("interfaces").len(), MOST_INTERFACES);
        for body in [r#"{"data":{}}"#, r#"{"data":null}"#, r#"{"data":{"result":{"error":"x"}}}"#] {
            assert!(agent_interfaces(&Answer::of(body)).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(rows in any_rows(&["name", "hardware-address", "hwaddr", "inet"]), json in any_json()) {
            for data in [rows.clone(), serde_json::json!({ "result": rows }), json] {
                let answer = Answer::of(&serde_json::json!({ "data": data }).to_string());
                let _ = (agent_interfaces(&answer), container_interfaces(&answer));
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:%/. é]{0,30}") {
            let _ = (mac(&text), address(&text));
        }
    }
}
