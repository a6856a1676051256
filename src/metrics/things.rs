//! Families that tell of thousands of things from where those are kept: each figure is read at the moment it is written,
//! and no sample is there before.

use std::fmt;
use std::sync::Arc;

use super::family::push_pairs;
use super::{Desc, Rows, Samples};

/// Things of which several families tell, in an order that does not change.
pub trait Things: fmt::Debug + Send + Sync {
    /// Tells the values of a figure, of the things from a place on, NaN where a thing has none. Answers how many there were;
    /// fewer than there is room for only at the end.
    fn figures(&self, figure: usize, from: usize, values: &mut [f64]) -> usize;

    /// Says the labels that a thing has in a fact besides those it has in all families.
    fn labels(&self, fact: usize, place: usize, say: Say<'_>);
}

/// Takes label pairs.
pub type Say<'a> = &'a mut dyn FnMut(&[(&str, &str)]);

/// One of the families.
#[derive(Debug, Clone)]
pub(super) struct Family {
    things: Arc<dyn Things>,
    /// What each thing is called in all families.
    names: Arc<Rows>,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// A value per thing.
    Figure(usize),
    /// 1 for each thing, with labels that say more of it.
    Fact(usize),
}

/// A way through the samples of a family.
pub(super) struct Walk<'a> {
    family: &'a Family,
    place: usize,
    values: Ahead,
    /// The labels of a fact.
    text: String,
}

/// Values that were asked for, and how many of them are used.
struct Ahead {
    values: [f64; AHEAD],
    used: usize,
    told: usize,
}

/// To ask for one value after the other costs more than to read it.
const AHEAD: usize = 64;

/// The families of things whose labels, the same in all families, are `names`: `figures` have a value per thing, `facts`
/// are 1 and have more labels. [`Things`] know them by their places in these lists.
pub fn families(
    things: Arc<dyn Things>,
    names: Rows,
    figures: impl IntoIterator<Item = &'static Desc>,
    facts: impl IntoIterator<Item = &'static Desc>,
) -> Vec<super::Family> {
    let names = Arc::new(names);
    let figures = figures.into_iter().enumerate().map(|(index, desc)| (desc, What::Figure(index)));
    let facts = facts.into_iter().enumerate().map(|(index, desc)| (desc, What::Fact(index)));
    let family = |what| Family { things: Arc::clone(&things), names: Arc::clone(&names), what };
    let all = figures.chain(facts);
    all.map(|(desc, what)| super::Family { desc: desc.into(), samples: Samples::told(family(what)) }).collect()
}

impl Family {
    /// From a place on.
    pub(super) fn walk(&self, place: usize) -> Walk<'_> {
        Walk { family: self, place, values: Ahead { values: [f64::NAN; AHEAD], used: 0, told: 0 }, text: String::new() }
    }
}

impl Walk<'_> {
    /// The next sample: its place, labels and value.
    pub(super) fn step(&mut self) -> Option<(usize, &str, f64)> {
        match self.family.what {
            What::Figure(figure) => loop {
                let place = self.place;
                let value = self.values.next(|values| self.family.things.figures(figure, place, values))?;
                self.place += 1;
                if !value.is_nan() {
                    return Some((place, self.family.names.get(place), value));
                }
            },
            What::Fact(fact) => {
                let place = self.place;
                if place >= self.family.names.len() {
                    return None;
                }
                self.place += 1;
                self.text.clear();
                self.text.push_str(self.family.names.get(place));
                self.family.things.labels(fact, place, &mut |pairs| {
                    self.text.push(',');
                    push_pairs(&mut self.text, pairs);
                });
                Some((place, &self.text, 1.0))
            }
        }
    }
}

impl Ahead {
    fn next(&mut self, ask: impl FnOnce(&mut [f64]) -> usize) -> Option<f64> {
        if self.used == self.told {
            (self.used, self.told) = (0, ask(&mut self.values));
        }
        let value = self.values.get(..self.told)?.get(self.used).copied();
        self.used += 1;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Sample};
    use super::*;

    static SIZE: Desc = Desc { name: "size", help: "Size.", kind: Kind::Gauge };
    static AGE: Desc = Desc { name: "age", help: "Age.", kind: Kind::Gauge };
    static INFO: Desc = Desc { name: "info", help: "More.", kind: Kind::Gauge };

    /// As many as it says. Each has its place for a size, every third one an age; all of them have a word.
    #[derive(Debug)]
    struct Words(usize);

    impl Things for Words {
        fn figures(&self, figure: usize, from: usize, values: &mut [f64]) -> usize {
            let places = from..self.0;
            let told = places.len().min(values.len());
            for (place, value) in places.zip(values) {
                *value = if figure == 0 || place % 3 == 0 { place as f64 } else { f64::NAN };
            }
            told
        }

        fn labels(&self, _: usize, place: usize, say: Say<'_>) {
            say(&[("word", &format!("\"{place}"))]);
        }
    }

    fn told(count: usize) -> Vec<super::super::Family> {
        let mut names = Rows::new(count);
        (0..count).for_each(|place| names.push(&[("id", &place.to_string())]));
        families(Arc::new(Words(count)), names, [&SIZE, &AGE], [&INFO])
    }

    fn lines(family: &super::super::Family) -> Vec<String> {
        let line = |sample: Sample| format!("{} {}", sample.labels.as_str(), sample.value);
        family.samples.iter().map(line).collect()
    }

    #[test]
    fn each_family_tells_of_all_that_have_something_to_tell() {
        for count in [0, 1, 2, AHEAD - 1, AHEAD, AHEAD + 1, 3 * AHEAD + 5] {
            let families = told(count);
            let line = |place: usize| format!("id=\"{place}\" {place}");
            assert_eq!(lines(&families[0]), (0..count).map(line).collect::<Vec<_>>());
            assert_eq!(lines(&families[1]), (0..count).step_by(3).map(line).collect::<Vec<_>>());
            let info = |place: usize| format!("id=\"{place}\",word=\"\\\"{place}\" 1");
            assert_eq!(lines(&families[2]), (0..count).map(info).collect::<Vec<_>>());
            assert_eq!(families.iter().map(|family| family.samples.is_empty()).collect::<Vec<_>>(), [count == 0; 3]);
        }
    }

    #[test]
    fn a_walk_begins_anywhere() {
        let families = told(2 * AHEAD);
        for from in [0, 1, AHEAD - 1, AHEAD, 2 * AHEAD - 1, 2 * AHEAD, 9 * AHEAD] {
            for (family, step) in families.iter().zip([1, 3, 1]) {
                let mut walk = family.samples.walk(from);
                let places = std::iter::from_fn(|| walk.step().map(|(place, ..)| place));
                assert!(places.eq((from..2 * AHEAD).filter(|place| place % step == 0)), "{from}");
            }
        }
    }
}
