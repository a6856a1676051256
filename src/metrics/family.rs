//! Families as plain data: what a collector says, before any text format.

use std::sync::Arc;

use super::Samples;

/// The type of a family; all that an API without histograms needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up, but for resets; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Nobody says which: `untyped` in the text format 0.0.4, `unknown` in OpenMetrics.
    Untyped,
}

/// What is said once per family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desc<T = &'static str> {
    /// The name as the text format 0.0.4 has it, `_total` of counters included.
    pub name: T,
    /// One plain sentence.
    pub help: T,
    /// Counter, gauge or neither.
    pub kind: Kind,
}

/// Where the description of a family comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Written down in our source.
    Known(&'static Desc),
    /// Made while running, from the names that a kernel has for its figures.
    Made(Arc<Desc<Box<str>>>),
}

/// Label pairs as they stand between the braces, values escaped: `id="qemu/100",name="web"`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<str>);

/// One value of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels besides those of the [`Part`].
    pub labels: Labels,
    /// Whole numbers are written without a fraction.
    pub value: f64,
}

/// A family with its samples; one without samples is left out of the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name, help and type.
    pub desc: About,
    /// In the order in which they are written.
    pub samples: Samples,
}

/// The families of one origin (a cluster), which share labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Written before the labels of each sample, such as `cluster="home"`; may be empty.
    pub labels: Labels,
    /// In any order; the same family may come from several parts.
    pub families: Vec<Family>,
}

impl About {
    /// The description itself.
    pub fn view(&self) -> Desc<&str> {
        match self {
            Self::Known(desc) => **desc,
            Self::Made(desc) => Desc { name: &desc.name, help: &desc.help, kind: desc.kind },
        }
    }
}

impl From<&'static Desc> for About {
    fn from(desc: &'static Desc) -> Self {
        Self::Known(desc)
    }
}

impl Labels {
    /// Escapes the values (`\`, `"`, line feed) and joins the pairs. Names are ours and valid.
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut text = String::with_capacity(pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
        push_pairs(&mut text, pairs);
        Self(text.into())
    }

    /// What was written by [`push_pairs`].
    pub(super) fn written(text: &str) -> Self {
        Self(text.into())
    }

    /// The text between the braces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Appends the pairs as [`Labels::new`] joins them.
pub(super) fn push_pairs(text: &mut String, pairs: &[(&str, &str)]) {
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        push_escaped(text, value);
        text.push('"');
    }
}

fn push_escaped(text: &mut String, value: &str) {
    // Nearly all values need no escape. To look at all bytes in any case is several at a time.
    if !value.bytes().fold(false, |found, byte| found | matches!(byte, b'\\' | b'"' | b'\n')) {
        return text.push_str(value);
    }
    let mut rest = value;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        let (clean, special) = rest.split_at(at);
        text.push_str(clean);
        text.push_str(match special.as_bytes().first() {
            Some(b'\n') => "\\n",
            Some(b'"') => "\\\"",
            _ => "\\\\",
        });
        rest = special.get(1..).unwrap_or_default();
    }
    text.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_joined() {
        for (value, written) in [
            ("", r#"a="""#),
            ("plain, é {}", r#"a="plain, é {}""#),
            (r"C:\n", r#"a="C:\\n""#),
            ("two\nlines\n", r#"a="two\nlines\n""#),
            ("\"\"\\é\"", r#"a="\"\"\\é\"""#),
        ] {
            assert_eq!(Labels::new(&[("a", value)]).as_str(), written, "{value:?}");
        }
        assert_eq!(Labels::new(&[]).as_str(), "");
        assert_eq!(Labels::new(&[("id", "qemu/100"), ("b", "")]).as_str(), r#"id="qemu/100",b="""#);
    }
}
