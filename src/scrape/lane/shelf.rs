//! What is kept of one slow-lane collector: a value per subject, when it is due again, how long it is good.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::demand::{Demand, backoff, jittered, seed};
use crate::collectors::{Collector, Per, Slow, Subject};
use crate::config::CollectorSettings;
use crate::ids::GuestSelection;
use crate::inventory::{Guest, GuestKind, Identity, Resources};
use crate::metrics::{About, Desc, Family, Labels, Sample, Samples};
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
    units: BTreeMap<Key, Unit>,
}

/// What a value is about; a guest keeps its value when it moves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Cluster,
    Node(Arc<str>),
    Guest(u64, GuestKind),
}

struct Unit {
    subject: Subject,
    /// Its node is online: it may be asked about.
    askable: bool,
    /// Asked or waiting to be.
    pending: bool,
    due: Instant,
    /// When it was last answered, well or badly.
    tried: Option<Instant>,
    failures: u32,
    /// It took long the last time.
    is_slow: bool,
    /// A scrape waited for the first answer, and in vain.
    outwaited: bool,
    error: Option<Error>,
    value: Option<Value>,
}

/// What is to be asked about.
#[derive(Debug, Clone)]
pub(super) struct Due {
    /// When it was last asked about; none: never.
    pub(super) since: Option<Instant>,
    pub(super) key: Key,
    pub(super) subject: Subject,
    /// It took long the last time.
    pub(super) is_slow: bool,
}

struct Value {
    rows: Box<[Row]>,
    fetched: Instant,
    duration: Duration,
}

/// One sample.
struct Row {
    desc: &'static Desc,
    labels: Labels,
    value: f64,
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
}

impl Shelf {
    pub(super) fn new(collector: &'static Collector, slow: Slow, settings: Arc<CollectorSettings>) -> Self {
        let (demand, units) = (Demand::default(), BTreeMap::new());
        let mut shelf = Self { collector, slow, settings: Arc::default(), demand, known: false, units };
        shelf.set(slow, settings);
        shelf
    }

    /// Takes over what the configuration says of the collector.
    pub(super) fn set(&mut self, slow: Slow, settings: Arc<CollectorSettings>) {
        let ttl = settings.ttl.unwrap_or(slow.ttl);
        let max_in_flight = settings.max_in_flight.or(slow.max_in_flight);
        self.slow = Slow { ttl, max_in_flight, ..slow };
        self.settings = settings;
    }

    /// Notes that a scrape wants the values.
    pub(super) fn want(&mut self, now: Instant) {
        self.demand.want(now);
    }

    /// Whether scrapes still come: a long queue ends when nobody waits for it any more.
    pub(super) fn is_wanted(&self, now: Instant) -> bool {
        self.demand.is_there(now)
    }

    /// Takes over what there is to ask about; values of what is gone go with it.
    pub(super) fn stock(&mut self, resources: &Resources, now: Instant) {
        self.known = true;
        let mut before = std::mem::take(&mut self.units);
        for (key, subject, askable) in subjects(self.slow.per, resources, self.settings.select.as_ref()) {
            let unit = match before.remove(&key) {
                Some(unit) => Unit { subject, askable, ..unit },
                None => Unit::new(subject, askable, now),
            };
            self.units.insert(key, unit);
        }
    }

    /// What is due now; each is pending until it is settled. What fails again and again is no older than the rest, and
    /// does not keep it from being asked.
    pub(super) fn take_due(&mut self, now: Instant, reach: Reach<'_>) -> Vec<Due> {
        let within = self.units.iter_mut().filter(|(_, unit)| unit.is_within(reach));
        let due = within.filter(|(_, unit)| unit.askable && !unit.pending && unit.due <= now);
        due.map(|(key, unit)| {
            unit.pending = true;
            let (since, key, subject) = (unit.tried, key.clone(), unit.subject.clone());
            Due { since, key, subject, is_slow: unit.is_slow }
        })
        .collect()
    }

    /// Whether the last call about it took long.
    pub(super) fn set_slow(&mut self, key: &Key, is_slow: bool) {
        if let Some(unit) = self.units.get_mut(key) {
            unit.is_slow = is_slow;
        }
    }

    /// Nothing came of it: it may be asked about again.
    pub(super) fn put_back(&mut self, key: &Key) {
        if let Some(unit) = self.units.get_mut(key) {
            unit.pending = false;
        }
    }

