//! Whoever knows all: what must be found, what each Alertmanager must have taken of it, and how that differs from what is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How many UPIDs an alert shows.
const TEXTS: usize = 10;
/// So much of a difference is told.
const TOLD: usize = 12;

/// A finding, as far as the plan tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    pub kind: &'static str,
    pub id: String,
    pub node: Option<String>,
    /// What kind of task it was, and its UPID, with the guest of a backup job.
    pub task: Option<(String, String)>,
    pub state: &'static str,
}

/// Findings, and how often each is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(BTreeMap<Known, usize>);

/// What an Alertmanager took, by labels: the last that it was told of each.
#[derive(Debug, Clone, Default)]
pub struct Alerts(BTreeMap<BTreeMap<String, String>, Shown>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shown {
    /// 0: it is a condition.
    count: u64,
    upids: Vec<String>,
}

impl Findings {
    pub fn add(&mut self, known: Known) {
        *self.0.entry(known).or_default() += 1;
    }

    pub fn by_kind(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for (known, count) in &self.0 {
            *kinds.entry(known.kind).or_default() += count;
        }
        kinds
    }

    /// What the API lists.
    pub fn of(events: &[Value]) -> Self {
        let mut findings = Self::default();
        for event in events {
            let text = |name: &str| event[name].as_str().map(str::to_owned);
            let key = text("key").unwrap_or_default();
            findings.add(Known {
                kind: interned(&text("kind").unwrap_or_default()),
                id: text("id").unwrap_or_default(),
                node: text("node"),
                task: text("task_type").zip(key.strip_prefix("task/").map(str::to_owned)),
                state: interned(&text("state").unwrap_or_default()),
            });
        }
        findings
    }

    /// What was not found, and what was and should not be.
    pub fn differences(&self, found: &Self) -> (Vec<String>, Vec<String>) {
        let more = |these: &Self, than: &Self| {
            let more = these.0.iter().filter_map(|(known, count)| {
                let there = than.0.get(known).copied().unwrap_or_default();
                (*count > there).then(|| format!("{} times {known:?}", count - there))
            });
            more.collect::<Vec<_>>()
        };
        (more(self, found), more(found, self))
    }
}

impl Alerts {
    /// What must be shown of these events in the end.
    pub fn of(events: &[Value]) -> Self {
        let mut groups: BTreeMap<_, BTreeSet<(String, String, String)>> = BTreeMap::new();
        for event in events.iter().filter(|event| event["severity"] != "info") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let names = ["alertname", "severity", "cluster", "id", "node", "task_type"];
            let labels = names.iter().map(|name| ((*name).to_owned(), text(&event[*name])));
            let group = groups.entry(labels.filter(|(_, value)| !value.is_empty()).collect()).or_default();
            if event["state"] == "occurred" {
                group.insert((text(&event["started_at"]), text(&event["key"]), text(&event["details"]["upid"])));
            }
        }
        let shown = |group: BTreeSet<(String, String, String)>| {
            let upids = group.iter().rev().take(TEXTS).rev().map(|(_, _, upid)| upid.clone());
            Shown { count: group.len() as u64, upids: upids.filter(|upid| !upid.is_empty()).collect() }
        };
        Self(groups.into_iter().map(|(labels, group)| (labels, shown(group))).collect())
    }

    /// Takes alerts in the order in which they came.
    pub fn take(&mut self, alerts: &[Value]) {
        for alert in alerts {
            let labels = alert["labels"].as_object().unwrap().iter();
            let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
            let note = |name: &str| alert["annotations"][name].as_str().unwrap_or_default();
            let upids = if note("upids").is_empty() { note("upid") } else { note("upids") };
            let upids = upids.split(' ').filter(|upid| !upid.is_empty()).map(str::to_owned).collect();
            self.0.insert(labels.collect(), Shown { count: note("count").parse().unwrap_or_default(), upids });
        }
    }

    /// What is not shown as it must be, and what is shown and should not be.
    pub fn differences(&self, shown: &Self) -> (Vec<String>, Vec<String>) {
        let lacks = self.0.iter().filter(|(labels, must)| shown.0.get(*labels) != Some(must));
        let lacks = lacks.map(|(labels, must)| format!("{labels:?}: {must:?} and not {:?}", shown.0.get(labels)));
        let phantoms = shown.0.keys().filter(|labels| !self.0.contains_key(*labels));
        (lacks.collect(), phantoms.map(|labels| format!("{labels:?}")).collect())
    }
}

/// A few of them in words.
pub fn some(what: &str, differences: &[String]) -> String {
    let mut text = format!("{} {what}", differences.len());
    for difference in differences.iter().take(TOLD) {
        text.push_str("\n  ");
        text.push_str(difference);
    }
    text
}

/// The words of kinds and states.
fn interned(word: &str) -> &'static str {
    const STATES: [&str; 3] = ["occurred", "began", "ended"];
    let kinds = pve_sentinel::events::Kind::ALL.iter().map(|kind| kind.name());
    STATES.into_iter().chain(kinds).find(|known| *known == word).unwrap_or("unknown")
}
