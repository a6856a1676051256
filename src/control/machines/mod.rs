//! Nodes and hosts switched: by Proxmox VE, by a command over SSH with a key of its own, or by a packet that wakes.
//!
//! ```text
//! mod      POST /api/v1/nodes/{cluster}/{node}/{action} and /api/v1/hosts/{id}/{action}: the wish, whose it is, the wait
//!   action   what stands against it, and how it is done (pure)
//!   votes    who votes in a cluster          leaving   nodes that are on their way out
//!   look     what nodes and hosts are now    settle    until they are what they become
//!   plan     what an order would come to     packet   what wakes
//!   job      one order from the look to the end
//! ```

mod action;
mod docs;
mod job;
mod leaving;
mod look;
mod packet;
mod plan;
mod settle;
mod votes;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::audit::Entry;
use super::guests::{self, LONGEST_WAIT};
use super::keep::{Joined, Progress, UnderWay};
use super::{Acting, Control, Machines};
use crate::api::{Caller, Code, Error, Reply, Request, Route, handler};
use crate::config::Host;
use crate::ids::Scope;
use action::{Action, Wish};
use job::Job;
pub(super) use leaving::Leaving;

/// For a node to be known, where nobody asked yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is switched.
#[derive(Clone)]
enum Target {
    Node(Arc<Acting>, String),
    Host(Arc<Host>),
}

/// What stands in a body for a node; hosts know `dry_run` only.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NodeBody {
    dry_run: bool,
    allow_running: bool,
    force_quorum: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HostBody {
    dry_run: bool,
}

impl Target {
    fn is_node(&self) -> bool {
        matches!(self, Self::Node(..))
    }

    /// The cluster, which hosts have none of, and the name of the node or the id of the host.
    fn names(&self) -> (&str, &str) {
        match self {
            Self::Node(acting, node) => (&acting.name, node),
            Self::Host(host) => ("", &host.id),
        }
    }

    /// For the name of an order.
    fn label(&self) -> String {
        match self.names() {
            ("", host) => format!("host {host}"),
            (cluster, node) => format!("node {cluster}/{node}"),
        }
    }

    /// As answers tell it.
    fn json(&self) -> (&'static str, Value) {
        match self {
            Self::Node(acting, node) => ("node", json!({"cluster": acting.name, "node": node})),
            Self::Host(host) => ("host", json!({"id": host.id, "name": host.name})),
        }
    }
}

pub(super) fn routes(control: &Arc<Control>) -> Vec<Route> {
    let route = |(action, of_node, pattern, doc): (Action, bool, &'static str, &'static crate::api::Doc)| {
        let control = Arc::clone(control);
        let answer = move |request: Request| {
            let control = Arc::clone(&control);
            async move { Reply::from(answer(control, (action, of_node), request).await) }
        };
        let scope = if of_node { Scope::NodePower } else { Scope::HostPower };
        Route { method: Method::POST, pattern, scope, handler: handler(answer), doc }
    };
    docs::all().map(route).collect()
}

/// Looks for the ends of orders that were begun before.
pub(super) fn recover(control: &Arc<Control>) {
    let Some(books) = &control.books else { return };
    for record in books.keep.journal.open_records() {
        let intent = &record.intent;
        let target = match intent.kind.as_str() {
            "node" => {
                control.cluster(&intent.cluster).ok().map(|acting| Target::Node(acting.clone(), intent.node.clone()))
            }
            "host" => control.machines.host(&intent.node).map(|host| Target::Host(Arc::clone(host))),
            _ => None,
        };
        let (Some(target), Some(action)) = (target, Action::parse(&intent.action)) else { continue };
        let job = Job {
            control: Arc::clone(control),
            books: books.clone(),
            caller: Caller { name: intent.token.clone(), scopes: Vec::new(), guests: None, from: None },
            id: intent.id.clone(),
            key: intent.key.clone(),
            target,
            wish: Wish { action, allow_running: false, force_quorum: false },
            began: Instant::now(),
        };
        let name = guests::name(&intent.token, intent.key.as_deref(), &intent.wish);
        if let Joined::Mine(under_way) = books.keep.join(&name, &intent.wish) {
            let (cluster, machine) = (&intent.cluster, &intent.node);
            tracing::warn!(id = intent.id, cluster, machine, "looking for the end of an action");
            tokio::spawn(job.resume(record, under_way));
        }
    }
}

async fn answer(control: Arc<Control>, (action, of_node): (Action, bool), request: Request) -> Result<Reply, Error> {
    let began = Instant::now();
    let asked = match target(&control, of_node, &request).await {
        Ok(target) => read(&control, (action, target), &request, began),
        Err(error) => Err(error),
    };
    let (job, dry_run, wait) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            refuse(&control, (action, of_node), &request, &error).await;
            return Err(error);
        }
    };
    if dry_run {
        return Ok(job.dry_run().await);
    }
    let wish = job.wish.name(&job.target.label());
    let name = guests::name(&job.caller.name, job.key.as_deref(), &wish);
    let mut progress = match job.books.keep.join(&name, &wish) {
        Joined::Other => return Err(guests::other()),
        Joined::Theirs(progress) => progress,
        Joined::Mine(under_way) => begin(job, &wish, under_way)?,
    };
    Ok(guests::told(&mut progress, wait).await)
}

