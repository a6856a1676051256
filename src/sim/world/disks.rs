//! What a node says of its disks, of the pools on them, and of the clock on its wall.
//!
//! Each has an NVMe disk to start from, two hard disks with the pool `tank`, and in a cluster a solid-state disk for Ceph. That
//! of the second node is failing now and then.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::json;
use super::super::noise::{Shuffle, hash};
use super::cluster::{Cluster, tick};
use super::plot::Cycle;
use super::population::GIB;

/// A disk says that it fails, until it is replaced.
pub(super) const FAILING: Cycle = Cycle::new(7200, 21_600, 2400);
/// Whose.
const FAILING_NODE: usize = 1;
/// In seconds; so often, a pool is scrubbed.
pub(super) const SCRUBS: i64 = 1800;
/// By how much the clocks on the wall are ahead of UTC, and where that is.
const ZONE: (u64, &str) = (3600, "Europe/Berlin");
/// The bytes of a pool of two disks, one of which is a copy.
const TANK: u64 = 4_000_000_000_000;
const THIN_POOL: u64 = 800 * GIB;
const THIN_METADATA: u64 = 8 * GIB;

impl Cluster {
    /// The body of `GET /nodes/N/disks/list`.
    pub(in super::super) fn disks(&self, node: usize, now: Duration, mut order: Shuffle) -> String {
        let now = tick(now);
        let mut disks = vec![
            self.disk(
                node,
                "nvme0n1",
                json!({"type": "nvme", "used": "LVM", "rpm": 0, "wearout": 100 - self.nvme_used(node, now)}),
            ),
            self.disk(node, "sda", json!({"type": "hdd", "used": "ZFS", "rpm": "7200", "wearout": "N/A"})),
            self.disk(node, "sdb", json!({"type": "hdd", "used": "ZFS", "rpm": "7200", "wearout": "N/A"})),
        ];
        if self.has_ceph() {
            let health = if self.disk_fails(node, now) { "FAILED!" } else { "PASSED" };
            disks.push(self.disk(
                node,
                "sdc",
                json!({"type": "ssd", "used": "LVM", "rpm": 0, "wearout": 88, "health": health,
                    "osdid": node.to_string(), "osdid-list": [node.to_string()], "bluestore": 1, "osdencrypted": 0}),
            ));
        }
        json::reordered(&json!({ "data": disks }), &mut order)
    }

    /// What all disks tell, and what this one tells besides or instead.
    fn disk(&self, node: usize, device: &str, own: Value) -> Value {
        let serial = hash(self.seed, 93, node as u64) % 1_000_000;
        let (model, size, vendor) = match device {
            "nvme0n1" => ("Simulated NVMe 960GB", 960_197_124_096_u64, "0x1b36"),
            "sdc" => ("Simulated SSD 4TB", 4_000_787_030_016, "ATA     "),
            _ => ("Simulated HDD 4TB", 4_000_787_030_016, "ATA     "),
        };
        let place = if device == "nvme0n1" { String::new() } else { device.to_uppercase() };
        let mut disk = json!({
            "devpath": format!("/dev/{device}"), "model": model, "size": size, "vendor": vendor,
            "serial": format!("SIM{serial:06}{place}"), "wwn": format!("0x5000c500{serial:08x}"),
            "gpt": 1, "health": "PASSED", "osdid": -1, "osdid-list": null,
        });
        if let (Some(disk), Value::Object(own)) = (disk.as_object_mut(), own) {
            disk.extend(own);
        }
        disk
    }

