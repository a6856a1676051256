//! The guests of one cluster as they are known from answer to answer. Pure: told of an answer, it tells what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::inventory::{Guest, GuestKind, Identity, Resources};

/// The word for a guest whose node is not online: nobody knows how it is.
pub const UNKNOWN: &str = "unknown";

/// All guests of a cluster that are no templates, by number.
#[derive(Debug, Default)]
pub struct Registry {
    guests: BTreeMap<u64, Known>,
    /// Whether there was an answer.
    read: bool,
}

/// A guest that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The node it is on, or was last.
    pub node: Arc<str>,
    /// PVE's own word; absent while its node is not online.
    pub status: Option<Arc<str>>,
    /// The configuration's lock.
    pub lock: Option<Arc<str>>,
    /// The HA manager's word; absent where it is not HA-managed.
    pub ha_state: Option<Arc<str>>,
    /// Seconds since its start; absent where it does not run.
    pub uptime: Option<f64>,
    /// When it was first seen since the exporter started, in seconds since 1970.
    pub first_seen: i64,
    /// When PVE last listed it, in seconds since 1970.
    pub last_seen: i64,
    /// How often it was switched on or off since it was first seen; a restart is both.
    pub power_changes: u64,
    /// The last thing that was known of its power.
    was_on: Option<bool>,
    /// Bytes of its disk; by this a new guest under an old number is known.
    disk_size: Option<f64>,
}

/// What a new answer says that the one before did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The guest's number.
    pub vmid: u64,
    /// VM or container.
    pub kind: GuestKind,
    /// What happened to it.
    pub what: What,
}

/// What happened to a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It was not there before.
    Appeared,
    /// It is not there any more.
    Deleted,
    /// It is a template now, and no guest any more.
    BecameTemplate,
    /// Another guest has its number now: of the other type, or with another name and disk and a start of its own.
    Replaced {
        /// What the one before was called.
        before: Option<Box<str>>,
    },
    /// It has another name.
    Renamed {
        /// The one before.
        before: Option<Box<str>>,
    },
    /// It is on another node.
    Moved {
        /// The one before.
        from: Arc<str>,
    },
    /// It was switched on or off, or both since the answer before.
    Switched {
        /// Whether it is on now.
        on: bool,
    },
}

impl Registry {
    /// Takes over an answer given at `at`, in seconds since 1970; tells what changed, but not of guests of the first one.
    ///
    /// An answer without a guest is no news about any that are known.
    pub fn see(&mut self, resources: &Resources, at: i64) -> Vec<Change> {
        if resources.guests.is_empty() && !self.guests.is_empty() {
            return Vec::new();
        }
        let mut before = std::mem::take(&mut self.guests);
        let mut changes = Vec::new();
        for guest in resources.guests.iter() {
            let Identity { vmid, kind, template, .. } = *guest.identity;
            let known = before.remove(&vmid);
            if template == Some(true) {
                changes.extend(known.map(|_| Change { vmid, kind, what: What::BecameTemplate }));
                continue;
            }
            let (now, what) = match known {
                Some(known) => known.seen(guest, at),
                None => (Known::new(guest, at), vec![What::Appeared]),
            };
            changes.extend(what.into_iter().map(|what| Change { vmid, kind, what }));
            self.guests.insert(vmid, now);
        }
        let gone = before.into_iter();
        changes.extend(gone.map(|(vmid, known)| Change { vmid, kind: known.identity.kind, what: What::Deleted }));
        if !std::mem::replace(&mut self.read, true) {
            changes.clear();
        }
        changes
    }

    /// Whether there was an answer since the start.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// All guests, by number.
    pub fn guests(&self) -> impl ExactSizeIterator<Item = &Known> {
        self.guests.values()
    }

    /// One guest.
    pub fn guest(&self, vmid: u64) -> Option<&Known> {
        self.guests.get(&vmid)
    }
}

impl Known {
    fn new(guest: &Guest, at: i64) -> Self {
        Self {
            identity: Arc::clone(&guest.identity),
            node: Arc::clone(&guest.node),
            status: guest.status.clone(),
            lock: guest.lock.clone(),
            ha_state: guest.ha_state.clone(),
            uptime: guest.usage.uptime.filter(|seconds| seconds > 0.0),
            first_seen: at,
            last_seen: at,
            power_changes: 0,
            was_on: is_on(guest),
            disk_size: guest.usage.disk_size.get(),
        }
    }

    /// PVE's own word, or [`UNKNOWN`].
    pub fn word(&self) -> &str {
        self.status.as_deref().unwrap_or(UNKNOWN)
    }

    /// Whether it runs for all that is known.
    pub fn is_running(&self) -> bool {
        self.status.as_deref() == Some("running")
    }

