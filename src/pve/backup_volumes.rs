//! `GET /nodes/{node}/storage/{storage}/content?content=backup`: the backups that lie on a storage, as far as the token may
//! see them: without `VM.Backup` and `Datastore.AllocateSpace` the list is empty, and no error.

use serde::{Deserialize, Deserializer};

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Entry, Flag, List, Number, Text};

/// A backup as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BackupVolume<'a> {
    /// Such as `local:backup/vzdump-qemu-100-2026_11_20-22_18_00.vma.zst` or `pbs:backup/vm/100/2026-11-20T21:18:00Z`.
    #[serde(borrow)]
    pub volid: Text<'a>,
    /// The guest's number, as the name says.
    pub vmid: Number,
    /// `qemu` or `lxc`; PVE 7.1 and later say it, where they can tell.
    #[serde(borrow)]
    pub subtype: Text<'a>,
    /// `vma.zst`, `tar.zst`, `pbs-vm`, `pbs-ct` …
    #[serde(borrow)]
    pub format: Text<'a>,
    /// When it was begun, in seconds since 1970.
    pub ctime: Number,
    /// Bytes of the file; on Proxmox Backup Server, of all that is in it.
    pub size: Number,
    /// Whether it is kept from being pruned.
    pub protected: Flag,
    /// What Proxmox Backup Server found when it verified it last; absent where it never did.
    #[serde(borrow)]
    pub verification: Verification<'a>,
}

/// See [`BackupVolume::verification`].
#[derive(Debug, Default)]
pub struct Verification<'a>(Option<Verified<'a>>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Verified<'a> {
    /// `ok` or `failed`.
    #[serde(borrow)]
    state: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Verification<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Entry::deserialize(deserializer).map(|entry| Self(entry.0))
    }
}

impl BackupVolume<'_> {
    /// `qemu` or `lxc`; what is not said is in the name or the format.
    pub fn kind(&self) -> Option<&'static str> {
        let volid = self.volid.filled().unwrap_or_default();
        let name = volid.split_once(":backup/").map_or(volid, |(_, name)| name);
        match (self.subtype.filled(), self.format.filled()) {
            (Some("qemu"), _) | (None, Some("pbs-vm")) => Some("qemu"),
            (Some("lxc"), _) | (None, Some("pbs-ct")) => Some("lxc"),
            _ if name.starts_with("vzdump-qemu-") || name.starts_with("vm/") => Some("qemu"),
            _ if name.starts_with("vzdump-lxc-") || name.starts_with("ct/") => Some("lxc"),
            _ => None,
        }
    }

    /// Whether it lies on a Proxmox Backup Server, which can verify it.
    pub fn is_verifiable(&self) -> bool {
        self.verification.0.is_some() || self.format.filled().is_some_and(|format| format.starts_with("pbs-"))
    }

    /// What the last verification said, if there was one.
    pub fn verified(&self) -> Option<&str> {
        self.verification.0.as_ref().and_then(|told| told.state.filled())
    }
}

/// The backups. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn backup_volumes(answer: &Answer) -> Result<Vec<BackupVolume<'_>>, Error> {
    let list: List<BackupVolume<'_>> = answer.data()?;
    shaped(answer, list, "a volid", |volume| volume.volid.filled().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::testing::recorded;

    #[test]
    fn whose_a_backup_is_stands_in_its_name_at_last() {
        let told = |json: &str| {
            let answer = Answer::of(&format!("{{\"data\":[{json}]}}"));
            let volumes = backup_volumes(&answer).expect("a list");
            (volumes[0].kind(), volumes[0].is_verifiable(), volumes[0].verified().map(str::to_owned))
        };
        for (json, expected) in [
            (r#"{"volid":"local:backup/vzdump-lxc-1-2026.tar"}"#, (Some("lxc"), false, None)),
            (r#"{"volid":"local:backup/vzdump-qemu-1-2026.vma","subtype":"qemu"}"#, (Some("qemu"), false, None)),
            (r#"{"volid":"pbs:backup/ct/1/2026","format":"pbs-ct"}"#, (Some("lxc"), true, None)),
            (r#"{"volid":"pbs:backup/vm/1/2026","format":"pbs-vm","verification":null}"#, (Some("qemu"), true, None)),
            (
                r#"{"volid":"pbs:backup/vm/1/2026","subtype":"qemu","format":"pbs-vm",
                    "verification":{"state":"failed","upid":"UPID:pbs:1"}}"#,
                (Some("qemu"), true, Some("failed".to_owned())),
            ),
            (r#"{"volid":"pbs:backup/host/nas/2026","format":"pbs-host"}"#, (None, true, None)),
            (r#"{"volid":"x","subtype":"openvz","verification":7}"#, (None, false, None)),
        ] {
            assert_eq!(told(json), expected, "{json}");
        }
    }

    #[test]
    fn other_content_has_the_same_shape() {
        let answer = recorded("pve-9.2-cluster/GET_nodes__pve-lab__storage__local__content.json");
        let volumes = backup_volumes(&answer).expect("a list");
        assert_eq!(volumes.len(), 10);
        assert!(volumes.iter().all(|volume| volume.kind().is_none() && volume.ctime.whole().is_some()));
        assert!(backup_volumes(&Answer::of(r#"{"data":[{"size":1}]}"#)).is_err());
    }
}
