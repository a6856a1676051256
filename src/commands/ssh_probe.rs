//! `pve-sentinel ssh-probe`

use std::process::ExitCode;

use super::{deliver, end};
use crate::ssh::PROBE;

pub(super) fn run() -> ExitCode {
    end(deliver(PROBE))
}
