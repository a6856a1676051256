//! Lists of targets as Prometheus' HTTP service discovery reads them. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::guest::Guest;

/// One target and its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// One address.
    pub targets: [String; 1],
    /// Names and values. None is called `cluster`: it would turn ours into `exported_cluster`.
    pub labels: BTreeMap<&'static str, String>,
}

/// Where the exporter itself is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Host and port, as the request has them.
    pub host: String,
    /// Whether it speaks TLS.
    pub tls: bool,
}

impl Own {
    /// One target per cluster: `/metrics`, narrowed to it.
    pub fn cluster(&self, name: &str) -> Target {
        self.target("/metrics", ("__param_cluster", name))
    }

    /// One target per host: `/host`.
    pub fn of_host(&self, id: &str) -> Target {
        self.target("/host", ("__param_target", id))
    }

    fn target(&self, path: &str, (parameter, value): (&'static str, &str)) -> Target {
        let mut labels = BTreeMap::from([
            ("__metrics_path__", path.to_owned()),
            (parameter, value.to_owned()),
            ("instance", value.to_owned()),
        ]);
        if self.tls {
            labels.insert("__scheme__", "https".to_owned());
        }
        Target { targets: [self.host.clone()], labels }
    }
}

/// The target that a guest is; none where it has no address, or, with `by_name`, no name that can be one.
pub(super) fn guest(guest: &Guest, port: Option<u16>, by_name: bool) -> Option<Target> {
    let host = if by_name {
        guest.name.clone().filter(|name| is_host(name))?
    } else {
        match guest.primary()?.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    };
    let target = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let metric_id = format!("{}/{}", guest.kind, guest.vmid);
    let labels = BTreeMap::from([
        ("instance", guest.id.clone()),
        ("id", metric_id.clone()),
        ("pve_cluster", guest.cluster.clone()),
        ("__meta_pve_id", metric_id),
        ("__meta_pve_vmid", guest.vmid.to_string()),
        ("__meta_pve_name", guest.name.clone().unwrap_or_default()),
        ("__meta_pve_node", guest.node.clone()),
        ("__meta_pve_type", guest.kind.to_owned()),
        ("__meta_pve_cluster", guest.cluster.clone()),
        ("__meta_pve_tags", guest.tags.join(";")),
        ("__meta_pve_pool", guest.pool.clone().unwrap_or_default()),
        ("__meta_pve_status", guest.status.clone()),
    ]);
    Some(Target { targets: [target], labels })
}

/// Whether it can be asked for in the DNS.
fn is_host(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::super::address::{Address, Scope};
    use super::*;

    fn named(name: &str, addresses: &[&str]) -> Guest {
        let address = |text: &&str| Address {
            address: text.parse().expect("an address"),
            interface: "eth0".into(),
            mac: None,
            scope: Scope::Global,
            primary: true,
        };
        Guest {
            id: "home-vm-100".into(),
            cluster: "home".into(),
            vmid: 100,
            kind: "qemu",
            name: Some(name.into()),
            node: "pve1".into(),
            status: "running".into(),
            template: false,
            tags: vec!["prod".into(), "web".into()],
            pool: None,
            lock: None,
            ha_state: None,
            uptime_seconds: Some(5),
            first_seen: 1,
            last_seen: 2,
            addresses: addresses.iter().map(address).collect(),
        }
    }

    #[test]
    fn we_are_a_target_with_a_parameter() {
        let own = Own { host: "pve.example.com:9221".into(), tls: false };
        let told = serde_json::to_string(&[own.cluster("home"), own.of_host("home-pve1")]).expect("JSON");
        let expected = r#"[{"targets":["pve.example.com:9221"],"labels":{"__metrics_path__":"/metrics","__param_cluster":"home","instance":"home"}},{"targets":["pve.example.com:9221"],"labels":{"__metrics_path__":"/host","__param_target":"home-pve1","instance":"home-pve1"}}]"#;
        assert_eq!(told, expected);
        let own = Own { tls: true, ..own };
        assert_eq!(own.cluster("home").labels["__scheme__"], "https");
    }

    #[test]
    fn a_guest_is_a_target_by_address_or_by_name() {
        let target = guest(&named("web-1", &["192.0.2.5"]), Some(9100), false).expect("a target");
        let labels: Vec<String> = target.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "__meta_pve_cluster=home",
            "__meta_pve_id=qemu/100",
            "__meta_pve_name=web-1",
            "__meta_pve_node=pve1",
            "__meta_pve_pool=",
            "__meta_pve_status=running",
            "__meta_pve_tags=prod;web",
            "__meta_pve_type=qemu",
            "__meta_pve_vmid=100",
            "id=qemu/100",
            "instance=home-vm-100",
            "pve_cluster=home",
        ];
        assert_eq!((target.targets[0].as_str(), labels), ("192.0.2.5:9100", expected.map(str::to_owned).to_vec()));
        let address = |guest: Option<Target>| guest.map(|target| target.targets[0].clone());
        for (name, addresses, port, by_name, expected) in [
            ("web-1", &["2001:db8::5"][..], Some(9100), false, Some("[2001:db8::5]:9100")),
            ("web-1", &["2001:db8::5"], None, false, Some("[2001:db8::5]")),
            ("web-1", &["192.0.2.5"], None, false, Some("192.0.2.5")),
            ("web-1", &[], Some(9100), false, None),
            ("web-1", &[], Some(9100), true, Some("web-1:9100")),
            ("web-1", &["192.0.2.5"], None, true, Some("web-1")),
            ("web 1/x", &["192.0.2.5"], None, true, None),
        ] {
            let told = address(guest(&named(name, addresses), port, by_name));
            assert_eq!(told.as_deref(), expected, "{name} {addresses:?} {port:?} {by_name}");
        }
    }
}
