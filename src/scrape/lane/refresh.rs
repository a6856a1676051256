//! What it takes to ask anew about all that a collector tells of.
//!
//! Values fall due one by one, so a full refresh is over when each subject was answered once since the last one was. The
//! time in which nothing of it waits does not count.

use std::time::Duration;

use tokio::time::Instant;

/// A full refresh that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Refresh {
    /// While anything of it waited for its turn or its answer.
    pub(in super::super) duration: Duration,
    /// API calls.
    pub(in super::super) calls: u64,
}

/// The full refreshes of one collector.
#[derive(Debug, Default)]
pub(super) struct Refreshes {
    last: Option<Refresh>,
    /// How many are over; subjects that were answered in the one under way are marked with one more.
    over: u32,
    pending: usize,
    /// Since when anything is pending.
    busy_since: Option<Instant>,
    busy: Duration,
    calls: u64,
}

impl Refreshes {
    /// The last one that is over.
    pub(super) fn last(&self) -> Option<Refresh> {
        self.last
    }

    /// The mark of what is answered now; never 0.
    pub(super) fn mark(&self) -> u32 {
        self.over.wrapping_add(1).max(1)
    }

    /// So many subjects are to be asked about.
    pub(super) fn queued(&mut self, subjects: usize, now: Instant) {
        self.pending += subjects;
        if self.pending > 0 {
            self.busy_since.get_or_insert(now);
        }
    }

    /// Something was asked, answered or not.
    pub(super) fn called(&mut self, calls: u64) {
        self.calls = self.calls.saturating_add(calls);
    }

    /// So many subjects wait no longer; whether nothing does.
    pub(super) fn ended(&mut self, subjects: usize, now: Instant) -> bool {
        self.pending = self.pending.saturating_sub(subjects);
        let is_idle = self.pending == 0;
        if let Some(since) = self.busy_since.take_if(|_| is_idle) {
            self.busy += now.saturating_duration_since(since);
        }
        is_idle
    }

    /// Each subject was answered once.
    pub(super) fn complete(&mut self) {
        let (duration, calls) = (std::mem::take(&mut self.busy), std::mem::take(&mut self.calls));
        self.last = Some(Refresh { duration, calls });
        self.over = self.mark();
    }
}
