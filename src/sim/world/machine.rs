//! What a node's kernel says of it: the answer to the probe, in the frame that `src/ssh/probe.sh` describes.

use std::fmt::Write;
use std::time::Duration;

use super::super::noise::{Wave, hash};
use super::cluster::{Cluster, tick};
use super::node::NodeFigures;
use super::population::NodeSpec;

/// The kernel counts time in hundredths of a second.
const TICKS: f64 = 100.0;
/// Nodes of up to so many CPUs tell of each.
const MOST_CPUS: u64 = 64;
/// What the first network card carries at a load of 1, in bytes a second.
const CARD: f64 = 40e6;
/// What the disk does at a load of 1, in operations a second, each of 16 KiB.
const DISK: f64 = 900.0;

/// A node at a time.
struct Machine<'a> {
    cluster: &'a Cluster,
    node: &'a NodeSpec,
    index: usize,
    figures: NodeFigures,
    now: i64,
}

impl Cluster {
    /// The answer of a node to the probe; `now` with its fraction of a second.
    pub(super) fn probe(&self, figures: NodeFigures, index: usize, now: Duration) -> String {
        let machine = Machine { cluster: self, node: &self.nodes[index], index, figures, now: tick(now) };
        let mut text = String::from("\n@pve-sentinel 1 begin probe\n");
        let fraction = now.subsec_nanos();
        let seconds = self.begun.saturating_add_unsigned(now.as_secs());
        section(&mut text, "clock", &format!("{seconds}.{fraction:09} +0000 UTC\n"));
        section(&mut text, "proc", &machine.proc());
        section(&mut text, "facts", "machine x86_64\npage_size 4096\nkernel 6.17.4-2-pve\n");
        section(&mut text, "sys", &machine.sys());
        section(&mut text, "udev", "");
        section(
            &mut text,
            "mounts",
            "/dev/mapper/pve-root / ext4 rw,relatime 0 0\n/dev/nvme0n1p2 /boot/efi vfat rw 0 0\n",
        );
        section(&mut text, "statfs", &machine.file_systems());
        section(&mut text, "chips", "hwmon0 device /sys/devices/platform/coretemp.0\n");
        section(&mut text, "sensors", &machine.sensors());
        text.push_str("\n@pve-sentinel 1 end probe\n");
        text
    }
}

pub(super) fn section(text: &mut String, name: &str, lines: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n@pve-sentinel 1 open {name}\n{lines}\n@pve-sentinel 1 close {name}\n");
}

