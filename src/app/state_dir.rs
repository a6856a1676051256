//! The folder in which state outlives the process: of one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::ids::{open_state_file, unusable};

/// The file that is locked in it.
const NAME: &str = "lock";

/// Has the folder to itself until it is dropped, or the process ends, however it does.
#[derive(Debug)]
pub(super) struct Lock {
    folder: PathBuf,
    _file: File,
}

impl Lock {
    /// What was taken, as it was named.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Takes a folder, and makes it where there is none. Fails with a sentence that names the key and the folder.
pub(super) fn lock(folder: &Path) -> Result<Lock, String> {
    let shown = folder.display();
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| no_folder(folder, &error))?;
    }
    let path = folder.join(NAME);
    let failed = |error: std::io::Error| unusable(&path, &error);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = open_state_file(&path, &options).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { folder: folder.to_owned(), _file: file }),
        Err(TryLockError::WouldBlock) => Err(format!(
            "state_dir: expected a folder of its own for each pve-sentinel, found that another one uses {shown}; \
             stop that one, or name another folder"
        )),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn no_folder(folder: &Path, error: &std::io::Error) -> String {
    let shown = folder.display();
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        let found = if folder.exists() { "something else" } else { "a symbolic link to what is not there" };
        return format!(
            "state_dir: expected {shown} to be a folder, found {found}; move it away, or name another folder"
        );
    }
    format!(
        "state_dir: expected to be able to make the folder, found that {shown} cannot be used: {error}; create it and let the \
         user that runs pve-sentinel write there"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let refused = lock(folder.path()).unwrap_err();
        assert!(
            refused.starts_with("state_dir: ") && refused.contains(&folder.path().display().to_string()),
            "{refused}"
        );
        drop(first);
        lock(folder.path()).unwrap();
        lock(&folder.path().join("new/state")).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named_and_not_the_folder_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink("/nowhere/state", path("link")).unwrap();
        std::fs::create_dir_all(path("one/lock")).unwrap();
        std::fs::create_dir(path("two")).unwrap();
        std::os::unix::fs::symlink("/nowhere/lock", path("two/lock")).unwrap();
        for (name, words) in [
            ("file", "/file to be a folder, found something else; move it away"),
            ("link", "/link to be a folder, found a symbolic link to what is not there; move it away"),
            ("file/state", "/file/state cannot be used: Not a directory"),
            ("one", "/one/lock, found: it is a folder, no regular file; move it away"),
            ("two", "/two/lock, found: it is a symbolic link to what is not there; move it away"),
        ] {
            let refused = lock(&path(name)).unwrap_err();
            assert!(refused.starts_with("state_dir: expected ") && refused.contains(words), "{refused}");
        }
    }
}
