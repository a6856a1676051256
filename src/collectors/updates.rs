//! Packages that wait on each node, and repositories that PVE finds fault with. Try: `pvesh get /nodes/NODE/apt/update`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{self, Column, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, Repositories, Update};

const CALL: &str = "/nodes/{node}/apt/update";
const REPOSITORIES_CALL: &str = "/nodes/{node}/apt/repositories";

/// Off where it is not named: PVE lets only those read the list who may also install it.
///
/// Which of them are security updates is not told, because it cannot be known from the answer: packages of Debian's security
/// archive have the origin `Debian` and versions such as `+deb13u1` like those of a point release, and the archive they come
/// from is left out. Over SSH, the collector `host_updates` reads the archive, and needs no such right.
pub(super) const COLLECTOR: Collector = Collector {
    name: "updates",
    about: "packages of every node that wait, by origin, and repositories in error",
    needs: &[
        Need { privilege: "Sys.Modify", before_9: None, path: "/nodes" },
        Need { privilege: "Sys.Audit", before_9: None, path: "/nodes" },
    ],
    calls: &[CALL, REPOSITORIES_CALL],
    families: &[&PENDING, &REPOSITORY_ERRORS, &REPOSITORY_WARNINGS, &REPOSITORY],
    preset: None,
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_hours(1),
        per: Per::Node,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

static PENDING: Desc = Desc {
    name: "pve_node_updates_pending",
    help: "Number of packages that could be upgraded as of the node's last look, by who made them (debian, proxmox or other), from /nodes/{node}/apt/update.",
    kind: Kind::Gauge,
};
static REPOSITORY_ERRORS: Desc = Desc {
    name: "pve_node_repository_errors",
    help: "Number of files with package repositories that PVE cannot understand, from /nodes/{node}/apt/repositories.",
    kind: Kind::Gauge,
};
static REPOSITORY_WARNINGS: Desc = Desc {
    name: "pve_node_repository_warnings",
    help: "Number of warnings of PVE about the node's package repositories, from /nodes/{node}/apt/repositories.",
    kind: Kind::Gauge,
};
static REPOSITORY: Desc = Desc {
    name: "pve_node_repository_info",
    help: "Handle of each of PVE's own repositories that is enabled, such as enterprise, from /nodes/{node}/apt/repositories.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        let updates = pve::updates(&answer)?;
        let answer = if_known(ask.get(REPOSITORIES_CALL).await)?;
        let repositories = answer.as_ref().map(pve::repositories).transpose()?;
        Ok(families(&shared::id(ask.subject()), &updates, repositories.as_ref()))
    })
}

fn families(id: &str, updates: &[Update<'_>], repositories: Option<&Repositories<'_>>) -> Vec<Family> {
    let [mut pending, mut errors, mut warnings, mut info] =
        [&PENDING, &REPOSITORY_ERRORS, &REPOSITORY_WARNINGS, &REPOSITORY].map(Column::new);
    let mut counts = BTreeMap::from([("debian", 0_u32), ("proxmox", 0), ("other", 0)]);
    for update in updates {
        *counts.entry(maker(update)).or_default() += 1;
    }
    for (origin, count) in counts {
        pending.push(&Labels::new(&[("id", id), ("origin", origin)]), Some(f64::from(count)));
    }
    if let Some(repositories) = repositories {
        let labels = Labels::new(&[("id", id)]);
        errors.push(&labels, count(repositories.errors));
        warnings.push(&labels, count(repositories.warnings));
        let mut handles: Vec<&str> = repositories.enabled.iter().filter_map(|handle| handle.filled()).collect();
        handles.sort_unstable();
        handles.dedup();
        for handle in handles {
            info.push_info(Labels::new(&[("id", id), ("handle", handle)]));
        }
    }
    [pending, errors, warnings, info].map(Column::into_family).into()
}

fn maker(update: &Update<'_>) -> &'static str {
    match update.origin.filled() {
        Some("Debian") => "debian",
        Some("Proxmox") => "proxmox",
        _ => "other",
    }
}

fn count(number: usize) -> Option<f64> {
    u32::try_from(number).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_object, any_rows, recorded};
    use proptest::prelude::*;

    fn told(updates: &Answer, repositories: Option<&Answer>) -> Vec<String> {
        let repositories = repositories.map(|answer| pve::repositories(answer).expect("repositories"));
        lines(&families("node/a", &pve::updates(updates).expect("updates"), repositories.as_ref()))
    }

    #[test]
    fn nothing_that_waits_is_told_as_nothing() {
        let none = recorded("pve-9.2-cluster/GET_nodes__pve-lab__apt__update.json");
        assert_eq!(
            told(&none, None),
            [
                "pve_node_updates_pending{id=\"node/a\",origin=\"debian\"} 0",
                "pve_node_updates_pending{id=\"node/a\",origin=\"other\"} 0",
                "pve_node_updates_pending{id=\"node/a\",origin=\"proxmox\"} 0",
            ]
        );
    }

    #[test]
    fn what_waits_is_counted_by_origin() {
        assert_eq!(
            told(
                &recorded("hand-made/GET_nodes__pve-lab__apt__update.json"),
                Some(&recorded("hand-made/GET_nodes__pve-lab__apt__repositories.json"))
            ),
            [
                "pve_node_updates_pending{id=\"node/a\",origin=\"debian\"} 1",
                "pve_node_updates_pending{id=\"node/a\",origin=\"other\"} 0",
                "pve_node_updates_pending{id=\"node/a\",origin=\"proxmox\"} 2",
                "pve_node_repository_errors{id=\"node/a\"} 1",
                "pve_node_repository_warnings{id=\"node/a\"} 2",
                "pve_node_repository_info{id=\"node/a\",handle=\"no-subscription\"} 1",
            ]
        );
        let strange =
            Answer::of(r#"{"data":[{"Package":"a","Origin":"Grafana"},{"Package":"b"},{"Origin":"Debian"},7]}"#);
        assert!(told(&strange, None)[1].ends_with("origin=\"other\"} 2"));
        assert!(pve::updates(&Answer::of(r#"{"data":[{"Origin":"Debian"}]}"#)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            updates in any_rows(&["Package", "Origin"]),
            infos in any_rows(&["kind"]),
            standard in any_rows(&["handle", "status"]),
            mut repositories in any_object(&["files"]),
        ) {
            (repositories["infos"], repositories["standard-repos"]) = (infos, standard);
            let updates = Answer::of(&serde_json::json!({ "data": updates }).to_string());
            let repositories = Answer::of(&serde_json::json!({ "data": repositories }).to_string());
            let repositories = pve::repositories(&repositories).expect("it has standard-repos");
            if let Ok(updates) = pve::updates(&updates) {
                check(&COLLECTOR, &families("node/a", &updates, Some(&repositories)));
            }
        }
    }
}
