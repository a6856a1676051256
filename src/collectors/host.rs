//! CPUs, memory, disks, network, sensors and kernel of a host, in node_exporter's words.
//! Try: `pve-sentinel ssh-probe | ssh sentinel@HOST sh -s -- probe`

use std::time::Duration;

use super::{Collector, Lane, OverSsh};
use crate::config::Preset;
use crate::hosts;
use crate::metrics::{Desc, Family, Kind, Labels, Sample};
use crate::ssh::Mode;

/// The collector; the families of node_exporter come besides.
pub static COLLECTOR: Collector = Collector {
    name: "host",
    about: "node_exporter's metrics of every node and every other machine, over SSH, where [it is set up](#hosts-over-ssh)",
    needs: &[],
    calls: &["/cluster/status"],
    families: &[&UP, &DURATION, &INFO],
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Host(OverSsh {
        mode: Mode::Probe,
        ttl: None,
        sudo: "",
        read: |frame, clock, options| hosts::probe(frame, Some(clock), options),
    }),
};

static UP: Desc =
    Desc { name: "pve_host_ssh_up", help: "Whether the host answered over SSH at this scrape.", kind: Kind::Gauge };
static DURATION: Desc = Desc {
    name: "pve_host_ssh_duration_seconds",
    help: "How long the host took to answer over SSH, without connecting.",
    kind: Kind::Gauge,
};
static INFO: Desc =
    Desc { name: "pve_host_info", help: "What a host is called and where it is asked, always 1.", kind: Kind::Gauge };

/// What is said of the connection itself; `took` only where the host answered.
pub fn reached(took: Option<Duration>) -> Vec<Family> {
    let mut families = vec![family(&UP, &[], f64::from(u8::from(took.is_some())))];
    families.extend(took.map(|took| family(&DURATION, &[], took.as_secs_f64())));
    families
}

/// Who the host is, for people.
pub fn info(name: &str, address: &str) -> Family {
    family(&INFO, &[("name", name), ("address", address)], 1.0)
}

fn family(desc: &'static Desc, labels: &[(&str, &str)], value: f64) -> Family {
    Family { desc: desc.into(), samples: vec![Sample { labels: Labels::new(labels), value }].into() }
}
