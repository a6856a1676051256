//! A page read by rules of its own, independent of the writer under test.

use std::collections::BTreeMap;

/// Labels without the name, sorted.
pub type Series = BTreeMap<String, String>;

/// A page of the text format: family → type, and name → labels → value.
#[derive(Debug, Default)]
pub struct Page {
    pub types: BTreeMap<String, String>,
    pub helps: BTreeMap<String, String>,
    pub samples: BTreeMap<String, BTreeMap<Series, f64>>,
    /// Samples in all.
    pub count: usize,
}

impl Page {
    /// Reads 0.0.4 or OpenMetrics; panics on anything that is not well-formed, doubled or out of order.
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "a page ends with a line feed");
        let mut page = Self::default();
        let mut family = String::new();
        for line in text.lines() {
            if line == "# EOF" {
                continue;
            }
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help");
                assert!(page.helps.insert(name.to_owned(), help.to_owned()).is_none(), "HELP twice: {line}");
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(page.types.insert(name.to_owned(), kind.to_owned()).is_none(), "TYPE twice: {line}");
                family = name.to_owned();
            } else if !line.starts_with("# UNIT ") {
                page.sample(line, &family);
            }
        }
        page
    }

    fn sample(&mut self, line: &str, family: &str) {
        let name_end = line.find(['{', ' ']).expect("a name");
        let name = &line[..name_end];
        assert!(name == family || name.strip_suffix("_total") == Some(family), "{line} stands under {family}");
        let (labels, rest) = match line[name_end..].strip_prefix('{') {
            Some(rest) => labels(rest),
            None => (Series::new(), &line[name_end..]),
        };
        let value = match rest.trim() {
            "NaN" => f64::NAN,
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            number => number.parse().unwrap_or_else(|_| panic!("no value: {line}")),
        };
        self.count += 1;
        let before = self.samples.entry(name.to_owned()).or_default().insert(labels, value);
        assert!(before.is_none(), "the series is there twice: {line}");
    }

    /// The value of the one series of `name` that has all of `labels`.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.samples.get(name)?.iter().filter(|(series, _)| {
            labels.iter().all(|(key, value)| series.get(*key).is_some_and(|found| found == value))
        });
        let value = found.next().map(|(_, value)| *value);
        assert!(found.next().is_none(), "{name}{labels:?} names several series");
        value
    }
}

fn labels(text: &str) -> (Series, &str) {
    let mut series = Series::new();
    let mut rest = text;
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return (series, rest);
        }
        let (key, after) = rest.split_once("=\"").expect("a label");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("the end of a label") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("an escaped character").1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        assert!(series.insert(key.to_owned(), value).is_none(), "the label {key} is there twice");
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}
