//! A strict reader of TOML tables: wrong types, missing and unknown keys are faults, and all of them are told.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{At, Place, Report};
use super::{unknown, words};

/// What the parser says of a key that is there twice; the rest of the file is as readable as before.
const DUPLICATE: &str = "duplicate key";

/// One table; each read names a key, and [`Reader::close`] reports the keys that nobody named.
pub(super) struct Reader<'t, 'i> {
    table: &'t DeTable<'i>,
    place: Place,
    known: Vec<&'static str>,
}

/// How many faults of syntax are told: after so many the file is no configuration.
const MOST: usize = 20;

/// Parses a text; faults of syntax are reported, the first of each line.
///
/// `None` where they reach beyond single values, so that nothing certain can be said of the rest of the file.
pub(super) fn parse<'t>(text: &'t str, report: &mut Report<'_>) -> Option<Spanned<DeTable<'t>>> {
    let (document, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    let mut scalars = Vec::new();
    document.get_ref().values().for_each(|value| collect_scalars(value, &mut scalars));
    let mut confined = errors.len() <= MOST;
    for error in errors.iter().take(MOST) {
        let span = error.span().unwrap_or(text.len()..text.len());
        let within = scalars.iter().find(|scalar| scalar.start <= span.start && span.end <= scalar.end);
        let scalar = within.and_then(|scalar| text.get(scalar.clone())).filter(|scalar| !scalar.contains('\n'));
        confined &= scalar.is_some() || error.message() == DUPLICATE;
        let column = report.column(span.start);
        let message = match scalar {
            _ if error.message() == DUPLICATE => {
                let key = words::shown(text.get(span.clone()).unwrap_or_default());
                format!("duplicate key {key}; keep one of them")
            }
            Some("") => format!("expected a value at column {column}, found none"),
            Some(scalar) if !scalar.starts_with(['"', '\'']) => {
                format!(
                    "expected a number, a date, true, false or a text in quotes at column {column}, found none of them"
                )
            }
            _ => format!("not TOML at column {column}: {}", error.message()),
        };
        report.broken(span.start, message);
    }
    Some(document).filter(|_| confined)
}

/// The places of all values that are no arrays and tables.
fn collect_scalars(value: &Spanned<DeValue<'_>>, found: &mut Vec<std::ops::Range<usize>>) {
    match value.get_ref() {
        DeValue::Array(elements) => elements.iter().for_each(|element| collect_scalars(element, found)),
        DeValue::Table(table) => table.values().for_each(|value| collect_scalars(value, found)),
        _ => found.push(value.span()),
    }
}

impl<'t, 'i> Reader<'t, 'i> {
    /// The reader of the root table.
    pub(super) fn root(table: &'t DeTable<'i>) -> Self {
        Self { table, place: Place { offset: None, key: String::new() }, known: Vec::new() }
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the key is there, of whatever type.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether there is no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keys that would be known, also where they are not there.
    pub(super) fn know(&mut self, keys: &[&'static str]) {
        let news = keys.iter().filter(|key| !self.known.contains(*key)).copied().collect::<Vec<_>>();
        self.known.extend(news);
    }

    /// The first key, in the order of the file, that begins so.
    pub(super) fn first_with(&self, beginning: &str) -> Option<(&'t str, Place)> {
        let keys = self.table.keys().filter(|key| key.get_ref().starts_with(beginning));
        let first = keys.min_by_key(|key| key.span().start)?.get_ref().as_ref();
        Some((first, self.place_of(first)))
    }

    /// Where a key of this table stands, or would.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let offset = self.table.get_key_value(key).map_or(self.place.offset, |(name, _)| Some(name.span().start));
        Place { offset, key: join(&self.place.key, key) }
    }

    /// Reports a key that must be there and is not.
    pub(super) fn require(&self, key: &str, expected: &str, report: &mut Report<'_>) {
        if !self.has(key) {
            report.fault(&self.place_of(key), format!("expected {expected}, found none"));
        }
    }

    /// A text.
    pub(super) fn string(&mut self, key: &'static str, expected: &str, report: &mut Report<'_>) -> Option<At<&'t str>> {
        let found = self.take(key)?;
        match found.value {
            DeValue::String(text) => Some(At { place: found.place, value: text.as_ref() }),
            other => wrong_type(&found.place, &format!("{expected}, in quotes"), other, report),
        }
    }

    /// A list of texts, at least one; elements of other types are reported and left out.
    pub(super) fn strings(
        &mut self,
        key: &'static str,
        example: &str,
        report: &mut Report<'_>,
    ) -> Option<At<Vec<At<&'t str>>>> {
        let found = self.take(key)?;
        let DeValue::Array(elements) = found.value else {
            return wrong_type(&found.place, &format!("an array such as {example}"), found.value, report);
        };
        let mut texts = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let place = Place { offset: Some(element.span().start), key: format!("{}[{index}]", found.place.key) };
            match element.get_ref() {
                DeValue::String(text) => texts.push(At { place, value: text.as_ref() }),
                other => wrong_type(&place, "a text, in quotes", other, report).unwrap_or_default(),
            }
        }
        if elements.is_empty() {
            report.fault(&found.place, format!("expected an array such as {example}, found an empty one"));
        }
        Some(At { place: found.place, value: texts })
    }

    /// A yes or no.
    pub(super) fn boolean(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<At<bool>> {
        let found = self.take(key)?;
        match found.value {
            DeValue::Boolean(value) => Some(At { place: found.place, value: *value }),
            other => wrong_type(&found.place, "true or false", other, report),
        }
    }

    /// A port.
    pub(super) fn port(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<At<u16>> {
        let found = self.whole(key, ("a port from 1 to 65535", 1..=u64::from(u16::MAX)), report)?;
        Some(At { place: found.place, value: u16::try_from(found.value).ok()? })
    }

    /// A whole number within bounds, which the words name.
    pub(super) fn whole(
        &mut self,
        key: &'static str,
        (expected, bounds): (&str, RangeInclusive<u64>),
        report: &mut Report<'_>,
    ) -> Option<At<u64>> {
        let found = self.take(key)?;
        let DeValue::Integer(number) = found.value else {
            return wrong_type(&found.place, &format!("{expected}, without quotes"), found.value, report);
        };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let value = read.filter(|value| bounds.contains(value));
        if value.is_none() {
            let shown = if number.radix() == 10 { words::number(number.as_str()) } else { "another number".to_owned() };
            report.fault(&found.place, format!("expected {expected}, found {shown}"));
        }
        Some(At { place: found.place, value: value? })
    }

    /// A table.
    pub(super) fn table(&mut self, key: &'static str, report: &mut Report<'_>) -> Option<Reader<'t, 'i>> {
        let found = self.take(key)?;
        match found.value {
            DeValue::Table(table) => Some(Reader { table, place: found.place, known: Vec::new() }),
            other => wrong_type(&found.place, "a table", other, report),
        }
    }

    /// An array of tables, `[[key]]`; elements of other types are reported and left out.
    pub(super) fn tables(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<Reader<'t, 'i>> {
        let path = self.place_of(key).key;
        let expected = format!("an array of tables, each under [[{path}]]");
        self.array(key, &expected, Some(&format!("at least one [[{path}]]")), report)
    }

    /// The same, where an empty array says on purpose that there are none.
    pub(super) fn tables_or_none(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<Reader<'t, 'i>> {
        self.array(key, &format!("an array of tables, each under [[{key}]]"), None, report)
    }

    /// The same, as people write short tables: `key = [{ … }]`.
    pub(super) fn short_tables(
        &mut self,
        key: &'static str,
        example: &str,
        report: &mut Report<'_>,
    ) -> Vec<Reader<'t, 'i>> {
        let expected = format!("an array such as {example}");
        self.array(key, &expected, Some(&expected), report)
    }

    fn array(
        &mut self,
        key: &'static str,
        expected: &str,
        least: Option<&str>,
        report: &mut Report<'_>,
    ) -> Vec<Reader<'t, 'i>> {
        let Some(found) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(elements) = found.value else {
            return wrong_type(&found.place, expected, found.value, report).unwrap_or_default();
        };
        if let Some(least) = least.filter(|_| elements.is_empty()) {
            report.fault(&found.place, format!("expected {least}, found an empty array"));
        }
        let mut readers = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let place = Place { offset: Some(element.span().start), key: format!("{}[{index}]", found.place.key) };
            match element.get_ref() {
                DeValue::Table(table) => readers.push(Reader { table, place, known: Vec::new() }),
                other => wrong_type(&place, "a table", other, report).unwrap_or_default(),
            }
        }
        readers
    }

    /// The keys of the table, whatever they are, each with its value; for tables whose keys are names.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'t str, At<&'t DeValue<'i>>)> {
        self.table.iter().map(move |(name, value)| {
            let place = Place { offset: Some(name.span().start), key: join(&self.place.key, name.get_ref()) };
            (name.get_ref().as_ref(), At { place, value: value.get_ref() })
        })
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn close(self, report: &mut Report<'_>) {
        for name in self.table.keys() {
            let key = name.get_ref().as_ref();
            if self.known.contains(&key) {
                continue;
            }
            report.fault(&self.place_of(key), format!("unknown key; {}", unknown::advice(key, &self.known)));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<At<&'t DeValue<'i>>> {
        self.known.push(key);
        let value = self.table.get(key)?.get_ref();
        Some(At { place: self.place_of(key), value })
    }
}

/// The reader of a value that may be a table.
pub(super) fn as_table<'t, 'i>(value: &At<&'t DeValue<'i>>) -> Option<Reader<'t, 'i>> {
    let table = value.value.as_table()?;
    Some(Reader { table, place: value.place.clone(), known: Vec::new() })
}

/// Reports a value of the wrong type, by type only: the value itself may be a secret.
pub(super) fn wrong_type<T>(place: &Place, expected: &str, found: &DeValue<'_>, report: &mut Report<'_>) -> Option<T> {
    let found = match found {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    report.fault(place, format!("expected {expected}, found {found}"));
    None
}

/// A key path; a key that is no bare one is quoted, and hidden where it may be a secret.
fn join(parent: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.len() <= 32 && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let key = if words::hidden(key) {
        "(not shown)".to_owned()
    } else if bare {
        key.to_owned()
    } else {
        words::shown(key)
    };
    if parent.is_empty() { key } else { format!("{parent}.{key}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::fault::Fault;

    fn faults(text: &str, read: impl Fn(&mut Reader<'_, '_>, &mut Report<'_>)) -> Vec<String> {
        let mut report = Report::new(Path::new("x"), text);
        if let Some(document) = parse(text, &mut report) {
            let mut reader = Reader::root(document.get_ref());
            read(&mut reader, &mut report);
            reader.close(&mut report);
        }
        report.finish().0.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn faults_within_values_do_not_hide_the_others() {
        let read = |reader: &mut Reader<'_, '_>, report: &mut Report<'_>| {
            reader.string("a", "a", report);
        };
        assert_eq!(
            faults("a = 10s\nb = 1\na = 2\nc = True\n", read),
            [
                "x:1: expected a number, a date, true, false or a text in quotes at column 5, found none of them",
                "x:2: b: unknown key; known here: a",
                "x:3: duplicate key \"a\"; keep one of them",
                "x:4: expected a number, a date, true, false or a text in quotes at column 5, found none of them",
            ]
        );
    }

    #[test]
    fn where_the_structure_is_broken_only_that_is_said() {
        let read = |_: &mut Reader<'_, '_>, _: &mut Report<'_>| {};
        assert_eq!(faults("z = 1\n[web\n", read), ["x:2: not TOML at column 5: unclosed table, expected `]`"]);
    }

    #[test]
    fn strange_keys_are_quoted_and_secrets_hidden() {
        assert_eq!(join("a", "b-c_1"), "a.b-c_1");
        assert_eq!(join("", "b c"), "\"b c\"");
        assert!(!join("a", "pvs_5a5a5a5a5a5a").contains("5a5a"));
        assert!(!join("a", "0b9e7a52-1111-4222-8333-5a5a5a5a5a5a").contains("0b9e"));
    }
}
