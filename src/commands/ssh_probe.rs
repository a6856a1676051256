//! `pve-sentinel ssh-probe`

use std::process::ExitCode;

use super::print;
use crate::ssh::PROBE;

pub(super) fn run() -> ExitCode {
    print(PROBE);
    ExitCode::SUCCESS
}
