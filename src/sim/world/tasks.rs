//! What workers did and do: the tasks of all nodes, each with its UPID, and what PVE tells of them.

use super::super::json::{self, Field, List, Value};
use super::super::noise::Shuffle;
use super::cluster::Cluster;

/// `/cluster/tasks` shows the running ones, and finished ones up to so many per node.
const SHOWN: usize = 25;

/// A task of a node. Times are seconds of the simulation, and not in steps of samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Where its worker runs, from 0.
    pub node: usize,
    /// Such as `qmstart` or `vzdump`.
    pub kind: &'static str,
    /// What it is about: a VMID, or empty.
    pub id: String,
    /// Who began it: `user@realm` or `user@realm!token`.
    pub by: String,
    /// When it began.
    pub begun: i64,
    /// When it ends; it runs until then.
    pub ends: i64,
    /// `OK`, `WARNINGS: 2`, or an error.
    pub outcome: String,
    /// What its worker writes before the last line, which tells the outcome.
    pub log: Vec<String>,
}

/// A task with its number, which its UPID is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numbered {
    task: Task,
    number: u64,
}

/// What a list of tasks is narrowed to.
#[derive(Debug, Default)]
pub(in super::super) struct Filter {
    pub(in super::super) since: Option<u64>,
    pub(in super::super) until: Option<u64>,
    pub(in super::super) vmid: Option<u64>,
    pub(in super::super) kind: Option<String>,
    pub(in super::super) errors: bool,
    pub(in super::super) running: bool,
    pub(in super::super) finished: bool,
    pub(in super::super) start: usize,
    pub(in super::super) limit: usize,
    /// Only those of this one; `None`: all.
    pub(in super::super) by: Option<String>,
}

impl Numbered {
    /// Numbers are never used twice.
    pub(super) fn new(task: Task, number: u64) -> Self {
        Self { task, number }
    }
}

impl Cluster {
    /// A task begins; answers its UPID.
    pub(super) fn begin(&mut self, task: Task) -> String {
        let numbered = Numbered { task, number: self.tasks.len() as u64 };
        let upid = self.upid(&numbered);
        self.tasks.push(numbered);
        upid
    }

    fn upid(&self, numbered: &Numbered) -> String {
        let (Numbered { task, .. }, (pid, pstart)) = (numbered, self.worker(numbered));
        let (node, begun) = (self.node_name(task.node), self.unix_on(task.node, task.begun));
        format!("UPID:{node}:{pid:08X}:{pstart:08X}:{begun:08X}:{}:{}:{}:", task.kind, task.id, task.by)
    }

    /// The body of `GET /cluster/tasks`; of one only, for a caller who may not see all.
    pub(in super::super) fn all_tasks(&self, now: i64, by: Option<&str>, order: Shuffle) -> String {
        let mut list = List::new(order, 1 << 12);
        let happenings = self.happenings(now);
        let all = self.newest_first(&happenings, now);
        for node in 0..self.nodes.len() {
            let of_node = |entry: &&Numbered| entry.task.node == node && by.is_none_or(|by| entry.task.by == by);
            let mine: Vec<&Numbered> = all.iter().copied().filter(of_node).collect();
            let running = mine.iter().filter(|entry| now < entry.task.ends).count();
            let finished = SHOWN.saturating_sub(running);
            let is_running = |entry: &&&Numbered| now < entry.task.ends;
            let shown = mine.iter().filter(is_running);
            for entry in shown.chain(mine.iter().filter(|entry| !is_running(entry)).take(finished)) {
                let upid = self.upid(entry);
                let (begun, ended) = (self.unix_on(node, entry.task.begun), self.unix_on(node, entry.task.ends));
                let mut fields = self.common(entry, &upid, begun);
                if now < entry.task.ends {
                    fields.push(("saved", Value::Text("0")));
                } else {
                    fields.push(("endtime", Value::Whole(ended)));
                    fields.push(("status", Value::Text(&entry.task.outcome)));
                    fields.push(("saved", Value::Text("1")));
                }
                list.push(fields);
            }
        }
        list.finish()
    }

    /// The body of `GET /nodes/N/tasks`.
    pub(in super::super) fn node_tasks(&self, node: usize, now: i64, filter: &Filter, order: Shuffle) -> String {
        let wanted = |entry: &&Numbered| entry.task.node == node && self.passes(entry, now, filter);
        let happenings = self.happenings(now);
        let found: Vec<&Numbered> = self.newest_first(&happenings, now).into_iter().filter(wanted).collect();
        let mut list = List::new(order, 1 << 12);
        for entry in found.iter().skip(filter.start).take(filter.limit) {
            let upid = self.upid(entry);
            let (pid, pstart) = self.worker(entry);
            let mut fields = self.common(entry, &upid, self.unix_on(node, entry.task.begun));
            fields.extend([("pid", Value::Whole(pid)), ("pstart", Value::Whole(pstart))]);
            if now < entry.task.ends {
                fields.push(("status", Value::Text("RUNNING")));
            } else {
                fields.push(("endtime", Value::Whole(self.unix_on(node, entry.task.ends))));
                fields.push(("status", Value::Text(&entry.task.outcome)));
            }
            list.push(fields);
        }
        let text = list.finish();
        format!("{},\"total\":{}}}", text.strip_suffix('}').unwrap_or(&text), found.len())
    }

