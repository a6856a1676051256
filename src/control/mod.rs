//! Guests switched on and off: exactly what was asked, once, and the truth about the outcome.
//!
//! ```text
//! guests     POST /api/v1/guests/{cluster}/{vmid}/{action}: the wish, whose it is, how long its caller waits
//!   dry      what would be sent
//! batch      POST /api/v1/batch: many guests, each as if it were asked for alone; batches: what the journal has of them
//! tasks      GET /api/v1/tasks, of everybody, by the reading credential
//!   action   action × kind × state → an order, nothing, or a refusal (pure)
//!   guest    where a guest is now, and what its own node says of it
//!   job      one order from the look to the end: audit and journal → POST → task → the guest's state
//!   follow   tasks and states, until they are what they become; lost answers
//!   ending   what is answered and written down (pure)
//! keep       what outlives a configuration: the lock of state_dir, the journal, orders under way
//! refused    orders that were refused before anybody looked at them
//! audit      the file of decisions          upid   names of tasks          docs   for the OpenAPI document
//! rights     what an acting credential may do, for those who set it up
//! ```
//!
//! Nothing is sent before audit and journal are safe on disk, and no order twice: after a lost answer, its task is looked for.

mod action;
mod audit;
mod batch;
mod batches;
mod docs;
mod dry;
mod ending;
mod follow;
mod guest;
mod guests;
mod job;
mod journal;
mod keep;
mod refused;
mod rights;
mod tasks;
mod upid;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{Code, Error, Route};
use crate::inventory::Inventory;
use crate::metrics::Own;
use crate::pve::Writer;

pub use action::Action;
use audit::Audit;
pub use keep::Keep;
pub use rights::{Finding, State, check};
use refused::Refused;

/// One cluster.
pub struct Acting {
    name: String,
    /// With the reading credential.
    inventory: Arc<Inventory>,
    /// `None`: nothing is switched here.
    writer: Option<Writer>,
}

/// What one configuration lets be done.
pub struct Control {
    clusters: Vec<Arc<Acting>>,
    /// Absent where no cluster has an acting credential.
    books: Option<Books>,
    own: Arc<Own>,
    refused: Refused,
    /// Since 1970.
    now: fn() -> Duration,
}

/// Where it is written down.
#[derive(Clone)]
struct Books {
    keep: Arc<Keep>,
    audit: Arc<Audit>,
}

impl Acting {
    /// A cluster; `writer` is there where it has an acting credential.
    pub fn new(inventory: Arc<Inventory>, writer: Option<Writer>) -> Self {
        Self { name: inventory.cluster().to_owned(), inventory, writer }
    }
}

impl Control {
    /// `now` tells the time since 1970. `books` are what outlives a configuration, and the file of decisions; without them
    /// nothing is switched. Fails with a sentence for the administrator.
    pub fn new(
        clusters: Vec<Arc<Acting>>,
        books: Option<(Arc<Keep>, &Path)>,
        own: Arc<Own>,
        now: fn() -> Duration,
    ) -> Result<Self, String> {
        let open = |(keep, path): (_, &Path)| Ok::<_, String>(Books { keep, audit: Arc::new(Audit::open(path)?) });
        Ok(Self { clusters, books: books.map(open).transpose()?, own, refused: Refused::default(), now })
    }

    /// What can be asked.
    pub fn routes(self: &Arc<Self>) -> Vec<Route> {
        guests::routes(self).into_iter().chain([batch::route(self)]).chain(tasks::routes(self)).collect()
    }

    /// Finds out what became of orders that another life of this process began and did not see end. Must run on the runtime.
    pub fn recover(self: &Arc<Self>) {
        guests::recover(self);
    }

    fn cluster(&self, name: &str) -> Result<&Arc<Acting>, Error> {
        self.clusters.iter().find(|cluster| cluster.name == name).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            let known: Vec<&str> = self.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
            Error::new(Code::NotFound, format!("there is no cluster {shown:?}; there are {}", known.join(", ")))
        })
    }
}
