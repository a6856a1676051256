//! `pve-sentinel ssh-mint`

use std::process::ExitCode;

use super::print;
use crate::setup::mint::PROGRAM;

pub(super) fn run() -> ExitCode {
    print(PROGRAM);
    ExitCode::SUCCESS
}
