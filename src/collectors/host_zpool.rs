//! Errors and scrubs of ZFS pools. Try: `pve-sentinel ssh-probe | ssh sentinel@HOST sh -s -- zpool`

use std::time::Duration;

use super::{Collector, Lane, OverSsh};
use crate::hosts;
use crate::ssh::Mode;

pub(super) static COLLECTOR: Collector = Collector {
    name: "host_zpool",
    about: "errors and scrubs of every host's ZFS pools, over SSH by zpool, perhaps with [sudo](#what-needs-a-privilege)",
    needs: &[],
    calls: &["/cluster/status"],
    families: hosts::ZPOOL,
    preset: None,
    options: &[],
    lane: Lane::Host(OverSsh {
        mode: Mode::Zpool,
        ttl: Some(Duration::from_mins(5)),
        sudo: "/usr/sbin/zpool status -p",
        read: |frame, _, _| hosts::zpool(frame),
    }),
};
