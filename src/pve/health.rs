//! How one address does, from real answers; pure, the time is an argument.
//!
//! What concerns the address as a whole and what concerns one call are kept apart. Where no connection comes about, the
//! address is *down* at once. Where a call fails otherwise (broken off, 5xx, silent), the call is asked elsewhere from
//! now on, and `GET /nodes` in the background tells which it is: no answer to that either, and the address is down;
//! else only this call is in trouble there, as `/cluster/status` is on a node whose pvedaemon hangs. So answers to one
//! call never hide that another fails, and the two do not take turns in the log.
//!
//! Silence is: no answer within a second, given up. It counts as a failure after 3 s of it, or at the second time in a
//! row; the first time is reason enough to look at `/nodes`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::error::Error;
use super::known::Condition;

/// Silence shorter than this is no news; a call of the fast lane is asked once more after it.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// So much silence in a row is a failure.
const SILENCE: Duration = Duration::from_secs(3);
/// The pause before the first look whether it is over.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// What doubling leads to at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The health of one address; well until something else is seen.
pub(super) struct Health {
    /// Makes the pauses of several addresses differ.
    seed: u64,
    down: Option<Trouble>,
    /// By label; those that were ever asked here.
    calls: BTreeMap<&'static str, Call>,
    last_good: Option<Instant>,
    /// When it came up last, and how often it had been looked at: an address that relapses is not trusted as quickly.
    recovered: Option<(Instant, u32)>,
    /// A call failed, and it is to be found out whether the others would too.
    suspect: bool,
    probing: bool,
}

/// What is to be asked in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// `GET /nodes`.
    Address,
    /// The call that is in trouble there.
    Call(&'static str),
}

/// What is worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is not asked first any more.
    Down(Error),
    /// It is again.
    Well,
    /// One call is not asked there first any more.
    CallFails(Error),
    /// It is again.
    CallAnswers(&'static str),
}

#[derive(Default)]
struct Call {
    trouble: Option<Trouble>,
    last_good: Option<Instant>,
    /// Silences in a row, those that overlap counted once.
    silences: u32,
    silent: Duration,
    silent_until: Option<Instant>,
}

struct Trouble {
    error: Error,
    since: Instant,
    looks: u32,
    next_look: Instant,
    told: bool,
}

impl Health {
    pub(super) fn new(seed: u64) -> Self {
        let calls = BTreeMap::new();
        Self { seed, down: None, calls, last_good: None, recovered: None, suspect: false, probing: false }
    }

    /// Whether it may be asked first.
    pub(super) fn is_well(&self, call: &str) -> bool {
        self.down.is_none() && self.calls.get(call).is_none_or(|call| call.trouble.is_none())
    }

