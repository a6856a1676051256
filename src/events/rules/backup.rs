//! Backup jobs: one finding for each guest whose backup failed, and jobs that did not start when due.

use serde::{Deserialize, Serialize};

use super::{Ground, State, plain, task};
use crate::events::finding::{Finding, Kind, Span};
use crate::events::tasks::Task;
use crate::pve::{VzdumpLine, vzdump_line};

/// PVE's scheduler looks once a minute, and a node may be busy.
const GRACE: i64 = 300;

/// A log may name any number of guests.
const MOST_GUESTS: usize = 1000;

/// A backup job that is on, and when it runs next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::events) struct Due {
    /// Its name.
    pub(in crate::events) job: String,
    /// The node it is bound to, if it is.
    pub(in crate::events) node: Option<String>,
    /// Its calendar event.
    pub(in crate::events) schedule: String,
    /// Unix seconds.
    pub(in crate::events) at: i64,
}

/// Whether the log of the task tells more than its end.
pub(super) fn wants_log(task: &Task) -> bool {
    task.kind == "vzdump" && failed(task)
}

fn failed(task: &Task) -> bool {
    task.ended.is_some() && task.status != "OK" && !task.status.starts_with("WARNINGS")
}

/// What an ended backup job tells: the guests that its log names, or itself where the log names none.
pub(super) fn ended(ground: &Ground<'_>, state: &State, task: &Task) -> Vec<Finding> {
    if !failed(task) {
        return task::ended(ground, state, task).into_iter().collect();
    }
    let lines = ground.look.logs.get(&task.upid).map(Vec::as_slice).unwrap_or_default();
    let guests = failures(lines);
    if guests.is_empty() {
        let mut finding = task::of((ground, state), Kind::BackupFailed, task);
        finding.summary = format!("The backup job on node {} failed: {}", task.node, plain(&task.status));
        return vec![finding];
    }
    let told = guests.into_iter().take(MOST_GUESTS).map(|(vmid, why)| {
        let mut finding = task::of((ground, state), Kind::BackupFailed, task);
        finding.key = format!("task/{}/{vmid}", task.upid);
        let named = ground.guest_id(state, &vmid.to_string(), &task.kind);
        finding.id = named.unwrap_or_else(|| format!("guest/{vmid}"));
        finding.summary = format!("The backup of {} on node {} failed: {}", finding.id, task.node, plain(why));
        finding.details.insert("log".to_owned(), plain(why));
        finding
    });
    told.collect()
}

/// The guests that a job's log says failed, and why, each once.
fn failures(lines: &[String]) -> Vec<(u64, &str)> {
    let mut found: Vec<(u64, &str)> = Vec::new();
    for line in lines {
        if let Some(VzdumpLine::Failed(vmid, why)) = vzdump_line(line)
            && !found.iter().any(|(known, _)| *known == vmid)
        {
            found.push((vmid, why));
        }
    }
    found
}

/// Jobs whose time has passed without a backup having begun since. Which job a task belongs to, PVE does not say: any
/// backup on the job's node, or on any node, counts.
pub(super) fn not_started(ground: &Ground<'_>, state: &mut State) -> Vec<Finding> {
    let now = ground.look.now;
    for task in ground.look.running.iter().chain(&ground.look.ended).filter(|task| task.kind == "vzdump") {
        let begun = state.backups.entry(task.node.clone()).or_insert(task.begun);
        *begun = task.begun.max(*begun);
    }
    let Some(jobs) = &ground.look.backups else { return Vec::new() };
    let mut found = Vec::new();
    // A job that was changed, switched off or removed is not missed.
    state.due.retain(|name, due| {
        jobs.iter().any(|job| job.job == *name && job.schedule == due.schedule && job.node == due.node)
    });
    for job in jobs {
        let due = state.due.entry(job.job.clone()).or_insert_with(|| job.clone());
        if job.at <= due.at || now < due.at.saturating_add(GRACE) {
            continue;
        }
        let on = |node: &str| due.node.as_deref().is_none_or(|bound| bound == node);
        // A minute earlier by the clock of another node is the same minute.
        if !state.backups.iter().any(|(node, begun)| on(node) && *begun >= due.at - 60) {
            let name = plain(&job.job);
            let id = format!("cluster/{}", ground.cluster);
            let summary = format!("Backup job {name} did not start when it was due ({})", plain(&job.schedule));
            let mut finding = ground.finding(Kind::BackupNotStarted, &id, Span::Occurred { at: due.at }, summary);
            finding.key = format!("{}/{}/{id}/{name}/{}", ground.cluster, finding.kind.name(), due.at);
            finding.details.insert("job".to_owned(), name);
            found.push(finding);
        }
        due.at = job.at;
    }
    found
}
