//! What a host said over SSH, as families: bytes in, node_exporter's names out, and nothing else happens here.
//!
//! ```text
//! frame     the markers around an answer: whole, cut off, or no answer at all
//! lines     the lines of an answer by the file that they stand in
//! sink      where the subjects put their samples
//! options   what is left out
//! …         one file per subject
//! ```
//!
//! # What is told
//!
//! Names, labels and types are those of node_exporter 1.5 with its default collectors, so that dashboards and rules made
//! for it work; `tests/blackbox/node_exporter.rs` compares the two on one machine, family by family. Not told are:
//!
//! * what needs more than reading a file: systemd units, NTP peers, `ethtool`, and where the host has no perl, `node_timex_*`;
//! * subjects rarely met on a hypervisor or NAS: bcache, Btrfs, XFS, Fibre Channel, InfiniBand, IPVS, NFS, tapes, power
//!   supplies, SELinux, UDP queues, CPU throttling; and text files of other programs' metrics;
//! * network, cluster and FUSE file systems, which may never answer;
//! * a link speed of -1, which means that it is not known;
//! * of guests' network devices (`tap100i0` …) what they are; what they moved is told if `network_devices` keeps them;
//! * `node_scrape_collector_duration_seconds`: all of it is one answer; and `node_exporter_build_info`.
//!
//! A collector of which a host has nothing (no RAID, no sensors) is a success here, where node_exporter says 0.
//! Beyond node_exporter there are `pve_host_*`: the clock's offset from ours, a pending reboot, pending updates, and with a
//! privilege the health of disks and pools.
//!
//! Counters are read as whole numbers of 64 bits and become floats last: up to 2^53 they are exact, as in Prometheus itself.

mod bonding;
mod cpufreq;
mod diskstats;
mod dmi;
mod edac;
mod filesystem;
mod frame;
mod hwmon;
mod kernel;
mod lines;
mod loadavg;
mod mdadm;
mod meminfo;
mod netclass;
mod netdev;
mod netstat;
mod nvme;
mod options;
mod os;
mod pressure;
mod rapl;
mod reboot;
mod sink;
mod smart;
mod sockets;
mod stat;
mod thermal;
mod time;
mod uname;
mod updates;
mod vmstat;
mod zfs;
mod zpool;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::metrics::{Desc, Family, Labels};

pub use frame::{Fault, Frame, Intake, MOST_BYTES};
pub use options::{Filter, Options};
pub use smart::FAMILIES as SMART;
pub use updates::FAMILIES as UPDATES;
pub use zpool::FAMILIES as ZPOOL;

use lines::Probe;
use sink::{Sink, gauge};

/// When we asked, by our own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Since the Unix epoch, when the question was sent.
    pub asked: Duration,
    /// From then until the first piece of the answer came.
    pub round_trip: Duration,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Each once; what the host does not have is not there.
    pub families: Vec<Family>,
    /// What could not be told, and why: a collector's name, or that of a section, and a text for the log.
    pub troubles: Vec<(String, String)>,
}

/// A part of the probe's answer, named as node_exporter's collector is.
struct Subject {
    name: &'static str,
    /// The section that its files stand in.
    section: &'static str,
    read: fn(&Probe, &mut Sink),
}

const fn subject(name: &'static str, section: &'static str, read: fn(&Probe, &mut Sink)) -> Subject {
    Subject { name, section, read }
}

const SUBJECTS: &[Subject] = &[
    subject("arp", "proc", sockets::arp),
    subject("bonding", "sys", bonding::read),
    subject("conntrack", "proc", sockets::conntrack),
    subject("cpu", "proc", stat::cpu),
    subject("cpufreq", "sys", cpufreq::read),
    subject("diskstats", "proc", diskstats::read),
    subject("dmi", "sys", dmi::read),
    subject("edac", "sys", edac::read),
    subject("entropy", "proc", kernel::entropy),
    subject("filefd", "proc", kernel::filefd),
    subject("filesystem", "mounts", filesystem::read),
    subject("hwmon", "sensors", hwmon::read),
    subject("loadavg", "proc", loadavg::read),
    subject("mdadm", "proc", mdadm::read),
    subject("meminfo", "proc", meminfo::read),
    subject("netclass", "sys", netclass::read),
    subject("netdev", "proc", netdev::read),
    subject("netstat", "proc", netstat::read),
    subject("nvme", "sys", nvme::read),
    subject("os", "proc", os::read),
    subject("pressure", "proc", pressure::read),
    subject("rapl", "sys", rapl::read),
    subject("reboot", "facts", reboot::read),
    subject("schedstat", "proc", kernel::schedstat),
    subject("sockstat", "proc", sockets::sockstat),
    subject("softnet", "proc", sockets::softnet),
    subject("stat", "proc", stat::stat),
    subject("thermal_zone", "sensors", thermal::read),
    subject("time", "clock", time::time),
    subject("timex", "timex", time::timex),
    subject("uname", "proc", uname::read),
    subject("vmstat", "proc", vmstat::read),
    subject("zfs", "zfs", zfs::read),
];

static SUCCESS: Desc = gauge("node_scrape_collector_success", "Whether a collector read what the host told of it.");

/// The families of the answer to `probe`. `clock` gives the offset of the host's clock; without it there is none.
///
/// # Errors
///
/// [`Fault::Mode`] where the host answered another question. A cut-off answer is none: what came whole is told, and
/// the collectors of the rest have no success.
pub fn probe(frame: &Frame, clock: Option<Clock>, options: &Options) -> Result<Told, Fault> {
    frame.answers("probe")?;
    let probe = Probe::new(frame, clock, options);
    let mut sink = Sink::default();
    let mut troubles = Vec::new();
    for subject in SUBJECTS {
        match frame.get(subject.section) {
            Err(frame::Gap::Cut) => sink.trouble(frame::Gap::Cut.to_string()),
            _ => (subject.read)(&probe, &mut sink),
        }
        let trouble = sink.take_trouble();
        let labels = Labels::new(&[("collector", subject.name)]);
        sink.put(&SUCCESS, &labels, f64::from(u8::from(trouble.is_none())));
        troubles.extend(trouble.map(|why| (subject.name.to_owned(), why)));
    }
    Ok(Told { families: sink.into_families(), troubles })
}

/// The families of the answer to `smart`.
///
/// # Errors
///
/// As [`probe`]. A refused sudo is a trouble and no error.
pub fn smart(frame: &Frame) -> Result<Told, Fault> {
    extra(frame, "smart", smart::read)
}

/// The families of the answer to `zpool`.
///
/// # Errors
///
/// As [`smart`].
pub fn zpool(frame: &Frame) -> Result<Told, Fault> {
    extra(frame, "zpool", zpool::read)
}

/// The families of the answer to `updates`.
///
/// # Errors
///
/// As [`smart`].
pub fn updates(frame: &Frame) -> Result<Told, Fault> {
    extra(frame, "updates", updates::read)
}

fn extra(frame: &Frame, mode: &'static str, read: fn(&Frame, &mut Sink)) -> Result<Told, Fault> {
    frame.answers(mode)?;
    let mut sink = Sink::default();
    read(frame, &mut sink);
    let trouble = sink.take_trouble();
    sink.put(&SUCCESS, &Labels::new(&[("collector", mode)]), f64::from(u8::from(trouble.is_none())));
    Ok(Told {
        families: sink.into_families(),
        troubles: trouble.map(|why| (mode.to_owned(), why)).into_iter().collect(),
    })
}
