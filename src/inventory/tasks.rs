//! How many tasks have ended, by node, type and outcome; counted only while somebody looks at all of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts of ended tasks. Each task is counted once by who watches, from when it began to watch.
#[derive(Debug, Default)]
pub struct TaskBook(Mutex<Option<BTreeMap<FinishedKey, u64>>>);

/// What ended tasks are counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FinishedKey {
    /// The node.
    pub node: String,
    /// One of PVE's types, or `other`.
    pub kind: &'static str,
    /// How they ended.
    pub outcome: TaskOutcome,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskOutcome {
    /// `OK`.
    Ok,
    /// `WARNINGS: 2`.
    Warnings,
    /// Anything else is the text of an error.
    Error,
}

impl TaskOutcome {
    /// Of what PVE says at the end of a task.
    pub fn of(status: &str) -> Self {
        match status {
            "OK" => Self::Ok,
            _ if status.starts_with("WARNINGS:") => Self::Warnings,
            _ => Self::Error,
        }
    }

    /// `ok`, `warnings` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warnings => "warnings",
            Self::Error => "error",
        }
    }
}

impl TaskBook {
    /// Somebody begins to watch: from now on there are counts, if only of nothing.
    pub fn begin(&self) {
        self.lock().get_or_insert_default();
    }

    /// Nobody watches any more: there are no counts.
    pub fn end(&self) {
        *self.lock() = None;
    }

    /// A task has ended. To be said once of each, by who watches.
    pub fn ended(&self, node: &str, kind: &str, status: &str) {
        if let Some(counts) = self.lock().as_mut() {
            let key = FinishedKey { node: node.to_owned(), kind: task_kind(kind), outcome: TaskOutcome::of(status) };
            let count = counts.entry(key).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Forgets nodes that are no more.
    pub fn keep(&self, is_node: impl Fn(&str) -> bool) {
        if let Some(counts) = self.lock().as_mut() {
            counts.retain(|key, _| is_node(&key.node));
        }
    }

    /// What has ended since somebody watches; `None` while nobody does.
    pub fn finished(&self) -> Option<Vec<(FinishedKey, u64)>> {
        self.lock().as_ref().map(|counts| counts.iter().map(|(key, count)| (key.clone(), *count)).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<FinishedKey, u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The type of a task as PVE 9 has them, or `other`: who may begin tasks must not be able to invent labels.
pub fn task_kind(kind: &str) -> &'static str {
    KINDS.binary_search(&kind).ok().and_then(|place| KINDS.get(place).copied()).unwrap_or("other")
}

/// Sorted.
const KINDS: &[&str] = &[
    "acmedeactivate",
    "acmenewcert",
    "acmerefresh",
    "acmeregister",
    "acmerenew",
    "acmerevoke",
    "acmeupdate",
    "aptupdate",
    "auth-realm-sync",
    "auth-realm-sync-test",
    "cephcreatemds",
    "cephcreatemgr",
    "cephcreatemon",
    "cephcreateosd",
    "cephcreatepool",
    "cephdestroyfs",
    "cephdestroymds",
    "cephdestroymgr",
    "cephdestroymon",
    "cephdestroyosd",
    "cephdestroypool",
    "cephfscreate",
    "cephsetflags",
    "cephsetpool",
    "clustercreate",
    "clusterjoin",
    "dircreate",
    "dirremove",
    "download",
    "hamigrate",
    "harelocate",
    "hashutdown",
    "hastart",
    "hastop",
    "imgcopy",
    "imgdel",
    "lvmcreate",
    "lvmremove",
    "lvmthincreate",
    "lvmthinremove",
    "migrateall",
    "move_volume",
    "pbs-download",
    "prunebackups",
    "pull_file",
    "push_file",
    "qmclone",
    "qmconfig",
    "qmcreate",
    "qmdelsnapshot",
    "qmdestroy",
    "qmigrate",
    "qmmove",
    "qmpause",
    "qmreboot",
    "qmreset",
    "qmresize",
    "qmrestore",
    "qmresume",
    "qmrollback",
    "qmshutdown",
    "qmsnapshot",
    "qmstart",
    "qmstop",
    "qmsuspend",
    "qmtemplate",
    "reloadnetworkall",
    "resize",
    "spiceproxy",
    "spiceshell",
    "srvreload",
    "srvrestart",
    "srvstart",
    "srvstop",
    "startall",
    "stopall",
    "suspendall",
    "unknownimgdel",
    "upload",
    "vncproxy",
    "vncshell",
    "vzclone",
    "vzcreate",
    "vzdelsnapshot",
    "vzdestroy",
    "vzdump",
    "vzmigrate",
    "vzmount",
    "vzreboot",
    "vzresize",
    "vzrestore",
    "vzresume",
    "vzrollback",
    "vzshutdown",
    "vzsnapshot",
    "vzstart",
    "vzstop",
    "vzsuspend",
    "vztemplate",
    "vzumount",
    "wipedisk",
    "zfscreate",
    "zfsremove",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_sorted_and_others_are_other() {
        assert!(KINDS.is_sorted_by(|a, b| a < b));
        for (kind, told) in [("vzdump", "vzdump"), ("acmedeactivate", "acmedeactivate"), ("zfsremove", "zfsremove")] {
            assert_eq!(task_kind(kind), told);
        }
        for kind in ["", "teapot", "VZDUMP", "vzdump "] {
            assert_eq!(task_kind(kind), "other", "{kind}");
        }
    }

    #[test]
    fn nothing_is_counted_while_nobody_watches() {
        let book = TaskBook::default();
        book.ended("a", "vzdump", "OK");
        assert_eq!(book.finished(), None);
        book.begin();
        assert_eq!(book.finished(), Some(Vec::new()));
        for (node, kind, status) in [
            ("a", "vzdump", "OK"),
            ("a", "vzdump", "job errors"),
            ("a", "vzdump", "OK"),
            ("a", "x", "WARNINGS: 1"),
            ("b", "qmstart", ""),
        ] {
            book.ended(node, kind, status);
        }
        book.begin();
        let told = |book: &TaskBook| -> Vec<String> {
            let told = book.finished().unwrap();
            told.iter()
                .map(|(key, count)| format!("{} {} {} {count}", key.node, key.kind, key.outcome.as_str()))
                .collect()
        };
        assert_eq!(told(&book), ["a other warnings 1", "a vzdump ok 2", "a vzdump error 1", "b qmstart error 1"]);
        book.keep(|node| node == "b");
        assert_eq!(told(&book), ["b qmstart error 1"]);
        book.end();
        assert_eq!(book.finished(), None);
    }
}
