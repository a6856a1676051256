//! `pve-sentinel check`

use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, complain, load, say};

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(options: &Options) -> ExitCode {
    let loaded = match load(&options.file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    for warning in &loaded.warnings {
        complain(&format!("warning: {warning}"));
    }
    say(&format!("{} is valid: {}", options.file.config_file.display(), loaded.config.summary()));
    ExitCode::SUCCESS
}
