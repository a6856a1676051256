//! What an answer carries: a text, or a page that is written while it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::gzip::Frames;
use crate::metrics::Chunks;

/// The body of an answer. Pages are written only as fast as the client takes them.
pub(super) enum Body {
    /// Known as a whole.
    Text(Bytes),
    /// A page as it is.
    Plain(Box<Chunks>, Turn),
    /// A page, compressed; shared with whoever takes the same one.
    Gzip(Frames, Turn),
}

/// Between two pieces of a page others have theirs, so that a large page keeps nobody waiting and whoever wants the same
/// one can join; and a piece is on its way before there is another one.
#[derive(Default)]
pub(super) struct Turn {
    given: bool,
}

impl Turn {
    /// Ready at every second call.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.given = !self.given;
        if self.given {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match self.get_mut() {
            Self::Text(text) => (!text.is_empty()).then(|| Ok(std::mem::take(text))),
            Self::Plain(chunks, turn) => {
                ready!(turn.poll(cx));
                chunks.next().map(Ok)
            }
            Self::Gzip(frames, turn) => {
                ready!(turn.poll(cx));
                frames.next().transpose()
            }
        };
        Poll::Ready(next.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Plain(..) | Self::Gzip(..) => SizeHint::default(),
        }
    }
}
