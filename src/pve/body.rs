//! The bytes of an answer.

use std::borrow::Cow;
use std::sync::OnceLock;

use memmap2::{MmapMut, MmapOptions};

/// Bodies from this size on have pages of their own, which go back to the system the moment they are dropped: what an
/// allocator does with a buffer of megabytes that comes and goes depends on all that lies beside it.
const LARGE: usize = 128 * 1024;

/// What takes an answer in.
pub(super) trait Intake: Send {
    /// The next bytes of it.
    fn push(&mut self, chunk: &[u8]);

    /// The text, where it is no JSON object.
    fn no_object(&self) -> Option<Cow<'_, str>>;
}

/// Bytes as they come in, and the text they are.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Bytes,
    /// The text, where the bytes are none.
    mended: OnceLock<String>,
}

#[derive(Debug)]
enum Bytes {
    /// On the heap.
    Small(Vec<u8>),
    /// In pages of their own, filled up to a length.
    Large(MmapMut, usize),
}

impl Body {
    /// For about so many bytes, 0 if that is not known.
    pub(super) fn new(announced: usize) -> Self {
        if announced >= LARGE
            // All at once is cheaper than page by page as they are written to.
            && let Ok(pages) = MmapOptions::new().len(announced).populate().map_anon()
        {
            return Bytes::Large(pages, 0).into();
        }
        Bytes::Small(Vec::with_capacity(announced)).into()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Small(bytes) => bytes,
            Bytes::Large(pages, filled) => pages.get(..*filled).unwrap_or_default(),
        }
    }

    /// The bytes alone.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self.bytes {
            Bytes::Small(bytes) => bytes,
            Bytes::Large(pages, filled) => pages.get(..filled).unwrap_or_default().to_vec(),
        }
    }

    /// All of it. One name with a wrong byte is not to cost all others: what is no text becomes a replacement character.
    pub(super) fn as_text(&self) -> &str {
        let mend = || String::from_utf8_lossy(self.as_slice()).into_owned();
        std::str::from_utf8(self.as_slice()).unwrap_or_else(|_| self.mended.get_or_init(mend))
    }
}

impl Intake for Body {
    fn push(&mut self, chunk: &[u8]) {
        if let Bytes::Large(pages, filled) = &mut self.bytes {
            if let Some(room) = pages.get_mut(*filled..*filled + chunk.len()) {
                room.copy_from_slice(chunk);
                *filled += chunk.len();
                return;
            }
            // More than was announced.
            self.bytes = Bytes::Small(self.as_slice().to_vec());
        }
        if let Bytes::Small(bytes) = &mut self.bytes {
            bytes.extend_from_slice(chunk);
        }
    }

    fn no_object(&self) -> Option<Cow<'_, str>> {
        no_object(self.as_slice())
    }
}

/// The text that bytes are, where it is no JSON object.
pub(super) fn no_object(bytes: &[u8]) -> Option<Cow<'_, str>> {
    (!bytes.trim_ascii_start().starts_with(b"{")).then(|| String::from_utf8_lossy(bytes))
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, mended: OnceLock::new() }
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_came_in() {
        for announced in [0, 10, LARGE, LARGE + 5] {
            for size in [0, 10, LARGE, LARGE + 5, 3 * LARGE] {
                let bytes: Vec<u8> = (0..size).map(|place| (place % 251) as u8).collect();
                let mut body = Body::new(announced);
                bytes.chunks(40_000).for_each(|chunk| body.push(chunk));
                assert!(body.as_slice() == bytes, "{announced} {size}");
            }
        }
        assert!(matches!(Body::new(LARGE).bytes, Bytes::Large(..)));
    }

    #[test]
    fn a_wrong_byte_is_replaced() {
        for announced in [0, LARGE] {
            let mut body = Body::new(announced);
            body.push(b"a\xffb");
            assert_eq!(body.as_text(), "a\u{fffd}b");
        }
        let mut body = Body::default();
        body.push("é".as_bytes());
        assert_eq!(body.as_text(), "é");
    }
}
