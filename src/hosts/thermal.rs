//! `thermal_zone`: zones and what cools them. Try: `grep -s . /sys/class/thermal/*/{type,temp,cur_state,max_state}`

use super::lines::{Probe, integer};
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

static TEMPERATURE: Desc = gauge("node_thermal_zone_temp", "Temperature of a zone in degrees Celsius.");
static CURRENT: Desc = gauge("node_cooling_device_cur_state", "How hard a device cools.");
static MOST: Desc = gauge("node_cooling_device_max_state", "How hard a device can cool.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    for thing in probe.things("/sys/class/thermal/") {
        let kind = thing.get("type").unwrap_or_default();
        let number = |file: &str| thing.get(file).and_then(integer);
        if let Some(zone) = thing.name.strip_prefix("thermal_zone") {
            // Millidegrees; a zone whose sensor is off has none.
            sink.put(&TEMPERATURE, &Labels::new(&[("zone", zone), ("type", kind)]), number("temp").map(|t| t / 1000.0));
        } else if let Some(device) = thing.name.strip_prefix("cooling_device") {
            let labels = Labels::new(&[("name", device), ("type", kind)]);
            sink.put(&CURRENT, &labels, number("cur_state"));
            sink.put(&MOST, &labels, number("max_state"));
        }
    }
}
