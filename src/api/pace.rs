//! How fast somebody may go on: so many at once, and one more after each pause.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many orders a token may give at once …
const ORDERS: u32 = 60;

/// … and how long it takes until it may give one more.
const ORDER: Duration = Duration::from_secs(1);

/// So many at once, and one more after each pause.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    /// When nothing of it is used up any more.
    pub(super) whole: Instant,
}

/// What tokens have asked for lately, by their names.
#[derive(Default)]
pub(super) struct Orders(Mutex<HashMap<String, Allowance>>);

impl Allowance {
    /// Nothing is used up.
    pub(super) fn new(now: Instant) -> Self {
        Self { whole: now }
    }

    /// Uses up one; the error is how long to wait for the next.
    pub(super) fn take(&mut self, now: Instant, most: u32, pause: Duration) -> Result<(), Duration> {
        let whole = self.whole.max(now) + pause;
        let over = whole.duration_since(now).saturating_sub(pause * most);
        if over.is_zero() {
            self.whole = whole;
            return Ok(());
        }
        Err(over)
    }
}

impl Orders {
    /// A token gives an order; the error is how long it has to wait.
    pub(super) fn note(&self, token: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have used up nothing are as if they had never been.
        tokens.retain(|name, allowance| name == token || allowance.whole > now);
        tokens.entry(token.to_owned()).or_insert_with(|| Allowance::new(now)).take(now, ORDERS, ORDER)
    }
}

/// Whole seconds for `Retry-After`, at least one.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_token_has_its_own_pace() {
        let orders = Orders::default();
        assert!((0..ORDERS).all(|_| orders.note("ops").is_ok()));
        assert_eq!(orders.note("ops"), Err(ORDER));
        assert_eq!(orders.note("bot"), Ok(()));
        tokio::time::advance(ORDER * 3 / 2).await;
        assert_eq!((orders.note("ops"), orders.note("ops")), (Ok(()), Err(ORDER / 2)));
        tokio::time::advance(ORDER * ORDERS).await;
        assert_eq!(orders.note("bot"), Ok(()));
        assert_eq!(orders.0.lock().unwrap().len(), 1, "whose time is over is forgotten");
    }

    #[test]
    fn waits_are_told_in_whole_seconds() {
        for (wait, expected) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (6000, 6)] {
            assert_eq!(seconds(Duration::from_millis(wait)), expected);
        }
    }
}
