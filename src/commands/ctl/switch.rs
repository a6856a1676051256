//! Orders: what is sent for each, and what is told of its end.

use std::cell::RefCell;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::{Map, Value, json};

use super::address::{encoded, target};
use super::client::{ANSWER, Answer, Question};
use super::guests::{self, Guest};
use super::progress::Progress;
use super::table::{self, aligned};
use super::{Context, Failure};
use crate::commands::complain;
use crate::config;
use crate::setup::plain;

/// So many orders are under way at once.
const AT_ONCE: usize = 4;
/// The API waits no longer.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// The longest key that the API takes, in characters.
const LONGEST_KEY: usize = 128;

/// Which guests, and how.
#[derive(Args)]
pub(super) struct Guests {
    /// A name, a number, or CLUSTER/NAME or CLUSTER/NUMBER where several have it.
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
    #[command(flatten)]
    manner: Manner,
}

/// How an order is given.
#[derive(Args)]
pub(super) struct Manner {
    /// Wait until it is so, at most that long; 5m if no time is given.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "5m", value_parser = wait)]
    wait: Option<String>,
    /// Say what would be sent, and which right it needs, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// A word for this order: with the same one it is not carried out again, but its end is told.
    #[arg(long, value_name = "KEY", value_parser = key)]
    idempotency_key: Option<String>,
}

/// Which guests to shut down.
#[derive(Args)]
pub(super) struct Shutdown {
    #[command(flatten)]
    guests: Guests,
    /// How long a guest may take, such as 90s.
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<String>,
    /// Switch off what has not shut down by then.
    #[arg(long)]
    force: bool,
}

/// Which guests to reboot.
#[derive(Args)]
pub(super) struct Reboot {
    #[command(flatten)]
    guests: Guests,
    /// How long a guest may take to shut down, such as 90s.
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<String>,
}

/// What to do with a node.
#[derive(Args)]
pub(super) struct Node {
    /// What to do.
    #[arg(value_enum)]
    action: Machine,
    /// Which node.
    #[arg(value_name = "CLUSTER/NODE", value_parser = place)]
    node: (String, String),
    #[command(flatten)]
    manner: Manner,
    /// Also if guests run there.
    #[arg(long)]
    allow_running: bool,
    /// Also if the cluster loses its quorum by it.
    #[arg(long)]
    force_quorum: bool,
}

/// What to do with a host.
#[derive(Args)]
pub(super) struct Host {
    /// What to do.
    #[arg(value_enum)]
    action: Machine,
    /// Which host, by its id.
    #[arg(value_name = "ID")]
    host: String,
    #[command(flatten)]
    manner: Manner,
}

#[derive(Clone, Copy, ValueEnum)]
enum Machine {
    Shutdown,
    Reboot,
    Suspend,
    Wake,
}

impl Machine {
    fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Reboot => "reboot",
            Self::Suspend => "suspend",
            Self::Wake => "wake",
        }
    }
}

/// What came of one order.
struct Told {
    /// As the API names it, such as `home/100`, and its name.
    place: String,
    name: Option<String>,
    answer: Result<Answer, Failure>,
    /// Whether somebody waited for its end.
    waited: bool,
}

pub(super) async fn guests(context: &Context, action: &'static str, asked: &Guests) -> Result<(), Failure> {
    with(context, action, asked, Map::new()).await
}

pub(super) async fn shutdown(context: &Context, asked: &Shutdown) -> Result<(), Failure> {
    let mut body = Map::new();
    body.extend(asked.timeout.as_ref().map(|time| ("timeout".to_owned(), json!(time))));
    body.extend(asked.force.then(|| ("force".to_owned(), json!(true))));
    with(context, "shutdown", &asked.guests, body).await
}

pub(super) async fn reboot(context: &Context, asked: &Reboot) -> Result<(), Failure> {
    let body = asked.timeout.as_ref().map(|time| ("timeout".to_owned(), json!(time)));
    with(context, "reboot", &asked.guests, body.into_iter().collect()).await
}

pub(super) async fn node(context: &Context, asked: &Node) -> Result<(), Failure> {
    let mut body = Map::new();
    body.extend(asked.allow_running.then(|| ("allow_running".to_owned(), json!(true))));
    body.extend(asked.force_quorum.then(|| ("force_quorum".to_owned(), json!(true))));
    let ((cluster, node), action) = (&asked.node, asked.action.as_str());
    let path = format!("/api/v1/nodes/{}/{}/{action}", encoded(cluster), encoded(node));
    machine(context, &path, format!("{cluster}/{node}"), (&asked.manner, body)).await
}

