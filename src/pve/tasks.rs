//! `GET /cluster/tasks`, `GET /nodes/{node}/tasks` and `GET /nodes/{node}/tasks/{upid}/log`: what workers did and do.
//!
//! Without `Sys.Audit` on a node, a token sees only its own tasks there.

use std::borrow::Cow;

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number, Text};

/// The longest line of a log that is kept, in characters.
const LONGEST_LINE: usize = 500;

/// A task as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TaskEntry<'a> {
    /// `UPID:node:pid:pstart:starttime:type:id:user:`, the numbers in hexadecimal; unique for ever.
    #[serde(borrow)]
    pub upid: Text<'a>,
    /// The node it runs on.
    #[serde(borrow)]
    pub node: Text<'a>,
    /// Such as `vzdump` or `qmstart`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// What it is about, mostly a guest's number; often empty.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// Who began it, without the token's name.
    #[serde(borrow)]
    pub user: Text<'a>,
    /// When it began, in seconds since 1970.
    pub starttime: Number,
    /// When it ended, in seconds since 1970; absent while it runs.
    pub endtime: Number,
    /// `OK`, `WARNINGS: n` or the text of its error; absent or `RUNNING` while it runs.
    #[serde(borrow)]
    pub status: Text<'a>,
}

impl TaskEntry<'_> {
    /// Whether it has not ended.
    pub fn runs(&self) -> bool {
        self.endtime.0.is_none() && matches!(self.status.filled(), None | Some("RUNNING"))
    }
}

/// The tasks of `/cluster/tasks`, up to 25 of a node or all that run, or a page of a node's archive. Entries without a
/// UPID are passed over; if all are so, the answer is malformed.
pub fn tasks(answer: &Answer) -> Result<Vec<TaskEntry<'_>>, Error> {
    let list: List<TaskEntry<'_>> = answer.data()?;
    shaped(answer, list, "a UPID", |task| task.upid.filled().is_some())
}

/// The lines of a log in their order, each cut to 500 characters.
pub fn task_log(answer: &Answer) -> Result<Vec<String>, Error> {
    let cut = |line: &Cow<'_, str>| line.chars().take(LONGEST_LINE).collect();
    Ok(whole_task_log(answer)?.iter().map(cut).collect())
}

/// The lines of a log in their order, as long as they are.
pub fn whole_task_log(answer: &Answer) -> Result<Vec<Cow<'_, str>>, Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Line<'a> {
        n: Number,
        #[serde(borrow)]
        t: Text<'a>,
    }
    let list: List<Line<'_>> = answer.data()?;
    let mut lines = shaped(answer, list, "a number and a text", |line| line.n.whole().is_some() && line.t.0.is_some())?;
    lines.sort_by_key(|line| line.n.whole());
    Ok(lines.into_iter().filter_map(|line| line.t.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_task_has_no_end() {
        let answer = Answer::of(
            r#"{"data":[{"upid":"UPID:a:1:2:3:vzdump::root@pam:","node":"a","type":"vzdump","id":"","starttime":"3",
                "saved":"0"},{"upid":"UPID:a:1:2:4:qmstop:100:root@pam:","endtime":9,"status":"OK","id":100},{}]}"#,
        );
        let tasks = tasks(&answer).expect("tasks");
        assert_eq!(tasks.len(), 2);
        assert_eq!((tasks[0].endtime, tasks[0].starttime), (Number(None), Number(Some(3.0))));
        assert_eq!((tasks[1].endtime, tasks[1].id.filled()), (Number(Some(9.0)), Some("100")));
    }

    #[test]
    fn lines_are_ordered_and_cut() {
        let long = "é".repeat(600);
        let answer = Answer::of(&format!(r#"{{"data":[{{"n":2,"t":"{long}"}},{{"n":"1","t":""}}]}}"#));
        let lines = task_log(&answer).expect("lines");
        assert_eq!(lines, [String::new(), "é".repeat(500)]);
        assert_eq!(whole_task_log(&answer).expect("lines"), ["", &*long]);
    }

    #[test]
    fn lists_of_something_else_are_malformed() {
        assert!(tasks(&Answer::of(r#"{"data":[{"id":"x"}]}"#)).is_err());
        assert!(task_log(&Answer::of(r#"{"data":[1]}"#)).is_err());
        assert!(tasks(&Answer::of(r#"{"data":[]}"#)).expect("an empty list").is_empty());
    }
}
