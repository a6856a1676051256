//! Where the secret of a token is kept: a file that only its owner may read, and the service where root makes it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::sharing;
use crate::config::Secret;

/// The file of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    folder: PathBuf,
    path: PathBuf,
    /// Whether it is there.
    pub(super) exists: bool,
    /// Whether the group of the folder is to read it.
    pub(super) is_for_group: bool,
}

/// A file that was made for a secret; it goes again unless the secret is written.
pub(super) struct NewFile {
    path: PathBuf,
    file: File,
    /// Who else may read it.
    note: Option<String>,
    done: bool,
}

impl TokenFile {
    /// Looks for the file of a name in a folder, which need not be there. Links are not followed.
    pub fn find(folder: &Path, name: &str) -> Result<Self, Error> {
        let fault = |what: &str| Error::InTheWay(format!("--out {}: {what}", folder.display()));
        let folder = std::path::absolute(folder).map_err(|error| fault(&format!("no such folder: {error}")))?;
        let path = folder.join(format!("{name}.token"));
        if path.to_str().is_none() {
            return Err(fault("expected a path in UTF-8, found other bytes"));
        }
        let exists = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => true,
            Ok(_) => return Err(fault(&format!("expected {name}.token to be a file, found a link or a folder"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(fault(&format!("{name}.token cannot be looked for: {error}"))),
        };
        let is_for_group = sharing::is_for_group(&folder);
        Ok(Self { folder, path, exists, is_for_group })
    }

    /// The path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file, empty, with its folder.
    pub(super) fn create(&self) -> Result<NewFile, Error> {
        let fault = |error: io::Error| {
            Error::InTheWay(format!("{}: the file for the secret cannot be made: {error}", self.path.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(fault)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path).map_err(fault)?;
        let note = sharing::share(&file, &self.path, &self.folder);
        Ok(NewFile { path: self.path.clone(), file, note, done: false })
    }

    /// Whether the file holds the secret of a token and nothing else.
    pub(super) fn is_secret(&self) -> bool {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|file| file.take(64).read_to_string(&mut text));
        read.is_ok() && is_uuid(text.trim_end())
    }

    /// Whether nothing was written to the file yet.
    pub(super) fn is_empty(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.len() == 0)
    }

    /// Removes the file.
    pub(super) fn remove(&self) -> Result<(), Error> {
        fs::remove_file(&self.path)
            .map_err(|error| Error::InTheWay(format!("{}: the file cannot be removed: {error}", self.path.display())))
    }
}

impl NewFile {
    /// Writes the secret down. A line about who else may read it, if anybody.
    pub(super) fn write(mut self, secret: &Secret) -> Result<Option<String>, Error> {
        let line = zeroize::Zeroizing::new(format!("{}\n", secret.expose()));
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_all());
        self.done = written.is_ok();
        match written {
            Ok(()) => Ok(self.note.take()),
            Err(error) => {
                Err(Error::InTheWay(format!("{}: the secret cannot be written: {error}", self.path.display())))
            }
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a text is the secret of a token, as Proxmox VE makes them.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const UUID: &str = "0b9e7a52-1111-4222-8333-5a5a5a5a5a5a";

    #[test]
    fn a_secret_is_its_owners_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let file = TokenFile::find(&folder, "home").unwrap();
        assert!(!file.exists && file.path().ends_with("a/b/home.token"));
        drop(file.create().unwrap());
        assert!(!TokenFile::find(&folder, "home").unwrap().exists, "nothing stays of what was not written");
        file.create().unwrap().write(&Secret::new(UUID.to_owned())).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), format!("{UUID}\n"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(file.path()), mode(&folder)), (0o600, 0o700));
        assert!(file.is_secret() && TokenFile::find(&folder, "home").unwrap().exists);
        let taken = file.create().err().unwrap().to_string();
        assert!(taken.contains("home.token"), "{taken}");
        assert!(file.is_secret(), "it is left as it was");
        file.remove().unwrap();
        assert!(!TokenFile::find(&folder, "home").unwrap().exists);
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("home.token"), folder.path().join("target"));
        let file = TokenFile::find(folder.path(), "home").unwrap();
        symlink(&target, &link).unwrap();
        assert!(file.create().is_err() && !target.exists());
        assert!(TokenFile::find(folder.path(), "home").unwrap_err().to_string().contains("a link"));
    }

    #[test]
    fn a_secret_looks_like_one() {
        for text in ["", "x", &UUID[1..], &UUID.replace('-', "0"), &format!("{UUID}0"), &"é".repeat(18)] {
            assert!(!is_uuid(text), "{text}");
        }
        assert!(is_uuid(UUID));
    }
}
