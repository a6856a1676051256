//! Guests of `/cluster/resources`, and what is remembered of those whose node is lost.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::figure::Figure;
use super::ghosts::Ghost;
use super::guest_list::{GuestList, Unordered};
use super::node::{Node, Usage, is_lost};
use super::words::{Words, sorted};
use crate::pve;

/// VM or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GuestKind {
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
}

/// A guest as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Guest {
    /// What does not change from one scrape to the next, or is remembered.
    pub identity: Arc<Identity>,
    /// The node it is on, or was last.
    pub node: Arc<str>,
    /// PVE's own word, such as `running` or `io-error`; absent while its node is not online.
    pub status: Option<Arc<str>>,
    /// The configuration's lock, such as `backup`; told by the cluster file system even for lost guests.
    pub lock: Option<Arc<str>>,
    /// The HA manager's word for it; absent where it is not HA-managed.
    pub ha_state: Option<Arc<str>>,
    /// Figures; none while its node is not online: PVE repeats the last ones for five minutes.
    pub usage: Usage,
    /// Bytes that a VM takes of its host.
    pub memory_host: Figure,
    /// Traffic counters.
    pub traffic: Traffic,
    /// PVE's own words, where they are others; see [`Guest::told`].
    pub ghost: Option<Box<Ghost>>,
}

/// Bytes since the guest's start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Received over the network.
    pub received: Figure,
    /// Sent over the network.
    pub transmitted: Figure,
    /// Read from block devices.
    pub read: Figure,
    /// Written to block devices.
    pub written: Figure,
}

/// Who a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// VM or container.
    pub kind: GuestKind,
    /// Its number, unique in the cluster.
    pub vmid: u64,
    /// Its name; absent where it was never told.
    pub name: Option<Box<str>>,
    /// Tags, sorted, joined by `;`; may be empty.
    pub tags: Arc<str>,
    /// The pool it belongs to.
    pub pool: Option<Arc<str>>,
    /// Whether it is a template; absent where it was never told.
    pub template: Option<bool>,
}

impl GuestKind {
    /// `qemu` or `lxc`, as PVE writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "qemu" => Some(Self::Qemu),
            "lxc" => Some(Self::Lxc),
            _ => None,
        }
    }
}

impl Identity {
    /// `qemu/100` or `lxc/101`.
    pub fn id(&self) -> String {
        let mut id = String::new();
        self.write_id(&mut id);
        id
    }

    /// Appends what [`Self::id`] says.
    pub fn write_id(&self, text: &mut String) {
        text.push_str(self.kind.as_str());
        text.push('/');
        text.push_str(itoa::Buffer::new().format(self.vmid));
    }
}

/// The identities of the guests of the last answer: as many as it listed, forgotten when it lists them no more.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// In the order in which an answer told them: the next one very likely does so again.
    identities: Vec<Arc<Identity>>,
    places: HashMap<Key, usize, RandomState>,
}

type Key = (GuestKind, u64);

/// The guests of an answer while it is read: nothing is remembered or forgotten before its end.
pub(super) struct Reading {
    guests: Unordered,
    words: Words,
    /// As it was when the reading began: others may read another answer meanwhile.
    memory: Arc<Memory>,
    /// Where in the memory the next guest is likely to be.
    next: usize,
    /// Whether a guest is not as it is remembered.
    news: bool,
}

/// What makes an identity, borrowed.
#[derive(PartialEq)]
struct Facts<'a> {
    name: Option<&'a str>,
    tags: &'a str,
    pool: Option<&'a str>,
    template: Option<bool>,
}

