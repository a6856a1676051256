//! What became of the backups of each guest, from the tasks of the nodes and their logs: jobs to files and to Proxmox Backup
//! Server alike, without a right on any storage. Try: `pvesh get /nodes/NODE/tasks --typefilter vzdump --source all`

use std::collections::BTreeSet;
use std::time::Duration;

use super::shared::{Column, flag, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, Subject};
use crate::config::{CollectorKey, KeyKind, Preset};
use crate::ids::GuestSelection;
use crate::inventory::{BackupBook, BackupTask, Guest, GuestBackups, Resources};
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Error, Reason, VzdumpLog};

const LIST: &str = "/nodes/{node}/tasks?typefilter=vzdump&source=all&since={since}&start={start}&limit=500";
const LOG: &str = "/nodes/{node}/tasks/{upid}/log?start={start}&limit=5000";

/// Tasks per page of a list, and pages.
const PAGE: usize = 500;
const PAGES: usize = 20;
/// Lines per page of a log, and pages.
const LINES: usize = 5000;
const LOG_PAGES: usize = 20;
/// Logs that are read at once; the others have their turn at the next time. The newest come first.
const LOGS: usize = 20;

/// One call per node, and two at least for each task that has ended since; a backup is old after hours or days.
pub(super) const COLLECTOR: Collector = Collector {
    name: "backup",
    about: "last backup of each guest: when, how it ended, how long it took, its size",
    needs: &[
        Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" },
        Need { privilege: "VM.Audit", before_9: None, path: "/vms" },
    ],
    calls: &[LIST, LOG],
    families: &[&SUCCESS, &ATTEMPT, &ATTEMPT_OK, &DURATION, &SIZE, &TRANSFERRED, &RUNNING, &EXCLUDED],
    preset: Some(Preset::Default),
    options: &[CollectorKey {
        name: "exclude",
        kind: KeyKind::Guests,
        about: "guests that are not backed up on purpose",
    }],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(5),
        per: Per::Node,
        blocks: false,
        max_in_flight: None,
        sees_all: true,
        fetch,
    }),
};

static SUCCESS: Desc = Desc {
    name: "pve_guest_backup_last_success_timestamp_seconds",
    help: "When the last successful backup of the guest ended, absent if none is known, from /nodes/{node}/tasks and logs.",
    kind: Kind::Gauge,
};
static ATTEMPT: Desc = Desc {
    name: "pve_guest_backup_last_attempt_timestamp_seconds",
    help: "When the last backup of the guest ended, however it did; one that runs is none, from /nodes/{node}/tasks and logs.",
    kind: Kind::Gauge,
};
static ATTEMPT_OK: Desc = Desc {
    name: "pve_guest_backup_last_attempt_success",
    help: "Whether the last backup of the guest that has ended did so well, from /nodes/{node}/tasks and logs.",
    kind: Kind::Gauge,
};
static DURATION: Desc = Desc {
    name: "pve_guest_backup_last_success_duration_seconds",
    help: "How long the last successful backup of the guest took, from /nodes/{node}/tasks and logs.",
    kind: Kind::Gauge,
};
static SIZE: Desc = Desc {
    name: "pve_guest_backup_last_success_size_bytes",
    help: "Size of the last successful backup of the guest as the log rounds it, on Proxmox Backup Server of all that is in it, from logs of tasks.",
    kind: Kind::Gauge,
};
static TRANSFERRED: Desc = Desc {
    name: "pve_guest_backup_last_success_transferred_bytes",
    help: "What the last successful backup of the guest read of its disks or sent, as the log rounds it, from logs of tasks.",
    kind: Kind::Gauge,
};
static RUNNING: Desc = Desc {
    name: "pve_guest_backup_running",
    help: "Whether a backup of the guest runs, only of guests with a backup that is known, from /nodes/{node}/tasks and locks.",
    kind: Kind::Gauge,
};
static EXCLUDED: Desc = Desc {
    name: "pve_guest_backup_excluded",
    help: "Present for each guest that is not backed up on purpose, from the option exclude.",
    kind: Kind::Gauge,
};

/// A guest of the node, and what is known of its backups.
struct Told {
    id: String,
    known: Option<GuestBackups>,
    running: bool,
    excluded: bool,
}

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Subject::Node(node) = ask.subject() else { return Ok(Vec::new()) };
        let resources = ask.all()?;
        let tasks = list(ask, node).await?;
        if !resources.tells_of_guests() {
            return Ok(Vec::new());
        }
        let book = ask.inventory().backups();
        let known: BTreeSet<u64> = resources.guests.iter().map(|guest| guest.identity.vmid).collect();
        book.keep(|vmid| known.contains(&vmid), |name| resources.nodes.iter().any(|node| node.name == name));
        let told = |guest: &Guest| Told {
            id: guest.identity.id(),
            known: book.guest(guest.identity.vmid),
            running: *guest.node == **node && runs(guest, &tasks),
            excluded: ask.settings().guests("exclude").is_some_and(|exclude| is_in(guest, exclude)),
        };
        Ok(families(&guests(resources, node).map(told).collect::<Vec<_>>()))
    })
}

