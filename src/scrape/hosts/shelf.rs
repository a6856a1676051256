//! What is kept of a host's answer to one slow question: how long it is good, and when it is asked for again.

use std::time::Duration;

use tokio::time::Instant;

use super::super::demand::{Demand, backoff, jittered};
use super::super::outcome::Figures;
use crate::collectors::{Failure, Heard, OverSsh};
use crate::metrics::Family;

/// One collector's answer.
pub(super) struct Shelf {
    pub(super) collector: &'static str,
    pub(super) over_ssh: OverSsh,
    pub(super) ttl: Duration,
    /// Makes hosts fall due at different times.
    seed: u64,
    demand: Demand,
    /// Before the first answer, at once.
    due: Option<Instant>,
    failures: u32,
    error: Option<Failure>,
    value: Option<Value>,
}

struct Value {
    families: Vec<Family>,
    fetched: Instant,
    took: Duration,
}

/// What a shelf says on a page.
pub(super) struct Said {
    pub(super) families: Vec<Family>,
    pub(super) figures: Figures,
}

impl Shelf {
    pub(super) fn new(collector: &'static str, over_ssh: OverSsh, ttl: Duration, seed: u64) -> Self {
        let (due, failures, error, value) = (None, 0, None, None);
        Self { collector, over_ssh, ttl, seed, demand: Demand::default(), due, failures, error, value }
    }

    /// Notes that a scrape wants the answer.
    pub(super) fn want(&mut self, now: Instant) {
        self.demand.want(now);
    }

    /// Whether it is to be asked for now. What waits while scrapes stop coming is not.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.demand.is_there(now) && self.due.is_none_or(|due| due <= now)
    }

    /// Keeps an answer; without one, `took` is not known. What a failure leaves of the last answer stays as long as it is good.
    pub(super) fn settle(&mut self, now: Instant, took: Option<Duration>, heard: Heard) {
        let Heard { families, error, .. } = heard;
        if let (Some(took), true) = (took, error.is_none() || !families.is_empty()) {
            self.value = Some(Value { families, fetched: now, took });
        }
        let wait = if error.is_some() { backoff(self.failures) } else { self.ttl };
        self.failures = if error.is_some() { self.failures.saturating_add(1) } else { 0 };
        self.due = Some(now + jittered(wait, self.seed));
        self.error = error;
    }

    /// What is young enough to be told; nothing before the first answer.
    pub(super) fn say(&self, now: Instant) -> Option<Said> {
        let patience = self.demand.patience(self.ttl);
        let value = self.value.as_ref().filter(|value| now.duration_since(value.fetched) <= patience);
        if value.is_none() && self.error.is_none() {
            return None;
        }
        let figures = Figures {
            collector: self.collector,
            success: self.error.is_none(),
            duration: value.map(|value| value.took).unwrap_or_default(),
            age: value.map(|value| now.duration_since(value.fetched)),
        };
        Some(Said { families: value.map(|value| value.families.clone()).unwrap_or_default(), figures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::{ALL, Lane};
    use crate::metrics::{Desc, Kind, Labels, Sample};

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    static HEALTHY: Desc = Desc { name: "pve_host_disk_smart_healthy", help: "Test.", kind: Kind::Gauge };

    /// One of five minutes, whose host falls due on the second.
    fn shelf() -> Shelf {
        let over_ssh = ALL.iter().find_map(|collector| match collector.lane {
            Lane::Host(over_ssh) if over_ssh.ttl.is_some() => Some(over_ssh),
            _ => None,
        });
        Shelf::new("host_test", over_ssh.expect("a slow collector"), 5 * MINUTE, 0)
    }

    fn value(number: f64) -> Heard {
        let sample = Sample { labels: Labels::new(&[]), value: number };
        let families = vec![Family { desc: (&HEALTHY).into(), samples: vec![sample].into() }];
        Heard { families, troubles: Vec::new(), error: None }
    }

    fn failure() -> Heard {
        let error = Failure::Answer { host: "nas".to_owned(), fault: "half".to_owned() };
        Heard { families: Vec::new(), troubles: Vec::new(), error: Some(error) }
    }

    /// The values, whether all is well, and the age in seconds.
    fn told(shelf: &Shelf, now: Instant) -> Option<(Vec<f64>, bool, Option<u64>)> {
        let Said { families, figures } = shelf.say(now)?;
        let values = families.iter().flat_map(|family| family.samples.iter()).map(|sample| sample.value).collect();
        Some((values, figures.success, figures.age.map(|age| age.as_secs())))
    }

    #[test]
    fn an_answer_is_asked_for_once_per_ttl_and_served_for_three() {
        let (mut shelf, start) = (shelf(), Instant::now());
        assert!(!shelf.is_due(start), "nobody wants it");
        shelf.want(start);
        assert!(shelf.is_due(start));
        assert_eq!(told(&shelf, start), None, "nothing is said before the first answer");
        shelf.settle(start + SECOND, Some(SECOND), value(1.0));
        shelf.want(start + MINUTE);
        assert!(!shelf.is_due(start + MINUTE));
        assert_eq!(told(&shelf, start + MINUTE), Some((vec![1.0], true, Some(59))));
        shelf.want(start + 5 * MINUTE);
        assert!(!shelf.is_due(start + 5 * MINUTE) && shelf.is_due(start + 5 * MINUTE + SECOND));
        assert_eq!(told(&shelf, start + 15 * MINUTE + SECOND), Some((vec![1.0], true, Some(900))));
        assert_eq!(told(&shelf, start + 15 * MINUTE + 2 * SECOND), None, "too old to be told");
    }

    #[test]
    fn seldom_scrapes_still_see_an_answer() {
        let (mut shelf, start) = (shelf(), Instant::now());
        for round in 0..3 {
            let now = start + round * 16 * MINUTE;
            shelf.want(now);
            assert!(shelf.is_due(now));
            assert_eq!(told(&shelf, now).is_some(), round > 0, "round {round}");
            shelf.settle(now, Some(SECOND), value(1.0));
        }
        let last = start + 32 * MINUTE;
        assert!(told(&shelf, last + 24 * MINUTE).is_some() && told(&shelf, last + 24 * MINUTE + SECOND).is_none());
    }

    #[test]
    fn a_failure_is_told_beside_the_last_answer_and_tried_again_with_patience() {
        let (mut shelf, start) = (shelf(), Instant::now());
        shelf.want(start);
        shelf.settle(start, Some(SECOND), value(1.0));
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..9 {
            shelf.settle(now, None, failure());
            let failed = now;
            while !shelf.is_due(now) {
                now += SECOND;
                shelf.want(now);
            }
            waits.push((now - failed).as_secs());
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        shelf.settle(start, None, failure());
        assert_eq!(told(&shelf, start + MINUTE), Some((vec![1.0], false, Some(60))));
        assert_eq!(told(&shelf, now), Some((vec![], false, None)), "the answer is too old by then");
        shelf.settle(now, Some(SECOND), value(2.0));
        assert_eq!(told(&shelf, now), Some((vec![2.0], true, Some(0))), "well again");
        assert!(!shelf.is_due(now + 4 * MINUTE), "and asked for as before");
    }

    #[test]
    fn half_an_answer_counts_and_is_soon_asked_for_again() {
        let (mut shelf, now) = (shelf(), Instant::now());
        shelf.want(now);
        shelf.settle(now, Some(SECOND), Heard { error: failure().error, ..value(1.0) });
        assert_eq!(told(&shelf, now), Some((vec![1.0], false, Some(0))));
        assert!(shelf.is_due(now + 10 * SECOND));
    }
}
