//! `pve-sentinel check`

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{ConfigFile, USAGE, complain, deliver, load, print, run as run_async, say};
use crate::app;
use crate::config::Loaded;
use crate::setup::live::{Line, Verdict};

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Also try each endpoint and host, and say which rights are missing. Changes nothing there.
    #[arg(long)]
    live: bool,
    /// Print what --live finds as JSON.
    #[arg(long, requires = "live")]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    /// Whether all that is enabled works.
    ok: bool,
    checks: &'a [Line],
}

pub(super) fn run(options: &Options) -> ExitCode {
    let loaded = match load(&options.file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    for warning in &loaded.warnings {
        complain(&format!("warning: {warning}"));
    }
    let hindrances = app::hindrances(&loaded.config);
    if !hindrances.is_empty() {
        complain(&hindrances.join("\n"));
        return ExitCode::from(USAGE);
    }
    let summary = format!("{} is valid: {}", options.file.config_file.display(), loaded.config.summary());
    if !options.live {
        say(&summary);
        return ExitCode::SUCCESS;
    }
    complain(&summary);
    run_async(try_all(&loaded, options.json))
}

/// A failed check is the command's failure.
async fn try_all(loaded: &Loaded, json: bool) -> Result<(), String> {
    let mut lines: Vec<Line> = Vec::new();
    app::check_live(&loaded.config, |line| {
        if !json {
            print(&line.text(lines.last()));
        }
        lines.push(line);
    })
    .await?;
    let count = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    let (failures, warnings) = (count(Verdict::Fail), count(Verdict::Warn));
    if json {
        let document = Document { ok: failures == 0, checks: &lines };
        let text = serde_json::to_string_pretty(&document).map_err(|error| format!("cannot be written: {error}"))?;
        deliver(&format!("{text}\n"))?;
    } else {
        say(&format!("\n{} checks, {failures} failed, {warnings} warnings", lines.len()));
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} of {} checks failed", lines.len())) }
}