/// Those that are on the node. What is known of guests whose node is lost, the first of the others tells.
fn guests<'r>(resources: &'r Resources, node: &'r str) -> impl Iterator<Item = &'r Guest> {
    let online: BTreeSet<&str> = resources.nodes.iter().filter(|node| node.online).map(|node| &*node.name).collect();
    let is_first = online.first().is_none_or(|first| *first == node);
    resources.guests.iter().filter(move |guest| *guest.node == *node || (is_first && !online.contains(&*guest.node)))
}

/// All tasks since the last time; what their logs tell is in the book then, as far as there was time to read them.
async fn list(ask: &Ask<'_>, node: &str) -> Result<Vec<BackupTask>, Error> {
    let book = ask.inventory().backups();
    let since = book.since(node).to_string();
    let (mut tasks, mut now) = (Vec::new(), None);
    for page in 0..PAGES {
        let start = (page * PAGE).to_string();
        let page_of = [("since", &*since), ("start", &*start)];
        let Some(answer) = if_known(ask.get_with(LIST, &page_of).await)? else { break };
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds; the cast saturates")]
        let date = answer.date().map(|date| date as i64);
        now = now.max(date);
        let entries = pve::tasks(&answer)?;
        let listed: Vec<BackupTask> = entries.iter().filter_map(BackupTask::of).collect();
        // They come newest first.
        let oldest = now.map_or(0, BackupBook::oldest);
        let is_long_ago = listed.iter().all(|task| task.ended.is_some_and(|ended| ended < oldest));
        tasks.extend(listed);
        if is_long_ago || entries.len() < PAGE {
            break;
        }
    }
    for task in book.listed(node, &tasks, now).iter().take(LOGS) {
        match log(ask, &task.upid).await {
            Ok(log) => book.read(node, task, &log),
            Err(error) => {
                let cluster = ask.inventory().cluster();
                tracing::warn!(cluster, node, collector = "backup", upid = task.upid.as_str(), %error, "the log of a backup was not read");
                if !is_of_the_log(&error) {
                    break;
                }
                book.unreadable(node, task);
            }
        }
    }
    Ok(tasks)
}

/// Whether the node answered, and has no such log or none that can be used.
fn is_of_the_log(error: &Error) -> bool {
    let reason = &error.reason;
    matches!(
        reason,
        Reason::NotFoundHere(_) | Reason::Status(400..=594, _) | Reason::Malformed(_) | Reason::TooLarge(_)
    )
}

async fn log(ask: &Ask<'_>, upid: &str) -> Result<VzdumpLog, Error> {
    let mut log = VzdumpLog::default();
    for page in 0..LOG_PAGES {
        let answer = ask.get_with(LOG, &[("upid", upid), ("start", &(page * LINES).to_string())]).await?;
        let lines = pve::whole_task_log(&answer)?;
        lines.iter().for_each(|line| log.take(line));
        if lines.len() < LINES {
            return Ok(log);
        }
    }
    log.cut();
    Ok(log)
}

/// A task of one guest has its number; one of many holds the guest that it is at.
fn runs(guest: &Guest, tasks: &[BackupTask]) -> bool {
    let mut running = tasks.iter().filter(|task| task.ended.is_none());
    let is_locked = guest.lock.as_deref() == Some("backup");
    running.any(|task| task.vmid.map_or(is_locked, |vmid| vmid == guest.identity.vmid))
}

fn is_in(guest: &Guest, selection: &GuestSelection) -> bool {
    let identity = &guest.identity;
    selection.has(identity.vmid, identity.tags.split(';').filter(|tag| !tag.is_empty()), identity.pool.as_deref())
}

