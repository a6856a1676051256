//! Tasks that failed or ended with warnings, and migrations.

use std::collections::BTreeMap;

use super::{Ground, State, plain};
use crate::events::finding::{Finding, Kind, Span};
use crate::events::tasks::Task;

const MIGRATIONS: [&str; 2] = ["qmigrate", "vzmigrate"];

/// Tasks that only show something to somebody: they end with an error whenever a window is closed.
const SHOWN: [&str; 4] = ["vncproxy", "vncshell", "termproxy", "spiceproxy"];

/// What an ended task tells, if it tells anything.
pub(super) fn ended(ground: &Ground<'_>, state: &State, task: &Task) -> Option<Finding> {
    let migration = MIGRATIONS.contains(&task.kind.as_str());
    let kind = match task.status.as_str() {
        "OK" if migration => Kind::MigrationDone,
        "OK" => return None,
        warned if warned.starts_with("WARNINGS") => Kind::TaskWarnings,
        _ if SHOWN.contains(&task.kind.as_str()) => return None,
        _ if migration => Kind::MigrationFailed,
        _ => Kind::TaskFailed,
    };
    let mut finding = of((ground, state), kind, task);
    let (id, node) = (&finding.id, &task.node);
    finding.summary = match kind {
        Kind::MigrationDone => format!("{id} was migrated away from node {node}"),
        Kind::MigrationFailed => format!("The migration of {id} from node {node} failed: {}", plain(&task.status)),
        _ => format!("Task {} of {id} on node {node} ended: {}", plain(&task.kind), plain(&task.status)),
    };
    Some(finding)
}

/// A finding about a task, to be given a summary.
pub(super) fn of((ground, state): (&Ground<'_>, &State), kind: Kind, task: &Task) -> Finding {
    let id = ground.guest_id(state, &task.id, &task.kind).unwrap_or_else(|| format!("node/{}", task.node));
    let end = task.ended.unwrap_or(ground.look.now);
    let mut finding = ground.finding(kind, &id, Span::Occurred { at: end }, String::new());
    finding.key = format!("task/{}", task.upid);
    finding.node = Some(task.node.clone());
    finding.task_type = Some(plain(&task.kind));
    finding.details = BTreeMap::from(
        [
            ("upid", plain(&task.upid)),
            ("user", plain(&task.user)),
            ("exit_status", plain(&task.status)),
            ("duration", format!("{}s", end.saturating_sub(task.begun).max(0))),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    finding
}
