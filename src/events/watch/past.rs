//! What the short list of tasks does not tell: archives of nodes, and logs of backup jobs that failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use tokio::time::{Instant, timeout};

use super::asked::enter;
use crate::events::rules::{self, Look};
use crate::events::tasks::{Cursor, Task};
use crate::inventory::Inventory;
use crate::pve::{self, Client, Error, Path};

/// Tasks per page of an archive.
const PAGE: usize = 500;
/// Pages that are read of it: with more, the oldest tasks are lost, and that is said.
const PAGES: usize = 40;
/// All of an archive.
const ARCHIVE: Duration = Duration::from_mins(2);
/// An archive that was not read is tried again after this.
const AGAIN: Duration = Duration::from_secs(30);

/// Lines per page of a log, and pages.
const LINES: usize = 5000;
const LOG_PAGES: usize = 20;
/// All of a log; then the job is told without it.
const LOG: Duration = Duration::from_secs(40);
/// Logs that are read at once.
const LOGS: usize = 4;
/// Lines that are kept of one log.
const KEPT: usize = 1000;

/// Reads what was.
pub(super) struct Past {
    inventory: Arc<Inventory>,
    /// Nodes whose archive was not read, and when it is tried again.
    resting: BTreeMap<String, Instant>,
}

impl Past {
    pub(super) fn new(inventory: Arc<Inventory>) -> Self {
        Self { inventory, resting: BTreeMap::new() }
    }

    /// Reads the archives of nodes whose cursor asks for it. Nodes that are not online, or did not answer, stay blind.
    pub(super) async fn catch_up(&mut self, look: &mut Look, cursors: &mut BTreeMap<String, Cursor>) {
        let gaps = cursors.iter().filter_map(|(node, cursor)| Some((node.clone(), cursor.gap()?)));
        let gaps: Vec<(String, i64)> = gaps.collect();
        look.blind.extend(gaps.iter().map(|(node, _)| node.clone()));
        let now = Instant::now();
        let offline = |node: &str| {
            let members = look.status.iter().flat_map(|status| &status.members);
            members.into_iter().any(|member| member.name == node && member.online == Some(false))
        };
        let rests = |node: &String| self.resting.get(node).is_some_and(|until| now < *until);
        let client = self.inventory.client();
        let reads =
            gaps.into_iter().filter(|(node, _)| !offline(node) && !rests(node)).map(|(node, since)| async move {
                let read = timeout(ARCHIVE, archive(client, &node, since)).await;
                let read = read.unwrap_or_else(|_| Err(client.late("/nodes/{node}/tasks", ARCHIVE)));
                (node, read)
            });
        for (node, read) in join_all(reads.collect::<Vec<_>>()).await {
            match (read, cursors.get_mut(&node)) {
                (Ok(tasks), Some(cursor)) => {
                    look.ended.extend(cursor.take_archive(&tasks));
                    look.running.extend(tasks.into_iter().filter(|task| task.ended.is_none()));
                    look.blind.remove(&node);
                    self.resting.remove(&node);
                }
                (Err(error), _) => {
                    let cluster = self.inventory.cluster();
                    tracing::warn!(cluster, node, %error, "tasks that the short list may have missed are not known yet");
                    self.resting.insert(node, Instant::now() + AGAIN);
                }
                (Ok(_), None) => {}
            }
        }
    }

    /// Reads the logs that name the guests whose backup failed.
    pub(super) async fn read_logs(&self, look: &mut Look) {
        let client = self.inventory.client();
        let wanted: Vec<Task> = rules::logs_wanted(&look.ended).cloned().collect();
        let read = iter(wanted).map(|task| async move {
            let read = timeout(LOG, failures(client, &task)).await;
            (task, read.unwrap_or_else(|_| Err(client.late("/nodes/{node}/tasks/{upid}/log", LOG))))
        });
        let mut read = read.buffer_unordered(LOGS);
        while let Some((task, lines)) = read.next().await {
            match lines {
                Ok(lines) => drop(look.logs.insert(task.upid, lines)),
                Err(error) => {
                    let (cluster, node) = (self.inventory.cluster(), &task.node);
                    tracing::warn!(cluster, node, %error, "a backup job failed, and its log, which names the guests, is not known");
                }
            }
        }
    }
}

/// All tasks that began since then, those that run included. Newest first: tasks that begin meanwhile push others to the
/// next page, where they are read twice rather than not at all.
async fn archive(client: &Client, node: &str, since: i64) -> Result<Vec<Task>, Error> {
    const PATH: &str = "/nodes/{node}/tasks?source=all&since={since}&start={start}&limit={limit}";
    let (since, limit) = (since.max(0).to_string(), PAGE.to_string());
    let mut all: BTreeMap<String, Task> = BTreeMap::new();
    for page in 0..PAGES {
        let start = (page * PAGE).to_string();
        let path = Path::new(PATH, &[("node", node), ("since", &since), ("start", &start), ("limit", &limit)]);
        let permit = enter(client, node, &path, false).await?;
        let answer = client.get_node(&path, &permit).await?;
        let entries = pve::tasks(&answer)?;
        all.extend(entries.iter().filter_map(Task::of).map(|task| (task.upid.clone(), task)));
        if entries.len() < PAGE {
            return Ok(all.into_values().collect());
        }
    }
    let cluster = client.cluster();
    tracing::error!(
        cluster,
        node,
        tasks = all.len(),
        "more tasks ended while nobody watched than are read: the oldest are not told"
    );
    Ok(all.into_values().collect())
}

/// The lines of a log that may tell of a failure.
async fn failures(client: &Client, task: &Task) -> Result<Vec<String>, Error> {
    const PATH: &str = "/nodes/{node}/tasks/{upid}/log?start={start}&limit={limit}";
    let mut kept = Vec::new();
    for page in 0..LOG_PAGES {
        let (start, limit) = ((page * LINES).to_string(), LINES.to_string());
        let names = [("node", &*task.node), ("upid", &*task.upid), ("start", &*start), ("limit", &*limit)];
        let path = Path::new(PATH, &names);
        let permit = enter(client, &task.node, &path, false).await?;
        let answer = client.get_node(&path, &permit).await?;
        let lines = pve::task_log(&answer)?;
        let count = lines.len();
        kept.extend(lines.into_iter().filter(|line| line.starts_with("ERROR:")));
        kept.truncate(KEPT);
        if count < LINES {
            break;
        }
    }
    Ok(kept)
}
