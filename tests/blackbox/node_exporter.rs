//! Side by side with Debian's node_exporter on this machine: the same series, and the same figures.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pve_sentinel::hosts::{self, Frame, Options};
use pve_sentinel::metrics::{Format, Labels, Page as Writer, Part};

use crate::sshd::Sshd;
use crate::support::{Cluster, Exporter, Page, Series, get, probe};

/// What begins so is theirs alone, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("go_", "of their own process"),
    ("process_", "of their own process"),
    ("promhttp_", "of their own process"),
    ("node_exporter_build_info", "of their own process"),
    ("node_scrape_collector_duration_seconds", "all of ours is one answer"),
    ("node_scrape_collector_success", "compared apart: nothing there is a failure to them"),
    ("node_textfile_scrape_error", "other programs' text files are not read"),
    ("node_selinux_", "not met on Proxmox VE"),
    ("node_udp_queues", "costs a line for each socket"),
    ("node_cpu_core_throttles_total", "costs four files for each CPU"),
    ("node_cpu_package_throttles_total", "costs four files for each CPU"),
    ("node_bcache_", "rare"),
    ("node_btrfs_", "needs more than reading files"),
    ("node_fibrechannel_", "rare"),
    ("node_infiniband_", "rare"),
    ("node_ipvs_", "rare"),
    ("node_nfs_", "rare"),
    ("node_nfsd_", "rare"),
    ("node_power_supply_", "no host for guests runs on a battery for long"),
    ("node_systemd_", "needs a bus, not a file"),
    ("node_tape_", "rare"),
    ("node_xfs_", "rare"),
];

/// What begins so is ours alone, and why.
const OURS: &[(&str, &str)] = &[
    ("pve_", "not theirs to tell"),
    ("node_scrape_collector_success", "compared apart"),
    ("node_cpu_scaling_governor", "since 1.6"),
    ("node_netstat_TcpExt_TCPOFOQueue", "since 1.7"),
    ("node_netstat_TcpExt_TCPRcvQDrop", "since 1.7"),
];

/// What the asking itself changes while it lasts, and by how much at most, beside one in a hundred.
const CHANGED_BY_ASKING: &[(&str, f64)] =
    &[("node_filefd_allocated", 64.0), ("node_memory_", 16.0 * 1024.0 * 1024.0), ("node_procs_running", 4.0)];

/// And what sshd changes: it speaks to the probe through sockets.
const CHANGED_BY_SSHD: (&str, f64) = ("node_sockstat_sockets_used", 32.0);

/// Rounds that a figure has to stand between two of theirs: what moves by itself needs luck.
const ROUNDS: usize = 60;

struct NodeExporter {
    child: Child,
    address: SocketAddr,
}

impl NodeExporter {
    /// With our filters, and without the option that is their default out of habit only.
    #[expect(clippy::disallowed_methods, reason = "the tests start other people's programs")]
    fn start() -> Self {
        let options = Options::default();
        let expression = |filter: &hosts::Filter| filter.exclude.as_ref().expect("a default").as_str().to_owned();
        // It cannot choose a port itself: the listener holds one until just before the start.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus-node-exporter")
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--collector.diskstats.device-exclude={}", expression(&options.disks)))
            .arg(format!("--collector.netdev.device-exclude={}", expression(&options.network_devices)))
            .arg(format!("--collector.netclass.ignored-devices={}", expression(&options.network_devices)))
            .arg(format!("--collector.filesystem.mount-points-exclude={}", expression(&options.mount_points)))
            .arg(format!(
                // And what the probe never asks.
                "--collector.filesystem.fs-types-exclude={}|^(nfs4?|cifs|ceph|9p|virtiofs|efivarfs|fuse.*)$",
                expression(&options.file_system_types)
            ))
            .arg("--collector.netclass.ignore-invalid-speed")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("prometheus-node-exporter cannot be started ({error}): tests/run installs it")
            });
        let mut exporter = Self { child, address };
        let started = std::time::Instant::now();
        while TcpStream::connect(exporter.address).is_err() {
            assert!(exporter.child.try_wait().unwrap().is_none(), "node_exporter ended");
            assert!(started.elapsed().as_secs() < 60, "node_exporter does not listen");
            std::thread::yield_now();
        }
        exporter
    }

    fn page(&self) -> Page {
        // Summaries, which we have none of, are of their own process.
        let parts = ["_sum", "_count"];
        let plain = |line: &&str| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            line.starts_with('#') || !parts.iter().any(|part| name.ends_with(part))
        };
        let text = get(self.address, "/metrics").text();
        Page::parse(&text.lines().filter(plain).map(|line| format!("{line}\n")).collect::<String>())
    }
}

