//! What is told while an order is waited for: one line that changes on a terminal, else lines of the tasks' logs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::address::{encoded, target};
use super::client::Client;
use super::guests::Guest;
use crate::setup::plain;

/// The line that changes is cut to this, in characters.
const WIDTH: usize = 79;
/// How often it changes.
const TICK: Duration = Duration::from_secs(1);
/// The longest pause between two looks at a task, in ticks.
const LONGEST_PAUSE: u32 = 5;

/// Shared by all orders that are waited for.
pub(super) struct Progress {
    terminal: bool,
    began: Instant,
    /// What is waited for, with the last words of its log.
    waiting: RefCell<BTreeMap<String, String>>,
}

/// An order that is waited for, until it is dropped.
struct Waiting<'a> {
    progress: &'a Progress,
    who: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { terminal: stderr().is_terminal(), began: Instant::now(), waiting: RefCell::default() }
    }

    /// Whether lines of logs were shown as they came.
    pub(super) fn tells_lines(&self) -> bool {
        !self.terminal
    }

    /// Tells of the tasks of a guest, for as long as it is awaited; without the right to read them, of the time only.
    pub(super) async fn follow(&self, client: &Client, guest: &Guest, seen: &RefCell<Vec<String>>) {
        let waiting = Waiting::new(self, guest.shown());
        let (mut upid, mut pause, mut left, mut may) = (None, 1, 1, true);
        loop {
            sleep(TICK).await;
            left -= 1;
            if may && left == 0 {
                may = self.look(client, guest, (&mut upid, seen), &waiting.who).await;
                pause = LONGEST_PAUSE.min(pause + 1);
                left = pause;
            }
            self.redraw();
        }
    }

    /// One look at the task, or for one; false where that may not be read.
    async fn look(
        &self,
        client: &Client,
        guest: &Guest,
        (upid, seen): (&mut Option<String>, &RefCell<Vec<String>>),
        who: &str,
    ) -> bool {
        let vmid = guest.vmid.to_string();
        let asked = match upid {
            Some(upid) => format!("/api/v1/tasks/{}/{}", encoded(&guest.cluster), encoded(upid)),
            None => target("/api/v1/tasks", &[("cluster", &guest.cluster), ("guest", &vmid), ("running", "true")]),
        };
        let Ok(answer) = client.get(&asked).await else { return true };
        if matches!(answer.status, 401 | 403 | 404) && upid.is_none() {
            return false;
        }
        if upid.is_none() {
            *upid = answer.json["tasks"][0]["upid"].as_str().map(str::to_owned);
            return true;
        }
        let log = answer.json["task"]["log"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lines: Vec<String> = log.iter().filter_map(|line| line.as_str().map(str::to_owned)).collect();
        self.told(who, &lines, seen);
        true
    }

    /// Shows what is new of a log.
    pub(super) fn told(&self, who: &str, log: &[String], seen: &RefCell<Vec<String>>) {
        for line in new_lines(&seen.borrow(), log) {
            if !self.terminal {
                let _ = writeln!(stderr(), "{}: {}", plain(who), plain(line));
            }
        }
        if let (Some(last), Some(words)) = (log.last(), self.waiting.borrow_mut().get_mut(who)) {
            last.clone_into(words);
        }
        if !log.is_empty() {
            *seen.borrow_mut() = log.to_vec();
        }
    }

    fn redraw(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\u{1b}[K{}", self.line());
            let _ = stderr().flush();
        }
    }

    fn line(&self) -> String {
        let waiting = self.waiting.borrow();
        let each = |(who, words): (&String, &String)| {
            if words.is_empty() { plain(who) } else { format!("{}: {}", plain(who), plain(words)) }
        };
        let all: Vec<String> = waiting.iter().map(each).collect();
        if all.is_empty() {
            return String::new();
        }
        format!("{} s, waiting for {}", self.began.elapsed().as_secs(), all.join(", ")).chars().take(WIDTH).collect()
    }
}

impl<'a> Waiting<'a> {
    fn new(progress: &'a Progress, who: String) -> Self {
        progress.waiting.borrow_mut().insert(who.clone(), String::new());
        Self { progress, who }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.progress.waiting.borrow_mut().remove(&self.who);
        self.progress.redraw();
    }
}

/// What comes after the end of `seen`, of a log of which only the end is told.
fn new_lines<'a>(seen: &[String], log: &'a [String]) -> &'a [String] {
    let longest = seen.len().min(log.len());
    let overlaps = |count: &usize| seen.get(seen.len() - count..) == log.get(..*count);
    let known = (0..=longest).rev().find(overlaps).unwrap_or(0);
    log.get(known..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn each_line_of_a_log_is_told_once() {
        for (seen, log, new) in [
            ("", "ab", "ab"),
            ("ab", "ab", ""),
            ("ab", "abc", "c"),
            ("abc", "bcd", "d"),
            ("abc", "xyz", "xyz"),
            ("aa", "aaa", "a"),
            ("ab", "", ""),
        ] {
            assert_eq!(new_lines(&lines(seen), &lines(log)).concat(), new, "{seen} {log}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_says_what_is_waited_for_and_never_more_than_fits() {
        let progress = Progress { terminal: true, began: Instant::now(), waiting: RefCell::default() };
        assert_eq!(progress.line(), "");
        let waiting = Waiting::new(&progress, "web01 (home/100)".to_owned());
        let other = Waiting::new(&progress, "x\u{1b}[2J".repeat(40));
        tokio::time::advance(Duration::from_secs(12)).await;
        progress.told("web01 (home/100)", &lines("ab"), &RefCell::default());
        let line = progress.line();
        assert!(
            line.starts_with("12 s, waiting for web01 (home/100): b, x\u{fffd}[2J") && line.chars().count() == WIDTH,
            "{line}"
        );
        drop((waiting, other));
        assert_eq!(progress.line(), "");
    }

    proptest! {
        #[test]
        fn what_is_new_ends_the_log(seen in "[ab]{0,9}", log in "[ab]{0,9}") {
            let (seen, log) = (lines(&seen), lines(&log));
            prop_assert!(log.ends_with(new_lines(&seen, &log)));
        }
    }
}