impl Reading {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { guests: Unordered::default(), words: Words::default(), memory, next: 0, news: false }
    }

    /// Takes an entry if it is a guest's.
    pub(super) fn take(&mut self, entry: &pve::Resource<'_>) -> Option<()> {
        let kind = GuestKind::parse(entry.kind.filled()?)?;
        let vmid = entry.vmid.whole().filter(|vmid| *vmid > 0)?;
        let node = self.words.get(entry.node.filled()?);
        let identity = self.identity(entry, (kind, vmid));
        let mut word = |text: &pve::wire::Text<'_>| text.filled().map(|word| self.words.get(word));
        let mut guest = Guest {
            ghost: None,
            identity,
            node,
            status: word(&entry.status),
            lock: word(&entry.lock),
            ha_state: word(&entry.hastate),
            usage: Usage::of(entry),
            memory_host: entry.memhost.quantity().into(),
            traffic: Traffic {
                received: entry.netin.quantity().into(),
                transmitted: entry.netout.quantity().into(),
                read: entry.diskread.quantity().into(),
                written: entry.diskwrite.quantity().into(),
            },
        };
        guest.ghost = Ghost::of(entry, &guest);
        self.guests.push(guest);
        Some(())
    }

    /// What the entry says of the guest; where PVE has forgotten its name, what was known.
    fn identity(&mut self, entry: &pve::Resource<'_>, key: Key) -> Arc<Identity> {
        let known = self.memory.find(key, &mut self.next);
        let told = entry.tags.filled().unwrap_or_default();
        let tags = match known {
            Some(known) if *told == *known.tags => Cow::Borrowed(told),
            _ => sorted(told, ';'),
        };
        let (name, pool) = (entry.name.filled(), entry.pool.filled());
        let mut facts = Facts { name, tags: &tags, pool, template: entry.template.0 };
        if let Some(known) = known {
            facts.recall(known.facts());
            if facts == known.facts() {
                return Arc::clone(known);
            }
        }
        self.news = true;
        Arc::new(Identity {
            kind: key.0,
            vmid: key.1,
            name: facts.name.map(Into::into),
            tags: self.words.get(facts.tags),
            pool: facts.pool.map(|pool| self.words.get(pool)),
            template: facts.template,
        })
    }

    /// The guests by number, each once; those of lost nodes without figures.
    pub(super) fn finish(self, nodes: &[Node], memory: &mut Arc<Memory>) -> GuestList {
        let mut guests = self.guests;
        if nodes.iter().any(|node| !node.online) {
            guests.for_each(|guest| {
                if is_lost(nodes, &guest.node) {
                    guest.lose();
                }
            });
        }
        let guests = guests.sorted();
        let is_other = !Arc::ptr_eq(memory, &self.memory);
        if self.news || is_other || memory.identities.len() != guests.len() {
            *memory = Arc::new(Memory::of(&guests));
        }
        guests
    }
}

impl Memory {
    fn of(guests: &GuestList) -> Self {
        let mut memory = Self {
            identities: Vec::with_capacity(guests.len()),
            places: HashMap::with_capacity_and_hasher(guests.len(), RandomState::default()),
        };
        for guest in guests.as_told() {
            if let Entry::Vacant(place) = memory.places.entry(guest.identity.key()) {
                place.insert(memory.identities.len());
                memory.identities.push(Arc::clone(&guest.identity));
            }
        }
        memory
    }

    /// Looks at a place first, which becomes the one after that of the guest.
    fn find(&self, key: Key, next: &mut usize) -> Option<&Arc<Identity>> {
        let at = |place: usize| self.identities.get(place).filter(|identity| identity.key() == key);
        let place = if at(*next).is_some() { *next } else { *self.places.get(&key)? };
        *next = place + 1;
        at(place)
    }
}

impl<'a> Facts<'a> {
    /// Without figures of pvestatd PVE leaves out name and template, while tags and pool come from the configuration.
    fn recall(&mut self, known: Facts<'a>) {
        if self.name.is_none() {
            self.name = known.name;
            self.pool = self.pool.or(known.pool);
            if self.tags.is_empty() {
                self.tags = known.tags;
            }
        }
        self.template = self.template.or(known.template);
    }
}

impl Identity {
    fn key(&self) -> Key {
        (self.kind, self.vmid)
    }

    fn facts(&self) -> Facts<'_> {
        Facts { name: self.name.as_deref(), tags: &self.tags, pool: self.pool.as_deref(), template: self.template }
    }
}

impl Guest {
    /// Drops what is not true any more, though PVE may repeat it.
    fn lose(&mut self) {
        self.ghost = self.ghost.take().or_else(|| Some(Ghost::left_by(self)));
        self.status = None;
        self.usage = Usage::default();
        self.memory_host = Figure::default();
        self.traffic = Traffic::default();
    }
}
