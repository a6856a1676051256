//! What is kept of one slow-lane collector: a value per subject, when it is due again, how long it is good.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::demand::{Demand, backoff, jittered};
use super::refresh::{Refresh, Refreshes};
use super::subjects::{Due, Found, found, order, order_of, spread};
use crate::collectors::{Collector, Per, Slow, Subject};
use crate::config::CollectorSettings;
use crate::inventory::Resources;
use crate::metrics::{About, Bundle, Bundles, Desc, Family};
use crate::pve::{Error, Reason};

/// One collector's values.
pub(super) struct Shelf {
    pub(super) collector: &'static Collector,
    /// As the configuration has it.
    pub(super) slow: Slow,
    pub(super) settings: Arc<CollectorSettings>,
    demand: Demand,
    /// Whether the subjects are known: before, an empty shelf says nothing.
    known: bool,
    refreshes: Refreshes,
    /// In the order of [`order`], each subject once.
    units: Vec<Unit>,
    /// What the values are made of: the families of the collector, then those that only the drop-in page tells.
    descs: Vec<&'static Desc>,
}

struct Unit {
    subject: Subject,
    /// Its node is online: it may be asked about.
    askable: bool,
    /// Asked or waiting to be.
    pending: bool,
    /// The full refresh in which it was last answered, well or badly.
    refreshed: u32,
    due: Instant,
    /// When it was last answered, well or badly.
    tried: Option<Instant>,
    failures: u32,
    /// It took long the last time.
    is_slow: bool,
    /// A scrape waited for the first answer, and in vain.
    outwaited: bool,
    error: Option<Box<Error>>,
    value: Option<Value>,
}

struct Value {
    /// Pages share it.
    told: Arc<Bundle>,
    fetched: Instant,
    duration: Duration,
}

/// About what something is asked or told.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Reach<'a> {
    /// Everything.
    All,
    /// What is on a node, and the cluster as a whole.
    Node(&'a str),
}

/// What a shelf keeps for the drop-in page.
#[derive(Default)]
pub(in super::super) struct Shelved {
    /// By subject.
    pub(in super::super) told: Vec<(Subject, Vec<Family>)>,
    /// The first failure of those that did not succeed since.
    pub(in super::super) error: Option<Error>,
    /// Something is asked for, and nothing can be told of it yet.
    pub(in super::super) unanswered: bool,
    /// Something came after the time that was named.
    pub(in super::super) answered: bool,
    /// Of the slowest call that a served value took.
    pub(in super::super) duration: Duration,
    /// Of the oldest value that is served; absent where none is.
    pub(in super::super) age: Option<Duration>,
}

/// What a shelf says on a page.
pub(super) struct Said {
    pub(super) families: Vec<Family>,
    /// The first failure of those that did not succeed since.
    pub(super) error: Option<Error>,
    /// Of the slowest call that a served value took.
    pub(super) duration: Duration,
    /// Of the oldest value that is served; absent where none is.
    pub(super) age: Option<Duration>,
    /// The last one of all there is.
    pub(super) refresh: Option<Refresh>,
}

impl Shelf {
    pub(super) fn new(collector: &'static Collector, slow: Slow, settings: Arc<CollectorSettings>) -> Self {
        let (demand, units, descs) = (Demand::default(), Vec::new(), collector.families.to_vec());
        let (known, refreshes) = (false, Refreshes::default());
        let mut shelf = Self { collector, slow, settings: Arc::default(), demand, known, refreshes, units, descs };
        shelf.set(slow, settings);
        shelf
    }

    /// Takes over what the configuration says of the collector.
    pub(super) fn set(&mut self, slow: Slow, settings: Arc<CollectorSettings>) {
        let ttl = settings.ttl.unwrap_or(slow.ttl);
        let max_in_flight = settings.max_in_flight.or(slow.max_in_flight);
        self.slow = Slow { ttl, max_in_flight, ..slow };
        self.settings = settings;
        for unit in self.units.iter_mut().filter(|unit| unit.failures == 0) {
            let due = unit.value.as_ref().map(|value| value.fetched + jittered(ttl, spread(&unit.subject)));
            // By a longer time of before, the value would long be too old to be told.
            unit.due = due.map_or(unit.due, |due| due.min(unit.due));
        }
    }

