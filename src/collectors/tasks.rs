//! Tasks: what runs, and what has ended while the sidecar of events watches. Try: `pvesh get /cluster/tasks`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::Column;
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::inventory::{FinishedKey, Resources, task_kind};
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, TaskEntry};

const CALL: &str = "/cluster/tasks";

/// PVE's nodes tell each other every few seconds; a task that matters for its length runs for minutes.
pub(super) const COLLECTOR: Collector = Collector {
    name: "tasks",
    about: "running tasks by type, and with the sidecar of events how many ended how",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" }],
    calls: &[CALL],
    families: &[&RUNNING, &OLDEST, &FINISHED],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(1),
        per: Per::Cluster,
        blocks: false,
        max_in_flight: None,
        sees_all: true,
        fetch,
    }),
};

static RUNNING: Desc = Desc {
    name: "pve_tasks_running",
    help: "Tasks of a type that run on the node, absent where none does, from /cluster/tasks.",
    kind: Kind::Gauge,
};
static OLDEST: Desc = Desc {
    name: "pve_tasks_running_oldest_timestamp_seconds",
    help: "When the oldest running task of a type on the node began, from /cluster/tasks.",
    kind: Kind::Gauge,
};
static FINISHED: Desc = Desc {
    name: "pve_tasks_finished_total",
    help: "Tasks that ended on the node since the sidecar of events watches, by type and outcome, from /cluster/tasks.",
    kind: Kind::Counter,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        let ended = ask.inventory().tasks().finished().unwrap_or_default();
        Ok(families(&pve::tasks(&answer)?, &ended, |node| is_lost(ask.resources(), node)))
    })
}

/// PVE goes on telling the last list of a node that is lost: nothing of it runs.
fn is_lost(resources: Option<&Resources>, node: &str) -> bool {
    resources.is_some_and(|resources| resources.nodes.iter().any(|known| known.name == node && !known.online))
}

fn families(listed: &[TaskEntry<'_>], ended: &[(FinishedKey, u64)], is_lost: impl Fn(&str) -> bool) -> Vec<Family> {
    let mut groups: BTreeMap<(&str, &str), (u32, Option<f64>)> = BTreeMap::new();
    for task in listed.iter().filter(|task| task.runs()) {
        // What the entry does not say, its UPID does.
        let upid = task.upid.filled().unwrap_or_default();
        let part = |place: usize| upid.split(':').nth(place).unwrap_or_default();
        let node = task.node.filled().unwrap_or(part(1));
        if node.is_empty() || is_lost(node) {
            continue;
        }
        let (count, oldest) = groups.entry((node, task_kind(task.kind.filled().unwrap_or(part(5))))).or_default();
        *count += 1;
        *oldest = (*oldest).into_iter().chain(task.starttime.quantity()).reduce(f64::min);
    }
    let mut columns = [&RUNNING, &OLDEST].map(Column::new);
    for ((node, kind), (count, oldest)) in groups {
        let labels = Labels::new(&[("id", &format!("node/{node}")), ("type", kind)]);
        for (column, value) in columns.iter_mut().zip([Some(f64::from(count)), oldest]) {
            column.push(&labels, value);
        }
    }
    let mut finished = Column::new(&FINISHED);
    for (key, count) in ended {
        let id = format!("node/{}", key.node);
        let labels = Labels::new(&[("id", &id), ("type", key.kind), ("outcome", key.outcome.as_str())]);
        #[expect(clippy::cast_precision_loss, reason = "a number of tasks")]
        finished.push(&labels, Some(*count as f64));
    }
    columns.map(Column::into_family).into_iter().chain([finished.into_family()]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::inventory::TaskOutcome;
    use crate::inventory::testing::resources;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer, ended: &[(FinishedKey, u64)]) -> Vec<String> {
        lines(&families(&pve::tasks(answer).expect("tasks"), ended, |_| false))
    }

    #[test]
    fn what_has_ended_does_not_run() {
        assert!(told(&recorded("pve-9.2-cluster/GET_cluster__tasks.json"), &[]).is_empty());
        assert!(told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__tasks__source=active.json"), &[]).is_empty());
    }

    #[test]
    fn running_tasks_are_counted_by_node_and_type() {
        let answer = Answer::of(
            r#"{"data":[
                {"upid":"UPID:a:1:1:1:vzdump::root@pam:","node":"a","type":"vzdump","starttime":20,"saved":"0"},
                {"upid":"UPID:a:1:1:2:vzdump:7:root@pam:","node":"a","type":"vzdump","starttime":"10","status":"RUNNING"},
                {"upid":"UPID:b:1:1:3:x-ray::root@pam:","starttime":null},
                {"upid":"UPID:b:1:1:4:qmstart:7:root@pam:","node":"b","type":"qmstart","starttime":1,"endtime":2,"status":"OK"},
                {"upid":"UPID"}, {}
            ]}"#,
        );
        assert_eq!(
            told(&answer, &[]),
            [
                "pve_tasks_running{id=\"node/a\",type=\"vzdump\"} 2",
                "pve_tasks_running{id=\"node/b\",type=\"other\"} 1",
                "pve_tasks_running_oldest_timestamp_seconds{id=\"node/a\",type=\"vzdump\"} 10",
            ]
        );
    }

    #[test]
    fn nothing_runs_on_a_node_that_is_lost() {
        let cluster = resources(
            r#"{"data":[{"type":"node","node":"a","status":"online"},{"type":"node","node":"b","status":"offline"}]}"#,
        );
        let answer = Answer::of(
            r#"{"data":[{"upid":"UPID:a:1:1:1:vzdump::root@pam:"},{"upid":"UPID:b:1:1:1:vzdump::root@pam:"},
                {"upid":"UPID:new:1:1:1:vzdump::root@pam:"}]}"#,
        );
        let tasks = pve::tasks(&answer).expect("tasks");
        assert_eq!(
            lines(&families(&tasks, &[], |node| is_lost(Some(&cluster), node))),
            [
                "pve_tasks_running{id=\"node/a\",type=\"vzdump\"} 1",
                "pve_tasks_running{id=\"node/new\",type=\"vzdump\"} 1",
            ]
        );
    }

    #[test]
    fn what_was_counted_is_told() {
        let key = |outcome| FinishedKey { node: "a".to_owned(), kind: "vzdump", outcome };
        let ended = [(key(TaskOutcome::Ok), 7), (key(TaskOutcome::Error), 1)];
        assert_eq!(
            told(&Answer::of(r#"{"data":[]}"#), &ended),
            [
                "pve_tasks_finished_total{id=\"node/a\",type=\"vzdump\",outcome=\"ok\"} 7",
                "pve_tasks_finished_total{id=\"node/a\",type=\"vzdump\",outcome=\"error\"} 1",
            ]
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["upid", "node", "type", "starttime", "endtime", "status"])) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(tasks) = pve::tasks(&answer) {
                check(&COLLECTOR, &families(&tasks, &[], |_| false));
            }
        }
    }
}
