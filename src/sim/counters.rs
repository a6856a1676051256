//! What an endpoint counts and remembers of its clients.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::HandshakeKind;

use super::routes;
use super::server::{Rights, lock};

/// More requests than this are forgotten, oldest first: `demo` may run for weeks.
const LOG_LENGTH: usize = 10_000;

/// More paths than these are not counted.
const MOST_PATHS: usize = 100_000;

/// One request as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET` …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// What came with a POST; a login's, which holds a password, is left out.
    pub body: String,
    /// What came with it; never the secret.
    pub credential: Credential,
    /// The connection it came on, counted from 1 in the order in which they were accepted.
    pub connection: u64,
}

/// What a request brought to identify itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// Neither a token nor a ticket, as with a login.
    Absent,
    /// One that is not accepted.
    Wrong,
    /// A token or ticket that is accepted.
    Right(Rights),
}

/// How many connections came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// TCP connections accepted.
    pub accepted: u64,
    /// TLS handshakes completed on them.
    pub handshakes: u64,
    /// How many of those resumed an earlier session.
    pub resumed: u64,
}

/// The numbers of one endpoint.
#[derive(Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    handshakes: AtomicU64,
    resumed: AtomicU64,
    bytes_sent: AtomicU64,
    log: Mutex<VecDeque<Seen>>,
    paths: Mutex<BTreeMap<String, u64>>,
}

/// A stream that counts what is written to it.
pub(super) struct Counted<'a, S> {
    pub(super) stream: S,
    counters: &'a Counters,
}

impl Counters {
    /// One more connection; answers its number, counted from 1.
    pub(super) fn accept(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A handshake was completed.
    pub(super) fn shake_hands(&self, kind: Option<HandshakeKind>) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        if kind == Some(HandshakeKind::Resumed) {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request was received.
    pub(super) fn note(&self, seen: Seen) {
        let path = seen.target.split('?').next().unwrap_or_default();
        let path = routes::api_path(path).unwrap_or(path);
        let mut paths = lock(&self.paths);
        if let Some(count) = paths.get_mut(path) {
            *count += 1;
        } else if paths.len() < MOST_PATHS {
            paths.insert(path.to_owned(), 1);
        }
        drop(paths);
        let mut log = lock(&self.log);
        if log.len() == LOG_LENGTH {
            log.pop_front();
        }
        log.push_back(seen);
    }

    /// A stream whose bytes are counted here.
    pub(super) fn count<S>(&self, stream: S) -> Counted<'_, S> {
        Counted { stream, counters: self }
    }

    pub(super) fn requests(&self) -> Vec<Seen> {
        lock(&self.log).iter().cloned().collect()
    }

    pub(super) fn requests_by_path(&self) -> BTreeMap<String, u64> {
        lock(&self.paths).clone()
    }

    pub(super) fn connections(&self) -> Connections {
        Connections {
            accepted: self.accepted.load(Ordering::Relaxed),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(length)) = &written {
            self.counters.bytes_sent.fetch_add(*length as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Connections;
    use super::super::testing::{AUDITOR, Client, trust, world};

    #[tokio::test]
    async fn sessions_are_resumed_by_clients_that_keep_them() {
        let (sim, _) = world().await;
        let config = trust(&sim);
        for _ in 0..4 {
            let mut client = Client::resume(&sim, "localhost", config.clone()).await.unwrap();
            // The ticket comes with the first answer.
            client.get("/version", AUDITOR).await;
        }
        Client::connect(&sim).await.get("/version", AUDITOR).await;
        assert_eq!(sim.connections(), Connections { accepted: 5, handshakes: 5, resumed: 3 });
    }

    #[tokio::test]
    async fn bytes_and_paths_are_counted() {
        let (sim, _) = world().await;
        let mut client = Client::connect(&sim).await;
        let mut received = 0;
        for path in ["/version", "/cluster/resources?type=node", "/cluster/resources?type=vm"] {
            let answer = client.get(path, AUDITOR).await;
            received += answer.head.len() + answer.body.len();
        }
        assert_eq!(sim.bytes_sent(), received as u64);
        let counted: Vec<(String, u64)> = sim.requests_by_path().into_iter().collect();
        assert_eq!(counted, [("/cluster/resources".to_owned(), 2), ("/version".to_owned(), 1)]);
    }
}
