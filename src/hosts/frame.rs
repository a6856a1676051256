//! The frame of an answer: finds it among what a login shell prints, and tells whole sections from cut-off ones.
//!
//! The markers are described in `src/ssh/probe.sh`. Any bytes may come; what is kept of them is bounded.

use std::fmt;
use std::ops::Range;

/// The most that is kept of an answer, in bytes. A host with 200 disks, 100 network devices and 256 cores tells 1 MB.
pub const MOST_BYTES: usize = 4 << 20;

const MOST_SECTIONS: usize = 1000;
const MARK: &str = "@pve-sentinel ";
const FORMAT: &str = "1";
/// What of an unexpected answer is repeated in a message, in characters.
const EXCERPT: usize = 200;

/// Takes an answer piece by piece, and keeps no noise.
#[derive(Debug, Default)]
pub struct Intake {
    bytes: Vec<u8>,
    /// What came before the frame, as much as a message shows.
    noise: Vec<u8>,
    begun: bool,
    /// The end has come, or more than is taken.
    enough: bool,
}

/// An answer: its sections as text, invalid UTF-8 replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    mode: String,
    text: String,
    sections: Vec<(String, State)>,
    whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Whole(Range<usize>),
    Cut,
    Absent(String),
}

/// Why there is no frame to speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// What came has no beginning of a frame; the excerpt is printable.
    NoAnswer {
        /// How what came begins.
        excerpt: String,
    },
    /// The probe on the host is of another release than we are.
    Format {
        /// The format that it speaks.
        found: String,
    },
    /// The host answered another question: an installed probe that does not know this one.
    Mode {
        /// What was asked.
        asked: &'static str,
        /// What was answered.
        found: String,
    },
}

/// Why a section cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gap {
    /// The answer ended before or in it.
    Cut,
    /// The host says why it does not tell.
    Absent(String),
}

impl Intake {
    /// Takes the next piece; true when nothing more is wanted, so that the connection need not bring it.
    pub fn take(&mut self, piece: &[u8]) -> bool {
        // In steps, so that a huge piece of noise is not copied as a whole.
        for step in piece.chunks(64 * 1024) {
            if self.enough {
                break;
            }
            self.step(step);
        }
        self.enough
    }

    fn step(&mut self, step: &[u8]) {
        // A marker may have begun in the step before.
        let mut from = self.bytes.len().saturating_sub(64);
        let room = MOST_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(step.get(..room).unwrap_or(step));
        if !self.begun {
            let wanted = (EXCERPT * 4).saturating_sub(self.noise.len());
            self.noise.extend_from_slice(step.get(..wanted).unwrap_or(step));
            let begin = find(&self.bytes, format!("\n{MARK}{FORMAT} begin ").as_bytes(), 0);
            // Perhaps of another format, which is worth a message.
            let mark = || find(&self.bytes, format!("\n{MARK}").as_bytes(), 0);
            self.begun = begin.is_some();
            let noise = begin.or_else(mark).unwrap_or(self.bytes.len().saturating_sub(64));
            self.bytes.drain(..noise);
            from = 0;
        }
        self.enough = self.bytes.len() >= MOST_BYTES;
        if self.begun && !self.enough {
            let end = format!("\n{MARK}{FORMAT} end ");
            self.enough = find(&self.bytes, end.as_bytes(), from)
                .is_some_and(|at| self.bytes.iter().skip(at + end.len()).any(|byte| *byte == b'\n'));
        }
    }

    /// What has come so far.
    ///
    /// # Errors
    ///
    /// [`Fault::NoAnswer`] and [`Fault::Format`]. A frame that was cut off later is none: its whole sections count.
    pub fn frame(self) -> Result<Frame, Fault> {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut frame = Frame { mode: String::new(), text: String::new(), sections: Vec::new(), whole: false };
        let mut other = None;
        let mut open: Option<(String, usize)> = None;
        let mut place = 0;
        for line in text.split_inclusive('\n') {
            let start = place;
            place += line.len();
            let Some((format, word, rest)) = marker(line) else { continue };
            match (format == FORMAT, word) {
                (false, "begin") => other = Some(format.to_owned()),
                (false, _) => {}
                (true, "begin") => {
                    frame.mode = excerpt(rest);
                    frame.sections.clear();
                    open = None;
                }
                _ if frame.mode.is_empty() => {}
                (true, "end") => {
                    frame.whole = true;
                    break;
                }
                (true, _) => frame.section(&mut open, (word, rest), start..place),
            }
        }
        if let Some((name, _)) = open {
            frame.keep(name, State::Cut);
        }
        match (frame.mode.is_empty(), other) {
            (false, _) => Ok(Frame { text: text.into_owned(), ..frame }),
            (true, Some(found)) => Err(Fault::Format { found: excerpt(&found) }),
            (true, None) => Err(Fault::NoAnswer { excerpt: excerpt(&String::from_utf8_lossy(&self.noise)) }),
        }
    }
}

