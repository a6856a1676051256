//! One order for a node or host, from the look to the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::audit::Entry;
use super::super::ending::{self, Ending};
use super::super::journal::{Intent, Record};
use super::super::keep::{Progress, UnderWay};
use super::super::{Books, Control, guests};
use super::action::{Action, Goal, Way, Wish};
use super::leaving::OnItsWay;
use super::plan::Plan;
use super::settle::{Seen, Wanted, settle};
use super::{Target, packet};
use crate::api::{Caller, Code, Error, Reply};
use crate::config::Power;
use crate::ids::SshAddress;
use crate::pve::{self, Sent, Writer};
use crate::ssh::{Acted, Exit};

/// A machine is gone, guests shut down before it, within this.
const GOES: Duration = Duration::from_mins(10);
/// A machine starts within this: servers take their time before the first byte is read.
const STARTS: Duration = Duration::from_mins(10);
/// In the journal, of an order that was sent and for which there is no task.
const SENT: &str = "sent";

/// An order, and who gave it.
pub(super) struct Job {
    pub(super) control: Arc<Control>,
    pub(super) books: Books,
    pub(super) caller: Caller,
    /// The id of the request.
    pub(super) id: String,
    /// `Idempotency-Key`.
    pub(super) key: Option<String>,
    pub(super) target: Target,
    pub(super) wish: Wish,
    pub(super) began: Instant,
}

impl Job {
    /// Carries it out. Nobody need wait for it.
    pub(super) async fn run(self, under_way: UnderWay) {
        let decided = self.decide(&under_way).await;
        let ending = decided.unwrap_or_else(|error| self.failed(error));
        self.end(ending, under_way).await;
    }

    /// Finds out what became of one that was begun in another life of this process. It is not sent again.
    pub(super) async fn resume(self, record: Record, under_way: UnderWay) {
        let (cluster, name) = self.target.names();
        let _leaving = self.takes_away().then(|| OnItsWay::new(&self.books.keep, cluster, name));
        // Who repeats it is not to wait for its end, which may take minutes to be known.
        under_way.progress.send_replace(Progress::Asked(self.body()));
        let sent = if record.upid.is_some() { "after it was sent" } else { "and it is not known whether it was sent" };
        let ending = match settle(self.wanted(record.intent.uptime), || self.target.observe()).await {
            Ok(seen) => self.well(true, &seen),
            Err(last) => {
                let message = format!("the exporter was stopped in the middle, {sent}; {last}; it was not sent again");
                self.failed(Error::new(Code::OutcomeUnknown, message))
            }
        };
        self.end(ending, under_way).await;
    }

    /// Says what would be sent, and sends nothing.
    pub(super) async fn dry_run(self) -> Reply {
        let ending = match self.plan().await {
            Err(error) => self.failed(error),
            Ok(plan) => {
                let mut body = self.body();
                (body["changed"], body["dry_run"]) = (plan.already.is_none().into(), true.into());
                match &plan.already {
                    Some(seen) => body["status"] = seen.word.into(),
                    None => (body["request"], body["needs"]) = self.described(&plan).await,
                }
                Ending { status: 200, body, outcome: "dry_run", message: None, node: None, upid: None }
            }
        };
        let mut entry = self.entry("decision", ending.outcome);
        (entry.dry_run, entry.message) = (true, ending.message.clone());
        self.control.own.control_action(self.counted(), ending.outcome);
        self.books.note(entry).await;
        guests::reply(ending.status, &ending.body)
    }

    async fn decide(&self, under_way: &UnderWay) -> Result<Ending, Error> {
        let (cluster, name) = self.target.names();
        let (plan, _leaving) = {
            // Nobody else waits for a cluster that does not answer.
            let _turn = if self.takes_away() { Some(self.books.keep.leaving.turn(cluster).await) } else { None };
            let plan = self.plan().await?;
            let leaves = self.takes_away() && plan.already.is_none();
            (plan, leaves.then(|| OnItsWay::new(&self.books.keep, cluster, name)))
        };
        if let Some(seen) = &plan.already {
            return Ok(self.well(false, seen));
        }
        self.write_down(plan.uptime).await?;
        let seen = match &plan.way {
            Way::Pve => self.by_pve(&plan, under_way).await,
            Way::Ssh(line) => self.over_ssh(line, &plan, under_way).await,
            Way::Packet(wake) => {
                packet::send(wake).await.map_err(|error| {
                    let to = wake.to;
                    Error::new(Code::HostUnreachable, format!("the packet could not be sent to {to}: {error}"))
                })?;
                self.asked(under_way).await;
                self.settled(&plan, None).await
            }
        };
        seen.map(|seen| self.well(true, &seen))
    }

