//! What collectors of the slow lane have learned that others speak of: disks and agents of guests, the QEMU installed on nodes.
//! Kept from one refresh to the next; nothing is asked here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::guests::{Guest, GuestKind};
use super::resources::{Resources, Storage};

/// The book of one cluster.
#[derive(Debug, Default)]
pub struct Learned {
    guests: Mutex<Guests>,
    /// By node.
    qemu: Mutex<HashMap<Box<str>, Box<str>>>,
}

#[derive(Debug, Default)]
struct Guests {
    known: HashMap<(GuestKind, u64), Facts, RandomState>,
    /// Whether the disks of all guests were known once: before, sums would say too little.
    whole: bool,
    /// When it is over with all of it, unless somebody tells more.
    until: Option<Instant>,
}

/// What the configuration of a guest told.
#[derive(Debug)]
struct Facts {
    shares: Box<[Share]>,
    has_agent: bool,
}

/// What the disks of a guest take on a storage.
#[derive(Debug, Clone, PartialEq)]
struct Share {
    storage: Box<str>,
    bytes: f64,
}

impl Learned {
    /// A guest has disks on these storages, of so many bytes each, and an agent or none. What was known of it before is
    /// over; what is known of any guest is so when nobody has told more of one until then.
    pub fn note_guest<'a>(
        &self,
        (kind, vmid): (GuestKind, u64),
        disks: impl IntoIterator<Item = (&'a str, f64)>,
        has_agent: bool,
        until: Instant,
    ) {
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        for (storage, bytes) in disks {
            *shares.entry(storage).or_default() += bytes;
        }
        let shares = shares.into_iter().map(|(storage, bytes)| Share { storage: storage.into(), bytes }).collect();
        let mut guests = lock(&self.guests);
        guests.known.insert((kind, vmid), Facts { shares, has_agent });
        guests.until = guests.until.max(Some(until));
    }

    /// Whether a VM is known to be set to have no agent.
    pub fn lacks_agent(&self, vmid: u64, now: Instant) -> bool {
        let mut guests = lock(&self.guests);
        guests.expire(now);
        guests.known.get(&(GuestKind::Qemu, vmid)).is_some_and(|facts| !facts.has_agent)
    }

    /// The version of QEMU that is installed on a node, as its package has it.
    pub fn note_qemu(&self, node: &str, version: &str) {
        lock(&self.qemu).insert(node.into(), version.into());
    }

    /// Whether a guest on a node runs in an older QEMU than that which is installed there; none where that is not known.
    pub fn is_outdated(&self, node: &str, running: &str) -> Option<bool> {
        let installed = release(lock(&self.qemu).get(node)?)?;
        Some(release(running)? < installed)
    }

    /// What the disks of all guests take on each storage that is there, in bytes: of a shared one those of every guest, of
    /// another those of the guests on its node. Nothing before the disks of each guest that could tell were known, nor
    /// when nobody tells of them any more.
    pub fn provisioned<'r>(&self, resources: &'r Resources, now: Instant) -> Vec<(&'r Storage, f64)> {
        let mut guests = lock(&self.guests);
        guests.expire(now);
        guests.settle(resources);
        if !guests.whole {
            return Vec::new();
        }
        let mut local: HashMap<(&str, &str), f64, RandomState> = HashMap::default();
        for (guest, share) in guests.of(resources) {
            *local.entry((&guest.node, &share.storage)).or_default() += share.bytes;
        }
        let mut shared: HashMap<&str, f64> = HashMap::new();
        for ((_, name), bytes) in &local {
            *shared.entry(name).or_default() += bytes;
        }
        let told = |storage: &'r Storage| {
            let name = storage.name.as_str();
            let sum = match storage.shared? {
                true => shared.get(name),
                false => local.get(&(storage.node.as_str(), name)),
            };
            (storage.available.is_some() && (sum.is_some() || storage.has_disks()))
                .then(|| (storage, sum.copied().unwrap_or(0.0)))
        };
        resources.storages.iter().filter_map(told).collect()
    }
}

impl Guests {
    fn expire(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until < now) {
            *self = Self::default();
        }
    }

    /// Forgets guests that are gone, and notices when none is unknown any more. Those of lost nodes cannot tell.
    fn settle(&mut self, resources: &Resources) {
        if !resources.tells_of_guests() {
            return;
        }
        let key = |guest: &Guest| (guest.identity.kind, guest.identity.vmid);
        let unknown = |guest: &Guest| guest.status.is_some() && !self.known.contains_key(&key(guest));
        self.whole = self.whole || (!self.known.is_empty() && !resources.guests.iter().any(unknown));
        if self.known.len() > resources.guests.len() {
            let there: HashSet<_> = resources.guests.iter().map(key).collect();
            self.known.retain(|guest, _| there.contains(guest));
        }
    }

    fn of<'b>(&'b self, resources: &'b Resources) -> impl Iterator<Item = (&'b Guest, &'b Share)> {
        let facts = move |guest: &'b Guest| self.known.get(&(guest.identity.kind, guest.identity.vmid));
        let known = resources.guests.iter().filter_map(move |guest| Some((guest, facts(guest)?)));
        known.flat_map(|(guest, facts)| facts.shares.iter().map(move |share| (guest, share)))
    }
}

impl Storage {
    /// Whether guests may have disks on it.
    fn has_disks(&self) -> bool {
        self.content.split(',').any(|content| matches!(content, "images" | "rootdir"))
    }
}

