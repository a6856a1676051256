//! `loadavg`. Try: `cat /proc/loadavg`

use super::lines::{Probe, float};
use super::sink::{Sink, gauge, plain};
use crate::metrics::Desc;

const PATH: &str = "/proc/loadavg";

static LOADS: [Desc; 3] = [
    gauge("node_load1", "Load average over 1 minute."),
    gauge("node_load5", "Load average over 5 minutes."),
    gauge("node_load15", "Load average over 15 minutes."),
];

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let Some(line) = probe.value(PATH) else { return sink.missing(PATH) };
    let mut words = line.split_whitespace();
    for desc in &LOADS {
        match words.next().and_then(float) {
            Some(load) => sink.put(desc, &plain(), load),
            None => sink.malformed(PATH, line),
        }
    }
}
