//! How long a value is good that is asked for in the background because scrapes want it, and when it is asked for again.

use std::time::Duration;

use tokio::time::Instant;

/// Values are served at most this long only because scrapes come so seldom.
const MOST_PATIENCE: Duration = Duration::from_mins(30);
/// The wait after a first failure; doubled with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const MOST_BACKOFF: Duration = Duration::from_mins(10);

/// When scrapes wanted a value.
#[derive(Debug, Default)]
pub(super) struct Demand {
    last: Option<Instant>,
    /// Between the last two requests.
    gap: Duration,
}

impl Demand {
    /// Notes that a scrape wants the value.
    pub(super) fn want(&mut self, now: Instant) {
        if let Some(last) = self.last {
            self.gap = now.duration_since(last);
        }
        self.last = Some(now);
    }

    /// Whether scrapes still come: a long queue ends when nobody waits for it any more.
    pub(super) fn is_there(&self, now: Instant) -> bool {
        let patience = MOST_PATIENCE.min(self.gap * 3).max(Duration::from_mins(2));
        self.last.is_some_and(|last| now.duration_since(last) < patience)
    }

    /// How old a value may be that is asked for again after `ttl`.
    pub(super) fn patience(&self, ttl: Duration) -> Duration {
        (ttl * 3).max((self.gap * 3 / 2).min(MOST_PATIENCE))
    }
}

/// The wait after one more failure; `before` is how many there were already.
pub(super) fn backoff(before: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << before.min(10)).min(MOST_BACKOFF)
}

/// What spreads things of such names.
pub(super) fn seed(name: &str) -> u64 {
    name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// Up to a tenth less, always the same for the same seed: thousands of values are not to fall due at once.
pub(super) fn jittered(time: Duration, seed: u64) -> Duration {
    // Neighbours, such as pve1 and pve2, are to be far from each other.
    let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let thousandths = u32::try_from(spread % 100).unwrap_or_default();
    time - time * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_do_not_fall_due_together() {
        let minute = Duration::from_mins(1);
        let mut dues = ["pve1", "pve2", "pve3", "pve4", "pve5"].map(|name| jittered(minute, seed(name)));
        dues.sort();
        assert!(dues[0] >= minute * 9 / 10 && dues[4] <= minute, "{dues:?}");
        assert!(dues.windows(2).all(|pair| pair[1] - pair[0] > Duration::from_millis(200)), "{dues:?}");
        assert!(dues[4] - dues[0] > Duration::from_secs(2), "{dues:?}");
    }

    #[test]
    fn patience_follows_the_ttl_and_the_gap() {
        let (mut demand, start) = (Demand::default(), Instant::now());
        let minutes = |count: u64| Duration::from_mins(count);
        assert!(!demand.is_there(start));
        demand.want(start);
        assert_eq!(demand.patience(minutes(5)), minutes(15));
        assert!(demand.is_there(start + Duration::from_secs(119)) && !demand.is_there(start + minutes(2)));
        demand.want(start + minutes(14));
        assert_eq!((demand.patience(minutes(5)), demand.patience(minutes(30))), (minutes(21), minutes(90)));
        assert!(demand.is_there(start + minutes(43)) && !demand.is_there(start + minutes(44)));
        demand.want(start + minutes(60));
        assert_eq!(demand.patience(minutes(5)), minutes(30), "not longer, however seldom scrapes come");
    }
}
