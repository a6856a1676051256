//! `pve-sentinel events tail`: what happens in the clusters, in a terminal, as it is found.

use std::future::pending;
use std::io::{IsTerminal, stdout};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::ctl::{Answer, Client, Failure, Reach, json, target, to_its_end};
use super::{complain, deliver_more};
use crate::app::Interrupts;
use crate::setup::plain;

/// Between two looks; the clusters themselves are looked at every ten seconds or so.
const PAUSE: Duration = Duration::from_secs(1);

/// No event has this number yet: what follows it is what comes.
const NOW: u64 = u64::MAX;

#[derive(Args)]
pub(super) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print events as they are found, until Ctrl-C.
    ///
    /// Needs a token of [control] with the scope read. Prints lines on a terminal and JSON elsewhere, and goes on when
    /// pve-sentinel is restarted meanwhile. Exit code 0: ended by Ctrl-C, or because nobody reads it any more; 1: refused or
    /// not there; 2: wrong usage, or no token.
    Tail(Tail),
}

#[derive(Args)]
struct Tail {
    #[command(flatten)]
    reach: Reach,
    /// First, print what was found after the event of this number, 0 for all that are kept; without it, only what comes.
    #[arg(long, value_name = "NUMBER")]
    since: Option<u64>,
    /// Only events of this cluster, by its configured name; may be given several times.
    #[arg(long, value_name = "NAME")]
    cluster: Vec<String>,
    /// Print each event as a line of JSON, as is done where the output is no terminal.
    #[arg(long, conflicts_with = "text", help_heading = "Output")]
    json: bool,
    /// Print each event as a line for people, as is done on a terminal.
    #[arg(long, help_heading = "Output")]
    text: bool,
}

/// Some events, in the order in which they were found.
#[derive(Debug, PartialEq)]
struct Page {
    events: Vec<Value>,
    /// The number to go on from.
    next: u64,
}

/// Why there is no page.
enum Gap {
    /// It may be there again soon.
    Passing(String),
    /// It will not.
    Lasting(Failure),
}

pub(super) fn run(options: &Options) -> ExitCode {
    let Verb::Tail(asked) = &options.verb;
    to_its_end(tail(asked))
}

async fn tail(asked: &Tail) -> Result<(), Failure> {
    let client = asked.reach.client()?;
    let mut interrupts = Interrupts::new().map_err(Failure::Runtime)?;
    tokio::select! {
        ended = follow(&client, asked) => ended,
        () = interrupts.next() => Ok(()),
        () = closed() => Ok(()),
    }
}

/// Prints what is found, until nobody reads it.
async fn follow(client: &Client, asked: &Tail) -> Result<(), Failure> {
    let text = asked.text || (!asked.json && stdout().is_terminal());
    let (mut since, mut answered, mut told) = (asked.since.unwrap_or(NOW), false, false);
    loop {
        match look(client, since, &asked.cluster).await {
            Ok(page) => {
                let lines = page.events.iter().map(|event| if text { line(event) } else { json(event) }).collect();
                if !write(lines).await? {
                    return Ok(());
                }
                // A journal that is smaller than it was is another one, of which nothing was told.
                let is_other = answered && page.next < since;
                since = if is_other { 0 } else { page.next };
                (answered, told) = (true, false);
                if is_other || !page.events.is_empty() {
                    continue;
                }
            }
            Err(Gap::Passing(why)) if answered => {
                if !told {
                    complain(&format!("{}; it is asked again until it answers", plain(&why)));
                }
                told = true;
            }
            Err(Gap::Passing(why)) => return Err(Failure::Runtime(why)),
            Err(Gap::Lasting(failure)) => return Err(failure),
        }
        sleep(PAUSE).await;
    }
}

async fn look(client: &Client, since: u64, clusters: &[String]) -> Result<Page, Gap> {
    let since = since.to_string();
    let mut query = vec![("since", since.as_str())];
    query.extend(clusters.iter().map(|cluster| ("cluster", cluster.as_str())));
    match client.get(&target("/api/v1/events", &query)).await {
        Ok(answer) => page(&answer),
        Err(Failure::Runtime(why)) => Err(Gap::Passing(why)),
        Err(failure) => Err(Gap::Lasting(failure)),
    }
}