    /// Whether it may be asked although nobody probes it: it is well, or it is time to look.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.down.as_ref().is_none_or(|trouble| trouble.next_look <= now)
    }

    /// When it last answered well.
    pub(super) fn last_good(&self) -> Option<Instant> {
        self.last_good
    }

    /// What is in the way now, if anything is.
    pub(super) fn trouble(&self) -> Option<(Condition, &Error)> {
        let of_calls = self.calls.values().find_map(|call| call.trouble.as_ref());
        let down = self.down.as_ref().map(|trouble| (Condition::Down, &trouble.error));
        down.or_else(|| of_calls.map(|trouble| (Condition::Troubled, &trouble.error)))
    }

    /// A call that started then was answered: the address works.
    pub(super) fn good(&mut self, label: &'static str, started: Instant, now: Instant) -> Vec<Change> {
        self.last_good = Some(now);
        let call = self.calls.entry(label).or_default();
        (call.last_good, call.silences, call.silent) = (Some(now), 0, Duration::ZERO);
        let mut changes = Vec::new();
        if call.trouble.as_ref().is_some_and(|trouble| trouble.since <= started)
            && call.trouble.take().is_some_and(|trouble| trouble.told)
        {
            changes.push(Change::CallAnswers(label));
        }
        changes.extend(self.come_up(started, now));
        changes
    }

    /// No connection came about.
    pub(super) fn unreachable(&mut self, error: &Error, started: Instant, now: Instant) -> Option<Change> {
        if self.is_stale(started) {
            return None;
        }
        match &mut self.down {
            Some(trouble) => trouble.look_again(self.seed, now),
            None => return Some(self.go_down(error.clone(), now)),
        }
        None
    }

    /// A call failed in another way.
    pub(super) fn failed(&mut self, label: &'static str, error: &Error, started: Instant, now: Instant) {
        if self.is_stale(started) {
            return;
        }
        let seed = self.seed;
        if let Some(trouble) = &mut self.down {
            trouble.look_again(seed, now);
            return;
        }
        let call = self.calls.entry(label).or_default();
        match &mut call.trouble {
            Some(trouble) => trouble.look_again(seed, now),
            None => {
                call.trouble = Some(Trouble::new(error.clone(), 0, seed, now));
                self.suspect = true;
            }
        }
    }

    /// A call that started then was given up without an answer.
    pub(super) fn silent(&mut self, label: &'static str, error: &Error, started: Instant, now: Instant) {
        let call = self.calls.entry(label).or_default();
        let answered_since = call.last_good.is_some_and(|good| good >= started);
        if now.duration_since(started) < PATIENCE || answered_since || self.is_stale(started) {
            return;
        }
        let call = self.calls.entry(label).or_default();
        let counted = call.silent_until.filter(|until| *until > started);
        call.silent += now.duration_since(counted.unwrap_or(started));
        call.silences += u32::from(counted.is_none());
        call.silent_until = Some(now);
        let failed = call.silences >= 2 || call.silent >= SILENCE;
        self.suspect |= self.down.is_none() && call.trouble.is_none();
        if failed {
            self.failed(label, error, started, now);
        }
    }

    /// What a call gives occasion to ask in the background, if anything; the one who is told must ask.
    pub(super) fn probe(&mut self, label: &'static str, now: Instant) -> Option<Probe> {
        let call_due =
            |call: &Call| call.trouble.as_ref().is_some_and(|trouble| trouble.told && trouble.next_look <= now);
        let probe = match &self.down {
            _ if self.probing => None,
            Some(trouble) => (trouble.next_look <= now).then_some(Probe::Address),
            None if self.suspect => Some(Probe::Address),
            None => self.calls.get(label).is_some_and(call_due).then_some(Probe::Call(label)),
        };
        self.suspect &= probe != Some(Probe::Address);
        self.probing |= probe.is_some();
        probe
    }

    /// The probe has ended, whatever comes of it.
    pub(super) fn probed(&mut self) {
        self.probing = false;
    }

    /// `GET /nodes`, asked then, was answered.
    pub(super) fn confirmed_well(&mut self, started: Instant, now: Instant) -> Vec<Change> {
        self.last_good = Some(now);
        let mut changes = Vec::from_iter(self.come_up(started, now));
        for trouble in self.calls.values_mut().filter_map(|call| call.trouble.as_mut()).filter(|trouble| !trouble.told)
        {
            trouble.told = true;
            changes.push(Change::CallFails(trouble.error.clone()));
        }
        changes
    }

    /// `GET /nodes` failed too.
    pub(super) fn confirmed_down(&mut self, error: Error, started: Instant, now: Instant) -> Option<Change> {
        if self.is_stale(started) {
            return None;
        }
        if let Some(trouble) = &mut self.down {
            trouble.look_again(self.seed, now);
            return None;
        }
        // What a caller met with tells more than the probe.
        let met = self.calls.values().filter_map(|call| call.trouble.as_ref()).find(|trouble| !trouble.told);
        let error = met.map_or(error, |trouble| trouble.error.clone());
        Some(self.go_down(error, now))
    }

    fn go_down(&mut self, error: Error, now: Instant) -> Change {
        let relapse = self.recovered.filter(|(at, _)| now.duration_since(*at) < LONGEST_PAUSE);
        let looks = relapse.map_or(0, |(_, looks)| looks + 1);
        self.suspect = false;
        // What was not told yet is one and the same outage.
        for call in self.calls.values_mut() {
            call.trouble.take_if(|trouble| !trouble.told);
        }
        self.down = Some(Trouble::new(error.clone(), looks, self.seed, now));
        Change::Down(error)
    }

    fn come_up(&mut self, started: Instant, now: Instant) -> Option<Change> {
        let trouble = self.down.take_if(|trouble| trouble.since <= started)?;
        self.recovered = Some((now, trouble.looks));
        Some(Change::Well)
    }

    /// Whether it has come up since: what began before is no news.
    fn is_stale(&self, started: Instant) -> bool {
        self.recovered.is_some_and(|(at, _)| at > started)
    }
}

