//! Signals that ask a command to stop, for one that must not be cut off in the middle.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, SIGTERM and the end of the terminal; from here on they end nothing by themselves.
pub struct Interrupts([Signal; 3]);

impl Interrupts {
    /// Fails with a sentence for the administrator where signals cannot be received. Must run on the runtime.
    pub fn new() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(super::no_signals);
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?]))
    }

    /// Ends with the next one, which may have come since the last.
    pub async fn next(&mut self) {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
