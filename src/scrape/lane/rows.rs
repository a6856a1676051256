//! The samples of one value, as they lie on a shelf.

use crate::metrics::{About, Desc, Family, Labels, Sample};

/// One sample.
pub(super) struct Row {
    pub(super) desc: &'static Desc,
    pub(super) labels: Labels,
    pub(super) value: f64,
}

impl Row {
    /// What no other series of a page has: its labels, and which family it belongs to.
    pub(super) fn name(&self) -> (&str, *const Desc) {
        (self.labels.as_str(), std::ptr::from_ref(self.desc))
    }
}

/// Where a family is among those of a collector. Rows come in about their order, so that it is looked for from the last one
/// on.
pub(super) fn next_of(families: &[&'static Desc], last: usize, wanted: &'static Desc) -> Option<usize> {
    let is_it = |place: &usize| families.get(*place).is_some_and(|desc| std::ptr::eq(*desc, wanted) || *desc == wanted);
    (last..families.len()).chain(0..last).find(is_it)
}

/// What a collector told of one subject.
pub(super) fn rows(families: Vec<Family>) -> Box<[Row]> {
    let samples = families.into_iter().flat_map(|family| {
        // The families of a collector are announced, so they are known.
        let desc = if let About::Known(desc) = family.desc { Some(desc) } else { None };
        let row = move |sample: Sample| Some(Row { desc: desc?, labels: sample.labels, value: sample.value });
        family.samples.into_iter().filter_map(row)
    });
    samples.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;

    static UP: Desc = Desc { name: "pve_up", help: "Whether it runs.", kind: Kind::Gauge };
    static CPU: Desc = Desc { name: "pve_cpu_ratio", help: "Load.", kind: Kind::Gauge };
    static LOAD: Desc = Desc { name: "pve_load", help: "Load.", kind: Kind::Gauge };

    #[test]
    fn a_family_is_found_wherever_the_last_one_was() {
        for last in 0..3 {
            assert_eq!(next_of(&[&UP, &CPU], last, &UP), Some(0), "{last}");
            assert_eq!(next_of(&[&UP, &CPU], last, &CPU), Some(1), "{last}");
            assert_eq!(next_of(&[&UP, &CPU], last, &LOAD), None, "{last}");
        }
    }
}