    /// Keeps an answer, unless what it is about is gone by now.
    pub(super) fn settle(&mut self, key: &Key, asked: Instant, now: Instant, answer: Result<Vec<Family>, Error>) {
        let ttl = self.slow.ttl;
        let Some(unit) = self.units.get_mut(key) else { return };
        unit.pending = false;
        unit.outwaited = false;
        if !matches!(&answer, Err(Error { reason: Reason::Busy(_), .. })) {
            unit.tried = Some(now);
        }
        match answer {
            Ok(families) => {
                unit.value = Some(Value { rows: rows(families), fetched: now, duration: now.duration_since(asked) });
                unit.failures = 0;
                unit.error = None;
                unit.due = now + jittered(ttl, key.seed());
            }
            // Not asked, so no failure: it is due still, and the next scrape finds the endpoint that is well.
            Err(Error { reason: Reason::Busy(_), .. }) => {}
            Err(error) => {
                unit.due = now + jittered(backoff(unit.failures), key.seed());
                unit.failures = unit.failures.saturating_add(1);
                // A guest that moved since the list was made is no fault; the next list says where it is.
                unit.error = Some(error).filter(|error| !matches!(error.reason, Reason::NotFoundHere(_)));
            }
        }
    }

    /// What is young enough to be told; nothing before the first answer.
    pub(super) fn say(&self, now: Instant) -> Option<Said> {
        let patience = self.patience();
        let fresh = |value: &&Value| value.is_fresh(now, patience);
        let values = || self.units.values().filter_map(|unit| unit.value.as_ref()).filter(fresh);
        let mut failed = self.units.values().filter(|unit| unit.askable).filter_map(|unit| unit.error.as_ref());
        let error = failed.next().cloned();
        if error.is_none() && values().next().is_none() && !(self.known && self.units.is_empty()) {
            return None;
        }
        let mut families: Vec<Family> = self
            .collector
            .families
            .iter()
            .map(|desc| Family { desc: (*desc).into(), samples: Samples::default() })
            .collect();
        for row in self.newest(values()) {
            if let Some(family) = families.iter_mut().find(|family| family.desc == row.desc.into()) {
                family.samples.push(Sample { labels: row.labels.clone(), value: row.value });
            }
        }
        Some(Said {
            families,
            error,
            duration: values().map(|value| value.duration).max().unwrap_or_default(),
            age: values().map(|value| now.duration_since(value.fetched)).max(),
        })
    }

    /// The rows of all values. Two nodes may tell of the same thing, such as a replication job that moved with its
    /// guest: then the newer one is right.
    fn newest<'v>(&self, values: impl Iterator<Item = &'v Value>) -> Vec<&'v Row> {
        let mut values: Vec<&Value> = values.collect();
        if self.slow.per != Per::Node {
            return values.into_iter().flat_map(|value| &value.rows).collect();
        }
        values.sort_by_key(|value| std::cmp::Reverse(value.fetched));
        let mut told = BTreeMap::new();
        for row in values.into_iter().flat_map(|value| &value.rows) {
            told.entry((row.labels.as_str(), row.desc.name, row.desc.help)).or_insert(row);
        }
        told.into_values().collect()
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
        self.units.values_mut().filter(|unit| unit.is_within(reach)).for_each(|unit| unit.outwaited = unit.pending);
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
            kept.error = kept.error.or_else(|| unit.error.clone().filter(|_| unit.askable));
            kept.unanswered |= unit.is_awaited(now, patience);
            let Some(value) = unit.value.as_ref().filter(|value| value.is_fresh(now, patience)) else { continue };
            kept.answered |= value.fetched >= since;
            kept.duration = kept.duration.max(value.duration);
            kept.age = kept.age.max(Some(now.duration_since(value.fetched)));
            kept.told.push((unit.subject.clone(), value.families(families)));
        }
        Some(kept)
    }

    /// The first failure of those that did not succeed since, wherever; nothing before the first answer.
    pub(super) fn outcome(&self) -> Option<Option<Error>> {
        let mut failed = self.units.values().filter(|unit| unit.askable).filter_map(|unit| unit.error.as_ref());
        let error = failed.next().cloned();
        (error.is_some() || self.units.values().any(|unit| unit.value.is_some())).then_some(error)
    }

    fn within(&self, reach: Reach<'_>) -> impl Iterator<Item = &Unit> {
        self.units.values().filter(move |unit| unit.is_within(reach))
    }
}

