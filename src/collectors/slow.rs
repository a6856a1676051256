//! What the slow lane knows of a collector: how long its values are good, what it asks about, and how.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::inventory::GuestKind;
use crate::metrics::Family;
use crate::pve::{Answer, Client, Error, Path, Permit};

/// A collector of the slow lane.
#[derive(Clone, Copy)]
pub struct Slow {
    /// A value older than this is asked for again when a scrape wants it.
    pub ttl: Duration,
    /// What one call tells about.
    pub per: Per,
    /// Whether the call can hold its worker for long on the node: agent, storage, disks, `metrics/export`.
    pub blocks: bool,
    /// Whether its calls are made one after the other, whatever the number of nodes: they would hold each other up.
    pub in_turn: bool,
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
    client: &'a Client,
    subject: &'a Subject,
    permit: &'a Permit,
}

impl<'a> Ask<'a> {
    /// For the lane, which has a place at the node's gate.
    pub fn new(client: &'a Client, subject: &'a Subject, permit: &'a Permit) -> Self {
        Self { client, subject, permit }
    }

    /// What it is about.
    pub fn subject(&self) -> &'a Subject {
        self.subject
    }

    /// `GET` of one of the collector's `calls`; `{node}`, `{type}` and `{vmid}` are those of the subject.
    pub async fn get(&self, call: &'static str) -> Result<Answer, Error> {
        match self.subject {
            Subject::Cluster => self.client.get_slow(&Path::from(call), self.permit).await,
            Subject::Node(node) => self.client.get_node(&Path::new(call, &[("node", node)]), self.permit).await,
            Subject::Guest { kind, vmid, node } => {
                let values = [("node", &**node), ("type", kind.as_str()), ("vmid", &vmid.to_string())];
                self.client.get_node(&Path::new(call, &values), self.permit).await
            }
        }
    }
}
