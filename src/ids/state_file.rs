//! Files in `state_dir`: opened where they are files and nothing else, read up to a bound, replaced by new ones, kept where
//! something in them makes no sense, and named where they cannot be used.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes: many times what a journal grows to.
const LARGEST: u64 = 256 << 20;

/// Opens a file, unless there is something else in its place. Blocks.
///
/// # Errors
/// The reason of the operating system, or what there is instead.
pub fn open_state_file(file: &Path, options: &OpenOptions) -> io::Result<File> {
    // Looked at before it is opened: to open a pipe waits for somebody at its other end.
    match std::fs::metadata(file) {
        Ok(found) => is_regular(&found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let opened = options.open(file)?;
    is_regular(&opened.metadata()?)?;
    Ok(opened)
}

/// The bytes of a file; none where it is not there. Blocks.
///
/// # Errors
/// The reason of the operating system, or what there is instead: also where it is larger than any that we write, or a link to
/// what is not there, such as a disk that was not mounted.
pub fn read_state_file(file: &Path) -> io::Result<Vec<u8>> {
    let opened = match open_state_file(file, OpenOptions::new().read(true)) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !file.is_symlink() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    // One that is too long is not read at first; it may also grow meanwhile.
    if opened.metadata()?.len() <= LARGEST {
        (&opened).take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= LARGEST {
            return Ok(bytes);
        }
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {LARGEST} bytes")))
}

fn is_regular(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, no regular file")))
}

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
    #[expect(clippy::disallowed_methods, reason = "the standard library makes no pipes with names")]
    fn what_is_no_file_or_too_long_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(read_state_file(&path("none")).unwrap().is_empty());
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        std::fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("endless")).unwrap();
        std::os::unix::fs::symlink("/nowhere/journal", path("stray")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        File::create(path("long")).unwrap().set_len(3 << 30).unwrap();
        for (name, words) in [
            ("pipe", "it is a pipe, no regular file; move it away"),
            ("folder", "it is a folder, no regular file; move it away"),
            ("socket", "it is a socket, no regular file; move it away"),
            ("endless", "it is a device, no regular file; move it away"),
            ("stray", "it is a symbolic link to what is not there; move it away"),
            ("long", "it is larger than 268435456 bytes; move it away"),
        ] {
            let said = unusable(&path(name), &read_state_file(&path(name)).unwrap_err());
            assert!(said.contains(words), "{said}");
        }
        std::fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        assert_eq!(read_state_file(&path("link")).unwrap(), b"x");
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
