//! What one answer told, kept for many pages: the labels of all its samples in one text, which pages share without a copy.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Desc, Family, Labels, Sample, Samples};

/// The samples of one answer.
#[derive(Debug)]
pub struct Bundle {
    /// The labels of all, each once.
    text: Arc<str>,
    /// By family.
    rows: Box<[Row]>,
}

/// A sample.
#[derive(Debug, Clone, Copy)]
struct Row {
    value: f64,
    /// Its labels in the text.
    start: u32,
    length: u16,
    /// Its place among the descriptions.
    family: u16,
}

/// The names of a bundle's samples.
pub struct Names<'a>(HashSet<(u16, &'a str), RandomState>);

/// Bundles of the same families, in the order in which they are written.
#[derive(Debug)]
pub struct Bundles {
    descs: &'static [&'static Desc],
    /// Each after the number of samples that are before it.
    all: Vec<(usize, Arc<Bundle>)>,
    samples: usize,
}

/// A way through the samples of one family that keeps its place.
pub(super) struct Walk<'a> {
    bundles: &'a Bundles,
    family: u16,
    bundle: usize,
    row: usize,
}

impl Bundle {
    /// Of families that are among the described ones; others, labels of more than 64 KiB, and what is no number are left out.
    /// What is told twice is told as it was first: an answer that names a thing twice must not cost the page.
    pub fn new(descs: &[&'static Desc], families: &[Family]) -> Self {
        let (mut text, mut rows) = (String::new(), Vec::new());
        let mut places: HashMap<Labels, Option<(u32, u16)>, RandomState> = HashMap::default();
        for (number, desc) in (0..).zip(descs) {
            let samples = families.iter().filter(|family| family.desc == (*desc).into());
            let numbers = samples.flat_map(|family| family.samples.iter()).filter(|sample| sample.value.is_finite());
            let mut told: HashSet<Option<(u32, u16)>, RandomState> = HashSet::default();
            for Sample { labels, value } in numbers {
                let place = *places.entry(labels).or_insert_with_key(|labels| add(&mut text, labels.as_str()));
                let new = place.filter(|_| told.insert(place));
                rows.extend(new.map(|(start, length)| Row { value, start, length, family: number }));
            }
        }
        Self { text: text.into(), rows: rows.into() }
    }

    /// The same with the samples of each family in the order of their labels, in whatever order they were told.
    #[must_use]
    pub fn sorted(self) -> Self {
        let Self { text, mut rows } = self;
        rows.sort_by(|a, b| (a.family, a.labels(&text)).cmp(&(b.family, b.labels(&text))));
        Self { text, rows }
    }

    /// What it says in some of the families it was made with.
    pub fn families(&self, descs: &[&'static Desc], wanted: &[&'static Desc]) -> Vec<Family> {
        let family = |desc: &&'static Desc| {
            let number = u16::try_from(descs.iter().position(|known| known == desc)?).ok()?;
            let rows = self.rows.iter().filter(|row| row.family == number);
            let sample = |row: &Row| Sample { labels: Labels::written(self.labels(row)), value: row.value };
            let samples: Samples = rows.map(sample).collect();
            (!samples.is_empty()).then(|| Family { desc: (*desc).into(), samples })
        };
        wanted.iter().filter_map(family).collect()
    }

    /// What its samples are called.
    pub fn names(&self) -> Names<'_> {
        Names(self.rows.iter().map(|row| (row.family, self.labels(row))).collect())
    }

    /// The same without what another one of the same families says as well; nothing where it says nothing of it.
    pub fn without(&self, others: &Names<'_>) -> Option<Self> {
        let is_own = |row: &&Row| !others.0.contains(&(row.family, self.labels(row)));
        let rows: Box<[Row]> = self.rows.iter().filter(is_own).copied().collect();
        (rows.len() < self.rows.len()).then(|| Self { text: Arc::clone(&self.text), rows })
    }

    fn labels(&self, row: &Row) -> &str {
        row.labels(&self.text)
    }

    /// Where the samples of a family begin.
    fn begin(&self, family: u16) -> usize {
        self.rows.partition_point(|row| row.family < family)
    }
}

