//! What each collector's work came to, as families.

use std::time::Duration;

use super::lane::Refresh;
use crate::collectors::{self, Lane, Need};
use crate::metrics::{Desc, Family, Kind, Labels, Sample, Samples};
use crate::pve::{self, Error, Reason};

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
static REFRESH_DURATION: Desc = Desc {
    name: "pve_scrape_collector_refresh_duration_seconds",
    help: "How long the last full refresh of a collector of the slow lane took: while any of its calls waited for its turn or its answer.",
    kind: Kind::Gauge,
};
static REFRESH_CALLS: Desc = Desc {
    name: "pve_scrape_collector_refresh_calls",
    help: "API calls of the last full refresh of a collector of the slow lane.",
    kind: Kind::Gauge,
};

static MISSING: Desc = Desc {
    name: "pve_sentinel_privilege_missing",
    help: "A privilege on a path that the credential lacks, so that the collector tells nothing or not all.",
    kind: Kind::Gauge,
};

impl Outcome {
    /// The privileges that it failed for; where Proxmox VE names none of them, all that it needs.
    fn lacking(&self) -> Vec<&'static Need> {
        let Some(Reason::Forbidden(words)) = self.error.as_ref().map(|error| &error.reason) else { return Vec::new() };
        let needs = needs(self.collector);
        let named: Vec<&Need> = needs.iter().filter(|need| words.contains(need.privilege)).collect();
        if named.is_empty() { needs.iter().collect() } else { named }
    }

    /// The command that grants what it failed for, where it failed for want of a privilege; `identity` is who we are.
    pub(super) fn remedy(&self, identity: &str) -> Option<String> {
        let grant = |need: &&Need| pve::grant(identity, need.privilege, need.path);
        self.lacking().first().map(grant)
    }
}

fn needs(collector: &str) -> &'static [Need] {
    collectors::ALL.iter().find(|known| known.name == collector).map_or(&[], |collector| collector.needs)
}

/// What the credential lacks; `blind` where lists are empty for want of any right.
pub(super) fn missing(outcomes: &[Outcome], blind: bool) -> Option<Family> {
    let unseen = |outcome: &&Outcome| blind && outcome.error.is_none() && is_fast(outcome.collector);
    let unseen = outcomes
        .iter()
        .filter(unseen)
        .flat_map(|outcome| needs(outcome.collector).iter().map(move |need| (outcome, need)));
    let lacking = outcomes.iter().flat_map(|outcome| outcome.lacking().into_iter().map(move |need| (outcome, need)));
    let sample = |(outcome, need): (&Outcome, &Need)| Sample {
        labels: Labels::new(&[("collector", outcome.collector), ("path", need.path), ("privilege", need.privilege)]),
        value: 1.0,
    };
    let samples: Samples = lacking.chain(unseen).map(sample).collect();
    (!samples.is_empty()).then(|| Family { desc: (&MISSING).into(), samples })
}

fn is_fast(collector: &str) -> bool {
    collectors::ALL.iter().any(|known| known.name == collector && matches!(known.lane, Lane::Fast(_)))
}

pub(super) fn families(outcomes: &[Outcome]) -> Vec<Family> {
    let figures = |outcome: &Outcome| {
        let &Outcome { collector, ref error, duration, age } = outcome;
        Figures { collector, success: error.is_none(), duration, age }
    };
    told(outcomes.iter().map(figures))
}

/// What the last full refreshes of the slow lane took.
pub(super) fn refreshes(refreshes: &[(&'static str, Refresh)]) -> [Family; 2] {
    let samples = |value: fn(&Refresh) -> f64| -> Samples {
        let sample = |(collector, refresh): &(&'static str, Refresh)| {
            let labels = Labels::new(&[("collector", collector)]);
            Sample { labels, value: value(refresh) }
        };
        refreshes.iter().map(sample).collect()
    };
    let duration = samples(|refresh| refresh.duration.as_secs_f64());
    let calls = samples(|refresh| refresh.calls as f64);
    [
        Family { desc: (&REFRESH_DURATION).into(), samples: duration },
        Family { desc: (&REFRESH_CALLS).into(), samples: calls },
    ]
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
