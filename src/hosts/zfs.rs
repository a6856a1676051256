//! `zfs`: what OpenZFS counts. Try: `cat /proc/spl/kstat/zfs/arcstats; grep . /proc/spl/kstat/zfs/*/state`

use super::lines::{Probe, Thing, integer};
use super::sink::{Sink, gauge, plain};
use crate::metrics::{Desc, Kind, Labels};

const FOLDER: &str = "/proc/spl/kstat/zfs/";

/// File and what its figures' names begin with.
const TABLES: [(&str, &str); 11] = [
    ("abdstats", "node_zfs_abd_"),
    ("arcstats", "node_zfs_arc_"),
    ("dbufstats", "node_zfs_dbuf_"),
    ("dmu_tx", "node_zfs_dmu_tx_"),
    ("dnodestats", "node_zfs_dnode_"),
    ("fm", "node_zfs_fm_"),
    ("vdev_cache_stats", "node_zfs_vdev_cache_"),
    ("vdev_mirror_stats", "node_zfs_vdev_mirror_"),
    ("xuio_stats", "node_zfs_xuio_"),
    ("zfetchstats", "node_zfs_zfetch_"),
    ("zil", "node_zfs_zil_"),
];

static STATE: Desc = gauge("node_zfs_zpool_state", "Whether a pool is in that state.");

const STATES: [&str; 7] = ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];
/// What a file system or volume counts.
const OF_DATASETS: [&str; 6] = ["reads", "writes", "nread", "nwritten", "nunlinks", "nunlinked"];

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    if let Err(gap) = probe.section("zfs") {
        sink.trouble(format!("zfs: {gap}"));
    }
    for (table, prefix) in TABLES {
        let path = format!("{FOLDER}{table}");
        for (name, value) in probe.file(&path).filter_map(figure) {
            let help = format!("{name} of {path}.");
            sink.put_made(Desc { name: &format!("{prefix}{name}"), help: &help, kind: Kind::Untyped }, &plain(), value);
        }
    }
    for pool in probe.things(FOLDER) {
        state(&pool, sink);
        io(pool, sink);
        datasets(pool, sink);
    }
}

/// `NAME TYPE NUMBER`, where type 3 and 4 are whole numbers of 64 bits.
fn figure(line: &str) -> Option<(&str, f64)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    words.next().filter(|kind| ["3", "4"].contains(kind))?;
    Some((name, integer(words.next()?)?))
}

fn state(pool: &Thing, sink: &mut Sink) {
    let Some(now) = pool.get("state").map(str::to_ascii_lowercase) else { return };
    for state in STATES {
        let labels = Labels::new(&[("zpool", pool.name), ("state", state)]);
        sink.put(&STATE, &labels, f64::from(u8::from(state == now)));
    }
}

/// Pools had a table of their own before OpenZFS 2.0: names in one line, figures in the next.
fn io(pool: Thing, sink: &mut Sink) {
    let mut lines = pool.lines("io").skip_while(|line| !line.starts_with("nread"));
    let (Some(names), Some(figures)) = (lines.next(), lines.next()) else { return };
    let labels = Labels::new(&[("zpool", pool.name)]);
    for (name, figure) in names.split_whitespace().zip(figures.split_whitespace()) {
        let help = format!("{name} of the io table of a pool.");
        sink.put_made(
            Desc { name: &format!("node_zfs_zpool_{name}"), help: &help, kind: Kind::Untyped },
            &labels,
            integer(figure),
        );
    }
}

/// A file `objset-0x36` each; which one it is stands in it.
fn datasets(pool: Thing, sink: &mut Sink) {
    let mut rest = pool.files().peekable();
    while let Some((file, line)) = rest.next() {
        if !file.starts_with("objset-") {
            continue;
        }
        let mut lines = vec![line];
        while let Some((_, line)) = rest.next_if(|(next, _)| *next == file) {
            lines.push(line);
        }
        let named = lines.iter().find_map(|line| line.strip_prefix("dataset_name"));
        // The type, then a name that may hold blanks.
        let Some((_, name)) = named.and_then(|named| named.trim_start().split_once(' ')) else { continue };
        let labels = Labels::new(&[("zpool", pool.name), ("dataset", name.trim())]);
        for (name, value) in lines.iter().filter_map(|line| figure(line)).filter(|(name, _)| OF_DATASETS.contains(name))
        {
            let help = format!("{name} of a ZFS file system or volume.");
            sink.put_made(
                Desc { name: &format!("node_zfs_zpool_dataset_{name}"), help: &help, kind: Kind::Untyped },
                &labels,
                value,
            );
        }
    }
}