    /// The body of `GET /nodes/N/tasks/UPID/status`; `None`: no such task.
    pub(in super::super) fn task_status(&self, upid: &str, now: i64, order: Shuffle) -> Option<String> {
        let entry = self.task(upid, now)?;
        let entry = &entry;
        let (pid, pstart) = self.worker(entry);
        let mut fields = self.common(entry, upid, self.unix_on(entry.task.node, entry.task.begun));
        fields.extend([("pid", Value::Whole(pid)), ("pstart", Value::Whole(pstart))]);
        if now < entry.task.ends {
            fields.push(("status", Value::Text("running")));
        } else {
            fields.push(("status", Value::Text("stopped")));
            fields.push(("exitstatus", Value::Text(&entry.task.outcome)));
        }
        Some(json::object(fields, order))
    }

    /// The body of `GET /nodes/N/tasks/UPID/log`, from a line on; `None`: no such task.
    pub(in super::super) fn task_log(&self, upid: &str, now: i64, (start, limit): (usize, usize)) -> Option<String> {
        let Numbered { task, .. } = self.task(upid, now)?;
        let last = match &*task.outcome {
            outcome if now < task.ends || outcome.is_empty() => None,
            "OK" => Some("TASK OK".to_owned()),
            warnings if warnings.starts_with("WARNINGS:") => Some(format!("TASK {warnings}")),
            error => Some(format!("TASK ERROR: {error}")),
        };
        let lines: Vec<&String> = task.log.iter().chain(&last).collect();
        let shown = lines.iter().enumerate().skip(start).take(limit);
        let data: Vec<serde_json::Value> =
            shown.map(|(number, text)| serde_json::json!({ "n": number + 1, "t": text })).collect();
        Some(serde_json::json!({ "data": data, "total": lines.len() }).to_string())
    }

    /// Who began a task; `None`: no such task.
    pub(in super::super) fn task_owner(&self, upid: &str, now: i64) -> Option<String> {
        self.task(upid, now).map(|entry| entry.task.by)
    }

    fn task(&self, upid: &str, now: i64) -> Option<Numbered> {
        let happenings = self.happenings(now);
        let mut all = self.tasks.iter().chain(&happenings);
        all.find(|entry| entry.task.begun <= now && self.upid(entry) == upid).cloned()
    }

    fn common<'a>(&'a self, entry: &'a Numbered, upid: &'a str, begun: u64) -> Vec<Field<'a>> {
        let (user, token) =
            entry.task.by.split_once('!').map_or((&*entry.task.by, None), |(user, token)| (user, Some(token)));
        let texts = [
            ("upid", Some(upid)),
            ("node", Some(self.node_name(entry.task.node))),
            ("type", Some(entry.task.kind)),
            ("id", Some(&*entry.task.id)),
            ("user", Some(user)),
            ("tokenid", token),
        ];
        let mut fields: Vec<Field<'a>> =
            texts.into_iter().filter_map(|(key, text)| Some((key, Value::Text(text?)))).collect();
        fields.push(("starttime", Value::Whole(begun)));
        fields
    }

    fn newest_first<'a>(&'a self, happenings: &'a [Numbered], now: i64) -> Vec<&'a Numbered> {
        let mut known: Vec<&Numbered> =
            self.tasks.iter().chain(happenings).filter(|entry| entry.task.begun <= now).collect();
        known.sort_by_key(|entry| std::cmp::Reverse((entry.task.begun, entry.number)));
        known
    }

    /// Process number, and start in hundredths of a second since the node has booted; they differ from task to task.
    fn worker(&self, Numbered { task, number }: &Numbered) -> (u64, u64) {
        let bought = || self.nodes.get(task.node).map_or(0, |node| node.booted);
        let booted = self.plot.return_of(task.node, task.begun).unwrap_or_else(bought);
        let since = u64::try_from(task.begun.saturating_sub(booted)).unwrap_or(0);
        (1000 + number % 4_000_000, since.saturating_mul(100).saturating_add(number % 100))
    }

    fn passes(&self, Numbered { task, .. }: &Numbered, now: i64, filter: &Filter) -> bool {
        let (begun, is_running) = (self.unix_on(task.node, task.begun), now < task.ends);
        (if is_running { filter.running } else { filter.finished })
            && filter.since.is_none_or(|since| begun >= since)
            && filter.until.is_none_or(|until| begun <= until)
            && filter.vmid.is_none_or(|vmid| task.id == vmid.to_string())
            && filter.kind.as_ref().is_none_or(|kind| task.kind == kind)
            && (!filter.errors || (!is_running && task.outcome != "OK" && !task.outcome.starts_with("WARNINGS:")))
            && filter.by.as_ref().is_none_or(|by| task.by == *by)
    }
}
