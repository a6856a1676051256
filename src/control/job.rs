//! One order, from the look at its guest to the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::action::{self, Order, Plan, Wish};
use super::audit::Entry;
use super::ending::{self, Ending, Subject, Task};
use super::follow::{self, Exit, Wanted};
use super::guest::{self, Guest, Seen};
use super::journal::{Intent, Record};
use super::keep::{Progress, UnderWay};
use super::upid::Upid;
use super::{Acting, Books, Control};
use crate::api::{Caller, Code, Error};
use crate::pve::{Place, Sent, Writer};

/// After its task ended well, a guest is as wanted within this.
const SETTLES: Duration = Duration::from_secs(30);
/// A guest that is rebooted is switched on by another task.
const REBOOTS: Duration = Duration::from_mins(2);
/// HA acts in its own rounds, and waits for a guest to shut down.
const HA_ACTS: Duration = Duration::from_mins(5);

/// An order, and who gave it.
pub(super) struct Job {
    pub(super) control: Arc<Control>,
    pub(super) acting: Arc<Acting>,
    pub(super) books: Books,
    pub(super) caller: Caller,
    /// The id of the request.
    pub(super) id: String,
    /// `Idempotency-Key`.
    pub(super) key: Option<String>,
    pub(super) vmid: u64,
    pub(super) wish: Wish,
    pub(super) began: Instant,
}

/// What became of one attempt.
enum Attempt {
    Ended(Ending),
    /// The guest is not there any more, and nothing was done.
    Elsewhere(Ending),
}

/// An order that was sent.
struct Course<'a> {
    job: &'a Job,
    writer: &'a Writer,
    subject: Subject,
    intent: Intent,
    sent: Instant,
}

impl Wish {
    /// All that makes an order another one.
    pub(super) fn name(&self, cluster: &str, vmid: u64) -> String {
        let timeout = self.timeout.map_or(String::new(), |timeout| format!(" within {} s", timeout.as_secs()));
        let force = if self.force { " by force" } else { "" };
        format!("{} {cluster}/{vmid}{timeout}{force}", self.action.as_str())
    }
}

impl Job {
    /// Carries it out. Nobody need wait for it.
    pub(super) async fn run(self, under_way: UnderWay) {
        let decided = self.decide(&under_way).await;
        self.end(decided.unwrap_or_else(|error| Ending::failed(error, None, None)), under_way).await;
    }

    /// Finds out what became of one that was begun in another life of this process.
    pub(super) async fn resume(self, record: Record, under_way: UnderWay) {
        let ending = match self.writer() {
            Err(error) => Ending::failed(error, None, None),
            Ok(writer) => {
                let Record { intent, upid, .. } = record;
                let subject = self.subject(&intent.node, kind(&intent.kind), intent.name.clone());
                // What it was like is long ago; how long it ran before is known.
                let course = Course { job: &self, writer, subject, intent, sent: Instant::now() };
                match upid.as_deref().and_then(Upid::parse) {
                    Some(upid) => course.follow(&upid, &under_way).await,
                    None => course.lost("the exporter was stopped in the middle", &under_way).await,
                }
                .ending()
            }
        };
        self.end(ending, under_way).await;
    }

    /// What it would come to.
    pub(super) async fn plan(&self) -> Result<(Guest, Plan), Error> {
        let message = || format!("the token {} does not reach the guest {}", self.caller.name, self.vmid);
        let by_number = self.caller.guests.as_ref().and_then(|guests| guests.by_number(self.vmid));
        if by_number == Some(false) {
            // Before anybody is asked: who may not switch a number learns nothing of it.
            return Err(Error::new(Code::Forbidden, message()));
        }
        let guest = guest::look(&self.acting, self.writer()?, self.vmid).await?;
        if by_number.is_none() && !guest.is_meant(self.caller.guests.as_ref(), &self.acting).await? {
            return Err(Error::new(Code::Forbidden, message()));
        }
        let plan = action::plan(&self.wish, &guest)?;
        Ok((guest, plan))
    }

    pub(super) fn writer(&self) -> Result<&Writer, Error> {
        self.acting.writer.as_ref().ok_or_else(|| disabled(&self.acting.name))
    }

    pub(super) fn subject(&self, node: &str, kind: &'static str, name: Option<String>) -> Subject {
        let (action, cluster, node) = (self.wish.action, self.acting.name.clone(), node.to_owned());
        Subject { action, cluster, vmid: self.vmid, kind, name, node }
    }

