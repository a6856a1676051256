//! Versions of the packages that matter, installed on each node. Try: `pvesh get /nodes/NODE/apt/versions`

use std::time::Duration;

use super::shared::{self, Column};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, Subject};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Package};

const CALL: &str = "/nodes/{node}/apt/versions";

/// The node looks through its list of packages, which changes with an upgrade only.
pub(super) const COLLECTOR: Collector = Collector {
    name: "node_packages",
    about: "versions of Proxmox VE's main packages on every node",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" }],
    calls: &[CALL],
    families: &[&INFO],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_hours(1),
        per: Per::Node,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static INFO: Desc = Desc {
    name: "pve_node_package_info",
    help: "Version of the package that is installed on the node, only of the main ones, from /nodes/{node}/apt/versions.",
    kind: Kind::Gauge,
};

/// Brings the QEMU that guests are started in.
const QEMU: &str = "pve-qemu-kvm";

/// Those whose versions should be the same on all nodes.
const MAIN: &[&str] = &[
    "ceph",
    "corosync",
    "libpve-storage-perl",
    "lxc-pve",
    "proxmox-ve",
    "pve-cluster",
    "pve-container",
    "pve-ha-manager",
    "pve-manager",
    QEMU,
    "qemu-server",
    "zfsutils-linux",
];

/// The version of QEMU is remembered, for guests that run in an older one.
fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        let packages = pve::packages(&answer)?;
        let qemu = packages.iter().find(|package| package.name.filled() == Some(QEMU));
        if let (Subject::Node(node), Some(version)) = (ask.subject(), qemu.and_then(|qemu| qemu.installed.filled())) {
            ask.inventory().learned().note_qemu(node, version);
        }
        Ok(families(&shared::id(ask.subject()), &packages))
    })
}

fn families(id: &str, packages: &[Package<'_>]) -> Vec<Family> {
    let mut info = Column::new(&INFO);
    for name in MAIN {
        let package = packages.iter().find(|package| package.name.filled() == Some(name));
        if let Some(version) = package.and_then(|package| package.installed.filled()) {
            info.push_info(Labels::new(&[("id", id), ("package", name), ("version", version)]));
        }
    }
    vec![info.into_family()]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    #[test]
    fn only_what_is_installed_and_matters_is_told() {
        for (file, expected) in [
            ("pve-9.2-cluster/GET_nodes__pve-lab__apt__versions.json", &[("corosync", "3.1.9-2+deb13u1")][..]),
            (
                "hand-made/GET_nodes__pve-lab__apt__versions.json",
                &[("pve-manager", "9.2.11"), ("pve-qemu-kvm", "10.0.13-1"), ("qemu-server", "9.2.6")],
            ),
        ] {
            let answer = recorded(file);
            let line = |(name, version)| {
                format!("pve_node_package_info{{id=\"node/a\",package=\"{name}\",version=\"{version}\"}} 1")
            };
            let expected: Vec<String> = expected.iter().map(|told| line(*told)).collect();
            assert_eq!(lines(&families("node/a", &pve::packages(&answer).expect("packages"))), expected, "{file}");
        }
        for body in [r#"{"data":[{"Version":"1"}]}"#, r#"{"data":{}}"#, r#"{"data":null}"#] {
            assert!(pve::packages(&Answer::of(body)).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["Package", "OldVersion", "CurrentState"])) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(packages) = pve::packages(&answer) {
                check(&COLLECTOR, &families("node/a", &packages));
            }
        }
    }
}
