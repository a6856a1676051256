//! `POST /api/v1/guests/{cluster}/{vmid}/{action}`: what is wished, and how long its caller waits.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::action::{Action, Plan, Wish};
use super::docs;
use super::dry;
use super::ending::Ending;
use super::job::{self, Job};
use super::journal::{Claim, Record};
use super::keep::{Joined, Progress, UnderWay};
use super::{Books, Control};
use crate::api::{Caller, Code, Error, Reply, Request, Route, handler};
use crate::config::duration;
use crate::ids::Scope;

/// Nobody waits longer for the end of an order.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// A guest may take no longer to shut down.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(60);

/// What stands in a body.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    dry_run: bool,
    timeout: Option<String>,
    force: bool,
}

pub(super) fn routes(control: &Arc<Control>) -> Vec<Route> {
    let route = |(action, (pattern, doc)): (Action, (&'static str, &'static crate::api::Doc))| {
        let control = Arc::clone(control);
        let answer = move |request: Request| {
            let control = Arc::clone(&control);
            async move { Reply::from(answer(control, action, request).await) }
        };
        Route { method: Method::POST, pattern, scope: Scope::Power, handler: handler(answer), doc }
    };
    Action::ALL.into_iter().zip(docs::guests()).map(route).collect()
}

/// Looks for the ends of orders that were begun before.
pub(super) fn recover(control: &Arc<Control>) {
    let Some(books) = &control.books else { return };
    for record in books.keep.journal.open_records() {
        let intent = &record.intent;
        if !matches!(intent.kind.as_str(), "qemu" | "lxc") {
            continue;
        }
        let (Ok(acting), Some(action)) = (control.cluster(&intent.cluster), Action::parse(&intent.action)) else {
            continue;
        };
        let caller = Caller { name: intent.token.clone(), scopes: Vec::new(), guests: None, from: None };
        let job = Job {
            control: Arc::clone(control),
            acting: Arc::clone(acting),
            books: books.clone(),
            caller,
            id: intent.id.clone(),
            key: intent.key.clone(),
            vmid: intent.vmid,
            wish: Wish { action, timeout: None, force: false },
            began: Instant::now(),
        };
        let name = name(&intent.token, intent.key.as_deref(), &intent.wish);
        if let Joined::Mine(under_way) = books.keep.join(&name, &intent.wish) {
            tracing::warn!(
                id = intent.id,
                cluster = intent.cluster,
                vmid = intent.vmid,
                "looking for the end of an action"
            );
            tokio::spawn(job.resume(record, under_way));
        }
    }
}

async fn answer(control: Arc<Control>, action: Action, request: Request) -> Result<Reply, Error> {
    let began = Instant::now();
    let (cluster, vmid) = (request.path("cluster").to_owned(), request.path("vmid").to_owned());
    let asked = read(&control, action, &request, began);
    let (job, body, wait) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            refuse(&control, (action, &request), (&cluster, &vmid), &error).await;
            return Err(error);
        }
    };
    if body.dry_run {
        return dry_run(job).await;
    }
    Ok(told(&mut give(job)?, wait).await)
}

/// Gives an order, and tells how far it has come: by this or, where the same is under way or was carried out, before.
pub(super) fn give(job: Job) -> Result<watch::Receiver<Progress>, Error> {
    let wish = job.wish.name(&job.acting.name, job.vmid);
    match job.books.keep.join(&name(&job.caller.name, job.key.as_deref(), &wish), &wish) {
        Joined::Other => Err(other()),
        Joined::Theirs(progress) => Ok(progress),
        Joined::Mine(under_way) => begin(job, &wish, under_way),
    }
}

/// Only who carries an order of this name out asks what the name stood for: nobody else can then begin it in between.
fn begin(job: Job, wish: &str, under_way: UnderWay) -> Result<watch::Receiver<Progress>, Error> {
    let (books, token, key) = (job.books.clone(), job.caller.name.clone(), job.key.clone());
    let now = (job.control.now)().as_secs();
    start(&books, (&token, key.as_deref(), wish), now, under_way, |before, under_way| match before {
        None => drop(tokio::spawn(job.run(under_way))),
        Some(record) => drop(tokio::spawn(Job { id: record.intent.id.clone(), ..job }.resume(record, under_way))),
    })
}

/// Begins an order of a token, by its key and what it wishes, unless it was carried out before. `go` carries it out, or
/// finds out what became of the one that was begun before.
pub(super) fn start(
    books: &Books,
    (token, key, wish): (&str, Option<&str>, &str),
    now: u64,
    under_way: UnderWay,
    go: impl FnOnce(Option<Record>, UnderWay),
) -> Result<watch::Receiver<Progress>, Error> {
    let claim = key.map_or(Claim::New, |key| books.keep.journal.claim(token, key, wish, now));
    let progress = under_way.progress.subscribe();
    match claim {
        Claim::Other => return Err(other()),
        Claim::Ended(status, body) => drop(under_way.progress.send_replace(Progress::Ended(status, body))),
        Claim::Open(record) => go(Some(*record), under_way),
        Claim::New => go(None, under_way),
    }
    Ok(progress)
}

