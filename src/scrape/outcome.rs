//! What each collector's work came to, as families.

use std::time::Duration;

use crate::metrics::{Desc, Family, Kind, Labels, Sample, Samples};
use crate::pve::Error;

/// One collector in one scrape.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) collector: &'static str,
    pub(super) error: Option<Error>,
    pub(super) duration: Duration,
    /// Of the oldest value; absent where nothing is told.
    pub(super) age: Option<Duration>,
}

/// What is said of a collector's work.
pub(super) struct Figures {
    pub(super) collector: &'static str,
    pub(super) success: bool,
    pub(super) duration: Duration,
    pub(super) age: Option<Duration>,
}

static SUCCESS: Desc = Desc {
    name: "pve_scrape_collector_success",
    help: "Whether the collector told all it could; absent before a collector of the slow lane has its first answer.",
    kind: Kind::Gauge,
};
static DURATION: Desc = Desc {
    name: "pve_scrape_collector_duration_seconds",
    help: "How long the calls of the collector took; in the slow lane, the slowest of them.",
    kind: Kind::Gauge,
};
static AGE: Desc = Desc {
    name: "pve_scrape_collector_age_seconds",
    help: "Age of the oldest value that the collector tells.",
    kind: Kind::Gauge,
};

pub(super) fn families(outcomes: &[Outcome]) -> Vec<Family> {
    let figures = |outcome: &Outcome| {
        let &Outcome { collector, ref error, duration, age } = outcome;
        Figures { collector, success: error.is_none(), duration, age }
    };
    told(outcomes.iter().map(figures))
}

pub(super) fn told(figures: impl Iterator<Item = Figures>) -> Vec<Family> {
    let mut families =
        [&SUCCESS, &DURATION, &AGE].map(|desc| Family { desc: desc.into(), samples: Samples::default() });
    for Figures { collector, success, duration, age } in figures {
        let labels = Labels::new(&[("collector", collector)]);
        let success = f64::from(u8::from(success));
        let values = [Some(success), Some(duration.as_secs_f64()), age.map(|age| age.as_secs_f64())];
        for (family, value) in families.iter_mut().zip(values) {
            family.samples.extend(value.map(|value| Sample { labels: labels.clone(), value }));
        }
    }
    families.into()
}
