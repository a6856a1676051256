//! `pve-sentinel ssh-probe`

use std::process::ExitCode;

use super::deliver;
use crate::ssh::PROBE;

pub(super) fn run() -> ExitCode {
    deliver(PROBE)
}
