//! What is known of the addresses of each guest, and when it is asked again. Pure: it is told the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::GuestKind;
use crate::pve::{Error, Interface, Reason};

/// How long addresses are good.
const GOOD: Duration = Duration::from_mins(5);
/// A guest that has just been started may have none yet.
const EARLY: Duration = Duration::from_mins(1);
/// How long settings are good, and how long a guest without an agent is left alone.
const SETTLED: Duration = Duration::from_hours(1);
/// The wait after a first failure, four times as long after each further one, up to an hour. A silent agent holds a worker
/// of its node for three seconds.
const AFTER_SILENCE: Duration = Duration::from_mins(5);
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// A guest that moved, or for which there was no place.
const SOON: Duration = Duration::from_secs(5);

/// A running guest whose addresses are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// VM or container.
    pub kind: GuestKind,
    /// Its number.
    pub vmid: u64,
    /// Where it is.
    pub node: Arc<str>,
}

/// What a guest said of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// In the guest's order.
    pub interfaces: Vec<Interface>,
    /// The hardware address of its first card, by its configuration.
    pub first_mac: Option<Box<str>>,
}

/// What is asked of a guest next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Its configuration.
    Settings,
    /// Its interfaces: of the container itself.
    Container,
    /// Its interfaces: of the agent, which may be silent.
    Agent,
}

/// What came of a step.
#[derive(Debug)]
pub(super) enum Outcome {
    Settings {
        agent: bool,
        first_mac: Option<Box<str>>,
    },
    Interfaces(Vec<Interface>),
    /// It does not run.
    Stopped,
    Failed(Error),
}

#[derive(Default)]
pub(super) struct Book {
    guests: BTreeMap<u64, Page>,
    /// Those that are to be asked: those that never were come first.
    queue: BTreeSet<(Option<Instant>, u64)>,
    last_wanted: Option<Instant>,
}

struct Page {
    guest: Running,
    queued: bool,
    due: Instant,
    /// When a question about its addresses was last settled.
    tried: Option<Instant>,
    failures: u32,
    settings: Option<Settings>,
    told: Option<Arc<Network>>,
}

struct Settings {
    first_mac: Option<Box<str>>,
    read: Instant,
}

impl Book {
    /// These are wanted now; those that are due join the queue.
    pub(super) fn want(&mut self, guests: impl Iterator<Item = Running>, now: Instant) {
        self.last_wanted = Some(now);
        for guest in guests {
            let vmid = guest.vmid;
            if self.guests.get(&vmid).is_some_and(|page| page.guest.kind != guest.kind) {
                self.forget(vmid);
            }
            let page = self.guests.entry(vmid).or_insert_with(|| Page::new(guest.clone(), now));
            page.guest.node = guest.node;
            if !page.queued && page.due <= now {
                page.queued = true;
                self.queue.insert((page.tried, vmid));
            }
        }
    }

    /// The first one in the queue for whose step `enter` finds a place, with what it gave.
    pub(super) fn next<T>(
        &mut self,
        now: Instant,
        mut enter: impl FnMut(&Running, Step) -> Option<T>,
    ) -> Option<(Running, Step, T)> {
        let (place, next) = self.queue.iter().find_map(|place| {
            let page = self.guests.get(&place.1)?;
            let step = page.step(now);
            Some((*place, (page.guest.clone(), step, enter(&page.guest, step)?)))
        })?;
        self.queue.remove(&place);
        Some(next)
    }

    /// Takes what came of a step; the guest may stand in the queue again, for the next one.
    pub(super) fn settle(&mut self, guest: &Running, outcome: Outcome, now: Instant) {
        // It may have become another guest meanwhile.
        let Some(page) = self.guests.get_mut(&guest.vmid).filter(|page| page.guest.kind == guest.kind) else { return };
        page.queued = page.settle(outcome, now);
        if page.queued {
            self.queue.insert((page.tried, guest.vmid));
        }
    }

    /// What a guest said last; nothing of another type of guest with its number.
    pub(super) fn told(&self, kind: GuestKind, vmid: u64) -> Option<Arc<Network>> {
        self.guests.get(&vmid).filter(|page| page.guest.kind == kind)?.told.clone()
    }

    /// How many of these were never asked.
    pub(super) fn open(&self, vmids: impl Iterator<Item = u64>) -> usize {
        vmids.filter(|vmid| self.guests.get(vmid).is_none_or(|page| page.tried.is_none())).count()
    }

    /// It is another guest now, or there is none any more.
    pub(super) fn forget(&mut self, vmid: u64) {
        if let Some(page) = self.guests.remove(&vmid) {
            self.queue.remove(&(page.tried, vmid));
        }
    }

