//! What became of each command: counted, and remembered where it should not be asked again at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Error, Reason, Step};
use super::host::Host;
use super::run::Output;

/// A command that was given up sooner says nothing about the host.
const PATIENCE: Duration = Duration::from_secs(1);

/// A command under way; what is dropped before its end was given up by all who waited.
pub(super) struct Counted<'h> {
    host: &'h Arc<Host>,
    line: &'static str,
    started: Instant,
    open: bool,
}

impl<'h> Counted<'h> {
    pub(super) fn new(host: &'h Arc<Host>, line: &'static str) -> Self {
        Self { host, line, started: Instant::now(), open: true }
    }

    /// The command was never asked for.
    pub(super) fn forget(&mut self) {
        self.open = false;
    }

    pub(super) fn done(&mut self, result: &Result<Output, Error>) {
        self.open = false;
        let outcome = match result {
            Ok(output) => {
                self.host.command_worked(self.line);
                if output.failure().is_some() { "exit" } else { "ok" }
            }
            Err(error) => {
                if matches!(error.reason, Reason::TooLarge(_)) {
                    self.host.command_failed(self.line, error.clone());
                }
                error.label()
            }
        };
        self.host.shared.own.ssh_request(&self.host.id, outcome);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let after = self.started.elapsed();
        let hangs = after >= PATIENCE;
        if hangs {
            // Asked at each scrape, a host that hangs would collect what hangs there.
            let reason = Reason::Timeout { step: Step::Command, after };
            self.host.command_failed(self.line, self.host.error(reason));
        }
        self.host.shared.own.ssh_request(&self.host.id, if hangs { "timeout" } else { "cancelled" });
    }
}
