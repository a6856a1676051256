//! Files that grow by whole lines, each on disk before anybody goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::ids::open_state_file;

/// Opens a file for more lines, and makes it where there is none. Nothing but a file will do: a device keeps nothing, and
/// must not get another mode; a pipe would be waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_state_file(path, OpenOptions::new().read(true).append(true).create(true).mode(0o600))
}

/// Adds a line, which is on disk when this returns. One that a full disk cut off before does not swallow it.
pub(super) fn append(path: &Path, mut line: Vec<u8>) -> io::Result<()> {
    let mut file = open(path)?;
    line.push(b'\n');
    if is_torn(&mut file)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line)?;
    file.sync_all()
}

fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_swallows_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        append(&path, b"one".to_vec()).unwrap();
        append(&path, b"two".to_vec()).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"thr").unwrap();
        append(&path, b"four".to_vec()).unwrap();
        append(&path, b"five".to_vec()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n{\"thr\nfour\nfive\n");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the standard library makes no pipes with names")]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [Path::new("/dev/null"), Path::new("/dev/full"), &pipe] {
            assert_eq!(append(path, Vec::new()).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
        }
    }
}
