//! `mdadm`: software RAID. Try: `cat /proc/mdstat`

use super::lines::Probe;
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

const PATH: &str = "/proc/mdstat";

static DISKS: Desc = gauge("node_md_disks", "Disks of an array by state.");
static REQUIRED: Desc = gauge("node_md_disks_required", "Disks that an array needs to be whole.");
static STATE: Desc = gauge("node_md_state", "Whether an array is in that state.");
static BLOCKS: Desc = gauge("node_md_blocks", "Blocks of an array.");
static SYNCED: Desc = gauge("node_md_blocks_synced", "Blocks that are in sync.");

const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

/// An array; its lines follow one another, blank lines having been left out by the probe.
#[derive(Debug, Default)]
struct Array<'a> {
    name: &'a str,
    state: &'a str,
    failed: usize,
    spare: usize,
    members: usize,
    /// All disks count as one: it is whole or not there.
    without_redundancy: bool,
    blocks: Option<u64>,
    /// Needed and active.
    disks: Option<(u64, u64)>,
    synced: Option<u64>,
}

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let mut array: Option<Array> = None;
    for line in probe.file(PATH) {
        if line.starts_with([' ', '\t']) {
            if let Some(array) = &mut array {
                detail(array, line);
            }
            continue;
        }
        tell(array.take(), sink);
        let mut words = line.split_whitespace();
        let (Some(name), Some(":"), Some(state)) = (words.next(), words.next(), words.next()) else { continue };
        if name == "Personalities" || name == "unused" {
            continue;
        }
        array = Some(Array {
            name,
            state,
            failed: line.matches("(F)").count(),
            spare: line.matches("(S)").count(),
            members: words.clone().filter(|word| word.contains('[')).count(),
            without_redundancy: words.any(|word| word == "raid0" || word == "linear"),
            ..Array::default()
        });
    }
    tell(array, sink);
}

/// `1953382464 blocks super 1.2 [2/1] [U_]`, or `[=>...]  recovery =  8.5% (16775552/195310144) finish=17.0min …`
fn detail<'a>(array: &mut Array<'a>, line: &'a str) {
    if let Some((number, rest)) = line.split_once(" blocks") {
        array.blocks = number.trim().parse().ok();
        array.disks = rest.split_whitespace().find_map(|word| {
            let (needed, active) = word.strip_prefix('[')?.strip_suffix(']')?.split_once('/')?;
            Some((needed.parse().ok()?, active.parse().ok()?))
        });
        return;
    }
    // A reshape is told as a resync: node_exporter has no word for it either.
    for (word, state) in [("recovery", "recovering"), ("resync", "resync"), ("check", "check"), ("reshape", "resync")] {
        if line.split_whitespace().any(|found| found == word || found.split('=').next() == Some(word)) {
            array.state = state;
            let progress = line.split_once('(').and_then(|(_, rest)| rest.split_once('/'));
            // Waiting for its turn, or for the array to be written to: nothing is in sync yet.
            array.synced = Some(progress.and_then(|(done, _)| done.parse().ok()).unwrap_or_default());
        }
    }
}

fn tell(array: Option<Array>, sink: &mut Sink) {
    let Some(array) = array else { return };
    let labels = Labels::new(&[("device", array.name)]);
    for state in STATES {
        let value = f64::from(u8::from(state == array.state));
        sink.put(&STATE, &Labels::new(&[("device", array.name), ("state", state)]), value);
    }
    let members = array.members as u64;
    let (required, active) = match array.disks {
        Some(disks) => disks,
        None if array.without_redundancy => (members, members),
        None if array.state == "inactive" => (members, 0),
        None => return sink.malformed(PATH, array.name),
    };
    for (state, count) in [("active", active), ("failed", array.failed as u64), ("spare", array.spare as u64)] {
        sink.put(&DISKS, &Labels::new(&[("device", array.name), ("state", state)]), count as f64);
    }
    sink.put(&REQUIRED, &labels, required as f64);
    sink.put(&BLOCKS, &labels, array.blocks.map(|blocks| blocks as f64));
    sink.put(&SYNCED, &labels, array.synced.or(array.blocks).map(|blocks| blocks as f64));
}
