//! Health, wear and temperature of disks. Try: `pve-sentinel ssh-probe | ssh sentinel@HOST sh -s -- smart`

use std::time::Duration;

use super::{Collector, Lane, OverSsh};
use crate::hosts;
use crate::ssh::Mode;

pub(super) static COLLECTOR: Collector = Collector {
    name: "host_smart",
    about: "health, wear and temperature of every host's disks, over SSH by smartctl, with [sudo](#what-needs-a-privilege)",
    needs: &[],
    calls: &["/cluster/status"],
    families: hosts::SMART,
    preset: None,
    options: &[],
    lane: Lane::Host(OverSsh {
        mode: Mode::Smart,
        ttl: Some(Duration::from_mins(30)),
        sudo: "/usr/sbin/smartctl --json=c -n standby -i -H -A /dev/sd[a-z], \
               /usr/sbin/smartctl --json=c -n standby -i -H -A /dev/nvme[0-9]n[0-9]",
        read: |frame, _, _| hosts::smart(frame),
    }),
};
