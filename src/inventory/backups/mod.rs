//! What finished backup tasks told of guests and jobs. A task's log is read once; what is known of guests that are no
//! more, and of nodes, ends with them. After a restart of ours all is read again.
//!
//! ```text
//! place  when on UTC the guests of a log had their turns (pure)
//! ```

mod place;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::pve::{TaskEntry, VzdumpLog};

/// A task that began this many seconds before others may still be told for the first time: clocks are set, and lists are
/// late.
const MARGIN: i64 = 86_400;
/// A log that could not be read so often is given up.
const PATIENCE: u8 = 3;
/// Tasks of a node that are remembered as read.
const MOST_TASKS: usize = 20_000;
/// Scheduled jobs that are remembered.
const MOST_JOBS: usize = 1_000;
/// Tasks of one run of a job begin on all nodes within this time.
const RUN: i64 = 3_600;

/// A backup task of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupTask {
    /// Its UPID.
    pub upid: String,
    /// The only guest it is about; `None`: its log names them.
    pub vmid: Option<u64>,
    /// When it began, in seconds since 1970.
    pub begun: i64,
    /// When it ended; `None`: it runs.
    pub ended: Option<i64>,
    /// Whether PVE says `OK` or `WARNINGS`.
    pub ok: bool,
}

/// The turn of a guest in a backup task that is over. Times are seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    /// The guest's number.
    pub vmid: u64,
    /// When it ended.
    pub ended: i64,
    /// How long it took, in seconds; absent where the log does not say.
    pub took: Option<i64>,
    /// Whether there is a new backup.
    pub ok: bool,
    /// Bytes of the backup, as rounded by the log.
    pub bytes: Option<f64>,
    /// Bytes that were read of the guest or sent.
    pub transferred: Option<f64>,
}

/// What is known of a guest's backups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuestBackups {
    /// The newest turn.
    pub attempt: Attempt,
    /// The newest turn that ended well.
    pub success: Option<Attempt>,
}

/// The last run of a scheduled job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobRun {
    /// When the last of its tasks ended, in seconds since 1970.
    pub ended: i64,
    /// Whether all of its tasks ended well.
    pub ok: bool,
}

/// Everything that is known of backups in a cluster.
#[derive(Debug, Default)]
pub struct BackupBook(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    nodes: BTreeMap<String, NodePage>,
    guests: BTreeMap<u64, GuestBackups>,
    /// Tasks by the job's name and their node.
    jobs: BTreeMap<String, BTreeMap<String, JobTask>>,
}

/// The tasks of one node.
#[derive(Debug, Default)]
struct NodePage {
    /// What began before is not asked for any more.
    since: i64,
    /// Ended tasks whose log was read or is of no use, and when they began.
    read: BTreeMap<String, i64>,
    /// How often the log of a task could not be read.
    failed: BTreeMap<String, u8>,
}

#[derive(Debug, Clone, Copy)]
struct JobTask {
    begun: i64,
    ended: i64,
    ok: bool,
}

impl BackupTask {
    /// `None` for what is no backup task, or has no UPID with a begin.
    pub fn of(entry: &TaskEntry<'_>) -> Option<Self> {
        let upid = entry.upid.filled()?;
        let mut parts = upid.split(':');
        let begun = parts.nth(4).and_then(|text| i64::from_str_radix(text, 16).ok());
        let kind = parts.next();
        if entry.kind.filled().or(kind) != Some("vzdump") {
            return None;
        }
        let whole = |number: crate::pve::wire::Number| i64::try_from(number.whole()?).ok();
        let status = entry.status.filled().unwrap_or_default();
        Some(Self {
            upid: upid.to_owned(),
            vmid: entry.id.filled().and_then(|id| id.parse().ok()),
            begun: whole(entry.starttime).or(begun)?,
            ended: whole(entry.endtime).filter(|_| status != "RUNNING"),
            ok: status == "OK" || status.starts_with("WARNINGS"),
        })
    }
}