/// As of guests.
fn begin(job: Job, wish: &str, under_way: UnderWay) -> Result<watch::Receiver<Progress>, Error> {
    let (books, token, key) = (job.books.clone(), job.caller.name.clone(), job.key.clone());
    let now = (job.control.now)().as_secs();
    guests::start(&books, (&token, key.as_deref(), wish), now, under_way, |before, under_way| match before {
        None => drop(tokio::spawn(job.run(under_way))),
        Some(record) => drop(tokio::spawn(Job { id: record.intent.id.clone(), ..job }.resume(record, under_way))),
    })
}

/// What is wished, and how long its caller waits.
fn read(
    control: &Arc<Control>,
    (action, target): (Action, Target),
    request: &Request,
    began: Instant,
) -> Result<(Job, bool, Option<Duration>), Error> {
    let wait = request.query_all("wait").first().map(|text| guests::time("wait", text, LONGEST_WAIT)).transpose()?;
    let body: NodeBody = if target.is_node() {
        request.json()?
    } else {
        let HostBody { dry_run } = request.json()?;
        NodeBody { dry_run, ..NodeBody::default() }
    };
    let NodeBody { dry_run, allow_running, force_quorum } = body;
    if action == Action::Wake && (allow_running || force_quorum) {
        return Err(Error::bad_request("allow_running and force_quorum mean nothing to wake; it takes nothing away"));
    }
    let label = target.label();
    let books = control.books.clone().ok_or_else(|| {
        let message = format!("nothing switches the {label}: nothing in the configuration says who may, and how");
        Error::new(Code::ControlDisabled, message)
    })?;
    let (caller, id, key) = (request.caller.clone(), request.id.clone(), request.key.clone());
    let wish = Wish { action, allow_running, force_quorum };
    Ok((Job { control: Arc::clone(control), books, caller, id, key, target, wish, began }, dry_run, wait))
}

async fn target(control: &Control, of_node: bool, request: &Request) -> Result<Target, Error> {
    if of_node {
        let acting = control.cluster(request.path("cluster"))?;
        return Ok(Target::Node(Arc::clone(acting), request.path("node").to_owned()));
    }
    let id = request.path("id");
    match control.machines.host(id) {
        Some(host) => Ok(Target::Host(Arc::clone(host))),
        None => Err(no_host(control, id).await),
    }
}

/// What is no host may be a node, which is switched elsewhere.
async fn no_host(control: &Control, id: &str) -> Error {
    let nodes = join_all(control.clusters.iter().map(|acting| async move {
        let known = match acting.inventory.last_nodes() {
            Some((_, nodes)) => nodes.into_iter().map(|node| node.name).collect(),
            None => match timeout(PATIENCE, acting.inventory.view().status()).await {
                Ok(Ok(status)) => status.members.iter().map(|member| member.name.clone()).collect(),
                _ => Vec::new(),
            },
        };
        (acting, known)
    }))
    .await;
    for (acting, nodes) in nodes {
        let own = acting.ssh.iter().flat_map(|ssh| ssh.addresses.keys().cloned());
        let is_meant = |node: &String| {
            node == id || id.strip_prefix(&acting.name).and_then(|rest| rest.strip_prefix('-')) == Some(node)
        };
        if let Some(node) = nodes.into_iter().chain(own).find(is_meant) {
            let path = format!("/api/v1/nodes/{}/{node}/…", acting.name);
            return Error::bad_request(format!("{node} is a node of {}, which is switched at {path}", acting.name));
        }
    }
    let shown: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    Error::new(Code::NotFound, format!("there is no host {shown:?}; GET /api/v1/hosts lists those that there are"))
}

/// What cannot be an order is a decision, too.
async fn refuse(control: &Control, (action, of_node): (Action, bool), request: &Request, error: &Error) {
    control.own.control_action(action.counted(of_node), error.code.as_str());
    let short = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(64).collect() };
    let entry = Entry {
        time: (control.now)().as_secs_f64(),
        event: "decision",
        request: request.id.clone(),
        token: request.caller.name.clone(),
        client: request.caller.from.map(|from| from.to_string()),
        action: action.as_str(),
        cluster: short(request.path("cluster")),
        vmid: String::new(),
        node: of_node.then(|| short(request.path("node"))),
        host: (!of_node).then(|| short(request.path("id"))),
        dry_run: false,
        upid: None,
        outcome: error.code.as_str(),
        message: Some(error.message.clone()),
        duration_seconds: 0.0,
    };
    match &control.books {
        Some(books) => books.note(entry).await,
        None => entry.log(),
    }
}

impl Machines {
    fn host(&self, id: &str) -> Option<&Arc<Host>> {
        self.hosts.iter().find(|host| host.id == id)
    }
}
