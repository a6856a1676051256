//! Where log lines go and how they look.

use std::io;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Log, LogFormat, LogLevel};

/// Sends the log to stderr from now on. Libraries are heard from `warn` on only.
pub(super) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let filter = Targets::new().with_target("pve_sentinel", level).with_default(level.min(LevelFilter::WARN));
    let registry = tracing_subscriber::registry();
    let started = match log.format {
        LogFormat::Logfmt => {
            let lines = tracing_logfmt::builder().with_target(false).layer().with_writer(io::stderr);
            registry.with(lines.with_filter(filter)).try_init()
        }
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
            registry.with(lines.with_writer(io::stderr).with_filter(filter)).try_init()
        }
    };
    // A process starts one log; a second one would mean a test that starts two commands, which may share the first.
    drop(started);
}
