//! The file `events.journal` in `state_dir`: what happened, and who was told of it. Only ever appended to, and replaced as a
//! whole by a shorter one.

mod frame;
mod record;

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) use record::Record;

use crate::ids::{damaged, keep_damaged, newer_format, read_state_file, unusable};

/// Its name in `state_dir`.
const NAME: &str = "events.journal";
/// The format that is written; a newer one is refused. It gets another number with whatever an older version would pass over
/// and lose: a kind of record, a kind of finding, a field that something depends on.
const VERSION: u32 = 1;

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Up to here everything is whole, in bytes.
    length: u64,
}

/// What was read at the start.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// All records that are whole and understood, in order.
    pub(super) records: Vec<Record>,
    /// What to say of the rest, one sentence each.
    pub(super) troubles: Vec<String>,
    /// All of it, where more was passed over than what a crash cut off at the end.
    damaged: Option<Vec<u8>>,
}

/// Reads the journal of a folder; one that is not there is empty. Nothing is changed. Fails with a sentence that names the
/// file, where it cannot be read, or is a newer version's.
pub(super) fn read(folder: &Path) -> Result<Found, String> {
    let path = folder.join(NAME);
    let bytes = read_state_file(&path).map_err(|error| unusable(&path, &error))?;
    let found = understood(bytes);
    let newer = |record: &Record| match record {
        Record::Format { version } if *version > VERSION => Some(*version),
        _ => None,
    };
    match found.records.iter().find_map(newer) {
        Some(version) => Err(newer_format(&path, version, VERSION)),
        None => Ok(found),
    }
}

impl Found {
    /// Keeps a copy of a journal that is damaged, and says so: before another takes its place. Fails with a
    /// sentence that names the file.
    pub(super) fn keep_damaged(&mut self, folder: &Path) -> Result<(), String> {
        let Some(bytes) = self.damaged.take() else { return Ok(()) };
        let path = folder.join(NAME);
        let copy = damaged(&path);
        keep_damaged(&path, &bytes).map_err(|error| unusable(&copy, &error))?;
        self.troubles.push(format!("what was read is kept as {}", copy.display()));
        Ok(())
    }
}

fn understood(bytes: Vec<u8>) -> Found {
    let scan = frame::scan(&bytes);
    let (mut records, mut unknown) = (Vec::new(), 0_usize);
    for payload in scan.payloads {
        match serde_json::from_slice(bytes.get(payload).unwrap_or_default()) {
            Ok(record) => records.push(record),
            Err(_) => unknown += 1,
        }
    }
    let torn = bytes.len() - scan.end;
    // A crash cuts off one record, and never the first: the file is put in its place as a whole.
    let is_cut = scan.end > 0 && !bytes.get(scan.end..).unwrap_or_default().contains(&b'\n');
    let is_damaged = scan.broken > 0 || unknown > 0 || torn > 0 && !is_cut;
    let told = [
        (scan.broken, format!("{} broken places in the journal were passed over", scan.broken)),
        (unknown, format!("{unknown} records of the journal make no sense and were passed over")),
        (torn, format!("the last {torn} bytes of the journal are no whole record and were cut off")),
    ];
    let troubles = told.into_iter().filter(|(count, _)| *count > 0).map(|(_, trouble)| trouble).collect();
    Found { records, troubles, damaged: is_damaged.then_some(bytes) }
}

impl Journal {
    /// Puts a journal with these records in the place of the one that is there. Fails with the reason of the operating
    /// system; then the old one is still there.
    pub(super) fn create<'a>(folder: &Path, records: impl Iterator<Item = &'a Record>) -> io::Result<Self> {
        let (path, fresh) = (folder.join(NAME), fresh(folder));
        let written = write_all(&fresh, records);
        let (file, length) = match written {
            Ok(written) => written,
            Err(error) => {
                // What it took of a full disk is given back; another reason than the first would not help.
                let _ = std::fs::remove_file(&fresh);
                return Err(error);
            }
        };
        std::fs::rename(&fresh, &path)?;
        // The new name must be on the disk too.
        File::open(folder)?.sync_all()?;
        Ok(Self { path, file, length })
    }

    /// Writes records behind the others; they are on the disk when this returns. After a failure, nothing of them is read
    /// again, or this says that the journal is unusable.
    pub(super) fn append<'a>(&mut self, records: impl Iterator<Item = &'a Record>) -> Result<(), Fault> {
        let bytes = encoded(records).map_err(|error| Fault { error, usable: true })?;
        if let Err(error) = self.file.write_all(&bytes) {
            let usable = self.cut().is_ok();
            return Err(Fault { error, usable });
        }
        // After a failed sync nobody knows what the disk holds.
        self.file.sync_data().map_err(|error| Fault { error, usable: false })?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        Ok(())
    }

    /// From now on it writes elsewhere.
    #[cfg(test)]
    pub(super) fn break_with(&mut self, file: File) {
        self.file = file;
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Why nothing was written.
#[derive(Debug)]
pub(super) struct Fault {
    /// The reason of the operating system.
    pub(super) error: io::Error,
    /// Whether it can be appended to again.
    pub(super) usable: bool,
}

/// What is to take its place: the file that cannot be written, where there can be no new journal.
pub(super) fn fresh(folder: &Path) -> PathBuf {
    folder.join(format!("{NAME}.new"))
}

fn write_all<'a>(path: &Path, records: impl Iterator<Item = &'a Record>) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let format = [Record::Format { version: VERSION }];
    let mut bytes = encoded(format.iter())?;
    bytes.append(&mut encoded(records)?);
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok((file, bytes.len() as u64))
}

fn encoded<'a>(records: impl Iterator<Item = &'a Record>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        frame::write(&mut bytes, &serde_json::to_vec(record)?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
