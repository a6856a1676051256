//! All that is known, in memory: the findings, who has taken which of them, and what the watchers remember (pure).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::finding::{Finding, Kind, Severity, Span};
use super::journal::Record;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Findings.
    pub findings: usize,
    /// Their texts, in bytes.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { findings: 10_000, bytes: 16 << 20 }
    }
}

/// One finding, and who has taken it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// What was found.
    pub(super) finding: Arc<Finding>,
    /// When, in seconds since 1970 on our clock.
    pub(super) at: i64,
    /// When each Alertmanager took it first.
    delivered: BTreeMap<String, i64>,
    size: usize,
}

/// What one Alertmanager is to be told. Times are seconds since 1970 on our clock.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The number of the finding.
    pub(super) number: u64,
    /// When it was found.
    pub(super) at: i64,
    /// What it is.
    pub(super) finding: Arc<Finding>,
    /// When that Alertmanager took it first.
    pub(super) delivered: Option<i64>,
}

/// All that is known.
#[derive(Debug)]
pub(super) struct Book {
    limits: Limits,
    /// By number.
    entries: BTreeMap<u64, Entry>,
    /// Keys of the entries, and whether it is the end of a condition, which has the key of its beginning.
    keys: HashSet<(String, bool)>,
    /// Conditions that are not over, by cluster, kind and id: numbers.
    open: BTreeMap<Condition, u64>,
    /// By cluster and name.
    states: BTreeMap<(String, String), String>,
    /// URLs of Alertmanagers, and the number of the first finding that each is told of.
    members: BTreeMap<String, u64>,
    next: u64,
    bytes: usize,
}