    async fn by_pve(&self, plan: &Plan, under_way: &UnderWay) -> Result<Seen, Error> {
        let (writer, node) = self.writer()?;
        let sent = match self.wish.action {
            Action::Wake => writer.wake_node(node).await,
            Action::Reboot => writer.act_on_node(node, "reboot").await,
            Action::Shutdown | Action::Suspend => writer.act_on_node(node, "shutdown").await,
        };
        let doubt = match sent {
            Sent::Taken(_) => None,
            Sent::Unknown(why) => Some(why),
            Sent::NotSent(why) => return Err(Error::new(Code::PveUnreachable, why)),
            Sent::Refused(595, words) => {
                return Err(Error::new(Code::PveUnreachable, format!("the node {node} could not be reached: {words}")));
            }
            Sent::Refused(_, words) => return Err(ending::refusal(&words, Code::PveRefused)),
        };
        self.asked(under_way).await;
        self.settled(plan, doubt).await
    }

    async fn over_ssh(&self, line: &str, plan: &Plan, under_way: &UnderWay) -> Result<Seen, Error> {
        let (power, address) = self.over(plan)?;
        let unreachable =
            |error: &crate::ssh::Error| Error::new(Code::HostUnreachable, format!("{error}; nothing was done"));
        let (_, name) = self.target.names();
        let actor = self.control.machines.client.actor(name, address.clone(), Arc::clone(&power.ssh));
        let ready = actor.connect().await.map_err(|error| unreachable(&error))?;
        self.asked(under_way).await;
        let mut settling = pin!(self.settled(plan, None));
        // A command that puts the machine to sleep may never end.
        let acted = tokio::select! {
            biased;
            acted = ready.act(line) => acted,
            settled = &mut settling => return settled,
        };
        let doubt = match acted {
            Acted::Ended(output) => match (output.failure(), &output.exit) {
                (Some(reason), Exit::Status(_)) => {
                    return Err(Error::new(Code::TaskFailed, format!("{name}: {reason}")));
                }
                (Some(reason), Exit::Signal(_)) => Some(reason.to_string()),
                (None, _) => None,
            },
            Acted::Refused(error) => return Err(unreachable(&error)),
            Acted::Unknown(error) => Some(error.to_string()),
        };
        settling.await.map_err(|error| match doubt {
            Some(doubt) => Error { message: format!("{doubt}; {}", error.message), ..error },
            None => error,
        })
    }

    /// Waits until the machine is as wanted; `doubt` says why it is not known whether it was asked.
    async fn settled(&self, plan: &Plan, doubt: Option<String>) -> Result<Seen, Error> {
        let wanted = self.wanted(plan.uptime);
        settle(wanted, || self.target.observe()).await.map_err(|last| {
            let asked =
                doubt.map_or_else(|| "it was asked for".to_owned(), |why| format!("{why}; it was not sent again"));
            let minutes = wanted.patience.as_secs() / 60;
            Error::new(Code::OutcomeUnknown, format!("{asked}, but after {minutes} min it was not as wanted: {last}"))
        })
    }

    fn wanted(&self, before: u64) -> Wanted {
        let goal = self.wish.action.goal();
        let patience = match goal {
            Goal::Gone => GOES,
            Goal::There => STARTS,
            Goal::Again => GOES + STARTS,
        };
        Wanted { goal, before, patience }
    }

    /// Whether a cluster has one member less by it, be it for a while.
    fn takes_away(&self) -> bool {
        self.target.is_node() && self.wish.action != Action::Wake
    }

