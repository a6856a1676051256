//! The subscription of each node. Try: `pvesh get /nodes/NODE/subscription`

use std::time::Duration;

use super::shared::{self, Column};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, reference};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Subscription};

const CALL: &str = "/nodes/{node}/subscription";

/// Without `Sys.Audit` PVE keeps level and date to itself.
pub(super) const COLLECTOR: Collector = Collector {
    name: "subscription",
    about: "status, level and due date of every node's subscription",
    needs: &[Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" }],
    calls: &[CALL],
    families: &[&INFO, &STATUS, &NEXT_DUE],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_hours(1),
        per: Per::Node,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

pub(super) static INFO: Desc = Desc {
    name: "pve_subscription_info",
    help: "Level of the node's subscription, unknown where PVE tells none, from /nodes/{node}/subscription.",
    kind: Kind::Gauge,
};
static STATUS: Desc = Desc {
    name: "pve_subscription_status",
    help: "Status of the node's subscription, only the one that it has, from /nodes/{node}/subscription.",
    kind: Kind::Gauge,
};
pub(super) static NEXT_DUE: Desc = Desc {
    name: "pve_subscription_next_due_timestamp_seconds",
    help: "Begin (UTC) of the day on which the node's subscription is due, from /nodes/{node}/subscription.",
    kind: Kind::Gauge,
};

/// PVE's words, which before 7.1 had a capital; another one becomes `other`.
pub(super) const STATUSES: &[&str] = &["new", "notfound", "active", "invalid", "expired", "suspended"];

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(&shared::id(ask.subject()), &pve::subscription(&answer)?))
    })
}

fn families(id: &str, subscription: &Subscription<'_>) -> Vec<Family> {
    let [mut info, mut status, mut next_due] = [&INFO, &STATUS, &NEXT_DUE].map(Column::new);
    info.push_info(Labels::new(&[("id", id), ("level", subscription.level.filled().unwrap_or("unknown"))]));
    if let Some(said) = subscription.status.filled() {
        let word = STATUSES.iter().find(|word| word.eq_ignore_ascii_case(said)).copied().unwrap_or("other");
        status.push_info(Labels::new(&[("id", id), ("status", word)]));
    }
    next_due.push(&Labels::new(&[("id", id)]), subscription.next_due());
    let whole = reference::subscription_status(id, subscription);
    [info, status, next_due].map(Column::into_family).into_iter().chain([whole]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Series, check, lines, own, reference, series};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_object, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<Family> {
        own(&COLLECTOR, families("node/pve-lab", &pve::subscription(answer).expect("a subscription")))
    }

    #[test]
    fn the_recorded_subscription_is_the_references_without_zeros() {
        let ours = series(&told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__subscription.json")));
        let all: Series = COLLECTOR.families.iter().flat_map(|desc| reference(desc.name)).collect();
        assert_eq!(all.len(), 7);
        assert_eq!(ours, all.into_iter().filter(|(_, value)| *value != 0.0).collect());
    }

    #[test]
    fn level_status_and_day_are_told() {
        let answer = Answer::of(r#"{"data":{"status":"Active","level":"c","nextduedate":"2027-01-31","sockets":2}}"#);
        assert_eq!(
            lines(&told(&answer)),
            [
                "pve_subscription_info{id=\"node/pve-lab\",level=\"c\"} 1",
                "pve_subscription_status{id=\"node/pve-lab\",status=\"active\"} 1",
                "pve_subscription_next_due_timestamp_seconds{id=\"node/pve-lab\"} 1801353600",
            ]
        );
        let answer = Answer::of(r#"{"data":{"status":"dancing","nextduedate":"soon"}}"#);
        assert_eq!(
            lines(&told(&answer)),
            [
                "pve_subscription_info{id=\"node/pve-lab\",level=\"unknown\"} 1",
                "pve_subscription_status{id=\"node/pve-lab\",status=\"other\"} 1",
            ]
        );
        for body in [r#"{"data":{"level":"c"}}"#, r#"{"data":["active"]}"#, r#"{"data":null}"#] {
            assert!(pve::subscription(&Answer::of(body)).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(subscription in any_object(&["status", "level", "nextduedate"])) {
            let answer = Answer::of(&serde_json::json!({ "data": subscription }).to_string());
            if let Ok(subscription) = pve::subscription(&answer) {
                check(&COLLECTOR, &families("node/a", &subscription));
            }
        }
    }
}
