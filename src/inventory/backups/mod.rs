//! What finished backup tasks told of guests and jobs. A task's log is read once; what is known of guests that are no
//! more, and of nodes, ends with them. After a restart of ours all is read again.
//!
//! ```text
//! place  when on UTC the guests of a log had their turns (pure)
//! ```

mod place;

use std::cmp::Reverse;
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
/// What ended so many seconds ago is not looked for: more than a month, as some back up once a month.
const LOOKBACK: i64 = 40 * 86_400;
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
        let ended = whole(entry.endtime).filter(|_| status != "RUNNING");
        // An end without a time is no end, and nothing that runs.
        if ended.is_none() && !entry.runs() {
            return None;
        }
        Some(Self {
            upid: upid.to_owned(),
            vmid: entry.id.filled().and_then(|id| id.parse().ok()),
            begun: whole(entry.starttime).or(begun)?,
            ended,
            ok: status == "OK" || status.starts_with("WARNINGS"),
        })
    }
}

impl BackupBook {
    /// From when on the tasks of a node are to be listed, in seconds since 1970.
    pub fn since(&self, node: &str) -> i64 {
        self.lock().nodes.get(node).map_or(0, |page| page.since)
    }

    /// What ended before is of no interest; in seconds since 1970, as is `now`.
    pub fn oldest(now: i64) -> i64 {
        now.saturating_sub(LOOKBACK)
    }

    /// Takes all tasks of a node since [`Self::since`], and how late it is, if that is known. Tasks of one guest are known
    /// by their ends from now on. Answers those whose log may tell more, the newest first.
    pub fn listed(&self, node: &str, tasks: &[BackupTask], now: Option<i64>) -> Vec<BackupTask> {
        let (oldest, now) = (now.map_or(0, Self::oldest), now.unwrap_or(i64::MAX));
        let mut pages = self.lock();
        let page = pages.nodes.entry(node.to_owned()).or_default();
        let (mut open, mut unread) = (i64::MAX, Vec::new());
        for task in tasks {
            match task.ended {
                None => open = open.min(task.begun),
                // A node whose clock is set right afterwards may tell of the future.
                Some(ended) if ended >= oldest && !page.read.contains_key(&task.upid) => {
                    unread.push(BackupTask { ended: Some(ended.min(now)), ..task.clone() });
                }
                Some(_) => {}
            }
        }
        unread.sort_by_key(|task| (Reverse(task.ended), Reverse(task.begun)));
        let mut wanted = Vec::new();
        for task in unread {
            if pages.learn_of_end(&task) {
                open = open.min(task.begun);
                wanted.push(task);
            } else {
                pages.mark(node, &task);
            }
        }
        let page = pages.nodes.entry(node.to_owned()).or_default();
        let newest = page.read.values().copied().chain(tasks.iter().map(|task| task.begun)).max().unwrap_or(0);
        page.since = open.min(newest).min(now).saturating_sub(MARGIN).max(oldest.saturating_sub(MARGIN)).max(0);
        let since = page.since;
        page.read.retain(|_, begun| *begun >= since);
        page.failed.retain(|upid, _| wanted.iter().any(|task| task.upid == *upid));
        wanted
    }