    /// The same guest in a later answer, and what happened to it; or another one that has its number now.
    fn seen(self, guest: &Guest, at: i64) -> (Self, Vec<What>) {
        let mut now = Self::new(guest, at);
        let elapsed = at.saturating_sub(self.last_seen);
        if self.is_other(&now, elapsed) {
            return (now, vec![What::Replaced { before: self.identity.name.clone() }]);
        }
        let mut what = Vec::new();
        if now.identity.name != self.identity.name {
            what.push(What::Renamed { before: self.identity.name.clone() });
        }
        if now.node != self.node {
            what.push(What::Moved { from: Arc::clone(&self.node) });
        }
        now.first_seen = self.first_seen;
        let switched = self.switched(&now);
        if switched > 0 {
            what.push(What::Switched { on: now.was_on == Some(true) });
        }
        now.power_changes = self.power_changes.saturating_add(switched);
        now.was_on = now.was_on.or(self.was_on);
        now.disk_size = now.disk_size.or(self.disk_size);
        // While its node is lost nobody knows; then it goes on where it was.
        now.uptime = now.uptime.or(self.uptime.filter(|_| now.status.is_none()));
        (now, what)
    }

    /// A guest keeps its type, and does not change name and disk at once while it runs on.
    fn is_other(&self, now: &Self, elapsed: i64) -> bool {
        if self.identity.kind != now.identity.kind {
            return true;
        }
        let differ = |one: Option<f64>, other: Option<f64>| one.zip(other).is_some_and(|(one, other)| one != other);
        #[expect(clippy::cast_precision_loss, reason = "seconds between two answers")]
        let is_older_than_the_look = now.uptime.is_some_and(|uptime| uptime > elapsed as f64);
        self.identity.name.is_some()
            && now.identity.name != self.identity.name
            && differ(self.disk_size, now.disk_size)
            && !is_older_than_the_look
            // The file system of a container that starts is told instead of its volume.
            && (self.identity.kind == GuestKind::Qemu || self.was_on == now.was_on)
    }

    /// How often the power was switched between the two.
    fn switched(&self, now: &Self) -> u64 {
        match (self.was_on, now.was_on) {
            (Some(before), Some(after)) if before != after => 1,
            // The process of a guest that is moved while it runs is a new one too.
            (Some(true), Some(true)) if self.node == now.node && restarted(self.uptime, now.uptime) => 2,
            _ => 0,
        }
    }
}

/// Figures come every ten seconds, and not all at the same moment.
fn restarted(before: Option<f64>, now: Option<f64>) -> bool {
    before.zip(now).is_some_and(|(before, now)| now + 1.0 < before)
}

