//! What a collector costs the cluster: the API calls it makes in an hour, at most.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Collector, Lane, Per};

/// An hour, in seconds.
const HOUR: f64 = 3600.0;
/// pveproxy's workers on a node.
const WORKERS: f64 = 3.0;

/// How much there is to ask about, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Nodes of the cluster.
    pub nodes: u32,
    /// Guests, all of them running.
    pub guests: u32,
    /// Between two scrapes.
    pub interval: Duration,
}

/// The calls of a collector in an hour, if each answers at once; `ttl` is that of the configuration, if it names one.
///
/// Each of [`Collector::calls`] counts, also those that are made only where there is a reason. Hosts and services are no
/// calls of the API.
pub fn calls_per_hour(collector: &Collector, ttl: Option<Duration>, size: &Size) -> f64 {
    per_call(collector, ttl, size) * calls(collector).len() as f64
}

/// The calls of all of them in an hour; what several read is asked once.
pub fn calls_of_all(collectors: impl Iterator<Item = (&'static Collector, Option<Duration>)>, size: &Size) -> f64 {
    let mut calls_of: BTreeMap<&str, f64> = BTreeMap::new();
    let mut alone = 0.0;
    for (collector, ttl) in collectors {
        match collector.lane {
            // One round, one call.
            Lane::Fast(_) => {
                calls_of.extend(calls(collector).iter().map(|call| (*call, per_call(collector, ttl, size))));
            }
            _ => alone += calls_per_hour(collector, ttl, size),
        }
    }
    alone + calls_of.values().sum::<f64>()
}

/// The part of pveproxy's time on all nodes that so many calls in an hour take, if each takes so long; 1 is all of it.
pub fn share_of_workers(calls: f64, each: Duration, size: &Size) -> f64 {
    calls * each.as_secs_f64() / (HOUR * WORKERS * f64::from(size.nodes))
}

fn calls(collector: &Collector) -> &'static [&'static str] {
    match collector.lane {
        Lane::Fast(_) | Lane::Slow(_) => collector.calls,
        Lane::Host(_) | Lane::Services => &[],
    }
}

fn per_call(collector: &Collector, ttl: Option<Duration>, size: &Size) -> f64 {
    let (subjects, every) = match collector.lane {
        Lane::Slow(slow) => {
            let subjects = match slow.per {
                Per::Cluster => 1,
                Per::Node => size.nodes,
                Per::Guest | Per::Running | Per::RunningVms => size.guests,
            };
            // What nobody scrapes is not asked for.
            (subjects, ttl.unwrap_or(slow.ttl).max(size.interval))
        }
        Lane::Fast(_) | Lane::Host(_) | Lane::Services => (1, size.interval),
    };
    f64::from(subjects) * HOUR / every.as_secs_f64().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::ALL;
    use super::*;
    use crate::config::{Collectors, Preset};

    const SIZE: Size = Size { nodes: 3, guests: 100, interval: Duration::from_mins(1) };

    fn named(name: &str) -> &'static Collector {
        ALL.iter().find(|collector| collector.name == name).expect("a collector")
    }

    #[test]
    fn each_subject_costs_a_call_per_ttl_and_each_scrape_one_for_all() {
        for (name, ttl, expected) in [
            ("guest", None, 60.0),
            ("cluster", None, 120.0),
            ("node_load", None, 60.0),
            ("subscription", None, 3.0),
            ("subscription", Some(Duration::from_mins(2)), 90.0),
            ("replication", None, 90.0),
            ("host", None, 0.0),
            ("service", None, 0.0),
        ] {
            assert!((calls_per_hour(named(name), ttl, &SIZE) - expected).abs() < 1e-6, "{name}");
        }
        let all = [named("guest"), named("node"), named("subscription")].into_iter().map(|one| (one, None));
        assert!((calls_of_all(all, &SIZE) - 63.0).abs() < 1e-6);
    }

    #[test]
    fn the_smallest_preset_leaves_nearly_all_to_others() {
        let minimal = Collectors { preset: Preset::Minimal, ..Collectors::default() };
        let on = ALL.iter().copied().filter(|collector| collector.is_on(&minimal));
        let calls = calls_of_all(on.map(|collector| (collector, None)), &SIZE);
        assert!((calls - 180.0).abs() < 1e-6, "{calls}");
        let share = share_of_workers(calls, Duration::from_millis(50), &SIZE);
        assert!((share - 9.0 / 32400.0).abs() < 1e-9, "{share}");
    }
}
