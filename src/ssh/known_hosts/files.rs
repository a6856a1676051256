//! The files, read again when they have changed.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::KnownHosts;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// Files by path, as they were read last; shared by all hosts, so that a large file is in memory once.
#[derive(Debug, Default)]
pub(in crate::ssh) struct Files(Mutex<HashMap<PathBuf, Arc<Slot>>>);

/// A file has a lock of its own: one that cannot be read, because a network is down, holds up nobody who reads others.
type Slot = Mutex<Option<(Version, Arc<File>)>>;

/// One file as it is.
#[derive(Debug)]
pub(in crate::ssh) struct File {
    /// For messages.
    pub(in crate::ssh) path: PathBuf,
    /// What it says, or why it cannot be read. A file that is not there says nothing.
    pub(in crate::ssh) content: Result<KnownHosts, Unread>,
    pub(in crate::ssh) exists: bool,
}

/// Why a file cannot be read, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Unread {
    pub(in crate::ssh) reason: String,
    pub(in crate::ssh) advice: &'static str,
}

/// What differs when a file was written: device, inode, size, and when it was changed, in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version(u64, u64, u64, i64, i64);

impl Files {
    /// The file as it is now. Blocks.
    pub(in crate::ssh) fn read(&self, path: &Path) -> Arc<File> {
        let slot = Arc::clone(lock(&self.0).entry(path.to_owned()).or_default());
        let mut slot = lock(&slot);
        let kept = slot.take();
        let result = version(path).and_then(|version| match kept {
            Some((known, file)) if known == version => Ok((version, file)),
            _ => Ok((version, Arc::new(File::parse(path, &read(path)?)))),
        });
        match result {
            Ok((version, file)) => {
                *slot = Some((version, Arc::clone(&file)));
                file
            }
            Err(error) => Arc::new(File::unread(path, &error)),
        }
    }
}

impl File {
    pub(in crate::ssh) fn parse(path: &Path, bytes: &[u8]) -> Self {
        let known = KnownHosts::parse(bytes);
        if known.passed_over > 0 {
            tracing::debug!(file = %path.display(), lines = known.passed_over, "lines of a known_hosts file passed over");
        }
        Self { path: path.to_owned(), content: Ok(known), exists: true }
    }

    fn unread(path: &Path, error: &io::Error) -> Self {
        let exists = error.kind() != io::ErrorKind::NotFound;
        let unread = || Unread { reason: error.to_string(), advice: advice(error) };
        let content = if exists { Err(unread()) } else { Ok(KnownHosts::default()) };
        Self { path: path.to_owned(), content, exists }
    }
}

fn version(path: &Path) -> io::Result<Version> {
    let found = fs::metadata(path)?;
    // Looked at before it is opened: to open a pipe waits for somebody to write.
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(Version(found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "let the user that runs pve-sentinel read it",
        io::ErrorKind::FileTooLarge => "keep the lines of these hosts in a file of their own",
        _ => "check the path",
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {LARGEST} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::line;
    use super::super::tests::key;
    use super::*;

    fn count(file: &File, name: &str) -> usize {
        file.content.as_ref().unwrap().about(name).count()
    }

    #[test]
    fn files_are_read_again_when_they_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        let files = Files::default();
        let missing = files.read(&path);
        assert_eq!((missing.exists, count(&missing, "pve1")), (false, 0));

        let written = line("pve1", &key("ssh-ed25519", 1));
        fs::write(&path, &written).unwrap();
        let first = files.read(&path);
        assert_eq!(count(&first, "pve1"), 1);
        assert!(Arc::ptr_eq(&first, &files.read(&path)), "an unchanged file is not read again");

        // The same size and, where the clock is coarse, the same time: another file took its place.
        let other = folder.path().join("other");
        fs::write(&other, written.replace("pve1", "pve2")).unwrap();
        fs::rename(&other, &path).unwrap();
        let second = files.read(&path);
        assert_eq!((count(&second, "pve1"), count(&second, "pve2")), (0, 1));

        fs::remove_file(&path).unwrap();
        assert!(!files.read(&path).exists);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_from_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = Files::default().read(folder.path());
        assert!(file.exists);
        let Unread { reason, advice } = file.content.as_ref().unwrap_err();
        assert_eq!((reason.as_str(), *advice), ("it is no regular file", "check the path"));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_hosts");
        fs::File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
        let file = Files::default().read(&path);
        let unread = file.content.as_ref().unwrap_err();
        assert!(unread.reason.contains("larger than") && unread.advice.contains("file of their own"), "{unread:?}");
    }
}
