//! The entries of `/cluster/resources`, read while the answer is on its way: what was read of it is not kept.
//!
//! Only what begins with `{"data":[`, the form that PVE gives it, is read so, and only where it is long; anything else is
//! kept and read as a whole. The same comes of it either way, down to the words of a failure.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::answer::{Answer, path_of};
use super::body::{Body, Intake};
use super::error::Error;
use super::listing::{Fault, Listing, Next, Place, Progress, is_blank};
use super::resources::{Taker, resources, untyped};
use super::stream;

/// What has come is read when it is so much: enough for the work to be worth it, and little enough for others to have their
/// turn between two pieces.
const PIECE: usize = 64 * 1024;

/// Entries are far shorter than a piece; one that is not is read a seventh more often than once, in sum.
const GROWTH: usize = 8;

/// What stands for the list and all before it, where the rest of an answer is read.
const READ: &str = r#"{"data":[]"#;

/// How much of an answer is kept for messages, which show less.
const HEAD: usize = 4096;

/// An answer of which the entries are taken as soon as they are there.
pub(super) struct Entries<T> {
    listing: Listing<T>,
    stage: Stage,
    /// What has come and is not read yet.
    pending: Vec<u8>,
    /// It is looked at when it is so much: [`GROWTH`] times what was left the last time at least, so that an entry without
    /// end is not begun anew with each piece of it.
    enough: usize,
    piece: usize,
    /// How long the answer is said to be, 0 if that is not known.
    announced: usize,
    head: Vec<u8>,
}

enum Stage {
    /// Nothing was read yet.
    Opening,
    List(Next),
    /// After the list; it is kept with [`READ`] before it.
    Behind(Body),
    /// Another form than the usual one.
    Whole(Body),
    Wrong(Fault),
}

/// How a text begins.
enum Opening {
    /// The list begins there.
    List(usize),
    /// As far as it is there, with a list.
    Unclear,
    Other,
}

impl<T: Taker> Entries<T> {
    pub(super) fn new(taker: T, announced: usize) -> Self {
        Self::in_pieces(taker, announced, PIECE)
    }

    fn in_pieces(taker: T, announced: usize, piece: usize) -> Self {
        Self {
            listing: Listing::new(taker),
            stage: Stage::Opening,
            pending: Vec::with_capacity(announced.min(2 * piece)),
            enough: piece,
            piece,
            announced,
            head: Vec::with_capacity(HEAD),
        }
    }

    /// Reads what is there. Unless it is the `last`, what stands at its end may be the beginning of something else.
    fn look(&mut self, last: bool) {
        if let Stage::Opening = self.stage {
            match opening(&self.pending) {
                Opening::List(start) => self.open(start),
                Opening::Unclear if !last => {}
                Opening::Unclear | Opening::Other => {
                    let mut body = Body::new(self.announced.max(self.pending.len()));
                    body.push(&std::mem::take(&mut self.pending));
                    self.stage = Stage::Whole(body);
                }
            }
        }
        if let Stage::List(next) = self.stage {
            self.read(next, last);
        }
        self.enough = self.piece.max(self.pending.len().saturating_mul(GROWTH));
    }

    fn open(&mut self, start: usize) {
        let before: Vec<u8> = self.pending.drain(..start).collect();
        self.listing.pass(&String::from_utf8_lossy(&before));
        self.stage = Stage::List(Next::EntryOrEnd);
    }

    fn read(&mut self, next: Next, last: bool) {
        let mut bytes = std::mem::take(&mut self.pending);
        let (text, cut) = text(&bytes, last);
        let (progress, done) = self.listing.read(next, &text, last);
        let rest = text.get(done..).unwrap_or_default();
        match progress {
            Progress::More(next) => {
                self.stage = Stage::List(next);
                self.pending = match &text {
                    Cow::Owned(_) => [rest.as_bytes(), cut].concat(),
                    Cow::Borrowed(_) => {
                        bytes.drain(..done);
                        bytes
                    }
                };
            }
            Progress::End => {
                let mut body = Body::default();
                [READ.as_bytes(), rest.as_bytes(), cut].iter().for_each(|piece| body.push(piece));
                self.stage = Stage::Behind(body);
            }
            Progress::Wrong(fault) => self.stage = Stage::Wrong(fault),
        }
    }