impl Drop for NodeExporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours() -> Page {
    let frame = Frame::read(&probe(&["sh"], "probe")).expect("a frame");
    let told = hosts::probe(&frame, None, &Options::default()).expect("an answer");
    assert_eq!(told.troubles, []);
    let part = Arc::new(Part { labels: Labels::new(&[]), families: told.families });
    let chunks: Vec<_> = Writer::new(vec![part], None).chunks(Format::Text004).collect();
    Page::parse(&String::from_utf8(chunks.concat()).unwrap())
}

fn listed(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(prefix, _)| name.starts_with(prefix))
}

/// Every series of a page but those of a list.
fn series<'a>(page: &'a Page, but: &[(&str, &str)]) -> BTreeMap<(&'a str, &'a Series), f64> {
    let families = page.samples.iter().filter(|(name, _)| !listed(but, name));
    families.flat_map(|(name, all)| all.iter().map(move |(series, value)| ((name.as_str(), series), *value))).collect()
}

/// What is wrong with our page, between two of theirs: series and reason.
fn differences(before: &Page, ours: &Page, after: &Page) -> BTreeMap<String, String> {
    let mut wrong = BTreeMap::new();
    let (first, second, told) = (series(before, LEFT_OUT), series(after, LEFT_OUT), series(ours, OURS));
    for (id, a) in &first {
        let why = match (told.get(id), second.get(id)) {
            (None, Some(_)) => "only node_exporter has it".to_owned(),
            (Some(value), Some(b)) => {
                // Their sums of floats end in other digits than our quotients.
                let most = a.abs().max(b.abs());
                let mut changes = CHANGED_BY_ASKING.iter().chain([&CHANGED_BY_SSHD]);
                let changed = changes.find(|(prefix, _)| id.0.starts_with(prefix));
                let slack = changed.map_or(most * 1e-9, |(_, slack)| slack.max(most / 100.0));
                if (a.min(*b) - slack..=a.max(*b) + slack).contains(value) {
                    continue;
                }
                format!("{value} is not between {a} and {b}")
            }
            _ => continue,
        };
        wrong.insert(format!("{id:?}"), why);
    }
    for id in told.keys().filter(|id| !first.contains_key(*id) && !second.contains_key(*id)) {
        wrong.insert(format!("{id:?}"), "only we have it".to_owned());
    }
    wrong
}

#[test]
fn the_same_machine_tells_both_the_same() {
    let exporter = NodeExporter::start();
    compare(&exporter, || {
        // They count the connection that asks them: there is one for us too.
        let _connection = TcpStream::connect(exporter.address).unwrap();
        ours()
    });
}

#[test]
fn a_host_s_own_page_tells_the_same_through_sshd() {
    let (exporter, cluster, sshd) = (NodeExporter::start(), Cluster::recorded(), Sshd::start("ed25519", "256"));
    let sentinel = Exporter::serve(&format!("{}{}", cluster.config("home"), sshd.host(&sshd.line())));
    // The connections of both are there from now on.
    sentinel.page("/host?target=nas");
    compare(&exporter, || Page::parse(&sentinel.page("/host?target=nas")));
}

/// Our page against theirs before and after it.
fn compare(exporter: &NodeExporter, ours: impl Fn() -> Page) {
    let mut wrong: Option<BTreeMap<String, String>> = None;
    for _ in 0..ROUNDS {
        let before = exporter.page();
        let ours = ours();
        let after = exporter.page();
        for (name, kind) in ours.types.iter().filter(|(name, _)| !listed(OURS, name)) {
            assert_eq!(Some(kind), before.types.get(name), "the type of {name}");
        }
        let now = differences(&before, &ours, &after);
        // What was right once is right: everything has to be, once.
        let still = match wrong.take() {
            None => now,
            Some(before) => before.into_keys().filter_map(|id| now.get(&id).map(|why| (id, why.clone()))).collect(),
        };
        if still.is_empty() {
            return;
        }
        wrong = Some(still);
    }
    panic!("{wrong:#?}");
}

#[test]
fn collectors_succeed_where_theirs_do() {
    let exporter = NodeExporter::start();
    let (theirs, ours) = (exporter.page(), ours());
    let by_name = |page: &Page| -> BTreeMap<String, f64> {
        let all = &page.samples["node_scrape_collector_success"];
        all.iter().map(|(labels, success)| (labels["collector"].clone(), *success)).collect()
    };
    let (theirs, ours) = (by_name(&theirs), by_name(&ours));
    let shared: Vec<&String> = ours.keys().filter(|name| theirs.contains_key(*name)).collect();
    assert!(shared.len() >= 30, "{shared:?}");
    assert!(ours.values().all(|success| *success == 1.0), "{ours:?}");
    let alone: Vec<&String> = ours.keys().filter(|name| !theirs.contains_key(*name)).collect();
    // Theirs are off until asked for, or there is no such thing.
    assert_eq!(alone, ["reboot"]);
}
