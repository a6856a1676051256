//! What was begun, kept over restarts: written before an order is sent, when PVE took it, and when it ended. Who repeats an
//! `Idempotency-Key` within the hour gets the answer of the first time.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::batches::{Batch, BatchClaim, BatchLine, Batches};
use super::lines;
use crate::ids;

/// The format that is written; a newer one is refused. It gets another number with whatever an older version would pass over
/// and lose. A file that does not say is of the first.
const VERSION: u32 = 1;
/// So long an ended order is remembered, in seconds.
const REMEMBERED: u64 = 3600;
/// So long one that did not end is looked for, in seconds.
const LOOKED_FOR: u64 = 24 * 3600;
/// After so many lines the file is written anew.
const MOST_LINES: usize = 2000;

/// What was sent, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The id of the request.
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) at: u64,
    /// The name of the token.
    pub(super) token: String,
    /// The `Idempotency-Key`, if there is one.
    pub(super) key: Option<String>,
    pub(super) cluster: String,
    pub(super) vmid: u64,
    /// `qemu` or `lxc`; `node` or `host`, which have no number.
    pub(super) kind: String,
    /// The node that it is on; itself, or the id of a host, where it is no guest.
    pub(super) node: String,
    pub(super) name: Option<String>,
    pub(super) action: String,
    /// All that makes the order another one.
    pub(super) wish: String,
    /// Tasks that began before this, in seconds since 1970 by the cluster's clock, are others.
    pub(super) since: u64,
    /// How long the guest ran before, in seconds.
    pub(super) uptime: u64,
}

/// What is known of an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) intent: Intent,
    pub(super) upid: Option<String>,
    /// Status and body of the answer.
    pub(super) ended: Option<(u16, Value)>,
}

/// What an `Idempotency-Key` stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Claim {
    /// Nothing yet.
    New,
    /// The same order, which has ended.
    Ended(u16, Value),
    /// The same order, of which no end is known.
    Open(Box<Record>),
    /// Another order.
    Other,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first one.
    Format {
        version: u32,
    },
    Intent(Intent),
    Taken {
        id: String,
        upid: String,
    },
    Ended {
        id: String,
        status: u16,
        body: Value,
    },
    Batch(BatchLine),
}

/// The file and what is in it.
pub(super) struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: HashMap<String, Record>,
    batches: Batches,
    lines: usize,
}

impl Journal {
    /// Reads what was begun before; `now` is in seconds since 1970. What a crash cut off at the end is left out; of other
    /// lines that make no sense a copy is kept, and a warning logged. Fails with a sentence that names the file.
    pub(super) fn open(path: &Path, now: u64) -> Result<Self, String> {
        let bytes = ids::read_state_file(path).map_err(|error| ids::unusable(path, &error))?;
        let found = understood(&bytes);
        let newer = |line: &Line| match line {
            Line::Format { version } if *version > VERSION => Some(*version),
            _ => None,
        };
        if let Some(version) = found.lines.iter().find_map(newer) {
            return Err(ids::newer_format(path, version, VERSION));
        }
        if found.passed_over > 0 {
            let copy = ids::damaged(path);
            ids::keep_damaged(path, &bytes).map_err(|error| ids::unusable(&copy, &error))?;
            let (lines, length) = (found.passed_over, found.bytes);
            tracing::warn!(
                file = %path.display(),
                "{lines} lines ({length} bytes) in the journal of control make no sense and were passed over: an order that \
                 they told of may be given again under its Idempotency-Key; what was read is kept as {}",
                copy.display()
            );
        }
        let mut state = State::default();
        found.lines.into_iter().for_each(|line| state.take(line));
        state.forget(now);
        let journal = Self { path: path.to_owned(), state: Mutex::new(state) };
        let rewritten = journal.rewrite(&mut journal.state());
        rewritten.map_err(|error| ids::unusable(&journal.fresh(), &error))?;
        Ok(journal)
    }

    /// Writes that an order is about to be sent.
    pub(super) fn intend(&self, intent: Intent) -> io::Result<()> {
        let mut state = self.state();
        if state.lines >= MOST_LINES {
            state.forget(intent.at);
            self.rewrite(&mut state)?;
        }
        self.append(&mut state, Line::Intent(intent))
    }

