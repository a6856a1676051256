//! What is told of a batch: each guest with how far it has come (pure).

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::super::batches::Choice;
use super::super::keep::Progress;
use crate::api::{Code, Error};

/// So many guests are named in the sentence of an error.
const NAMED: usize = 5;

/// The results so far.
pub(super) struct Board {
    head: Map<String, Value>,
    results: Mutex<Vec<Row>>,
}

/// How far one guest has come.
#[derive(Debug, Clone)]
struct Row {
    cluster: String,
    vmid: u64,
    /// From 1 on.
    stage: usize,
    outcome: String,
    /// The status of the answer, at the end.
    status: Option<u16>,
    /// What its action alone would be answered with.
    answer: Value,
}

impl Board {
    /// Nothing was asked of anybody yet.
    pub(super) fn new(action: &str, dry_run: bool, choice: &Choice) -> Self {
        let head = json!({
            "action": action, "dry_run": dry_run, "selected": choice.guests().count(), "refused": choice.refused,
            "unknown": choice.unknown, "pauses_seconds": choice.stages.iter().map(|stage| stage.pause).collect::<Vec<_>>(),
        });
        let rows = choice.stages.iter().enumerate().flat_map(|(stage, of)| {
            of.guests.iter().map(move |chosen| Row {
                cluster: chosen.cluster.clone(),
                vmid: chosen.vmid,
                stage: stage.saturating_add(1),
                outcome: "pending".to_owned(),
                status: None,
                answer: Value::Null,
            })
        });
        Self { head: head.as_object().cloned().unwrap_or_default(), results: Mutex::new(rows.collect()) }
    }

    /// Writes down how far one has come, and tells those who wait.
    pub(super) fn put(&self, index: usize, progress: &Progress, watchers: Option<&watch::Sender<Progress>>) {
        let told = match progress {
            Progress::Deciding => return,
            Progress::Asked(body) => ("asked".to_owned(), None, body),
            Progress::Ended(status, body) => (outcome(body), Some(*status), body),
        };
        let body = {
            let mut rows = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(row) = rows.get_mut(index) else { return };
            let (outcome, status, answer) = told;
            (row.outcome, row.status, row.answer) = (outcome, status, without_log(answer));
            watchers.map(|watchers| (watchers, self.body(&rows)))
        };
        if let Some((watchers, body)) = body {
            watchers.send_replace(Progress::Asked(body));
        }
    }

    /// All of it as it is now.
    pub(super) fn now(&self) -> Value {
        self.body(&self.results.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Status and body at the end: an error where some are not as asked for. With the outcome.
    pub(super) fn end(&self) -> (u16, Value, Result<(), Error>) {
        let rows = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = self.body(&rows);
        let failed: Vec<&Row> = rows.iter().filter(|row| row.has_failed()).collect();
        if failed.is_empty() {
            return (200, body, Ok(()));
        }
        let named = |row: &&Row| format!("{}/{} ({})", row.cluster, row.vmid, row.outcome);
        let mut names: Vec<String> = failed.iter().take(NAMED).map(named).collect();
        if failed.len() > NAMED {
            names.push("others".to_owned());
        }
        let (few, all) = (failed.len(), rows.len());
        let message = format!("{few} of {all} guests are not as asked for: {}", names.join(", "));
        let error = Error::new(Code::PartlyFailed, message);
        body["error"] = json!({"code": error.code.as_str(), "message": error.message});
        (error.code.status().as_u16(), body, Err(error))
    }

    fn body(&self, rows: &[Row]) -> Value {
        let mut body = self.head.clone();
        let count = |is: fn(&Row) -> bool| Value::from(rows.iter().filter(|row| is(row)).count());
        body.insert("ended".to_owned(), count(|row| row.status.is_some()));
        body.insert("failed".to_owned(), count(Row::has_failed));
        body.insert("results".to_owned(), rows.iter().map(Row::json).collect());
        Value::Object(body)
    }
}

impl Row {
    fn has_failed(&self) -> bool {
        self.status.is_some_and(|status| status >= 400)
    }

    fn json(&self) -> Value {
        let Self { cluster, vmid, stage, outcome, status, answer } = self;
        json!({"cluster": cluster, "vmid": vmid, "stage": stage, "outcome": outcome, "status": status, "answer": answer})
    }
}

/// In a word: `done`, `unchanged`, `dry_run`, or the code of an error.
fn outcome(body: &Value) -> String {
    if let Some(code) = body.pointer("/error/code").and_then(Value::as_str) {
        return code.to_owned();
    }
    let is = |key: &str| body.get(key) == Some(&Value::Bool(true));
    let word = if is("dry_run") {
        "dry_run"
    } else if is("changed") {
        "done"
    } else {
        "unchanged"
    };
    word.to_owned()
}

/// The logs of a hundred tasks are told elsewhere.
fn without_log(answer: &Value) -> Value {
    let mut answer = answer.clone();
    answer.get_mut("task").and_then(Value::as_object_mut).map(|task| task.remove("log"));
    answer
}

#[cfg(test)]
mod tests {
    use super::super::super::batches::{Chosen, Stage};
    use super::*;

    fn board() -> Board {
        let chosen = |vmid| Chosen { cluster: "home".to_owned(), vmid, timeout: None };
        let first = Stage { guests: vec![chosen(1), chosen(2)], pause: 5 };
        let second = Stage { guests: vec![chosen(3)], pause: 0 };
        Board::new("stop", false, &Choice { stages: vec![first, second], refused: 2, unknown: vec![9] })
    }

    #[test]
    fn each_guest_is_told_and_failures_are_an_error() {
        let board = board();
        let (watchers, seen) = watch::channel(Progress::Deciding);
        let before = board.now();
        assert_eq!((&before["selected"], &before["refused"], &before["unknown"]), (&json!(3), &json!(2), &json!([9])));
        assert_eq!((&before["ended"], &before["results"][2]["outcome"]), (&json!(0), &json!("pending")));
        assert_eq!((&before["results"][2]["stage"], &before["pauses_seconds"]), (&json!(2), &json!([5, 0])));
        let asked = json!({"action": "stop", "task": {"upid": "x", "log": ["y"]}});
        board.put(0, &Progress::Asked(asked), Some(&watchers));
        let Progress::Asked(told) = seen.borrow().clone() else { panic!("it is told") };
        assert_eq!((&told["results"][0]["outcome"], &told["results"][0]["status"]), (&json!("asked"), &Value::Null));
        assert_eq!(told["results"][0]["answer"]["task"], json!({"upid": "x"}));
        board.put(0, &Progress::Ended(200, json!({"changed": true})), None);
        board.put(1, &Progress::Ended(200, json!({"changed": false})), None);
        board.put(7, &Progress::Ended(200, json!({})), None);
        assert_eq!(board.end().0, 200);
        board.put(2, &Progress::Ended(409, json!({"error": {"code": "locked", "message": "no"}})), None);
        let (status, body, ended) = board.end();
        let words: Vec<&Value> = (0..3).map(|at| &body["results"][at]["outcome"]).collect();
        assert_eq!((status, words), (502, vec![&json!("done"), &json!("unchanged"), &json!("locked")]));
        assert_eq!(
            (&body["ended"], &body["failed"], &body["error"]["code"]),
            (&json!(3), &json!(1), &json!("partly_failed"))
        );
        assert_eq!(ended.unwrap_err().message, "1 of 3 guests are not as asked for: home/3 (locked)");
    }
}