    /// Takes the whole log of a task that is over.
    pub fn read(&self, node: &str, task: &BackupTask, log: &VzdumpLog) {
        let Some(ended) = task.ended else { return };
        let mut pages = self.lock();
        for attempt in place::placed(log, task, ended) {
            if task.vmid == Some(attempt.vmid) {
                pages.correct(attempt, ended);
            }
            pages.learn(attempt);
        }
        if let Some(job) = &log.job {
            pages.make_room(job);
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
    fn learn(&mut self, attempt: Attempt) -> GuestBackups {
        let success = Some(attempt).filter(|attempt| attempt.ok);
        let known = self.guests.entry(attempt.vmid).or_insert(GuestBackups { attempt, success });
        if known.attempt.ended <= attempt.ended {
            known.attempt = attempt;
        }
        if attempt.ok && known.success.is_none_or(|success| success.ended <= attempt.ended) {
            known.success = Some(attempt);
        }
        *known
    }

    /// Takes a task by its end; answers whether its log may tell more: what a guest's newest success and its newest attempt
    /// were, and of which job, or all, where it is about many guests.
    fn learn_of_end(&mut self, task: &BackupTask) -> bool {
        let (Some(vmid), Some(ended)) = (task.vmid, task.ended) else { return true };
        let known = self.learn(Attempt::without_log(task, vmid, ended));
        let is_success = |success: &Attempt| task.ok && success.ended == ended;
        known.attempt.ended == ended || known.success.as_ref().is_some_and(is_success)
    }

    /// Puts what a log says in the place of what was known by the task's end.
    fn correct(&mut self, attempt: Attempt, ended: i64) {
        let Some(known) = self.guests.get_mut(&attempt.vmid) else { return };
        if known.attempt.ended == ended {
            known.attempt = attempt;
        }
        if attempt.ok && known.success.is_some_and(|success| success.ended == ended) {
            known.success = Some(attempt);
        }
    }

    /// Another job takes the place of the one that ran longest ago.
    fn make_room(&mut self, job: &str) {
        if self.jobs.len() < MOST_JOBS || self.jobs.contains_key(job) {
            return;
        }
        let newest = |tasks: &BTreeMap<String, JobTask>| tasks.values().map(|task| task.ended).max();
        if let Some(oldest) = self.jobs.iter().min_by_key(|(_, tasks)| newest(tasks)).map(|(name, _)| name.clone()) {
            self.jobs.remove(&oldest);
        }
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
        assert_eq!(book.listed("a", &listed, Some(NOW)), [new.clone(), old.clone()]);
        book.read("a", &new, &log("ERROR: Backup of VM 7 failed - no"));
        assert_eq!(book.listed("a", &listed, Some(NOW)), std::slice::from_ref(&old));
        book.read("a", &old, &log("INFO: Finished Backup of VM 7 (00:01:00)"));
        assert!(book.listed("a", &listed, Some(NOW)).is_empty());
        assert_eq!(ends(&book, 7), Some((NOW, false, Some(NOW - DAY))));
        // What runs is listed until it is over; another node knows nothing of this.
        assert_eq!((book.since("a"), book.since("b")), (NOW - 600 - DAY, 0));
        assert_eq!(book.listed("b", &listed, Some(NOW)).len(), 2);
    }

    #[test]
    fn logs_that_can_tell_nothing_new_are_not_read() {
        let book = BackupBook::default();
        let listed = [
            task(1, Some(7), Some(NOW - 3 * DAY), true),
            task(2, Some(7), Some(NOW - 2 * DAY), true),
            task(3, Some(7), Some(NOW - DAY), false),
            task(4, Some(7), Some(NOW - 4 * DAY), false),
            task(5, Some(8), Some(NOW - 41 * DAY), true),
        ];
        let wanted = book.listed("a", &listed, Some(NOW));
        assert_eq!(wanted, [listed[2].clone(), listed[1].clone()]);
        // What their ends say is known before their logs are read, and they are wanted until then.
        assert_eq!(ends(&book, 7), Some((NOW - DAY, false, Some(NOW - 2 * DAY))));
        assert_eq!(book.listed("a", &listed, Some(NOW)), wanted);
        assert_eq!(book.guest(8), None);
        book.read("a", &wanted[0], &VzdumpLog::default());
        book.read("a", &wanted[1], &log("INFO: archive file size: 1GB"));
        assert_eq!(book.guest(7).and_then(|known| known.success?.took), Some(600));
        assert!(book.listed("a", &listed, Some(NOW)).is_empty());
    }

    #[test]
    fn a_log_says_more_than_the_end_of_its_task() {
        let book = BackupBook::default();
        // A script of the job failed ten minutes after the guest's turn.
        let failed = task(1, Some(7), Some(NOW), false);
        assert_eq!(book.listed("a", std::slice::from_ref(&failed), Some(NOW)).len(), 1);
        assert_eq!(ends(&book, 7), Some((NOW, false, None)));
        let text = "INFO: starting new backup job: vzdump 7 --job-id nightly
            INFO: Starting Backup of VM 7 (qemu)
            INFO: Backup started at 2026-11-20 18:30:00
            INFO: archive file size: 1.00GB
            INFO: Finished Backup of VM 7 (00:00:30)
            INFO: Backup finished at 2026-11-20 18:30:30";
        assert_eq!(failed.begun, 1_795_199_400);
        book.read("a", &failed, &log(text));
        let end = NOW - 570;
        assert_eq!(ends(&book, 7), Some((end, true, Some(end))));
        assert_eq!(book.guest(7).and_then(|known| known.success?.bytes), Some(1_073_741_824.0));
        // And a job of one guest that failed is one that failed.
        assert_eq!(book.job("nightly"), Some(JobRun { ended: NOW, ok: false }));
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_hide_what_comes() {
        let book = BackupBook::default();
        let listed = [task(1, Some(7), Some(NOW + 300 * DAY), true)];
        for task in book.listed("a", &listed, Some(NOW)) {
            book.read("a", &task, &VzdumpLog::default());
        }
        assert_eq!(ends(&book, 7), Some((NOW, true, Some(NOW))));
        assert_eq!(book.since("a"), NOW - DAY);
        let next = [task(2, Some(7), Some(NOW + DAY), false)];
        assert_eq!(book.listed("a", &next, Some(NOW + DAY)), next);
        assert_eq!(ends(&book, 7), Some((NOW + DAY, false, Some(NOW))));
    }

    #[test]
    fn what_has_an_end_without_a_time_does_not_run() {
        let told = |fields: &str| {
            let text = format!(r#"{{"data":[{{"upid":"UPID:a:1:1:64:vzdump:7:root@pam:","id":"7"{fields}}}]}}"#);
            let answer = crate::pve::Answer::of(&text);
            BackupTask::of(&crate::pve::tasks(&answer).expect("a task")[0]).map(|task| (task.begun, task.ended))
        };
        assert_eq!(told(""), Some((100, None)));
        assert_eq!(told(r#","status":"RUNNING""#), Some((100, None)));
        assert_eq!(told(r#","status":"unexpected status","endtime":200"#), Some((100, Some(200))));
        assert_eq!(told(r#","status":"unexpected status""#), None);
    }

    #[test]
    fn jobs_that_are_no_more_make_room() {
        let book = BackupBook::default();
        for number in 0..=MOST_JOBS {
            let at = NOW + i64::try_from(number).expect("a number");
            let text = format!("INFO: starting new backup job: vzdump --job-id job-{number}");
            book.read("a", &task(1, None, Some(at), true), &log(&text));
        }
        assert_eq!(book.job("job-0"), None);
        assert!((1..=MOST_JOBS).all(|number| book.job(&format!("job-{number}")).is_some()));
    }

    #[test]
    fn a_log_that_cannot_be_read_is_given_up_and_forgotten() {
        let book = BackupBook::default();
        let listed = [task(1, Some(7), Some(NOW), true), task(2, None, Some(NOW), false)];
        for is_enough in [false, false, true] {
            assert_eq!(book.listed("a", &listed, None).len(), 2);
            assert_eq!(listed.each_ref().map(|task| book.unreadable("a", task)), [is_enough; 2]);
        }
        assert!(book.listed("a", &listed, None).is_empty());
        assert_eq!(ends(&book, 7), Some((NOW, true, Some(NOW))));
    }

    #[test]
    fn deleted_guests_and_nodes_are_forgotten() {
        let book = BackupBook::default();
        let done = task(1, None, Some(NOW), true);
        let text = "INFO: starting new backup job: vzdump --job-id nightly\nINFO: Finished Backup of VM 7 (00:01:00)";
        for node in ["a", "b"] {
            assert_eq!(book.listed(node, std::slice::from_ref(&done), None).len(), 1);
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
