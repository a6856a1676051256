//! `bonding`: links bundled into one. Try: `grep . /sys/class/net/*/bonding/slaves /sys/class/net/*/bonding_slave/mii_status`

use super::lines::Probe;
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Labels};

static SLAVES: Desc = gauge("node_bonding_slaves", "Devices in a bond.");
static ACTIVE: Desc = gauge("node_bonding_active", "Devices in a bond whose link is up.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    for device in probe.things("/sys/class/net/") {
        let Some(slaves) = device.get("bonding/slaves") else { continue };
        let status = |slave: &&str| probe.value(&format!("/sys/class/net/{slave}/bonding_slave/mii_status"));
        let (count, active) = slaves.split_whitespace().fold((0_u32, 0_u32), |(count, active), slave| {
            (count + 1, active + u32::from(status(&slave) == Some("up")))
        });
        let labels = Labels::new(&[("master", device.name)]);
        sink.put(&SLAVES, &labels, f64::from(count));
        sink.put(&ACTIVE, &labels, f64::from(active));
    }
}
