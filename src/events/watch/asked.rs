//! What is asked of a cluster at each look, and what of it seldom.

use std::sync::Arc;
use std::time::Duration;

use tokio::join;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::question::Question;
use crate::events::finding::Finding;
use crate::events::rules::{Certificate, Due, HaLook, Job};
use crate::events::tasks::Task;
use crate::inventory::{ClusterStatus, Inventory, Resources, Snapshot};
use crate::pve::{self, Client, Condition, Error, KnownEndpoint, Path, Permit, Reason};

/// Backup jobs are given five minutes to start.
const BACKUPS: Duration = Duration::from_mins(1);
/// A node takes a lock of the whole cluster to list its replication jobs.
const REPLICATION: Duration = Duration::from_mins(2);
/// A look waits no longer for answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// A node's gate is waited for so long.
const GATE: Duration = Duration::from_secs(20);

/// The questions of a cluster.
pub(super) struct Asked {
    inventory: Arc<Inventory>,
    /// What others asked for.
    news: watch::Receiver<Option<Snapshot>>,
    fresh: Duration,
    tasks: Question<Tasks>,
    status: Question<Arc<ClusterStatus>>,
    resources: Question<Arc<Resources>>,
    ha: Question<HaLook>,
    backups: Question<Vec<Due>>,
    replication: Question<Vec<Job>>,
}

/// What was answered in time.
pub(super) struct Answers {
    pub(super) tasks: Option<Tasks>,
    pub(super) status: Option<Arc<ClusterStatus>>,
    pub(super) resources: Option<Arc<Resources>>,
    pub(super) ha: Option<HaLook>,
    pub(super) backups: Option<Vec<Due>>,
    pub(super) replication: Option<Vec<Job>>,
}

/// `/cluster/tasks`.
pub(super) struct Tasks {
    /// When it was answered, in seconds since 1970, PVE's clock.
    pub(super) date: Option<i64>,
    pub(super) listed: Vec<Task>,
}

impl Asked {
    pub(super) fn new(inventory: Arc<Inventory>, interval: Duration) -> Self {
        let cluster = inventory.cluster().to_owned();
        let each = Duration::ZERO;
        Self {
            news: inventory.watch(),
            fresh: interval / 2,
            tasks: Question::new(&cluster, "/cluster/tasks", each, interval),
            status: Question::new(&cluster, "/cluster/status", each, interval),
            resources: Question::new(&cluster, "/cluster/resources", each, interval),
            ha: Question::new(&cluster, "/cluster/ha/status/current", each, interval),
            backups: Question::new(&cluster, "/cluster/backup", BACKUPS, interval),
            replication: Question::new(&cluster, "/nodes/{node}/replication", REPLICATION, interval),
            inventory,
        }
    }

    /// What is known of the cluster.
    pub(super) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Asks all at once.
    pub(super) async fn ask(&mut self) -> Answers {
        let until = Instant::now() + PATIENCE;
        let inventory = &self.inventory;
        let known = self.news.borrow_and_update().clone().filter(|snapshot| snapshot.at.elapsed() < self.fresh);
        let view = inventory.view();
        let resources = async {
            match known {
                Some(Snapshot { resources, .. }) => Some(resources),
                None => self.resources.ask(until, move || async move { view.resources().await }).await,
            }
        };
        let view = inventory.view();
        let status = self.status.ask(until, move || async move { view.status().await });
        let one = Arc::clone(inventory);
        let tasks = self.tasks.ask(until, move || async move { tasks(one.client()).await });
        let one = Arc::clone(inventory);
        let ha = self.ha.ask(until, move || async move { ha(one.client()).await });
        let one = Arc::clone(inventory);
        let backups = self.backups.ask(until, move || async move { backups(one.client()).await });
        let one = Arc::clone(inventory);
        let replication = self.replication.ask(until, move || async move { replication(&one).await });
        let (tasks, status, resources, ha, backups, replication) =
            join!(tasks, status, resources, ha, backups, replication);
        Answers { tasks, status, resources, ha, backups, replication }
    }

    /// Whether our credential was refused, and which certificates were, as far as that is known now.
    pub(super) fn refused(&self, answers: &Answers) -> (Option<bool>, Vec<Certificate>) {
        let answered = answers.tasks.is_some() || answers.status.is_some();
        let failed = [self.tasks.error(), self.status.error()];
        let failed = |of: fn(&Reason) -> bool| failed.iter().flatten().any(|error| of(&error.reason));
        let token = failed(|reason| matches!(reason, Reason::Unauthorized(_) | Reason::NotLoggedIn(_)));
        let token = if answered { Some(false) } else { token.then_some(true) };
        let endpoints = self.inventory.client().endpoints();
        // Nothing is noted of an endpoint that there is no choice of.
        let alone = endpoints.len() == 1;
        let distrusted = failed(|reason| matches!(reason, Reason::Tls(_)));
        let words = || self.tasks.error().or(self.status.error()).map(ToString::to_string).unwrap_or_default();
        let certificate = |known: KnownEndpoint| Certificate {
            endpoint: known.url.strip_prefix("https://").unwrap_or(&known.url).to_owned(),
            node: known.node,
            is_refused: match known.condition {
                _ if known.distrusted || (alone && distrusted && !answered) => Some(true),
                Condition::Well => Some(false),
                _ => (alone && answered).then_some(false),
            },
            why: known.error.unwrap_or_else(words),
        };
        (token, endpoints.into_iter().map(certificate).collect())
    }

