//! Load, waiting for disks, swap and network traffic of every node, in one call that `/cluster/resources` does not
//! replace. Try: `pvesh get /cluster/metrics/export`

use std::time::Duration;

use super::shared::{Column, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, NodeMetric, NodeSample};

const CALL: &str = "/cluster/metrics/export";

/// Absent before PVE 8.2.5. The answering node asks all others, one after the other, for up to 20 s each.
pub(super) const COLLECTOR: Collector = Collector {
    name: "node_load",
    about: "load, I/O wait, swap and physical network traffic of every node",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/" }],
    calls: &[CALL],
    families: &[&LOAD1, &LOAD5, &LOAD15, &IOWAIT, &SWAP_SIZE, &SWAP_USAGE, &RECEIVED, &TRANSMITTED],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_secs(30),
        per: Per::Cluster,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static LOAD1: Desc = Desc {
    name: "pve_node_load1",
    help: "Load average of the node over one minute, from /cluster/metrics/export.",
    kind: Kind::Gauge,
};
static LOAD5: Desc = Desc {
    name: "pve_node_load5",
    help: "Load average of the node over five minutes, from /cluster/metrics/export.",
    kind: Kind::Gauge,
};
static LOAD15: Desc = Desc {
    name: "pve_node_load15",
    help: "Load average of the node over fifteen minutes, from /cluster/metrics/export.",
    kind: Kind::Gauge,
};
static IOWAIT: Desc = Desc {
    name: "pve_node_iowait_ratio",
    help: "Share of the node's CPU time spent waiting for disks, from /cluster/metrics/export.",
    kind: Kind::Gauge,
};
static SWAP_SIZE: Desc = Desc {
    name: "pve_node_swap_size_bytes",
    help: "Swap space of the node, 0 where it has none, from /cluster/metrics/export.",
    kind: Kind::Gauge,
};
static SWAP_USAGE: Desc = Desc {
    name: "pve_node_swap_usage_bytes",
    help: "Swap space of the node in use, from /cluster/metrics/export.",
    kind: Kind::Gauge,
};
static RECEIVED: Desc = Desc {
    name: "pve_node_network_receive_bytes_total",
    help: "Bytes that the node received over its physical network interfaces since its start, from /cluster/metrics/export.",
    kind: Kind::Counter,
};
static TRANSMITTED: Desc = Desc {
    name: "pve_node_network_transmit_bytes_total",
    help: "Bytes that the node sent over its physical network interfaces since its start, from /cluster/metrics/export.",
    kind: Kind::Counter,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Some(answer) = if_known(ask.get(CALL).await)? else { return Ok(Vec::new()) };
        Ok(families(&pve::node_metrics(&answer)?))
    })
}

fn families(samples: &[NodeSample<'_>]) -> Vec<Family> {
    let column = |desc, metric| {
        let mut column = Column::new(desc);
        for sample in samples.iter().filter(|sample| sample.metric == metric) {
            column.push(&Labels::new(&[("id", &format!("node/{}", sample.node))]), Some(sample.value));
        }
        column.into_family()
    };
    vec![
        column(&LOAD1, NodeMetric::Load1),
        column(&LOAD5, NodeMetric::Load5),
        column(&LOAD15, NodeMetric::Load15),
        column(&IOWAIT, NodeMetric::IoWait),
        column(&SWAP_SIZE, NodeMetric::SwapSize),
        column(&SWAP_USAGE, NodeMetric::SwapUsage),
        column(&RECEIVED, NodeMetric::Received),
        column(&TRANSMITTED, NodeMetric::Transmitted),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<Family> {
        families(&pve::node_metrics(answer).expect("rows"))
    }

    #[test]
    fn the_recorded_nodes_are_told() {
        assert_eq!(
            lines(&told(&recorded("pve-9.2-cluster/GET_cluster__metrics__export.json"))),
            [
                "pve_node_load1{id=\"node/pve-lab\"} 0.15",
                "pve_node_load1{id=\"node/pve-lab2\"} 0.16",
                "pve_node_load5{id=\"node/pve-lab\"} 0.54",
                "pve_node_load5{id=\"node/pve-lab2\"} 0.55",
                "pve_node_load15{id=\"node/pve-lab\"} 1.38",
                "pve_node_load15{id=\"node/pve-lab2\"} 1.39",
                "pve_node_iowait_ratio{id=\"node/pve-lab\"} 0.00564334085778781",
                "pve_node_iowait_ratio{id=\"node/pve-lab2\"} 0.000512032770097286",
                "pve_node_swap_size_bytes{id=\"node/pve-lab\"} 0",
                "pve_node_swap_size_bytes{id=\"node/pve-lab2\"} 0",
                "pve_node_swap_usage_bytes{id=\"node/pve-lab\"} 0",
                "pve_node_swap_usage_bytes{id=\"node/pve-lab2\"} 0",
                "pve_node_network_receive_bytes_total{id=\"node/pve-lab\"} 0",
                "pve_node_network_receive_bytes_total{id=\"node/pve-lab2\"} 0",
                "pve_node_network_transmit_bytes_total{id=\"node/pve-lab\"} 0",
                "pve_node_network_transmit_bytes_total{id=\"node/pve-lab2\"} 0",
            ]
        );
    }

    #[test]
    fn a_lost_node_is_absent() {
        let lines = lines(&told(&recorded("pve-9.2-node-lost/node2down_6min_GET_cluster__metrics__export.json")));
        assert_eq!(lines.len(), 8);
        assert!(lines.iter().all(|line| line.contains("id=\"node/pve-lab\"")), "{lines:?}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["id", "metric", "value", "timestamp", "type"])) {
            let answer = Answer::of(&serde_json::json!({ "data": { "data": rows } }).to_string());
            if let Ok(samples) = pve::node_metrics(&answer) {
                check(&COLLECTOR, &families(&samples));
            }
        }
    }
}
