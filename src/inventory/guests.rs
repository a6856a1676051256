//! Guests of `/cluster/resources`, and what is remembered of those whose node is lost.

use std::collections::HashMap;
use std::sync::Arc;

use super::ghosts::Ghost;
use super::resources::{Node, Usage, is_lost, sorted};
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
    pub status: Option<String>,
    /// The configuration's lock, such as `backup`; told by the cluster file system even for lost guests.
    pub lock: Option<String>,
    /// The HA manager's word for it; absent where it is not HA-managed.
    pub ha_state: Option<String>,
    /// Figures; none while its node is not online: PVE repeats the last ones for five minutes.
    pub usage: Usage,
    /// Bytes that a VM takes of its host.
    pub memory_host: Option<f64>,
    /// Traffic counters.
    pub traffic: Traffic,
    /// PVE's own words, where they are others; see [`Guest::told`].
    pub ghost: Option<Box<Ghost>>,
}

/// Bytes since the guest's start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Received over the network.
    pub received: Option<f64>,
    /// Sent over the network.
    pub transmitted: Option<f64>,
    /// Read from block devices.
    pub read: Option<f64>,
    /// Written to block devices.
    pub written: Option<f64>,
}

/// Who a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// VM or container.
    pub kind: GuestKind,
    /// Its number, unique in the cluster.
    pub vmid: u64,
    /// Its name; absent where it was never told.
    pub name: Option<String>,
    /// Tags, sorted, joined by `;`; may be empty.
    pub tags: String,
    /// The pool it belongs to.
    pub pool: Option<String>,
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

