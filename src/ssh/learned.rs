//! `accept_new`: the keys of hosts that were new, written to a file of our own.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::ids::{make_state_file, read_state_file};

/// The file, which is never left half written; read like any other `known_hosts` file.
#[derive(Debug)]
pub(super) struct Learned {
    path: PathBuf,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl Learned {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, writing: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line, which then stands there even if the machine stops. Blocks.
    pub(super) fn add(&self, line: &str) -> io::Result<()> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Learned::new(folder.path().join("none/ssh_known_hosts")).add("a").is_err());
    }
}
