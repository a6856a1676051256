//! What is known, and the disk that it is kept on: nothing is told to anybody before it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::board::Doubts;
use super::book::{Book, Limits, Told};
use super::finding::{Finding, Kind};
use super::journal::{self, Fault, Journal, Record};
use crate::ids::unusable;
use crate::metrics::Own;

/// A journal that has grown by so many bytes, and to twice what it must say, is written anew.
const SLACK: u64 = 4 << 20;
/// How long a disk that failed is left alone, in seconds.
const PATIENCE: i64 = 10;

/// The findings of all clusters, who has taken which of them, and what the watchers must know after a restart. One process
/// has one folder; shared by all who watch and all who tell. Times are seconds since 1970.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    book: Mutex<Book>,
    disk: Mutex<Disk>,
    news: watch::Sender<News>,
    /// In memory only: the first look after a restart tells them anew.
    doubts: Mutex<Doubts>,
    own: Arc<Own>,
}

/// What has changed, for those who wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct News {
    /// The number of the last finding.
    pub(super) last: u64,
    /// How often findings were left out that somebody waited for.
    pub(super) losses: u64,
}

#[derive(Debug)]
struct Disk {
    /// None: it lags behind, and must be written as a whole.
    journal: Option<Journal>,
    /// Its length when it was last written as a whole, in bytes.
    least: u64,
    /// Findings that are not on it.
    at_risk: usize,
    /// When it is tried again.
    retry: i64,
}

impl Ledger {
    /// Opens the journal in a folder, which exists and which no other process uses. `alertmanagers` are the URLs of those who
    /// are told. Gives also what to say of a journal that was broken: sentences. Fails with a sentence that names the
    /// file, where it cannot be read or written, or is a newer version's.
    pub fn open(
        folder: &Path,
        alertmanagers: &[String],
        limits: Limits,
        own: Arc<Own>,
    ) -> Result<(Self, Vec<String>), String> {
        let mut found = journal::read(folder)?;
        let mut book = Book::new(limits);
        found.records.iter().for_each(|record| book.apply(record));
        book.set_members(alertmanagers, !found.troubles.is_empty());
        book.shrink();
        found.keep_damaged(folder)?;
        let records = book.records();
        let journal = Journal::create(folder, records.iter());
        let journal = journal.map_err(|error| unusable(&journal::fresh(folder), &error))?;
        own.events().at_risk(0);
        let disk = Disk { least: journal.length(), journal: Some(journal), at_risk: 0, retry: 0 };
        let (news, _) = watch::channel(News { last: book.last(), losses: 0 });
        let (book, disk, doubts) = (Mutex::new(book), Mutex::new(disk), Mutex::default());
        let ledger = Self { folder: folder.to_owned(), book, disk, news, doubts, own };
        Ok((ledger, found.troubles))
    }

    /// Keeps findings, and with them what the watcher of their cluster must know after a restart: names and texts, where an
    /// empty text means that there is none any more, and names that are not given stay as they are. On return both are on the
    /// disk, and Alertmanagers are being told; where the disk fails, that is counted and logged, and all is kept in memory
    /// until it works again. Findings that are known already by their keys are passed over.
    pub async fn record(
        self: &Arc<Self>,
        cluster: &str,
        findings: Vec<Finding>,
        states: BTreeMap<String, String>,
        now: i64,
    ) {
        let (ledger, cluster) = (Arc::clone(self), cluster.to_owned());
        self.in_background(move || {
            ledger.write(now, |book| {
                let mut records = book.found(findings, now);
                // Behind the findings: a torn journal repeats them rather than forget them.
                for (name, text) in states {
                    if book.is_new_state(&cluster, &name, &text) {
                        records.push(Record::State { cluster: cluster.clone(), name, text });
                    }
                }
                records
            });
        })
        .await;
    }

    /// What the watcher of a cluster gave to [`Ledger::record`]: texts by name.
    pub fn states(&self, cluster: &str) -> BTreeMap<String, String> {
        self.book().states(cluster)
    }

    /// Whether the beginning of a condition is kept, and not its end.
    pub(super) fn has_open(&self, cluster: &str, kind: Kind, id: &str) -> bool {
        self.book().has_open(cluster, kind, id)
    }

    /// Of the conditions of a cluster, these may be over: `kind|id` each. The next look decides.
    pub(super) fn doubt(&self, cluster: &str, conditions: BTreeSet<String>) {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        if conditions.is_empty() {
            doubts.remove(cluster);
        } else {
            doubts.insert(cluster.to_owned(), conditions);
        }
    }