pub(super) async fn host(context: &Context, asked: &Host) -> Result<(), Failure> {
    let path = format!("/api/v1/hosts/{}/{}", encoded(&asked.host), asked.action.as_str());
    machine(context, &path, asked.host.clone(), (&asked.manner, Map::new())).await
}

async fn machine(
    context: &Context,
    path: &str,
    place: String,
    (manner, body): (&Manner, Map<String, Value>),
) -> Result<(), Failure> {
    let answer = order(context, path, (manner, manner.idempotency_key.as_deref()), body).await;
    tell(context, &[Told { place, name: None, answer, waited: manner.waits() }])
}

/// All are found before the first order is given.
async fn with(
    context: &Context,
    action: &'static str,
    asked: &Guests,
    body: Map<String, Value>,
) -> Result<(), Failure> {
    let found = guests::find(&context.client, &asked.guests).await?;
    let keys = found.iter().map(|guest| asked.manner.key_for(guest, found.len())).collect::<Result<Vec<_>, _>>()?;
    let (progress, manner) = (Progress::new(), &asked.manner);
    let each = |(guest, key): (Guest, Option<String>)| {
        let (progress, body) = (&progress, body.clone());
        async move {
            let path = format!("/api/v1/guests/{}/{}/{action}", encoded(&guest.cluster), guest.vmid);
            let ordering = order(context, &path, (manner, key.as_deref()), body);
            let answer =
                if manner.waits() { waited(context, &guest, progress, ordering).await } else { ordering.await };
            let name = answer.as_ref().ok().and_then(|answer| answer.json["guest"]["name"].as_str());
            let name = name.map(str::to_owned).or(guest.name);
            Told { place: format!("{}/{}", guest.cluster, guest.vmid), name, answer, waited: manner.waits() }
        }
    };
    let told: Vec<Told> = stream::iter(found.into_iter().zip(keys)).map(each).buffered(AT_ONCE).collect().await;
    tell(context, &told)
}

