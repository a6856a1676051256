//! How the samples of a family are kept: one by one; or, where several families tell of the same thousands of things, as
//! columns of one [`Table`], which costs 8 bytes per sample and no allocation; or elsewhere, in [`Bundles`] of answers or
//! where [`Things`](super::Things) tell them.

use std::sync::Arc;

use super::bundle::{self, Bundles};
use super::family::push_pairs;
use super::things;
use super::{Desc, Family, Labels, Sample};

/// The samples of a family, in the order in which they are written.
#[derive(Debug, Clone, Default)]
pub struct Samples(Kept);

#[derive(Debug, Clone)]
enum Kept {
    Listed(Vec<Sample>),
    /// A value per row; NaN where the row has none.
    Column(Arc<Rows>, Vec<f64>),
    /// Those of one family, by its place.
    Bundled(Arc<Bundles>, u16),
    /// A value per thing, read when it is wanted.
    Told(things::Family),
}

/// Families that tell of the same things, filled row by row.
#[derive(Debug)]
pub struct Table<const N: usize> {
    rows: Rows,
    columns: [(&'static Desc, Vec<f64>); N],
}

/// The labels of many rows, one after the other in texts of [`PIECE`] rows each: memory in small pieces is had, and
/// given back, without a trace.
#[derive(Debug, Default)]
pub struct Rows {
    texts: Vec<String>,
    /// Where the labels of each row end in their text.
    ends: Vec<u32>,
}

const PIECE: usize = 256;

/// A way through samples that keeps its place.
pub(super) enum Walk<'a> {
    Listed(&'a [Sample], usize),
    Column(&'a Rows, &'a [f64], usize),
    Bundled(bundle::Walk<'a>),
    Told(Box<things::Walk<'a>>),
}

impl Samples {
    /// Those of a family of things.
    pub(super) fn told(family: things::Family) -> Self {
        Self(Kept::Told(family))
    }

    /// Those of a family of bundles.
    pub(super) fn bundled(bundles: Arc<Bundles>, family: u16) -> Self {
        Self(Kept::Bundled(bundles, family))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.walk(0).step().is_none()
    }

    /// Adds one at the end.
    pub fn push(&mut self, sample: Sample) {
        self.extend([sample]);
    }

    /// All of them, each as plain data.
    pub fn iter(&self) -> impl Iterator<Item = Sample> {
        let mut walk = self.walk(0);
        std::iter::from_fn(move || match &mut walk {
            Walk::Listed(samples, place) => {
                *place += 1;
                samples.get(*place - 1).cloned()
            }
            others => others.step().map(|(_, labels, value)| Sample { labels: Labels::written(labels), value }),
        })
    }

    /// From a place on: places, labels and values. Some places may be empty.
    pub(super) fn walk(&self, place: usize) -> Walk<'_> {
        match &self.0 {
            Kept::Listed(samples) => Walk::Listed(samples, place),
            Kept::Column(rows, values) => Walk::Column(rows, values, place),
            Kept::Bundled(bundles, family) => Walk::Bundled(bundles.walk(*family, place)),
            Kept::Told(family) => Walk::Told(Box::new(family.walk(place))),
        }
    }
}

impl Walk<'_> {
    /// The next one: its place, labels and value.
    pub(super) fn step(&mut self) -> Option<(usize, &str, f64)> {
        match self {
            Self::Listed(samples, next) => {
                let place = *next;
                let sample = samples.get(place)?;
                *next += 1;
                Some((place, sample.labels.as_str(), sample.value))
            }
            Self::Column(rows, values, next) => loop {
                let place = *next;
                let value = *values.get(place)?;
                *next += 1;
                if !value.is_nan() {
                    return Some((place, rows.get(place), value));
                }
            },
            Self::Bundled(walk) => walk.step(),
            Self::Told(walk) => walk.step(),
        }
    }
}

impl<const N: usize> Table<N> {
    /// For about so many rows.
    pub fn new(descs: [&'static Desc; N], rows: usize) -> Self {
        Self { rows: Rows::new(rows), columns: descs.map(|desc| (desc, Vec::with_capacity(rows))) }
    }

    /// One more row: its labels, as [`Labels::new`] takes them, and a value for each family. What is absent, or no
    /// number, is no sample.
    pub fn push(&mut self, labels: &[(&str, &str)], values: [Option<f64>; N]) {
        self.rows.push(labels);
        for ((_, column), value) in self.columns.iter_mut().zip(values) {
            column.push(value.unwrap_or(f64::NAN));
        }
    }

    /// The families, which share the labels from now on.
    pub fn into_families(self) -> impl Iterator<Item = Family> {
        let rows = Arc::new(self.rows);
        self.columns.into_iter().map(move |(desc, values)| {
            let samples = Samples(Kept::Column(Arc::clone(&rows), values));
            Family { desc: desc.into(), samples }
        })
    }
}

impl Rows {
    /// For about so many.
    pub fn new(rows: usize) -> Self {
        Self { texts: Vec::with_capacity(rows.div_ceil(PIECE)), ends: Vec::with_capacity(rows) }
    }

    /// One more row: its labels, as [`Labels::new`] takes them.
    pub fn push(&mut self, labels: &[(&str, &str)]) {
        if self.ends.len().is_multiple_of(PIECE) {
            // The rows of a table are about as long as one another.
            let capacity = self.texts.last().map_or(0, |before| before.len() + before.len() / 8);
            self.texts.push(String::with_capacity(capacity));
        }
        if let Some(text) = self.texts.last_mut() {
            push_pairs(text, labels);
            self.ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The labels of a row; none where there is no such row.
    pub(super) fn get(&self, row: usize) -> &str {
        let before = row.checked_sub(1).filter(|_| !row.is_multiple_of(PIECE));
        let start = before.and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let text = self.texts.get(row / PIECE).zip(self.ends.get(row));
        text.and_then(|(text, end)| text.get(start..*end as usize)).unwrap_or_default()
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl IntoIterator for Samples {
    type Item = Sample;
    type IntoIter = std::vec::IntoIter<Sample>;

    fn into_iter(self) -> Self::IntoIter {
        match self.0 {
            Kept::Listed(samples) => samples.into_iter(),
            Kept::Column(..) | Kept::Bundled(..) | Kept::Told(..) => self.iter().collect::<Vec<_>>().into_iter(),
        }
    }
}

impl Extend<Sample> for Samples {
    fn extend<I: IntoIterator<Item = Sample>>(&mut self, samples: I) {
        if !matches!(self.0, Kept::Listed(..)) {
            self.0 = Kept::Listed(self.iter().collect());
        }
        if let Kept::Listed(listed) = &mut self.0 {
            listed.extend(samples);
        }
    }
}

impl FromIterator<Sample> for Samples {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        Self(Kept::Listed(samples.into_iter().collect()))
    }
}

impl From<Vec<Sample>> for Samples {
    fn from(samples: Vec<Sample>) -> Self {
        Self(Kept::Listed(samples))
    }
}

impl PartialEq for Samples {
    /// Whether they say the same, however they are kept.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;

    static UP: Desc = Desc { name: "pve_up", help: "Whether it runs.", kind: Kind::Gauge };
    static CPU: Desc = Desc { name: "pve_cpu_ratio", help: "Load.", kind: Kind::Gauge };

    fn lines(samples: &Samples) -> Vec<String> {
        samples.iter().map(|sample| format!("{} {}", sample.labels.as_str(), sample.value)).collect()
    }

    #[test]
    fn a_table_tells_what_is_there_and_nothing_else() {
        let mut table = Table::new([&UP, &CPU], 2);
        table.push(&[("id", "a\"")], [Some(1.0), None]);
        table.push(&[], [Some(f64::NAN), Some(0.5)]);
        table.push(&[("id", "c"), ("name", "é")], [Some(0.0), Some(0.25)]);
        let families: Vec<Family> = table.into_families().collect();
        assert_eq!(
            families.iter().map(|family| family.desc.view().name).collect::<Vec<_>>(),
            ["pve_up", "pve_cpu_ratio"]
        );
        assert_eq!(lines(&families[0].samples), [r#"id="a\"" 1"#, r#"id="c",name="é" 0"#]);
        assert_eq!(lines(&families[1].samples), [" 0.5", r#"id="c",name="é" 0.25"#]);
        let mut walk = families[0].samples.walk(1);
        assert_eq!(walk.step(), Some((2, r#"id="c",name="é""#, 0.0)));
        assert_eq!((walk.step(), families[0].samples.walk(9).step()), (None, None));
    }

    #[test]
    fn rows_of_many_pieces_keep_their_labels() {
        let mut table = Table::new([&UP], 0);
        for row in 0..3 * PIECE + 1 {
            table.push(&[("id", &"x".repeat(row % 7))], [Some(row as f64)]);
        }
        let family = table.into_families().next().expect("a family");
        let mut walk = family.samples.walk(0);
        for row in 0..3 * PIECE + 1 {
            let labels = format!("id=\"{}\"", "x".repeat(row % 7));
            assert_eq!(walk.step(), Some((row, labels.as_str(), row as f64)));
        }
        assert_eq!(walk.step(), None);
    }

    #[test]
    fn a_column_without_values_is_empty() {
        let mut table = Table::new([&UP, &CPU], 1);
        table.push(&[("id", "a")], [Some(1.0), None]);
        let families: Vec<Family> = table.into_families().collect();
        assert!(!families[0].samples.is_empty() && families[1].samples.is_empty());
        assert!(Samples::default().is_empty());
    }

    #[test]
    fn samples_are_equal_when_they_say_the_same() {
        let mut table = Table::new([&UP], 1);
        table.push(&[("id", "a")], [Some(1.0)]);
        let mut column = table.into_families().next().expect("a family").samples;
        let mut listed: Samples = column.iter().collect();
        assert_eq!(column, listed);
        let more = Sample { labels: Labels::new(&[("id", "b")]), value: 2.0 };
        column.push(more.clone());
        assert_ne!(column, listed);
        listed.push(more);
        assert_eq!(lines(&column), [r#"id="a" 1"#, r#"id="b" 2"#]);
        assert_eq!(column, listed);
    }
}
