//! Where log lines go and how they look.

use std::io;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Log, LogFormat, LogLevel};

/// Sends the log to stderr from now on.
pub(super) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let filter = filter(level);
    let registry = tracing_subscriber::registry();
    let started = match log.format {
        LogFormat::Logfmt => {
            let lines = tracing_logfmt::builder().with_target(false).layer().with_writer(|| Plain(io::stderr()));
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

/// Libraries are heard from `warn` on only. The one that looks names up warns of the same line of resolv.conf at each lookup;
/// what comes of a lookup that fails is ours to tell.
fn filter(level: LevelFilter) -> Targets {
    let others = level.min(LevelFilter::WARN);
    Targets::new()
        .with_target("pve_sentinel", level)
        .with_target("hickory", others.min(LevelFilter::ERROR))
        .with_default(others)
}

/// Writes lines in which apostrophes need no backslash, so that commands in them can be copied.
struct Plain<W>(W);

impl<W: io::Write> io::Write for Plain<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&plain(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `\'` → `'`, unless the backslash is itself the second of a pair.
fn plain(line: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(line.len());
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, (byte == b'\\').then(|| bytes.next()).flatten()) {
            (b'\\', Some(b'\'')) => plain.push(b'\''),
            (byte, escaped) => plain.extend([Some(byte), escaped].into_iter().flatten()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_heard_from_warn_on_and_the_resolver_from_error_on() {
        use tracing::Level;
        for (level, target, least) in [
            (LevelFilter::DEBUG, "pve_sentinel::ssh", Level::DEBUG),
            (LevelFilter::DEBUG, "rustls::conn", Level::WARN),
            (LevelFilter::DEBUG, "hickory_resolver::system_conf::unix", Level::ERROR),
            (LevelFilter::ERROR, "rustls::conn", Level::ERROR),
        ] {
            let heard = |one: &Level| filter(level).would_enable(target, one);
            for one in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                assert_eq!(heard(&one), one <= least, "{target} {one} at {level}");
            }
        }
    }

    #[test]
    fn only_apostrophes_lose_their_backslash() {
        for (line, expected) in [
            (r"run=\'a\'", "run='a'"),
            (r"path=\\'a\\'", r"path=\\'a\\'"),
            (r#"x="\\\'\n\"""#, r#"x="\\'\n\"""#),
            (r"end\", r"end\"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&plain(line.as_bytes())), expected, "{line}");
        }
    }
}
