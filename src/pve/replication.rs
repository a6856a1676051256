//! `GET /nodes/{node}/replication`: the replication jobs whose guest is on the node; only those of guests with `VM.Audit`.
//!
//! It has all that `/nodes/{node}/replication/{id}/status` has, and disabled jobs too, on which that call fails.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{Flag, List, Number, Text};

/// A job as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplicationJob<'a> {
    /// The guest's number and the job's, such as `100-0`.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// `local`; more may come.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// The node the guest is on.
    #[serde(borrow)]
    pub source: Text<'a>,
    /// The node that gets the copies.
    #[serde(borrow)]
    pub target: Text<'a>,
    /// The guest's number.
    #[serde(borrow)]
    pub guest: Text<'a>,
    /// `qemu` or `lxc`.
    #[serde(borrow)]
    pub vmtype: Text<'a>,
    /// Whether the administrator has switched it off.
    pub disable: Flag,
    /// Seconds that the last try took; absent before the first has ended.
    pub duration: Number,
    /// When the last successful try began, in seconds since 1970; 0 if there was none.
    pub last_sync: Number,
    /// When the last try began, in seconds since 1970; 0 if there was none or the next is asked for at once.
    pub last_try: Number,
    /// When the next try is due, in seconds since 1970; 0 if it is not planned, 1 if the job is to be removed.
    pub next_sync: Number,
    /// The process that copies now, while one does.
    pub pid: Number,
    /// Failures since the last success.
    pub fail_count: Number,
    /// What the last try came to grief on; absent after a success.
    #[serde(borrow)]
    pub error: Text<'a>,
}

/// What a replication job came to grief on, told from PVE's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicationFault {
    /// A volume is on a storage that cannot be replicated.
    Unsupported,
    /// A storage is missing, disabled or not there on the target.
    Storage,
    /// No space is left.
    Space,
    /// The target cannot be reached, or not trusted.
    Unreachable,
    /// Source and target have no common state any more.
    Snapshot,
    /// Something else held the guest, or it took too long to get hold of it.
    Locked,
    /// The transfer broke off.
    Transfer,
    /// Anything else.
    Other,
}

/// The words by which a fault is known, in lower case: the first one found counts, so that what broke a transfer is told
/// rather than that it broke.
const FAULTS: &[(&str, ReplicationFault)] = &[
    ("replicate feature", ReplicationFault::Unsupported),
    ("not replicatable", ReplicationFault::Unsupported),
    ("out of space", ReplicationFault::Space),
    ("no space left", ReplicationFault::Space),
    ("quota exceeded", ReplicationFault::Space),
    ("host key verification failed", ReplicationFault::Unreachable),
    ("permission denied (publickey", ReplicationFault::Unreachable),
    ("no route to host", ReplicationFault::Unreachable),
    ("connection refused", ReplicationFault::Unreachable),
    ("connection timed out", ReplicationFault::Unreachable),
    ("connection closed", ReplicationFault::Unreachable),
    ("is offline", ReplicationFault::Unreachable),
    ("common base snapshot", ReplicationFault::Snapshot),
    ("incremental base", ReplicationFault::Snapshot),
    ("already exists", ReplicationFault::Snapshot),
    ("has been modified", ReplicationFault::Snapshot),
    ("snapshot", ReplicationFault::Snapshot),
    ("lock file", ReplicationFault::Locked),
    ("acquire lock", ReplicationFault::Locked),
    ("is locked", ReplicationFault::Locked),
    ("lock '", ReplicationFault::Locked),
    ("no such storage", ReplicationFault::Storage),
    ("is not available on node", ReplicationFault::Storage),
    ("is not online", ReplicationFault::Storage),
    ("is disabled", ReplicationFault::Storage),
    ("storage", ReplicationFault::Storage),
    ("broken pipe", ReplicationFault::Transfer),
    ("got timeout", ReplicationFault::Locked),
];

impl ReplicationFault {
    /// As a word of a small set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::Storage => "storage",
            Self::Space => "space",
            Self::Unreachable => "unreachable",
            Self::Snapshot => "snapshot",
            Self::Locked => "locked",
            Self::Transfer => "transfer",
            Self::Other => "other",
        }
    }
}

impl ReplicationJob<'_> {
    /// What the last try came to grief on, if it did.
    pub fn fault(&self) -> Option<ReplicationFault> {
        let words = self.error.filled()?.to_ascii_lowercase();
        // A command is repeated with all its options, which say nothing of why it failed.
        let (command, words) = words.rsplit_once("' failed:").unwrap_or(("", &words));
        if words.contains("exit code") {
            // Of ssh this means that it did not get through; at the end of a pipe it may as well be another's.
            let is_ssh = words.contains("255") && !command.contains("pipefail");
            return Some(if is_ssh { ReplicationFault::Unreachable } else { ReplicationFault::Transfer });
        }
        let known = FAULTS.iter().find(|(word, _)| words.contains(word));
        Some(known.map_or(ReplicationFault::Other, |(_, fault)| *fault))
    }
}

/// The jobs; mostly there are none. Entries without an id are passed over; if all are so, the answer is malformed.
pub fn replication(answer: &Answer) -> Result<Vec<ReplicationJob<'_>>, Error> {
    let list: List<ReplicationJob<'_>> = answer.data()?;
    shaped(answer, list, "an id", |job| job.id.filled().is_some())
}

#[cfg(test)]
mod tests {
    use super::super::testing::recorded;
    use super::*;
    use proptest::prelude::*;

    fn fault(words: &str) -> Option<&'static str> {
        let job = ReplicationJob { error: Text(Some(words.into())), ..ReplicationJob::default() };
        job.fault().map(ReplicationFault::as_str)
    }

    #[test]
    fn the_kind_of_an_error_is_told_from_its_words() {
        let answer = recorded("pve-9.2-cluster/GET_nodes__pve-lab__replication.json");
        assert_eq!(replication(&answer).expect("jobs")[0].fault(), Some(ReplicationFault::Unsupported));
        let pipe = "command 'set -o pipefail && pvesm export local-zfs:vm-100-disk-0 zfs - -snapshot __replicate_100-0_1 | /usr/bin/ssh -- root@10.0.0.2 \
                    -- pvesm import local-zfs:vm-100-disk-0 zfs -' failed: ";
        for (words, kind) in [
            (
                "command '/usr/bin/ssh -e none -o 'BatchMode=yes' root@10.0.0.2 true' failed: exit code 255".to_owned(),
                "unreachable",
            ),
            (format!("{pipe}exit code 255"), "transfer"),
            (format!("{pipe}got signal 9, broken pipe"), "transfer"),
            ("cannot receive new filesystem stream: out of space".to_owned(), "space"),
            ("No common base snapshot on volume(s) zfs:vm-7-disk-0".to_owned(), "snapshot"),
            ("can't lock file '/var/lock/pve-manager/pve-migrate-7' - got timeout".to_owned(), "locked"),
            ("storage 'tank' is not available on node 'pve2'".to_owned(), "storage"),
            ("target node 'pve2' is offline".to_owned(), "unreachable"),
            ("the moon is full".to_owned(), "other"),
        ] {
            assert_eq!(fault(&words), Some(kind), "{words}");
        }
        assert_eq!(fault(""), None);
        assert_eq!(ReplicationJob::default().fault(), None);
    }

    proptest! {
        #[test]
        fn no_words_panic(words in ".{0,60}") {
            prop_assert_eq!(fault(&words).is_some(), !words.is_empty());
        }
    }
}
