//! The tasks of a node, each told once: whatever its clock does, and however late it comes back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::pve::TaskEntry;

/// `/cluster/tasks` tells of a node what runs and, up to this many tasks in all, what has ended.
pub(super) const WINDOW: usize = 25;

/// So many told tasks are remembered at least: twice what the window can bring back into sight when others end.
const LEAST: usize = 2 * WINDOW;

/// Told tasks that ended so many seconds before the newest are remembered, so that late news of the same seconds fits in.
const MARGIN: i64 = 120;

/// And never more than this.
const MOST: usize = 10_000;

/// A task that ran and that even the archive does not know any more is forgotten after so many looks there.
const PATIENCE: u8 = 3;

/// A task as it is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Task {
    /// `UPID:node:pid:pstart:starttime:type:id:user:`.
    pub(super) upid: String,
    /// The node it ran on.
    pub(super) node: String,
    /// Such as `vzdump`.
    pub(super) kind: String,
    /// Mostly a guest's number; may be empty.
    pub(super) id: String,
    /// Who began it.
    pub(super) user: String,
    /// Unix seconds, the node's clock.
    pub(super) begun: i64,
    /// Unix seconds, the node's clock; `None` while it runs.
    pub(super) ended: Option<i64>,
    /// `OK`, `WARNINGS: n` or the text of an error; empty while it runs.
    pub(super) status: String,
}

/// What is known of one node's tasks; small enough to be written down at each change.
///
/// A task is new if it was not told and either ended after all that was forgotten, or was begun later in the same boot
/// of the node: its UPID tells the latter in ticks since the boot, which no change of a clock turns back. Only a clock
/// that goes back together with a reboot, or before any task was seen, hides tasks until it has caught up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What ended up to this second and is not in `told` was told and forgotten, or is too old.
    floor: i64,
    /// The greatest tick of begin of what was forgotten.
    floor_tick: Option<u64>,
    /// The greatest tick of begin that was seen.
    tick: Option<u64>,
    /// Told tasks and when they ended.
    told: BTreeMap<String, i64>,
    /// Tasks seen running: when they began, and how often the archive did not know of them.
    running: BTreeMap<String, (i64, u8)>,
    /// From when on the archive must be read, because the window may not have shown all.
    gap: Option<i64>,
}

impl Task {
    /// Nothing without a UPID that names a node; what the entry does not say, its UPID does.
    pub(super) fn of(entry: &TaskEntry<'_>) -> Option<Self> {
        let upid = entry.upid.filled()?;
        let parts: Vec<&str> = upid.split(':').collect();
        let part = |index: usize| parts.get(index).copied().unwrap_or_default();
        let node = entry.node.filled().unwrap_or(part(1));
        if part(0) != "UPID" || node.is_empty() {
            return None;
        }
        let seconds = |number: crate::pve::wire::Number| number.whole().and_then(|whole| i64::try_from(whole).ok());
        let status = entry.status.filled().unwrap_or_default();
        Some(Self {
            upid: upid.to_owned(),
            node: node.to_owned(),
            kind: entry.kind.filled().unwrap_or(part(5)).to_owned(),
            id: entry.id.filled().unwrap_or(part(6)).to_owned(),
            user: entry.user.filled().unwrap_or(part(7)).to_owned(),
            begun: seconds(entry.starttime).or_else(|| i64::from_str_radix(part(4), 16).ok()).unwrap_or_default(),
            ended: seconds(entry.endtime).filter(|_| status != "RUNNING"),
            status: if status == "RUNNING" { String::new() } else { status.to_owned() },
        })
    }

    /// Ticks of the node since its boot when the task began.
    fn tick(&self) -> Option<u64> {
        tick(&self.upid)
    }
}

impl Cursor {
    /// Nothing that ended up to this second will be told.
    pub(super) fn new(floor: i64) -> Self {
        Self { floor, ..Self::default() }
    }

    /// What ended and was not told yet, in the order of its ends, of the node's entries in `/cluster/tasks`.
    pub(super) fn take(&mut self, listed: &[Task]) -> Vec<Task> {
        if self.outrun(listed) {
            let since = self.since(listed);
            self.gap = Some(self.gap.map_or(since, |gap| gap.min(since)));
        }
        self.tell(listed)
    }

    /// From when on the archive must be read (`since`, which PVE compares with the begin of tasks), if it must be.
    pub(super) fn gap(&self) -> Option<i64> {
        self.gap
    }

