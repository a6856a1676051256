//! What an answer carries: a text, or a page that is written while it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::gzip::Frames;
use crate::metrics::Chunks;

/// The body of an answer. Pages are written only as fast as the client takes them.
pub(super) enum Body {
    /// Known as a whole.
    Text(Bytes),
    /// A page as it is.
    Plain(Box<Chunks>),
    /// A page, compressed; shared with whoever takes the same one.
    Gzip(Frames),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match self.get_mut() {
            Self::Text(text) => (!text.is_empty()).then(|| Ok(std::mem::take(text))),
            Self::Plain(chunks) => chunks.next().map(Ok),
            Self::Gzip(frames) => frames.next().transpose(),
        };
        Poll::Ready(next.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Plain(_) | Self::Gzip(_) => SizeHint::default(),
        }
    }
}
