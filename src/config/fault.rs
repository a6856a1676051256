//! What is wrong with a file, collected so that one run tells it all.

use std::fmt;
use std::path::Path;

/// One thing that is wrong: where, what was expected, what was found, what to do.
///
/// Never holds a secret: values are quoted only through [`super::words::shown`], and those of secret keys not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named to us.
    file: String,
    /// Counted from 1; absent where the fault is about the file as a whole.
    line: Option<usize>,
    /// Such as `clusters[0].tls.ca_file`, counted from 0; empty where there is no key.
    key: String,
    /// The rest of the sentence.
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Where something stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The byte offset of the key or element; none: the file as a whole.
    pub(super) offset: Option<usize>,
    /// The key path.
    pub(super) key: String,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// Where it stands.
    pub(super) place: Place,
    /// What was read.
    pub(super) value: T,
}

/// Collects the faults and warnings of one text.
pub(super) struct Report<'a> {
    file: &'a Path,
    text: &'a str,
    /// The offset of each line's first byte.
    line_starts: Vec<usize>,
    /// Lines that are no TOML: what else is said of them would only confuse.
    broken_lines: Vec<usize>,
    /// With the offset, to sort by.
    faults: Vec<(usize, Fault)>,
    warnings: Vec<(usize, Fault)>,
}

impl<'a> Report<'a> {
    /// An empty report on `text`, which was read from `file`.
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect();
        Self { file, text, line_starts, broken_lines: Vec::new(), faults: Vec::new(), warnings: Vec::new() }
    }

    /// Something that makes the configuration unusable.
    pub(super) fn fault(&mut self, place: &Place, message: impl Into<String>) {
        let fault = self.at(place, message.into());
        if fault.line.is_none_or(|line| !self.broken_lines.contains(&line)) {
            self.faults.push((place.offset.unwrap_or(usize::MAX), fault));
        }
    }

    /// Something that works but should not stay so.
    pub(super) fn warn(&mut self, place: &Place, message: impl Into<String>) {
        let warning = self.at(place, message.into());
        self.warnings.push((place.offset.unwrap_or(usize::MAX), warning));
    }

    /// A place where the text is no TOML; later faults on the same line are dropped.
    pub(super) fn broken(&mut self, offset: usize, message: impl Into<String>) {
        self.fault(&Place { offset: Some(offset), key: String::new() }, message);
        let line = self.line(offset);
        self.broken_lines.push(line);
    }

    /// The column of an offset, in characters, counted from 1.
    pub(super) fn column(&self, offset: usize) -> usize {
        let start = self.line_starts.get(self.line(offset) - 1).copied().unwrap_or_default();
        self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1
    }

    /// Faults and warnings, each in the order of the file; what concerns the file as a whole comes last.
    pub(super) fn finish(mut self) -> (Vec<Fault>, Vec<String>) {
        self.faults.sort_by_key(|(offset, _)| *offset);
        self.warnings.sort_by_key(|(offset, _)| *offset);
        let faults = self.faults.into_iter().map(|(_, fault)| fault).collect();
        (faults, self.warnings.iter().map(|(_, warning)| warning.to_string()).collect())
    }

    fn at(&self, place: &Place, message: String) -> Fault {
        let line = place.offset.map(|offset| self.line(offset));
        Fault { file: self.file.display().to_string(), line, key: place.key.clone(), message }
    }

    /// The line of an offset, counted from 1; there is always a first one.
    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_the_order_of_the_file_and_once_per_broken_line() {
        let mut report = Report::new(Path::new("x.toml"), "a = 1\nb = é\nc = 3\n");
        let place = |offset: Option<usize>, key: &str| Place { offset, key: key.to_owned() };
        report.fault(&place(None, "clusters"), "expected one, found none");
        report.fault(&place(Some(13), "c"), "third line");
        report.broken(10, "no TOML");
        report.fault(&place(Some(6), "b"), "not said");
        report.fault(&place(Some(0), "a"), "first line");
        report.warn(&place(Some(13), "c"), "careful");
        assert_eq!((report.column(0), report.column(12), report.column(13)), (1, 6, 1));

        let (faults, warnings) = report.finish();
        let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
        assert_eq!(
            lines,
            [
                "x.toml:1: a: first line",
                "x.toml:2: no TOML",
                "x.toml:3: c: third line",
                "x.toml: clusters: expected one, found none",
            ]
        );
        assert_eq!(warnings, ["x.toml:3: c: careful"]);
    }
}
