//! The tasks that the plot leaves behind.

use super::cluster::Cluster;
use super::plot::{BACKUP, CRASH, Cycle, MIGRATION, Part};
use super::tasks::{Numbered, Task};

/// So many runs of each kind are in the archive.
const KEPT: i64 = 20;

/// Numbers of these tasks begin here: far above those of tasks that were begun by request or edit.
const FIRST: u64 = 1 << 32;
/// Numbers of one run.
const PER_RUN: u64 = 256;

impl Cluster {
    /// Those that have begun.
    pub(super) fn happenings(&self, now: i64) -> Vec<Numbered> {
        let mut tasks = Vec::new();
        self.backups_of_the_night(&mut tasks);
        for (run, begin) in runs(BACKUP, now) {
            self.backups(run, begin, &mut tasks);
        }
        for spec in &self.guests {
            let vmid = spec.vmid.to_string();
            match self.plot.part(spec.vmid) {
                Part::None => {}
                Part::Migrates { from, to } => {
                    for (run, begin) in runs(MIGRATION, now) {
                        let node = if run % 2 == 0 { from } else { to };
                        let times = (begin, begin + MIGRATION.lasts());
                        tasks.push(Numbered::new(task(node, "qmigrate", &vmid, times), number(1, run, 0)));
                    }
                }
                // HA starts it again.
                Part::Crashes => {
                    for (run, begin) in runs(CRASH, now - CRASH.lasts() + 1) {
                        let end = begin + CRASH.lasts();
                        let started = task(spec.home, "qmstart", &vmid, (end - 1, end));
                        tasks.push(Numbered::new(started, number(2, run, 0)));
                    }
                }
            }
        }
        tasks
    }
}

/// The last runs that have begun, with when they did.
pub(super) fn runs(cycle: Cycle, now: i64) -> impl Iterator<Item = (i64, i64)> {
    let count = cycle.begun(now);
    ((count - KEPT).max(0)..count).map(move |run| (run, cycle.first() + run * cycle.every()))
}

pub(super) fn number(kind: u64, run: i64, place: usize) -> u64 {
    FIRST + (run.unsigned_abs() * 4 + kind) * PER_RUN + place as u64 % PER_RUN
}

pub(super) fn task(node: usize, kind: &'static str, id: &str, (begun, ends): (i64, i64)) -> Task {
    let (id, by, outcome) = (id.to_owned(), "root@pam".to_owned(), "OK".to_owned());
    Task { node, kind, id, by, begun, ends, outcome, log: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::super::super::noise::Shuffle;
    use super::super::World;
    use super::super::tasks::Filter;

    #[test]
    fn the_plot_leaves_tasks_behind_and_names_the_guest_that_failed() {
        let world = World::new(1, 3, 40);
        let cluster = world.facts();
        let list = |now| -> Vec<Value> {
            let body = cluster.all_tasks(now, None, Shuffle::new(1, 1));
            serde_json::from_str::<Value>(&body).unwrap()["data"].as_array().unwrap().clone()
        };
        assert!(list(0).iter().all(|task| task["type"] == "vzdump" && task["status"] == "OK"));
        let running: Vec<Value> = list(60).into_iter().filter(|task| task.get("endtime").is_none()).collect();
        assert!(running.iter().all(|task| task["type"] == "vzdump") && !running.is_empty());
        let ended = list(200);
        let failed = ended.iter().find(|task| task["status"] == "job errors").unwrap();
        let upid = failed["upid"].as_str().unwrap();
        let log = cluster.task_log(upid, 200, (0, 50)).unwrap();
        assert!(log.contains("ERROR: Backup of VM 102 failed - no space left on device"), "{log}");
        // The same in the archive, with the same UPIDs, and later too.
        let filter = Filter { finished: true, limit: 500, ..Filter::default() };
        let node = world.node_index(failed["node"].as_str().unwrap()).unwrap();
        assert!(cluster.node_tasks(node, 9000, &filter, Shuffle::new(1, 1)).contains("job errors"));
        assert!(cluster.node_tasks(node, 1000, &filter, Shuffle::new(1, 1)).contains(upid));
        let kinds =
            |now| list(now).iter().map(|task| task["type"].to_string()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(kinds(400), ["\"qmigrate\"", "\"qmstart\"", "\"vzdump\""].map(str::to_owned).into());
    }

    #[test]
    fn a_calm_cluster_has_no_tasks_and_no_jobs() {
        let world = World::new(1, 3, 40);
        world.edit(Duration::ZERO, |edit| edit.calm());
        assert_eq!(world.facts().backup_jobs(200, Shuffle::new(1, 1)), "{\"data\":[]}");
        assert!(world.facts().happenings(9000).is_empty());
    }
}
