//! Compressed pages. Who asks for the same page at once shares one compressor: gzip costs more than all the rest.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::buf::Writer;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::metrics::{Chunks, Format, Own, Page, Part};

/// Frames below this size are not worth a system call of their own.
const FRAME: usize = 16 * 1024;

/// The compressed pages that somebody takes right now.
pub(super) struct Pages {
    entries: Mutex<Vec<Entry>>,
    /// How long a finished page is kept for those who come a little later.
    keep: Duration,
}

struct Entry {
    /// Weak references hold nothing of a part in memory but its address, so that no other part can have it.
    parts: Vec<Weak<Part>>,
    format: Format,
    own: bool,
    page: Weak<Compressed>,
}

/// A page, compressed as far as the fastest of its readers has come.
struct Compressed(Mutex<Progress>);

struct Progress {
    frames: Vec<Bytes>,
    stage: Stage,
}

enum Stage {
    Writing(Box<Compressor>),
    Done,
    /// By an error, or by a panic while a frame was written.
    Broken,
}

struct Compressor {
    chunks: Chunks,
    encoder: GzEncoder<Writer<BytesMut>>,
}

/// One reader's way through a compressed page.
pub(super) struct Frames {
    page: Arc<Compressed>,
    keep: Duration,
    next: usize,
}

impl Pages {
    /// `keep` is how long scrapes share their parts: later ones would not ask for the same page.
    pub(super) fn new(keep: Duration) -> Self {
        Self { entries: Mutex::default(), keep }
    }

    /// The page of these parts, and of the process' own metrics if wanted.
    pub(super) fn page(&self, parts: Vec<Arc<Part>>, own: Option<Arc<Own>>, format: Format) -> Frames {
        let mut entries = lock(&self.entries);
        entries.retain(|entry| entry.page.strong_count() > 0);
        let found = entries.iter().find(|entry| entry.is_of(&parts, own.is_some(), format));
        if let Some(page) = found.and_then(|entry| entry.page.upgrade()) {
            return self.frames(page);
        }
        let key: Vec<Weak<Part>> = parts.iter().map(Arc::downgrade).collect();
        let has_own = own.is_some();
        let page = Arc::new(Compressed::new(Page::new(parts, own).chunks(format)));
        // Without parts nothing says how old a page is.
        if !key.is_empty() {
            entries.push(Entry { parts: key, format, own: has_own, page: Arc::downgrade(&page) });
        }
        self.frames(page)
    }

    fn frames(&self, page: Arc<Compressed>) -> Frames {
        Frames { page, keep: self.keep, next: 0 }
    }
}

impl Entry {
    fn is_of(&self, parts: &[Arc<Part>], own: bool, format: Format) -> bool {
        self.format == format
            && self.own == own
            && self.parts.len() == parts.len()
            && self.parts.iter().zip(parts).all(|(ours, theirs)| ours.as_ptr() == Arc::as_ptr(theirs))
    }
}

impl Frames {
    /// The next frame, compressed now if no other reader was here before. Must be called within the runtime.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut progress = lock(&self.page.0);
        if progress.frames.len() <= self.next && progress.advance()? && !self.keep.is_zero() {
            let (page, keep) = (Arc::clone(&self.page), self.keep);
            tokio::spawn(async move {
                tokio::time::sleep(keep).await;
                drop(page);
            });
        }
        let frame = progress.frames.get(self.next).cloned();
        self.next += usize::from(frame.is_some());
        Ok(frame)
    }
}

impl Compressed {
    fn new(chunks: Chunks) -> Self {
        // Level 1: the higher ones cost several times the rest of the scrape for a few percent.
        let encoder = GzEncoder::new(BytesMut::new().writer(), Compression::fast());
        let stage = Stage::Writing(Box::new(Compressor { chunks, encoder }));
        Self(Mutex::new(Progress { frames: Vec::new(), stage }))
    }
}

impl Progress {
    /// Adds a frame, if there is one; whether it was the last.
    fn advance(&mut self) -> io::Result<bool> {
        match std::mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Writing(mut compressor) => {
                let (frame, last) = compressor.frame()?;
                self.frames.push(frame);
                // The end of the compressor is the end of its hold on the parts.
                self.stage = if last { Stage::Done } else { Stage::Writing(compressor) };
                Ok(last)
            }
            Stage::Done => {
                self.stage = Stage::Done;
                Ok(false)
            }
            Stage::Broken => Err(io::Error::other("the page could not be compressed")),
        }
    }
}