/// The numbers of a version, without an epoch and what distributors add.
fn release(version: &str) -> Option<Vec<u64>> {
    let version = version.split_once(':').map_or(version, |(_, version)| version);
    let version = version.split(['-', '+', '~', ' ']).next()?;
    version.split('.').map(|number| number.parse().ok()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn resources(guests: &[(u64, &str)]) -> Resources {
        let mut entries = String::from(
            r#"{"type":"node","node":"a","status":"online","maxmem":1},{"type":"node","node":"b","status":"offline"},
            {"type":"storage","storage":"lvm","node":"a","shared":0,"status":"available","content":"images"},
            {"type":"storage","storage":"iso","node":"a","shared":0,"status":"available","content":"iso"},
            {"type":"storage","storage":"lvm","node":"b","shared":0,"status":"available","content":"images"},
            {"type":"storage","storage":"ceph","node":"a","shared":1,"status":"available","content":"images"}"#,
        );
        for (vmid, node) in guests {
            entries.push_str(&format!(r#",{{"type":"qemu","vmid":{vmid},"node":"{node}","status":"running"}}"#));
        }
        Resources::read(&format!(r#"{{"data":[{entries}]}}"#))
    }

    fn note(book: &Learned, vmid: u64, disks: &[(&str, f64)]) {
        let until = Instant::now() + Duration::from_hours(1);
        book.note_guest((GuestKind::Qemu, vmid), disks.iter().copied(), false, until);
    }

    fn told(book: &Learned, guests: &[(u64, &str)]) -> Vec<(String, f64)> {
        let resources = resources(guests);
        let name = |storage: &Storage| format!("{}/{}", storage.node, storage.name);
        book.provisioned(&resources, Instant::now())
            .into_iter()
            .map(|(storage, bytes)| (name(storage), bytes))
            .collect()
    }

    #[test]
    fn sums_are_told_when_no_guest_is_unknown() {
        let book = Learned::default();
        assert!(told(&book, &[]).is_empty(), "nobody has told of any disk");
        note(&book, 7, &[("lvm", 10.0), ("ceph", 5.0), ("lvm", 1.0)]);
        assert!(told(&book, &[(7, "a"), (8, "a")]).is_empty());
        let of_one = [("a/ceph".to_owned(), 5.0), ("a/lvm".to_owned(), 11.0)];
        assert_eq!(told(&book, &[(7, "a"), (8, "b")]), of_one, "those of lost nodes cannot tell");
        // Once whole, a guest that was just made is no reason to say nothing.
        assert_eq!(told(&book, &[(7, "a"), (9, "a")]), of_one);
        note(&book, 8, &[("ceph", 2.0), ("lvm", 3.0)]);
        assert_eq!(told(&book, &[(7, "a"), (8, "b")]), [("a/ceph".to_owned(), 7.0), ("a/lvm".to_owned(), 11.0)]);
    }

    #[test]
    fn what_a_guest_had_before_is_over_and_who_is_gone_is_forgotten() {
        let book = Learned::default();
        note(&book, 7, &[("lvm", 10.0), ("iso", 4.0)]);
        note(&book, 8, &[("lvm", 1.0)]);
        let all = |lvm| [("a/ceph".to_owned(), 0.0), ("a/iso".to_owned(), 4.0), ("a/lvm".to_owned(), lvm)];
        assert_eq!(told(&book, &[(7, "a"), (8, "a")]), all(11.0));
        assert_eq!(told(&book, &[(7, "a")]), all(10.0));
        assert_eq!(lock(&book.guests).known.len(), 1);
        note(&book, 7, &[]);
        assert_eq!(told(&book, &[(7, "a")]), [("a/ceph".to_owned(), 0.0), ("a/lvm".to_owned(), 0.0)]);
        let blind = Resources::read(r#"{"data":[{"type":"node","node":"a","status":"online"}]}"#);
        book.provisioned(&blind, Instant::now());
        assert_eq!(lock(&book.guests).known.len(), 1, "what a token without rights sees is no news of guests");
    }

    #[test]
    fn when_nobody_tells_of_guests_any_more_nothing_is_known() {
        let (book, now) = (Learned::default(), Instant::now());
        let after = |minutes| now + Duration::from_mins(minutes);
        let all = resources(&[(7, "a"), (8, "a")]);
        book.note_guest((GuestKind::Qemu, 7), [("ceph", 5.0)], false, after(60));
        book.note_guest((GuestKind::Qemu, 8), [("ceph", 2.0)], true, after(30));
        assert_eq!(
            (book.lacks_agent(7, now), book.lacks_agent(8, now), book.lacks_agent(9, now)),
            (true, false, false)
        );
        assert_eq!(book.provisioned(&all, after(60)).len(), 2);
        assert!(book.provisioned(&all, after(61)).is_empty());
        assert!(!book.lacks_agent(7, after(61)));
        // Who comes back begins anew.
        book.note_guest((GuestKind::Qemu, 7), [("ceph", 5.0)], false, after(120));
        assert!(book.provisioned(&all, after(62)).is_empty(), "8 is unknown");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let book = Learned::default();
        assert_eq!(book.is_outdated("a", "10.0.2"), None);
        book.note_qemu("a", "10.0.2-4");
        book.note_qemu("b", "1:9.2.0+pve1-1");
        for (node, running, expected) in [
            ("a", "10.0.2", Some(false)),
            ("a", "9.2.0", Some(true)),
            ("a", "10.0.13", Some(false)),
            ("a", "10.0", Some(true)),
            ("a", "new", None),
            ("a", "", None),
            ("b", "9.2.0", Some(false)),
            ("b", "9.1.99", Some(true)),
            ("c", "9.1.0", None),
        ] {
            assert_eq!(book.is_outdated(node, running), expected, "{node} {running}");
        }
    }
}