fn page(answer: &Answer) -> Result<Page, Gap> {
    if let Some((code, message)) = answer.error() {
        let why = format!("{code}: {message}");
        return Err(match answer.status {
            404 => Gap::Lasting(Failure::Runtime(format!("{why}; are there [events] in its configuration?"))),
            429 | 500.. => Gap::Passing(why),
            _ => Gap::Lasting(Failure::Runtime(why)),
        });
    }
    match (answer.json["events"].as_array(), answer.json["next"].as_u64()) {
        (Some(events), Some(next)) => Ok(Page { events: events.clone(), next }),
        _ => Err(Gap::Passing("expected events and next in the answer, found something else".to_owned())),
    }
}

/// Says whether it was read. Not on this thread: a pipe that is full is waited for, and Ctrl-C is not to wait.
async fn write(lines: String) -> Result<bool, Failure> {
    let written = spawn_blocking(move || deliver_more(&lines)).await;
    written.map_err(|error| Failure::Runtime(error.to_string()))?.map_err(Failure::Runtime)
}

/// Ends when nobody can read any more what is printed; never where that cannot be known, as with a file.
async fn closed() {
    let another = stdout().as_fd().try_clone_to_owned();
    match another.and_then(|stdout| Sender::from_file_unchecked(stdout.into())) {
        Ok(stdout) => drop(stdout.ready(Interest::ERROR).await),
        Err(_) => pending().await,
    }
}

/// An event for people: when it happened, how urgent it is, what, where, and in words.
fn line(event: &Value) -> String {
    let text = |key: &str| {
        let text = plain(event[key].as_str().unwrap_or_default());
        if text.is_empty() { "-".to_owned() } else { text }
    };
    let is_over = event["state"] == "ended";
    let at = text(if is_over { "ended_at" } else { "started_at" });
    let (severity, name, cluster, id) = (text("severity"), text("alertname"), text("cluster"), text("id"));
    let over = if is_over { "over: " } else { "" };
    format!("{at}  {severity:<8}  {name:<29}  {cluster}  {id}  {over}{}\n", text("summary"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line() {
        let mut event = json!({
            "started_at": "2026-01-31T07:05:00Z", "ended_at": null, "severity": "warning", "alertname": "PVETaskFailed",
            "cluster": "home", "id": "qemu/100", "state": "occurred", "summary": "Starting web\u{1b}[2J\nfailed",
        });
        let expected = "2026-01-31T07:05:00Z  warning   PVETaskFailed                  home  qemu/100  Starting \
                        web\u{fffd}[2J\u{fffd}failed\n";
        assert_eq!(line(&event), expected);
        event["state"] = json!("ended");
        event["ended_at"] = json!("2026-01-31T08:00:00Z");
        event["cluster"] = json!("");
        let ended = line(&event);
        assert!(ended.starts_with("2026-01-31T08:00:00Z  ") && ended.contains("  -  qemu/100  over: "), "{ended}");
    }

    #[test]
    fn what_may_pass_is_waited_for_and_what_lasts_ends_it() {
        let refused = |status| page(&Answer { status, json: json!({"error": {"code": "x", "message": "no"}}) });
        for status in [429, 500, 503] {
            assert!(matches!(refused(status), Err(Gap::Passing(why)) if why == "x: no"), "{status}");
        }
        for status in [400, 401, 403] {
            assert!(matches!(refused(status), Err(Gap::Lasting(Failure::Runtime(why))) if why == "x: no"), "{status}");
        }
        assert!(matches!(refused(404), Err(Gap::Lasting(Failure::Runtime(why))) if why.contains("[events]")));
        let of = |json| page(&Answer { status: 200, json });
        assert!(matches!(of(json!({"events": [{}], "next": 3})), Ok(Page { events, next: 3 }) if events.len() == 1));
        assert!(matches!(of(json!({"events": []})), Err(Gap::Passing(_))));
    }

    proptest! {
        #[test]
        fn whatever_happens_is_one_line(summary: String, name: String, number: i64) {
            let event = json!({"summary": summary, "alertname": name, "id": number});
            let text = line(&event);
            prop_assert!(text.ends_with('\n') && !text.trim_end_matches('\n').contains(char::is_control));
            prop_assert_eq!(text.lines().count(), 1);
        }
    }
}
