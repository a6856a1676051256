//! Storages as each node finds them when it tries to use them. Try: `pvesh get /nodes/NODE/storage`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{Column, flag, node_of};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, NodeStorage};

const CALL: &str = "/nodes/{node}/storage";

/// It blocks because the node mounts or probes each storage, and a lost server holds up all of them.
pub(super) const COLLECTOR: Collector = Collector {
    name: "storage_detail",
    about: "which storages each node can use, what for, and what room is left there",
    needs: &[Need { privilege: "Datastore.Audit", before_9: None, path: "/storage" }],
    calls: &[CALL],
    families: &[&ENABLED, &ACTIVE, &AVAILABLE, &CONTENT],
    preset: Some(Preset::Full),
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

static ENABLED: Desc = Desc {
    name: "pve_storage_enabled",
    help: "Whether the storage is switched on and meant for the node, from /nodes/{node}/storage.",
    kind: Kind::Gauge,
};
static ACTIVE: Desc = Desc {
    name: "pve_storage_active",
    help: "Whether the node can use the storage, only where it is switched on, from /nodes/{node}/storage.",
    kind: Kind::Gauge,
};
static AVAILABLE: Desc = Desc {
    name: "pve_storage_available_bytes",
    help: "Room that is left in the storage, which can be less than size less usage, from /nodes/{node}/storage.",
    kind: Kind::Gauge,
};
static CONTENT: Desc = Desc {
    name: "pve_storage_content",
    help: "A kind of content that the storage may hold, from /nodes/{node}/storage.",
    kind: Kind::Gauge,
};

/// PVE's words; another one becomes `other`.
const CONTENTS: &[&str] = &["backup", "images", "import", "iso", "none", "rootdir", "snippets", "vztmpl"];

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(node_of(ask.subject()), &pve::node_storages(&answer)?))
    })
}

fn families(node: &str, storages: &[NodeStorage<'_>]) -> Vec<Family> {
    let [mut enabled, mut active, mut available, mut content] =
        [&ENABLED, &ACTIVE, &AVAILABLE, &CONTENT].map(Column::new);
    // By name, each once.
    let storages: BTreeMap<&str, &NodeStorage<'_>> =
        storages.iter().filter_map(|storage| Some((storage.storage.filled()?, storage))).collect();
    for (name, storage) in storages {
        let id = format!("storage/{node}/{name}");
        let labels = Labels::new(&[("id", &id)]);
        enabled.push(&labels, storage.enabled.0.map(flag));
        if storage.enabled.0 == Some(false) {
            continue;
        }
        active.push(&labels, storage.active.0.map(flag));
        // Zeros of what cannot be used, or has no size, are no figures.
        let has_size = storage.active.0 != Some(false) && storage.total.0.is_some_and(|total| total > 0.0);
        available.push(&labels, storage.avail.quantity().filter(|_| has_size));
        let mut kinds: Vec<&str> = storage.contents().into_iter().map(known).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            content.push_info(Labels::new(&[("id", &id), ("content", kind)]));
        }
    }
    [enabled, active, available, content].map(Column::into_family).into()
}

fn known(kind: &str) -> &'static str {
    CONTENTS.iter().find(|word| **word == kind).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<String> {
        lines(&families("pve-lab", &pve::node_storages(answer).expect("storages")))
    }

    #[test]
    fn the_recorded_storages_are_told() {
        let lines = told(&recorded("pve-9.2-cluster/GET_nodes__pve-lab__storage.json"));
        assert_eq!(
            lines,
            [
                "pve_storage_enabled{id=\"storage/pve-lab/data2\"} 1",
                "pve_storage_enabled{id=\"storage/pve-lab/local\"} 1",
                "pve_storage_enabled{id=\"storage/pve-lab/nas-broken\"} 1",
                "pve_storage_enabled{id=\"storage/pve-lab/off-disabled\"} 0",
                "pve_storage_active{id=\"storage/pve-lab/data2\"} 1",
                "pve_storage_active{id=\"storage/pve-lab/local\"} 1",
                "pve_storage_active{id=\"storage/pve-lab/nas-broken\"} 0",
                "pve_storage_available_bytes{id=\"storage/pve-lab/data2\"} 74323513344",
                "pve_storage_available_bytes{id=\"storage/pve-lab/local\"} 74323513344",
                "pve_storage_content{id=\"storage/pve-lab/data2\",content=\"images\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/data2\",content=\"rootdir\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/local\",content=\"backup\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/local\",content=\"images\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/local\",content=\"iso\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/local\",content=\"rootdir\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/local\",content=\"snippets\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/local\",content=\"vztmpl\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/nas-broken\",content=\"backup\"} 1",
            ]
        );
    }

    #[test]
    fn words_of_later_releases_are_other_and_zeros_no_figures() {
        let answer = Answer::of(
            r#"{"data":[{"storage":"a","enabled":1,"active":1,"total":0,"avail":0,"content":"tea,coffee, iso,,iso"},{"storage":"b"}]}"#,
        );
        assert_eq!(
            told(&answer),
            [
                "pve_storage_enabled{id=\"storage/pve-lab/a\"} 1",
                "pve_storage_active{id=\"storage/pve-lab/a\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/a\",content=\"iso\"} 1",
                "pve_storage_content{id=\"storage/pve-lab/a\",content=\"other\"} 1",
            ]
        );
        assert!(told(&recorded("pve-9.2-cluster/NOACL_GET_nodes__pve-lab__storage.json")).is_empty());
        assert!(pve::node_storages(&Answer::of(r#"{"data":[{"type":"dir"}]}"#)).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(storages in any_rows(&["storage", "content", "enabled", "active", "total", "avail"])) {
            let answer = Answer::of(&serde_json::json!({ "data": storages }).to_string());
            if let Ok(storages) = pve::node_storages(&answer) {
                check(&COLLECTOR, &families("a", &storages));
            }
        }
    }
}