impl Trouble {
    fn new(error: Error, looks: u32, seed: u64, now: Instant) -> Self {
        Self { error, since: now, looks, next_look: now + pause(looks, seed), told: false }
    }

    /// It was looked at, and is not over.
    fn look_again(&mut self, seed: u64, now: Instant) {
        if self.next_look <= now {
            self.looks = self.looks.saturating_add(1);
            self.next_look = now + pause(self.looks, seed);
        }
    }
}

/// 1 s, 2 s, 4 s … 60 s, each up to a fifth longer or shorter.
fn pause(looks: u32, seed: u64) -> Duration {
    let pause = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(looks));
    let mixed = (seed ^ u64::from(looks)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    pause * 4 / 5 + pause * 2 / 5 * u32::try_from(mixed % 1000).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::Reason;

    const STATUS: &str = "/cluster/status";
    const RESOURCES: &str = "/cluster/resources";

    fn error(words: &str) -> Error {
        let reason = Reason::Unreachable(words.to_owned());
        Error { endpoint: "https://pve1:8006".into(), path: STATUS.into(), reason }
    }

    /// A health and a clock that starts at some time.
    struct Bench {
        health: Health,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { health: Health::new(7), start: Instant::now() }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.start + Duration::from_secs_f64(seconds)
        }

        fn silent(&mut self, label: &'static str, from: f64, to: f64) {
            self.health.silent(label, &error("silent"), self.at(from), self.at(to));
        }

        fn failed(&mut self, label: &'static str, from: f64, to: f64) {
            self.health.failed(label, &error("failed"), self.at(from), self.at(to));
        }

        fn probe(&mut self, label: &'static str, at: f64) -> Option<Probe> {
            self.health.probe(label, self.at(at))
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_differ_between_addresses() {
        for (looks, seconds) in [(0, 1.0), (1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (40, 60.0), (u32::MAX, 60.0)] {
            let pauses: Vec<f64> = (0..50).map(|seed| pause(looks, seed).as_secs_f64() / seconds).collect();
            assert!(pauses.iter().all(|pause| (0.8..=1.2).contains(pause)), "{looks}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause < 0.95) && pauses.iter().any(|pause| *pause > 1.05), "{looks}");
        }
    }

    #[test]
    fn without_a_connection_it_is_down_at_once_and_looked_at_less_and_less_often() {
        let mut bench = Bench::new();
        let (from, to) = (bench.at(0.0), bench.at(0.1));
        assert_eq!(bench.health.unreachable(&error("refused"), from, to), Some(Change::Down(error("refused"))));
        assert_eq!(bench.health.unreachable(&error("refused"), from, to), None, "told once");
        assert!(!bench.health.is_well(STATUS) && !bench.health.is_well(RESOURCES));
        let (mut now, mut looks) = (0.1, Vec::new());
        while looks.len() < 8 {
            now += 0.1;
            if bench.probe(STATUS, now) == Some(Probe::Address) {
                assert_eq!(bench.probe(STATUS, now), None, "one at a time");
                bench.health.probed();
                let at = bench.at(now);
                assert_eq!(bench.health.confirmed_down(error("refused"), at, at), None);
                looks.push(now);
            }
        }
        let pauses: Vec<f64> = looks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.windows(2).all(|pair| pair[1] > 1.3 * pair[0] || pair[1] > 47.0), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause < 72.2), "{pauses:?}");
    }

    #[test]
    fn what_comes_up_and_relapses_is_not_trusted_as_quickly() {
        let mut bench = Bench::new();
        let mut now = 0.0;
        for round in 0..4 {
            let at = bench.at(now);
            assert!(bench.health.unreachable(&error("refused"), at, at).is_some(), "{round}");
            let down = now;
            while bench.probe(STATUS, now).is_none() {
                now += 0.05;
            }
            let pause = now - down;
            assert!(pause >= 0.8 * f64::from(1 << round) && pause <= 1.3 * f64::from(1 << round), "{round}: {pause}");
            bench.health.probed();
            let at = bench.at(now);
            assert_eq!(bench.health.confirmed_well(at, at), [Change::Well]);
            assert!(bench.health.is_well(STATUS));
            now += 1.0;
        }
        now += 100.0;
        let at = bench.at(now);
        bench.health.unreachable(&error("refused"), at, at);
        assert_eq!(bench.probe(STATUS, now + 1.3), Some(Probe::Address), "a new outage after a long time");
    }

    #[test]
    fn a_failing_call_is_looked_into_and_then_told_alone() {
        let mut bench = Bench::new();
        bench.failed(STATUS, 0.0, 0.1);
        assert!(!bench.health.is_well(STATUS) && bench.health.is_well(RESOURCES));
        assert_eq!(bench.probe(RESOURCES, 0.1), Some(Probe::Address));
        bench.health.probed();
        let (from, to) = (bench.at(0.1), bench.at(0.2));
        assert_eq!(bench.health.confirmed_well(from, to), [Change::CallFails(error("failed"))]);
        assert_eq!(bench.health.confirmed_well(from, to), [], "told once");
        assert_eq!(bench.health.good(RESOURCES, from, to), [], "another call's answer is no news of this one");
        assert!(!bench.health.is_well(STATUS) && bench.health.is_well(RESOURCES));
        assert_eq!(bench.probe(RESOURCES, 5.0), None, "its own callers give occasion");
        assert_eq!(bench.probe(STATUS, 5.0), Some(Probe::Call(STATUS)));
        bench.health.probed();
        bench.failed(STATUS, 5.0, 5.1);
        assert_eq!(bench.probe(STATUS, 6.0), None);
        assert_eq!(bench.probe(STATUS, 8.0), Some(Probe::Call(STATUS)));
        bench.health.probed();
        let (from, to) = (bench.at(8.0), bench.at(8.1));
        assert_eq!(bench.health.good(STATUS, from, to), [Change::CallAnswers(STATUS)]);
        assert!(bench.health.is_well(STATUS));
    }

    #[test]
    fn several_failing_calls_of_an_address_that_is_down_are_one_change() {
        let mut bench = Bench::new();
        bench.failed(STATUS, 0.0, 0.1);
        bench.failed(RESOURCES, 0.0, 0.1);
        assert_eq!(bench.probe(STATUS, 0.1), Some(Probe::Address));
        bench.health.probed();
        let (from, to) = (bench.at(0.1), bench.at(5.1));
        let change = bench.health.confirmed_down(error("the probe"), from, to);
        assert_eq!(change, Some(Change::Down(error("failed"))));
        let (from, to) = (bench.at(20.0), bench.at(20.1));
        assert_eq!(bench.health.confirmed_well(from, to), [Change::Well]);
        assert!(bench.health.is_well(STATUS) && bench.health.is_well(RESOURCES), "a clean start");
    }

    #[test]
    fn silence_is_reason_to_look_and_counts_the_second_time() {
        let mut bench = Bench::new();
        bench.silent(STATUS, 0.0, 0.9);
        assert_eq!(bench.probe(STATUS, 0.9), None, "not even a second");
        bench.silent(STATUS, 1.0, 2.0);
        bench.silent(STATUS, 1.5, 2.6);
        assert!(bench.health.is_well(STATUS), "those that overlap count once");
        assert_eq!(bench.probe(STATUS, 2.6), Some(Probe::Address));
        bench.health.probed();
        bench.silent(STATUS, 10.0, 11.0);
        assert!(!bench.health.is_well(STATUS));
    }

    #[test]
    fn silence_counts_at_three_seconds_and_an_answer_ends_it() {
        let mut bench = Bench::new();
        bench.silent(STATUS, 0.0, 3.0);
        assert!(!bench.health.is_well(STATUS));

        let mut bench = Bench::new();
        bench.silent(STATUS, 0.0, 2.0);
        let (from, to) = (bench.at(2.0), bench.at(2.1));
        bench.health.good(STATUS, from, to);
        bench.silent(STATUS, 1.0, 4.0);
        bench.silent(STATUS, 3.0, 5.0);
        assert!(bench.health.is_well(STATUS), "it answered in between");
    }

    #[test]
    fn old_news_is_no_news() {
        let mut bench = Bench::new();
        let [zero, one, two, three] = [0.0, 1.0, 2.0, 3.0].map(|seconds| bench.at(seconds));
        bench.health.unreachable(&error("refused"), one, one);
        assert_eq!(bench.health.good(STATUS, zero, two), [], "asked before it went down");
        assert!(!bench.health.is_well(STATUS));
        assert_eq!(bench.health.good(STATUS, two, three), [Change::Well]);
        assert_eq!(bench.health.unreachable(&error("refused"), two, three), None, "asked before it came up");
        bench.failed(STATUS, 2.0, 3.0);
        assert!(bench.health.is_well(STATUS));
        assert_eq!(bench.health.confirmed_down(error("x"), two, three), None);
    }
}
