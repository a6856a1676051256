//! Waiting until a machine is what it was asked to be (it looks, and knows no machine).

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::action::Goal;

/// So many looks in a row must say that a machine is gone.
const LOOKS: u32 = 2;
/// From look to look.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// A machine as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) there: bool,
    /// In one word.
    pub(super) word: &'static str,
    /// How long it has been running, in seconds, where that is known.
    pub(super) uptime: Option<u64>,
}

/// What it is to become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) goal: Goal,
    /// How long it ran before, in seconds; 0: not known.
    pub(super) before: u64,
    pub(super) patience: Duration,
}

/// Looks until it is as wanted. What was seen last, where it does not become so.
pub(super) async fn settle<F>(wanted: Wanted, look: impl Fn() -> F) -> Result<Seen, String>
where
    F: Future<Output = Result<Seen, String>>,
{
    let (deadline, mut pause) = (Instant::now() + wanted.patience, PAUSES.0);
    let (mut gone, mut was_gone) = (0, false);
    loop {
        let last = match look().await {
            Err(why) => why,
            Ok(seen) => {
                gone = if seen.there { 0 } else { gone + 1 };
                was_gone |= gone >= LOOKS;
                let is_met = match wanted.goal {
                    Goal::Gone => gone >= LOOKS,
                    Goal::There => seen.there,
                    Goal::Again => seen.there && (was_gone || seen.uptime.is_some_and(|uptime| uptime < wanted.before)),
                };
                if is_met {
                    return Ok(seen);
                }
                match (wanted.goal, was_gone) {
                    (Goal::Again, false) if seen.there => "it is there, and was not seen to go".to_owned(),
                    _ => format!("it is {}", seen.word),
                }
            }
        };
        if Instant::now() >= deadline {
            return Err(last);
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What comes of it where the looks say this, one after the other, and the last one for ever; and after how many looks.
    async fn of(goal: Goal, before: u64, looks: &[Result<(bool, u64), &str>]) -> (Result<bool, String>, usize) {
        let count = Cell::new(0);
        let wanted = Wanted { goal, before, patience: Duration::from_mins(5) };
        let look = || {
            let now = looks[count.get().min(looks.len() - 1)].map_err(str::to_owned);
            count.set(count.get() + 1);
            let word = |there| if there { "online" } else { "offline" };
            async move { now.map(|(there, uptime)| Seen { there, word: word(there), uptime: Some(uptime) }) }
        };
        (settle(wanted, look).await.map(|seen| seen.there), count.get())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_was_seen_so_twice() {
        let (there, away) = (Ok((true, 100)), Ok((false, 0)));
        assert_eq!(of(Goal::Gone, 0, &[there, away, there, away, away]).await, (Ok(false), 5));
        assert_eq!(of(Goal::There, 0, &[away, Err("nobody answers"), there]).await, (Ok(true), 3));
        let (told, looks) = of(Goal::Gone, 0, &[there]).await;
        assert!(told == Err("it is online".to_owned()) && looks > 50, "{told:?} {looks}");
        assert_eq!(of(Goal::Gone, 0, &[away, Err("nobody answers")]).await.0, Err("nobody answers".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_started_again_was_gone_or_is_younger() {
        let (old, away, young) = (Ok((true, 100)), Ok((false, 0)), Ok((true, 9)));
        assert_eq!(of(Goal::Again, 100, &[old, old, young]).await, (Ok(true), 3));
        assert_eq!(of(Goal::Again, 0, &[old, away, away, young]).await, (Ok(true), 4));
        assert_eq!(of(Goal::Again, 100, &[old]).await.0, Err("it is there, and was not seen to go".to_owned()));
        assert_eq!(of(Goal::Again, 100, &[old, away]).await.0, Err("it is offline".to_owned()));
    }
}
