//! Tasks and states, until they are what they become; and tasks whose answer was lost.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::Acting;
use super::action::{Action, Goal};
use super::ending::Task;
use super::guest::{self, Seen};
use super::journal::{Intent, Journal};
use super::upid::Upid;
use crate::pve::wire::{List, Object, Text};
use crate::pve::{self, Answer, Place, Writer};

/// A task is waited for no longer.
const LONGEST: Duration = Duration::from_mins(75);
/// So long a task may not be readable.
const UNREADABLE: Duration = Duration::from_secs(60);
/// So long a lost answer's task is looked for.
const SEARCH: Duration = Duration::from_secs(6);
/// Clocks of nodes may differ by this, in seconds.
const SKEW: u64 = 5;
/// Lines of a task's log that are told.
const LINES: usize = 20;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// With these words.
    Ended(Task),
    /// It cannot be read any more, or does not end.
    Unknown(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    exitstatus: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow)]
    t: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed<'a> {
    #[serde(borrow)]
    upid: Text<'a>,
}

/// Shorter at first, as most things are done at once.
struct Pauses(Duration);

impl Pauses {
    fn new() -> Self {
        Self(Duration::from_millis(100))
    }

    async fn pause(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 3 / 2).min(Duration::from_secs(2));
    }
}

/// Waits for the end of a task.
pub(super) async fn task(writer: &Writer, upid: &Upid) -> Exit {
    let (began, mut pauses, mut last_read) = (Instant::now(), Pauses::new(), Instant::now());
    loop {
        let told = writer.task_status(&upid.node, &upid.text).await;
        match told.and_then(|answer| exit(&answer)) {
            Ok(Some(words)) => {
                let log = writer.task_log(&upid.node, &upid.text).await.map(|answer| log(&answer)).unwrap_or_default();
                return Exit::Ended(Task { upid: upid.clone(), exit: Some(words), log });
            }
            Ok(None) => last_read = Instant::now(),
            Err(error) if last_read.elapsed() > UNREADABLE => return Exit::Unknown(error.to_string()),
            Err(error) => tracing::debug!(cluster = upid.node, %error, "a task could not be read, it is tried again"),
        }
        if began.elapsed() > LONGEST {
            return Exit::Unknown(format!("the task still runs after {} min", LONGEST.as_secs() / 60));
        }
        pauses.pause().await;
    }
}

/// With which words a task ended; `None`: it runs.
pub(super) fn exit(answer: &Answer) -> Result<Option<String>, pve::Error> {
    let Object(status): Object<Status<'_>> = answer.data()?;
    match status.status.filled() {
        Some("running") => Ok(None),
        Some("stopped") => Ok(Some(status.exitstatus.filled().unwrap_or("unexpected status").to_owned())),
        _ => Err(answer.malformed("expected a task that is running or stopped".to_owned())),
    }
}

/// The last lines of a task's log; none where they cannot be read.
pub(super) fn log(answer: &Answer) -> Vec<String> {
    let Ok(List { items, .. }) = answer.data::<List<Line<'_>>>() else { return Vec::new() };
    let cut = |line: &str| -> String { line.chars().filter(|c| !c.is_control()).take(500).collect() };
    let lines: Vec<String> = items.iter().filter_map(|line| line.t.filled().map(cut)).collect();
    let first = lines.len().saturating_sub(LINES);
    lines.into_iter().skip(first).collect()
}

/// Whether a task ended well; warnings are no failure.
pub(super) fn is_well(words: &str) -> bool {
    words == "OK" || words.starts_with("WARNINGS: ")
}

/// What a guest is to become, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) goal: Goal,
    /// How long it ran before, in seconds.
    pub(super) before: u64,
    pub(super) since: Instant,
}

/// Waits until a guest is as wanted. What was seen last, where it does not become so.
pub(super) async fn state(
    (acting, writer): (&Acting, &Writer),
    place: Place<'_>,
    wanted: Wanted,
    patience: Duration,
) -> Result<Seen, String> {
    let (deadline, mut pauses) = (Instant::now() + patience, Pauses::new());
    loop {
        let last = match observe((acting, writer), place).await {
            Ok(seen) if wanted.goal.is_met(&seen, wanted.before, wanted.since.elapsed()) => return Ok(seen),
            Ok(seen) => format!("the guest is {}", seen.word),
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            return Err(last);
        }
        pauses.pause().await;
    }
}

/// What a guest does now, wherever it is.
pub(super) async fn observe((acting, writer): (&Acting, &Writer), place: Place<'_>) -> Result<Seen, String> {
    match guest::current(writer, place).await {
        Ok(seen) => Ok(seen),
        Err(error) if matches!(error.reason, pve::Reason::NotFoundHere(_)) => {
            let found = guest::look(acting, writer, place.vmid).await;
            found.map(|guest| guest.seen).map_err(|error| error.message)
        }
        Err(error) => Err(format!("its state is not known: {error}")),
    }
}

/// Looks for the task of an order whose answer was lost.
pub(super) async fn search(
    writer: &Writer,
    journal: &Journal,
    intent: &Intent,
    action: Action,
) -> Result<Option<Upid>, String> {
    let (deadline, mut pauses) = (Instant::now() + SEARCH, Pauses::new());
    let kind = if intent.kind == "lxc" { "lxc" } else { "qemu" };
    let place = Place { node: &intent.node, kind, vmid: intent.vmid };
    let since = intent.since.saturating_sub(SKEW);
    loop {
        let found = writer.tasks(place, since).await.and_then(|answer| {
            let List { items, .. } = answer.data::<List<Listed<'_>>>()?;
            let tasks = items.iter().filter_map(|entry| Upid::parse(entry.upid.filled()?));
            let mut ours = tasks.filter(|upid| {
                upid.user == writer.identity()
                    && upid.id == intent.vmid.to_string()
                    && upid.begun >= since
                    && action.tasks().contains(&upid.kind.as_str())
                    && !journal.is_of_another(&upid.text, &intent.id)
            });
            Ok(ours.next())
        });
        match found {
            Ok(Some(upid)) => return Ok(Some(upid)),
            Ok(None) if Instant::now() >= deadline => return Ok(None),
            Err(error) if Instant::now() >= deadline => return Err(error.to_string()),
            _ => pauses.pause().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_tell_how_they_ended() {
        let of = |body: &str| exit(&Answer::of(body));
        assert_eq!(of(r#"{"data":{"status":"running"}}"#), Ok(None));
        assert_eq!(of(r#"{"data":{"status":"stopped","exitstatus":"OK"}}"#), Ok(Some("OK".to_owned())));
        assert_eq!(of(r#"{"data":{"status":"stopped"}}"#), Ok(Some("unexpected status".to_owned())));
        assert!(of(r#"{"data":{}}"#).is_err() && of(r#"{"data":[]}"#).is_err());
        assert!(is_well("OK") && is_well("WARNINGS: 2") && !is_well("OK no") && !is_well("VM 101 already running"));
    }

    #[test]
    fn the_end_of_a_log_is_told() {
        let lines: Vec<String> = (0..30).map(|n| format!(r#"{{"n":{n},"t":"line {n}\u0007"}}"#)).collect();
        let told = log(&Answer::of(&format!(r#"{{"data":[{}],"total":30}}"#, lines.join(","))));
        assert_eq!((told.len(), told[0].as_str(), told[19].as_str()), (20, "line 10", "line 29"));
        assert!(log(&Answer::of(r#"{"data":null}"#)).is_empty());
    }
}
