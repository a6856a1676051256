//! Files in `state_dir`: replaced by new ones, kept where something in them makes no sense, and named where they cannot be
//! used.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is said of a file that cannot be read or written: which one, what was found, and what to do.
pub fn unusable(file: &Path, error: &io::Error) -> String {
    let folder = file.parent().unwrap_or(Path::new("")).display();
    let expected = format!("state_dir: expected to be able to read and write {}", file.display());
    let is_stray = error.kind() == io::ErrorKind::NotFound && file.is_symlink();
    let is_ours = error.get_ref().is_some();
    match error.kind() {
        _ if is_stray => format!("{expected}, found: it is a symbolic link to what is not there; {MOVE_IT}"),
        _ if is_ours => format!("{expected}, found: {error}; {MOVE_IT}"),
        io::ErrorKind::IsADirectory => format!("{expected}, found: {error}; {MOVE_IT}"),
        // Of these it is the folder that is to blame, whichever file is met first.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{expected}, found that {folder} cannot be used: {error}; make room there")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "{expected}, found that {folder} cannot be used: {error}; let it be written to, or name another folder"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "{expected}, found: {error}; let the user that runs pve-sentinel read and write there; if it belongs to another \
             user: chown -R USER: {folder}"
        ),
        io::ErrorKind::NotFound => format!("{expected}, found: {error}; create the folder, or name another one"),
        _ => format!("{expected}, found: {error}; check the folder"),
    }
}

const MOVE_IT: &str = "move it away: a new one is made";

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
    fn the_sentence_names_the_file_what_was_found_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lock");
        let shown = folder.path().display();
        let said = |code| unusable(&file, &io::Error::from_raw_os_error(code));
        for (code, words) in [
            (13, format!("{shown}/lock, found: Permission denied (os error 13); ")),
            (13, format!("if it belongs to another user: chown -R USER: {shown}")),
            // packaging/test-service looks for these two.
            (28, format!("{shown}/lock, found that {shown} cannot be used: No space left on device")),
            (30, format!("{shown}/lock, found that {shown} cannot be used: Read-only file system")),
            (2, "create the folder".to_owned()),
            (21, "lock, found: Is a directory (os error 21); move it away".to_owned()),
            (5, "lock, found: Input/output error (os error 5); check the folder".to_owned()),
        ] {
            assert!(said(code).starts_with("state_dir: expected ") && said(code).contains(&words), "{}", said(code));
        }
        std::os::unix::fs::symlink("/nowhere/lock", &file).unwrap();
        assert!(
            said(2).contains("lock, found: it is a symbolic link to what is not there; move it away"),
            "{}",
            said(2)
        );
    }

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