    /// Notes that a scrape wants the values.
    pub(super) fn want(&mut self, now: Instant) {
        self.demand.want(now);
    }

    /// Whether scrapes still come: a long queue ends when nobody waits for it any more.
    pub(super) fn is_wanted(&self, now: Instant) -> bool {
        self.demand.is_there(now)
    }

    /// Takes over what there is to ask about; values of what is gone go with it. Each scrape does so: where nobody came or
    /// went, thousands of units stay where they are.
    pub(super) fn stock(&mut self, resources: &Resources, now: Instant) {
        // Nothing is gone because a list tells of nothing.
        if self.known && !resources.tells_of_guests() {
            return;
        }
        self.known = true;
        let settings = Arc::clone(&self.settings);
        let mut all = found(self.slow.per, resources, settings.select.as_ref()).peekable();
        let mut stay = 0;
        for unit in &mut self.units {
            let Some(found) = all.next_if(|found| order(&unit.subject, found).is_eq()) else { break };
            unit.meet(found);
            stay += 1;
        }
        let mut before = self.units.split_off(stay).into_iter().peekable();
        let mut gone = 0;
        for found in all {
            while let Some(unit) = before.next_if(|unit| order(&unit.subject, &found).is_lt()) {
                gone += usize::from(unit.pending);
            }
            let unit = before.next_if(|unit| order(&unit.subject, &found).is_eq());
            let mut unit = unit.unwrap_or_else(|| Unit::new(found.subject(), now));
            unit.meet(found);
            self.units.push(unit);
        }
        gone += before.filter(|unit| unit.pending).count();
        self.ended(gone, now);
    }

    /// What is due now; each is pending until it is settled. What fails again and again is no older than the rest, and
    /// does not keep it from being asked.
    pub(super) fn take_due(&mut self, now: Instant, reach: Reach<'_>) -> Vec<Due> {
        let within = self.units.iter_mut().filter(|unit| unit.is_within(reach));
        let due = within.filter(|unit| unit.askable && !unit.pending && unit.due <= now);
        let due: Vec<_> = due
            .map(|unit| {
                unit.pending = true;
                Due { since: unit.tried, subject: unit.subject.clone(), is_slow: unit.is_slow }
            })
            .collect();
        self.refreshes.queued(due.len(), now);
        due
    }

    /// Whether the last call about it took long.
    pub(super) fn set_slow(&mut self, subject: &Subject, is_slow: bool) {
        if let Some(unit) = self.unit(subject) {
            unit.is_slow = is_slow;
        }
    }

    /// Nothing came of it: it may be asked about again.
    pub(super) fn put_back(&mut self, subject: &Subject, now: Instant) {
        let Some(unit) = self.unit(subject) else { return };
        let was_pending = std::mem::take(&mut unit.pending);
        self.ended(usize::from(was_pending), now);
    }

    /// So many API calls were made.
    pub(super) fn called(&mut self, calls: u64) {
        self.refreshes.called(calls);
    }

    /// So many units wait no longer.
    fn ended(&mut self, units: usize, now: Instant) {
        if units > 0 && self.refreshes.ended(units, now) {
            let mark = self.refreshes.mark();
            if self.units.iter().all(|unit| !unit.askable || unit.refreshed == mark) {
                self.refreshes.complete();
            }
        }
    }

    /// Keeps an answer, unless what it is about is gone by now.
    pub(super) fn settle(
        &mut self,
        subject: &Subject,
        asked: Instant,
        now: Instant,
        answer: Result<Vec<Family>, Error>,
    ) {
        let (ttl, mark) = (self.slow.ttl, self.refreshes.mark());
        let told = answer.as_ref().ok().map(|families| self.bundled(families));
        let Some(unit) = self.unit(subject) else { return };
        let was_pending = std::mem::take(&mut unit.pending);
        unit.outwaited = false;
        if !matches!(&answer, Err(Error { reason: Reason::Busy(_), .. })) {
            unit.tried = Some(now);
            unit.refreshed = mark;
        }
        match answer {
            Ok(_) => {
                unit.failures = 0;
                unit.error = None;
                unit.due = now + jittered(ttl, spread(subject));
                let value = |told| Value { told, fetched: now, duration: now.duration_since(asked) };
                unit.value = told.clone().map(value);
                if let Some(told) = told {
                    self.tell_once(subject, &told);
                }
            }
            // Not asked, so no failure: it is due still, and the next scrape finds the endpoint that is well.
            Err(Error { reason: Reason::Busy(_), .. }) => {}
            Err(error) => {
                unit.due = now + jittered(backoff(unit.failures), spread(subject));
                unit.failures = unit.failures.saturating_add(1);
                // A guest that moved since the list was made is no fault; the next list says where it is.
                let is_fault = !matches!(error.reason, Reason::NotFoundHere(_));
                unit.error = is_fault.then(|| Box::new(error));
            }
        }
        self.ended(usize::from(was_pending), now);
    }

