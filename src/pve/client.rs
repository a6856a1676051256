//! One cluster's client: what callers may ask, and what they may tell it.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::asking::Asking;
use super::endpoints::Endpoints;
use super::entries::Entries;
use super::error::{Error, LOGIN, Reason};
use super::gate::{Gate, Permit};
use super::known::KnownEndpoint;
use super::minted::MintedToken;
use super::path::Path;
use super::resources::Taker;
use super::shown::ShownAt;
use super::tls::Roots;
use super::transport::{Call, Line, Transport};
use super::{fast, slow};
use crate::config::Cluster;
use crate::metrics::Own;

/// Asks one cluster's API; read-only. Where a user stands in the configuration instead of a token, calls first wait, for a
/// minute at most, until it is logged in.
pub struct Client(Arc<Asking>);

/// Bounds of every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body that is read, in bytes.
    pub max_body: u64,
}

impl Client {
    /// A client that has not connected yet. Fails with a sentence for the administrator.
    pub fn new(cluster: &Cluster, limits: Limits, roots: &Roots, own: Arc<Own>) -> Result<Self, String> {
        let transport = Transport::new(cluster, limits.max_body, roots, own)
            .map_err(|what| format!("cluster {}: {what}", cluster.name))?;
        let (endpoints, gate) = (Endpoints::new(cluster), Gate::default());
        let identity = cluster.credential.identity().to_owned();
        Ok(Self(Arc::new(Asking { cluster: cluster.name.clone(), identity, transport, endpoints, gate })))
    }