    /// Writes that PVE took it.
    pub(super) fn taken(&self, id: &str, upid: &str) -> io::Result<()> {
        self.append(&mut self.state(), Line::Taken { id: id.to_owned(), upid: upid.to_owned() })
    }

    /// Writes what became of it.
    pub(super) fn ended(&self, id: &str, status: u16, body: &Value) -> io::Result<()> {
        let mut state = self.state();
        // What was refused before it was sent is no order.
        if !state.records.contains_key(id) {
            return Ok(());
        }
        self.append(&mut state, Line::Ended { id: id.to_owned(), status, body: body.clone() })
    }

    /// What a token's key stands for.
    pub(super) fn claim(&self, token: &str, key: &str, wish: &str, now: u64) -> Claim {
        let state = self.state();
        if state.batches.has(token, key, now) {
            return Claim::Other;
        }
        let of_key = |record: &&Record| record.intent.token == token && record.intent.key.as_deref() == Some(key);
        let fresh = |record: &&Record| record.ended.is_none() || now < record.intent.at.saturating_add(REMEMBERED);
        let Some(record) = state.records.values().filter(of_key).find(fresh) else { return Claim::New };
        if record.intent.wish != wish {
            return Claim::Other;
        }
        match &record.ended {
            Some((status, body)) => Claim::Ended(*status, body.clone()),
            None => Claim::Open(Box::new(record.clone())),
        }
    }

    /// Writes that a batch is about to be begun.
    pub(super) fn begin_batch(&self, batch: Batch) -> io::Result<()> {
        self.append(&mut self.state(), Line::Batch(BatchLine::Begun(batch)))
    }

    /// Writes what became of it.
    pub(super) fn batch_ended(&self, id: &str, status: u16, body: &Value) -> io::Result<()> {
        let line = BatchLine::Ended { id: id.to_owned(), status, body: body.clone() };
        self.append(&mut self.state(), Line::Batch(line))
    }

    /// What a token's key stands for, where a batch is wished.
    pub(super) fn claim_batch(&self, token: &str, key: &str, wish: &str, now: u64) -> BatchClaim {
        let claimed = self.state().batches.claim(token, key, wish, now);
        // It may be the key of a single order.
        let is_taken = claimed == BatchClaim::New && self.claim(token, key, wish, now) != Claim::New;
        if is_taken { BatchClaim::Other } else { claimed }
    }

    /// Orders of which no end is known.
    pub(super) fn open_records(&self) -> Vec<Record> {
        self.state().records.values().filter(|record| record.ended.is_none()).cloned().collect()
    }

    /// Whether a task belongs to another order than this.
    pub(super) fn is_of_another(&self, upid: &str, id: &str) -> bool {
        self.state().records.values().any(|record| record.intent.id != id && record.upid.as_deref() == Some(upid))
    }

    fn append(&self, state: &mut State, line: Line) -> io::Result<()> {
        lines::append(&self.path, serde_json::to_vec(&line)?)?;
        state.take(line);
        Ok(())
    }

