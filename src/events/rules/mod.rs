//! What is told of a cluster: two looks, the tasks between them and what is remembered → findings. Pure.
//!
//! ```text
//! task        tasks that failed or warned, migrations        backup   backup jobs: per guest, and those not started
//! guest       stops and restarts nobody asked for, errors    node     nodes, quorum
//! ha          fencing, services, managers                    storage  storages · replication  replication jobs
//! refused     tokens, certificates, keys of hosts
//! condition   what lasts: since when, and over for how long
//! ```

mod backup;
mod condition;
mod guest;
#[cfg(test)]
mod guest_tests;
mod ha;
mod node;
mod refused;
mod replication;
mod storage;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::finding::{Finding, Kind, Span};
use super::tasks::{Cursor, Task};
use crate::inventory::{ClusterStatus, GuestKind, Resources};

pub(super) use backup::Due;
pub(super) use condition::Condition;
pub(super) use guest::GuestMemory;
pub(super) use ha::HaLook;
pub use refused::HostKey;
pub(super) use refused::{Certificate, host_keys};
pub(super) use replication::Job;

/// The longest detail, in characters.
const LONGEST: usize = 1000;

/// What one look at a cluster showed. What was not answered is `None`, and no news.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// Unix seconds of PVE's clock.
    pub(super) now: i64,
    /// How far PVE's clock is ahead of ours, in seconds.
    pub(super) ahead: i64,
    /// `/cluster/resources`.
    pub(super) resources: Option<Arc<Resources>>,
    /// `/cluster/status`.
    pub(super) status: Option<Arc<ClusterStatus>>,
    /// `/cluster/ha/status/current`.
    pub(super) ha: Option<HaLook>,
    /// `/cluster/backup`: the jobs that are on.
    pub(super) backups: Option<Vec<Due>>,
    /// `/nodes/{node}/replication` of those nodes that answered.
    pub(super) replication: Vec<Job>,
    /// Whether our credential was refused, if it was told.
    pub(super) token_refused: Option<bool>,
    /// How the certificates of the endpoints were found.
    pub(super) certificates: Vec<Certificate>,
    /// Tasks that run now.
    pub(super) running: Vec<Task>,
    /// Tasks that ended since the last look, each once.
    pub(super) ended: Vec<Task>,
    /// Nodes of which tasks may have ended that are not known yet: what becomes of their guests is no news.
    pub(super) blind: BTreeSet<String>,
    /// Logs of ended backup jobs, as asked for by [`logs_wanted`]: lines by UPID.
    pub(super) logs: BTreeMap<String, Vec<String>>,
}

/// All that is remembered of a cluster between two looks; it outlives a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Tasks, by node.
    pub(super) cursors: BTreeMap<String, Cursor>,
    /// Guests whose state was told, by id such as `qemu/100`.
    pub(super) guests: BTreeMap<String, GuestMemory>,
    /// When somebody last asked something of a guest, by number.
    pub(super) asked: BTreeMap<String, i64>,
    /// When a backup job or an action on all guests last ran on a node.
    pub(super) asked_nodes: BTreeMap<String, i64>,
    /// When all guests of a node were last told to stop, as before a reboot.
    pub(super) stopping: BTreeMap<String, i64>,
    /// What lasts, by kind and id.
    pub(super) conditions: BTreeMap<String, Condition>,
    /// Storages that were once seen available, by id such as `storage/pve1/nfs`.
    pub(super) storages: BTreeSet<String>,
    /// Backup jobs that are due, by name.
    pub(super) due: BTreeMap<String, Due>,
    /// When the last backup jobs began, by node.
    pub(super) backups: BTreeMap<String, i64>,
    /// When this cluster was looked at for the first time.
    pub(super) begun: Option<i64>,
    /// How far PVE's clock was ahead of ours when the guests were last seen, about.
    pub(super) ahead: Option<i64>,
}

