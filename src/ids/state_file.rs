//! Files in `state_dir`: replaced by new ones, and kept where something in them makes no sense.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where [`keep_damaged`] keeps a copy of a file: beside it.
pub fn damaged(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".damaged");
    name.into()
}

/// Writes what was read of a file beside it, for its user alone and in the place of the copy before. On return it is on the
/// disk. Blocks.
///
/// # Errors
/// The reason of the operating system.
pub fn keep_damaged(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut copy = make_state_file(&damaged(file))?;
    copy.write_all(bytes)?;
    copy.sync_all()
}

/// Makes an empty file for its user alone, in the place of whatever file has the name: of a writer that was killed, or of
/// somebody else, with a mode of its own.
///
/// # Errors
/// The reason of the operating system.
pub fn make_state_file(file: &Path) -> io::Result<File> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_copy_is_ours_alone_and_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("control.journal");
        let copy = folder.path().join("control.journal.damaged");
        std::fs::write(&copy, "open to all, and longer than what comes").unwrap();
        for bytes in [&b"first"[..], b"x"] {
            keep_damaged(&file, bytes).unwrap();
            assert_eq!(std::fs::read(&copy).unwrap(), bytes);
            assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
