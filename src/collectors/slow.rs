//! What the slow lane knows of a collector: how long its values are good, what it asks about, and how.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::config::CollectorSettings;
use crate::inventory::{GuestKind, Inventory, Resources};
use crate::metrics::Family;
use crate::pve::{Answer, Error, Path, Permit, Reason};

/// A collector of the slow lane.
#[derive(Clone, Copy)]
pub struct Slow {
    /// A value older than this is asked for again when a scrape wants it.
    pub ttl: Duration,
    /// What one call tells about.
    pub per: Per,
    /// Whether the call can hold its worker for long on the node: agent, storage, disks, `metrics/export`.
    pub blocks: bool,
    /// So many of its calls at once, whatever the number of nodes: one, where they would hold each other up. None: as many
    /// as the gates of the nodes allow.
    pub max_in_flight: Option<usize>,
    /// Whether it wants to know all guests while it asks.
    pub sees_all: bool,
    /// Asks about one subject and shapes the answer.
    pub fetch: for<'a> fn(&'a Ask<'a>) -> Asking<'a>,
}

/// What one call tells about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// The cluster as a whole.
    Cluster,
    /// Each node that is online.
    Node,
    /// Each guest whose node is online.
    Guest,
    /// Each guest that runs, on a node that is online.
    Running,
    /// The VMs among them.
    RunningVms,
}

/// One thing to ask about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The cluster as a whole.
    Cluster,
    /// A node.
    Node(Arc<str>),
    /// A guest, and the node it is on.
    Guest {
        /// VM or container.
        kind: GuestKind,
        /// Its number.
        vmid: u64,
        /// Where it is.
        node: Arc<str>,
    },
}

/// A question under way. A missing feature (501 of an older PVE) is the collector's to tell from a failure.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Vec<Family>, Error>> + Send + 'a>>;

/// One subject with the means to ask about it.
pub struct Ask<'a> {
    inventory: &'a Inventory,
    subject: &'a Subject,
    permit: &'a Permit,
    settings: &'a CollectorSettings,
    resources: Option<&'a Resources>,
    /// A call that was given up: its worker is busy still, and one place is for one worker.
    given_up: OnceLock<Error>,
    calls: AtomicU64,
}

impl<'a> Ask<'a> {
    /// For the lane, which has a place at the node's gate. `resources` are as they were when somebody wanted to know.
    pub fn new(
        inventory: &'a Inventory,
        subject: &'a Subject,
        permit: &'a Permit,
        settings: &'a CollectorSettings,
        resources: Option<&'a Resources>,
    ) -> Self {
        let (given_up, calls) = (OnceLock::new(), AtomicU64::new(0));
        Self { inventory, subject, permit, settings, resources, given_up, calls }
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// What it is about.
    pub fn subject(&self) -> &'a Subject {
        self.subject
    }

    /// For what is remembered from one answer to the next.
    pub fn inventory(&self) -> &'a Inventory {
        self.inventory
    }

    /// What the configuration says of the collector.
    pub fn settings(&self) -> &'a CollectorSettings {
        self.settings
    }

    /// All that there is, where the collector wants to know it; see [`Slow::sees_all`].
    pub fn resources(&self) -> Option<&'a Resources> {
        self.resources
    }

    /// The same where nothing can be told without it. That nobody knew when the question was put is no failure: what was
    /// told before stands, and it is put again.
    pub fn all(&self) -> Result<&'a Resources, Error> {
        let unknown = || Error {
            endpoint: self.inventory.cluster().to_owned(),
            path: "/cluster/resources".to_owned(),
            reason: Reason::Busy("not asked: it is not known which guests there are".to_owned()),
        };
        self.resources.ok_or_else(unknown)
    }

    /// `GET` of one of the collector's `calls`; `{node}`, `{type}` and `{vmid}` are those of the subject.
    pub async fn get(&self, call: &'static str) -> Result<Answer, Error> {
        self.get_with(call, &[]).await
    }

    /// The same, with values for further braces.
    pub async fn get_with(&self, call: &'static str, values: &[(&'static str, &str)]) -> Result<Answer, Error> {
        if let Some(error) = self.given_up.get() {
            return Err(error.clone());
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = self.send(call, values).await;
        if let Err(error @ Error { reason: Reason::Timeout(_), .. }) = &answer {
            // Set but once: nothing is asked afterwards.
            let _ = self.given_up.set(error.clone());
        }
        answer
    }

    async fn send(&self, call: &'static str, values: &[(&'static str, &str)]) -> Result<Answer, Error> {
        let client = self.inventory.client();
        match self.subject {
            Subject::Cluster => client.get_slow(&Path::new(call, values), self.permit).await,
            Subject::Node(node) => {
                let values = [&[("node", &**node)], values].concat();
                client.get_node(&Path::new(call, &values), self.permit).await
            }
            Subject::Guest { kind, vmid, node } => {
                let vmid = vmid.to_string();
                let values = [&[("node", &**node), ("type", kind.as_str()), ("vmid", &vmid)], values].concat();
                client.get_node(&Path::new(call, &values), self.permit).await
            }
        }
    }
}
