//! The listeners, routes and pages.
//!
//! ```text
//! listen     an address → a listener; listener: the same of sockets in the file system, and who comes in
//! front      what all connections share: the site as it is now, which a reload replaces as a whole
//! serve      the loop: accept (clients), crowd (all connections: room for new ones, the end)
//! heart      whether the loops turn
//! connection one client: phase (what it is doing, and how long it may), wire (TCP, TLS over it, a socket)
//! door       who may come in: tls (certificates, read again when they change), guard (names and passwords)
//! routes     the table: path → page; 401, 404, 405, counting and logging
//! landing    GET /            health     GET /-/healthy, /-/ready
//! exposition GET /metrics:    query (cluster, collect[]), negotiate (format, gzip), body (chunks as they are pulled),
//!            gzip (compressed once for all who ask at once)
//! host       GET /host: one host over SSH, by itself
//! reference  GET /pve: the same for one target, in the reference exporter's words
//! packed     whole answers, compressed where that is asked for
//! sd         GET /sd/clusters, /sd/hosts, /sd/guests: targets for Prometheus
//! reload     POST /-/reload
//! api        /api/…: to the desk of the API and back
//! reply      what all answers share
//! ```

mod accept;
mod api;
mod body;
mod connection;
mod crowd;
mod door;
mod exposition;
mod front;
mod guard;
mod gzip;
mod health;
mod heart;
mod host;
mod landing;
mod listen;
mod listener;
mod negotiate;
mod packed;
mod phase;
mod query;
mod reference;
mod reload;
mod reply;
mod routes;
mod sd;
mod serve;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::api::Desk;
use crate::discovery::Discovery;
use crate::metrics::{Own, Part};
use crate::scrape::{ReferenceQuery, Refusal, Round, Scraper, UnknownName};

pub use door::Door;
pub use front::Front;
pub use heart::{Heart, Pulse};
pub use listen::bind;
pub use listener::Listener;
use listener::Side;
pub use reload::Reload;
pub use serve::{serve, serve_control};

/// What the pages are made from, and who may see them: all that one reading of the configuration says.
pub struct Site {
    rounds: Rounds,
    references: References,
    hosts: Hosts,
    clusters: Vec<String>,
    own: Arc<Own>,
    compressed: gzip::Pages,
    version: String,
    limits: Limits,
    door: Door,
    /// The same of the listeners of `[control]`.
    control_door: Door,
    /// Who answers what begins with `/api`.
    desk: Desk,
    discovery: Arc<Discovery>,
    /// Whether our own port speaks TLS.
    tls: bool,
    /// Where wishes to read the configuration again go; none where there is no file to read.
    reloads: Option<mpsc::Sender<Reload>>,
    draining: Arc<AtomicBool>,
}

/// What a client may use up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; for a further one that is closed which has waited longest without a request, if any.
    /// Default 512.
    pub connections: usize,
    /// How long a new connection may take for TLS, the head of its first request and the check of its password.
    /// Default 10 s.
    pub first_request_timeout: Duration,
    /// How long the body of a request to the API may take. Default 5 s.
    pub body_timeout: Duration,
    /// How long after an answer the head of the next request may take. Default 75 s, so that a scraper that comes
    /// every minute keeps its connection.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer. Default 30 s.
    pub write_timeout: Duration,
    /// How long a client may take for a whole answer, once it is ready to be sent. Default 90 s.
    pub answer_timeout: Duration,
    /// How long requests may go on after the shutdown began. Default 10 s.
    pub drain: Duration,
    /// Bytes of a request's head; default 32 KiB.
    pub header_bytes: usize,
    /// Header lines of a request; default 100.
    pub headers: usize,
}

/// A scrape as a client asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    /// The values of `cluster`; none means all.
    clusters: Vec<String>,
    /// The values of `collect[]`; none means all.
    collect: Vec<String>,
    /// The client's own timeout.
    timeout: Option<Duration>,
}

/// Where drop-in pages come from.
type References =
    Box<dyn Fn(ReferenceQuery, Option<Duration>) -> BoxFuture<'static, Result<Vec<Arc<Part>>, Refusal>> + Send + Sync>;

/// Where pages of single hosts come from.
type Hosts =
    Box<dyn Fn(Option<String>, Option<Duration>) -> BoxFuture<'static, Result<Vec<Arc<Part>>, Refusal>> + Send + Sync>;

/// Where rounds come from: the scraper, or what a test makes up.
type Rounds = Box<dyn Fn(Asked) -> BoxFuture<'static, Result<Round, UnknownName>> + Send + Sync>;

impl Site {
    /// Pages over what `scraper` finds; `version` is shown on the landing page.
    pub fn new(scraper: Arc<Scraper>, own: Arc<Own>, version: &str, limits: Limits) -> Self {
        let clusters = scraper.cluster_names();
        let referring = Arc::clone(&scraper);
        let references: References = Box::new(move |query, timeout| {
            let scraper = Arc::clone(&referring);
            async move { scraper.reference(&query, timeout).await }.boxed()
        });
        let keep = scraper.max_age();
        let telling = Arc::clone(&scraper);
        let hosts: Hosts = Box::new(move |target, timeout| {
            let scraper = Arc::clone(&telling);
            async move { scraper.host(target.as_deref(), timeout).await }.boxed()
        });
        let rounds: Rounds = Box::new(move |asked| {
            let scraper = Arc::clone(&scraper);
            async move {
                let selection = scraper.select(&asked.clusters, &asked.collect)?;
                Ok(scraper.scrape(&selection, asked.timeout).await)
            }
            .boxed()
        });
        Self {
            rounds,
            references,
            hosts,
            clusters,
            own,
            compressed: gzip::Pages::new(keep),
            version: version.to_owned(),
            limits,
            door: Door::default(),
            control_door: Door::default(),
            desk: Desk::default(),
            discovery: Arc::default(),
            tls: false,
            reloads: None,
            draining: Arc::default(),
        }
    }

    /// The same behind `door`; without, everybody may come in.
    #[must_use]
    pub fn behind(mut self, door: Door) -> Self {
        self.door = door;
        self
    }

    /// The same with another door for the listeners of `[control]`.
    #[must_use]
    pub fn behind_control(mut self, door: Door) -> Self {
        self.control_door = door;
        self
    }

    /// The same with `desk` for the API; without, it knows nobody there.
    #[must_use]
    pub fn with_desk(mut self, desk: Desk) -> Self {
        self.desk = desk;
        self
    }

    /// The same with what is known of guests and hosts; `tls`: whether our own port speaks TLS.
    #[must_use]
    pub fn discovering(mut self, discovery: Arc<Discovery>, tls: bool) -> Self {
        (self.discovery, self.tls) = (discovery, tls);
        self
    }

    /// The same with somebody who reads the configuration again.
    #[must_use]
    pub fn reloading(mut self, wishes: mpsc::Sender<Reload>) -> Self {
        self.reloads = Some(wishes);
        self
    }

    fn door(&self, side: Side) -> &Door {
        match side {
            Side::Web => &self.door,
            Side::Control => &self.control_door,
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            first_request_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(90),
            drain: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            headers: 100,
        }
    }
}