    fn counted(&self) -> &'static str {
        self.wish.action.counted(self.target.is_node())
    }

    fn writer(&self) -> Result<(&Writer, &str), Error> {
        match &self.target {
            Target::Node(acting, node) if acting.writer.is_some() => {
                acting.writer.as_ref().map(|writer| (writer, &**node))
            }
            _ => None,
        }
        .ok_or_else(|| super::super::job::disabled(self.target.names().0))
    }

    /// Who switches it over SSH, and where.
    fn over<'a>(&'a self, plan: &'a Plan) -> Result<(&'a Power, &'a SshAddress), Error> {
        let power = match &self.target {
            Target::Node(acting, _) => acting.ssh.as_ref().and_then(|ssh| ssh.power.as_deref()),
            Target::Host(host) => host.power.as_deref(),
        };
        power.zip(plan.address.as_ref()).ok_or_else(|| {
            let message = format!("no address is known for the {}; name it in addresses of ssh", self.target.label());
            Error::new(Code::HostUnreachable, message)
        })
    }

    /// What would be sent, and which rights it needs.
    async fn described(&self, plan: &Plan) -> (Value, Value) {
        match &plan.way {
            Way::Packet(wake) => {
                let (mac, to) = (wake.mac.to_string(), wake.to.to_string());
                (json!({"method": "packet", "mac_address": mac, "address": to}), json!([]))
            }
            Way::Ssh(line) => {
                let over = self.over(plan).ok();
                let user = over.map(|(power, _)| power.ssh.user.as_str());
                let address = over.map(|(_, address)| address.to_string());
                (json!({"method": "ssh", "user": user, "address": address, "command": line}), json!([]))
            }
            Way::Pve => {
                let (_, node) = self.target.names();
                let at = format!("/nodes/{node}");
                let (path, form) = match self.wish.action {
                    Action::Wake => (format!("{at}/wakeonlan"), json!({})),
                    action => (format!("{at}/status"), json!({"command": action.as_str()})),
                };
                let held = self.is_held(&at).await;
                let need = json!({"privilege": "Sys.PowerMgmt", "path": at, "held": held});
                (json!({"method": "POST", "path": path, "form": form}), json!([need]))
            }
        }
    }

    /// Whether the acting credential may switch a node; `None`: it cannot be found out.
    async fn is_held(&self, path: &str) -> Option<bool> {
        let (writer, _) = self.writer().ok()?;
        let answer = writer.permissions().await.ok()?;
        let held = pve::permissions(&answer).ok()?;
        Some(held.held("Sys.PowerMgmt", path) == pve::Held::Wholly)
    }

    /// What every answer begins with.
    fn body(&self) -> Value {
        let (key, target) = self.target.json();
        let mut body = json!({"action": self.wish.action.as_str()});
        body[key] = target;
        body
    }

    /// The machine is as it was asked for, by this or before.
    fn well(&self, changed: bool, seen: &Seen) -> Ending {
        let mut body = self.body();
        (body["changed"], body["status"]) = (changed.into(), seen.word.into());
        let outcome = if changed { "done" } else { "unchanged" };
        Ending { status: 200, body, outcome, message: None, node: None, upid: None }
    }

    fn failed(&self, error: Error) -> Ending {
        Ending::failed(error, None, None)
    }

    /// Audit and journal, before anything is sent.
    async fn write_down(&self, uptime: u64) -> Result<(), Error> {
        let now = (self.control.now)().as_secs();
        let (cluster, name) = self.target.names();
        let intent = Intent {
            id: self.id.clone(),
            at: now,
            token: self.caller.name.clone(),
            key: self.key.clone(),
            cluster: cluster.to_owned(),
            vmid: 0,
            kind: if self.target.is_node() { "node" } else { "host" }.to_owned(),
            node: name.to_owned(),
            name: None,
            action: self.wish.action.as_str().to_owned(),
            wish: self.wish.name(&self.target.label()),
            since: now,
            uptime,
        };
        self.books.intend(self.entry("intent", "intended"), intent).await
    }

    /// It was sent, or may have been.
    async fn asked(&self, under_way: &UnderWay) {
        let (books, id) = (self.books.clone(), self.id.clone());
        let written = tokio::task::spawn_blocking(move || books.keep.journal.taken(&id, SENT)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, id = self.id, "an action that was sent cannot be written down");
        }
        under_way.progress.send_replace(Progress::Asked(self.body()));
    }

    /// Tells and writes down how it ended.
    async fn end(self, ending: Ending, under_way: UnderWay) {
        let mut entry = self.entry("decision", ending.outcome);
        entry.message.clone_from(&ending.message);
        self.control.own.control_action(self.counted(), ending.outcome);
        self.books.end(entry, ending.status, &ending.body).await;
        under_way.progress.send_replace(Progress::Ended(ending.status, ending.body));
    }

    /// A line about it as it is now.
    fn entry(&self, event: &'static str, outcome: &'static str) -> Entry {
        let (cluster, name) = self.target.names();
        let of_node = self.target.is_node();
        Entry {
            time: (self.control.now)().as_secs_f64(),
            event,
            request: self.id.clone(),
            token: self.caller.name.clone(),
            client: self.caller.from.map(|from| from.to_string()),
            action: self.wish.action.as_str(),
            cluster: cluster.to_owned(),
            vmid: String::new(),
            node: of_node.then(|| name.to_owned()),
            host: (!of_node).then(|| name.to_owned()),
            dry_run: false,
            upid: None,
            outcome,
            message: None,
            duration_seconds: self.began.elapsed().as_secs_f64(),
        }
    }
}