    /// The same of all pages of the archive from [`Self::gap`] on; the gap is closed.
    pub(super) fn take_archive(&mut self, archived: &[Task]) -> Vec<Task> {
        let listed: BTreeSet<&str> = archived.iter().map(|task| task.upid.as_str()).collect();
        let since = self.gap.take().unwrap_or(i64::MIN);
        for (upid, (begun, missed)) in &mut self.running {
            if *begun >= since && !listed.contains(upid.as_str()) {
                *missed = missed.saturating_add(1);
            }
        }
        self.running.retain(|_, (_, missed)| *missed < PATIENCE);
        let new = self.tell(archived);
        self.forget();
        new
    }

    /// When the last task that was told ended.
    pub(super) fn at(&self) -> i64 {
        self.told.values().copied().max().unwrap_or(self.floor)
    }

    /// Whether there may be ended tasks that the window did not show: it is full of what is not known, or a task that
    /// ran is in it no more.
    fn outrun(&self, listed: &[Task]) -> bool {
        let known = |task: &Task| task.ended.is_some_and(|end| !self.is_new(task, end));
        let full = listed.len() >= WINDOW && !listed.iter().any(known);
        full || self.running.keys().any(|upid| !listed.iter().any(|task| task.upid == *upid))
    }

    /// What is not known began after all that was seen, or ran. PVE compares by the node's clock of now, so that of then
    /// is translated by ticks.
    fn since(&self, listed: &[Task]) -> i64 {
        let newest = self.at().max(self.floor);
        let boots = listed.iter().filter_map(|task| Some(task.begun.saturating_sub(seconds(task.tick()?))));
        let by_ticks = self.tick.zip(boots.min()).map(|(tick, boot)| boot.saturating_add(seconds(tick)));
        let begun = self.running.values().map(|(begun, _)| *begun);
        begun.chain(by_ticks).fold(newest, i64::min).saturating_sub(MARGIN)
    }

    fn tell(&mut self, listed: &[Task]) -> Vec<Task> {
        let mut new = BTreeMap::new();
        for task in listed {
            self.tick = self.tick.max(task.tick());
            match task.ended {
                None => {
                    if !self.told.contains_key(&task.upid) {
                        self.running.insert(task.upid.clone(), (task.begun, 0));
                    }
                }
                Some(end) => {
                    let ran = self.running.remove(&task.upid).is_some();
                    if (ran && !self.told.contains_key(&task.upid)) || self.is_new(task, end) {
                        new.insert((end, task.upid.as_str()), task.clone());
                    } else if !self.told.contains_key(&task.upid) {
                        self.floor_tick = self.floor_tick.max(task.tick());
                    }
                }
            }
        }
        self.told.extend(new.iter().map(|((end, upid), _)| ((*upid).to_owned(), *end)));
        if self.gap.is_none() || self.told.len() > MOST {
            self.forget();
        }
        new.into_values().collect()
    }

    fn is_new(&self, task: &Task, end: i64) -> bool {
        let later = || self.floor_tick.is_some_and(|floor| task.tick().is_some_and(|tick| tick > floor));
        !self.told.contains_key(&task.upid) && (end > self.floor || (later() && task.begun >= self.floor - DAY))
    }

    fn forget(&mut self) {
        if self.told.len() <= LEAST {
            return;
        }
        let mut ends: Vec<(i64, String)> = self.told.iter().map(|(upid, end)| (*end, upid.clone())).collect();
        ends.sort_unstable();
        let newest = ends.last().map_or(self.floor, |(end, _)| *end);
        let (most, least) = (ends.len().saturating_sub(MOST), ends.len() - LEAST);
        for (place, (end, upid)) in ends.into_iter().take(least).enumerate() {
            // Tasks of one second are forgotten together, or those of them that come late would be lost.
            if end >= newest.saturating_sub(MARGIN) && place >= most {
                break;
            }
            self.told.remove(&upid);
            self.floor = self.floor.max(end);
            self.floor_tick = self.floor_tick.max(tick(&upid));
        }
    }
}

/// A clock that goes wrong by more is not taken for one: such a task is of another boot, long told.
const DAY: i64 = 86_400;

/// Of ticks, which are hundredths.
fn seconds(ticks: u64) -> i64 {
    i64::try_from(ticks / 100).unwrap_or(i64::MAX)
}

/// In a UPID: how long after the boot of the node its task began.
fn tick(upid: &str) -> Option<u64> {
    u64::from_str_radix(upid.split(':').nth(3)?, 16).ok()
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