    /// The body of `GET /nodes/N/disks/smart`; `None` where there is no such disk.
    pub(in super::super) fn disk_smart(
        &self,
        (node, path): (usize, &str),
        now: Duration,
        mut order: Shuffle,
    ) -> Option<String> {
        let now = tick(now);
        let hours = self.disk_hours(node, now);
        let heat = 36 + hash(self.seed, 95, now.div_euclid(300).unsigned_abs() + node as u64) % 6;
        let attribute = |id: &str, name: &str, raw: String| {
            json!({"id": id, "name": name, "flags": "-O--CK", "value": 95, "normalized": 95, "worst": 90, "threshold": 0,
                "fail": "-", "raw": raw})
        };
        let document = match path {
            "/dev/nvme0n1" => {
                let used = self.nvme_used(node, now);
                let text = format!(
                    "\nSMART/Health Information (NVMe Log 0x02)\nCritical Warning:                   0x00\n\
                     Temperature:                        {heat} Celsius\nPercentage Used:                    {used}%\n\
                     Power On Hours:                     {hours}\n"
                );
                json!({"type": "text", "health": "PASSED", "wearout": 100 - used, "text": text})
            }
            "/dev/sda" | "/dev/sdb" => json!({"type": "ata", "health": "PASSED", "attributes": [
                attribute("  9", "Power_On_Hours", hours.to_string()),
                attribute("194", "Temperature_Celsius", format!("{heat} (Min/Max 18/49)")),
            ]}),
            "/dev/sdc" if self.has_ceph() => {
                let health = if self.disk_fails(node, now) { "FAILED!" } else { "PASSED" };
                json!({"type": "ata", "health": health, "attributes": [
                    attribute("  9", "Power_On_Hours", hours.to_string()),
                    attribute("190", "Airflow_Temperature_Cel", heat.to_string()),
                ]})
            }
            _ => return None,
        };
        Some(json::reordered(&json!({ "data": document }), &mut order))
    }

    /// The body of `GET /nodes/N/disks/zfs`.
    pub(in super::super) fn zfs_pools(&self, node: usize, now: Duration, mut order: Shuffle) -> String {
        let minutes = u64::try_from(tick(now) / 60).unwrap_or(0);
        let used = TANK / 3 + (node as u64 % 7) * 20 * GIB + minutes % 1440 * (16 << 20);
        let pool = json!({
            "name": "tank", "health": "ONLINE", "size": TANK, "alloc": used, "free": TANK - used,
            "frag": 7 + node % 5, "dedup": 1,
        });
        json::reordered(&json!({ "data": [pool] }), &mut order)
    }

    /// The body of `GET /nodes/N/disks/zfs/POOL`; `None` where there is no such pool.
    pub(in super::super) fn zfs_pool(
        &self,
        (node, name): (usize, &str),
        now: Duration,
        mut order: Shuffle,
    ) -> Option<String> {
        if name != "tank" {
            return None;
        }
        let now = tick(now);
        let ended = self.wall(self.unix(now.div_euclid(SCRUBS) * SCRUBS));
        let device = |name: &str, checksums: u64, children: Option<Value>| {
            let mut device =
                json!({"name": name, "state": "ONLINE", "read": 0, "write": 0, "cksum": checksums, "msg": ""});
            device["leaf"] = json!(u8::from(children.is_none()));
            if let Some(children) = children {
                device["children"] = children;
            }
            device
        };
        let disks = json!([device("/dev/sda1", 0, None), device("/dev/sdb1", self.checksum_errors(node, now), None)]);
        let mirror = device("mirror-0", 0, Some(disks));
        let document = json!({
            "name": "tank", "state": "ONLINE", "errors": "No known data errors", "leaf": 0,
            "scan": format!("scrub repaired 0B in 00:12:34 with 0 errors on {}", c_date(ended)),
            "children": [device("tank", 0, Some(json!([mirror])))],
        });
        Some(json::reordered(&json!({ "data": document }), &mut order))
    }

    /// The body of `GET /nodes/N/disks/lvmthin`.
    pub(in super::super) fn thin_pools(&self, node: usize, now: Duration, mut order: Shuffle) -> String {
        let used = self.thin_pool_used(node, tick(now));
        // Each block that is in use has its line.
        let metadata = THIN_METADATA / 16 + used / 150;
        let pool = json!({
            "vg": "pve", "lv": "data", "lv_size": THIN_POOL, "used": used, "metadata_size": THIN_METADATA, "metadata_used": metadata,
        });
        json::reordered(&json!({ "data": [pool] }), &mut order)
    }

    /// The body of `GET /nodes/N/time`.
    pub(in super::super) fn clock(&self, now: Duration, mut order: Shuffle) -> String {
        let time = self.unix(super::second(now));
        let document = json!({"time": time, "localtime": self.wall(time), "timezone": ZONE.1});
        json::reordered(&json!({ "data": document }), &mut order)
    }

    /// Whether the disk of a node's OSD is failing.
    pub(super) fn disk_fails(&self, node: usize, now: i64) -> bool {
        node == FAILING_NODE && self.has_ceph() && FAILING.current(now).is_some()
    }