    /// What is wrong with what stands behind the list.
    fn fault_behind(&self, body: &Body) -> Option<Fault> {
        let error = stream::each(body.as_text(), |_: &IgnoredAny| ()).err()?;
        let mut place = Place::of(&error);
        if place.line == 1 {
            place.column -= READ.len().min(place.column);
        }
        let path = path_of::<IgnoredAny>(body.as_text());
        Some(Fault::new(&error, self.listing.place().and(place), path))
    }
}

impl<T: Taker> Intake for Entries<T> {
    fn push(&mut self, chunk: &[u8]) {
        self.head.extend(chunk.iter().take(HEAD - self.head.len()));
        match &mut self.stage {
            Stage::Whole(body) | Stage::Behind(body) => body.push(chunk),
            // Whether the rest arrives still matters.
            Stage::Wrong(_) => {}
            Stage::Opening | Stage::List(_) => {
                self.pending.extend_from_slice(chunk);
                if self.pending.len() >= self.enough {
                    self.look(false);
                }
            }
        }
    }

    fn no_object(&self) -> Option<Cow<'_, str>> {
        match &self.stage {
            Stage::Opening => super::body::no_object(&self.pending),
            Stage::Whole(body) => body.no_object(),
            Stage::List(_) | Stage::Behind(_) | Stage::Wrong(_) => None,
        }
    }
}

impl<T: Taker> Answer<Entries<T>> {
    /// Who answered, and what took the entries. A failure is told as [`resources`] tells it.
    pub(super) fn finish(self) -> Result<(Answer<()>, T), Error> {
        let (answer, mut entries) = self.replace(());
        entries.look(true);
        let fault = match std::mem::replace(&mut entries.stage, Stage::Opening) {
            Stage::Whole(body) => {
                let (answer, mut taker) = (answer.replace(body).0, entries.listing.into_taker());
                resources(&answer, |entry| taker.take(entry))?;
                return Ok((answer.replace(()).0, taker));
            }
            Stage::Behind(body) => entries.fault_behind(&body),
            Stage::Wrong(fault) => Some(fault),
            Stage::List(next) => Some(entries.listing.missing(next)),
            Stage::Opening => None,
        };
        if let Some(Fault { words, path }) = fault {
            let head = String::from_utf8_lossy(&entries.head);
            return Err(answer.malformed(answer.described(&words, &path, &head)));
        }
        match entries.listing.told() {
            (told, false) => Err(untyped(&answer, told)),
            (_, true) => Ok((answer, entries.listing.into_taker())),
        }
    }
}

fn opening(bytes: &[u8]) -> Opening {
    let mut rest = bytes;
    for token in [&b"{"[..], b"\"data\"", b":", b"["] {
        while let Some((_, behind)) = rest.split_first().filter(|(first, _)| is_blank(**first)) {
            rest = behind;
        }
        match rest.strip_prefix(token) {
            Some(behind) => rest = behind,
            None if token.starts_with(rest) => return Opening::Unclear,
            None => return Opening::Other,
        }
    }
    Opening::List(bytes.len() - rest.len())
}

/// The text that bytes are, with replacement characters for those that are none, and a character at its end that is not
/// whole unless this is the `last` of it.
fn text(bytes: &[u8], last: bool) -> (Cow<'_, str>, &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (Cow::Borrowed(text), &[]);
    }
    let is_cut = |bytes: &[u8]| std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none());
    let cut = match bytes.utf8_chunks().last().map(|chunk| chunk.invalid()) {
        Some(end) if !last && is_cut(end) => end.len(),
        _ => 0,
    };
    let (bytes, cut) = bytes.split_at(bytes.len() - cut);
    (String::from_utf8_lossy(bytes), cut)
}

#[cfg(test)]
mod tests;
