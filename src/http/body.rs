//! What an answer carries: a text, or a page that is written while it is sent.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::buf::Writer;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};

use crate::metrics::Chunks;

/// The body of an answer. Pages are written only as fast as the client takes them.
pub(super) enum Body {
    /// Known as a whole.
    Text(Bytes),
    /// A page as it is.
    Plain(Box<Chunks>),
    /// A page, compressed.
    Gzip(Box<Gzip>),
}

/// A page on its way through gzip.
pub(super) struct Gzip {
    chunks: Chunks,
    /// Gone when the end is written.
    encoder: Option<GzEncoder<Writer<BytesMut>>>,
}

impl Body {
    pub(super) fn page(chunks: Chunks, gzip: bool) -> Self {
        if gzip { Self::Gzip(Box::new(Gzip::new(chunks))) } else { Self::Plain(Box::new(chunks)) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match self.get_mut() {
            Self::Text(text) => (!text.is_empty()).then(|| Ok(std::mem::take(text))),
            Self::Plain(chunks) => chunks.next().map(Ok),
            Self::Gzip(gzip) => gzip.next().transpose(),
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

impl Gzip {
    /// Frames below this size are not worth a system call of their own.
    const FRAME: usize = 16 * 1024;

    fn new(chunks: Chunks) -> Self {
        // Level 1: the higher ones cost several times the rest of the scrape for a few percent.
        Self { chunks, encoder: Some(GzEncoder::new(BytesMut::new().writer(), Compression::fast())) }
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(mut encoder) = self.encoder.take() {
            let Some(chunk) = self.chunks.next() else {
                return Ok(Some(encoder.finish()?.into_inner().freeze()));
            };
            encoder.write_all(&chunk)?;
            let written = encoder.get_mut().get_mut();
            let frame = (written.len() >= Self::FRAME).then(|| written.split().freeze());
            self.encoder = Some(encoder);
            if frame.is_some() {
                return Ok(frame);
            }
        }
        Ok(None)
    }
}