/// Whether it is switched on; a paused one or one with an error is.
fn is_on(guest: &Guest) -> Option<bool> {
    guest.status.as_deref().filter(|status| *status != UNKNOWN).map(|status| status != "stopped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODES: &str =
        r#"{"type":"node","node":"a","status":"online","mem":1},{"type":"node","node":"b","status":"online","mem":1}"#;

    fn answer(entries: &str) -> Resources {
        Resources::read(&format!("{{\"data\":[{NODES}{}{entries}]}}", if entries.is_empty() { "" } else { "," }))
    }

    fn vm(vmid: u64, more: &str) -> String {
        format!(
            r#"{{"type":"qemu","vmid":{vmid},"node":"a","status":"running","name":"web","uptime":100,"maxdisk":9{more}}}"#
        )
    }

    /// `vm` with some words replaced.
    fn with(vmid: u64, replaced: &[(&str, &str)]) -> String {
        replaced.iter().fold(vm(vmid, ""), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    }

    fn seen(answers: &[&str]) -> (Registry, Vec<Change>) {
        let mut registry = Registry::default();
        let mut last = Vec::new();
        for (index, entries) in answers.iter().enumerate() {
            last = registry.see(&answer(entries), i64::try_from(index).expect("few") * 10);
        }
        (registry, last)
    }

    fn whats(changes: Vec<Change>) -> Vec<(u64, What)> {
        changes.into_iter().map(|change| (change.vmid, change.what)).collect()
    }

    #[test]
    fn the_first_answer_is_no_change_and_templates_are_no_guests() {
        let (registry, changes) = seen(&[&format!("{},{}", vm(100, ""), vm(101, r#","template":1"#))]);
        assert_eq!((registry.guests().len(), changes, registry.is_read()), (1, Vec::new(), true));
        assert!(!Registry::default().is_read());
        let guest = registry.guest(100).expect("a guest");
        assert_eq!((guest.word(), guest.uptime, guest.power_changes), ("running", Some(100.0), 0));
    }

    #[test]
    fn changes_are_seen_for_what_they_are() {
        let renamed = with(100, &[("web", "shop"), ("100,", "110,")]);
        let renamed = renamed.replacen("\"vmid\":110", "\"vmid\":100", 1);
        let moved = with(100, &[("\"a\"", "\"b\""), ("\"uptime\":100", "\"uptime\":3")]);
        let other_type = with(100, &[("qemu", "lxc")]);
        let remade = with(
            100,
            &[
                ("web", "new"),
                ("maxdisk\":9", "maxdisk\":8"),
                ("running", "stopped"),
                ("\"uptime\":100", "\"uptime\":0"),
            ],
        );
        let cases = [
            (renamed, What::Renamed { before: Some("web".into()) }, 0),
            (moved, What::Moved { from: "a".into() }, 0),
            (other_type, What::Replaced { before: Some("web".into()) }, 10),
            (remade, What::Replaced { before: Some("web".into()) }, 10),
            (vm(100, r#","template":1"#), What::BecameTemplate, 0),
        ];
        for (entries, expected, first_seen) in cases {
            let (registry, changes) = seen(&[&vm(100, ""), &entries]);
            assert_eq!(whats(changes), [(100, expected)], "{entries}");
            if let Some(guest) = registry.guest(100) {
                assert_eq!((guest.first_seen, guest.last_seen, guest.power_changes), (first_seen, 10, 0), "{entries}");
            }
        }
        let (_, changes) = seen(&[&vm(100, ""), &vm(101, "")]);
        assert_eq!(whats(changes), [(101, What::Appeared), (100, What::Deleted)]);
    }

    #[test]
    fn a_rename_and_a_larger_disk_of_a_guest_that_runs_on_are_no_new_guest() {
        let later =
            with(100, &[("web", "shop"), ("maxdisk\":9", "maxdisk\":99"), ("\"uptime\":100", "\"uptime\":110")]);
        let (_, changes) = seen(&[&vm(100, ""), &later]);
        assert_eq!(whats(changes), [(100, What::Renamed { before: Some("web".into()) })]);
    }

    #[test]
    fn an_answer_without_guests_is_no_news() {
        let (registry, changes) = seen(&[&vm(100, ""), ""]);
        assert_eq!((registry.guests().len(), changes), (1, Vec::new()));
        assert_eq!(registry.guest(100).map(|guest| guest.last_seen), Some(0));
        let (registry, _) = seen(&[""]);
        assert_eq!((registry.guests().len(), registry.is_read()), (0, true));
    }

    #[test]
    fn power_is_counted_and_what_nobody_knows_is_not() {
        let off = with(100, &[("running", "stopped"), ("\"uptime\":100", "\"uptime\":0")]);
        let paused = with(100, &[("running", "paused")]);
        let restarted = with(100, &[("\"uptime\":100", "\"uptime\":4")]);
        let lost = r#"{"type":"node","node":"c","status":"offline"},"#.to_owned() + &with(100, &[("\"a\"", "\"c\"")]);
        let on = &vm(100, "");
        for (answers, expected) in [
            (vec![on, &off, &off, on], 2),
            (vec![on, &paused, on], 0),
            (vec![on, &restarted], 2),
            (vec![on, &lost, on], 0),
            (vec![on, &lost, &off], 1),
        ] {
            let answers: Vec<&str> = answers.into_iter().map(String::as_str).collect();
            let (registry, _) = seen(&answers);
            assert_eq!(registry.guest(100).expect("a guest").power_changes, expected, "{answers:?}");
        }
        let (registry, _) = seen(&[on, &lost]);
        let guest = registry.guest(100).expect("a guest");
        assert_eq!((guest.word(), guest.is_running()), ("unknown", false));
    }

    proptest! {
        #[test]
        fn what_is_known_is_what_the_last_answer_with_guests_lists(
            answers in prop::collection::vec(prop::collection::btree_map(100_u64..105, (any::<bool>(), 0_u8..3, 0_u32..50), 0..5), 1..8)
        ) {
            let mut registry = Registry::default();
            let mut expected: Vec<u64> = Vec::new();
            let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
            for (at, guests) in answers.iter().enumerate() {
                let entries: Vec<String> = guests.iter().map(|(vmid, (container, status, uptime))| {
                    let kind = if *container { "lxc" } else { "qemu" };
                    let status = ["running", "stopped", "paused"][usize::from(*status)];
                    format!(r#"{{"type":"{kind}","vmid":{vmid},"node":"a","status":"{status}","uptime":{uptime}}}"#)
                }).collect();
                let changes = registry.see(&answer(&entries.join(",")), i64::try_from(at).expect("few"));
                if !guests.is_empty() || expected.is_empty() {
                    expected = guests.keys().copied().collect();
                }
                prop_assert_eq!(registry.guests().map(|guest| guest.identity.vmid).collect::<Vec<_>>(), expected.clone());
                for change in &changes {
                    if matches!(change.what, What::Replaced { .. } | What::Appeared | What::Deleted) {
                        counted.remove(&change.vmid);
                    }
                }
                for guest in registry.guests() {
                    prop_assert!(guest.first_seen <= guest.last_seen);
                    // It never goes back but with a new guest.
                    let before = counted.insert(guest.identity.vmid, guest.power_changes).unwrap_or(0);
                    prop_assert!(before <= guest.power_changes);
                }
            }
        }
    }
}
