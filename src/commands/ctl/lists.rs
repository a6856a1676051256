//! What there is: guests, nodes, hosts, clusters, tasks.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::address::{encoded, target};
use super::table::{Column, Form, json, list};
use super::{Context, Failure};
use crate::setup::plain;

const fn text(head: &'static str, key: &'static str) -> Column {
    Column { head, key, form: Form::Text }
}

const GUESTS: &[Column] = &[
    text("CLUSTER", "cluster"),
    text("VMID", "vmid"),
    text("TYPE", "type"),
    text("NAME", "name"),
    text("STATUS", "status"),
    text("NODE", "node"),
    text("LOCK", "lock"),
    text("TAGS", "tags"),
    text("POOL", "pool"),
    Column { head: "UP", key: "uptime_seconds", form: Form::Lasted },
    Column { head: "ADDRESS", key: "addresses", form: Form::Address },
];

const NODES: &[Column] = &[
    text("CLUSTER", "cluster"),
    text("NODE", "node"),
    text("STATUS", "status"),
    text("HA", "ha_state"),
    Column { head: "CPU", key: "cpu_usage_ratio", form: Form::Percent },
    Column { head: "UP", key: "uptime_seconds", form: Form::Lasted },
    Column { head: "TOLD", key: "told_at", form: Form::Ago },
];

const HOSTS: &[Column] = &[
    text("ID", "id"),
    text("NAME", "name"),
    text("TYPE", "type"),
    text("CLUSTER", "cluster"),
    text("ADDRESS", "address"),
    text("STATUS", "status"),
    Column { head: "ANSWERED", key: "last_success", form: Form::Ago },
    text("LAST ERROR", "last_error"),
];

const CLUSTERS: &[Column] = &[
    text("CLUSTER", "name"),
    text("HEALTH", "health"),
    Column { head: "ANSWERED", key: "last_success", form: Form::Ago },
    text("FAILING", "failing_collectors"),
    text("LAST ERROR", "last_error"),
];

const TASKS: &[Column] = &[
    Column { head: "BEGAN", key: "started", form: Form::Ago },
    text("CLUSTER", "cluster"),
    text("NODE", "node"),
    text("TYPE", "type"),
    text("ID", "id"),
    text("USER", "user"),
    text("STATUS", "status"),
    text("ENDED AS", "exit_status"),
    text("UPID", "upid"),
];

/// Which guests.
#[derive(Args)]
pub(super) struct Guests {
    /// Only those with this tag; all of these options may be repeated.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Only those in this pool.
    #[arg(long, value_name = "POOL")]
    pool: Vec<String>,
    /// Only those that are so, such as running.
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// Only those of this cluster.
    #[arg(long, value_name = "CLUSTER")]
    cluster: Vec<String>,
    /// Only those on this node.
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,
    /// Only virtual machines, or only containers.
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kind: Vec<Kind>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Qemu,
    Lxc,
}

/// Which nodes or hosts.
#[derive(Args)]
pub(super) struct Machines {
    /// Only those of this cluster; both options may be repeated.
    #[arg(long, value_name = "CLUSTER")]
    cluster: Vec<String>,
    /// Only those that are so, such as offline.
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
}

/// Which tasks.
#[derive(Args)]
pub(super) struct Tasks {
    /// Only those that run.
    #[arg(long)]
    running: bool,
    /// Only those of this guest, by its number.
    #[arg(long, value_name = "VMID")]
    guest: Option<u64>,
    /// Only those of this cluster; may be repeated.
    #[arg(long, value_name = "CLUSTER")]
    cluster: Vec<String>,
}

/// Which task.
#[derive(Args)]
pub(super) struct Task {
    /// Its cluster, as the configuration calls it.
    cluster: String,
    /// Its name, as an action or `ctl tasks` tells it.
    upid: String,
}

fn pairs<'a>(name: &'static str, values: &'a [String]) -> impl Iterator<Item = (&'static str, &'a str)> {
    values.iter().map(move |value| (name, value.as_str()))
}

pub(super) async fn guests(context: &Context, asked: &Guests) -> Result<(), Failure> {
    let kinds = asked.kind.iter().map(|kind| match kind {
        Kind::Qemu => ("type", "qemu"),
        Kind::Lxc => ("type", "lxc"),
    });
    let lists = [
        ("tag", &asked.tag),
        ("pool", &asked.pool),
        ("status", &asked.status),
        ("cluster", &asked.cluster),
        ("node", &asked.node),
    ];
    let query: Vec<_> = lists.into_iter().flat_map(|(name, values)| pairs(name, values)).chain(kinds).collect();
    show(context, &target("/api/v1/guests", &query), "guests", GUESTS).await
}

pub(super) async fn nodes(context: &Context, asked: &Machines) -> Result<(), Failure> {
    show(context, &target("/api/v1/nodes", &machines(asked)), "nodes", NODES).await
}

pub(super) async fn hosts(context: &Context, asked: &Machines) -> Result<(), Failure> {
    show(context, &target("/api/v1/hosts", &machines(asked)), "hosts", HOSTS).await
}

fn machines(asked: &Machines) -> Vec<(&'static str, &str)> {
    pairs("cluster", &asked.cluster).chain(pairs("status", &asked.status)).collect()
}

pub(super) async fn clusters(context: &Context) -> Result<(), Failure> {
    show(context, "/api/v1/clusters", "clusters", CLUSTERS).await
}

pub(super) async fn tasks(context: &Context, asked: &Tasks) -> Result<(), Failure> {
    let guest = asked.guest.map(|number| number.to_string());
    let mut query: Vec<_> = pairs("cluster", &asked.cluster).collect();
    query.extend(guest.as_deref().map(|number| ("guest", number)));
    query.extend(asked.running.then_some(("running", "true")));
    show(context, &target("/api/v1/tasks", &query), "tasks", TASKS).await
}

/// One task: all that is told of it, and the end of its log.
pub(super) async fn task(context: &Context, asked: &Task) -> Result<(), Failure> {
    let path = format!("/api/v1/tasks/{}/{}", encoded(&asked.cluster), encoded(&asked.upid));
    let told = context.client.read(&path).await?;
    if !context.table {
        return context.deliver(&json(&told));
    }
    let task = &told["task"];
    let shown = TASKS.get(1..TASKS.len() - 1).unwrap_or_default();
    let mut text = list(shown, std::slice::from_ref(task), context.now);
    for line in task["log"].as_array().map(Vec::as_slice).unwrap_or_default() {
        text.push_str(&format!("  {}\n", plain(line.as_str().unwrap_or_default())));
    }
    context.deliver(&text)
}

async fn show(context: &Context, target: &str, name: &'static str, columns: &[Column]) -> Result<(), Failure> {
    let told = context.client.read(target).await?;
    let Value::Array(entries) = &told[name] else {
        return Err(Failure::Runtime(format!("expected {name} in the answer, found none; is this pve-sentinel?")));
    };
    if !context.table {
        return context.deliver(&json(&told));
    }
    context.deliver(&list(columns, entries, context.now))
}
