//! What a connection is doing, and since when: so that it can be bounded, and closed where nobody loses an answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Limits;
use super::body::Body;
use super::wire::Wire;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request has come yet, or not whole, or its sender is not known yet.
    Fresh,
    /// A page is being made; the deadline of the scrape bounds that.
    Asked,
    /// The answer is being sent.
    Sending,
    /// The answer is written, but not all of it has been handed to the system.
    Sent,
    /// The last answer is out; the next request has not come, or not whole.
    Idle,
    /// To be closed, unless a request has arrived in the same moment.
    Closing,
}

#[derive(Debug, Clone, Copy)]
struct State {
    phase: Phase,
    since: Instant,
}

/// The phase of one connection, shared by its task and the crowd that it is in.
#[derive(Debug)]
pub(super) struct Track {
    state: watch::Sender<State>,
    /// Hears whenever the connection may have become one that can be closed.
    news: Arc<Notify>,
}

/// One request; lives in its answer, and ends when the server needs nothing more of it.
pub(super) struct Answering(Arc<Track>);

/// A body that knows its request.
pub(super) struct Tracked {
    body: Body,
    _answering: Answering,
}

/// A stream that tells its track when all that was written is out.
pub(super) struct Stream {
    inner: Wire,
    track: Arc<Track>,
}

impl Track {
    pub(super) fn new(news: Arc<Notify>) -> Self {
        Self { state: watch::Sender::new(State { phase: Phase::Fresh, since: Instant::now() }), news }
    }

    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        if self.set(Phase::Asked, |_| true) == Phase::Closing {
            // Whoever waits for its place must look for another.
            self.news.notify_one();
        }
        Answering(Arc::clone(self))
    }

    /// Closes the connection if no answer is owed on it.
    pub(super) fn close(&self) {
        self.set(Phase::Closing, |phase| matches!(phase, Phase::Fresh | Phase::Idle));
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state.borrow().phase == Phase::Closing
    }

    /// Since when no whole request has come; none if an answer is owed.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let State { phase, since } = *self.state.borrow();
        matches!(phase, Phase::Fresh | Phase::Idle).then_some(since)
    }

    /// Waits until the connection is to be cut, and says why.
    pub(super) async fn overdue(&self, limits: &Limits) -> &'static str {
        let mut states = self.state.subscribe();
        loop {
            let State { phase, since } = *states.borrow_and_update();
            let (limit, why) = match phase {
                Phase::Fresh => (Some(limits.first_request_timeout), "no request came in time"),
                Phase::Idle => (Some(limits.idle_timeout), "no further request came in time"),
                Phase::Sending | Phase::Sent => (Some(limits.answer_timeout), "the client took its answer too slowly"),
                Phase::Asked => (None, ""),
                Phase::Closing => return "its place is needed, or the server stops",
            };
            let end = async {
                match limit {
                    Some(limit) => tokio::time::sleep_until(since + limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = states.changed() => {}
                () = end => return why,
            }
        }
    }

    /// Changes the phase where `allowed` by the one before, which is given back.
    fn set(&self, phase: Phase, allowed: impl FnOnce(Phase) -> bool) -> Phase {
        let mut before = phase;
        self.state.send_if_modified(|state| {
            before = state.phase;
            let changes = allowed(before);
            if changes {
                *state = State { phase, since: Instant::now() };
            }
            changes
        });
        before
    }

    /// The answer is out of the server's hands: its time goes on, as the client may not have taken all of it.
    fn sent(&self) {
        self.state.send_if_modified(|state| {
            let ends = state.phase == Phase::Sending;
            if ends {
                state.phase = Phase::Sent;
            }
            ends
        });
    }

    fn flushed(&self) {
        if self.state.borrow().phase == Phase::Sent {
            self.set(Phase::Idle, |phase| phase == Phase::Sent);
            self.news.notify_one();
        }
    }
}

impl Answering {
    /// The page is ready to be sent as the client takes it.
    pub(super) fn send(self, body: Body) -> Tracked {
        self.0.set(Phase::Sending, |_| true);
        Tracked { body, _answering: self }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.sent();
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Stream {
    pub(super) fn new(inner: Wire, track: Arc<Track>) -> Self {
        Self { inner, track }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// The server flushes when it has written all that it holds.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.inner).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            this.track.flushed();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