    /// All conditions that may be over.
    pub(super) fn doubts(&self) -> Doubts {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The beginnings of all conditions that are kept, and not their ends.
    pub(super) fn open_conditions(&self) -> Vec<Arc<Finding>> {
        self.book().open()
    }

    /// From now on these Alertmanagers are told, by their URLs, and no others.
    pub fn set_alertmanagers(&self, urls: &[String], now: i64) {
        self.write(now, |book| book.set_members(urls, false));
    }

    /// Keeps that an Alertmanager has taken findings.
    pub(super) async fn delivered(self: &Arc<Self>, alertmanager: &str, numbers: Vec<u64>, now: i64) {
        let ledger = Arc::clone(self);
        let record = Record::Delivered { alertmanager: alertmanager.to_owned(), at: now, numbers };
        self.in_background(move || ledger.write(now, |_| vec![record])).await;
    }

    /// Tries to bring to the disk what is not there.
    pub(super) async fn settle(self: &Arc<Self>, now: i64) {
        let ledger = Arc::clone(self);
        self.in_background(move || ledger.write(now, |_| Vec::new())).await;
    }

    /// What an Alertmanager is to be told of findings after this number.
    pub(super) fn told(&self, alertmanager: &str, after: u64) -> Vec<Told> {
        self.book().told(alertmanager, after)
    }

    /// The first so many findings after a number that pass, in order, each with its number and when it was found; and the last
    /// number that there is.
    pub(super) fn pick<T>(
        &self,
        after: u64,
        most: usize,
        pick: impl Fn(u64, i64, &Finding) -> Option<T>,
    ) -> (Vec<T>, u64) {
        let book = self.book();
        let picked = book.after(after).filter_map(|(number, entry)| pick(number, entry.at, &entry.finding)).take(most);
        (picked.collect(), book.last())
    }

    /// Tells of changes; what there is now is none.
    pub(super) fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    async fn in_background(&self, work: impl FnOnce() + Send + 'static) {
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::error!(%error, "events could not be kept");
        }
    }

    /// Makes records of what is known, writes them, and then takes them as known.
    fn write(&self, now: i64, make: impl FnOnce(&mut Book) -> Vec<Record>) {
        // Whoever holds this may wait for the disk; the book is never held meanwhile, so that readers do not.
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let records = make(&mut self.book());
        let was_at_risk = disk.at_risk;
        self.append(&mut disk, &records, now);
        let losses = {
            let mut book = self.book();
            records.iter().for_each(|record| book.apply(record));
            book.shrink()
        };
        if losses > 0 {
            tracing::error!(events = losses, "too many events wait for Alertmanager: the oldest were given up");
        }
        self.mend(&mut disk, now);
        self.count(&records, &disk, was_at_risk);
        let last = self.book().last();
        self.news.send_if_modified(|news| {
            let new = News { last, losses: news.losses.saturating_add(u64::from(losses > 0)) };
            std::mem::replace(news, new) != new
        });
    }

    fn append(&self, disk: &mut Disk, records: &[Record], now: i64) {
        if records.is_empty() {
            return;
        }
        let failed = match &mut disk.journal {
            Some(journal) => journal.append(records.iter()),
            None => Err(Fault { error: std::io::Error::other("it failed before"), usable: false }),
        };
        if let Err(fault) = failed {
            if disk.journal.is_some() {
                self.complain(&fault.error);
                // What is missing now is written with everything else.
                disk.journal = None;
                disk.retry = now.saturating_add(if fault.usable { 0 } else { PATIENCE });
            }
            let found = records.iter().filter(|record| matches!(record, Record::Found { .. })).count();
            disk.at_risk = disk.at_risk.saturating_add(found);
        }
    }

    /// Writes the journal as a whole where it lags behind or says much more than it must.
    fn mend(&self, disk: &mut Disk, now: i64) {
        let is_long = |journal: &Journal| journal.length() > disk.least.saturating_mul(2).saturating_add(SLACK);
        let waits = now < disk.retry && disk.retry.saturating_sub(now) <= PATIENCE;
        if disk.journal.as_ref().is_some_and(|journal| !is_long(journal)) || waits {
            return;
        }
        let records = self.book().records();
        match Journal::create(&self.folder, records.iter()) {
            Ok(journal) => {
                if disk.journal.is_none() {
                    tracing::info!(path = %journal.path().display(), "events are on the disk again");
                }
                *disk = Disk { least: journal.length(), journal: Some(journal), at_risk: 0, retry: 0 };
            }
            Err(error) => {
                if disk.journal.is_some() {
                    self.complain(&error);
                }
                disk.retry = now.saturating_add(PATIENCE);
            }
        }
    }

    fn complain(&self, error: &std::io::Error) {
        let folder = self.folder.display();
        tracing::error!(%folder, %error, "events cannot be written to state_dir: until they can, they are lost if this process ends");
    }

    fn count(&self, records: &[Record], disk: &Disk, was_at_risk: usize) {
        for record in records {
            if let Record::Found { finding, .. } = record {
                self.own.events().found(&finding.cluster, finding.kind.name());
            }
        }
        if disk.at_risk != was_at_risk {
            self.own.events().at_risk(disk.at_risk);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
