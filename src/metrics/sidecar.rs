//! What the sidecar did: events found, sent, and not yet sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// Counters and gauges of the sidecar; without a sidecar there are no series.
#[derive(Debug, Default)]
pub struct Events {
    found: Family<Kind, Counter>,
    sent: Family<Alertmanager, Counter>,
    failed: Family<Alertmanager, Counter>,
    pending: Family<Alertmanager, Gauge>,
    oldest: Family<Alertmanager, Gauge>,
    cursors: Family<Node, Gauge>,
    at_risk: AtRisk,
}

/// A gauge that is not on the page before its first value.
#[derive(Debug, Clone)]
struct AtRisk(Arc<AtomicI64>);

impl Default for AtRisk {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(-1)))
    }
}

impl Collector for AtRisk {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let events = self.0.load(Ordering::Relaxed);
        if events < 0 {
            return Ok(());
        }
        let gauge = ConstGauge::new(events);
        let help = "Events that are lost if the process ends, because they could not be written to state_dir.";
        let metric = encoder.encode_descriptor("pve_sentinel_events_at_risk", help, None, gauge.metric_type())?;
        gauge.encode(metric)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    cluster: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Alertmanager {
    alertmanager: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Node {
    cluster: String,
    node: String,
}

impl Events {
    // The registry adds the full stop to each help.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("pve_sentinel_events_found", "Events found in a cluster, by kind", self.found.clone());
        registry.register("pve_sentinel_events_sent", "Events that an Alertmanager has accepted", self.sent.clone());
        registry.register(
            "pve_sentinel_events_failed",
            "Posts of alerts that an Alertmanager did not accept",
            self.failed.clone(),
        );
        registry.register(
            "pve_sentinel_events_pending",
            "Events that an Alertmanager has not accepted yet",
            self.pending.clone(),
        );
        registry.register(
            "pve_sentinel_events_oldest_pending_seconds",
            "How long the oldest event waits that an Alertmanager has not accepted yet",
            self.oldest.clone(),
        );
        registry.register(
            "pve_sentinel_events_cursor_timestamp_seconds",
            "Up to when all tasks of a node are known, by the clock of the cluster",
            self.cursors.clone(),
        );
        registry.register_collector(Box::new(self.at_risk.clone()));
    }

    /// Counts an event of a cluster: `pve_sentinel_events_found_total`. `kind` is one of few words.
    pub fn found(&self, cluster: &str, kind: &'static str) {
        self.found.get_or_create(&Kind { cluster: cluster.to_owned(), kind }).inc();
    }

    /// Tells of kinds of which nothing was found yet, so that the first of them is seen to be counted.
    pub fn none_yet(&self, cluster: &str, kinds: impl Iterator<Item = &'static str>) {
        for kind in kinds {
            drop(self.found.get_or_create(&Kind { cluster: cluster.to_owned(), kind }));
        }
    }

    /// Counts events that an Alertmanager has accepted: `pve_sentinel_events_sent_total`.
    pub fn sent(&self, alertmanager: &str, events: usize) {
        self.sent.get_or_create(&named(alertmanager)).inc_by(events as u64);
    }

    /// Counts a post that failed: `pve_sentinel_events_failed_total`.
    pub fn failed(&self, alertmanager: &str) {
        self.failed.get_or_create(&named(alertmanager)).inc();
    }

    /// Tells how many events wait for an Alertmanager, and for how many seconds the oldest of them:
    /// `pve_sentinel_events_pending` and `pve_sentinel_events_oldest_pending_seconds`.
    pub fn pending(&self, alertmanager: &str, events: usize, oldest: i64) {
        self.pending.get_or_create(&named(alertmanager)).set(whole(events));
        self.oldest.get_or_create(&named(alertmanager)).set(oldest);
    }

    /// Tells up to when, in seconds since 1970, all tasks of a node are known:
    /// `pve_sentinel_events_cursor_timestamp_seconds`.
    pub fn cursor(&self, cluster: &str, node: &str, at: i64) {
        let node = Node { cluster: cluster.to_owned(), node: node.to_owned() };
        self.cursors.get_or_create(&node).set(at);
    }

    /// Leaves a node out, because it is not watched any more.
    pub fn forget_cursor(&self, cluster: &str, node: &str) {
        self.cursors.remove(&Node { cluster: cluster.to_owned(), node: node.to_owned() });
    }

    /// Leaves out what waits for an Alertmanager, because it is not told any more.
    pub fn forget(&self, alertmanager: &str) {
        self.pending.remove(&named(alertmanager));
        self.oldest.remove(&named(alertmanager));
    }

    /// Tells how many events are in memory only: `pve_sentinel_events_at_risk`.
    pub fn at_risk(&self, events: usize) {
        self.at_risk.0.store(whole(events), Ordering::Relaxed);
    }
}

fn named(alertmanager: &str) -> Alertmanager {
    Alertmanager { alertmanager: alertmanager.to_owned() }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Own};

    #[test]
    fn what_never_was_is_not_told() {
        let own = Own::new("1");
        assert!(!own.encode(Format::Text004).contains("pve_sentinel_events"));
        own.events().found("home", "task_failed");
        own.events().none_yet("home", ["task_failed", "node_lost"].into_iter());
        own.events().sent("http://a", 2);
        own.events().failed("http://a");
        own.events().pending("http://a", 3, 40);
        own.events().at_risk(0);
        own.events().cursor("home", "pve1", 1_800_000_000);
        let text = own.encode(Format::OpenMetrics100);
        for line in [
            "pve_sentinel_events_found_total{cluster=\"home\",kind=\"task_failed\"} 1",
            "pve_sentinel_events_found_total{cluster=\"home\",kind=\"node_lost\"} 0",
            "pve_sentinel_events_sent_total{alertmanager=\"http://a\"} 2",
            "pve_sentinel_events_failed_total{alertmanager=\"http://a\"} 1",
            "pve_sentinel_events_pending{alertmanager=\"http://a\"} 3",
            "pve_sentinel_events_oldest_pending_seconds{alertmanager=\"http://a\"} 40",
            "pve_sentinel_events_at_risk 0",
            "pve_sentinel_events_cursor_timestamp_seconds{cluster=\"home\",node=\"pve1\"} 1800000000",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        own.events().forget("http://a");
        own.events().forget_cursor("home", "pve1");
        let text = own.encode(Format::Text004);
        assert!(!text.contains("pending{") && !text.contains("cursor_timestamp_seconds{"));
    }
}