    /// Adds where the page of Proxmox VE shows what findings are about.
    pub(super) fn link(&self, found: &mut [Finding]) {
        // The same, whichever endpoint answers: two of us tell the same.
        let Some(entry) = self.inventory.client().endpoints().into_iter().next() else { return };
        for finding in found {
            let shown = ["qemu/", "lxc/", "node/", "storage/"].iter().any(|kind| finding.id.starts_with(kind));
            if shown {
                finding.details.insert("link".to_owned(), format!("{}/#v1:0:={}", entry.url, finding.id));
            }
        }
    }
}

async fn tasks(client: &Client) -> Result<Tasks, Error> {
    let answer = client.get("/cluster/tasks").await?;
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds; the cast saturates")]
    let date = answer.date().map(|date| date as i64);
    Ok(Tasks { date, listed: pve::tasks(&answer)?.iter().filter_map(Task::of).collect() })
}

async fn ha(client: &Client) -> Result<HaLook, Error> {
    let path = Path::from("/cluster/ha/status/current");
    let permit = enter(client, &client.entry_node(), &path, false).await?;
    let answer = client.get_slow(&path, &permit).await?;
    Ok(HaLook::of(&pve::ha_status(&answer)?))
}

async fn backups(client: &Client) -> Result<Vec<Due>, Error> {
    let path = Path::from("/cluster/backup");
    let permit = enter(client, &client.entry_node(), &path, false).await?;
    let answer = client.get_slow(&path, &permit).await?;
    let on = pve::backup_jobs(&answer)?.into_iter().filter(|job| job.enabled.0 != Some(false));
    let due = |job: pve::BackupJob<'_>| {
        Some(Due {
            job: job.id.filled()?.to_owned(),
            node: job.node.filled().map(str::to_owned),
            schedule: job.schedule.filled()?.to_owned(),
            at: i64::try_from(job.next_run.whole()?).ok()?,
        })
    };
    Ok(on.filter_map(due).collect())
}

/// The jobs of all nodes that are online, one node after the other, where there are any: a node that does not answer is
/// passed over unless none does.
async fn replication(inventory: &Inventory) -> Result<Vec<Job>, Error> {
    let client = inventory.client();
    let path = Path::from("/cluster/replication");
    let permit = enter(client, &client.entry_node(), &path, false).await?;
    let answer = client.get_slow(&path, &permit).await?;
    drop(permit);
    if pve::replication(&answer)?.is_empty() {
        return Ok(Vec::new());
    }
    let (mut jobs, mut failed, mut answered) = (Vec::new(), None, false);
    let nodes = inventory.last_nodes().map(|(_, nodes)| nodes).unwrap_or_default();
    for node in nodes.iter().filter(|node| node.online) {
        match replication_of(client, &node.name).await {
            Ok(told) => {
                answered = true;
                jobs.extend(told);
            }
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if !answered => Err(error),
        _ => Ok(jobs),
    }
}

async fn replication_of(client: &Client, node: &str) -> Result<Vec<Job>, Error> {
    let path = Path::new("/nodes/{node}/replication", &[("node", node)]);
    let permit = enter(client, node, &path, true).await?;
    let answer = client.get_node(&path, &permit).await?;
    let job = |job: pve::ReplicationJob<'_>| {
        Some(Job {
            id: job.id.filled()?.to_owned(),
            guest: format!("{}/{}", job.vmtype.filled().unwrap_or("qemu"), job.guest.filled()?),
            source: job.source.filled().unwrap_or(node).to_owned(),
            target: job.target.filled().unwrap_or_default().to_owned(),
            failures: job.fail_count.whole()?,
        })
    };
    let jobs = pve::replication(&answer)?.into_iter().filter(|job| job.disable.0 != Some(true));
    Ok(jobs.filter_map(job).collect())
}

/// A place at a node's gate; nobody queues there for long.
pub(super) async fn enter(client: &Client, node: &str, path: &Path, blocks: bool) -> Result<Permit, Error> {
    timeout(GATE, client.gate().enter(node, blocks)).await.map_err(|_| Error {
        endpoint: client.asked(),
        path: path.as_str().to_owned(),
        reason: Reason::Busy(format!("not asked: node {node} is busy with other calls")),
    })
}