impl Key {
    fn seed(&self) -> u64 {
        match self {
            Self::Cluster => 0,
            Self::Node(name) => seed(name),
            Self::Guest(vmid, _) => *vmid,
        }
    }
}

impl Unit {
    fn new(subject: Subject, askable: bool, now: Instant) -> Self {
        let (tried, error, value) = (None, None, None);
        let (pending, is_slow, outwaited) = (false, false, false);
        Self { subject, askable, pending, due: now, tried, failures: 0, is_slow, outwaited, error, value }
    }

    fn is_within(&self, reach: Reach<'_>) -> bool {
        match (&self.subject, reach) {
            (Subject::Cluster, _) | (_, Reach::All) => true,
            (Subject::Node(node) | Subject::Guest { node, .. }, Reach::Node(meant)) => **node == *meant,
        }
    }

    fn is_awaited(&self, now: Instant, patience: Duration) -> bool {
        let told = self.value.as_ref().is_some_and(|value| value.is_fresh(now, patience));
        self.askable && self.pending && self.error.is_none() && !told
    }
}

impl Value {
    fn is_fresh(&self, now: Instant, patience: Duration) -> bool {
        now.duration_since(self.fetched) <= patience
    }

    fn families(&self, descs: &[&'static Desc]) -> Vec<Family> {
        let family = |desc: &&'static Desc| {
            let rows = self.rows.iter().filter(|row| row.desc == *desc);
            let samples = rows.map(|row| Sample { labels: row.labels.clone(), value: row.value }).collect();
            Family { desc: (*desc).into(), samples }
        };
        descs.iter().map(family).filter(|family| !family.samples.is_empty()).collect()
    }
}

fn subjects(per: Per, resources: &Resources, select: Option<&GuestSelection>) -> Vec<(Key, Subject, bool)> {
    match per {
        Per::Cluster => vec![(Key::Cluster, Subject::Cluster, true)],
        Per::Node => {
            let named = resources.nodes.iter().map(|node| (Arc::<str>::from(node.name.as_str()), node.online));
            named.map(|(name, online)| (Key::Node(Arc::clone(&name)), Subject::Node(name), online)).collect()
        }
        Per::Guest | Per::Running => {
            let is_meant = |guest: &&Guest| select.is_none_or(|select| selects(select, guest));
            // What is known of a guest that is lost may still be told; of one that stopped, nothing is true any more.
            let is_there = |guest: &&Guest| per == Per::Guest || guest.status.as_deref() != Some("stopped");
            resources.guests.iter().filter(is_there).filter(is_meant).map(about).collect()
        }
    }
}

fn selects(select: &GuestSelection, guest: &Guest) -> bool {
    let Identity { vmid, tags, pool, .. } = &*guest.identity;
    select.has(*vmid, tags.split(';'), pool.as_deref())
}

fn about(guest: &Guest) -> (Key, Subject, bool) {
    let (kind, vmid) = (guest.identity.kind, guest.identity.vmid);
    let subject = Subject::Guest { kind, vmid, node: Arc::clone(&guest.node) };
    (Key::Guest(vmid, kind), subject, guest.status.is_some())
}

