//! `accept_new`: the keys of hosts that were new, written to a file of our own, or only remembered by who changes nothing.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::known_hosts::File;
use crate::ids::{make_state_file, read_state_file};

/// The file, which is never left half written; read like any other `known_hosts` file.
#[derive(Debug)]
pub(super) struct Learned {
    path: PathBuf,
    added: Added,
}

/// Where a line goes.
#[derive(Debug)]
enum Added {
    /// To the file, one writer at a time.
    Written(Mutex<()>),
    /// Nowhere else: the file may be that of another user's service, who could not read what we make.
    Remembered(Mutex<String>),
}

impl Learned {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, added: Added::Written(Mutex::default()) }
    }

    /// The file is read and never written.
    pub(super) fn read_only(path: PathBuf) -> Self {
        Self { path, added: Added::Remembered(Mutex::default()) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was added and is not in the file.
    pub(super) fn remembered(&self) -> Option<Arc<File>> {
        match &self.added {
            Added::Written(_) => None,
            Added::Remembered(lines) => {
                Some(Arc::new(File::parse(Path::new("what was learned now"), lock(lines).as_bytes())))
            }
        }
    }

    /// Adds a line, which then stands there even if the machine stops; or remembers it. Blocks.
    pub(super) fn add(&self, line: &str) -> io::Result<()> {
        match &self.added {
            Added::Written(writing) => {
                let _one = lock(writing);
                self.write(line)
            }
            Added::Remembered(lines) => {
                lock(lines).extend([line, "\n"]);
                Ok(())
            }
        }
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let mut content = read_state_file(&self.path)?;
        if !content.is_empty() && !content.ends_with(b"\n") {
            content.push(b'\n');
        }
        content.extend_from_slice(line.as_bytes());
        content.push(b'\n');

        let folder = self.path.parent().unwrap_or(Path::new("."));
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut beside = name.to_owned();
        beside.push(".new");
        let beside = folder.join(beside);
        // Also in the place of what a writer that was killed left behind; ours is the only process that writes here.
        let mut file = make_state_file(&beside)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        fs::File::open(folder)?.sync_all()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::known_hosts::line;
    use super::super::known_hosts::tests::key;
    use super::*;

    #[test]
    fn lines_are_added_and_the_file_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let learned = Learned::new(folder.path().join("ssh_known_hosts"));
        learned.add("a ssh-ed25519 AAAA").unwrap();
        fs::write(folder.path().join("ssh_known_hosts.new"), "half").unwrap();
        learned.add("b ssh-ed25519 BBBB").unwrap();
        assert_eq!(fs::read_to_string(learned.path()).unwrap(), "a ssh-ed25519 AAAA\nb ssh-ed25519 BBBB\n");
        assert_eq!(fs::metadata(learned.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_only_remembered_leaves_the_file_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let learned = Learned::read_only(folder.path().join("known_hosts"));
        learned.add(&line("pve1", &key("ssh-ed25519", 1))).unwrap();
        learned.add(&line("pve2", &key("ssh-ed25519", 2))).unwrap();
        let known = learned.remembered().unwrap();
        let count = |name| known.content.as_ref().unwrap().about(name).count();
        assert_eq!((count("pve1"), count("pve2"), count("pve3")), (1, 1, 0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Learned::new(folder.path().join("known_hosts")).remembered().is_none());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Learned::new(folder.path().join("none/ssh_known_hosts")).add("a").is_err());
    }
}
