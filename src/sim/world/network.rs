//! What guests say of their network: containers through PVE, VMs through their agent.

use std::time::Duration;

use super::super::json;
use super::super::noise::{Shuffle, hash};
use super::cluster::{Cluster, tick};
use super::population::GuestSpec;

/// Why a guest says nothing.
pub(in super::super) enum Silent {
    /// There is no such guest of this kind on the node.
    Missing,
    /// It does not run.
    Stopped,
    /// It runs, and its agent does not answer.
    Mute,
}

/// The last three bytes of the hardware address of a guest's card.
pub(super) fn mac(seed: u64, vmid: u64) -> [u8; 3] {
    let bytes = hash(seed, 91, vmid).to_be_bytes();
    [bytes[0], bytes[1], bytes[2]]
}

impl Cluster {
    /// The body of `GET /nodes/N/qemu/ID/agent/network-get-interfaces` or, for a container, `…/lxc/ID/interfaces`.
    pub(in super::super) fn interfaces(
        &self,
        (node, container, vmid): (usize, bool, u64),
        now: Duration,
        mut order: Shuffle,
    ) -> Result<String, Silent> {
        let spec = self.spec(vmid).filter(|spec| spec.container == container).ok_or(Silent::Missing)?;
        let guest = self.guest(spec, tick(now));
        match guest.status {
            _ if guest.node != node => Err(Silent::Missing),
            "running" => Ok(json::reordered(&self.said_by(spec), &mut order)),
            _ => Err(Silent::Stopped),
        }
    }

    fn said_by(&self, spec: &GuestSpec) -> serde_json::Value {
        let [a, b, c] = mac(self.seed, spec.vmid);
        let card = format!("bc:24:11:{a:02x}:{b:02x}:{c:02x}");
        let local = format!("fe80::be24:11ff:fe{a:02x}:{b:02x}{c:02x}");
        let own = format!("10.77.{}.{}", spec.vmid / 250 % 250, spec.vmid % 250 + 2);
        let mut cards = vec![
            ("lo", "00:00:00:00:00:00".to_owned(), vec![("127.0.0.1".to_owned(), 8), ("::1".to_owned(), 128)]),
            ("eth0", card, vec![(own, 24), (local, 64)]),
        ];
        // Those who build run containers inside of theirs.
        if spec.tags.contains("ci") {
            cards.insert(1, ("docker0", "02:42:ac:11:00:01".to_owned(), vec![("172.17.0.1".to_owned(), 16)]));
        }
        let said: Vec<serde_json::Value> =
            cards.iter().map(|(name, mac, addresses)| interface((name, mac), addresses, spec.container)).collect();
        if spec.container {
            serde_json::json!({ "data": said })
        } else {
            serde_json::json!({ "data": { "result": said } })
        }
    }
}

fn interface((name, mac): (&str, &str), addresses: &[(String, u8)], container: bool) -> serde_json::Value {
    let is_new = |address: &str| address.contains(':');
    let listed = addresses.iter().map(|(address, bits)| match container {
        // A string where PVE asks the container, a number where the agent answers.
        true => serde_json::json!({
            "ip-address": address, "prefix": bits.to_string(),
            "ip-address-type": if is_new(address) { "inet6" } else { "inet" },
        }),
        false => serde_json::json!({
            "ip-address": address, "prefix": bits,
            "ip-address-type": if is_new(address) { "ipv6" } else { "ipv4" },
        }),
    });
    let listed: Vec<serde_json::Value> = listed.collect();
    let mut said = serde_json::json!({ "name": name, "hardware-address": mac, "ip-addresses": listed });
    if container {
        said["hwaddr"] = mac.into();
        for (address, bits) in addresses {
            said[if is_new(address) { "inet6" } else { "inet" }] = format!("{address}/{bits}").into();
        }
    } else {
        let counts =
            ["tx-packets", "tx-bytes", "tx-errs", "tx-dropped", "rx-packets", "rx-bytes", "rx-errs", "rx-dropped"];
        said["statistics"] =
            counts.iter().map(|name| ((*name).to_owned(), 0.into())).collect::<serde_json::Map<_, _>>().into();
    }
    said
}
