//! Where the subjects put their samples: each family once, each series once, whatever a host repeats.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::metrics::{About, Desc, Family, Kind, Labels, Sample, Samples};

/// The families of one host.
#[derive(Debug, Default)]
pub(super) struct Sink {
    families: Vec<(About, Vec<Sample>, BTreeSet<Labels>)>,
    places: HashMap<Box<str>, usize>,
    trouble: Option<String>,
}

impl Sink {
    /// A sample of a family that our source describes; nothing where there is no value.
    pub(super) fn put(&mut self, desc: &'static Desc, labels: &Labels, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            let place = self.place(desc.name, || desc.into());
            self.push(place, labels, value);
        }
    }

    /// A sample of a family whose name holds what a host calls a figure. What no name can hold becomes `_`.
    pub(super) fn put_made(&mut self, desc: Desc<&str>, labels: &Labels, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            let name: Box<str> = desc.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let about = || About::Made(Arc::new(Desc { name: name.clone(), help: desc.help.into(), kind: desc.kind }));
            let place = self.place(&name, about);
            self.push(place, labels, value);
        }
    }

    /// What the current subject needs is not there.
    pub(super) fn missing(&mut self, path: &str) {
        self.trouble(format!("{path}: not there, or not to be read"));
    }

    /// A line is not what it should be; the others count all the same.
    pub(super) fn malformed(&mut self, path: &str, line: &str) {
        let excerpt: String = line.chars().filter(|c| !c.is_control()).take(80).collect();
        self.trouble(format!("{path}: not understood: {excerpt:?}"));
    }

    /// What went wrong with the current subject; the first reason stands for all.
    pub(super) fn trouble(&mut self, what: String) {
        self.trouble.get_or_insert(what);
    }

    /// What went wrong since the last call.
    pub(super) fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    pub(super) fn into_families(self) -> Vec<Family> {
        let families = self.families.into_iter();
        families.map(|(desc, samples, _)| Family { desc, samples: Samples::from(samples) }).collect()
    }

    fn place(&mut self, name: &str, about: impl FnOnce() -> About) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.families.push((about(), Vec::new(), BTreeSet::new()));
        self.places.insert(name.into(), self.families.len() - 1);
        self.families.len() - 1
    }

    fn push(&mut self, place: usize, labels: &Labels, value: f64) {
        if let Some((_, samples, seen)) = self.families.get_mut(place)
            && seen.insert(labels.clone())
        {
            samples.push(Sample { labels: labels.clone(), value });
        }
    }
}

pub(super) const fn gauge(name: &'static str, help: &'static str) -> Desc {
    Desc { name, help, kind: Kind::Gauge }
}

pub(super) const fn counter(name: &'static str, help: &'static str) -> Desc {
    Desc { name, help, kind: Kind::Counter }
}

/// No labels.
pub(super) fn plain() -> Labels {
    Labels::new(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    static UP: Desc = gauge("node_up", "Up.");

    #[test]
    fn nothing_stands_twice() {
        let mut sink = Sink::default();
        let eth0 = Labels::new(&[("device", "eth0")]);
        sink.put(&UP, &eth0, 1.0);
        sink.put(&UP, &eth0, 2.0);
        sink.put(&UP, &plain(), None);
        sink.put_made(Desc { name: "node_up", help: "Another.", kind: Kind::Untyped }, &plain(), 3.0);
        sink.put_made(Desc { name: "node_a-b{", help: "Odd.", kind: Kind::Untyped }, &plain(), 4.0);
        let families = sink.into_families();
        let told: Vec<_> = families
            .iter()
            .map(|family| {
                (family.desc.view().name, family.samples.iter().map(|sample| sample.value).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(told, [("node_up", vec![1.0, 3.0]), ("node_a_b_", vec![4.0])]);
    }

    #[test]
    fn the_first_trouble_stands_for_all() {
        let mut sink = Sink::default();
        sink.missing("/proc/stat");
        sink.malformed("/proc/stat", "x\u{7}y");
        assert_eq!(sink.take_trouble().as_deref(), Some("/proc/stat: not there, or not to be read"));
        assert_eq!(sink.take_trouble(), None);
        sink.malformed("/proc/stat", "x\u{7}y");
        assert_eq!(sink.take_trouble().as_deref(), Some("/proc/stat: not understood: \"xy\""));
    }
}
