//! Packages that apt would upgrade. Try: `pve-sentinel ssh-probe | ssh sentinel@HOST sh -s -- updates`

use std::time::Duration;

use super::{Collector, Lane, OverSsh};
use crate::config::Preset;
use crate::hosts;
use crate::ssh::Mode;

pub(super) static COLLECTOR: Collector = Collector {
    name: "host_updates",
    about: "packages of every host that apt would upgrade, over SSH",
    needs: &[],
    calls: &["/cluster/status"],
    families: hosts::UPDATES,
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Host(OverSsh {
        mode: Mode::Updates,
        ttl: Some(Duration::from_mins(60)),
        sudo: "",
        read: |frame, _, _| hosts::updates(frame),
    }),
};