impl BackupBook {
    /// From when on the tasks of a node are to be listed, in seconds since 1970.
    pub fn since(&self, node: &str) -> i64 {
        self.lock().nodes.get(node).map_or(0, |page| page.since)
    }

    /// Takes all tasks of a node since [`Self::since`]; what ended before `oldest` is of no interest. Answers those whose
    /// log may tell something new, the newest first.
    pub fn listed(&self, node: &str, tasks: &[BackupTask], oldest: i64) -> Vec<BackupTask> {
        let mut pages = self.lock();
        let mut unread: Vec<(i64, &BackupTask)> = Vec::new();
        let page = pages.nodes.entry(node.to_owned()).or_default();
        let mut open = i64::MAX;
        for task in tasks {
            match task.ended {
                None => open = open.min(task.begun),
                Some(ended) if ended < oldest => {}
                Some(ended) if !page.read.contains_key(&task.upid) => unread.push((ended, task)),
                Some(_) => {}
            }
        }
        unread.sort_by_key(|(ended, task)| (std::cmp::Reverse(*ended), std::cmp::Reverse(task.begun)));
        let mut wanted: Vec<BackupTask> = Vec::new();
        for (ended, task) in unread {
            // The newest success of a guest is all that is told of it. One that failed says by its number whose it is.
            if task.vmid.is_some_and(|vmid| !pages.learn_without_log(task, vmid, ended, &wanted)) {
                pages.mark(node, task);
            } else {
                open = open.min(task.begun);
                wanted.push(task.clone());
            }
        }
        let page = pages.nodes.entry(node.to_owned()).or_default();
        let newest = page.read.values().copied().chain(tasks.iter().map(|task| task.begun)).max().unwrap_or(0);
        page.since = open.min(newest).saturating_sub(MARGIN).max(oldest.saturating_sub(MARGIN)).max(0);
        let since = page.since;
        page.read.retain(|_, begun| *begun >= since);
        page.failed.retain(|upid, _| wanted.iter().any(|task| task.upid == *upid));
        wanted
    }

    /// Takes the whole log of a task that is over.
    pub fn read(&self, node: &str, task: &BackupTask, log: &VzdumpLog) {
        let Some(ended) = task.ended else { return };
        let mut pages = self.lock();
        let mut attempts = place::placed(log, task.begun, ended);
        if let (Some(vmid), true) = (task.vmid, attempts.is_empty()) {
            attempts.push(Attempt::without_log(task, vmid, ended));
        }
        attempts.into_iter().for_each(|attempt| pages.learn(attempt));
        if let Some(job) = &log.job
            && (pages.jobs.contains_key(job) || pages.jobs.len() < MOST_JOBS)
        {
            let tasks = pages.jobs.entry(job.clone()).or_default();
            let told = JobTask { begun: task.begun, ended, ok: task.ok };
            let known = tasks.entry(node.to_owned()).or_insert(told);
            if known.begun <= task.begun {
                *known = told;
            }
        }
        pages.mark(node, task);
    }

    /// The log of a task could not be read; answers whether it is given up.
    pub fn unreadable(&self, node: &str, task: &BackupTask) -> bool {
        let mut pages = self.lock();
        let page = pages.nodes.entry(node.to_owned()).or_default();
        let failed = page.failed.entry(task.upid.clone()).or_default();
        *failed = failed.saturating_add(1);
        let is_enough = *failed >= PATIENCE;
        drop(pages);
        if is_enough {
            self.read(node, task, &VzdumpLog::default());
        }
        is_enough
    }

    /// What is known of a guest's backups.
    pub fn guest(&self, vmid: u64) -> Option<GuestBackups> {
        self.lock().guests.get(&vmid).copied()
    }