impl Machine<'_> {
    /// What a wave has counted since the node booted.
    fn counted(&self, subject: u64, mean: f64) -> f64 {
        let wave = Wave::new(self.cluster.seed, 500 + subject * 64 + self.index as u64, mean);
        wave.sum(self.figures.booted, self.now).max(0.0)
    }

    fn proc(&self) -> String {
        let mut text = String::new();
        self.cpus(&mut text);
        self.memory(&mut text);
        self.devices(&mut text);
        let busy = self.counted(7, 0.02) * 1e6;
        for (resource, lines) in [("cpu", 1), ("io", 2), ("memory", 2)] {
            for kind in ["some", "full"].iter().take(lines) {
                let file = format!("/proc/pressure/{resource}:{kind}");
                let _ = writeln!(text, "{file} avg10=0.00 avg60=0.00 avg300=0.00 total={busy:.0}");
            }
        }
        let node = &self.node.name;
        let _ = write!(
            text,
            "/proc/sys/fs/file-nr:4224\t0\t9223372036854775807\n/proc/sys/kernel/random/entropy_avail:256\n\
             /proc/sys/kernel/random/poolsize:256\n/proc/sys/kernel/ostype:Linux\n\
             /proc/sys/kernel/osrelease:6.17.4-2-pve\n/proc/sys/kernel/version:#1 SMP PREEMPT_DYNAMIC PMX 6.17.4-2\n\
             /proc/sys/kernel/hostname:{node}\n/proc/sys/kernel/domainname:(none)\n\
             /etc/os-release:PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n/etc/os-release:ID=debian\n\
             /etc/os-release:VERSION_ID=\"13\"\n/etc/os-release:VERSION_CODENAME=trixie\n"
        );
        text
    }

    fn cpus(&self, text: &mut String) {
        let cpus = self.node.cpus.min(MOST_CPUS);
        let all = self.figures.uptime as f64 * TICKS;
        let mut sums = [0.0; 9];
        let mut lines = String::new();
        for cpu in 0..cpus {
            let busy = (self.counted(10 + cpu, 0.25) * TICKS).min(all);
            let guest = busy * 0.5;
            // user, nice, system, idle, iowait, irq, softirq, steal, guest
            let values =
                [busy * 0.7, 0.0, busy * 0.25, all - busy, busy * 0.04, 0.0, busy * 0.01, 0.0, guest].map(f64::floor);
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            let _ = writeln!(lines, "/proc/stat:cpu{cpu} {} 0", joined(&values));
        }
        let _ = write!(text, "/proc/stat:cpu  {} 0\n{lines}", joined(&sums));
        let load = |ago: i64| (self.node.load.at(self.now - ago) + self.figures.cpu) * self.node.cpus as f64;
        let switches = self.counted(1, 9000.0);
        let booted = self.cluster.unix(self.figures.booted);
        let _ = write!(
            text,
            "/proc/stat:intr {:.0} 0\n/proc/stat:ctxt {switches:.0}\n/proc/stat:btime {booted}\n\
             /proc/stat:processes {:.0}\n/proc/stat:procs_running 2\n/proc/stat:procs_blocked 0\n\
             /proc/loadavg:{:.2} {:.2} {:.2} 2/900 12345\n",
            switches * 0.6,
            switches * 0.002,
            load(0),
            load(150),
            load(450)
        );
    }

    fn memory(&self, text: &mut String) {
        let (total, used) = (self.node.memory / 1024, self.figures.mem / 1024);
        let left = total.saturating_sub(used);
        for (name, value) in [
            ("MemTotal", total),
            ("MemFree", left / 3),
            ("MemAvailable", left),
            ("Buffers", left / 50),
            ("Cached", left / 2),
            ("SwapTotal", 8 << 20),
            ("SwapFree", (8 << 20) - 1000),
            ("Dirty", 200 + hash(self.cluster.seed, 90, self.now.unsigned_abs()) % 4000),
        ] {
            let _ = writeln!(text, "/proc/meminfo:{name}: {value} kB");
        }
        let pages = self.counted(2, 3000.0);
        for (name, share) in [("pgpgin", 0.5), ("pgpgout", 1.0), ("pgfault", 8.0), ("pgmajfault", 0.001)] {
            let _ = writeln!(text, "/proc/vmstat:{name} {:.0}", pages * share);
        }
        for name in ["oom_kill", "pswpin", "pswpout"] {
            let _ = writeln!(text, "/proc/vmstat:{name} 0");
        }
    }

    fn devices(&self, text: &mut String) {
        let operations = self.counted(3, 0.2) * DISK;
        let [reads, writes] = [operations * 0.3, operations * 0.7].map(f64::floor);
        let busy = (operations * 0.2).floor();
        let _ = writeln!(
            text,
            "/proc/diskstats: 259 0 nvme0n1 {reads} 0 {} {} {writes} 0 {} {} 0 {busy} {busy} 0 0 0 0 0 0",
            reads * 32.0,
            reads.floor(),
            writes * 32.0,
            writes.floor(),
        );
        for (device, share) in [("lo", 0.001), ("eno1", 1.0), ("vmbr0", 0.9)] {
            let bytes = (self.counted(4, 0.1) * CARD * share).floor();
            let packets = (bytes / 900.0).floor();
            let _ = writeln!(
                text,
                "/proc/net/dev:{device}: {bytes} {packets} 0 0 0 0 0 0 {} {packets} 0 0 0 0 0 0",
                (bytes * 0.6).floor()
            );
        }
        let segments = (self.counted(4, 0.1) * CARD / 900.0).floor();
        let _ = write!(
            text,
            "/proc/net/netstat:TcpExt: ListenOverflows ListenDrops TCPTimeouts\n/proc/net/netstat:TcpExt: 0 0 12\n\
             /proc/net/snmp:Tcp: CurrEstab InSegs OutSegs RetransSegs InErrs\n\
             /proc/net/snmp:Tcp: 24 {segments} {segments} {} 0\n/proc/net/softnet_stat:{:08x} 00000000 00000000 \
             00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n",
            (segments / 1e5).floor(),
            segments as u64 & 0xffff_ffff,
        );
        let connections = 20 + hash(self.cluster.seed, 91, self.now.unsigned_abs()) % 9;
        let _ = write!(
            text,
            "/proc/net/sockstat:sockets: used 420\n/proc/net/sockstat:TCP: inuse {connections} orphan 0 tw 3 alloc {connections} mem 2\n\
             /proc/net/sockstat:UDP: inuse 6 mem 1\n"
        );
    }

    fn sys(&self) -> String {
        let mut text = String::new();
        for (number, (device, speed)) in [("lo", ""), ("eno1", "10000"), ("vmbr0", "10000")].into_iter().enumerate() {
            let folder = format!("/sys/class/net/{device}");
            let address = hash(self.cluster.seed, 92, (self.index * 4 + number) as u64).to_le_bytes();
            let state = if device == "lo" { "unknown" } else { "up" };
            let [_, a, b, c, d, e, ..] = address;
            let _ = write!(
                text,
                "{folder}/address:02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}\n{folder}/operstate:{state}\n\
                 {folder}/carrier:1\n{folder}/mtu:1500\n{folder}/flags:0x1003\n{folder}/ifindex:{}\n{folder}/iflink:{0}\n",
                number + 1
            );
            if !speed.is_empty() {
                let _ = writeln!(text, "{folder}/speed:{speed}");
            }
        }
        text.push_str(
            "/sys/devices/system/clocksource/clocksource0/available_clocksource:tsc hpet acpi_pm\n\
             /sys/devices/system/clocksource/clocksource0/current_clocksource:tsc\n\
             /sys/class/dmi/id/product_name:Simulated Server\n/sys/class/dmi/id/sys_vendor:pve-sentinel\n",
        );
        text
    }

    fn file_systems(&self) -> String {
        let (blocks, used) = (self.node.disk / 4096, self.figures.disk / 4096);
        let left = blocks.saturating_sub(used);
        format!("4096 {blocks} {left} {} 6553600 6400000 /\n4096 261628 259000 259000 0 0 /boot/efi\n", left * 19 / 20)
    }

    fn sensors(&self) -> String {
        let heat = 38_000.0 + self.figures.cpu * 30_000.0;
        format!(
            "/sys/class/hwmon/hwmon0/name:coretemp\n/sys/class/hwmon/hwmon0/temp1_label:Package id 0\n\
             /sys/class/hwmon/hwmon0/temp1_input:{heat:.0}\n/sys/class/hwmon/hwmon0/temp1_crit:100000\n"
        )
    }
}

fn joined(values: &[f64]) -> String {
    values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}