fn rows(families: Vec<Family>) -> Box<[Row]> {
    let samples = families.into_iter().flat_map(|family| {
        // The families of a collector are announced, so they are known.
        let desc = if let About::Known(desc) = family.desc { Some(desc) } else { None };
        let row = move |sample: Sample| Some(Row { desc: desc?, labels: sample.labels, value: sample.value });
        family.samples.into_iter().filter_map(row)
    });
    samples.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;

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
            r#"{{"data":[{{"type":"node","node":"a","status":"{status}"}},{{"type":"node","node":"b","status":"online"}}{guests}]}}"#
        ))
    }

    const GUEST: &str = r#",{"type":"qemu","vmid":100,"node":"a","status":"running","name":"x"}"#;

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
        shelf.settle(&due[0].key, start, start + SECOND, value(1.0));
        assert!(shelf.take_due(start + 20 * SECOND, Reach::All).is_empty(), "it is young");
        assert_eq!(told(&shelf, start + 20 * SECOND), Some((vec![1.0], true, Some(19))));
        assert_eq!(shelf.take_due(start + 31 * SECOND, Reach::All).len(), 1);
        assert_eq!(told(&shelf, start + 91 * SECOND), Some((vec![1.0], true, Some(90))));
        assert_eq!(told(&shelf, start + 92 * SECOND), None, "too old to be told");
    }

    #[test]
    fn seldom_scrapes_still_see_a_value() {
        let (mut shelf, start) = (shelf(Per::Cluster), Instant::now());
        for round in 0..4 {
            let now = start + round * 120 * SECOND;
            shelf.want(now);
            shelf.stock(&resources("", true), now);
            assert_eq!(told(&shelf, now).is_some(), round > 0, "round {round}");
            for Due { key, .. } in shelf.take_due(now, Reach::All) {
                shelf.settle(&key, now, now, value(1.0));
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
            shelf.settle(&due[0].key, now, now, failure(Reason::Status(595, "No route to host".into())));
            let failed = now;
            while shelf.take_due(now, Reach::All).is_empty() {
                now += SECOND;
            }
            shelf.put_back(&Key::Guest(100, GuestKind::Qemu));
            waits.push(now.duration_since(failed).as_secs());
        }
        assert!(waits[0] <= 10 && waits[8] <= 600 && waits.is_sorted() && waits[8] > 500, "{waits:?}");
        assert_eq!(told(&shelf, now), Some((vec![], false, None)));
        shelf.settle(&Key::Guest(100, GuestKind::Qemu), now, now, value(1.0));
        assert_eq!(told(&shelf, now), Some((vec![1.0], true, Some(0))), "well again");
    }

    #[test]
    fn what_is_gone_is_dropped_and_what_is_lost_is_left_alone() {
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        shelf.settle(&due[0].key, now, now, value(1.0));
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
        shelf.settle(&due[0].key, now, now, value(2.0));
        assert_eq!(told(&shelf, now), Some((vec![], true, None)), "a deleted guest leaves nothing, not even later");
    }

    #[test]
    fn what_two_nodes_tell_is_told_once_by_the_newer() {
        let (mut shelf, now) = (shelf(Per::Node), Instant::now());
        shelf.stock(&resources("", true), now);
        let due = shelf.take_due(now, Reach::All);
        assert_eq!(due.len(), 2);
        shelf.settle(&due[0].key, now, now + 2 * SECOND, value(2.0));
        shelf.settle(&due[1].key, now, now + SECOND, value(1.0));
        assert_eq!(told(&shelf, now + 2 * SECOND), Some((vec![2.0], true, Some(1))));
    }

    #[test]
    fn what_found_no_place_is_due_still() {
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        shelf.settle(&due[0].key, now, now, failure(Reason::Busy("busy".into())));
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
        shelf.settle(&due[0].key, start, start + SECOND, value(1.0));
        assert_eq!(kept(&shelf, start + SECOND, here), (1, false, true, Some(0)));
        assert_eq!(shelf.outcome(), Some(None));
        // After so long that the value cannot be told, it is as if there was none.
        let late = start + 300 * SECOND;
        shelf.take_due(late, here);
        assert!(shelf.is_awaited(late, here));
        assert_eq!(kept(&shelf, late, here), (0, true, false, None));
        shelf.settle(&due[0].key, late, late, failure(Reason::Status(595, "No route to host".into())));
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
        shelf.settle(&due[0].key, now, now, Ok(vec![of(&ONBOOT, 1.0), of(&OTHER, 2.0)]));
        assert_eq!(told(&shelf, now), Some((vec![1.0], true, Some(0))));
        let kept = shelf.kept(&[&OTHER], now, Reach::All, now).expect("known");
        assert_eq!(kept.told[0].1, [of(&OTHER, 2.0)]);
    }

    #[test]
    fn a_guest_that_moved_while_it_was_asked_about_is_no_fault() {
        let (mut shelf, now) = (shelf(Per::Guest), Instant::now());
        shelf.stock(&resources(GUEST, true), now);
        let due = shelf.take_due(now, Reach::All);
        shelf.settle(&due[0].key, now, now, failure(Reason::NotFoundHere("Configuration file".into())));
        assert_eq!(told(&shelf, now), None);
        assert_eq!(shelf.take_due(now + 11 * SECOND, Reach::All).len(), 1);
    }
}