    /// It was switched on: what it said, or did not say, before is no hint any more.
    pub(super) fn renew(&mut self, vmid: u64, now: Instant) {
        if let Some(page) = self.guests.get_mut(&vmid) {
            (page.due, page.failures, page.settings) = (now, 0, None);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Empties the queue where nobody has wanted anything for so long.
    pub(super) fn rest(&mut self, now: Instant, patience: Duration) {
        if self.last_wanted.is_none_or(|last| now.duration_since(last) >= patience) {
            self.queue.clear();
            self.guests.values_mut().for_each(|page| page.queued = false);
        }
    }
}

impl Page {
    fn new(guest: Running, now: Instant) -> Self {
        Self { guest, queued: false, due: now, tried: None, failures: 0, settings: None, told: None }
    }

    fn step(&self, now: Instant) -> Step {
        match (&self.settings, self.guest.kind) {
            (Some(settings), _) if now.duration_since(settings.read) >= SETTLED => Step::Settings,
            (None, _) => Step::Settings,
            (Some(_), GuestKind::Lxc) => Step::Container,
            (Some(_), GuestKind::Qemu) => Step::Agent,
        }
    }

    /// Whether there is something to ask at once.
    fn settle(&mut self, outcome: Outcome, now: Instant) -> bool {
        let wait = match outcome {
            Outcome::Settings { agent, first_mac } => {
                let agent = agent || self.guest.kind == GuestKind::Lxc;
                self.settings = Some(Settings { first_mac, read: now });
                if agent {
                    return true;
                }
                self.told = None;
                self.failures = 0;
                SETTLED
            }
            Outcome::Interfaces(interfaces) => {
                let first_mac = self.settings.as_ref().and_then(|settings| settings.first_mac.clone());
                let is_early = interfaces.iter().flat_map(|interface| &interface.addresses).all(is_only_local);
                self.told = Some(Arc::new(Network { interfaces, first_mac }));
                self.failures = 0;
                if is_early { EARLY } else { GOOD }
            }
            Outcome::Stopped => GOOD,
            Outcome::Failed(error) => match self.failed(&error) {
                Some(wait) => wait,
                // Nothing was learned.
                None => {
                    self.due = now + SOON;
                    return false;
                }
            },
        };
        self.tried = Some(now);
        self.due = now + jittered(wait, self.guest.vmid);
        false
    }

    /// How long it is left alone; nothing where it was not asked.
    fn failed(&mut self, error: &Error) -> Option<Duration> {
        let first = match &error.reason {
            Reason::Busy(_) | Reason::NotFoundHere(_) => return None,
            Reason::Forbidden(_) => return Some(SETTLED),
            Reason::Status(500, words) if words.contains("No QEMU guest agent configured") => {
                self.settings = None;
                self.told = None;
                return Some(SETTLED);
            }
            Reason::Status(500, _) => AFTER_SILENCE,
            _ => AFTER_FAILURE,
        };
        let wait = first.saturating_mul(4_u32.saturating_pow(self.failures)).min(SETTLED);
        self.failures = self.failures.saturating_add(1);
        Some(wait)
    }
}

/// Loopback and link-local addresses come with the interface itself.
fn is_only_local(address: &std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        std::net::IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}

/// Up to a tenth less, always the same for the same guest: a thousand of them are not to fall due at once.
fn jittered(time: Duration, vmid: u64) -> Duration {
    let spread = vmid.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    time - time * u32::try_from(spread % 100).unwrap_or_default() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(kind: GuestKind, vmid: u64) -> Running {
        Running { kind, vmid, node: "a".into() }
    }

    fn failed(reason: Reason) -> Outcome {
        Outcome::Failed(Error { endpoint: "x".into(), path: "/x".into(), reason })
    }

    fn silent() -> Outcome {
        failed(Reason::Status(500, "QEMU guest agent is not running".into()))
    }

    fn interfaces(address: &str) -> Outcome {
        let addresses = vec![address.parse().expect("an address")];
        Outcome::Interfaces(vec![Interface { name: "eth0".into(), mac: None, addresses }])
    }

    fn settings(agent: bool) -> Outcome {
        Outcome::Settings { agent, first_mac: None }
    }

    /// What is asked next, settled with `outcome`; how long it is then left alone.
    fn ask(book: &mut Book, vmid: u64, now: Instant, outcome: Outcome) -> (Step, Duration) {
        let (guest, step, ()) = book.next(now, |_, _| Some(())).expect("a question");
        assert_eq!(guest.vmid, vmid);
        book.settle(&guest, outcome, now);
        (step, book.guests[&vmid].due.saturating_duration_since(now))
    }

    /// In minutes: what was waited for is up to a tenth less.
    fn about(wait: Duration) -> u64 {
        let is_in = |minutes: &u64| (minutes * 54..=minutes * 60).contains(&wait.as_secs());
        [1, 5, 20, 60].into_iter().find(is_in).unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_is_silent_is_left_alone_for_longer_and_longer() {
        let (mut book, mut now) = (Book::default(), Instant::now());
        let want = |book: &mut Book, now| book.want([guest(GuestKind::Qemu, 100)].into_iter(), now);
        want(&mut book, now);
        assert_eq!(ask(&mut book, 100, now, settings(true)).0, Step::Settings);
        assert_eq!(book.open([100].into_iter()), 1);
        assert_eq!(ask(&mut book, 100, now, interfaces("192.0.2.5")).0, Step::Agent);
        assert_eq!(book.open([100].into_iter()), 0);
        for minutes in [5, 20, 60, 60] {
            now += Duration::from_mins(5);
            want(&mut book, now);
            if book.guests[&100].step(now) == Step::Settings {
                ask(&mut book, 100, now, settings(true));
            }
            let (step, wait) = ask(&mut book, 100, now, silent());
            assert_eq!((step, about(wait)), (Step::Agent, minutes), "{minutes}");
            assert!(book.told(GuestKind::Qemu, 100).is_some(), "what it said last stands");
            want(&mut book, now + wait / 2);
            assert!(book.is_empty(), "it is left alone");
            now += wait;
        }
        book.renew(100, now);
        want(&mut book, now);
        assert_eq!(ask(&mut book, 100, now, settings(true)).0, Step::Settings);
        assert_eq!(about(ask(&mut book, 100, now, silent()).1), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_agent_is_never_asked() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.want([guest(GuestKind::Qemu, 100)].into_iter(), now);
        let (step, wait) = ask(&mut book, 100, now, settings(false));
        assert_eq!((step, about(wait), book.is_empty()), (Step::Settings, 60, true));
        book.want([guest(GuestKind::Qemu, 100)].into_iter(), now + SETTLED);
        assert_eq!(ask(&mut book, 100, now + SETTLED, settings(false)).0, Step::Settings);
        assert_eq!(book.told(GuestKind::Qemu, 100), None);
    }

    #[tokio::test(start_paused = true)]
    async fn containers_are_asked_themselves_and_early_ones_again_soon() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.want([guest(GuestKind::Lxc, 200)].into_iter(), now);
        assert_eq!(ask(&mut book, 200, now, settings(false)).0, Step::Settings);
        let (step, wait) = ask(&mut book, 200, now, interfaces("fe80::1"));
        assert_eq!((step, about(wait)), (Step::Container, 1));
        let later = now + EARLY;
        book.want([guest(GuestKind::Lxc, 200)].into_iter(), later);
        assert_eq!(about(ask(&mut book, 200, later, interfaces("192.0.2.5")).1), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn another_guest_inherits_nothing() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.want([guest(GuestKind::Lxc, 200)].into_iter(), now);
        ask(&mut book, 200, now, settings(false));
        ask(&mut book, 200, now, interfaces("192.0.2.5"));
        assert!(book.told(GuestKind::Lxc, 200).is_some());
        assert_eq!(book.told(GuestKind::Qemu, 200), None);
        book.want([guest(GuestKind::Qemu, 200)].into_iter(), now);
        assert_eq!(book.told(GuestKind::Qemu, 200), None);
        book.forget(200);
        assert!(book.is_empty());
        // An answer that comes too late finds nobody.
        book.settle(&guest(GuestKind::Qemu, 200), interfaces("192.0.2.5"), now);
        assert_eq!(book.told(GuestKind::Qemu, 200), None);
    }

    #[tokio::test(start_paused = true)]
    async fn those_never_asked_come_first_and_who_finds_no_place_waits() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.want([guest(GuestKind::Lxc, 200)].into_iter(), now);
        ask(&mut book, 200, now, settings(false));
        ask(&mut book, 200, now, interfaces("192.0.2.5"));
        let later = now + GOOD;
        book.want([200, 300].map(|vmid| guest(GuestKind::Lxc, vmid)).into_iter(), later);
        assert!(book.next(later, |_, _| None::<()>).is_none());
        let next = book.next(later, |guest, _| (guest.vmid != 300).then_some(())).expect("one with a place");
        assert_eq!((next.0.vmid, next.1), (200, Step::Container));
        book.settle(&next.0, failed(Reason::Busy("full".into())), later);
        assert_eq!(ask(&mut book, 300, later, settings(false)).0, Step::Settings);
        book.rest(later + Duration::from_mins(1), Duration::from_mins(10));
        assert!(!book.is_empty());
        book.rest(later + Duration::from_mins(10), Duration::from_mins(10));
        assert!(book.is_empty(), "nobody wants it any more");
    }
}