    /// What is young enough to be told; nothing before the first answer.
    pub(super) fn say(&self, now: Instant) -> Option<Said> {
        let patience = self.patience();
        let mut bundles = Bundles::new(self.collector.families, self.units.len());
        let (mut duration, mut age) = (Duration::ZERO, None);
        for value in self.units.iter().filter_map(|unit| unit.fresh(now, patience)) {
            bundles.push(&value.told);
            duration = duration.max(value.duration);
            age = age.max(Some(now.duration_since(value.fetched)));
        }
        let error = self.failed().next().cloned();
        let is_told = error.is_some() || age.is_some() || (self.known && self.units.is_empty());
        let refresh = self.refreshes.last();
        is_told.then(|| Said { families: bundles.into_families(), error, duration, age, refresh })
    }

    fn bundled(&mut self, families: &[Family]) -> Arc<Bundle> {
        for family in families {
            // The families of a collector are announced, so they are known.
            if let About::Known(desc) = family.desc
                && !self.descs.contains(&desc)
            {
                self.descs.push(desc);
            }
        }
        let told = Bundle::new(&self.descs, families);
        // What a node lists may come in another order each time.
        Arc::new(if self.slow.per == Per::Node { told.sorted() } else { told })
    }

    /// Two nodes may tell of the same thing, such as a replication job that moved with its guest: then the one that was
    /// heard last is right.
    fn tell_once(&mut self, heard: &Subject, told: &Bundle) {
        if self.slow.per != Per::Node {
            return;
        }
        let names = told.names();
        for value in self.units.iter_mut().filter(|unit| unit.subject != *heard).filter_map(|unit| unit.value.as_mut())
        {
            if let Some(left) = value.told.without(&names) {
                value.told = Arc::new(left);
            }
        }
    }

    fn unit(&mut self, subject: &Subject) -> Option<&mut Unit> {
        let place = self.units.binary_search_by(|unit| order_of(&unit.subject, subject)).ok()?;
        self.units.get_mut(place)
    }

    fn failed(&self) -> impl Iterator<Item = &Error> {
        self.units.iter().filter(|unit| unit.askable).filter_map(|unit| unit.error.as_deref())
    }

    fn patience(&self) -> Duration {
        self.demand.patience(self.slow.ttl)
    }
}

/// For the drop-in page.
impl Shelf {
    /// Whether something is asked for the first time, or after so long that nothing can be told of it.
    pub(super) fn is_awaited(&self, now: Instant, reach: Reach<'_>) -> bool {
        let patience = self.patience();
        self.within(reach).any(|unit| unit.is_awaited(now, patience) && !unit.outwaited)
    }

    /// Nobody waits any longer for what is asked for now.
    pub(super) fn give_up(&mut self, reach: Reach<'_>) {
        self.units.iter_mut().filter(|unit| unit.is_within(reach)).for_each(|unit| unit.outwaited = unit.pending);
    }