impl Frame {
    /// Reads an answer that is there as a whole.
    ///
    /// # Errors
    ///
    /// As [`Intake::frame`].
    pub fn read(answer: &[u8]) -> Result<Self, Fault> {
        let mut intake = Intake::default();
        intake.take(answer);
        intake.frame()
    }

    /// Whether all of it came. What did come counts in any case.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// What the host could not or would not tell, and why: a section and a reason.
    pub fn gaps(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sections.iter().filter_map(|(name, state)| match state {
            State::Whole(_) => None,
            State::Cut => Some((name.as_str(), "the answer was cut off in it")),
            State::Absent(why) => Some((name.as_str(), why.as_str())),
        })
    }

    /// Whether it answers what was asked.
    pub(super) fn answers(&self, asked: &'static str) -> Result<(), Fault> {
        if self.mode == asked { Ok(()) } else { Err(Fault::Mode { asked, found: self.mode.clone() }) }
    }

    /// The text of a section.
    pub(super) fn get(&self, name: &str) -> Result<&str, Gap> {
        let mut gap = Gap::Cut;
        for (_, state) in self.sections.iter().filter(|(found, _)| found == name) {
            match state {
                State::Whole(range) => return Ok(self.text.get(range.clone()).unwrap_or_default()),
                State::Cut => {}
                State::Absent(why) => gap = Gap::Absent(why.clone()),
            }
        }
        // A whole answer without the section: there was no reason to open it.
        let nothing = self.whole && !self.sections.iter().any(|(found, _)| found == name);
        if nothing { Ok("") } else { Err(gap) }
    }

    /// The names of the sections that begin so.
    pub(super) fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.sections.iter().filter_map(move |(name, _)| name.starts_with(prefix).then_some(name.as_str()))
    }

    fn section(&mut self, open: &mut Option<(String, usize)>, said: (&str, &str), place: Range<usize>) {
        match said {
            ("open", name) => {
                if let Some((before, _)) = open.replace((excerpt(name), place.end)) {
                    self.keep(before, State::Cut);
                }
            }
            ("close", name) => {
                if open.as_ref().is_some_and(|(opened, _)| opened == name)
                    && let Some((name, from)) = open.take()
                {
                    self.keep(name, State::Whole(from..place.start));
                }
            }
            ("absent", said) => {
                let (name, why) = said.split_once(' ').unwrap_or((said, "no reason given"));
                self.keep(excerpt(name), State::Absent(excerpt(why)));
            }
            _ => {}
        }
    }

    fn keep(&mut self, name: String, state: State) {
        if self.sections.len() < MOST_SECTIONS {
            self.sections.push((name, state));
        }
    }
}

/// Format, word and rest of a marker that came as a whole.
fn marker(line: &str) -> Option<(&str, &str, &str)> {
    let line = line.strip_prefix(MARK)?.strip_suffix('\n')?;
    let (format, said) = line.strip_suffix('\r').unwrap_or(line).split_once(' ')?;
    let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
    Some((format, word, rest))
}

fn find(bytes: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let (first, rest) = what.split_first()?;
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| byte == first)?;
        if bytes.get(at + 1..)?.starts_with(rest) {
            return Some(at);
        }
        at += 1;
    }
}

/// The printable beginning of what a host said, in one line.
fn excerpt(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.take(EXCERPT).collect::<Vec<_>>().join(" ");
    line.chars().take(EXCERPT).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer { excerpt } if excerpt.is_empty() => f.write_str("the probe told nothing: is there a sh?"),
            Self::NoAnswer { excerpt } => write!(f, "expected the probe's answer, found {excerpt:?}"),
            Self::Format { found } => write!(
                f,
                "the probe on the host speaks format {found}, expected {FORMAT}: install the one that pve-sentinel ssh-probe prints"
            ),
            Self::Mode { asked, found } => write!(
                f,
                "asked for {asked}, the host answered {found:?}: install the probe that pve-sentinel ssh-probe prints, or let this key run sh"
            ),
        }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the answer was cut off before its end"),
            Self::Absent(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests;
