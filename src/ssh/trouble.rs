//! A failure that was seen, and when to look whether it is over; pure, the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::error::Error;

/// The pause before the first look.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// What doubling leads to at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Something that failed and has not worked since.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) error: Error,
    looks: u32,
    next_look: Instant,
}

impl Trouble {
    /// One more failure after `before`, if there was trouble already; `seed` makes the pauses of several hosts differ.
    pub(super) fn after(before: Option<&Self>, error: Error, seed: u64, now: Instant) -> Self {
        let looks = before.map_or(0, |before| before.looks.saturating_add(1));
        Self { error, looks, next_look: now + pause(looks, seed) }
    }

    /// Whether it is time to look again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next_look <= now
    }
}

/// 1 s, 2 s, 4 s … 60 s, each up to a fifth longer or shorter.
fn pause(looks: u32, seed: u64) -> Duration {
    let pause = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(looks.min(16)));
    let mixed = (seed ^ u64::from(looks)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    pause * 4 / 5 + pause * 2 / 5 * u32::try_from(mixed % 1000).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::SshAddress;
    use crate::ssh::Reason;

    fn error() -> Error {
        let address = SshAddress::parse("pve1", 22).unwrap();
        Error { host: "pve1".to_owned(), address, reason: Reason::Unreachable("refused".to_owned()) }
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let now = Instant::now();
        let mut trouble = Trouble::after(None, error(), 7, now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push((trouble.next_look - now).as_secs_f64());
            trouble = Trouble::after(Some(&trouble), error(), 7, now);
        }
        for (pause, wanted) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]) {
            assert!((wanted * 0.8..=wanted * 1.2).contains(pause), "{pauses:?}");
        }
        assert!(!trouble.is_due(now) && trouble.is_due(now + LONGEST_PAUSE * 6 / 5));
    }

    proptest! {
        #[test]
        fn no_number_panics(looks: u32, seed: u64) {
            let pause = pause(looks, seed);
            prop_assert!(pause >= FIRST_PAUSE * 4 / 5 && pause <= LONGEST_PAUSE * 6 / 5);
        }
    }
}
