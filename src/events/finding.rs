//! What happened in a cluster, as everyone downstream sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::ids::Severity;

/// One thing that happened, or the beginning or end of a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Unique for ever and the same for two who saw the same: for a task `task/{UPID}` (and `/{vmid}` for one guest of
    /// a backup job), else `{cluster}/{kind}/{id}/{start in unix seconds of PVE}`.
    pub key: String,
    /// What kind of thing it is.
    pub kind: Kind,
    /// How urgent it is.
    pub severity: Severity,
    /// The name of the cluster in the configuration.
    pub cluster: String,
    /// What it is about: `qemu/100`, `node/pve1`, `storage/pve1/nfs`, `cluster/NAME`.
    pub id: String,
    /// The node, where the finding is the node's or a task's.
    pub node: Option<String>,
    /// The type of the task, such as `vzdump`, where it is a task's.
    pub task_type: Option<String>,
    /// When it was, and whether it lasts.
    pub span: Span,
    /// One sentence with names.
    pub summary: String,
    /// More about it; may be empty.
    pub description: String,
    /// Details such as `upid`, `name`, `user`, `exit_status`, `duration`, `log`: bounded, without control characters.
    pub details: BTreeMap<String, String>,
}

/// When a finding was. All times are unix seconds of PVE's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// Happened at this time; never resolved explicitly.
    Occurred {
        /// The end of the task, or when it was noticed.
        at: i64,
    },
    /// A condition, true from `since` on.
    Began {
        /// When it was first seen.
        since: i64,
    },
    /// The same condition (same cluster, kind and id) is over.
    Ended {
        /// As in [`Span::Began`].
        since: i64,
        /// When it was first seen to be over.
        at: i64,
    },
}

/// Declares the kinds in one table, so that none can lack a name, an alert name or a severity.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident $name:literal $alertname:literal $severity:ident;)+) => {
        /// What kind of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])+ #[serde(rename = $name)] $kind,)+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its key in `[events.rules.<kind>]`, such as `task_failed`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// Its label `alertname`, such as `PVETaskFailed`.
            pub fn alertname(self) -> &'static str {
                match self { $(Self::$kind => $alertname,)+ }
            }

            /// How urgent it is unless the configuration says otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)+ }
            }
        }
    };
}

kinds! {
    /// A task ended with an error.
    TaskFailed "task_failed" "PVETaskFailed" Warning;
    /// A task ended with warnings.
    TaskWarnings "task_warnings" "PVETaskWarnings" Info;
    /// The backup of a guest failed, or a whole backup job did.
    BackupFailed "backup_failed" "PVEBackupFailed" Warning;
    /// A backup job did not start when it was due.
    BackupNotStarted "backup_not_started" "PVEBackupNotStarted" Warning;
    /// A guest stopped although nobody asked for it.
    GuestStoppedUnexpectedly "guest_stopped_unexpectedly" "PVEGuestStoppedUnexpectedly" Critical;
    /// A guest restarts again and again.
    GuestRebootLoop "guest_reboot_loop" "PVEGuestRebootLoop" Critical;
    /// A guest is in an error state, such as paused by an I/O error.
    GuestInError "guest_in_error" "PVEGuestInError" Critical;
    /// A guest restarted although nobody asked for it.
    GuestRestartedUnexpectedly "guest_restarted_unexpectedly" "PVEGuestRestartedUnexpectedly" Warning;
    /// A node is offline.
    NodeLost "node_lost" "PVENodeLost" Critical;
    /// A node that was lost is online again.
    NodeReturned "node_returned" "PVENodeReturned" Info;
    /// The cluster has no quorum.
    QuorumLost "quorum_lost" "PVEQuorumLost" Critical;
    /// The cluster has quorum again.
    QuorumRegained "quorum_regained" "PVEQuorumRegained" Info;
    /// HA fences a node.
    NodeFenced "node_fenced" "PVENodeFenced" Critical;
    /// A service under HA is in the state `error`.
    HaServiceInError "ha_service_in_error" "PVEHaServiceInError" Critical;
    /// The HA manager, or the HA of a node that is online, is dead.
    HaManagerDead "ha_manager_dead" "PVEHaManagerDead" Critical;
    /// A guest was migrated.
    MigrationDone "migration_done" "PVEMigrationDone" Info;
    /// The migration of a guest failed.
    MigrationFailed "migration_failed" "PVEMigrationFailed" Warning;
    /// A replication job fails.
    ReplicationFailing "replication_failing" "PVEReplicationFailing" Warning;
    /// A storage is not available on a node that is online.
    StorageGone "storage_gone" "PVEStorageGone" Critical;
    /// A storage that was gone is available again.
    StorageReturned "storage_returned" "PVEStorageReturned" Info;
    /// A host shows another SSH key than it did.
    HostKeyChanged "host_key_changed" "PVEHostKeyChanged" Critical;
    /// The cluster does not accept the API token any more.
    TokenRejected "token_rejected" "PVETokenRejected" Critical;
    /// An endpoint shows a certificate that is not trusted.
    CertificateRefused "certificate_refused" "PVECertificateRefused" Critical;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_alert_names_follow_them() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let words = kind.name().split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
            assert_eq!(kind.alertname(), format!("PVE{}", words.collect::<String>()));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("{:?}", kind.name()));
        }
    }
}