    async fn decide(&self, under_way: &UnderWay) -> Result<Ending, Error> {
        let mut last: Option<(String, Ending)> = None;
        loop {
            let (guest, plan) = self.plan().await?;
            if let Some((node, ending)) = last.take_if(|(node, _)| *node == guest.node) {
                tracing::debug!(cluster = self.acting.name, node, vmid = self.vmid, "the guest did not move");
                return Ok(ending);
            }
            let subject = self.subject(&guest.node, guest.kind, guest.name.clone());
            let order = match plan {
                Plan::Already => return Ok(Ending::well(&subject, false, &guest.seen.word, None)),
                Plan::Send(order) => order,
            };
            match (self.attempt(&guest, subject, &order, under_way).await?, &last) {
                // One that moved meanwhile is found again once.
                (Attempt::Elsewhere(ending), None) => last = Some((guest.node, ending)),
                (attempt, _) => return Ok(attempt.ending()),
            }
        }
    }

    async fn attempt(
        &self,
        guest: &Guest,
        subject: Subject,
        order: &Order,
        under_way: &UnderWay,
    ) -> Result<Attempt, Error> {
        let (writer, now) = (self.writer()?, (self.control.now)().as_secs());
        let intent = Intent {
            id: self.id.clone(),
            at: now,
            token: self.caller.name.clone(),
            key: self.key.clone(),
            cluster: self.acting.name.clone(),
            vmid: self.vmid,
            kind: guest.kind.to_owned(),
            node: guest.node.clone(),
            name: guest.name.clone(),
            action: self.wish.action.as_str().to_owned(),
            wish: self.wish.name(&self.acting.name, self.vmid),
            since: guest.seen.at.unwrap_or(now),
            uptime: guest.seen.uptime,
        };
        self.write_down(&intent).await?;
        let course = Course { job: self, writer, subject, intent, sent: Instant::now() };
        Ok(match writer.act(guest.place(), order.verb, &order.fields).await {
            Sent::Taken(text) => match Upid::parse(&text) {
                Some(upid) => course.follow(&upid, under_way).await,
                None => course.lost("the answer names no task", under_way).await,
            },
            Sent::Refused(status, words) => course.refused(status, &words).await,
            Sent::NotSent(why) => course.failed(Error::new(Code::PveUnreachable, why), None),
            Sent::Unknown(why) => course.lost(&why, under_way).await,
        })
    }

    /// Audit and journal, before anything is sent.
    async fn write_down(&self, intent: &Intent) -> Result<(), Error> {
        let mut entry = self.entry("intent", "intended");
        entry.node = Some(intent.node.clone());
        self.books.intend(entry, intent.clone()).await
    }

    /// Tells and writes down how it ended.
    async fn end(self, ending: Ending, under_way: UnderWay) {
        let mut entry = self.entry("decision", ending.outcome);
        (entry.node, entry.upid, entry.message) = (ending.node.clone(), ending.upid.clone(), ending.message.clone());
        self.control.own.control_action(self.wish.action.as_str(), ending.outcome);
        self.books.end(entry, ending.status, &ending.body).await;
        under_way.progress.send_replace(Progress::Ended(ending.status, ending.body));
    }

    /// A line about it as it is now.
    pub(super) fn entry(&self, event: &'static str, outcome: &'static str) -> Entry {
        Entry {
            time: (self.control.now)().as_secs_f64(),
            event,
            request: self.id.clone(),
            token: self.caller.name.clone(),
            client: self.caller.from.map(|from| from.to_string()),
            action: self.wish.action.as_str(),
            cluster: self.acting.name.clone(),
            vmid: self.vmid.to_string(),
            node: None,
            host: None,
            dry_run: false,
            upid: None,
            outcome,
            message: None,
            duration_seconds: self.began.elapsed().as_secs_f64(),
        }
    }
}

impl Attempt {
    fn ending(self) -> Ending {
        match self {
            Self::Ended(ending) | Self::Elsewhere(ending) => ending,
        }
    }
}

