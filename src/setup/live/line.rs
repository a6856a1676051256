//! What one check found, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::setup::plain;

/// The width of the names of checks.
const NAMES: usize = 16;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It works.
    Ok,
    /// It works, but not as it should.
    Warn,
    /// It does not work.
    Fail,
    /// It was not tried, or there is nothing to try.
    Skip,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was looked at, such as `cluster home, https://192.0.2.11:8006`; lines of one subject follow each other.
    pub subject: String,
    /// What about it: `certificate`, or the name of a collector.
    pub check: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found; one line.
    pub found: String,
    /// What to do, where something is to be done; may have several lines.
    pub advice: Option<String>,
}

impl Line {
    /// The line as people read it; after one of another subject, with its own as heading.
    pub fn text(&self, before: Option<&Self>) -> String {
        let mut text = String::new();
        if before.is_none_or(|before| before.subject != self.subject) {
            if before.is_some() {
                text.push('\n');
            }
            let _ = writeln!(text, "{}", self.subject);
        }
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "-   ",
        };
        let _ = writeln!(text, "  {verdict}  {:NAMES$}  {}", self.check, self.found);
        for advice in self.advice.iter().flat_map(|advice| advice.lines()) {
            let _ = writeln!(text, "        {:NAMES$}  → {advice}", "");
        }
        text
    }
}

/// The lines of one subject.
pub(super) struct Lines<'a> {
    subject: String,
    lines: &'a mut Vec<Line>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(subject: String, lines: &'a mut Vec<Line>) -> Self {
        Self { subject: plain(&subject), lines }
    }

    pub(super) fn ok(&mut self, check: &str, found: impl Into<String>) {
        self.push(check, Verdict::Ok, found.into(), None);
    }

    pub(super) fn skip(&mut self, check: &str, found: impl Into<String>) {
        self.push(check, Verdict::Skip, found.into(), None);
    }

    pub(super) fn warn(&mut self, check: &str, found: impl Into<String>, advice: impl Into<String>) {
        self.push(check, Verdict::Warn, found.into(), Some(advice.into()));
    }

    /// A failure whose text says already what to do has an empty `advice`.
    pub(super) fn fail(&mut self, check: &str, found: impl Into<String>, advice: impl Into<String>) {
        self.push(check, Verdict::Fail, found.into(), Some(advice.into()));
    }

    pub(super) fn push(&mut self, check: &str, verdict: Verdict, found: String, advice: Option<String>) {
        // What Proxmox VE, a host or a service said is shown on a terminal.
        let advice = advice.filter(|advice| !advice.is_empty());
        let advice = advice.map(|advice| advice.lines().map(plain).collect::<Vec<_>>().join("\n"));
        let (subject, found) = (self.subject.clone(), plain(&found));
        self.lines.push(Line { subject, check: check.to_owned(), verdict, found, advice });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_found_is_obeyed_by_a_terminal() {
        let mut all = Vec::new();
        Lines::new("cluster a\u{1b}[2J".to_owned(), &mut all).fail(
            "version",
            "9\n\u{1b}]0;x\u{7}",
            "do\r\nthat\u{1b}c",
        );
        let shown = all[0].text(None);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert_eq!(shown.lines().count(), 4, "{shown:?}");
    }

    #[test]
    fn a_subject_is_told_once_and_advice_below_what_it_is_for() {
        let mut all = Vec::new();
        let mut lines = Lines::new("cluster home".to_owned(), &mut all);
        lines.ok("version", "9.2");
        lines.fail("guest", "lacks it", "do this\nthen that");
        let text: String = all.iter().scan(None, |before, line| Some(line.text(before.replace(line)))).collect();
        let expected = [
            "cluster home",
            "  ok    version           9.2",
            "  FAIL  guest             lacks it",
            "                          → do this",
            "                          → then that",
            "",
        ];
        assert_eq!(text, expected.join("\n"));
    }
}
