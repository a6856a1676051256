//! The folder in which state outlives the process: of one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
    let failed = |error: std::io::Error| {
        format!(
            "state_dir: expected a folder that can be written to, found that {shown} cannot be used: {error}; \
             create it and let the user that runs pve-sentinel write there"
        )
    };
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join(NAME));
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { folder: folder.to_owned(), _file: file }),
        Err(TryLockError::WouldBlock) => Err(format!(
            "state_dir: expected a folder of its own for each pve-sentinel, found that another one uses {shown}; \
             stop that one, or name another folder"
        )),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
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
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = lock(&file).unwrap_err();
        assert!(refused.contains("file cannot be used: "), "{refused}");
    }
}