impl Traffic {
    pub(super) fn of(entry: &pve::Resource<'_>) -> Self {
        Self {
            received: entry.netin.quantity(),
            transmitted: entry.netout.quantity(),
            read: entry.diskread.quantity(),
            written: entry.diskwrite.quantity(),
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
pub(super) struct Memory(HashMap<(GuestKind, u64), Arc<Identity>>);

impl Memory {
    pub(super) fn guests(&mut self, entries: &[pve::Resource<'_>], nodes: &[Node]) -> Vec<Guest> {
        let mut seen = HashMap::with_capacity(self.0.len());
        let mut node_names = NodeNames::default();
        let mut guests: Vec<Guest> = entries
            .iter()
            .filter_map(|entry| {
                let kind = GuestKind::parse(entry.kind.filled()?)?;
                let vmid = entry.vmid.whole().filter(|vmid| *vmid > 0)?;
                let node = entry.node.filled()?;
                let identity = identity(entry, kind, vmid, self.0.get(&(kind, vmid)));
                seen.insert((kind, vmid), Arc::clone(&identity));
                Some(guest(entry, identity, node_names.get(node), is_lost(nodes, node)))
            })
            .collect();
        guests.sort_by_key(|guest| (guest.identity.vmid, guest.identity.kind));
        guests.dedup_by_key(|guest| (guest.identity.vmid, guest.identity.kind));
        self.0 = seen;
        guests
    }
}

/// What the entry says of the guest; where PVE has forgotten its name, what was known.
fn identity(entry: &pve::Resource<'_>, kind: GuestKind, vmid: u64, known: Option<&Arc<Identity>>) -> Arc<Identity> {
    let told = Identity {
        kind,
        vmid,
        name: entry.name.filled().map(str::to_owned),
        tags: sorted(entry.tags.filled().unwrap_or_default(), ';'),
        pool: entry.pool.filled().map(str::to_owned),
        template: entry.template.0,
    };
    let Some(known) = known else {
        return Arc::new(told);
    };
    // Without figures of pvestatd PVE leaves out name and template, while tags and pool come from the configuration.
    let forgotten = told.name.is_none();
    let merged = Identity {
        name: told.name.or_else(|| known.name.clone()),
        tags: if forgotten && told.tags.is_empty() { known.tags.clone() } else { told.tags },
        pool: if forgotten { told.pool.or_else(|| known.pool.clone()) } else { told.pool },
        template: told.template.or(known.template),
        ..told
    };
    if merged == **known { Arc::clone(known) } else { Arc::new(merged) }
}

fn guest(entry: &pve::Resource<'_>, identity: Arc<Identity>, node: Arc<str>, lost: bool) -> Guest {
    let owned = |text: &pve::wire::Text<'_>| text.filled().map(str::to_owned);
    let mut guest = Guest {
        ghost: Ghost::of(entry, &identity, lost),
        identity,
        node,
        status: None,
        lock: owned(&entry.lock),
        ha_state: owned(&entry.hastate),
        usage: Usage::default(),
        memory_host: None,
        traffic: Traffic::default(),
    };
    if !lost {
        guest.status = owned(&entry.status);
        guest.usage = Usage::of(entry);
        guest.memory_host = entry.memhost.quantity();
        guest.traffic = Traffic::of(entry);
    }
    guest
}

/// Node names as shared text: thousands of guests live on a few nodes.
#[derive(Default)]
struct NodeNames(HashMap<String, Arc<str>>);

impl NodeNames {
    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(shared) = self.0.get(name) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = name.into();
        self.0.insert(name.to_owned(), Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::super::resources::Resources;
    use super::*;

    fn read(memory: &mut Memory, entries: &str) -> Resources {
        let answer = pve::Answer::of(&format!("{{\"data\":[{entries}]}}"));
        Resources::new(&pve::resources(&answer).expect("a list"), memory)
    }

    const ONLINE: &str = r#"{"type":"node","node":"a","status":"online","mem":1,"maxmem":2,"uptime":3}"#;
    const OFFLINE: &str = r#"{"type":"node","node":"a","status":"offline","maxmem":2}"#;
    const WHOLE: &str = r#"{"type":"qemu","vmid":100,"node":"a","status":"running","name":"web","tags":"b;a",
        "pool":"prod","template":0,"mem":5,"netin":7}"#;
    const STRIPPED: &str = r#"{"type":"qemu","vmid":100,"node":"a","status":"unknown"}"#;

    #[test]
    fn a_guest_on_a_lost_node_keeps_its_identity_and_loses_its_figures() {
        let mut memory = Memory::default();
        let before = read(&mut memory, &format!("{ONLINE},{WHOLE}")).guests.remove(0);
        assert_eq!(before.status.as_deref(), Some("running"));
        assert_eq!(before.usage.memory, Some(5.0));
        assert_eq!(before.identity.tags, "a;b");
        // First PVE repeats ghost figures, then it forgets the guest's name; we say the same all the time.
        for entries in [format!("{OFFLINE},{WHOLE}"), format!("{OFFLINE},{STRIPPED}"), format!("{OFFLINE},{STRIPPED}")]
        {
            let lost = read(&mut memory, &entries).guests.remove(0);
            assert!(Arc::ptr_eq(&lost.identity, &before.identity), "{entries}");
            assert_eq!((lost.status, lost.usage, lost.traffic), (None, Usage::default(), Traffic::default()));
        }
        let back = read(&mut memory, &format!("{ONLINE},{WHOLE}")).guests.remove(0);
        assert_eq!(back, before);
    }

    #[test]
    fn what_pve_itself_says_of_a_lost_guest_is_at_hand() {
        let mut memory = Memory::default();
        let before = read(&mut memory, &format!("{ONLINE},{WHOLE}")).guests.remove(0);
        let told = before.told();
        assert_eq!(
            (told.name, told.tags, told.usage.memory),
            (Some("web"), "b;a", Some(5.0)),
            "tags as PVE orders them"
        );
        let ghost = read(&mut memory, &format!("{OFFLINE},{WHOLE}")).guests.remove(0);
        assert_eq!((ghost.told(), ghost.status.as_deref()), (told, None), "PVE repeats what was");
        let forgotten = read(&mut memory, &format!("{OFFLINE},{STRIPPED}")).guests.remove(0);
        let told = forgotten.told();
        assert_eq!((told.status, told.name, told.tags, told.template), (Some("unknown"), None, "", None));
        assert_eq!((told.usage, told.traffic), (Usage::default(), Traffic::default()));
        // The node is there again, and its pvestatd has told nothing yet.
        let early = read(&mut memory, &format!("{ONLINE},{STRIPPED}")).guests.remove(0);
        assert_eq!((early.told().name, early.identity.name.as_deref()), (None, Some("web")));
        let tidy = WHOLE.replace("b;a", "a;b");
        assert_eq!(
            read(&mut memory, &format!("{ONLINE},{tidy}")).guests.remove(0).ghost,
            None,
            "nothing is kept twice"
        );
    }

    #[test]
    fn what_is_told_beats_what_is_remembered() {
        let mut memory = Memory::default();
        read(&mut memory, &format!("{ONLINE},{WHOLE}"));
        let renamed = WHOLE.replace("\"web\"", "\"shop\"").replace("\"b;a\"", "\"\"").replace("\"prod\"", "null");
        let guest = read(&mut memory, &format!("{ONLINE},{renamed}")).guests.remove(0);
        assert_eq!(guest.identity.name.as_deref(), Some("shop"));
        assert_eq!((guest.identity.tags.as_str(), guest.identity.pool.as_deref()), ("", None));
    }

    #[test]
    fn a_deleted_guest_is_forgotten() {
        let mut memory = Memory::default();
        read(&mut memory, &format!("{ONLINE},{WHOLE}"));
        assert!(read(&mut memory, ONLINE).guests.is_empty());
        assert!(memory.0.is_empty());
        let new = read(&mut memory, &format!("{OFFLINE},{STRIPPED}")).guests.remove(0);
        assert_eq!(new.identity.name, None, "a new guest of the same number inherits nothing");
    }

    #[test]
    fn doubles_and_entries_without_number_or_node_are_passed_over() {
        let odd = r#"{"type":"qemu","node":"a"},{"type":"qemu","vmid":0.5,"node":"a"},{"type":"lxc","vmid":7},
            {"type":"openvz","vmid":8,"node":"a"}"#;
        let resources = read(&mut Memory::default(), &format!("{ONLINE},{ONLINE},{WHOLE},{WHOLE},{odd}"));
        assert_eq!((resources.nodes.len(), resources.guests.len()), (1, 1));
    }

    #[test]
    fn a_token_without_rights_is_recognised() {
        let stripped = r#"{"type":"node","node":"a","status":"online","level":""}"#;
        assert!(read(&mut Memory::default(), stripped).looks_like_a_token_without_rights());
        for entries in [ONLINE.to_owned(), OFFLINE.to_owned(), format!("{stripped},{WHOLE}")] {
            assert!(!read(&mut Memory::default(), &entries).looks_like_a_token_without_rights(), "{entries}");
        }
    }
}