/// Follows the guest's tasks until the order has ended.
async fn waited(
    context: &Context,
    guest: &Guest,
    progress: &Progress,
    ordering: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    let seen = RefCell::default();
    let ended = tokio::select! {
        ended = ordering => ended,
        () = progress.follow(&context.client, guest, &seen) => Err(Failure::Runtime("nothing is waited for".to_owned())),
    };
    if let Ok(answer) = &ended
        && (progress.tells_lines() || answer.error().is_some())
    {
        let log = answer.json["task"]["log"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lines: Vec<String> = log.iter().filter_map(|line| line.as_str().map(str::to_owned)).collect();
        progress.told(&guest.shown(), &lines, &seen);
    }
    ended
}

/// One order, sent once.
async fn order(
    context: &Context,
    path: &str,
    (manner, key): (&Manner, Option<&str>),
    mut body: Map<String, Value>,
) -> Result<Answer, Failure> {
    if manner.dry_run {
        body.insert("dry_run".to_owned(), json!(true));
    }
    let wait = manner.wait.as_deref().filter(|_| manner.waits());
    let target = wait.map_or_else(|| path.to_owned(), |wait| target(path, &[("wait", wait)]));
    let patience = ANSWER + wait.and_then(config::duration).unwrap_or_default();
    let body = Value::Object(body);
    context.client.ask(Question { method: Method::POST, target: &target, body: Some(&body), key, patience }).await
}

/// Tells what came of all, and fails where one is not as it was asked for.
fn tell(context: &Context, all: &[Told]) -> Result<(), Failure> {
    if context.table {
        let heads = ["TARGET", "NAME", "RESULT", "STATUS", "DETAIL"].map(str::to_owned);
        let rows: Vec<Vec<String>> = all.iter().map(Told::row).collect();
        context.deliver(&aligned(&heads, &rows))?;
    } else {
        context.deliver(&all.iter().filter_map(Told::json).map(|value| table::json(&value)).collect::<String>())?;
    }
    let failed: Vec<&Told> = all.iter().filter(|told| !told.is_well()).collect();
    for told in &failed {
        complain(&plain(&told.why()));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

impl Manner {
    fn waits(&self) -> bool {
        self.wait.is_some() && !self.dry_run
    }

    /// Each of several orders has a key of its own.
    fn key_for(&self, guest: &Guest, of: usize) -> Result<Option<String>, Failure> {
        let Some(key) = &self.idempotency_key else { return Ok(None) };
        let own = if of == 1 { key.clone() } else { format!("{key}:{}/{}", guest.cluster, guest.vmid) };
        self::key(&own)
            .map(Some)
            .map_err(|wrong| Failure::Usage(format!("--idempotency-key for {}: {wrong}", guest.shown())))
    }
}

impl Told {
    fn is_well(&self) -> bool {
        self.answer.as_ref().is_ok_and(|answer| answer.error().is_none() && !(self.waited && answer.status == 202))
    }

    /// What came of it, in a word or two.
    fn result(&self) -> String {
        let Ok(answer) = &self.answer else { return "failed".to_owned() };
        let is = |key: &str| answer.json[key] == Value::Bool(true);
        match answer.error() {
            Some((code, _)) => code.to_owned(),
            None if answer.status == 202 && self.waited => "not ended".to_owned(),
            None if answer.status == 202 => "asked".to_owned(),
            None if is("dry_run") && is("changed") => "would change".to_owned(),
            None if is("changed") => "done".to_owned(),
            None => "unchanged".to_owned(),
        }
    }

    fn row(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (status, detail) = match &self.answer {
            Ok(answer) => (text(&answer.json["status"]), detail(&answer.json)),
            Err(_) => (String::new(), String::new()),
        };
        vec![self.place.clone(), self.name.clone().unwrap_or_default(), self.result(), status, detail]
    }

    /// The answer; one that does not name what it is about gets a name.
    fn json(&self) -> Option<Value> {
        let mut json = match &self.answer {
            Ok(answer) => answer.json.clone(),
            Err(error) => json!({"error": {"code": "failed", "message": error.to_string()}}),
        };
        let object = json.as_object_mut()?;
        if object.contains_key("error") {
            object.entry("target").or_insert_with(|| json!(self.place));
        }
        Some(json)
    }

    fn why(&self) -> String {
        let who = self.name.as_ref().map_or(self.place.clone(), |name| format!("{name} ({})", self.place));
        match &self.answer {
            Err(error) => format!("{who}: {error}"),
            Ok(answer) => match answer.error() {
                Some((code, message)) => format!("{who}: {code}: {message}"),
                None => {
                    let task = &answer.json["task"];
                    let (cluster, upid) = (task["cluster"].as_str().unwrap_or_default(), task["upid"].as_str());
                    let look = upid.map(|upid| format!("; pve-sentinel ctl task {cluster} {upid}")).unwrap_or_default();
                    format!("{who}: it was asked for and goes on, but had not ended when the wait was over{look}")
                }
            },
        }
    }
}

/// What would be sent and what that needs, or the task.
fn detail(json: &Value) -> String {
    let request = &json["request"];
    if !request.is_object() {
        return json["task"]["upid"].as_str().unwrap_or_default().to_owned();
    }
    // What goes to a machine itself has no path.
    let sent = match (request["method"].as_str(), request["path"].as_str()) {
        (Some(method), Some(path)) => format!("{method} {path}"),
        _ => request.to_string(),
    };
    let of = |need: &Value| {
        let text = |key: &str| need[key].as_str().unwrap_or_default();
        let held = match need["held"] {
            Value::Bool(true) => "held",
            Value::Bool(false) => "lacking",
            _ => "unknown",
        };
        format!("{} on {} ({held})", text("privilege"), text("path"))
    };
    let needs: Vec<String> = json["needs"].as_array().into_iter().flatten().map(of).collect();
    if needs.is_empty() { sent } else { format!("{sent}; needs {}", needs.join(", ")) }
}

fn time(text: &str) -> Result<String, String> {
    config::duration(text).map(|_| text.to_owned()).ok_or_else(|| "expected a duration such as 90s".to_owned())
}

fn wait(text: &str) -> Result<String, String> {
    let fits = config::duration(text).is_some_and(|time| time <= LONGEST_WAIT);
    if fits { Ok(text.to_owned()) } else { Err("expected a duration such as 30s, at most 10m".to_owned()) }
}

fn key(text: &str) -> Result<String, String> {
    let fits = (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err(format!("expected 1 to {LONGEST_KEY} visible ASCII characters")) }
}

fn place(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((cluster, node)) if !cluster.is_empty() && !node.is_empty() && !node.contains('/') => {
            Ok((cluster.to_owned(), node.to_owned()))
        }
        _ => Err("expected a cluster and a node, such as home/pve1".to_owned()),
    }
}

#[cfg(test)]
#[path = "switch_tests.rs"]
mod tests;