impl Row {
    fn labels<'a>(&self, text: &'a str) -> &'a str {
        let start = self.start as usize;
        text.get(start..start + usize::from(self.length)).unwrap_or_default()
    }
}

/// Where they begin, and how long they are.
fn add(text: &mut String, labels: &str) -> Option<(u32, u16)> {
    let place = (u32::try_from(text.len()).ok()?, u16::try_from(labels.len()).ok()?);
    text.push_str(labels);
    Some(place)
}

impl Bundles {
    /// None yet; of these families, and of about so many answers.
    pub fn new(descs: &'static [&'static Desc], count: usize) -> Self {
        Self { descs, all: Vec::with_capacity(count), samples: 0 }
    }

    /// Adds one that was made with the same descriptions.
    pub fn push(&mut self, bundle: &Arc<Bundle>) {
        self.all.push((self.samples, Arc::clone(bundle)));
        self.samples += bundle.rows.len();
    }

    /// The families, which share the bundles from now on.
    pub fn into_families(self) -> Vec<Family> {
        let bundles = Arc::new(self);
        let family = |(number, desc): (u16, &&'static Desc)| Family {
            desc: (*desc).into(),
            samples: Samples::bundled(Arc::clone(&bundles), number),
        };
        (0..).zip(bundles.descs).map(family).collect()
    }

    /// From a place on.
    pub(super) fn walk(&self, family: u16, place: usize) -> Walk<'_> {
        let bundle = self.all.partition_point(|(before, _)| *before <= place).saturating_sub(1);
        let mut walk = Walk { bundles: self, family, bundle, row: 0 };
        let before = self.all.get(bundle).map_or(0, |(before, _)| *before);
        walk.row = walk.begin().max(place - before);
        walk
    }
}

