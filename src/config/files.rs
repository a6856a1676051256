//! Files that the configuration names: found, bounded, and who else may read them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A file that was read.
pub(crate) struct Content {
    /// Its bytes; wiped when dropped, since they may be a secret.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// The permission bits, where users other than owner and group may do something with the file.
    pub(crate) open_mode: Option<u32>,
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Content> {
    // Looked at before it is opened: to open a pipe waits for somebody to write.
    let found = std::fs::metadata(path)?;
    if !found.is_file() && !found.is_dir() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mode = found.permissions().mode() & 0o777;
    let file = File::open(path)?;
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    // Sized at once: a buffer that grows would leave unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(Content { bytes, open_mode: Some(mode).filter(|mode| mode & 0o007 != 0) })
}

/// A path as the configuration means it: relative ones start at the folder of the configuration file.
pub(super) fn resolve(config_file: &Path, path: &str) -> PathBuf {
    config_file.parent().unwrap_or(Path::new("")).join(path)
}

/// What to do about a file that cannot be read, to follow the reason.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create it or correct the path",
        io::ErrorKind::PermissionDenied => "let the user that runs pve-sentinel read it",
        io::ErrorKind::IsADirectory => "name a file in it",
        io::ErrorKind::FileTooLarge => "name another file",
        _ => "check the path",
    }
}

/// The warning about a file that any user of the machine may read.
pub(crate) fn open_to_others(path: &Path, mode: u32) -> String {
    let path = path.display();
    format!(
        "{path} holds a secret and is open to every user of this machine (mode {mode:04o}); run: chmod o-rwx {path}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap().bytes.as_slice(), b"12345");
        assert_eq!(read(&path, 4).err().unwrap().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read(folder.path(), 4).err().unwrap().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read(&folder.path().join("none"), 4).err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn only_the_bits_of_others_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "x").unwrap();
        for (mode, open) in [(0o600, false), (0o640, false), (0o660, false), (0o644, true), (0o602, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path, 9).unwrap().open_mode, open.then_some(mode), "{mode:o}");
        }
    }

    #[test]
    fn relative_paths_start_at_the_configuration() {
        assert_eq!(resolve(Path::new("/etc/x/config.toml"), "a.pem"), Path::new("/etc/x/a.pem"));
        assert_eq!(resolve(Path::new("/etc/x/config.toml"), "/b/a.pem"), Path::new("/b/a.pem"));
        assert_eq!(resolve(Path::new("config.toml"), "a.pem"), Path::new("a.pem"));
    }
}