    /// What is young enough to be told in these families; nothing before the subjects are known.
    pub(super) fn kept(
        &self,
        families: &[&'static Desc],
        now: Instant,
        reach: Reach<'_>,
        since: Instant,
    ) -> Option<Shelved> {
        if !self.known {
            return None;
        }
        let patience = self.patience();
        let mut kept = Shelved::default();
        for unit in self.within(reach) {
            kept.error = kept.error.or_else(|| unit.error.as_deref().filter(|_| unit.askable).cloned());
            kept.unanswered |= unit.is_awaited(now, patience);
            let Some(value) = unit.fresh(now, patience) else { continue };
            kept.answered |= value.fetched >= since;
            kept.duration = kept.duration.max(value.duration);
            kept.age = kept.age.max(Some(now.duration_since(value.fetched)));
            kept.told.push((unit.subject.clone(), value.told.families(&self.descs, families)));
        }
        Some(kept)
    }

    /// The first failure of those that did not succeed since, wherever; nothing before the first answer.
    pub(super) fn outcome(&self) -> Option<Option<Error>> {
        let error = self.failed().next().cloned();
        (error.is_some() || self.units.iter().any(|unit| unit.value.is_some())).then_some(error)
    }

    fn within(&self, reach: Reach<'_>) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(move |unit| unit.is_within(reach))
    }
}

impl Unit {
    fn new(subject: Subject, now: Instant) -> Self {
        let (tried, error, value) = (None, None, None);
        let (askable, pending, is_slow, outwaited) = (false, false, false, false);
        Self { subject, askable, pending, refreshed: 0, due: now, tried, failures: 0, is_slow, outwaited, error, value }
    }

    /// It is there still, perhaps elsewhere.
    fn meet(&mut self, found: Found<'_>) {
        self.askable = match found {
            Found::Cluster => true,
            Found::Node(_, online) => online,
            Found::Guest(guest) => guest.status.is_some(),
        };
        if let (Subject::Guest { node, .. }, Found::Guest(guest)) = (&mut self.subject, found)
            && *node != guest.node
        {
            *node = Arc::clone(&guest.node);
        }
    }

    fn is_within(&self, reach: Reach<'_>) -> bool {
        match (&self.subject, reach) {
            (Subject::Cluster, _) | (_, Reach::All) => true,
            (Subject::Node(node) | Subject::Guest { node, .. }, Reach::Node(meant)) => **node == *meant,
        }
    }

    fn is_awaited(&self, now: Instant, patience: Duration) -> bool {
        self.askable && self.pending && self.error.is_none() && self.fresh(now, patience).is_none()
    }