impl Compressor {
    /// The next frame, and whether it is the last.
    fn frame(&mut self) -> io::Result<(Bytes, bool)> {
        let mut last = false;
        while !last && self.encoder.get_ref().get_ref().len() < FRAME {
            match self.chunks.next() {
                Some(chunk) => self.encoder.write_all(&chunk)?,
                None => {
                    self.encoder.try_finish()?;
                    last = true;
                }
            }
        }
        Ok((self.encoder.get_mut().get_mut().split().freeze(), last))
    }
}

/// What is behind the lock is whole at any time, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::part;
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn read(mut frames: Frames) -> Vec<Bytes> {
        std::iter::from_fn(|| frames.next().unwrap()).collect()
    }

    fn unpacked(frames: &[Bytes]) -> String {
        let mut text = String::new();
        GzDecoder::new(frames.concat().as_slice()).read_to_string(&mut text).unwrap();
        text
    }

    fn addresses(frames: &[Bytes]) -> Vec<*const u8> {
        frames.iter().map(|frame| frame.as_ptr()).collect()
    }

    const KEEP: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn readers_share_frames_at_their_own_pace() {
        let pages = Pages::new(KEEP);
        let parts = vec![part(40_000)];
        let mut slow = pages.page(parts.clone(), None, Format::Text004);
        let first = slow.next().unwrap().unwrap();
        let all = read(pages.page(parts.clone(), None, Format::Text004));
        assert!(all.len() > 3 && all[0].as_ptr() == first.as_ptr());
        let rest = read(slow);
        assert_eq!(addresses(&rest), addresses(&all[1..]));
        let plain: Vec<Bytes> = Page::new(parts, None).chunks(Format::Text004).collect();
        assert!(unpacked(&all).as_bytes() == plain.concat());
    }

    #[tokio::test]
    async fn other_pages_are_not_mixed_up() {
        let pages = Pages::new(KEEP);
        let (one, other) = (part(1), part(1));
        let own = || Some(Arc::new(Own::new("1")));
        let taken: Vec<Frames> = vec![
            pages.page(vec![Arc::clone(&one)], None, Format::Text004),
            pages.page(vec![Arc::clone(&one)], None, Format::OpenMetrics100),
            pages.page(vec![Arc::clone(&one)], own(), Format::Text004),
            pages.page(vec![Arc::clone(&other)], None, Format::Text004),
            pages.page(vec![Arc::clone(&one), Arc::clone(&other)], None, Format::Text004),
            pages.page(vec![other, one], None, Format::Text004),
            pages.page(Vec::new(), own(), Format::Text004),
            pages.page(Vec::new(), own(), Format::Text004),
        ];
        for (index, frames) in taken.iter().enumerate() {
            assert!(taken[..index].iter().all(|before| !Arc::ptr_eq(&before.page, &frames.page)), "{index}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_lasts_a_little_longer_than_its_readers_and_its_parts_do_not() {
        let pages = Pages::new(KEEP);
        let parts = vec![part(3)];
        let known = Arc::downgrade(&parts[0]);
        let first = read(pages.page(parts.clone(), None, Format::Text004));
        let second = read(pages.page(parts.clone(), None, Format::Text004));
        assert_eq!(addresses(&first), addresses(&second));
        drop(parts);
        assert_eq!(known.strong_count(), 0, "the parts are held");
        let gone = || lock(&pages.entries).iter().all(|entry| entry.page.strong_count() == 0);
        assert!(!gone());
        tokio::time::sleep(KEEP * 2).await;
        assert!(gone());
        drop(pages.page(vec![part(1)], None, Format::Text004));
        assert_eq!(lock(&pages.entries).len(), 1, "what is gone is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_nobody_may_share_later_goes_with_its_reader() {
        let pages = Pages::new(Duration::ZERO);
        read(pages.page(vec![part(3)], None, Format::Text004));
        assert_eq!(lock(&pages.entries)[0].page.strong_count(), 0);
    }

    #[test]
    fn a_page_that_broke_never_looks_whole() {
        let mut progress = Progress { frames: Vec::new(), stage: Stage::Broken };
        for _ in 0..2 {
            assert!(progress.advance().is_err());
        }
    }
}