type Condition = (String, &'static str, String);

impl Book {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            keys: HashSet::new(),
            open: BTreeMap::new(),
            states: BTreeMap::new(),
            members: BTreeMap::new(),
            next: 1,
            bytes: 0,
        }
    }

    /// Takes what the journal says.
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Format { .. } => {}
            Record::Found { number, at, finding } => self.insert(*number, *at, finding),
            Record::State { cluster, name, text } => {
                let key = (cluster.clone(), name.clone());
                if text.is_empty() {
                    self.states.remove(&key);
                } else {
                    self.states.insert(key, text.clone());
                }
            }
            Record::Member { alertmanager, from } => {
                self.members.insert(alertmanager.clone(), *from);
                self.next = self.next.max(*from);
            }
            Record::Delivered { alertmanager, at, numbers } => {
                for number in numbers {
                    if let Some(entry) = self.entries.get_mut(number) {
                        entry.delivered.entry(alertmanager.clone()).or_insert(*at);
                    }
                }
            }
        }
    }

    fn insert(&mut self, number: u64, at: i64, finding: &Arc<Finding>) {
        // A number that is there twice is a fault of the journal; the first one counts.
        if self.entries.contains_key(&number) || !self.keys.insert(key(finding)) {
            return;
        }
        match finding.span {
            Span::Occurred { .. } => {}
            Span::Began { .. } => {
                self.open.insert(condition(finding), number);
            }
            Span::Ended { .. } => {
                self.open.remove(&condition(finding));
            }
        }
        let size = size(finding);
        self.bytes = self.bytes.saturating_add(size);
        self.next = self.next.max(number.saturating_add(1));
        let entry = Entry { finding: Arc::clone(finding), at, delivered: BTreeMap::new(), size };
        self.entries.insert(number, entry);
    }

    /// The records that say of new findings; those that are known already are left out.
    pub(super) fn found(&self, findings: Vec<Finding>, at: i64) -> Vec<Record> {
        let mut new = HashSet::new();
        let fresh = findings.into_iter().filter(|finding| {
            let key = key(finding);
            !self.keys.contains(&key) && new.insert(key)
        });
        let numbered = (self.next..).zip(fresh);
        numbered.map(|(number, finding)| Record::Found { number, at, finding: Arc::new(finding) }).collect()
    }

    /// Whether a watcher's memory would change.
    pub(super) fn is_new_state(&self, cluster: &str, name: &str, text: &str) -> bool {
        self.state(cluster, name).unwrap_or_default() != text
    }

    /// What a watcher remembers.
    pub(super) fn state(&self, cluster: &str, name: &str) -> Option<&str> {
        self.states.get(&(cluster.to_owned(), name.to_owned())).map(String::as_str)
    }

    /// All names and texts that the watcher of a cluster remembers.
    pub(super) fn states(&self, cluster: &str) -> BTreeMap<String, String> {
        let of = self.states.iter().filter(|((owner, _), _)| owner == cluster);
        of.map(|((_, name), text)| (name.clone(), text.clone())).collect()
    }

    /// Whether a condition is not over.
    pub(super) fn has_open(&self, cluster: &str, kind: Kind, id: &str) -> bool {
        self.open.contains_key(&(cluster.to_owned(), kind.name(), id.to_owned()))
    }

    /// The beginnings of all conditions that are not over.
    pub(super) fn open(&self) -> Vec<Arc<Finding>> {
        let entries = self.open.values().filter_map(|number| self.entries.get(number));
        entries.map(|entry| Arc::clone(&entry.finding)).collect()
    }

    /// Takes these Alertmanagers, and no others; a new one is told of what is found from now on, and of conditions that are
    /// not over. Where the journal was broken, one that is not in it may have been; it is told of everything. Gives the
    /// records that say so.
    pub(super) fn set_members(&mut self, urls: &[String], was_broken: bool) -> Vec<Record> {
        self.members.retain(|url, _| urls.contains(url));
        for entry in self.entries.values_mut() {
            entry.delivered.retain(|url, _| urls.contains(url));
        }
        let mut records = Vec::new();
        for url in urls {
            if !self.members.contains_key(url) {
                let from = if was_broken { 1 } else { self.next };
                self.members.insert(url.clone(), from);
                records.push(Record::Member { alertmanager: url.clone(), from });
            }
        }
        records
    }

    /// What a member is to be told from a number on, with when it took that.
    pub(super) fn told(&self, member: &str, after: u64) -> Vec<Told> {
        let from = self.members.get(member).copied().unwrap_or(u64::MAX);
        let later = self.entries.range(after.saturating_add(1)..);
        let meant = later.filter(|(number, entry)| {
            let is_open = || self.open.get(&condition(&entry.finding)) == Some(number);
            entry.finding.severity != Severity::Info && (**number >= from || is_open())
        });
        let told = |(number, entry): (&u64, &Entry)| Told {
            number: *number,
            at: entry.at,
            finding: Arc::clone(&entry.finding),
            delivered: entry.delivered.get(member).copied(),
        };
        meant.map(told).collect()
    }

    /// All findings from a number on.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.range(number.saturating_add(1)..).map(|(number, entry)| (*number, entry))
    }

    /// The highest number that was given.
    pub(super) fn last(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Leaves out what is too much: the oldest that every Alertmanager has, and where there is none, the oldest. Gives how
    /// many were lost so.
    pub(super) fn shrink(&mut self) -> usize {
        let mut lost = 0;
        if self.fits(0) {
            return lost;
        }
        // A tenth more, so that this is not done for each finding.
        let done: Vec<u64> =
            self.entries.iter().filter(|(number, entry)| self.is_done(**number, entry)).map(first).collect();
        let others: Vec<u64> =
            self.entries.keys().copied().filter(|number| done.binary_search(number).is_err()).collect();
        let mut done = done.into_iter();
        while !self.fits(10) {
            let Some(number) = done.next() else { break };
            self.remove(number);
        }
        for number in others {
            if self.fits(0) {
                break;
            }
            self.remove(number);
            lost += 1;
        }
        lost
    }

    /// Whether it is within the limits, less some percent.
    fn fits(&self, spare: usize) -> bool {
        let less = |limit: usize| limit - limit / 100 * spare;
        self.entries.len() <= less(self.limits.findings) && self.bytes <= less(self.limits.bytes)
    }

    fn is_done(&self, number: u64, entry: &Entry) -> bool {
        let is_open = self.open.get(&condition(&entry.finding)) == Some(&number);
        let taken = |(member, from): (&String, &u64)| number < *from || entry.delivered.contains_key(member);
        !is_open && (entry.finding.severity == Severity::Info || self.members.iter().all(taken))
    }

    fn remove(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else { return };
        self.bytes = self.bytes.saturating_sub(entry.size);
        self.keys.remove(&key(&entry.finding));
        let condition = condition(&entry.finding);
        if self.open.get(&condition) == Some(&number) {
            self.open.remove(&condition);
        }
    }

    /// Everything as records, for a journal that says no more than it must.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        // Findings stand before the states that were reached with them.
        let found = |(number, entry): (&u64, &Entry)| Record::Found {
            number: *number,
            at: entry.at,
            finding: Arc::clone(&entry.finding),
        };
        records
            .extend(self.members.iter().map(|(url, from)| Record::Member { alertmanager: url.clone(), from: *from }));
        records.extend(self.entries.iter().map(found));
        let mut deliveries: BTreeMap<(&String, i64), Vec<u64>> = BTreeMap::new();
        for (number, entry) in &self.entries {
            for (member, at) in &entry.delivered {
                deliveries.entry((member, *at)).or_default().push(*number);
            }
        }
        records.extend(deliveries.into_iter().map(|((member, at), numbers)| Record::Delivered {
            alertmanager: member.clone(),
            at,
            numbers,
        }));
        records.extend(self.states.iter().map(|((cluster, name), text)| Record::State {
            cluster: cluster.clone(),
            name: name.clone(),
            text: text.clone(),
        }));
        records
    }
}

fn first((number, _): (&u64, &Entry)) -> u64 {
    *number
}

fn key(finding: &Finding) -> (String, bool) {
    (finding.key.clone(), matches!(finding.span, Span::Ended { .. }))
}

fn condition(finding: &Finding) -> Condition {
    (finding.cluster.clone(), finding.kind.name(), finding.id.clone())
}

/// About what it takes, in bytes.
fn size(finding: &Finding) -> usize {
    let details: usize = finding.details.iter().map(|(name, text)| name.len() + text.len() + 8).sum();
    let Finding { key, cluster, id, summary, description, .. } = finding;
    200 + details + [key, cluster, id, summary, description].into_iter().map(String::len).sum::<usize>()
}
