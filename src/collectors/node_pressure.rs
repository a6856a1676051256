//! How long processes of each node wait for CPU, disks and memory. Try: `pvesh get /nodes/NODE/rrddata --timeframe hour`

use std::time::Duration;

use super::shared::{self, Column, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, NodePressure};

const CALL: &str = "/nodes/{node}/rrddata?timeframe=hour";

/// Since PVE 9. Over SSH, the collector `host` tells the same as counters.
pub(super) const COLLECTOR: Collector = Collector {
    name: "node_pressure",
    about: "share of the time in which processes of every node wait for CPU, disks and memory (PSI)",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" }],
    calls: &[CALL],
    families: &[&PRESSURE],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(2),
        per: Per::Node,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static PRESSURE: Desc = Desc {
    name: "pve_node_pressure_ratio",
    help: "Share of the last minute or two in which some or all processes of the node waited for the resource (PSI), absent before PVE 9, from /nodes/{node}/rrddata.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Some(answer) = if_known(ask.get(CALL).await)? else { return Ok(Vec::new()) };
        let pressure = pve::node_pressure(&answer)?;
        Ok(pressure.map(|pressure| families(&shared::id(ask.subject()), &pressure)).unwrap_or_default())
    })
}

fn families(id: &str, pressure: &NodePressure) -> Vec<Family> {
    let mut column = Column::new(&PRESSURE);
    for (resource, kind, percent) in [
        ("cpu", "some", pressure.cpu_some),
        ("io", "some", pressure.io_some),
        ("io", "full", pressure.io_full),
        ("memory", "some", pressure.memory_some),
        ("memory", "full", pressure.memory_full),
    ] {
        let labels = Labels::new(&[("id", id), ("resource", resource), ("kind", kind)]);
        column.push(&labels, percent.quantity().map(|percent| percent / 100.0));
    }
    vec![column.into_family()]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    #[test]
    fn the_newest_recorded_point_is_told_as_shares() {
        let answer = recorded("pve-9.2-cluster/GET_nodes__pve-lab__rrddata__timeframe=hour.json");
        let pressure = pve::node_pressure(&answer).expect("points").expect("a pressure");
        assert_eq!(pressure.time.0, Some(1_795_209_480.0));
        assert_eq!(
            lines(&families("node/pve-lab", &pressure)),
            [
                "pve_node_pressure_ratio{id=\"node/pve-lab\",resource=\"cpu\",kind=\"some\"} 0.0246483333333333",
                "pve_node_pressure_ratio{id=\"node/pve-lab\",resource=\"io\",kind=\"some\"} 0.00165666666666667",
                "pve_node_pressure_ratio{id=\"node/pve-lab\",resource=\"io\",kind=\"full\"} 0.00137333333333333",
                "pve_node_pressure_ratio{id=\"node/pve-lab\",resource=\"memory\",kind=\"some\"} 0",
                "pve_node_pressure_ratio{id=\"node/pve-lab\",resource=\"memory\",kind=\"full\"} 0",
            ]
        );
    }

    #[test]
    fn a_figure_that_is_not_there_is_no_zero() {
        let told = |body: &str| {
            let pressure = pve::node_pressure(&Answer::of(body)).expect("points");
            pressure.map(|pressure| lines(&families("node/a", &pressure))).unwrap_or_default()
        };
        let old = r#"{"data":[{"time":1,"cpu":0.5,"loadavg":1}]}"#;
        assert_eq!(told(old), Vec::<String>::new(), "PVE 8 does not measure it");
        let line = "pve_node_pressure_ratio{id=\"node/a\",resource=\"memory\",kind=\"full\"} 0.5";
        let body = r#"{"data":[{"time":1,"pressurememoryfull":"50.00","pressureiosome":null,"pressurecpusome":-1}]}"#;
        assert_eq!(told(body), [line]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            rows in any_rows(&["time", "pressurecpusome", "pressureiosome", "pressureiofull", "pressurememoryfull"]),
        ) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(Some(pressure)) = pve::node_pressure(&answer) {
                check(&COLLECTOR, &families("node/a", &pressure));
            }
        }
    }
}
