//! What happened, as everyone downstream sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::ids::Severity;

/// What happened, as everyone downstream sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Unique for ever and the same for two sidecars that saw the same: for a task `task/{UPID}` (and `/{vmid}` for one
    /// guest of a backup job), else `{cluster}/{kind}/{id}/{start in unix seconds of PVE}`.
    pub key: String,
    /// What kind of thing.
    pub kind: Kind,
    /// Label `severity`.
    pub severity: Severity,
    /// Label `cluster`: the configured name.
    pub cluster: String,
    /// Label `id`: `qemu/100`, `node/pve1`, `storage/pve1/nfs`, `cluster/NAME`.
    pub id: String,
    /// Label `node`, where the finding is the node's or a task's.
    pub node: Option<String>,
    /// Label `task_type`.
    pub task_type: Option<String>,
    /// When.
    pub span: Span,
    /// One sentence with names.
    pub summary: String,
    /// More of it.
    pub description: String,
    /// Further annotations: `upid`, `name`, `user`, `exit_status`, `duration`, `log`, `link` …; bounded, no control
    /// characters.
    pub details: BTreeMap<String, String>,
}

/// When it happened. Times are seconds since 1970 on the clock of Proxmox VE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// At this time: fires for `hold` from its first accepted delivery, and is never resolved explicitly.
    Occurred {
        /// When.
        at: i64,
    },
    /// A condition, which fires while it is true.
    Began {
        /// Since when.
        since: i64,
    },
    /// The same condition (same cluster, kind and id) is over.
    Ended {
        /// Since when it was true.
        since: i64,
        /// When it ended.
        at: i64,
    },
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    TaskFailed,
    TaskWarnings,
    BackupFailed,
    BackupNotStarted,
    GuestStoppedUnexpectedly,
    GuestRebootLoop,
    GuestInError,
    GuestRestartedUnexpectedly,
    NodeLost,
    NodeReturned,
    QuorumLost,
    QuorumRegained,
    NodeFenced,
    HaServiceInError,
    HaManagerDead,
    MigrationDone,
    MigrationFailed,
    ReplicationFailing,
    StorageGone,
    StorageReturned,
    HostKeyChanged,
    TokenRejected,
    CertificateRefused,
}

impl Kind {
    /// All there are.
    pub const ALL: &[Self] = &[
        Self::TaskFailed,
        Self::TaskWarnings,
        Self::BackupFailed,
        Self::BackupNotStarted,
        Self::GuestStoppedUnexpectedly,
        Self::GuestRebootLoop,
        Self::GuestInError,
        Self::GuestRestartedUnexpectedly,
        Self::NodeLost,
        Self::NodeReturned,
        Self::QuorumLost,
        Self::QuorumRegained,
        Self::NodeFenced,
        Self::HaServiceInError,
        Self::HaManagerDead,
        Self::MigrationDone,
        Self::MigrationFailed,
        Self::ReplicationFailing,
        Self::StorageGone,
        Self::StorageReturned,
        Self::HostKeyChanged,
        Self::TokenRejected,
        Self::CertificateRefused,
    ];

    /// The key in `[events.rules]`, such as `task_failed`.
    pub fn name(self) -> &'static str {
        self.told().0
    }

    /// The label `alertname`, such as `PVETaskFailed`.
    pub fn alertname(self) -> &'static str {
        self.told().1
    }

    /// The severity unless `[events.rules]` says otherwise.
    pub fn severity(self) -> Severity {
        self.told().2
    }

    fn told(self) -> (&'static str, &'static str, Severity) {
        use Severity::{Critical, Info, Warning};
        match self {
            Self::TaskFailed => ("task_failed", "PVETaskFailed", Warning),
            Self::TaskWarnings => ("task_warnings", "PVETaskWarnings", Info),
            Self::BackupFailed => ("backup_failed", "PVEBackupFailed", Warning),
            Self::BackupNotStarted => ("backup_not_started", "PVEBackupNotStarted", Warning),
            Self::GuestStoppedUnexpectedly => ("guest_stopped_unexpectedly", "PVEGuestStoppedUnexpectedly", Critical),
            Self::GuestRebootLoop => ("guest_reboot_loop", "PVEGuestRebootLoop", Critical),
            Self::GuestInError => ("guest_in_error", "PVEGuestInError", Critical),
            Self::GuestRestartedUnexpectedly => {
                ("guest_restarted_unexpectedly", "PVEGuestRestartedUnexpectedly", Warning)
            }
            Self::NodeLost => ("node_lost", "PVENodeLost", Critical),
            Self::NodeReturned => ("node_returned", "PVENodeReturned", Info),
            Self::QuorumLost => ("quorum_lost", "PVEQuorumLost", Critical),
            Self::QuorumRegained => ("quorum_regained", "PVEQuorumRegained", Info),
            Self::NodeFenced => ("node_fenced", "PVENodeFenced", Critical),
            Self::HaServiceInError => ("ha_service_in_error", "PVEHAServiceInError", Critical),
            Self::HaManagerDead => ("ha_manager_dead", "PVEHAManagerDead", Critical),
            Self::MigrationDone => ("migration_done", "PVEMigrationDone", Info),
            Self::MigrationFailed => ("migration_failed", "PVEMigrationFailed", Warning),
            Self::ReplicationFailing => ("replication_failing", "PVEReplicationFailing", Warning),
            Self::StorageGone => ("storage_gone", "PVEStorageGone", Critical),
            Self::StorageReturned => ("storage_returned", "PVEStorageReturned", Info),
            Self::HostKeyChanged => ("host_key_changed", "PVEHostKeyChanged", Critical),
            Self::TokenRejected => ("token_rejected", "PVETokenRejected", Critical),
            Self::CertificateRefused => ("certificate_refused", "PVECertificateRefused", Critical),
        }
    }
}
