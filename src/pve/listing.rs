//! A list in JSON, of which more and more comes in.

use serde::de::{DeserializeSeed, IgnoredAny};
use serde_path_to_error::Segment;

use super::resources::{Resource, Taker};
use super::stream::Take;
use super::wire::{Entry, EntryOf, MOST_ENTRIES};

/// What was read of a list.
pub(super) struct Listing<T> {
    taker: T,
    /// How many entries there were, those that are no objects included.
    told: usize,
    /// Whether one had a type.
    typed: bool,
    /// How far it was read.
    place: Place,
}

/// What comes next in a list.
#[derive(Clone, Copy)]
pub(super) enum Next {
    EntryOrEnd,
    Entry,
    CommaOrEnd,
}

pub(super) enum Progress {
    More(Next),
    End,
    Wrong(Fault),
}

/// What is wrong, as `serde_json` says it, and with what.
pub(super) struct Fault {
    pub(super) words: String,
    pub(super) path: String,
}

/// A place in a text, as `serde_json` counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) line: usize,
    /// How many bytes of the line are before it.
    pub(super) column: usize,
}

impl<T: Taker> Listing<T> {
    pub(super) fn new(taker: T) -> Self {
        Self { taker, told: 0, typed: false, place: Place::START }
    }

    /// Goes by what is no part of the list.
    pub(super) fn pass(&mut self, text: &str) {
        self.place = self.place.and(Place::end_of(text));
    }

    /// Takes the entries that a text holds; answers how much of it is done with. Unless it is the `last`, what stands at
    /// its end may be the beginning of something else.
    pub(super) fn read(&mut self, mut next: Next, text: &str, last: bool) -> (Progress, usize) {
        let mut done = 0;
        let progress = loop {
            let rest = text.get(done..).unwrap_or_default().trim_start_matches(|c| u8::try_from(c).is_ok_and(is_blank));
            done = text.len() - rest.len();
            let size = match (next, rest.as_bytes().first()) {
                (next, None) => break Progress::More(next),
                (Next::CommaOrEnd, Some(b',')) => {
                    next = Next::Entry;
                    1
                }
                (Next::CommaOrEnd | Next::EntryOrEnd, Some(b']')) => {
                    done += 1;
                    break Progress::End;
                }
                (Next::CommaOrEnd, Some(_)) => {
                    break Progress::Wrong(self.wrong(text, done + 1, "expected `,` or `]`"));
                }
                (Next::Entry, Some(b']')) => break Progress::Wrong(self.wrong(text, done + 1, "trailing comma")),
                (Next::Entry | Next::EntryOrEnd, Some(_)) => match self.entry(rest, last) {
                    Ok(Some(size)) if self.told > MOST_ENTRIES => {
                        let words = format!("more than {MOST_ENTRIES} entries");
                        break Progress::Wrong(self.wrong(text, done + size, &words));
                    }
                    Ok(Some(size)) => {
                        next = Next::CommaOrEnd;
                        size
                    }
                    Ok(None) => break Progress::More(next),
                    Err(error) => {
                        self.pass(text.get(..done).unwrap_or_default());
                        break Progress::Wrong(Fault::new(&error, self.place.and(Place::of(&error)), self.path(rest)));
                    }
                },
            };
            done += size;
        };
        if !matches!(progress, Progress::Wrong(_)) {
            self.pass(text.get(..done).unwrap_or_default());
        }
        (progress, done)
    }

    /// Takes the entry that a text begins with; answers how long it is, or nothing if its end is not there yet.
    fn entry(&mut self, text: &str, last: bool) -> serde_json::Result<Option<usize>> {
        let Self { taker, typed, .. } = self;
        let mut take = |resource: &Resource<'_>| {
            *typed |= resource.kind.filled().is_some();
            taker.take(resource);
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let entry = EntryOf(Take::new(&mut take)).deserialize(&mut deserializer);
        let size = deserializer.into_iter::<IgnoredAny>().byte_offset();
        match entry {
            // A number may have more digits.
            Ok(None) if size == text.len() && !last => Ok(None),
            Ok(_) => {
                self.told += 1;
                Ok(Some(size))
            }
            // More may mend it.
            Err(error) if !last && Place::of(&error) == Place::end_of(text) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is missing where nothing more comes.
    pub(super) fn missing(&self, next: Next) -> Fault {
        let words = match next {
            Next::Entry => "EOF while parsing a value",
            Next::EntryOrEnd | Next::CommaOrEnd => "EOF while parsing a list",
        };
        Fault::at(words, self.place, "data".to_owned())
    }

    /// How many entries there were, and whether one had a type.
    pub(super) fn told(&self) -> (usize, bool) {
        (self.told, self.typed)
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn into_taker(self) -> T {
        self.taker
    }

    /// With a list, at the byte before the offset.
    fn wrong(&self, text: &str, offset: usize, words: &str) -> Fault {
        // That byte may be the first of a longer character.
        let mut place = self.place.and(Place::end_of(text.get(..offset.saturating_sub(1)).unwrap_or_default()));
        place.column += 1;
        Fault::at(words, place, "data".to_owned())
    }

    /// What of the next entry, which is wrong, is so.
    fn path(&self, entry: &str) -> String {
        let mut deserializer = serde_json::Deserializer::from_str(entry);
        let error = serde_path_to_error::deserialize::<_, Entry<Resource<'_>>>(&mut deserializer).err();
        let within = error.as_ref().map(|error| error.path());
        match (within, within.and_then(|path| path.iter().next())) {
            (Some(path), Some(Segment::Seq { .. })) => format!("data[{}]{path}", self.told),
            (Some(path), Some(_)) => format!("data[{}].{path}", self.told),
            _ => format!("data[{}]", self.told),
        }
    }
}

impl Fault {
    pub(super) fn new(error: &serde_json::Error, place: Place, path: String) -> Self {
        let words = error.to_string();
        let suffix = format!(" at line {} column {}", error.line(), error.column());
        Self::at(words.strip_suffix(&suffix).unwrap_or(&words), place, path)
    }

    fn at(words: &str, place: Place, path: String) -> Self {
        Self { words: format!("{words} at line {} column {}", place.line, place.column), path }
    }
}

impl Place {
    const START: Self = Self { line: 1, column: 0 };

    pub(super) fn of(error: &serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }

    fn end_of(text: &str) -> Self {
        match text.rfind('\n') {
            None => Self { line: 1, column: text.len() },
            Some(last) => Self { line: 1 + text.matches('\n').count(), column: text.len() - last - 1 },
        }
    }

    /// This place in a text that stands behind what ends here.
    pub(super) fn and(self, further: Self) -> Self {
        let column = if further.line == 1 { self.column + further.column } else { further.column };
        Self { line: self.line + further.line.saturating_sub(1), column }
    }
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