    fn fresh(&self, now: Instant, patience: Duration) -> Option<&Value> {
        self.value.as_ref().filter(|value| now.duration_since(value.fetched) <= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::GuestKind;
    use crate::metrics::{Kind, Labels, Sample};

    static ONBOOT: Desc = Desc { name: "pve_onboot_status", help: "Test.", kind: Kind::Gauge };

    const SECOND: Duration = Duration::from_secs(1);

    static COLLECTOR: Collector = Collector {
        name: "test",
        about: "test",
        needs: &[],
        calls: &[],
        families: &[&ONBOOT],
        preset: None,
        options: &[],
        lane: crate::collectors::Lane::Slow(SLOW),
    };

    const SLOW: Slow = Slow {
        ttl: Duration::from_secs(30),
        per: Per::Guest,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch: |_| Box::pin(async { Ok(Vec::new()) }),
    };

    fn shelf(per: Per) -> Shelf {
        Shelf::new(&COLLECTOR, Slow { per, ..SLOW }, Arc::default())
    }

    fn resources(guests: &str, online: bool) -> Resources {
        let status = if online { "online" } else { "offline" };
        Resources::read(&format!(
            r#"{{"data":[{{"type":"node","node":"a","status":"{status}"}},{{"type":"node","node":"b","status":"online","uptime":1}}{guests}]}}"#
        ))
    }

    const GUEST: &str = r#",{"type":"qemu","vmid":100,"node":"a","status":"running","name":"x"}"#;

    fn guest(vmid: u64) -> Subject {
        Subject::Guest { kind: GuestKind::Qemu, vmid, node: "a".into() }
    }

    fn value(number: f64) -> Result<Vec<Family>, Error> {
        let sample = Sample { labels: Labels::new(&[("id", "qemu/100")]), value: number };
        Ok(vec![Family { desc: (&ONBOOT).into(), samples: vec![sample].into() }])
    }

    fn failure(reason: Reason) -> Result<Vec<Family>, Error> {
        Err(Error { endpoint: "https://pve:8006".into(), path: "/x".into(), reason })
    }

    fn told(shelf: &Shelf, now: Instant) -> Option<(Vec<f64>, bool, Option<u64>)> {
        let said = shelf.say(now)?;
        let values = said.families.iter().flat_map(|family| family.samples.iter()).map(|sample| sample.value).collect();
        Some((values, said.error.is_none(), said.age.map(|age| age.as_secs())))
    }

    #[test]
    fn a_value_is_asked_for_once_per_ttl_and_served_for_three() {
        let (mut shelf, start) = (shelf(Per::Guest), Instant::now());
        shelf.want(start);
        shelf.stock(&resources(GUEST, true), start);
        assert_eq!(told(&shelf, start), None, "nothing is said before the first answer");
        let due = shelf.take_due(start, Reach::All);
        assert_eq!(due.len(), 1);
        assert!(shelf.take_due(start, Reach::All).is_empty(), "it is pending");
        shelf.settle(&due[0].subject, start, start + SECOND, value(1.0));
        assert!(shelf.take_due(start + 20 * SECOND, Reach::All).is_empty(), "it is young");
        assert_eq!(told(&shelf, start + 20 * SECOND), Some((vec![1.0], true, Some(19))));
        assert_eq!(shelf.take_due(start + 31 * SECOND, Reach::All).len(), 1);
        assert_eq!(told(&shelf, start + 91 * SECOND), Some((vec![1.0], true, Some(90))));
        assert_eq!(told(&shelf, start + 92 * SECOND), None, "too old to be told");
    }

    #[test]
    fn a_shorter_time_is_kept_from_when_it_is_said() {
        let (mut shelf, start) = (shelf(Per::Guest), Instant::now());
        shelf.set(Slow { ttl: 3600 * SECOND, ..SLOW }, Arc::default());
        shelf.stock(&resources(GUEST, true), start);
        shelf.take_due(start, Reach::All);
        shelf.settle(&guest(100), start, start, value(1.0));
        let soon = start + 40 * SECOND;
        assert!(shelf.take_due(soon, Reach::All).is_empty());
        shelf.set(SLOW, Arc::default());
        assert_eq!(shelf.take_due(soon, Reach::All).len(), 1);
        shelf.settle(&guest(100), soon, soon, value(2.0));
        shelf.set(Slow { ttl: 3600 * SECOND, ..SLOW }, Arc::default());
        assert_eq!(shelf.take_due(soon + 31 * SECOND, Reach::All).len(), 1, "a longer one counts from the next answer");
    }

    #[test]
    fn seldom_scrapes_still_see_a_value() {
        let (mut shelf, start) = (shelf(Per::Cluster), Instant::now());
        for round in 0..4 {
            let now = start + round * 120 * SECOND;
            shelf.want(now);
            shelf.stock(&resources("", true), now);
            assert_eq!(told(&shelf, now).is_some(), round > 0, "round {round}");
            for Due { subject, .. } in shelf.take_due(now, Reach::All) {
                shelf.settle(&subject, now, now, value(1.0));
            }
        }
        let last = start + 360 * SECOND;
        assert!(told(&shelf, last + 180 * SECOND).is_some() && told(&shelf, last + 181 * SECOND).is_none());
    }

    #[test]
    fn failures_are_told_and_tried_again_with_patience() {
        let (mut shelf, start) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), start);
        let mut now = start;
        let (mut waits, mut tried) = (Vec::new(), None);
        for _ in 0..9 {
            let due = shelf.take_due(now, Reach::All);
            assert_eq!(due[0].since, tried, "it is as old as its last failure");
            tried = Some(now);
            shelf.settle(&due[0].subject, now, now, failure(Reason::Status(595, "No route to host".into())));
            let failed = now;
            while shelf.take_due(now, Reach::All).is_empty() {
                now += SECOND;
            }
            shelf.put_back(&guest(100), now);
            waits.push(now.duration_since(failed).as_secs());
        }
        assert!(waits[0] <= 10 && waits[8] <= 600 && waits.is_sorted() && waits[8] > 500, "{waits:?}");
        assert_eq!(told(&shelf, now), Some((vec![], false, None)));
        shelf.settle(&guest(100), now, now, value(1.0));
        assert_eq!(told(&shelf, now), Some((vec![1.0], true, Some(0))), "well again");
    }