    /// The last run of a scheduled job, as far as logs named it.
    pub fn job(&self, name: &str) -> Option<JobRun> {
        let pages = self.lock();
        let tasks = pages.jobs.get(name)?;
        let newest = tasks.values().map(|task| task.begun).max()?;
        let of_run = || tasks.values().filter(move |task| task.begun >= newest.saturating_sub(RUN));
        Some(JobRun { ended: of_run().map(|task| task.ended).max()?, ok: of_run().all(|task| task.ok) })
    }

    /// Forgets guests and nodes that are no more.
    pub fn keep(&self, is_guest: impl Fn(u64) -> bool, is_node: impl Fn(&str) -> bool) {
        let mut pages = self.lock();
        pages.guests.retain(|vmid, _| is_guest(*vmid));
        pages.nodes.retain(|node, _| is_node(node));
        for tasks in pages.jobs.values_mut() {
            tasks.retain(|node, _| is_node(node));
        }
        pages.jobs.retain(|_, tasks| !tasks.is_empty());
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn learn(&mut self, attempt: Attempt) {
        let success = Some(attempt).filter(|attempt| attempt.ok);
        let known = self.guests.entry(attempt.vmid).or_insert(GuestBackups { attempt, success });
        if known.attempt.ended <= attempt.ended {
            known.attempt = attempt;
        }
        if attempt.ok && known.success.is_none_or(|success| success.ended <= attempt.ended) {
            known.success = Some(attempt);
        }
    }

    /// Takes a task of one guest by its end alone; answers whether its log would tell more that matters.
    fn learn_without_log(&mut self, task: &BackupTask, vmid: u64, ended: i64, wanted: &[BackupTask]) -> bool {
        let known = self.guests.get(&vmid).and_then(|known| known.success);
        let will_be_known = wanted.iter().any(|other| other.vmid == Some(vmid) && other.ok);
        if task.ok && !will_be_known && known.is_none_or(|success| success.ended < ended) {
            return true;
        }
        self.learn(Attempt::without_log(task, vmid, ended));
        false
    }

    fn mark(&mut self, node: &str, task: &BackupTask) {
        let page = self.nodes.entry(node.to_owned()).or_default();
        page.failed.remove(&task.upid);
        if page.read.len() < MOST_TASKS {
            page.read.insert(task.upid.clone(), task.begun);
        }
    }
}

impl Attempt {
    fn without_log(task: &BackupTask, vmid: u64, ended: i64) -> Self {
        let took = Some(ended.saturating_sub(task.begun)).filter(|took| task.ok && *took >= 0);
        Self { vmid, ended, took, ok: task.ok, bytes: None, transferred: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_795_200_000;

    fn task(number: i64, vmid: Option<u64>, ended: Option<i64>, ok: bool) -> BackupTask {
        let begun = ended.unwrap_or(NOW) - 600;
        BackupTask { upid: format!("UPID:a:1:{number:X}:{begun:X}:vzdump::root@pam:"), vmid, begun, ended, ok }
    }

    fn log(text: &str) -> VzdumpLog {
        let mut log = VzdumpLog::default();
        text.lines().for_each(|line| log.take(line.trim_start()));
        log
    }

    fn ends(book: &BackupBook, vmid: u64) -> Option<(i64, bool, Option<i64>)> {
        let known = book.guest(vmid)?;
        Some((known.attempt.ended, known.attempt.ok, known.success.map(|success| success.ended)))
    }

    #[test]
    fn a_finished_task_is_read_once() {
        let book = BackupBook::default();
        let (old, new) = (task(1, None, Some(NOW - DAY), true), task(2, None, Some(NOW), false));
        let running = task(3, None, None, false);
        let listed = [old.clone(), running, new.clone()];
        assert_eq!(book.since("a"), 0);
        assert_eq!(book.listed("a", &listed, NOW - 9 * DAY), [new.clone(), old.clone()]);
        book.read("a", &new, &log("ERROR: Backup of VM 7 failed - no"));
        assert_eq!(book.listed("a", &listed, NOW - 9 * DAY), std::slice::from_ref(&old));
        book.read("a", &old, &log("INFO: Finished Backup of VM 7 (00:01:00)"));
        assert!(book.listed("a", &listed, NOW - 9 * DAY).is_empty());
        assert_eq!(ends(&book, 7), Some((NOW, false, Some(NOW - DAY))));
        // What runs is listed until it is over; another node knows nothing of this.
        assert_eq!((book.since("a"), book.since("b")), (NOW - 600 - DAY, 0));
        assert_eq!(book.listed("b", &listed, NOW - 9 * DAY).len(), 2);
    }

    #[test]
    fn logs_that_can_tell_nothing_new_are_not_read() {
        let book = BackupBook::default();
        let listed = [
            task(1, Some(7), Some(NOW - 3 * DAY), true),
            task(2, Some(7), Some(NOW - 2 * DAY), true),
            task(3, Some(7), Some(NOW - DAY), false),
            task(4, Some(8), Some(NOW - 20 * DAY), true),
        ];
        let wanted = book.listed("a", &listed, NOW - 9 * DAY);
        assert_eq!(wanted, [listed[1].clone()]);
        assert_eq!(ends(&book, 7), Some((NOW - DAY, false, Some(NOW - 3 * DAY))));
        book.read("a", &wanted[0], &VzdumpLog::default());
        assert_eq!(ends(&book, 7), Some((NOW - DAY, false, Some(NOW - 2 * DAY))));
        assert_eq!(book.guest(7).and_then(|known| known.success?.took), Some(600));
        assert_eq!(book.guest(8), None);
    }

    #[test]
    fn a_log_that_cannot_be_read_is_given_up_and_forgotten() {
        let book = BackupBook::default();
        let listed = [task(1, Some(7), Some(NOW), true), task(2, None, Some(NOW), false)];
        for is_enough in [false, false, true] {
            assert_eq!(book.listed("a", &listed, 0).len(), 2);
            assert_eq!(listed.each_ref().map(|task| book.unreadable("a", task)), [is_enough; 2]);
        }
        assert!(book.listed("a", &listed, 0).is_empty());
        assert_eq!(ends(&book, 7), Some((NOW, true, Some(NOW))));
    }

    #[test]
    fn deleted_guests_and_nodes_are_forgotten() {
        let book = BackupBook::default();
        let done = task(1, None, Some(NOW), true);
        let text = "INFO: starting new backup job: vzdump --job-id nightly\nINFO: Finished Backup of VM 7 (00:01:00)";
        for node in ["a", "b"] {
            assert_eq!(book.listed(node, std::slice::from_ref(&done), 0).len(), 1);
            book.read(node, &done, &log(text));
        }
        book.keep(|vmid| vmid != 7, |node| node == "b");
        assert_eq!((book.guest(7), book.since("a"), book.since("b")), (None, 0, NOW - 600 - DAY));
        assert_eq!(book.job("nightly"), Some(JobRun { ended: NOW, ok: true }));
        book.keep(|_| true, |_| false);
        assert_eq!(book.job("nightly"), None);
    }

    #[test]
    fn a_job_went_well_if_all_nodes_of_its_run_did() {
        let book = BackupBook::default();
        let named = log("INFO: starting new backup job: vzdump --job-id nightly");
        book.read("a", &task(1, None, Some(NOW - DAY), false), &named);
        assert_eq!(book.job("nightly"), Some(JobRun { ended: NOW - DAY, ok: false }));
        book.read("b", &task(2, None, Some(NOW), true), &named);
        // The first node had no guests to back up this time.
        assert_eq!(book.job("nightly"), Some(JobRun { ended: NOW, ok: true }));
        book.read("a", &task(3, None, Some(NOW + 60), false), &named);
        assert_eq!(book.job("nightly"), Some(JobRun { ended: NOW + 60, ok: false }));
        book.read("a", &task(4, None, Some(NOW - 9 * DAY), true), &named);
        assert_eq!(book.job("nightly"), Some(JobRun { ended: NOW + 60, ok: false }));
        assert_eq!(book.job("weekly"), None);
    }
}
