//! Guests, nodes and hosts switched on and off: exactly what was asked, once, and the truth about the outcome.
//!
//! ```text
//! guests     POST /api/v1/guests/{cluster}/{vmid}/{action}: the wish, whose it is, how long its caller waits
//!   dry      what would be sent
//! batch      POST /api/v1/batch: many guests, each as if it were asked for alone; batches: what the journal has of them
//! machines   POST /api/v1/nodes/… and /api/v1/hosts/…: nodes and hosts, by Proxmox VE, over SSH, or woken by a packet
//! tasks      GET /api/v1/tasks, of everybody, by the reading credential
//!   action   action × kind × state → an order, nothing, or a refusal (pure)
//!   guest    where a guest is now, and what its own node says of it
//!   job      one order from the look to the end: audit and journal → POST → task → the guest's state
//!   follow   tasks and states, until they are what they become; lost answers
//!   ending   what is answered and written down (pure)
//! keep       what outlives a configuration: the lock of state_dir, the journal, orders under way
//! refused    orders that were refused before anybody looked at them
//! books      what is written down, and when
//! audit      the file of decisions          upid   names of tasks          docs   for the OpenAPI document
//! lines      files that grow by whole lines
//! rights     what an acting credential may do, for those who set it up
//! ```
//!
//! Nothing is sent before audit and journal are safe on disk, and no order twice: after a lost answer, its task is looked for.

mod action;
mod audit;
mod batch;
mod batches;
mod books;
mod docs;
mod dry;
mod ending;
mod follow;
mod guest;
mod guests;
mod job;
mod journal;
mod keep;
mod lines;
mod machines;
mod refused;
mod rights;
mod tasks;
mod upid;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{Code, Error, Route};
use crate::config::{ClusterSsh, Host, Wake};
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::pve::Writer;
use crate::ssh;

pub use action::Action;
use audit::Audit;
use books::Books;
pub use keep::Keep;
use refused::Refused;
pub use rights::{Finding, State, check};

/// One cluster.
pub struct Acting {
    name: String,
    /// With the reading credential.
    inventory: Arc<Inventory>,
    /// `None`: no guest is switched here.
    writer: Option<Writer>,
    /// Where nodes are hosts.
    ssh: Option<ClusterSsh>,
    /// How nodes are woken by a packet of our own, by name.
    wakes: BTreeMap<String, Wake>,
}

/// Machines that are no nodes, and who speaks SSH to all of them.
pub struct Machines {
    hosts: Vec<Arc<Host>>,
    client: ssh::Client,
}

/// What one configuration lets be done.
pub struct Control {
    clusters: Vec<Arc<Acting>>,
    /// Absent where nothing in the configuration says who acts.
    books: Option<Books>,
    machines: Machines,
    own: Arc<Own>,
    refused: Refused,
    /// Since 1970.
    now: fn() -> Duration,
}

impl Acting {
    /// A cluster; `writer` is there where it has an acting credential.
    pub fn new(inventory: Arc<Inventory>, writer: Option<Writer>) -> Self {
        let name = inventory.cluster().to_owned();
        Self { name, inventory, writer, ssh: None, wakes: BTreeMap::new() }
    }

    /// The same with what its nodes can be switched by.
    #[must_use]
    pub fn with_nodes(self, ssh: Option<ClusterSsh>, wakes: BTreeMap<String, Wake>) -> Self {
        Self { ssh, wakes, ..self }
    }
}

impl Machines {
    /// The machines of `[[hosts]]`.
    pub fn new(hosts: &[Host], client: ssh::Client) -> Self {
        Self { hosts: hosts.iter().cloned().map(Arc::new).collect(), client }
    }
}

impl Control {
    /// `now` tells the time since 1970. `books` are what outlives a configuration, and the file of decisions; without them
    /// nothing is switched. Fails with a sentence for the administrator.
    pub fn new(
        clusters: Vec<Arc<Acting>>,
        machines: Machines,
        books: Option<(Arc<Keep>, &Path)>,
        own: Arc<Own>,
        now: fn() -> Duration,
    ) -> Result<Self, String> {
        let open = |(keep, path): (_, &Path)| Ok::<_, String>(Books { keep, audit: Arc::new(Audit::open(path)?) });
        let books = books.map(open).transpose()?;
        Ok(Self { clusters, machines, books, own, refused: Refused::default(), now })
    }

    /// What can be asked.
    pub fn routes(self: &Arc<Self>) -> Vec<Route> {
        let of_machines = machines::routes(self);
        [guests::routes(self), vec![batch::route(self)], of_machines, tasks::routes(self)].concat()
    }

    /// Finds out what became of orders that another life of this process began and did not see end. Must run on the runtime.
    pub fn recover(self: &Arc<Self>) {
        guests::recover(self);
        machines::recover(self);
    }

    fn cluster(&self, name: &str) -> Result<&Arc<Acting>, Error> {
        self.clusters.iter().find(|cluster| cluster.name == name).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            let known: Vec<&str> = self.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
            Error::new(Code::NotFound, format!("there is no cluster {shown:?}; there are {}", known.join(", ")))
        })
    }
}
