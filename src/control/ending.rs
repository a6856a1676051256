//! How an order ends: what is answered, and in which word it is counted and written down (pure).

use serde_json::{Value, json};

use super::action::{Action, Goal};
use super::upid::Upid;
use crate::api::{Code, Error};

/// The end of an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ending {
    pub(super) status: u16,
    pub(super) body: Value,
    /// `done`, `unchanged`, `dry_run`, or the code of an error.
    pub(super) outcome: &'static str,
    /// The sentence of an error.
    pub(super) message: Option<String>,
    pub(super) node: Option<String>,
    pub(super) upid: Option<String>,
}

/// What every answer says of its guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) action: Action,
    pub(super) cluster: String,
    pub(super) vmid: u64,
    pub(super) kind: &'static str,
    pub(super) name: Option<String>,
    pub(super) node: String,
}

/// A task that has ended, or runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) upid: Upid,
    /// `None`: it runs.
    pub(super) exit: Option<String>,
    pub(super) log: Vec<String>,
}

impl Ending {
    /// The guest is as it was asked for, by this or before.
    pub(super) fn well(subject: &Subject, changed: bool, state: &str, task: Option<&Task>) -> Self {
        let mut body = subject.json();
        body["changed"] = changed.into();
        body["status"] = state.into();
        subject.put(&mut body, task);
        let outcome = if changed { "done" } else { "unchanged" };
        let (node, upid) = (Some(subject.node.clone()), task.map(|task| task.upid.text.clone()));
        Self { status: 200, body, outcome, message: None, node, upid }
    }

    /// It is not.
    pub(super) fn failed(error: Error, subject: Option<&Subject>, task: Option<&Task>) -> Self {
        let Error { code, message } = error;
        let mut body = json!({"error": {"code": code.as_str(), "message": message}});
        if let (Some(subject), Some(_)) = (subject, task) {
            subject.put(&mut body, task);
        }
        Self {
            status: code.status().as_u16(),
            body,
            outcome: code.as_str(),
            message: Some(message),
            node: subject.map(|subject| subject.node.clone()),
            upid: task.map(|task| task.upid.text.clone()),
        }
    }
}

impl Subject {
    /// What every answer begins with.
    pub(super) fn json(&self) -> Value {
        let Self { action, cluster, vmid, kind, name, node } = self;
        let id = format!("{cluster}-vm-{vmid}");
        json!({
            "action": action.as_str(),
            "guest": {"id": id, "cluster": cluster, "vmid": vmid, "type": kind, "name": name, "node": node},
        })
    }

    /// The body of a 202.
    pub(super) fn asked(&self, upid: &Upid) -> Value {
        let mut body = self.json();
        self.put(&mut body, Some(&Task { upid: upid.clone(), exit: None, log: Vec::new() }));
        body
    }

    fn put(&self, body: &mut Value, task: Option<&Task>) {
        let Some(task) = task else { return };
        body["task"] = task.json(&self.cluster);
        if task.upid.is_of_ha() {
            body["via"] = "ha".into();
        }
    }
}

impl Task {
    /// As all answers tell a task.
    pub(super) fn json(&self, cluster: &str) -> Value {
        let Self { upid, exit, log } = self;
        let status = if exit.is_some() { "stopped" } else { "running" };
        json!({
            "upid": upid.text, "cluster": cluster, "node": upid.node, "type": upid.kind, "id": upid.id, "user": upid.user,
            "status": status, "exit_status": exit, "log": log,
        })
    }
}

/// What PVE's words mean, of a task that failed or of a refusal at once.
pub(super) fn refusal(words: &str, otherwise: Code) -> Error {
    let code = if words.contains("is locked (") || words.contains("can't lock file") {
        Code::Locked
    } else if words.contains("no quorum") {
        Code::NoQuorum
    } else if words.contains("it's a template") {
        Code::Template
    } else {
        otherwise
    };
    Error::new(code, format!("Proxmox VE says: {words}"))
}

/// Whether PVE's words say that the guest is not where it was.
pub(super) fn is_elsewhere(words: &str) -> bool {
    words.starts_with("Configuration file ") && words.contains("does not exist")
}

/// Whether PVE refuses because the guest is as wanted already.
pub(super) fn is_already(words: &str, goal: Goal) -> bool {
    match goal {
        Goal::Running => words.ends_with("already running"),
        Goal::Stopped => words.ends_with("not running"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_pve_become_codes() {
        for (words, code) in [
            ("VM is locked (backup)", Code::Locked),
            ("can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout", Code::Locked),
            ("cluster not ready - no quorum?", Code::NoQuorum),
            ("you can't start a vm if it's a template", Code::Template),
            ("VM quit/powerdown failed - got timeout", Code::TaskFailed),
            ("", Code::TaskFailed),
        ] {
            assert_eq!(refusal(words, Code::TaskFailed).code, code, "{words}");
        }
        assert!(is_elsewhere("Configuration file 'nodes/pve1/qemu-server/1.conf' does not exist"));
        assert!(is_already("VM 101 already running", Goal::Running) && is_already("CT 201 not running", Goal::Stopped));
        assert!(!is_already("CT 201 not running", Goal::Still) && !is_already("CT 201 not running", Goal::Running));
    }

    #[test]
    fn answers_have_the_shape_of_the_contract() {
        let subject = Subject {
            action: Action::Stop,
            cluster: "home".to_owned(),
            vmid: 300,
            kind: "qemu",
            name: None,
            node: "pve1".to_owned(),
        };
        let upid = Upid::parse("UPID:pve1:000003B1:0004BBC6:6B00B493:hastop:300:operator@pve!power:").unwrap();
        let asked = subject.asked(&upid);
        assert_eq!(
            (&asked["via"], &asked["task"]["status"], &asked["task"]["exit_status"]),
            (&json!("ha"), &json!("running"), &Value::Null)
        );
        let task = Task { upid, exit: Some("OK".to_owned()), log: vec!["TASK OK".to_owned()] };
        let done = Ending::well(&subject, true, "stopped", Some(&task));
        assert_eq!((done.status, done.outcome, &done.body["changed"]), (200, "done", &json!(true)));
        assert_eq!(
            (&done.body["guest"]["id"], &done.body["task"]["log"][0]),
            (&json!("home-vm-300"), &json!("TASK OK"))
        );
        let failed = Ending::failed(Error::new(Code::TaskFailed, "no"), Some(&subject), Some(&task));
        assert_eq!((failed.status, &failed.body["error"]["code"]), (502, &json!("task_failed")));
        assert_eq!(failed.body["task"]["exit_status"], "OK");
    }
}
