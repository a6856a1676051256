//! `rapl`: energy that processors used. Try: `sudo grep -s . /sys/class/powercap/*/{name,energy_uj}`
//!
//! Since Linux 5.10 only root may read it: without that there is nothing.

use std::collections::HashMap;

use super::lines::{Probe, whole};
use super::sink::Sink;
use crate::metrics::{Desc, Kind, Labels};

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    for zone in probe.things("/sys/class/powercap/") {
        let Some(name) = zone.get("name") else { continue };
        // `package-0` bears its number; of `dram`, each package has one.
        let numbered = name.split_once('-').filter(|(_, number)| number.parse::<u32>().is_ok());
        let (name, index) = match numbered {
            Some((name, number)) => (name, number.to_owned()),
            None => {
                let next = seen.entry(name).or_default();
                *next += 1;
                (name, (*next - 1).to_string())
            }
        };
        let path = format!("/sys/class/powercap/{}", zone.name);
        let labels = Labels::new(&[("index", &index), ("path", &path)]);
        let joules = zone.get("energy_uj").and_then(whole).map(|microjoules| microjoules / 1e6);
        let help = format!("Energy used by {name}; starts anew when its counter is full.");
        sink.put_made(
            Desc { name: &format!("node_rapl_{name}_joules_total"), help: &help, kind: Kind::Counter },
            &labels,
            joules,
        );
    }
}
