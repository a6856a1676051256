//! Addresses of running guests, from themselves: asked only because somebody wants them, in the background, through the
//! gate of their node.
//!
//! ```text
//! who wants them → want: queues those that are due, starts the driver if it rests
//!                → told: what each said last;  settled: waits for those that were never asked
//! driver         → book: the configuration first, then the container or, where there is one, the agent
//! ```
//!
//! An agent can be silent for three seconds with a worker of its node in hand. So it counts as blocking, is left alone for
//! up to an hour afterwards (book), and the agents of a node rest for as long as the last of them took.

mod book;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Inventory;
use crate::pve::{self, Error, Path, Permit, Reason};
use book::{Book, Outcome, Step};
pub use book::{Network, Running};

/// Calls of one cluster at once, whatever the number of its nodes.
const BUDGET: usize = 8;
/// After so long without anybody who wants addresses, those that wait are not asked.
const PATIENCE: Duration = Duration::from_mins(10);
/// Agents of one node rest for at least so long between two calls, so that others who need its worker get it.
const LEAST_REST: Duration = Duration::from_millis(100);

/// The addresses of one cluster's guests; cheap to clone.
#[derive(Clone)]
pub struct Addresses(Arc<Shared>);

struct Shared {
    inventory: Arc<Inventory>,
    state: Mutex<State>,
    /// Somebody wants something.
    news: Notify,
    /// Something was settled.
    settled: Notify,
    forbidden: AtomicBool,
}

#[derive(Default)]
struct State {
    book: Book,
    driving: bool,
    /// Until when the agents of a node rest.
    resting: HashMap<Arc<str>, Instant>,
    /// Changes of what is told.
    version: u64,
    closed: bool,
}

struct Done {
    guest: Running,
    step: Step,
    outcome: Outcome,
    took: Duration,
}

impl Addresses {
    /// Nothing is asked before somebody wants it.
    pub fn new(inventory: Arc<Inventory>) -> Self {
        let (state, forbidden) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Shared { inventory, state, news: Notify::new(), settled: Notify::new(), forbidden }))
    }

    /// Somebody wants to know the addresses of these. Must run on the runtime.
    pub fn want(&self, guests: impl Iterator<Item = Running>) {
        let mut state = self.0.lock();
        state.book.want(guests, Instant::now());
        let start = !state.book.is_empty() && !state.driving && !state.closed;
        state.driving |= start;
        drop(state);
        if start {
            tokio::spawn(drive(Arc::clone(&self.0)));
        } else {
            self.0.news.notify_one();
        }
    }

    /// What a guest said last.
    pub fn told(&self, guest: &Running) -> Option<Arc<Network>> {
        self.0.lock().book.told(guest.kind, guest.vmid)
    }

    /// Waits until each of these that are wanted was asked once; gives how many were not by the deadline.
    pub async fn settled(&self, vmids: &[u64], deadline: Instant) -> usize {
        loop {
            // Registered before looking, so that nothing that happens in between is missed.
            let settled = self.0.settled.notified();
            let open = self.0.lock().book.open(vmids.iter().copied());
            if open == 0 || timeout_at(deadline, settled).await.is_err() {
                return open;
            }
        }
    }

    /// The number belongs to another guest now, or to none.
    pub fn forget(&self, vmid: u64) {
        self.0.lock().book.forget(vmid);
    }

    /// The guest was switched on: it may say something else, and its agent may be there now.
    pub fn renew(&self, vmid: u64) {
        self.0.lock().book.renew(vmid, Instant::now());
    }

    /// Another number than before where something else may be told.
    pub fn version(&self) -> u64 {
        self.0.lock().version
    }

    /// Nobody will ask any more: those that wait are not asked.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.news.notify_one();
    }
}

async fn drive(shared: Arc<Shared>) {
    let mut under_way: JoinSet<Done> = JoinSet::new();
    loop {
        // Registered before looking, so that nothing that happens in between is missed.
        let freed = shared.inventory.client().gate().changed();
        let news = shared.news.notified();
        let rested = start(&shared, &mut under_way);
        if under_way.is_empty() && shared.rest() {
            return;
        }
        tokio::select! {
            Some(ended) = under_way.join_next() => {
                if let Ok(done) = ended {
                    shared.settle(done);
                }
            }
            () = freed => {}
            () = news => {}
            () = sleep_until(rested) => {}
        }
    }
}

