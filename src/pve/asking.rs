//! One attempt at one address, and what goes on in the background because calls come in.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::answer::Answer;
use super::body::Intake;
use super::endpoints::Endpoints;
use super::error::Error;
use super::gate::Gate;
use super::health::{PATIENCE, Probe};
use super::identity::{self, Names};
use super::path::Path;
use super::transport::{Bounds, Call, Line, Transport};

/// Bounds of an exchange of the fast lane; callers lose their patience earlier.
const FAST: Bounds = Bounds { head: Duration::from_secs(30), total: Duration::from_secs(60) };
/// Bounds of an exchange of the slow lane: pveproxy itself gives another node 30 s.
pub(super) const SLOW: Bounds = Bounds { head: Duration::from_secs(32), total: Duration::from_secs(35) };
/// Bounds of `GET /nodes`: a refused credential is told after 3 s, which proves that the endpoint works.
const NODES: Bounds = Bounds { head: Duration::from_millis(3500), total: Duration::from_millis(3500) };
/// A call that was in trouble must be as quick as the fast lane wants it.
const AGAIN: Bounds = Bounds { head: PATIENCE, total: PATIENCE };

/// What the calls of one cluster share.
pub(super) struct Asking {
    pub(super) cluster: String,
    /// Who we are there: `user@realm!name` or `user@realm`.
    pub(super) identity: String,
    pub(super) transport: Transport,
    pub(super) endpoints: Endpoints,
    pub(super) gate: Gate,
}

impl Asking {
    /// A call of the fast lane at one endpoint; its health hears how it went, also if this is given up.
    pub(super) async fn attempt<B: Intake>(
        &self,
        index: usize,
        call: Call<'_, B>,
        line: Line,
    ) -> Result<Answer<B>, Error> {
        let mut watch = Watch { asking: self, index, path: call.path, started: Instant::now(), ended: false };
        let result = self.identified(index, call, line, FAST).await;
        watch.ended = true;
        self.endpoints.note(index, call.path.label(), watch.started, result.as_ref().map(|_| ()));
        result
    }

    /// A call at one address, which first proves that it belongs to the cluster if it has to.
    pub(super) async fn identified<B: Intake>(
        &self,
        index: usize,
        call: Call<'_, B>,
        line: Line,
        bounds: Bounds,
    ) -> Result<Answer<B>, Error> {
        if self.endpoints.is_unchecked(index)? {
            self.check(index).await?;
        }
        let answer = self.transport.put(self.endpoints.url(index), call, line, bounds).await?;
        // Another endpoint may have become the first that ever answered meanwhile.
        if !self.endpoints.claim(index) {
            self.check(index).await?;
        }
        Ok(answer)
    }

    /// Makes sure that an address belongs to the cluster before anything is sent there that cannot be taken back.
    pub(super) async fn prove(&self, index: usize) -> Result<(), Error> {
        if self.endpoints.is_unchecked(index)? {
            self.check(index).await?;
        }
        if !self.endpoints.claim(index) {
            self.check(index).await?;
        }
        Ok(())
    }

    /// Compares the nodes of an address with those that are known.
    async fn check(&self, index: usize) -> Result<(), Error> {
        let _turn = self.endpoints.turn(index).await;
        if self.endpoints.is_unchecked(index)? {
            let found = self.nodes(index, Line::Kept).await?;
            self.compare(index, found).await?;
        }
        Ok(())
    }

    async fn compare(&self, index: usize, found: Names) -> Result<(), Error> {
        if let Some(reference) = self.endpoints.reference(index)
            && let Ok(names) = self.nodes(reference, Line::Kept).await
        {
            self.endpoints.keep_names(names);
        }
        self.endpoints.compare(index, found)
    }

    async fn nodes(&self, index: usize, line: Line) -> Result<Names, Error> {
        let answer = self.transport.ask(self.endpoints.url(index), &Path::from("/nodes"), line, NODES).await?;
        identity::names(&answer)
    }

    /// Starts what is due to be asked in the background: on a runtime, and because a call came in.
    pub(super) fn probe(self: &Arc<Self>, label: &'static str) {
        // Who is not logged in yet asks nothing in the background: the login itself goes round the endpoints.
        if !self.is_admitted() {
            return;
        }
        // Without a runtime the program is about to end.
        let Ok(runtime) = Handle::try_current() else { return };
        for (index, probe) in self.endpoints.probes(label) {
            let asking = Arc::clone(self);
            runtime.spawn(async move {
                let started = Instant::now();
                let result = asking.run(index, probe).await;
                asking.endpoints.probed(index, probe, started, result.as_ref().copied());
            });
        }
    }

    async fn run(&self, index: usize, probe: Probe) -> Result<(), Error> {
        match probe {
            // On a connection of its own: that one was kept proves nothing about new ones.
            Probe::Address => {
                let found = self.nodes(index, Line::Fresh).await?;
                self.compare(index, found).await
            }
            Probe::Call(label) => {
                self.identified(index, Call::whole(&Path::from(label)), Line::Kept, AGAIN).await.map(drop)
            }
        }
    }
}

/// Notices that a call was given up.
struct Watch<'a> {
    asking: &'a Asking,
    index: usize,
    path: &'a Path,
    started: Instant,
    ended: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.asking.endpoints.note_silence(self.index, self.path.label(), self.started, self.path.as_str());
        }
    }
}