    #[test]
    fn what_is_gone_is_dropped_and_what_is_lost_is_left_alone() {
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        shelf.settle(&due[0].subject, now, now, value(1.0));
        shelf.stock(&resources(GUEST, false), now);
        assert!(shelf.take_due(now + 60 * SECOND, Reach::All).is_empty(), "nobody asks a lost node");
        assert_eq!(told(&shelf, now), Some((vec![1.0], true, Some(0))), "the last value is still young");
        let moved = GUEST.replace("\"a\"", "\"b\"");
        shelf.stock(&resources(&moved, false), now);
        assert_eq!(told(&shelf, now), Some((vec![1.0], true, Some(0))), "a guest that moved keeps its value");
        assert!(
            matches!(&shelf.take_due(now + 60 * SECOND, Reach::All)[0].subject, Subject::Guest { node, .. } if &**node == "b")
        );
        shelf.stock(&resources("", true), now);
        shelf.settle(&due[0].subject, now, now, value(2.0));
        assert_eq!(told(&shelf, now), Some((vec![], true, None)), "a deleted guest leaves nothing, not even later");
    }

    #[test]
    fn what_two_nodes_tell_is_told_once_by_who_was_heard_last() {
        let (mut shelf, now) = (shelf(Per::Node), Instant::now());
        shelf.stock(&resources("", true), now);
        let due = shelf.take_due(now, Reach::All);
        assert_eq!(due.len(), 2);
        shelf.settle(&due[0].subject, now, now + SECOND, value(1.0));
        shelf.settle(&due[1].subject, now, now + 2 * SECOND, value(2.0));
        assert_eq!(told(&shelf, now + 2 * SECOND), Some((vec![2.0], true, Some(1))));
        shelf.settle(&due[0].subject, now, now + 3 * SECOND, value(3.0));
        assert_eq!(told(&shelf, now + 3 * SECOND), Some((vec![3.0], true, Some(1))));
    }

    /// Each scrape brings a new list, which mostly says the same.
    #[test]
    fn where_nobody_came_or_went_nothing_is_made_anew() {
        let guests = |node: &str| -> String {
            let entry = |vmid: u32| format!(r#",{{"type":"lxc","vmid":{vmid},"node":"{node}","status":"running"}}"#);
            (100..2100).map(entry).collect()
        };
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(&guests("a"), true), now);
        assert_eq!(shelf.units.len(), 2000);
        let kept = |shelf: &Shelf| {
            let node = |unit: &Unit| match &unit.subject {
                Subject::Guest { node, .. } => Arc::as_ptr(node),
                other => panic!("{other:?}"),
            };
            (shelf.units.as_ptr(), shelf.units.iter().map(node).collect::<Vec<_>>())
        };
        let before = kept(&shelf);
        shelf.stock(&resources(&guests("a"), true), now);
        assert_eq!(kept(&shelf), before);
        shelf.stock(&resources(&guests("b"), true), now);
        assert_eq!(kept(&shelf).0, before.0, "those that moved stay in their place");
        assert!(matches!(&shelf.take_due(now, Reach::All)[7].subject, Subject::Guest { node, .. } if &**node == "b"));
    }