fn families(guests: &[Told]) -> Vec<Family> {
    let mut columns =
        [&SUCCESS, &ATTEMPT, &ATTEMPT_OK, &DURATION, &SIZE, &TRANSFERRED, &RUNNING, &EXCLUDED].map(Column::new);
    for guest in guests {
        // What is left out on purpose is never late.
        let known = guest.known.filter(|_| !guest.excluded);
        let success = known.and_then(|known| known.success);
        let is_told = known.is_some() || (guest.running && !guest.excluded);
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let values = [
            success.map(|success| success.ended as f64),
            known.map(|known| known.attempt.ended as f64),
            known.map(|known| flag(known.attempt.ok)),
            success.and_then(|success| success.took).map(|took| took as f64),
            success.and_then(|success| success.bytes),
            success.and_then(|success| success.transferred),
            is_told.then_some(flag(guest.running)),
            guest.excluded.then_some(1.0),
        ];
        let labels = Labels::new(&[("id", &guest.id)]);
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(&labels, value);
        }
    }
    columns.map(Column::into_family).into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::inventory::Attempt;
    use crate::inventory::testing::resources;
    use proptest::prelude::*;

    const NOW: i64 = 1_795_200_000;

    fn attempt(ended: i64, ok: bool) -> Attempt {
        let (bytes, transferred) = if ok { (Some(1024.0), Some(4096.0)) } else { (None, None) };
        Attempt { vmid: 7, ended, took: ok.then_some(94), ok, bytes, transferred }
    }

    fn guest(known: Option<GuestBackups>) -> Told {
        Told { id: "qemu/7".to_owned(), known, running: false, excluded: false }
    }

    fn told(guest: Told) -> Vec<String> {
        let lines = lines(&families(&[guest]));
        let short = |line: &String| line.replace("pve_guest_backup_", "").replace("{id=\"qemu/7\"}", "");
        lines.iter().map(short).collect()
    }

    #[test]
    fn a_failure_does_not_hide_the_last_success() {
        let known = GuestBackups { attempt: attempt(NOW, false), success: Some(attempt(NOW - 86_400, true)) };
        assert_eq!(
            told(guest(Some(known))),
            [
                "last_success_timestamp_seconds 1795113600",
                "last_attempt_timestamp_seconds 1795200000",
                "last_attempt_success 0",
                "last_success_duration_seconds 94",
                "last_success_size_bytes 1024",
                "last_success_transferred_bytes 4096",
                "running 0",
            ]
        );
    }

    #[test]
    fn a_first_backup_that_runs_has_no_time_yet() {
        assert_eq!(told(Told { running: true, ..guest(None) }), ["running 1"]);
        assert!(told(guest(None)).is_empty());
        let failed = GuestBackups { attempt: attempt(NOW, false), success: None };
        assert_eq!(
            told(guest(Some(failed))),
            ["last_attempt_timestamp_seconds 1795200000", "last_attempt_success 0", "running 0"]
        );
    }

    #[test]
    fn who_is_left_out_on_purpose_is_never_late() {
        let known = GuestBackups { attempt: attempt(NOW, true), success: Some(attempt(NOW, true)) };
        assert_eq!(told(Told { excluded: true, running: true, ..guest(Some(known)) }), ["excluded 1"]);
    }

    fn cluster() -> Resources {
        resources(
            r#"{"data":[{"type":"node","node":"a","status":"online"},
            {"type":"qemu","vmid":100,"node":"a","status":"running","lock":"backup","tags":"nobackup;web"},
            {"type":"lxc","vmid":101,"node":"a","status":"stopped","pool":"lab"}]}"#,
        )
    }

    #[test]
    fn a_lock_tells_whom_a_task_of_many_is_at() {
        let cluster = cluster();
        let guests: Vec<&Guest> = cluster.guests.iter().collect();
        let task = |vmid, ended| BackupTask { upid: "U".to_owned(), vmid, begun: NOW, ended, ok: false };
        for (task, expected) in [
            (task(None, None), [true, false]),
            (task(Some(101), None), [false, true]),
            (task(None, Some(NOW)), [false, false]),
        ] {
            assert_eq!([0, 1].map(|place| runs(guests[place], std::slice::from_ref(&task))), expected, "{task:?}");
        }
        // A lock that was left behind is no backup that runs.
        assert!(!runs(guests[0], &[]));
    }

    #[test]
    fn guests_of_lost_nodes_are_told_by_another() {
        let cluster = resources(
            r#"{"data":[{"type":"node","node":"a","status":"offline"},{"type":"node","node":"b","status":"online"},
            {"type":"node","node":"c","status":"online"},{"type":"qemu","vmid":100,"node":"a","status":"running"},
            {"type":"qemu","vmid":101,"node":"b","status":"running"},{"type":"lxc","vmid":102,"node":"c"}]}"#,
        );
        let told = |node: &str| guests(&cluster, node).map(|guest| guest.identity.vmid).collect::<Vec<_>>();
        assert_eq!([told("a"), told("b"), told("c")], [vec![100], vec![100, 101], vec![102]]);
    }

    #[test]
    fn guests_are_left_out_by_tag_pool_and_number() {
        let cluster = cluster();
        let chosen = |text: &str| -> Vec<u64> {
            let selection = GuestSelection::parse([text]).expect("a selector");
            cluster.guests.iter().filter(|guest| is_in(guest, &selection)).map(|guest| guest.identity.vmid).collect()
        };
        assert_eq!(chosen("tag:nobackup"), [100]);
        assert_eq!(chosen("pool:lab"), [101]);
        assert_eq!(chosen("100-101"), [100, 101]);
        assert!(chosen("tag:nob").is_empty());
    }

    /// The end and outcome of the last attempt, whether one runs, whether the guest is left out.
    type Drawn = (Option<(i64, bool)>, (bool, bool));

    proptest! {
        #[test]
        fn whatever_is_known_is_a_page(
            guests in prop::collection::btree_map(0..9_u8, (any::<Option<(i64, bool)>>(), any::<(bool, bool)>()), 0..9)
        ) {
            let told = |(number, (known, (running, excluded))): (u8, Drawn)| Told {
                id: format!("lxc/{number}"),
                known: known.map(|(ended, ok)| {
                    let attempt = attempt(ended, ok);
                    GuestBackups { attempt, success: Some(attempt).filter(|_| ok) }
                }),
                running,
                excluded,
            };
            check(&COLLECTOR, &families(&guests.into_iter().map(told).collect::<Vec<_>>()));
        }
    }
}
