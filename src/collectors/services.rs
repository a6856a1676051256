//! The state of PVE's own services on each node. Try: `pvesh get /nodes/NODE/services`

use std::time::Duration;

use super::shared::{self, Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Service};

const CALL: &str = "/nodes/{node}/services";

/// It blocks because PVE asks systemd for one unit after the other, which takes a second where all is well.
pub(super) const COLLECTOR: Collector = Collector {
    name: "services",
    about: "state of every node's Proxmox VE services, and whether they start with it",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" }],
    calls: &[CALL],
    families: &[&STATE, &ENABLED],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(5),
        per: Per::Node,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static STATE: Desc = Desc {
    name: "pve_node_service_state",
    help: "State of the service as systemd has it, only the one that it is in, from /nodes/{node}/services.",
    kind: Kind::Gauge,
};
static ENABLED: Desc = Desc {
    name: "pve_node_service_enabled",
    help: "Whether the service starts with the node as the administrator chose, absent where there is no choice, from /nodes/{node}/services.",
    kind: Kind::Gauge,
};

/// systemd's words; another one becomes `other`.
const STATES: &[&str] =
    &["active", "inactive", "failed", "activating", "deactivating", "maintenance", "reloading", "refreshing"];

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(&shared::id(ask.subject()), pve::services(&answer)?))
    })
}

fn families(id: &str, mut services: Vec<Service<'_>>) -> Vec<Family> {
    let [mut states, mut enabled] = [&STATE, &ENABLED].map(Column::new);
    services.retain(Service::is_installed);
    services.sort_by(|a, b| a.service.0.cmp(&b.service.0));
    services.dedup_by(|later, first| later.service == first.service);
    for service in &services {
        let name = service.service.filled().unwrap_or_default();
        if let Some(state) = service.active() {
            let word = STATES.iter().find(|word| **word == state).copied().unwrap_or("other");
            states.push_info(Labels::new(&[("id", id), ("service", name), ("state", word)]));
        }
        enabled.push(&Labels::new(&[("id", id), ("service", name)]), service.is_enabled().map(flag));
    }
    [states, enabled].map(Column::into_family).into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<String> {
        lines(&families("node/pve-lab", pve::services(answer).expect("services")))
    }

    #[test]
    fn the_recorded_services_are_told_as_far_as_they_are_installed() {
        for file in ["GET", "AUDITOR_GET"] {
            let lines = told(&recorded(&format!("pve-9.2-cluster/{file}_nodes__pve-lab__services.json")));
            // Of 23 units, 10 are not installed, and sshd and journald are static, of which there is no choice.
            assert_eq!(lines.len(), 2 * 13 - 2, "{lines:?}");
            for line in [
                "pve_node_service_state{id=\"node/pve-lab\",service=\"pveproxy\",state=\"active\"} 1",
                "pve_node_service_enabled{id=\"node/pve-lab\",service=\"pveproxy\"} 1",
                "pve_node_service_state{id=\"node/pve-lab\",service=\"cron\",state=\"inactive\"} 1",
                "pve_node_service_enabled{id=\"node/pve-lab\",service=\"cron\"} 0",
                "pve_node_service_state{id=\"node/pve-lab\",service=\"sshd\",state=\"active\"} 1",
            ] {
                assert!(lines.iter().any(|told| told == line), "{line}: {lines:?}");
            }
            assert!(!lines.iter().any(|line| line.contains("chrony")), "{lines:?}");
        }
    }

    #[test]
    fn words_that_systemd_may_learn_and_older_releases_are_understood() {
        let state = |fields: &str| {
            let lines = told(&Answer::of(&format!(r#"{{"data":[{{"service":"pveproxy",{fields}}}]}}"#)));
            let state =
                lines.iter().find_map(|line| line.split("state=\"").nth(1)?.split('"').next().map(str::to_owned));
            (state, lines.len())
        };
        for (fields, word, count) in [
            (r#""active-state":"failed","state":"failed","unit-state":"enabled""#, Some("failed"), 2),
            (r#""active-state":"dancing","unit-state":"masked""#, Some("other"), 2),
            (r#""active-state":"failed","unit-state":"static""#, Some("failed"), 1),
            (r#""active-state":"inactive","unit-state":"alias""#, Some("inactive"), 1),
            (r#""state":"running""#, Some("active"), 1),
            (r#""state":"dead""#, Some("inactive"), 1),
            (r#""state":"start-pre""#, Some("other"), 1),
            (r#""unit-state":"enabled""#, None, 1),
            (r#""active-state":"inactive","unit-state":"not-found""#, None, 0),
        ] {
            assert_eq!(state(fields), (word.map(str::to_owned), count), "{fields}");
        }
        assert!(pve::services(&Answer::of(r#"{"data":[{"state":"running"}]}"#)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["service", "state", "active-state", "unit-state"])) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(services) = pve::services(&answer) {
                check(&COLLECTOR, &families("node/a", services));
            }
        }
    }
}
