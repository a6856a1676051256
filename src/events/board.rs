//! Which alerts one Alertmanager is shown, from when to when (pure). Alertmanager notifies nobody of an alert that ends before
//! its group is due, so that what happened in a moment is held for a while, and sent again and again meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::alert::{self, Alert, Labels};
use super::book::Told;
use super::finding::{Finding, Span};

/// How many findings of the same labels are kept for their texts.
const TEXTS: usize = 10;
/// A condition ends by itself when it was not sent again for so many times.
const MISSED: i64 = 4;
/// The longest that an alert which Alertmanager refuses is held back, in seconds.
const LONGEST: i64 = 3600;

/// Conditions that were over when they were last looked at, and are over for certain if they still are at the next look: by
/// cluster, `kind|id` each.
pub(super) type Doubts = BTreeMap<String, BTreeSet<String>>;

/// The alerts of one Alertmanager. Times are seconds since 1970 on our clock.
#[derive(Debug)]
pub(super) struct Board {
    times: Times,
    alerts: BTreeMap<Key, Active>,
    doubts: Doubts,
}

/// How long alerts are shown, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// From the first accepted delivery on.
    pub(super) hold: i64,
    /// Between two times that they are sent.
    pub(super) resend: i64,
}

/// What findings of one alert have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Things that happened, by their labels.
    Occurrence(Labels),
    /// A condition: cluster, kind, id.
    Condition(String, &'static str, String),
}

#[derive(Debug)]
struct Active {
    labels: Labels,
    /// The newest last; at most [`TEXTS`].
    findings: VecDeque<Arc<Finding>>,
    /// Things that happened; 0: it is a condition.
    count: u64,
    /// Numbers of findings that were not accepted yet, and when they were found.
    waiting: Vec<(u64, i64)>,
    state: State,
    /// When a finding of it was last accepted for the first time.
    accepted: Option<i64>,
    /// When it was last sent with success.
    sent: Option<i64>,
    /// How often in a row it was refused, and until when it is held back for that.
    refused: (u32, i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Held for a while; it happened first at this time.
    Held { starts: i64 },
    /// True.
    On { since: i64 },
    /// Not true any more, and Alertmanager knew that it was.
    Off { since: i64, at: i64 },
}

impl Board {
    pub(super) fn new(times: Times) -> Self {
        Self { times, alerts: BTreeMap::new(), doubts: Doubts::new() }
    }

    /// Adds a finding; those that were delivered before a restart, in the order of their numbers.
    pub(super) fn add(&mut self, told: &Told, now: i64) {
        let then = told.delivered.unwrap_or(now);
        let key = key(&told.finding);
        let before = self.alerts.remove(&key).filter(|active| !active.is_over(self.times, then));
        let state = state(told, before.as_ref());
        // A condition that begins anew has texts of its own, but what waits goes on to wait.
        let is_fresh = matches!(told.finding.span, Span::Began { .. });
        let mut active = before.unwrap_or_else(|| Active::new(&told.finding, state));
        if is_fresh {
            active = Active { waiting: active.waiting, ..Active::new(&told.finding, state) };
        }
        active.state = state;
        active.count = active.count.saturating_add(u64::from(matches!(told.finding.span, Span::Occurred { .. })));
        active.insert(Arc::clone(&told.finding));
        match told.delivered {
            None => active.waiting.push((told.number, told.at)),
            Some(at) => active.accepted = active.accepted.max(Some(at)),
        }
        self.alerts.insert(key, active);
    }

    /// From now on these are in doubt, and no others. What is in doubt is sent again no sooner than it must: another sidecar,
    /// a look ahead of us, may have said that it is over.
    pub(super) fn doubt(&mut self, doubts: Doubts) {
        self.doubts = doubts;
    }

    /// The alerts that are to be sent now, at most so many, those that were never accepted first. What is over is forgotten.
    pub(super) fn due(&mut self, now: i64, most: usize) -> Vec<(Key, Alert)> {
        let times = self.times;
        self.alerts.retain(|_, active| !active.is_over(times, now));
        let mut due: Vec<_> = self.alerts.iter().filter(|(key, active)| self.due_at(key, active, now) <= now).collect();
        due.sort_by_key(|(_, active)| active.waiting.is_empty());
        due.into_iter().take(most).map(|(key, active)| (key.clone(), active.alert(times, now))).collect()
    }

    /// When something is to be sent next.
    pub(super) fn next(&self, now: i64) -> Option<i64> {
        self.alerts.iter().map(|(key, active)| self.due_at(key, active, now)).min()
    }

    fn due_at(&self, key: &Key, active: &Active, now: i64) -> i64 {
        let in_doubt = match key {
            Key::Condition(cluster, kind, id) => {
                self.doubts.get(cluster).is_some_and(|doubts| doubts.contains(&format!("{kind}|{id}")))
            }
            Key::Occurrence(_) => false,
        };
        let waits = in_doubt && matches!(active.state, State::On { .. });
        // It must not end by itself.
        let resends = if waits { MISSED - 1 } else { 1 };
        active.due_at(self.times.resend.saturating_mul(resends), now)
    }

