//! Secrets that move to files of their own.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::files;
use crate::setup;

/// The largest file that is compared with a secret, in bytes.
const LARGEST: usize = 64 << 10;

/// A folder, and what is to be in it.
pub(super) struct Folder {
    path: PathBuf,
    /// File names and contents.
    planned: Vec<(String, String)>,
}

impl Folder {
    /// The folder, made for its owner alone if it is not there. Fails with a sentence for the administrator.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let fault = |error: io::Error| {
            format!("--secrets-dir {}: the folder cannot be made: {error}; {}", path.display(), advice(&error))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault)?;
        // The configuration may be read from another folder than this command runs in.
        Ok(Self { path: fs::canonicalize(path).map_err(fault)?, planned: Vec::new() })
    }

    /// Plans a file and gives its path. `stem` becomes a name that no other secret has; `kind` ends it.
    pub(super) fn plan(&mut self, stem: &str, kind: &str, secret: &str) -> Result<String, String> {
        let stem: String = stem
            .chars()
            .take(60)
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
            .collect();
        let stem = stem.trim_start_matches(['.', '-']);
        let stem = if stem.is_empty() { "module" } else { stem };
        let name = (1..)
            .map(|number| if number == 1 { format!("{stem}.{kind}") } else { format!("{stem}-{number}.{kind}") })
            .find(|name| self.planned.iter().all(|(taken, _)| taken != name))
            .unwrap_or_default();
        let path = self.path.join(&name);
        let Some(text) = path.to_str() else {
            return Err(format!("--secrets-dir {}: expected a path in UTF-8, found other bytes", self.path.display()));
        };
        self.planned.push((name, format!("{secret}\n")));
        Ok(text.to_owned())
    }

    /// Writes what is planned, or nothing where a file has another content. Gives a line about each file that others than its
    /// owner may read. Fails with a sentence for the administrator.
    pub(super) fn write(self) -> Result<Vec<String>, String> {
        let mut missing = Vec::new();
        for (name, content) in &self.planned {
            let path = self.path.join(name);
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push((path, content)),
                Ok(_)
                    if files::read(&path, LARGEST).is_ok_and(|found| found.bytes.as_slice() == content.as_bytes()) => {}
                _ => {
                    return Err(format!(
                        "{}: expected no file or one with the same secret, found another; nothing was written; \
                         remove it or choose another --secrets-dir",
                        path.display()
                    ));
                }
            }
        }
        let mut notes = Vec::new();
        for (path, content) in missing {
            let note = create(&path, content, &self.path).map_err(|error| {
                format!("{}: the secret cannot be written: {error}; {}", path.display(), advice(&error))
            })?;
            notes.extend(note);
        }
        Ok(notes)
    }
}

/// What to do about a folder that secrets cannot be put in, to follow the reason.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "choose one that this user may write to, or run the import as its owner",
        io::ErrorKind::AlreadyExists => "it is no folder: choose another",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room, or choose another",
        _ => "choose another --secrets-dir",
    }
}

/// Writes a new file that only its owner may read, and the service where root makes it; half a file does not stay.
fn create(path: &Path, content: &str, folder: &Path) -> io::Result<Option<String>> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let note = setup::share(&file, path, folder);
    let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written.map(|()| note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn secrets_go_to_private_files_with_names_of_their_own() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let mut folder = Folder::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        let names: Vec<String> = [("default", "1"), ("default", "2"), ("../../etc/x", "3"), ("é\n", "4"), (".", "5")]
            .into_iter()
            .map(|(stem, secret)| folder.plan(stem, "token", secret).unwrap())
            .collect();
        folder.write().unwrap();
        let path = fs::canonicalize(&path).unwrap();
        let expected = ["default.token", "default-2.token", "etc-x.token", "module.token", "module-2.token"];
        for (index, (name, expected)) in names.iter().zip(expected).enumerate() {
            let expected = path.join(expected);
            assert_eq!(Path::new(name).file_name(), expected.file_name());
            assert_eq!(fs::read_to_string(name).unwrap(), format!("{}\n", index + 1));
            assert_eq!(mode(Path::new(name)), 0o600);
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), expected.len());
    }

    #[test]
    fn the_group_that_a_folder_of_roots_is_for_may_read_them() {
        let parent = tempfile::tempdir().unwrap();
        let own = fs::metadata(parent.path()).unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o750)).unwrap();
        // Only root can have such a folder here, and not in every container.
        let is_for_group = own.uid() == 0 && chown(parent.path(), None, Some(own.gid() + 1)).is_ok();
        let mut folder = Folder::open(parent.path()).unwrap();
        let name = folder.plan("default", "token", "s3cret").unwrap();
        let notes = folder.write().unwrap();
        let (made, group) = (fs::metadata(&name).unwrap(), fs::metadata(parent.path()).unwrap().gid());
        let mode = if is_for_group { 0o640 } else { 0o600 };
        assert_eq!((made.mode() & 0o777, made.gid()), (mode, group));
        assert_eq!(notes.len(), usize::from(is_for_group), "{notes:?}");
    }

    #[test]
    fn a_folder_that_is_no_use_is_named_with_what_to_do() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "x").unwrap();
        let told = |path: &Path| Folder::open(path).err().unwrap();
        assert!(told(&file).contains("file: the folder cannot be made: "), "{}", told(&file));
        assert!(told(&file).ends_with("; it is no folder: choose another"), "{}", told(&file));
        let below = told(&file.join("below"));
        assert!(below.ends_with("; choose another --secrets-dir"), "{below}");
        // Gone in the meantime.
        let mut folder = Folder::open(&parent.path().join("gone")).unwrap();
        folder.plan("default", "token", "s3cret").unwrap();
        fs::remove_dir(parent.path().join("gone")).unwrap();
        let wrong = folder.write().unwrap_err();
        assert!(wrong.contains("default.token: the secret cannot be written: "), "{wrong}");
        assert!(wrong.ends_with("; choose another --secrets-dir") && !wrong.contains("s3cret"), "{wrong}");
    }

    #[test]
    fn another_content_is_never_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let plan = |secret: &str| {
            let mut folder = Folder::open(parent.path()).unwrap();
            folder.plan("new", "token", "x").unwrap();
            folder.plan("old", "token", secret).unwrap();
            folder.write()
        };
        fs::write(parent.path().join("old.token"), "mine\n").unwrap();
        let wrong = plan("0ther").unwrap_err();
        assert!(
            wrong.contains("old.token") && wrong.contains("nothing was written") && !wrong.contains("0ther"),
            "{wrong}"
        );
        assert!(!parent.path().join("new.token").exists(), "all or nothing");
        plan("mine").unwrap();
        assert_eq!(fs::read_to_string(parent.path().join("old.token")).unwrap(), "mine\n");
        assert!(parent.path().join("new.token").exists());
        plan("mine").unwrap();
        fs::remove_file(parent.path().join("old.token")).unwrap();
        std::os::unix::fs::symlink("/nonexistent/x", parent.path().join("old.token")).unwrap();
        assert!(plan("mine").is_err(), "a link is not followed to where a file could be made");
    }
}
