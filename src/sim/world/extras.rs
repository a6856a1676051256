//! What a node tells over SSH that is asked now and then: pending packages, disks, pools.

use std::fmt::Write;
use std::time::Duration;

use super::super::noise::hash;
use super::cluster::{Cluster, tick};
use super::disks::{SCRUBS, c_date};
use super::machine::section;
use super::node::NodeFigures;

/// In seconds; so often, a node asks its archives for news and perhaps finds one more package.
const NEWS: i64 = 240;
/// So many times news, then somebody upgrades.
const ROUNDS: i64 = 15;

const PACKAGES: &[&str] = &[
    "pve-manager",
    "qemu-server",
    "libpve-storage-perl",
    "pve-container",
    "libssl3t64",
    "openssh-server",
    "libc6",
    "proxmox-kernel-6.17",
    "pve-qemu-kvm",
    "ceph-common",
    "zfsutils-linux",
    "systemd",
    "libxml2",
    "curl",
    "perl-base",
];

impl Cluster {
    /// The answer of a node to `updates`, `smart` or `zpool`.
    pub(super) fn extra(&self, mode: &str, figures: &NodeFigures, index: usize, now: Duration) -> String {
        let mut text = format!("\n@pve-sentinel 1 begin {mode}\n");
        match mode {
            "updates" => section(&mut text, "updates", &self.updates(index, tick(now))),
            "smart" => section(&mut text, "smart.nvme0n1", &self.smart(figures, index, tick(now))),
            _ => section(&mut text, "zpool", &self.zpool(index, tick(now))),
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "\n@pve-sentinel 1 end {mode}\n");
        text
    }

    fn updates(&self, index: usize, now: i64) -> String {
        let mut text = format!("lists {}\n", self.unix(now.div_euclid(NEWS) * NEWS));
        for package in self.waiting(index, now) {
            let archive = if is_debians(package) { "Debian-Security:13/stable-security" } else { "Proxmox:13/stable" };
            let _ = writeln!(text, "Inst {package} [1.0-1] (1.0-2 {archive} [amd64])");
        }
        text
    }

    /// The packages that wait on a node.
    pub(super) fn waiting(&self, index: usize, now: i64) -> &'static [&'static str] {
        // Nodes are not upgraded at the same time.
        let round = now.div_euclid(NEWS) + 4 * index as i64;
        let pending = 1 + usize::try_from(round.rem_euclid(ROUNDS)).unwrap_or_default();
        PACKAGES.get(..pending).unwrap_or(PACKAGES)
    }

    fn smart(&self, figures: &NodeFigures, index: usize, now: i64) -> String {
        let serial = hash(self.seed, 93, index as u64) % 1_000_000;
        let heat = 36.0 + figures.cpu * 20.0;
        let hours = self.disk_hours(index, now);
        let used = self.nvme_used(index, now);
        format!(
            "{{\"smartctl\":{{\"version\":[7,4],\"exit_status\":0}},\"device\":{{\"name\":\"/dev/nvme0n1\",\"type\":\"nvme\"}},\
             \"model_name\":\"Simulated NVMe 960GB\",\"serial_number\":\"SIM{serial:06}\",\"firmware_version\":\"1.0\",\
             \"smart_status\":{{\"passed\":true}},\"temperature\":{{\"current\":{heat:.0}}},\
             \"power_on_time\":{{\"hours\":{hours}}},\"nvme_smart_health_information_log\":{{\
             \"percentage_used\":{used},\"available_spare\":100,\"media_errors\":0}}}}\n"
        )
    }

    fn zpool(&self, index: usize, now: i64) -> String {
        let ended = now.div_euclid(SCRUBS) * SCRUBS;
        let date = c_date(self.unix(ended));
        let checksums = self.checksum_errors(index, now);
        format!(
            "  pool: tank\n state: ONLINE\n  scan: scrub repaired 0B in 00:12:34 with 0 errors on {date}\nconfig:\n\n\tNAME        STATE     READ WRITE CKSUM\n\ttank        ONLINE       0     0     0\n\
             \t  mirror-0  ONLINE       0     0     0\n\t    sda     ONLINE       0     0     0\n\
             \t    sdb     ONLINE       0     0     {checksums}\n\nerrors: No known data errors\n"
        )
    }
}

/// Every third one.
pub(super) fn is_debians(package: &str) -> bool {
    PACKAGES.iter().position(|known| *known == package).is_some_and(|number| number % 3 == 1)
}