    /// The configured name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.0.cluster
    }

    /// The token that is to be made for it, where the configuration says so: calls fail until it is put there.
    pub fn minted(&self) -> Option<Arc<MintedToken>> {
        self.0.transport.minted().map(Arc::clone)
    }

    /// Who we are to the API: `user@realm!name` or `user@realm`.
    pub fn identity(&self) -> &str {
        &self.0.identity
    }

    /// Fast lane: a cheap call that every endpoint answers, `/cluster/resources`, `/cluster/status` or `/version`.
    ///
    /// Ends by itself within 60 s; who cannot wait drops it, which the endpoint's health hears of. Asks well endpoints
    /// in configured order, the next one at once after a failure, and after a second without an answer once more.
    pub async fn get(&self, path: &'static str) -> Result<Answer, Error> {
        fast::get(&self.0, &Path::from(path)).await
    }

    /// Fast lane: `/cluster/resources`, each entry handed on while the answer is on its way, so that a long one need never
    /// be there as a whole. Who answered, and what took the entries, made by `taker` for each attempt. Ends as
    /// [`Self::get`] does; what does not parse is told as [`resources`](super::resources()) tells it.
    pub async fn resources<T: Taker>(&self, taker: impl Fn() -> T + Sync) -> Result<(Answer<()>, T), Error> {
        let path = Path::from("/cluster/resources");
        let intake = |announced| Entries::new(taker(), announced);
        fast::take(&self.0, Call { path: &path, intake: &intake }).await?.finish()
    }

    /// Fast lane: the same of one address of the configuration and of no other.
    pub async fn get_at(&self, address: &str, path: &'static str) -> Result<Answer, Error> {
        let Some(index) = self.0.endpoints.index(address) else {
            let reason = Reason::Unreachable("it is no address of the configuration".to_owned());
            return Err(Error { endpoint: address.to_owned(), path: path.to_owned(), reason });
        };
        self.0.attempt(index, Call::whole(&Path::from(path)), Line::Kept).await
    }

    /// The same, after the login where there is one; also of an answer from a path with names in it.
    pub async fn try_at(&self, address: &str, path: &Path) -> Result<Answer, Error> {
        let Some(index) = self.0.endpoints.index(address) else {
            let reason = Reason::Unreachable("it is no address of the configuration".to_owned());
            return Err(Error { endpoint: address.to_owned(), path: path.as_str().to_owned(), reason });
        };
        self.0.admitted(|| self.0.attempt(index, Call::whole(path), Line::Kept)).await
    }

    /// Slow lane: a call that any endpoint can answer. The permit is for one of [`Client::entry_nodes`].
    ///
    /// Ends by itself within 35 s for each endpoint that is asked; another one than that of the permit is asked only
    /// after it failed, and if its node has a place now. Several calls on one permit take turns.
    pub async fn get_slow(&self, path: &Path, permit: &Permit) -> Result<Answer, Error> {
        self.0.admitted(|| slow::get(&self.0, path, permit)).await
    }

    /// Slow lane: a call about one node, `/nodes/{node}/…`. The permit is for that node.
    ///
    /// Asked directly where `node_addresses` names the node, through an endpoint where no connection comes about there
    /// or none is configured. Ends by itself within 35 s, connections that fail not counted.
    pub async fn get_node(&self, path: &Path, permit: &Permit) -> Result<Answer, Error> {
        self.0.admitted(|| slow::get_node(&self.0, path, permit)).await
    }

    /// Where permits of the slow lane come from.
    pub fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// The certificates that the addresses of the configuration showed, of those that answered since the start.
    pub fn shown_certificates(&self) -> Vec<ShownAt> {
        self.0.transport.shown().all()
    }

    /// The node whose gate a call of the cluster passes now: that of the endpoint which is asked first, or the address
    /// of that endpoint while its name is unknown.
    pub fn entry_node(&self) -> String {
        self.0.endpoints.place(self.entry())
    }

    /// The same, and the nodes of the other endpoints that are well behind it while a call that was given up keeps its
    /// place there: what tells of the whole cluster is not to wait for one node.
    pub fn entry_nodes(&self) -> Vec<String> {
        let mut nodes = vec![self.entry_node()];
        if nodes.iter().any(|entry| self.0.gate.is_held(entry)) {
            let others = self.0.endpoints.order("").into_iter().skip(1).filter(|candidate| candidate.well);
            nodes.extend(others.map(|candidate| self.0.endpoints.place(candidate.index)));
        }
        nodes
    }

    /// Whether it is known which node that is.
    pub fn is_entry_known(&self) -> bool {
        self.0.endpoints.is_known(self.entry())
    }

    /// The node at one of the addresses of the configuration, if it is known by now.
    pub fn node_at(&self, address: &str) -> Option<String> {
        self.0.endpoints.node_at(address)
    }

    /// The address of the endpoint that is asked first now.
    pub fn asked(&self) -> String {
        self.0.endpoints.url(self.entry()).to_owned()
    }

    /// The error of a call that was not answered within this time: where nobody is logged in yet, it was the login.
    pub fn late(&self, path: &str, after: Duration) -> Error {
        let path = if self.0.is_admitted() { path } else { LOGIN };
        Error { endpoint: self.asked(), path: path.to_owned(), reason: Reason::Timeout(after) }
    }

    /// What is known of the endpoints, as configured.
    pub fn endpoints(&self) -> Vec<KnownEndpoint> {
        self.0.endpoints.known()
    }

    /// Told by whoever read an answer: the names of all nodes, lost ones included, and which of them answered
    /// (`local` in `/cluster/status`). By these names, endpoints of other clusters are recognised.
    pub fn learn<B>(&self, answer: &Answer<B>, nodes: &[&str], local: Option<&str>) {
        self.0.endpoints.learn(answer, nodes, local);
        if let Some(local) = local {
            self.0.gate.rename(answer.endpoint(), local);
        }
    }

    fn entry(&self) -> usize {
        self.0.endpoints.order("").first().map_or(0, |first| first.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Env};

    #[tokio::test]
    async fn the_cluster_is_asked_elsewhere_while_a_call_that_was_given_up_holds_its_place() {
        let text = "[[clusters]]\nname = \"home\"\nendpoints = [\"https://192.0.2.1:8006\", \"https://192.0.2.2:8006\"]\n\
                    token_id = \"a@pve!b\"\ntoken_secret = \"00000000-0000-0000-0000-000000000000\"\n";
        let parsed = config::parse(text, std::path::Path::new("x"), &Env::new(&|_| None), &[]);
        let config = parsed.expect("a configuration").config;
        let (limits, own) = (Limits { max_body: 1 << 20 }, Arc::new(Own::new("test")));
        let client = Client::new(&config.clusters[0], limits, &Roots::default(), own).expect("a client");
        let permit = client.gate().try_enter(&client.entry_node(), true).expect("a place");
        assert_eq!(client.entry_nodes(), ["https://192.0.2.1:8006"], "it is busy, and soon done");
        drop(permit.fly().await.expect("a call"));
        drop(permit);
        assert_eq!(client.entry_nodes(), ["https://192.0.2.1:8006", "https://192.0.2.2:8006"]);
    }
}
