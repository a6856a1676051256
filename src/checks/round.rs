//! Many checks at once, all ended at a deadline.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{StreamExt, iter};
use tokio::time::Instant;

use super::{Checker, Outcome, Target};

impl Checker {
    /// Checks all targets, at most `at_once` of them at the same time, and is done at `deadline`; the outcomes are in
    /// the order of the targets.
    ///
    /// The time that is left is shared out: each check gets what is left divided by the rounds of `at_once` still to
    /// do, so that one after another hanging service takes no other's time, and a service that is down for want of time
    /// had at least `time / ceil(targets / at_once)`. Give it enough of both: what a check needs is a name lookup, three
    /// round trips and the service's own time. What could not be asked, as when the deadline has passed already, is not
    /// down but unknown.
    pub async fn check_all(&self, targets: &[Target], deadline: Instant, at_once: usize) -> Vec<Outcome> {
        share_out(targets, deadline, at_once, |target, limit| self.check(target, limit)).await
    }
}

async fn share_out<'t, T, O, F: Future<Output = O>>(
    targets: &'t [T],
    deadline: Instant,
    at_once: usize,
    check: impl Fn(&'t T, Duration) -> F,
) -> Vec<O> {
    let at_once = at_once.max(1);
    let check = &check;
    let checks = iter(0..targets.len()).map(|index| {
        // Runs when a place is free for this check.
        let rounds = (targets.len() - index).div_ceil(at_once);
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = left / u32::try_from(rounds).unwrap_or(u32::MAX);
        async move { (index, check(&targets[index], limit).await) }
    });
    let mut outcomes: Vec<(usize, O)> = checks.buffer_unordered(at_once).collect().await;
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use tokio::time::sleep;

    /// What became of a pretended check that would take `needs`.
    #[derive(Debug)]
    struct Done {
        limit: Duration,
        ended: bool,
    }

    /// How many ran at once at most, how long all took, and what became of each.
    fn play(needs: &[Duration], time: Duration, at_once: usize) -> (usize, Duration, Vec<Done>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let (running, most) = (Cell::new(0), Cell::new(0));
            let begun = Instant::now();
            let done = share_out(needs, begun + time, at_once, async |needs, limit| {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                sleep(limit.min(*needs)).await;
                running.set(running.get() - 1);
                Done { limit, ended: *needs <= limit }
            })
            .await;
            (most.get(), begun.elapsed(), done)
        })
    }

    #[test]
    fn what_hangs_takes_nobody_elses_time() {
        let (hangs, quick) = (Duration::from_hours(9), Duration::from_millis(10));
        let (most, took, done) = play(&[hangs, hangs, hangs, quick, hangs, quick], Duration::from_secs(9), 2);
        assert_eq!(most, 2);
        assert_eq!(took, Duration::from_secs(9));
        assert_eq!(done.iter().map(|done| done.ended).collect::<Vec<_>>(), [false, false, false, true, false, true]);
        // The place of the first quick one went to the next.
        assert_eq!(done[2].limit, Duration::from_secs(3));
        assert!(done[4].limit > Duration::from_secs(5), "{:?}", done[4].limit);
    }

    #[test]
    fn no_target_and_no_place_are_no_trouble() {
        assert!(play(&[], Duration::from_secs(1), 3).2.is_empty());
        assert_eq!(play(&[Duration::ZERO], Duration::from_secs(1), 0).2.len(), 1);
    }

    proptest! {
        #[test]
        fn each_has_its_share_and_all_end_at_the_deadline(
            needs in prop::collection::vec(prop_oneof![0..100_u64, 0..20_000_u64, Just(u64::MAX / 2)], 1..40),
            time in 1..20_000_u64,
            at_once in 1..12_usize,
        ) {
            let needs: Vec<Duration> = needs.into_iter().map(Duration::from_millis).collect();
            let time = Duration::from_millis(time);
            // The clock of the tests goes in whole milliseconds, and each wait is rounded up.
            let rough = Duration::from_millis(needs.len() as u64 + 1);
            let rounds = u32::try_from(needs.len().div_ceil(at_once)).unwrap();
            let (most, took, done) = play(&needs, time, at_once);
            prop_assert!(most <= at_once);
            prop_assert!(took <= time + rough, "{took:?}");
            prop_assert_eq!(done.len(), needs.len());
            for (index, done) in done.iter().enumerate() {
                prop_assert!(done.limit + rough >= time / rounds, "{index}: {done:?}");
                prop_assert!(done.limit <= time);
            }
        }
    }
}
