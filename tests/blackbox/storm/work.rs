//! What nodes do in a storm, and what is to be told of it.

use std::collections::{BTreeMap, BTreeSet};

use pve_sentinel::sim::Task;
use serde_json::Value;

use super::plan::{BACKUPS, Dice};

/// Guests that tasks are about.
const BUSY: usize = 40;

/// The guests of the cluster, by their parts.
pub struct Guests {
    /// `qemu/100`, and the node it is on, by number.
    ids: BTreeMap<u64, (String, usize)>,
    /// Tasks are about these.
    busy: Vec<u64>,
    /// Those that run, and that nothing is asked of.
    lonely: Vec<u64>,
    /// Those of the backup jobs.
    saved: Vec<u64>,
}

/// A task, and what it tells.
#[derive(Debug, Clone)]
pub struct Piece {
    pub task: Task,
    /// Kind, id, and what follows the UPID in its key.
    pub tells: Vec<(&'static str, String, String)>,
    /// The guest that it stops.
    pub stops: Option<u64>,
}

/// Tasks that have not begun.
#[derive(Debug, Default)]
pub struct Work {
    waiting: Vec<Piece>,
    end: i64,
}

impl Guests {
    /// Out of `/cluster/resources`.
    pub fn of(resources: &str) -> Self {
        let body: Value = serde_json::from_str(resources).unwrap();
        let all: Vec<&Value> = body["data"].as_array().unwrap().iter().filter(|entry| entry["vmid"].is_u64()).collect();
        let vmid = |entry: &&Value| entry["vmid"].as_u64().unwrap();
        let asked = ["pve1", "pve2"];
        let is_lonely = |entry: &&&Value| {
            entry["status"] == "running"
                && entry["template"] != 1
                && entry.get("lock").is_none()
                && entry["uptime"].as_u64() > Some(1000)
                && asked.iter().any(|node| entry["node"] == *node)
        };
        let lonely: Vec<u64> = all.iter().filter(is_lonely).map(vmid).collect();
        let is_other = |entry: &&&Value| !lonely.contains(&vmid(entry)) && entry["template"] != 1;
        let others: Vec<&Value> = all.iter().filter(is_other).copied().collect();
        let saved = others.iter().filter(|entry| entry["node"] == "pve3").map(vmid).take(8).collect();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        let home = |entry: &Value| text(entry, "node").trim_start_matches("pve").parse::<usize>().unwrap() - 1;
        let ids = all.iter().map(|entry| (vmid(entry), (text(entry, "id"), home(entry)))).collect();
        let busy = others.iter().map(vmid).take(BUSY).collect();
        Self { ids, busy, saved, lonely }
    }

    pub fn id(&self, vmid: u64) -> String {
        self.ids[&vmid].0.clone()
    }

    /// One that nothing is asked of.
    pub fn lonely(&self, guest: usize) -> u64 {
        self.lonely[guest % self.lonely.len()]
    }

    /// What its tasks are called.
    fn kind(&self, vmid: u64, of: Action) -> &'static str {
        let is_container = self.ids[&vmid].0.starts_with("lxc/");
        match (of, is_container) {
            (Action::Start, false) => "qmstart",
            (Action::Start, true) => "vzstart",
            (Action::Stop, false) => "qmstop",
            (Action::Stop, true) => "vzstop",
            (Action::Migrate, false) => "qmigrate",
            (Action::Migrate, true) => "vzmigrate",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Start,
    Stop,
    Migrate,
}

impl Piece {
    fn new(node: usize, (kind, id): (&'static str, String), (begun, ends): (i64, i64), outcome: &str) -> Self {
        let (by, outcome, log) = ("root@pam".to_owned(), outcome.to_owned(), Vec::new());
        Self { task: Task { node, kind, id, by, begun, ends, outcome, log }, tells: Vec::new(), stops: None }
    }

    /// Nothing is told of it.
    pub fn quiet(node: usize, at: i64) -> Self {
        Self::new(node, ("srvreload", "networking".to_owned()), (at, at + 1), "OK")
    }

    /// Somebody stops a guest.
    pub fn stop(guests: &Guests, vmid: u64, now: i64) -> Self {
        let what = (guests.kind(vmid, Action::Stop), vmid.to_string());
        Self { stops: Some(vmid), ..Self::new(guests.ids[&vmid].1, what, (now + 1, now + 2), "OK") }
    }

    /// A backup job of so many guests, that fails for these of them.
    pub fn backup(guests: &Guests, (count, failed): (u64, u64), now: i64) -> Self {
        let outcome = if failed > 0 { "job errors" } else { "OK" };
        let mut piece = Self::new(BACKUPS, ("vzdump", String::new()), (now + 1, now + 8), outcome);
        for (vmid, place) in guests.saved.iter().zip(0..count) {
            if place < failed {
                piece.task.log.push(format!("ERROR: Backup of VM {vmid} failed - no space left on device"));
                piece.tells.push(("backup_failed", guests.id(*vmid), format!("/{vmid}")));
            } else {
                piece.task.log.push(format!("INFO: Finished Backup of VM {vmid} (00:00:04)"));
            }
        }
        piece
    }

    /// Some task of a guest.
    fn some(guests: &Guests, node: usize, (begun, ends): (i64, i64), dice: &mut Dice) -> Self {
        let vmid = dice.one(&guests.busy);
        let (action, outcome, kind) = match dice.below(20) {
            0..9 => (Action::Start, "start failed: exit code 1", Some("task_failed")),
            9..12 => (Action::Stop, "timeout", Some("task_failed")),
            12..14 => (Action::Start, "WARNINGS: 2", Some("task_warnings")),
            14..16 => (Action::Migrate, "OK", Some("migration_done")),
            16..18 => (Action::Migrate, "migration aborted", Some("migration_failed")),
            _ => (Action::Start, "OK", None),
        };
        let mut piece = Self::new(node, (guests.kind(vmid, action), vmid.to_string()), (begun, ends), outcome);
        piece.tells = kind.into_iter().map(|kind| (kind, guests.id(vmid), String::new())).collect();
        piece
    }
}

impl Work {
    pub fn add(&mut self, piece: Piece) {
        self.end = self.end.max(piece.task.ends);
        self.waiting.push(piece);
    }

    /// So many tasks on a node, that begin within so many seconds from now on.
    pub fn draw(&mut self, guests: &Guests, (node, count): (usize, u64), (now, seconds): (i64, u64), seed: u64) {
        let mut dice = Dice::new(seed);
        for _ in 0..count {
            let begun = now + 1 + i64::try_from(dice.below(seconds)).unwrap();
            let ends = begun + i64::try_from(dice.below(30)).unwrap();
            // Many end in the same second.
            let ends = if dice.below(2) == 0 { (ends + 9) / 10 * 10 } else { ends };
            self.add(Piece::some(guests, node, (begun, ends), &mut dice));
        }
    }

    /// Takes those that have begun by then on nodes that are not away, the first ones first.
    pub fn begun(&mut self, by: i64, away: &BTreeSet<usize>) -> Vec<Piece> {
        let has = |piece: &Piece| piece.task.begun <= by && !away.contains(&piece.task.node);
        let (mut begun, waiting): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(has);
        self.waiting = waiting;
        begun.sort_by_key(|piece| piece.task.begun);
        begun
    }

    /// When the last of them ends.
    pub fn end(&self) -> i64 {
        self.end
    }
}
