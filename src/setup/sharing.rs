//! Whether the group of a folder may read a new secret in it.
//!
//! A folder of root's that is closed to all but one group is there for who is in that group: the service. What root
//! writes there for root alone, the service could not read.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// Who owns something, and who may do what with it.
#[derive(Debug, Clone, Copy)]
struct Owned {
    user: u32,
    group: u32,
    mode: u32,
}

impl From<Metadata> for Owned {
    fn from(found: Metadata) -> Self {
        Self { user: found.uid(), group: found.gid(), mode: found.mode() }
    }
}

/// Whether a file that this process would make in a folder would be one for the folder's group.
pub(super) fn is_for_group(folder: &Path) -> bool {
    let owned = |path: &Path| fs::metadata(path).ok().map(Owned::from);
    let (us, folder) = (owned(Path::new("/proc/self")), owned(folder));
    us.zip(folder).is_some_and(|(us, folder)| group(us.user, folder).is_some())
}

/// Lets the group of its folder read a file that was made for its owner alone, where it is for that group. A line about
/// it, if there is one; where it fails, the file stays as it was.
pub fn share(file: &File, path: &Path, folder: &Path) -> Option<String> {
    let (made, folder) = (file.metadata().ok()?, fs::metadata(folder).ok()?);
    let group = group(made.uid(), folder.into())?;
    let path = path.display();
    Some(match let_in(file, group) {
        Ok(()) => format!("{path}: readable by the group of its folder"),
        Err(error) => format!(
            "{path}: readable by root alone, since the group of its folder cannot be let in: {error}; run: \
             chgrp {group} {path} && chmod 640 {path}"
        ),
    })
}

/// The group that a file of this user in this folder is for.
fn group(user: u32, folder: Owned) -> Option<u32> {
    let (of_root, enters, closed) = (folder.user == 0, folder.mode & 0o010 != 0, folder.mode & 0o007 == 0);
    (user == 0 && of_root && folder.group != 0 && enters && closed).then_some(folder.group)
}

/// First the group, then the right: the other way round, another group could read the file in between.
fn let_in(file: &File, group: u32) -> io::Result<()> {
    fchown(file, None, Some(group))?;
    file.set_permissions(Permissions::from_mode(0o640))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_shares_and_only_with_the_group_that_a_folder_is_for() {
        let package = Owned { user: 0, group: 998, mode: 0o40750 };
        assert_eq!(group(0, package), Some(998));
        assert_eq!(group(0, Owned { mode: 0o42770, ..package }), Some(998));
        assert_eq!(group(1000, package), None);
        for other in [
            Owned { group: 0, ..package },
            Owned { mode: 0o40700, ..package },
            Owned { mode: 0o40740, ..package },
            // Where everybody comes by, the group says nothing: /usr/local is of the group staff.
            Owned { mode: 0o42775, ..package },
            // The home of somebody, whose group may be that of all users.
            Owned { user: 1000, group: 100, ..package },
        ] {
            assert_eq!(group(0, other), None, "{other:?}");
        }
    }

    #[test]
    fn a_file_is_let_in_to_a_group_by_who_is_in_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let made = file.as_file().metadata().unwrap();
        assert_eq!(made.mode() & 0o777, 0o600);
        // Root may choose any group; others have but their own.
        let wanted = if made.uid() == 0 { made.gid() + 1 } else { made.gid() };
        let group = if let_in(file.as_file(), wanted).is_ok() { wanted } else { made.gid() };
        let found = file.as_file().metadata().unwrap();
        let mode = if group == wanted { 0o640 } else { 0o600 };
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (made.uid(), group, mode));
    }

    #[test]
    fn a_folder_of_ones_own_shares_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.token");
        fs::write(&path, "").unwrap();
        assert!(!is_for_group(folder.path()) && !is_for_group(&folder.path().join("none")));
        assert_eq!(share(&File::open(&path).unwrap(), &path, folder.path()), None);
    }
}