/// What is said as soon as there is a task, or at the end of the wait.
pub(super) async fn told(progress: &mut watch::Receiver<Progress>, wait: Option<Duration>) -> Reply {
    let is_decided = |progress: &Progress| *progress != Progress::Deciding;
    let is_ended = |progress: &Progress| matches!(progress, Progress::Ended(..));
    let mut last = progress.wait_for(is_decided).await.map(|progress| progress.clone());
    if let (Ok(_), Some(wait)) = (&last, wait)
        && let Ok(ended) = timeout(wait, progress.wait_for(is_ended)).await
    {
        last = ended.map(|progress| progress.clone());
    }
    match last {
        Ok(Progress::Asked(body)) => Reply::with(StatusCode::ACCEPTED, &body),
        Ok(Progress::Ended(status, body)) => reply(status, &body),
        Ok(Progress::Deciding) | Err(_) => Error::new(Code::Internal, "the action broke off; the log says more").into(),
    }
}

pub(super) fn reply(status: u16, body: &Value) -> Reply {
    Reply::with(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
}

pub(super) fn other() -> Error {
    Error::bad_request("the Idempotency-Key stands for another order of this token; take a new one for each order")
}

/// Orders of one token with the same key are one; without a key, those that wish the same at the same time.
pub(super) fn name(token: &str, key: Option<&str>, wish: &str) -> String {
    match key {
        Some(key) => format!("{token} key {key}"),
        None => format!("{token} {wish}"),
    }
}

/// What is wished, and how long its caller waits.
fn read(
    control: &Arc<Control>,
    action: Action,
    request: &Request,
    began: Instant,
) -> Result<(Job, Body, Option<Duration>), Error> {
    let wait = request.query_all("wait").first().map(|text| wait(text)).transpose()?;
    let body: Body = request.json()?;
    let wish = Wish::read(action, body.timeout.as_deref(), body.force)?;
    let acting = control.cluster(request.path("cluster"))?;
    let vmid = vmid(request.path("vmid"))?;
    let books = control.books.clone().filter(|_| acting.writer.is_some()).ok_or_else(|| job::disabled(&acting.name))?;
    let (caller, id, key) = (request.caller.clone(), request.id.clone(), request.key.clone());
    let (control, acting) = (Arc::clone(control), Arc::clone(acting));
    Ok((Job { control, acting, books, caller, id, key, vmid, wish, began }, body, wait))
}

impl Wish {
    /// What is wished, as typed.
    pub(super) fn read(action: Action, timeout: Option<&str>, force: bool) -> Result<Self, Error> {
        let timeout = timeout.map(|text| time("timeout", text, LONGEST_TIMEOUT)).transpose()?;
        if timeout.is_some_and(|timeout| timeout.as_secs() == 0 || timeout.subsec_nanos() > 0) {
            return Err(Error::bad_request("expected timeout to be a whole number of seconds, at least 1s"));
        }
        let word = action.as_str();
        if timeout.is_some() && !action.takes_time() {
            return Err(Error::bad_request(format!("timeout means nothing to {word}; only shutdown and reboot wait")));
        }
        if force && action != Action::Shutdown {
            return Err(Error::bad_request(format!(
                "force means nothing to {word}; it switches off what does not shut down"
            )));
        }
        Ok(Self { action, timeout, force })
    }
}

/// How long a caller waits.
pub(super) fn wait(text: &str) -> Result<Duration, Error> {
    time("wait", text, LONGEST_WAIT)
}

pub(super) fn time(name: &str, text: &str, most: Duration) -> Result<Duration, Error> {
    duration(text).filter(|time| *time <= most).ok_or_else(|| {
        let minutes = most.as_secs() / 60;
        Error::bad_request(format!("expected {name} to be a duration such as 30s, at most {minutes}m"))
    })
}

/// A guest's number as PVE writes it.
pub(super) fn vmid(text: &str) -> Result<u64, Error> {
    let is_plain = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_plain && !text.starts_with('0'));
    number.ok_or_else(|| Error::bad_request("expected the number of a guest, such as 100"))
}

/// Says what would be sent, and sends nothing.
async fn dry_run(job: Job) -> Result<Reply, Error> {
    let ending = match job.plan().await {
        Err(error) => Ending::failed(error, None, None),
        Ok((guest, plan)) => {
            let rights = if matches!(plan, Plan::Send(_)) { dry::rights(job.writer()?).await } else { None };
            dry::would(&job, &guest, &plan, rights.as_ref())
        }
    };
    let mut entry = job.entry("decision", ending.outcome);
    (entry.dry_run, entry.node, entry.message) = (true, ending.node.clone(), ending.message.clone());
    job.control.own.control_action(job.wish.action.as_str(), ending.outcome);
    job.books.note(entry).await;
    Ok(reply(ending.status, &ending.body))
}

/// What cannot be an order is a decision, too.
async fn refuse(
    control: &Arc<Control>,
    (action, request): (Action, &Request),
    (cluster, vmid): (&str, &str),
    error: &Error,
) {
    control.own.control_action(action.as_str(), error.code.as_str());
    let short = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(64).collect() };
    let entry = super::audit::Entry {
        time: (control.now)().as_secs_f64(),
        event: "decision",
        request: request.id.clone(),
        token: request.caller.name.clone(),
        client: request.caller.from.map(|from| from.to_string()),
        action: action.as_str(),
        cluster: short(cluster),
        vmid: short(vmid),
        node: None,
        host: None,
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