impl Course<'_> {
    fn place(&self) -> Place<'_> {
        Place { node: &self.subject.node, kind: self.subject.kind, vmid: self.subject.vmid }
    }

    fn wanted(&self) -> Wanted {
        let goal = self.subject.action.goal(self.subject.kind);
        Wanted { goal, before: self.intent.uptime, since: self.sent }
    }

    fn failed(&self, error: Error, task: Option<&Task>) -> Attempt {
        Attempt::Ended(Ending::failed(error, Some(&self.subject), task))
    }

    async fn observed(&self) -> Result<Seen, String> {
        follow::observe((&self.job.acting, self.writer), self.place()).await
    }

    /// PVE has a task for it.
    async fn follow(&self, upid: &Upid, under_way: &UnderWay) -> Attempt {
        let (books, id, text) = (self.job.books.clone(), self.job.id.clone(), upid.text.clone());
        let written = tokio::task::spawn_blocking(move || books.keep.journal.taken(&id, &text)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, upid = upid.text, "the task of an action cannot be written down");
        }
        under_way.progress.send_replace(Progress::Asked(self.subject.asked(upid)));
        let task = match follow::task(self.writer, upid).await {
            Exit::Ended(task) => task,
            Exit::Unknown(why) => {
                let task = Task { upid: upid.clone(), exit: None, log: Vec::new() };
                return self.failed(Error::new(Code::OutcomeUnknown, why), Some(&task));
            }
        };
        let words = task.exit.clone().unwrap_or_default();
        if follow::is_well(&words) {
            return self.settled(&task).await;
        }
        if ending::is_elsewhere(&words) {
            let error = Error::new(Code::NotFound, format!("Proxmox VE says: {words}"));
            return Attempt::Elsewhere(Ending::failed(error, Some(&self.subject), Some(&task)));
        }
        match self.already(&words).await {
            Some(seen) => Attempt::Ended(Ending::well(&self.subject, false, &seen.word, Some(&task))),
            None => self.failed(ending::refusal(&words, Code::TaskFailed), Some(&task)),
        }
    }

    /// The task ended well; whether the guest is as wanted is another question.
    async fn settled(&self, task: &Task) -> Attempt {
        let patience = match self.wanted().goal {
            _ if task.upid.is_of_ha() => HA_ACTS,
            action::Goal::Again => REBOOTS,
            _ => SETTLES,
        };
        match follow::state((&self.job.acting, self.writer), self.place(), self.wanted(), patience).await {
            Ok(seen) => Attempt::Ended(Ending::well(&self.subject, true, &seen.word, Some(task))),
            Err(last) => {
                let waited = patience.as_secs();
                let message = format!("the task ended well, but {waited} s later the guest was not as wanted: {last}");
                self.failed(Error::new(Code::OutcomeUnknown, message), Some(task))
            }
        }
    }

    /// The guest as it is, where PVE refused because it is so already.
    async fn already(&self, words: &str) -> Option<Seen> {
        let is_already = ending::is_already(words, self.wanted().goal);
        let seen = if is_already { self.observed().await.ok() } else { None };
        seen.filter(|seen| self.is_met(seen))
    }

    fn is_met(&self, seen: &Seen) -> bool {
        let Wanted { goal, before, since } = self.wanted();
        goal.is_met(seen, before, since.elapsed())
    }

    async fn refused(&self, status: u16, words: &str) -> Attempt {
        if ending::is_elsewhere(words) {
            let error = Error::new(Code::NotFound, format!("Proxmox VE says: {words}"));
            return Attempt::Elsewhere(Ending::failed(error, Some(&self.subject), None));
        }
        if status == 595 {
            let message = format!("the node {} could not be reached: {words}", self.subject.node);
            return self.failed(Error::new(Code::PveUnreachable, message), None);
        }
        if let Some(seen) = self.already(words).await {
            return Attempt::Ended(Ending::well(&self.subject, false, &seen.word, None));
        }
        self.failed(ending::refusal(words, Code::PveRefused), None)
    }

    /// It may have been carried out, or not.
    async fn lost(&self, why: &str, under_way: &UnderWay) -> Attempt {
        let keep = &self.job.books.keep;
        let found = match follow::search(self.writer, &keep.journal, &self.intent, self.subject.action).await {
            Ok(Some(upid)) => {
                tracing::warn!(
                    cluster = self.subject.cluster,
                    upid = upid.text,
                    why,
                    "found the task of a lost answer"
                );
                return Box::pin(self.follow(&upid, under_way)).await;
            }
            Ok(None) => format!("no task of it was found on {}", self.subject.node),
            Err(error) => format!("its task could not be looked for: {error}"),
        };
        let state = match self.observed().await {
            Ok(seen) => format!("the guest is {}", seen.word),
            Err(error) => error,
        };
        let message = format!("{why}; {found}, and {state}; it was not sent again");
        self.failed(Error::new(Code::OutcomeUnknown, message), None)
    }
}

/// Said where there is no acting credential.
pub(super) fn disabled(cluster: &str) -> Error {
    let message = format!("nothing is switched in {cluster}: its [[clusters]] has no control, the acting credential");
    Error::new(Code::ControlDisabled, message)
}

/// As paths have it.
fn kind(text: &str) -> &'static str {
    if text == "lxc" { "lxc" } else { "qemu" }
}