impl State {
    /// What lasts and was not seen any more at the last look: over, unless the next one sees it again. `kind|id` each.
    pub(super) fn doubts(&self) -> BTreeSet<String> {
        let over = self.conditions.iter().filter(|(_, condition)| condition.over.is_some());
        over.map(|(key, _)| key.clone()).collect()
    }
}

/// Who and when: what all rules need.
pub(super) struct Ground<'a> {
    /// The name of the cluster in the configuration.
    pub(super) cluster: &'a str,
    /// Seconds between two looks.
    pub(super) interval: i64,
    /// What is seen now.
    pub(super) look: &'a Look,
}

/// The UPIDs of ended backup jobs whose log tells which guests failed.
pub(super) fn logs_wanted(ended: &[Task]) -> impl Iterator<Item = &Task> {
    ended.iter().filter(|task| backup::wants_log(task))
}

/// What a look tells, and what is remembered of it.
pub(super) fn findings(ground: &Ground<'_>, state: &mut State) -> Vec<Finding> {
    let mut found = Vec::new();
    guest::note_tasks(ground, state);
    for task in &ground.look.ended {
        match task.kind.as_str() {
            "vzdump" => found.extend(backup::ended(ground, state, task)),
            _ => found.extend(task::ended(ground, state, task)),
        }
    }
    found.extend(backup::not_started(ground, state));
    found.extend(refused::findings(ground, state));
    found.extend(node::findings(ground, state));
    found.extend(guest::findings(ground, state));
    found.extend(ha::findings(ground, state));
    found.extend(storage::findings(ground, state));
    found.extend(replication::findings(ground, state));
    found
}

impl Ground<'_> {
    /// A finding that is no task's.
    fn finding(&self, kind: Kind, id: &str, span: Span, summary: String) -> Finding {
        let (Span::Occurred { at: start } | Span::Began { since: start } | Span::Ended { since: start, .. }) = span;
        Finding {
            key: format!("{}/{}/{id}/{start}", self.cluster, kind.name()),
            kind,
            severity: kind.severity(),
            cluster: self.cluster.to_owned(),
            id: id.to_owned(),
            node: None,
            task_type: None,
            span,
            summary,
            description: String::new(),
            details: BTreeMap::new(),
        }
    }

    /// A condition's news, if it has one: `is` tells whether it is true, or that nothing is known.
    fn condition(
        &self,
        state: &mut State,
        (kind, id): (Kind, &str),
        is: Option<bool>,
        summary: impl Fn() -> String,
    ) -> Option<Finding> {
        let span = condition::update(&mut state.conditions, &format!("{}|{id}", kind.name()), self.look.now, is?)?;
        let summary = if matches!(span, Span::Ended { .. }) { format!("Over: {}", summary()) } else { summary() };
        Some(self.finding(kind, id, span, summary))
    }

    /// `qemu/100` of a guest's number: as it is listed, or was, or as the type of its task has it. What a finding is about
    /// must not depend on what else was answered just now.
    fn guest_id(&self, state: &State, vmid: &str, task_type: &str) -> Option<String> {
        let number: u64 = vmid.parse().ok()?;
        let mut listed = self.look.resources.iter().flat_map(|resources| resources.guests.iter());
        if let Some(guest) = listed.find(|guest| guest.identity.vmid == number) {
            return Some(guest.identity.id());
        }
        let ids = ["qemu", "lxc"].map(|kind| format!("{kind}/{number}"));
        let [qemu, lxc] = &ids;
        match task_type {
            _ if state.guests.contains_key(qemu) => Some(qemu.clone()),
            _ if state.guests.contains_key(lxc) => Some(lxc.clone()),
            "vzdump" => None,
            _ if task_type.starts_with("qm") => Some(qemu.clone()),
            _ if task_type.starts_with("vz") => Some(lxc.clone()),
            _ => None,
        }
    }
}

/// Bounded and without control characters.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

fn kind_word(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "VM",
        GuestKind::Lxc => "container",
    }
}