    #[test]
    fn who_comes_between_others_and_who_goes_leave_them_their_values() {
        let listed = |numbers: &[u64]| -> Resources {
            let entry = |vmid: &u64| format!(r#",{{"type":"qemu","vmid":{vmid},"node":"a","status":"running"}}"#);
            resources(&numbers.iter().map(entry).collect::<String>(), true)
        };
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        let mut there: Vec<u64> = Vec::new();
        for numbers in [&[5, 7, 9][..], &[7], &[1, 7, 8], &[2, 3, 7, 8, 9], &[7, 9], &[6, 7], &[7]] {
            shelf.stock(&listed(numbers), now);
            let due: Vec<u64> = shelf
                .take_due(now, Reach::All)
                .into_iter()
                .map(|Due { subject, .. }| {
                    shelf.settle(&subject, now, now, value(spread(&subject) as f64));
                    spread(&subject)
                })
                .collect();
            let new: Vec<u64> = numbers.iter().copied().filter(|vmid| !there.contains(vmid)).collect();
            assert_eq!(due, new, "{numbers:?}");
            let expected = numbers.iter().map(|vmid| *vmid as f64).collect();
            assert_eq!(told(&shelf, now), Some((expected, true, Some(0))));
            there = numbers.to_vec();
        }
    }

    #[test]
    fn who_does_not_run_and_who_is_no_vm_is_not_asked_about_where_that_is_no_use() {
        let guests = r#",{"type":"qemu","vmid":1,"node":"a","status":"running"},{"type":"qemu","vmid":2,"node":"a","status":"stopped"},
            {"type":"lxc","vmid":3,"node":"a","status":"running"},{"type":"qemu","vmid":4,"node":"a","status":"paused"}"#;
        for (per, expected) in [(Per::Guest, &[1, 2, 3, 4][..]), (Per::Running, &[1, 3, 4]), (Per::RunningVms, &[1, 4])]
        {
            let (mut shelf, now) = (shelf(per), Instant::now());
            shelf.stock(&resources(guests, true), now);
            let due: Vec<u64> = shelf.take_due(now, Reach::All).iter().map(|due| spread(&due.subject)).collect();
            assert_eq!(due, expected, "{per:?}");
        }
    }

    #[test]
    fn a_list_that_tells_of_nothing_takes_nothing_away() {
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        shelf.settle(&due[0].subject, now, now, value(1.0));
        for body in [r#"{"data":[{"type":"sdn"}]}"#, r#"{"data":[{"type":"node","node":"a","status":"online"}]}"#] {
            shelf.stock(&Resources::read(body), now);
            assert_eq!(told(&shelf, now), Some((vec![1.0], true, Some(0))), "{body}");
        }
    }

    #[test]
    fn pages_share_what_an_answer_told() {
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        shelf.settle(&due[0].subject, now, now, value(1.0));
        let pages = [shelf.say(now), shelf.say(now)];
        let kept = &shelf.units[0].value.as_ref().expect("a value").told;
        assert_eq!(Arc::strong_count(kept), 3);
        drop(pages);
        assert_eq!(Arc::strong_count(kept), 1);
    }

    #[test]
    fn a_refresh_is_over_when_each_was_answered_once() {
        let two = r#",{"type":"qemu","vmid":100,"node":"a","status":"running"},{"type":"qemu","vmid":101,"node":"b","status":"running"}"#;
        let (mut shelf, start) = (shelf(Per::Guest), Instant::now());
        let last = |shelf: &Shelf| shelf.refreshes.last().map(|last| (last.duration.as_secs(), last.calls));
        shelf.stock(&resources(two, true), start);
        assert_eq!(shelf.take_due(start, Reach::All).len(), 2);
        shelf.called(3);
        shelf.settle(&guest(100), start, start + 2 * SECOND, value(1.0));
        assert_eq!(last(&shelf), None, "one is under way");
        shelf.called(1);
        shelf.settle(&guest(101), start, start + 4 * SECOND, failure(Reason::Status(595, "No route to host".into())));
        assert_eq!(last(&shelf), Some((4, 4)), "a failure is an answer, too");
        // The one that failed is asked again before the other is due.
        let again = start + 20 * SECOND;
        assert_eq!(shelf.take_due(again, Reach::All).len(), 1);
        shelf.called(1);
        shelf.settle(&guest(101), again, again + SECOND, value(1.0));
        assert_eq!(last(&shelf), Some((4, 4)), "the other one was not asked since");
        // The other one goes while it is asked about; one that was not asked is not done.
        let late = start + 60 * SECOND;
        assert_eq!(shelf.take_due(late, Reach::All).len(), 2);
        shelf.put_back(&guest(101), late + SECOND);
        let one = two.split_once("},").map(|(_, one)| format!(",{one}")).expect("two guests");
        shelf.stock(&resources(&one, true), late + 3 * SECOND);
        assert_eq!(last(&shelf), Some((4, 1)), "the time in between, in which nothing waited, does not count");
        // Both go the same way, asked about or not.
        shelf.stock(&resources(two, true), late + 4 * SECOND);
        assert_eq!(shelf.take_due(late + 4 * SECOND, Reach::All).len(), 2);
        shelf.stock(&resources(GUEST, true), late + 9 * SECOND);
        shelf.called(1);
        shelf.settle(&guest(100), late, late + 10 * SECOND, value(1.0));
        assert_eq!(last(&shelf), Some((6, 1)), "what is left was answered");
    }

    #[test]
    fn what_an_answer_tells_twice_is_told_once() {
        for per in [Per::Cluster, Per::Node, Per::Guest] {
            let (mut shelf, now) = (shelf(per), Instant::now());
            shelf.stock(&resources(GUEST, true), now);
            let due = shelf.take_due(now, Reach::All);
            let answer = [f64::NAN, 1.0, 2.0].into_iter().flat_map(|number| value(number).expect("a value"));
            shelf.settle(&due[0].subject, now, now, Ok(answer.collect()));
            assert_eq!(told(&shelf, now), Some((vec![1.0], true, Some(0))), "{per:?}");
        }
    }

    #[test]
    fn what_found_no_place_is_due_still() {
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        shelf.settle(&due[0].subject, now, now, failure(Reason::Busy("busy".into())));
        assert_eq!(told(&shelf, now), None, "no failure");
        assert_eq!(shelf.take_due(now, Reach::All).len(), 1);
    }

    #[test]
    fn a_first_answer_is_waited_for_once_and_only_where_it_is_wanted() {
        let (mut shelf, start) = (shelf(Per::Guest), Instant::now());
        let (here, there) = (Reach::Node("a"), Reach::Node("b"));
        let kept = |shelf: &Shelf, now, reach| {
            let kept = shelf.kept(&[&ONBOOT], now, reach, start).expect("the subjects are known");
            (kept.told.len(), kept.unanswered, kept.answered, kept.age.map(|age| age.as_secs()))
        };
        assert!(shelf.kept(&[&ONBOOT], start, here, start).is_none() && !shelf.is_awaited(start, here));
        shelf.stock(&resources(GUEST, true), start);
        assert!(shelf.take_due(start, there).is_empty() && !shelf.is_awaited(start, here), "nothing is asked yet");
        let due = shelf.take_due(start, here);
        assert!(shelf.is_awaited(start, here) && !shelf.is_awaited(start, there));
        assert_eq!(
            (kept(&shelf, start, here), kept(&shelf, start, there)),
            ((0, true, false, None), (0, false, false, None))
        );
        shelf.give_up(here);
        assert!(!shelf.is_awaited(start, here), "it took too long");
        assert!(kept(&shelf, start, here).1, "that nothing is there is told still");
        shelf.settle(&due[0].subject, start, start + SECOND, value(1.0));
        assert_eq!(kept(&shelf, start + SECOND, here), (1, false, true, Some(0)));
        assert_eq!(shelf.outcome(), Some(None));
        // After so long that the value cannot be told, it is as if there was none.
        let late = start + 300 * SECOND;
        shelf.take_due(late, here);
        assert!(shelf.is_awaited(late, here));
        assert_eq!(kept(&shelf, late, here), (0, true, false, None));
        shelf.settle(&due[0].subject, late, late, failure(Reason::Status(595, "No route to host".into())));
        assert!(!shelf.is_awaited(late, here), "an error is an answer too");
        assert!(shelf.kept(&[], late, here, late).expect("known").error.is_some());
    }

    #[test]
    fn a_page_gets_the_rows_of_its_own_families() {
        static OTHER: Desc = Desc { name: "pve_onboot_status", help: "On the other page.", kind: Kind::Gauge };
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        let of = |desc: &'static Desc, value| {
            let sample = Sample { labels: Labels::new(&[("id", "qemu/100")]), value };
            Family { desc: desc.into(), samples: vec![sample].into() }
        };
        shelf.settle(&due[0].subject, now, now, Ok(vec![of(&ONBOOT, 1.0), of(&OTHER, 2.0)]));
        assert_eq!(told(&shelf, now), Some((vec![1.0], true, Some(0))));
        let kept = shelf.kept(&[&OTHER], now, Reach::All, now).expect("known");
        assert_eq!(kept.told[0].1, [of(&OTHER, 2.0)]);
    }

    #[test]
    fn a_guest_that_moved_while_it_was_asked_about_is_no_fault() {
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        shelf.settle(&due[0].subject, now, now, failure(Reason::NotFoundHere("Configuration file".into())));
        assert_eq!(told(&shelf, now), None);
        assert_eq!(shelf.take_due(now + 11 * SECOND, Reach::All).len(), 1);
    }
}