    /// Alertmanager has taken what was due at that time. Gives the numbers that it had not before.
    pub(super) fn accepted(&mut self, keys: &[Key], at: i64) -> Vec<u64> {
        let mut numbers = Vec::new();
        for key in keys {
            let Some(active) = self.alerts.get_mut(key) else { continue };
            active.sent = Some(at);
            active.refused = (0, 0);
            if !active.waiting.is_empty() {
                active.accepted = Some(at);
                numbers.extend(active.waiting.drain(..).map(|(number, _)| number));
            }
        }
        numbers
    }

    /// Alertmanager has refused this alert by itself. It is tried again, less and less often.
    pub(super) fn refused(&mut self, key: &Key, now: i64) {
        if let Some(active) = self.alerts.get_mut(key) {
            let (times, _) = active.refused;
            let wait = self.times.resend.saturating_mul(1 << times.min(12)).min(LONGEST);
            active.refused = (times.saturating_add(1), now.saturating_add(wait));
        }
    }

    /// How many findings wait, and when the first of them was found.
    pub(super) fn pending(&self) -> (usize, Option<i64>) {
        let waiting = || self.alerts.values().flat_map(|active| &active.waiting);
        (waiting().count(), waiting().map(|(_, at)| *at).min())
    }
}

impl Active {
    fn new(finding: &Finding, state: State) -> Self {
        Self {
            labels: alert::labels(finding),
            findings: VecDeque::new(),
            count: 0,
            waiting: Vec::new(),
            state,
            accepted: None,
            sent: None,
            refused: (0, 0),
        }
    }

    /// In the order of time, whoever saw them first, so that two sidecars say the same.
    fn insert(&mut self, finding: Arc<Finding>) {
        let order = |finding: &Finding| (time(finding), finding.key.clone());
        let at = self.findings.partition_point(|other| order(other) <= order(&finding));
        self.findings.insert(at, finding);
        if self.findings.len() > TEXTS {
            self.findings.pop_front();
        }
    }

    fn is_over(&self, times: Times, now: i64) -> bool {
        let held = |at: i64| at.saturating_add(times.hold) <= now;
        match self.state {
            State::On { .. } => false,
            State::Held { .. } | State::Off { .. } => self.waiting.is_empty() && self.accepted.is_some_and(held),
        }
    }

    /// `pause`: so many seconds after it was last sent.
    fn due_at(&self, pause: i64, now: i64) -> i64 {
        let (_, held_back) = self.refused;
        // The clock may have been set back.
        let again = self.sent.filter(|sent| self.waiting.is_empty() && *sent <= now);
        let held_back = if held_back.saturating_sub(now) > LONGEST { now } else { held_back };
        again.map_or(now, |sent| sent.saturating_add(pause)).max(held_back)
    }

    fn alert(&self, times: Times, now: i64) -> Alert {
        let first = if self.waiting.is_empty() { self.accepted.unwrap_or(now) } else { now };
        let (starts, ends) = match self.state {
            State::Held { starts } => (starts, first.saturating_add(times.hold)),
            State::On { since } => (since, now.saturating_add(times.resend.saturating_mul(MISSED))),
            // Our clock decides what is over, PVE's may be ahead.
            State::Off { since, at } => (since, at.min(now)),
        };
        Alert {
            labels: self.labels.clone(),
            annotations: alert::annotations(self.findings.iter().map(Arc::as_ref), self.count),
            // What ends before it starts is refused.
            starts_at: starts.min(ends),
            ends_at: ends,
            generator_url: self.findings.back().and_then(|finding| alert::generator_url(finding)),
        }
    }
}

/// What an alert becomes by a finding.
fn state(told: &Told, before: Option<&Active>) -> State {
    match told.finding.span {
        Span::Began { since } => State::On { since },
        Span::Occurred { at } => {
            let earlier = before.and_then(|active| match active.state {
                State::Held { starts } => Some(starts),
                State::On { .. } | State::Off { .. } => None,
            });
            State::Held { starts: earlier.map_or(at, |earlier| earlier.min(at)) }
        }
        // What Alertmanager never heard of while it was true is told as something that happened: else nobody would know.
        Span::Ended { since, at } => match before {
            Some(active) if active.accepted.is_none() || active.accepted == told.delivered => {
                State::Held { starts: since }
            }
            _ => State::Off { since, at },
        },
    }
}

fn key(finding: &Finding) -> Key {
    match finding.span {
        Span::Occurred { .. } => Key::Occurrence(alert::labels(finding)),
        Span::Began { .. } | Span::Ended { .. } => {
            Key::Condition(finding.cluster.clone(), finding.kind.name(), finding.id.clone())
        }
    }
}

fn time(finding: &Finding) -> i64 {
    match finding.span {
        Span::Occurred { at } | Span::Ended { at, .. } => at,
        Span::Began { since } => since,
    }
}

#[cfg(test)]
mod tests;
