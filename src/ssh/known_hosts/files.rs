//! The files, read again when they have changed.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::KnownHosts;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// Files by path, as they were read last; shared by all hosts, so that a large file is in memory once.
#[derive(Debug, Default)]
pub(in crate::ssh) struct Files(Mutex<HashMap<PathBuf, (Version, Arc<File>)>>);

/// One file as it is.
#[derive(Debug)]
pub(in crate::ssh) struct File {
    /// For messages.
    pub(in crate::ssh) path: PathBuf,
    /// What it says, or why it cannot be read. A file that is not there says nothing.
    pub(in crate::ssh) content: Result<KnownHosts, String>,
    pub(in crate::ssh) exists: bool,
}

/// What differs when a file was written: device, inode, size, and when it was changed, in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version(u64, u64, u64, i64, i64);

impl Files {
    /// The file as it is now. Blocks.
    pub(in crate::ssh) fn read(&self, path: &Path) -> Arc<File> {
        let version = fs::metadata(path)
            .map(|found| Version(found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()));
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = match version {
            Ok(version) => version,
            Err(error) => {
                files.remove(path);
                return Arc::new(File::unread(path, &error));
            }
        };
        if let Some((_, file)) = files.get(path).filter(|(known, _)| *known == version) {
            return Arc::clone(file);
        }
        match read(path) {
            Ok(bytes) => {
                let known = KnownHosts::parse(&bytes);
                if known.passed_over > 0 {
                    tracing::debug!(file = %path.display(), lines = known.passed_over, "lines of a known_hosts file passed over");
                }
                let file = Arc::new(File { path: path.to_owned(), content: Ok(known), exists: true });
                files.insert(path.to_owned(), (version, Arc::clone(&file)));
                file
            }
            Err(error) => {
                files.remove(path);
                Arc::new(File::unread(path, &error))
            }
        }
    }
}

impl File {
    fn unread(path: &Path, error: &io::Error) -> Self {
        let exists = error.kind() != io::ErrorKind::NotFound;
        let content = if exists { Err(error.to_string()) } else { Ok(KnownHosts::default()) };
        Self { path: path.to_owned(), content, exists }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
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
        assert_eq!(file.content.as_ref().unwrap_err(), "it is no regular file");
    }
}