    /// Per cent of its life that the NVMe disk has used.
    pub(super) fn nvme_used(&self, node: usize, now: i64) -> i64 {
        (4 + node as i64 * 3 + self.disk_hours(node, now) / 8000).min(100)
    }

    /// For how many hours the disks of a node have been on.
    pub(super) fn disk_hours(&self, node: usize, now: i64) -> i64 {
        9000 + node as i64 * 700 + now.div_euclid(3600)
    }

    /// Data that came back from one of the hard disks other than they went.
    pub(super) fn checksum_errors(&self, node: usize, now: i64) -> u64 {
        hash(self.seed, 94, node as u64) % 2 * now.div_euclid(600).unsigned_abs()
    }

    fn wall(&self, unix: u64) -> u64 {
        unix.saturating_add(ZONE.0)
    }
}

/// `Sun Nov  9 00:36:35 2025`
pub(super) fn c_date(unix: u64) -> String {
    const YEAR_9999: u64 = 253_402_300_799;
    // Sun, 09 Nov 2025 00:36:35 GMT
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix.min(YEAR_9999)));
    let words: Vec<&str> = date.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let [day, number, month, year, clock, ..] = words.as_slice() else { return String::new() };
    let number = number.trim_start_matches('0');
    format!("{day} {month} {number:>2} {clock} {year}")
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::recorded;
    use super::super::World;
    use super::*;

    fn data(body: &str) -> Value {
        serde_json::from_str::<Value>(body).unwrap()["data"].take()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn keys(value: &Value) -> Vec<&String> {
        value.as_object().unwrap().keys().collect()
    }

    #[test]
    fn the_disk_of_the_second_node_fails_now_and_then() {
        let world = World::new(1, 3, 10);
        let failing = |node, now| {
            let disks = data(&world.facts().disks(node, at(now), Shuffle::new(1, now)));
            let failing = disks.as_array().unwrap().iter().filter(|disk| disk["health"] == "FAILED!");
            failing.map(|disk| disk["devpath"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(failing(1, 7300), ["/dev/sdc"]);
        assert_eq!(failing(1, 7300 + 21_600), ["/dev/sdc"]);
        assert!([failing(1, 7100), failing(1, 9700), failing(0, 7300)].iter().all(Vec::is_empty));
        let alone = World::new(1, 1, 10);
        assert_eq!(data(&alone.facts().disks(0, at(0), Shuffle::new(1, 0))).as_array().unwrap().len(), 3);
    }

    #[test]
    fn disks_and_clock_have_the_recorded_shape() {
        let world = World::new(1, 3, 10);
        let disks = data(&world.facts().disks(0, at(0), Shuffle::new(1, 0)));
        let (_, _, known) = recorded("GET_nodes__pve-lab__disks__list.json");
        let missing: Vec<&String> =
            keys(&known["data"][0]).into_iter().filter(|key| disks[0].get(key).is_none()).collect();
        assert_eq!(missing, ["mounted"], "which a disk says only where it is");
        let clock = data(&world.facts().clock(at(5), Shuffle::new(1, 0)));
        let (_, _, known) = recorded("GET_nodes__pve-lab__time.json");
        assert_eq!(keys(&clock), keys(&known["data"]));
        assert_eq!(clock["localtime"].as_u64().unwrap() - clock["time"].as_u64().unwrap(), 3600);
    }

    #[test]
    fn pools_move() {
        let world = World::new(1, 3, 10);
        let facts = world.facts();
        let used = |now| data(&facts.thin_pools(0, at(now), Shuffle::new(1, 0)))[0]["used"].as_u64().unwrap();
        assert!(used(3600) > used(0));
        let scan = |now| data(&facts.zfs_pool((0, "tank"), at(now), Shuffle::new(1, 0)).unwrap())["scan"].clone();
        assert_eq!(scan(0), "scrub repaired 0B in 00:12:34 with 0 errors on Fri Nov 20 22:00:00 2026");
        assert_ne!(scan(1800), scan(0));
        assert!(facts.zfs_pool((0, "other"), at(0), Shuffle::new(1, 0)).is_none());
        assert!(facts.disk_smart((0, "/dev/vda"), at(0), Shuffle::new(1, 0)).is_none());
        for disk in ["nvme0n1", "sda", "sdc"] {
            assert!(facts.disk_smart((0, &format!("/dev/{disk}")), at(0), Shuffle::new(1, 0)).is_some(), "{disk}");
        }
    }
}
