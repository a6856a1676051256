//! Disks of each node, their health and wear. Try: `pvesh get /nodes/NODE/disks/list`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{Column, flag, if_told, node_of};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::{CollectorKey, KeyKind, Preset};
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::wire::Number;
use crate::pve::{self, Disk, Error};

const CALL: &str = "/nodes/{node}/disks/list";
/// For one disk; asked only where it is wished.
const SMART_CALL: &str = "/nodes/{node}/disks/smart?disk=/dev/{disk}";
const SMART: &str = "smart";
/// Of so many disks of a node SMART is asked: each costs a call.
const MOST_ASKED: usize = 64;

/// It blocks, and seldom asks, because the node runs smartctl on every disk.
pub(super) const COLLECTOR: Collector = Collector {
    name: "disk",
    about: "health, wear, size and use of every node's disks; temperature and hours with `smart = true`",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL, SMART_CALL],
    families: &[&INFO, &SIZE, &HEALTHY, &WEAR, &TEMPERATURE, &POWER_ON],
    preset: Some(Preset::Full),
    options: &[CollectorKey {
        name: SMART,
        kind: KeyKind::Flag,
        about: "temperature and hours, by a call for each disk",
    }],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(30),
        per: Per::Node,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static INFO: Desc = Desc {
    name: "pve_node_disk_info",
    help: "Node, device, model, serial number and kind of the disk, and what it is used as, from /nodes/{node}/disks/list.",
    kind: Kind::Gauge,
};
static SIZE: Desc = Desc {
    name: "pve_node_disk_size_bytes",
    help: "Size of the disk, from /nodes/{node}/disks/list.",
    kind: Kind::Gauge,
};
static HEALTHY: Desc = Desc {
    name: "pve_node_disk_smart_healthy",
    help: "Whether the disk says that it is well, absent where it says nothing, from /nodes/{node}/disks/list.",
    kind: Kind::Gauge,
};
static WEAR: Desc = Desc {
    name: "pve_node_disk_wear_ratio",
    help: "How much of its life the solid-state disk has used, above 1 where it lives longer, from /nodes/{node}/disks/list.",
    kind: Kind::Gauge,
};
static TEMPERATURE: Desc = Desc {
    name: "pve_node_disk_temperature_celsius",
    help: "Temperature of the disk, from /nodes/{node}/disks/smart.",
    kind: Kind::Gauge,
};
static POWER_ON: Desc = Desc {
    name: "pve_node_disk_power_on_seconds_total",
    help: "For how long the disk has been powered on in its life, from /nodes/{node}/disks/smart.",
    kind: Kind::Counter,
};

/// What SMART says of a disk: its temperature, and the seconds it has been on.
type Told = (Option<f64>, Option<f64>);

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        let disks = pve::disks(&answer)?;
        let smart = if ask.settings().flag(SMART) { smart(ask, &disks).await? } else { BTreeMap::new() };
        Ok(families(node_of(ask.subject()), &disks, &smart))
    })
}

/// One disk after the other. One that cannot be asked, such as a virtual one, is left out.
async fn smart(ask: &Ask<'_>, disks: &[Disk<'_>]) -> Result<BTreeMap<String, Told>, Error> {
    let mut told = BTreeMap::new();
    for device in disks.iter().filter_map(Disk::device).filter(|device| !device.contains('/')).take(MOST_ASKED) {
        if let Some(answer) = if_told(ask.get_with(SMART_CALL, &[("disk", device)]).await)? {
            let smart = pve::smart(&answer)?;
            told.insert(device.to_owned(), (smart.temperature(), smart.power_on()));
        }
    }
    Ok(told)
}

