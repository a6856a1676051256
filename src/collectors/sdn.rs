//! Whether the zones of the software-defined network work on each node. Try: `pvesh get /nodes/NODE/sdn/zones`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{Column, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, Subject};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, SdnZone};

/// The types of the zones are told by a call about the cluster only, which would take a place of another node.
const CALL: &str = "/nodes/{node}/sdn/zones";

/// Where there are no zones, one empty answer a node is all that it costs.
pub(super) const COLLECTOR: Collector = Collector {
    name: "sdn",
    about: "state of the zones of the software-defined network on every node",
    needs: &[Need { privilege: "SDN.Audit", before_9: None, path: "/sdn" }],
    calls: &[CALL],
    families: &[&STATE, &INFO],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(5),
        per: Per::Node,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static STATE: Desc = Desc {
    name: "pve_sdn_zone_state",
    help: "State of the zone on the node, only the one that it is in, from /nodes/{node}/sdn/zones.",
    kind: Kind::Gauge,
};
static INFO: Desc = Desc {
    name: "pve_sdn_zone_info",
    help: "Node and name of the zone, from /nodes/{node}/sdn/zones.",
    kind: Kind::Gauge,
};

/// PVE's words; another one becomes `other`.
const STATES: &[&str] = &["available", "pending", "error"];

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Subject::Node(node) = ask.subject() else { return Ok(Vec::new()) };
        let Some(answer) = if_known(ask.get(CALL).await)? else { return Ok(Vec::new()) };
        Ok(families(node, &pve::sdn_zones(&answer)?))
    })
}

fn families(node: &str, zones: &[SdnZone<'_>]) -> Vec<Family> {
    let [mut state, mut info] = [&STATE, &INFO].map(Column::new);
    let zones: BTreeMap<&str, Option<&str>> =
        zones.iter().filter_map(|zone| Some((zone.zone.filled()?, zone.status.filled()))).collect();
    for (name, status) in zones {
        // As /cluster/resources calls it.
        let id = format!("sdn/{node}/{name}");
        if let Some(status) = status {
            let word = STATES.iter().find(|word| **word == status).copied().unwrap_or("other");
            state.push_info(Labels::new(&[("id", &id), ("state", word)]));
        }
        info.push_info(Labels::new(&[("id", &id), ("node", node), ("zone", name)]));
    }
    [state, info].map(Column::into_family).into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    #[test]
    fn each_zone_is_told() {
        let zones = recorded("hand-made/GET_nodes__pve-lab__sdn__zones.json");
        let zones = pve::sdn_zones(&zones).expect("zones");
        assert_eq!(
            lines(&families("pve-lab", &zones)),
            [
                "pve_sdn_zone_state{id=\"sdn/pve-lab/dmz\",state=\"error\"} 1",
                "pve_sdn_zone_state{id=\"sdn/pve-lab/lan\",state=\"available\"} 1",
                "pve_sdn_zone_info{id=\"sdn/pve-lab/dmz\",node=\"pve-lab\",zone=\"dmz\"} 1",
                "pve_sdn_zone_info{id=\"sdn/pve-lab/lan\",node=\"pve-lab\",zone=\"lan\"} 1",
            ]
        );
    }

    #[test]
    fn words_that_may_come_are_other_and_what_is_not_told_is_absent() {
        let told = |body: &str| {
            let answer = Answer::of(body);
            lines(&families("a", &pve::sdn_zones(&answer).expect("zones")))
        };
        let lines = told(r#"{"data":[{"zone":"z","status":"dancing"},{"zone":"y"},{"status":"error"}]}"#);
        assert_eq!(
            lines,
            [
                "pve_sdn_zone_state{id=\"sdn/a/z\",state=\"other\"} 1",
                "pve_sdn_zone_info{id=\"sdn/a/y\",node=\"a\",zone=\"y\"} 1",
                "pve_sdn_zone_info{id=\"sdn/a/z\",node=\"a\",zone=\"z\"} 1",
            ]
        );
        assert_eq!(told(r#"{"data":[]}"#), Vec::<String>::new());
        assert!(pve::sdn_zones(&Answer::of(r#"{"data":[{"status":"error"}]}"#)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(zones in any_rows(&["zone", "status"])) {
            let zones = Answer::of(&serde_json::json!({ "data": zones }).to_string());
            if let Ok(zones) = pve::sdn_zones(&zones) {
                check(&COLLECTOR, &families("a", &zones));
            }
        }
    }
}