/// Starts what the gates and the budget allow; gives the time to look again.
fn start(shared: &Arc<Shared>, under_way: &mut JoinSet<Done>) -> Instant {
    while under_way.len() < BUDGET {
        let Some((guest, step, permit)) = shared.next() else { break };
        let shared = Arc::clone(shared);
        under_way.spawn(async move {
            let asked = Instant::now();
            let outcome = ask(&shared.inventory, &guest, step, &permit).await.unwrap_or_else(Outcome::Failed);
            Done { guest, step, outcome, took: asked.elapsed() }
        });
    }
    let now = Instant::now();
    let state = shared.lock();
    let rested = state.resting.values().filter(|until| **until > now).min();
    rested.copied().unwrap_or(now + PATIENCE)
}

async fn ask(inventory: &Inventory, guest: &Running, step: Step, permit: &Permit) -> Result<Outcome, Error> {
    let vmid = guest.vmid.to_string();
    let values = [("node", &*guest.node), ("type", guest.kind.as_str()), ("vmid", &vmid)];
    let get = async |call| inventory.client().get_node(&Path::new(call, &values), permit).await;
    Ok(match step {
        Step::Settings => {
            let answer = get("/nodes/{node}/{type}/{vmid}/config").await?;
            let config = pve::guest_config(&answer)?;
            Outcome::Settings { agent: config.has_agent(), first_mac: config.first_mac() }
        }
        Step::Container => {
            let answer = get("/nodes/{node}/lxc/{vmid}/interfaces").await?;
            pve::container_interfaces(&answer)?.map_or(Outcome::Stopped, Outcome::Interfaces)
        }
        Step::Agent => {
            let answer = get("/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces").await?;
            Outcome::Interfaces(pve::agent_interfaces(&answer)?)
        }
    })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(Running, Step, Permit)> {
        let now = Instant::now();
        let mut guard = self.lock();
        let State { book, resting, closed, .. } = &mut *guard;
        if *closed {
            return None;
        }
        resting.retain(|_, until| *until > now);
        // At each node only the first of either kind is tried: the others have no better chance.
        let mut full: HashSet<(Arc<str>, bool)> = HashSet::new();
        book.next(now, |guest, step| {
            let (node, blocks) = (&guest.node, step == Step::Agent);
            if (blocks && resting.contains_key(node)) || full.contains(&(Arc::clone(node), blocks)) {
                return None;
            }
            let permit = self.inventory.client().gate().try_enter(node, blocks);
            if permit.is_none() {
                full.insert((Arc::clone(node), blocks));
            }
            permit
        })
    }

    /// Whether nothing is left to do; the driver then ends.
    fn rest(&self) -> bool {
        let mut state = self.lock();
        state.book.rest(Instant::now(), PATIENCE);
        state.driving = !state.book.is_empty() && !state.closed;
        !state.driving
    }

    fn settle(&self, done: Done) {
        let Done { guest, step, outcome, took } = done;
        let now = Instant::now();
        if let Outcome::Failed(error) = &outcome {
            self.log(&guest, error);
        }
        let mut state = self.lock();
        if step == Step::Agent {
            state.resting.insert(Arc::clone(&guest.node), now + took.max(LEAST_REST));
        }
        state.book.settle(&guest, outcome, now);
        state.version += 1;
        drop(state);
        self.settled.notify_waiters();
    }

    /// A right that is missing is told once; that an agent is silent is an everyday matter.
    fn log(&self, guest: &Running, error: &Error) {
        let (cluster, vmid) = (self.inventory.cluster(), guest.vmid);
        tracing::debug!(cluster, vmid, node = &*guest.node, %error, "the addresses of a guest are not told");
        if matches!(error.reason, Reason::Forbidden(_)) && !self.forbidden.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                cluster,
                vmid,
                %error,
                "addresses of guests are forbidden: VMs need VM.GuestAgent.Audit (before Proxmox VE 9 VM.Monitor), which \
                 PVEAuditor has from 9.0 on, containers VM.Audit"
            );
        }
    }
}