fn families(node: &str, disks: &[Disk<'_>], smart: &BTreeMap<String, Told>) -> Vec<Family> {
    let mut info = Column::new(&INFO);
    let mut values = [&SIZE, &HEALTHY, &WEAR, &TEMPERATURE, &POWER_ON].map(Column::new);
    for (name, (device, disk)) in named(disks) {
        let id = format!("disk/{node}/{name}");
        info.push_info(info_labels((id.as_str(), node, device), disk));
        let (temperature, power_on) = smart.get(device).copied().unwrap_or_default();
        let told = [disk.size.quantity(), healthy(disk), wear(disk.wearout), temperature, power_on];
        let labels = Labels::new(&[("id", &id)]);
        for (column, value) in values.iter_mut().zip(told) {
            column.push(&labels, value);
        }
    }
    std::iter::once(info).chain(values).map(Column::into_family).collect()
}

/// Each disk and its device once, by a name that it keeps when the kernel counts disks in another order at the next start:
/// its serial number; its WWN where several have that number, as the namespaces of an NVMe disk do; else, as of a virtual
/// disk or of one that is seen over several paths, its device.
fn named<'d>(disks: &'d [Disk<'_>]) -> BTreeMap<&'d str, (&'d str, &'d Disk<'d>)> {
    let devices: BTreeMap<&str, &Disk<'_>> = disks.iter().filter_map(|disk| Some((disk.device()?, disk))).collect();
    let mut counts = BTreeMap::new();
    for name in devices.values().flat_map(|disk| [disk.serial.filled(), disk.wwn.filled()]).flatten() {
        *counts.entry(name).or_insert(0_usize) += 1;
    }
    let own = |name: Option<&'d str>| name.filter(|name| *name != "unknown" && counts.get(name) == Some(&1));
    let name =
        |device: &'d str, disk: &'d Disk<'_>| own(disk.serial.filled()).or(own(disk.wwn.filled())).unwrap_or(device);
    devices.into_iter().map(|(device, disk)| (name(device, disk), (device, disk))).collect()
}

fn info_labels((id, node, device): (&str, &str, &str), disk: &Disk<'_>) -> Labels {
    fn known(text: Option<&str>) -> &str {
        text.map(str::trim).filter(|text| *text != "unknown").unwrap_or_default()
    }
    Labels::new(&[
        ("id", id),
        ("node", node),
        ("device", device),
        ("model", known(disk.model.filled())),
        ("serial", known(disk.serial.filled())),
        ("vendor", known(disk.vendor.filled())),
        ("type", known(disk.kind.filled())),
        ("used", known(disk.used.filled())),
    ])
}

/// SAS disks say OK where the others say PASSED, and in place of FAILED! what is wrong, such as `HARDWARE IMPENDING FAILURE
/// GENERAL HARD DRIVE FAILURE [asc=5d, ascq=10]`; who says none of it, says nothing.
fn healthy(disk: &Disk<'_>) -> Option<f64> {
    match disk.health.filled()?.trim() {
        "PASSED" | "OK" => Some(flag(true)),
        health if health.contains("FAIL") || health.contains("[asc=") => Some(flag(false)),
        _ => None,
    }
}

/// From per cent that are left. A disk counts up to 255 per cent used.
fn wear(left: Number) -> Option<f64> {
    left.0.filter(|left| (-155.0..=100.0).contains(left)).map(|left| (100.0 - left) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer, smart: &BTreeMap<String, Told>) -> Vec<String> {
        lines(&families("pve-lab", &pve::disks(answer).expect("disks"), smart))
    }

    #[test]
    fn a_virtual_disk_has_a_size_and_no_health() {
        assert_eq!(
            told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__disks__list.json"), &BTreeMap::new()),
            [
                "pve_node_disk_info{id=\"disk/pve-lab/vda\",node=\"pve-lab\",device=\"vda\",model=\"\",serial=\"\",\
                 vendor=\"0x1af4\",type=\"\",used=\"mounted\"} 1",
                "pve_node_disk_size_bytes{id=\"disk/pve-lab/vda\"} 274877906944",
            ]
        );
    }

    #[test]
    fn real_disks_tell_health_and_wear() {
        let smart = recorded("hand-made/GET_nodes__pve-lab__disks__smart__disk=__dev__nvme0n1.json");
        let smart = pve::smart(&smart).expect("SMART");
        let smart = BTreeMap::from([("nvme0n1".to_owned(), (smart.temperature(), smart.power_on()))]);
        let lines = told(&recorded("hand-made/GET_nodes__pve-lab__disks__list.json"), &smart);
        assert!(lines.contains(
            &"pve_node_disk_info{id=\"disk/pve-lab/ZC1A2B3C\",node=\"pve-lab\",device=\"sda\",model=\"ST4000NM0035-1V4107\",\
              serial=\"ZC1A2B3C\",vendor=\"ATA\",type=\"hdd\",used=\"ZFS\"} 1"
                .to_owned()
        ));
        let values: Vec<&String> = lines.iter().filter(|line| !line.contains("_info{")).skip(3).collect();
        assert_eq!(
            values,
            [
                "pve_node_disk_smart_healthy{id=\"disk/pve-lab/PHYF1234567890A\"} 1",
                "pve_node_disk_smart_healthy{id=\"disk/pve-lab/S64FNE0R512345\"} 1",
                "pve_node_disk_smart_healthy{id=\"disk/pve-lab/ZC1A2B3C\"} 0",
                "pve_node_disk_wear_ratio{id=\"disk/pve-lab/PHYF1234567890A\"} 0",
                "pve_node_disk_wear_ratio{id=\"disk/pve-lab/S64FNE0R512345\"} 0.04",
                "pve_node_disk_temperature_celsius{id=\"disk/pve-lab/S64FNE0R512345\"} 38",
                "pve_node_disk_power_on_seconds_total{id=\"disk/pve-lab/S64FNE0R512345\"} 44442000",
            ]
        );
    }

    #[test]
    fn wear_and_health_know_what_they_are_not_told() {
        for (left, used) in [(Some(97.0), Some(0.03)), (Some(-5.0), Some(1.05)), (Some(101.0), None), (None, None)] {
            assert_eq!(wear(Number(left)), used, "{left:?}");
        }
        for (health, expected) in [
            ("FAILED!", Some(0.0)),
            ("FAILING NOW", Some(0.0)),
            ("HARDWARE IMPENDING FAILURE GENERAL HARD DRIVE FAILURE [asc=5d, ascq=10]", Some(0.0)),
            ("WARNING: specified temperature exceeded [asc=b, ascq=1]", Some(0.0)),
            ("OK ", Some(1.0)),
            ("UNKNOWN", None),
            ("SMART Disabled", None),
        ] {
            let answer = Answer::of(&format!(r#"{{"data":[{{"devpath":"/dev/sda","health":"{health}"}}]}}"#));
            assert_eq!(pve::disks(&answer).expect("disks").first().and_then(healthy), expected, "{health}");
        }
    }

    #[test]
    fn a_disk_keeps_its_name_when_the_kernel_counts_anew() {
        let ids = |disks: &str| {
            let answer = Answer::of(&format!("{{\"data\":[{disks}]}}"));
            let disks = pve::disks(&answer).expect("disks");
            let sizes = lines(&families("a", &disks, &BTreeMap::new()));
            let sizes = sizes.into_iter().filter(|line| line.starts_with("pve_node_disk_size_bytes{"));
            sizes
                .map(|line| line.replace("pve_node_disk_size_bytes{id=\"disk/a/", "").replace("\"}", ""))
                .collect::<Vec<_>>()
        };
        let disk = |device: &str, serial: &str, wwn: &str, size: u8| {
            format!(r#"{{"devpath":"/dev/{device}","serial":"{serial}","wwn":"{wwn}","size":{size}}}"#)
        };
        let (one, other) = (|device| disk(device, "S1", "unknown", 1), |device| disk(device, "S2", "unknown", 2));
        assert_eq!(ids(&[one("sda"), other("sdb")].join(",")), ["S1 1", "S2 2"]);
        assert_eq!(ids(&[one("sdb"), other("sda")].join(",")), ["S1 1", "S2 2"], "they changed places");
        let spaces = [disk("nvme0n1", "S", "eui.1", 1), disk("nvme0n2", "S", "eui.2", 2)].join(",");
        assert_eq!(ids(&spaces), ["eui.1 1", "eui.2 2"], "two namespaces of one disk");
        let paths = [disk("sda", "S", "0x5", 1), disk("sdb", "S", "0x5", 1)].join(",");
        assert_eq!(ids(&paths), ["sda 1", "sdb 1"], "two paths to one disk");
        let silent = [disk("vda", "unknown", "unknown", 1), disk("vdb", "unknown", "unknown", 2)].join(",");
        assert_eq!(ids(&silent), ["vda 1", "vdb 2"], "who has no number is known by its place");
        assert_eq!(ids(&[one("sda"), one("sda")].join(",")), ["S1 1"], "told twice, and yet one");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(disks in any_rows(&["devpath", "model", "serial", "wwn", "vendor", "type", "used", "size", "health", "wearout"])) {
            let answer = Answer::of(&serde_json::json!({ "data": disks }).to_string());
            if let Ok(disks) = pve::disks(&answer) {
                check(&COLLECTOR, &families("a", &disks, &BTreeMap::new()));
            }
        }
    }
}