    /// Writes what is remembered into a new file, which then takes the place of the old one.
    fn rewrite(&self, state: &mut State) -> io::Result<()> {
        let batches = state.batches.lines().map(Line::Batch);
        let orders = state.records.values().flat_map(Record::lines);
        let format = std::iter::once(Line::Format { version: VERSION });
        let lines: Vec<Line> = format.chain(orders).chain(batches).collect();
        let new = self.fresh();
        let mut file = ids::make_state_file(&new)?;
        for line in &lines {
            file.write_all(&[serde_json::to_vec(line)?, b"\n".to_vec()].concat())?;
        }
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        state.lines = lines.len();
        match self.path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// What is to take its place.
    fn fresh(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the bytes of a file say.
struct Found {
    lines: Vec<Line>,
    /// How many lines make no sense, and how long they are together, in bytes.
    passed_over: usize,
    bytes: usize,
}

fn understood(bytes: &[u8]) -> Found {
    let mut found = Found { lines: Vec::new(), passed_over: 0, bytes: 0 };
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match serde_json::from_str(&String::from_utf8_lossy(line)) {
            Ok(line) => found.lines.push(line),
            // A crash cuts off the last one, and never the first: the file is put in its place as a whole.
            Err(_) if !line.ends_with(b"\n") && !found.lines.is_empty() => {}
            Err(_) => {
                found.passed_over += 1;
                found.bytes += line.len();
            }
        }
    }
    found
}

impl State {
    fn take(&mut self, line: Line) {
        self.lines += 1;
        match line {
            Line::Intent(intent) => {
                // One that moved is begun anew under the same id.
                let record = Record { intent, upid: None, ended: None };
                self.records.insert(record.intent.id.clone(), record);
            }
            Line::Taken { id, upid } => {
                self.records.get_mut(&id).into_iter().for_each(|record| record.upid = Some(upid.clone()));
            }
            Line::Ended { id, status, body } => {
                self.records.get_mut(&id).into_iter().for_each(|record| record.ended = Some((status, body.clone())));
            }
            Line::Batch(line) => self.batches.take(line),
            Line::Format { .. } => {}
        }
    }

    fn forget(&mut self, now: u64) {
        self.records.retain(|_, record| {
            let kept = if record.ended.is_some() { REMEMBERED } else { LOOKED_FOR };
            now < record.intent.at.saturating_add(kept)
        });
        self.batches.forget(now);
    }
}

impl Record {
    fn lines(&self) -> impl Iterator<Item = Line> {
        let id = &self.intent.id;
        let taken = self.upid.as_ref().map(|upid| Line::Taken { id: id.clone(), upid: upid.clone() });
        let ended = self.ended.as_ref();
        let ended = ended.map(|(status, body)| Line::Ended { id: id.clone(), status: *status, body: body.clone() });
        [Some(Line::Intent(self.intent.clone())), taken, ended].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn intent(id: &str, key: &str, at: u64) -> Intent {
        Intent {
            id: id.to_owned(),
            at,
            token: "ops".to_owned(),
            key: Some(key.to_owned()),
            cluster: "home".to_owned(),
            vmid: 100,
            kind: "qemu".to_owned(),
            node: "pve1".to_owned(),
            name: Some("web".to_owned()),
            action: "start".to_owned(),
            wish: "start".to_owned(),
            since: at,
            uptime: 0,
        }
    }

    #[test]
    fn what_was_begun_and_ended_is_known_after_a_restart_for_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.journal");
        let journal = Journal::open(&path, 1000).unwrap();
        assert_eq!(journal.claim("ops", "k1", "start", 1000), Claim::New);
        journal.intend(intent("1", "k1", 1000)).unwrap();
        journal.intend(intent("2", "k2", 1000)).unwrap();
        journal.taken("1", "UPID:1").unwrap();
        journal.ended("1", 200, &json!({"changed": true})).unwrap();
        journal.taken("2", "UPID:2").unwrap();
        let check = |journal: &Journal| {
            assert_eq!(journal.claim("ops", "k1", "start", 4599), Claim::Ended(200, json!({"changed": true})));
            assert_eq!(journal.claim("ops", "k1", "stop", 2000), Claim::Other);
            assert_eq!(journal.claim("other", "k1", "start", 2000), Claim::New);
            let Claim::Open(open) = journal.claim("ops", "k2", "start", 9000) else { panic!("it has no end") };
            assert_eq!((open.upid.as_deref(), journal.open_records().len()), (Some("UPID:2"), 1));
            assert!(journal.is_of_another("UPID:2", "1") && !journal.is_of_another("UPID:2", "2"));
        };
        check(&journal);
        drop(journal);
        // A crash in the middle of a line.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"ended\":{\"id\":\"2\",\"sta");
        std::fs::write(&path, text).unwrap();
        check(&Journal::open(&path, 2000).unwrap());
        let later = Journal::open(&path, 4600).unwrap();
        assert_eq!(later.claim("ops", "k1", "start", 4600), Claim::New);
        assert_eq!(later.open_records().len(), 1);
        assert!(Journal::open(&path, 1000 + LOOKED_FOR).unwrap().open_records().is_empty());
    }

    #[test]
    fn what_a_full_disk_cut_off_costs_no_other_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.journal");
        let journal = Journal::open(&path, 1000).unwrap();
        let torn = "{\"intent\":{\"id\":\"0\",";
        std::fs::write(&path, torn).unwrap();
        journal.intend(intent("1", "k1", 1000)).unwrap();
        let known = Journal::open(&path, 1000).unwrap().claim("ops", "k1", "start", 1000);
        assert!(matches!(known, Claim::Open(_)), "the order would be given twice: {known:?}");
    }

    #[test]
    fn of_what_makes_no_sense_a_copy_is_kept_and_of_a_last_line_that_was_cut_off_none() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("control.journal"), folder.path().join("control.journal.damaged"));
        let journal = Journal::open(&path, 1000).unwrap();
        for id in ["1", "2", "3"] {
            journal.intend(intent(id, id, 1000)).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        assert_eq!(Journal::open(&path, 1000).unwrap().open_records().len(), 2);
        std::fs::write(&path, []).unwrap();
        assert!(Journal::open(&path, 1000).unwrap().open_records().is_empty() && !copy.exists());
        let broken = String::from_utf8(whole).unwrap().replacen("\"id\":\"2\"", "\"id\":2\"", 1).into_bytes();
        for (bytes, known) in [(&broken[..], 2), (b"garbage\n", 0), (b"garbage", 0), (&[0; 70_000], 0)] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Journal::open(&path, 1000).unwrap().open_records().len(), known);
            assert_eq!(std::fs::read(&copy).unwrap(), bytes);
            // The next start finds nothing wrong.
            std::fs::remove_file(&copy).unwrap();
            Journal::open(&path, 1000).unwrap();
            assert!(!copy.exists());
        }
    }

    #[test]
    fn the_file_that_cannot_be_used_is_named() {
        for name in ["control.journal", "control.new", "control.journal.damaged"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("control.journal");
            std::fs::write(&path, "garbage\n").unwrap();
            let _ = std::fs::remove_file(folder.path().join(name));
            std::fs::create_dir(folder.path().join(name)).unwrap();
            let said = Journal::open(&path, 1000).err().unwrap();
            let named =
                format!("state_dir: expected to be able to read and write {}/{name}, ", folder.path().display());
            assert!(said.starts_with(&named), "{said}");
        }
    }

    #[test]
    fn a_key_stands_for_a_batch_or_for_an_order_and_not_for_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.journal");
        let journal = Journal::open(&path, 1000).unwrap();
        let begun = |id: &str, key: &str| {
            let (id, token, key) = (id.to_owned(), "ops".to_owned(), key.to_owned());
            Batch { id, at: 1000, token, key, wish: "all".to_owned(), chosen: Default::default() }
        };
        journal.intend(intent("1", "k1", 1000)).unwrap();
        journal.begin_batch(begun("2", "k2")).unwrap();
        journal.begin_batch(begun("3", "k3")).unwrap();
        journal.batch_ended("3", 200, &json!({"selected": 0})).unwrap();
        for journal in [journal, Journal::open(&path, 1000).unwrap()] {
            let claim = |token, key, wish, now| journal.claim_batch(token, key, wish, now);
            assert_eq!(claim("ops", "k1", "all", 1000), BatchClaim::Other);
            assert_eq!(claim("ops", "k2", "all", 4599), BatchClaim::Open(Box::new(begun("2", "k2"))));
            assert_eq!(claim("ops", "k3", "all", 4599), BatchClaim::Ended(200, json!({"selected": 0})));
            assert_eq!(claim("ops", "k3", "some", 4599), BatchClaim::Other);
            assert_eq!(claim("other", "k3", "all", 4599), BatchClaim::New);
            assert_eq!(claim("ops", "k3", "all", 4600), BatchClaim::New);
            assert_eq!(journal.claim("ops", "k2", "start", 1000), Claim::Other);
        }
        let later = Journal::open(&path, 4600).unwrap();
        assert_eq!(later.claim_batch("ops", "k2", "all", 1000), BatchClaim::New);
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.journal");
        let journal = Journal::open(&path, 0).unwrap();
        journal.state().lines = MOST_LINES;
        journal.intend(intent("1", "k1", 1000)).unwrap();
        journal.ended("1", 200, &json!({})).unwrap();
        journal.state().lines = MOST_LINES;
        journal.intend(intent("2", "k2", 1000 + REMEMBERED)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!((text.lines().count(), text.lines().next()), (2, Some("{\"format\":{\"version\":1}}")));
    }

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.journal");
        let newer = "{\"format\":{\"version\":2}}\n{\"dreamt\":{\"id\":\"1\"}}\n";
        std::fs::write(&path, newer).unwrap();
        let said = Journal::open(&path, 1000).err().unwrap();
        assert!(said.contains("control.journal in format 1, found format 2"), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("control.journal");
            std::fs::write(&path, bytes).unwrap();
            prop_assert!(Journal::open(&path, 1000).unwrap().open_records().is_empty());
        }
    }
}