impl Walk<'_> {
    /// The next one: its place, labels and value.
    pub(super) fn step(&mut self) -> Option<(usize, &str, f64)> {
        loop {
            let (before, bundle) = self.bundles.all.get(self.bundle)?;
            if let Some(row) = bundle.rows.get(self.row).filter(|row| row.family == self.family) {
                let place = before + self.row;
                self.row += 1;
                return Some((place, bundle.labels(row), row.value));
            }
            self.bundle += 1;
            self.row = self.begin();
        }
    }

    fn begin(&self) -> usize {
        self.bundles.all.get(self.bundle).map_or(0, |(_, bundle)| bundle.begin(self.family))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Kind, Page, Part};
    use super::*;
    use proptest::prelude::*;

    static UP: Desc = Desc { name: "pve_up", help: "Whether it runs.", kind: Kind::Gauge };
    static CPU: Desc = Desc { name: "pve_cpu_ratio", help: "Load.", kind: Kind::Gauge };
    static INFO: Desc = Desc { name: "pve_info", help: "More.", kind: Kind::Gauge };
    static OTHER: Desc = Desc { name: "pve_up", help: "Something else.", kind: Kind::Gauge };
    static DESCS: [&Desc; 3] = [&UP, &CPU, &INFO];

    fn family(desc: &'static Desc, samples: &[(&str, f64)]) -> Family {
        let sample = |(id, value): &(&str, f64)| Sample { labels: Labels::new(&[("id", id)]), value: *value };
        Family { desc: desc.into(), samples: samples.iter().map(sample).collect() }
    }

    fn lines(families: &[Family]) -> Vec<String> {
        let line = |family: &Family| {
            let name = family.desc.view().name;
            family.samples.iter().map(|one| format!("{name} {} {}", one.labels.as_str(), one.value)).collect::<Vec<_>>()
        };
        families.iter().flat_map(line).collect()
    }

    #[test]
    fn labels_are_kept_once_and_families_in_their_order() {
        let told =
            [family(&CPU, &[("a", 1.0), ("b\"", 2.0)]), family(&OTHER, &[("a", 9.0)]), family(&UP, &[("a", 0.0)])];
        let bundle = Arc::new(Bundle::new(&DESCS, &told));
        assert_eq!(&*bundle.text, r#"id="a"id="b\"""#);
        let mut bundles = Bundles::new(&DESCS, 1);
        bundles.push(&bundle);
        let families = bundles.into_families();
        assert_eq!(
            lines(&families),
            [r#"pve_up id="a" 0"#, r#"pve_cpu_ratio id="a" 1"#, r#"pve_cpu_ratio id="b\"" 2"#]
        );
        assert!(families[2].samples.is_empty() && !families[0].samples.is_empty());
        assert_eq!(bundle.families(&DESCS, &[&INFO, &UP, &OTHER]), [family(&UP, &[("a", 0.0)])]);
    }

    #[test]
    fn what_another_says_as_well_can_be_left_out() {
        let old = Bundle::new(&DESCS, &[family(&UP, &[("a", 1.0), ("b", 2.0)]), family(&CPU, &[("c", 3.0)])]);
        let new = Bundle::new(&DESCS, &[family(&UP, &[("b", 4.0), ("c", 5.0)])]);
        let left = old.without(&new.names()).expect("b is in both");
        let left = left.families(&DESCS, &DESCS);
        assert_eq!(left, [family(&UP, &[("a", 1.0)]), family(&CPU, &[("c", 3.0)])]);
        assert!(new.without(&Bundle::new(&DESCS, &[family(&CPU, &[("b", 1.0)])]).names()).is_none());
    }

    #[test]
    fn samples_can_be_put_in_order() {
        let told = [family(&UP, &[("b", 1.0), ("a", 2.0)]), family(&CPU, &[("c", 3.0), ("a", 4.0)])];
        let sorted = Bundle::new(&DESCS, &told).sorted().families(&DESCS, &DESCS);
        assert_eq!(sorted, [family(&UP, &[("a", 2.0), ("b", 1.0)]), family(&CPU, &[("a", 4.0), ("c", 3.0)])]);
    }

    #[test]
    fn labels_beyond_all_measure_are_left_out() {
        let long = "x".repeat(70_000);
        let bundle = Bundle::new(&DESCS, &[family(&UP, &[(&long, 1.0), ("a", 2.0), (&long, 3.0)])]);
        assert_eq!(bundle.families(&DESCS, &DESCS), [family(&UP, &[("a", 2.0)])]);
    }

    proptest! {
        /// Pages end in the middle of bundles, and go on there.
        #[test]
        fn every_sample_is_written_once(counts in prop::collection::vec((0usize..40, 0usize..40, 0usize..3), 0..40)) {
            let (mut bundles, mut listed) = (Bundles::new(&DESCS, 0), DESCS.map(|desc| family(desc, &[])));
            for (at, (ups, cpus, infos)) in counts.into_iter().enumerate() {
                let told = [(&UP, ups), (&CPU, cpus), (&INFO, infos)].map(|(desc, count)| {
                    let ids: Vec<String> = (0..count).map(|one| format!("{at}/{one}/{}", "y".repeat(150))).collect();
                    family(desc, &ids.iter().map(|id| (id.as_str(), at as f64)).collect::<Vec<_>>())
                });
                bundles.push(&Arc::new(Bundle::new(&DESCS, &told)));
                for (all, one) in listed.iter_mut().zip(told) {
                    all.samples.extend(one.samples);
                }
            }
            let text = |families| {
                let part = Arc::new(Part { labels: Labels::new(&[("cluster", "home")]), families });
                Page::new(vec![part], None).chunks(Format::OpenMetrics100).collect::<Vec<_>>()
            };
            prop_assert_eq!(text(bundles.into_families()), text(listed.into()));
        }
    }
}
