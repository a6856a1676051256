//! Backups that lie on storages: how many of each guest, how large, how new, verified or not, protected. It takes a right to
//! write there: PVE shows backups to nobody who could not make some.
//! Try: `pvesh get /nodes/NODE/storage/STORAGE/content --content backup`

use std::collections::BTreeMap;
use std::time::Duration;

use super::shared::{Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, Subject};
use crate::inventory::{Resources, Storage};
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, BackupVolume};

const CALL: &str = "/nodes/{node}/storage/{storage}/content?content=backup";

/// The node reads the whole directory, or asks the server whose storage it is: a dead one holds the call. `PVEAuditor` does
/// not suffice, so that it has to be named.
pub(super) const COLLECTOR: Collector = Collector {
    name: "backup_volumes",
    about: "backups that lie on storages, by guest: number, size, newest, verified, protected",
    needs: &[
        Need { privilege: "Datastore.Audit", before_9: None, path: "/storage" },
        Need { privilege: "Datastore.AllocateSpace", before_9: None, path: "/storage" },
        Need { privilege: "VM.Backup", before_9: None, path: "/vms" },
    ],
    calls: &[CALL],
    families: &[&LISTED, &VOLUMES, &SIZE, &NEWEST, &PROTECTED, &VERIFICATION, &NEWEST_VERIFIED],
    preset: None,
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(30),
        per: Per::Node,
        blocks: true,
        max_in_flight: None,
        sees_all: true,
        fetch,
    }),
};

static LISTED: Desc = Desc {
    name: "pve_backup_storage_listed",
    help: "Whether the backups on the storage could be listed, from /nodes/{node}/storage/{storage}/content.",
    kind: Kind::Gauge,
};
static VOLUMES: Desc = Desc {
    name: "pve_backup_volumes",
    help: "Backups of the guest on the storage, from /nodes/{node}/storage/{storage}/content.",
    kind: Kind::Gauge,
};
static SIZE: Desc = Desc {
    name: "pve_backup_volumes_size_bytes",
    help: "Size of all backups of the guest on the storage, on Proxmox Backup Server before what is equal is shared, from /nodes/{node}/storage/{storage}/content.",
    kind: Kind::Gauge,
};
static NEWEST: Desc = Desc {
    name: "pve_backup_volumes_newest_timestamp_seconds",
    help: "When the newest backup of the guest on the storage was begun, from /nodes/{node}/storage/{storage}/content.",
    kind: Kind::Gauge,
};
static PROTECTED: Desc = Desc {
    name: "pve_backup_volumes_protected",
    help: "Backups of the guest on the storage that are kept from being pruned, from /nodes/{node}/storage/{storage}/content.",
    kind: Kind::Gauge,
};
static VERIFICATION: Desc = Desc {
    name: "pve_backup_volumes_verification",
    help: "Backups of the guest on Proxmox Backup Server by what their last verification said, none where there was none, from /nodes/{node}/storage/{storage}/content.",
    kind: Kind::Gauge,
};
static NEWEST_VERIFIED: Desc = Desc {
    name: "pve_backup_volumes_newest_verified_timestamp_seconds",
    help: "When the newest backup of the guest on the storage that was verified well was begun, from /nodes/{node}/storage/{storage}/content.",
    kind: Kind::Gauge,
};

/// States of verification, in the order of [`Pile::verified`].
const STATES: [&str; 4] = ["ok", "failed", "none", "other"];

/// The backups of one guest on one storage.
#[derive(Default)]
struct Pile {
    count: f64,
    bytes: Option<f64>,
    newest: Option<f64>,
    protected: f64,
    newest_verified: Option<f64>,
    verified: [f64; 4],
}

/// Guests' backups by the guest's id and the storage.
type Piles = BTreeMap<(String, String), Pile>;

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Subject::Node(node) = ask.subject() else { return Ok(Vec::new()) };
        let resources = ask.all()?;
        let (mut piles, mut listed, mut failed) = (Piles::new(), BTreeMap::new(), None);
        for storage in storages(resources, node) {
            let name = name(storage);
            if storage.available == Some(false) {
                listed.insert(name, false);
                continue;
            }
            let told = ask.get_with(CALL, &[("storage", &storage.name)]).await;
            let told = told.and_then(|answer| {
                let volumes = pve::backup_volumes(&answer)?;
                add(&mut piles, &name, &volumes);
                Ok(())
            });
            if let Err(error) = &told {
                let (cluster, storage) = (ask.inventory().cluster(), &name);
                tracing::debug!(cluster, %node, storage, %error, "the backups on a storage were not listed");
            }
            listed.insert(name, told.is_ok());
            failed = failed.or(told.err());
        }
        match failed {
            // One dead storage does not hide the others.
            Some(error) if !listed.values().any(|listed| *listed) => Err(error),
            _ => Ok(families(&listed, &piles)),
        }
    })
}

/// Those of the node that may hold backups; shared ones are left to the first node that has them.
fn storages<'r>(resources: &'r Resources, node: &str) -> impl Iterator<Item = &'r Storage> {
    let is_online = |name: &str| resources.nodes.iter().any(|node| node.online && node.name == name);
    let is_its = move |storage: &&Storage| {
        let mut same = resources
            .storages
            .iter()
            .filter(|other| other.name == storage.name && other.available != Some(false) && is_online(&other.node));
        storage.shared != Some(true) || same.next().is_none_or(|first| first.node == storage.node)
    };
    let of_node = resources.storages.iter().filter(move |storage| storage.node == node);
    of_node.filter(|storage| storage.content.split(',').any(|content| content == "backup")).filter(is_its)
}

/// A shared storage is the same on all nodes.
fn name(storage: &Storage) -> String {
    if storage.shared == Some(true) { storage.name.clone() } else { format!("{}/{}", storage.node, storage.name) }
}

fn add(piles: &mut Piles, storage: &str, volumes: &[BackupVolume<'_>]) {
    for volume in volumes {
        let (Some(kind), Some(vmid)) = (volume.kind(), volume.vmid.whole()) else { continue };
        let pile = piles.entry((format!("{kind}/{vmid}"), storage.to_owned())).or_default();
        let begun = volume.ctime.quantity();
        let newer = |known: Option<f64>| known.into_iter().chain(begun).reduce(f64::max);
        pile.count += 1.0;
        pile.newest = newer(pile.newest);
        pile.protected += flag(volume.protected.0 == Some(true));
        let sizes = pile.bytes.into_iter().chain(volume.size.quantity());
        pile.bytes = sizes.reduce(|a, b| a + b).filter(|sum| sum.is_finite());
        if volume.is_verifiable() {
            let state = volume.verified().unwrap_or("none");
            let place = STATES.iter().position(|known| *known == state).unwrap_or(STATES.len() - 1);
            if let Some(count) = pile.verified.get_mut(place) {
                *count += 1.0;
            }
            if state == "ok" {
                pile.newest_verified = newer(pile.newest_verified);
            }
        }
    }
}

fn families(listed: &BTreeMap<String, bool>, piles: &Piles) -> Vec<Family> {
    let mut is_listed = Column::new(&LISTED);
    for (storage, listed) in listed {
        is_listed.push(&Labels::new(&[("storage", storage)]), Some(flag(*listed)));
    }
    let mut columns = [&VOLUMES, &SIZE, &NEWEST, &PROTECTED, &NEWEST_VERIFIED].map(Column::new);
    let mut verification = Column::new(&VERIFICATION);
    for ((id, storage), pile) in piles {
        let labels = Labels::new(&[("id", id), ("storage", storage)]);
        let values = [Some(pile.count), pile.bytes, pile.newest, Some(pile.protected), pile.newest_verified];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(&labels, value);
        }
        for (state, count) in STATES.into_iter().zip(pile.verified).filter(|(_, count)| *count > 0.0) {
            verification.push(&Labels::new(&[("id", id), ("storage", storage), ("state", state)]), Some(count));
        }
    }
    let columns = columns.map(Column::into_family);
    [is_listed.into_family()].into_iter().chain(columns).chain([verification.into_family()]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines};
    use super::*;
    use crate::inventory::testing::resources;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<String> {
        let mut piles = Piles::new();
        add(&mut piles, "pbs", &pve::backup_volumes(answer).expect("a list"));
        lines(&families(&BTreeMap::from([("pbs".to_owned(), true), ("a/local".to_owned(), false)]), &piles))
    }

    #[test]
    fn backups_are_told_by_guest_and_storage() {
        let file = "hand-made/GET_nodes__pve-lab__storage__pbs__content__content=backup.json";
        assert_eq!(
            told(&recorded(file)),
            [
                "pve_backup_storage_listed{storage=\"a/local\"} 0",
                "pve_backup_storage_listed{storage=\"pbs\"} 1",
                "pve_backup_volumes{id=\"lxc/200\",storage=\"pbs\"} 1",
                "pve_backup_volumes{id=\"qemu/100\",storage=\"pbs\"} 3",
                "pve_backup_volumes_size_bytes{id=\"lxc/200\",storage=\"pbs\"} 671088640",
                "pve_backup_volumes_size_bytes{id=\"qemu/100\",storage=\"pbs\"} 3221226546",
                "pve_backup_volumes_newest_timestamp_seconds{id=\"lxc/200\",storage=\"pbs\"} 1795209484",
                "pve_backup_volumes_newest_timestamp_seconds{id=\"qemu/100\",storage=\"pbs\"} 1795209480",
                "pve_backup_volumes_protected{id=\"lxc/200\",storage=\"pbs\"} 0",
                "pve_backup_volumes_protected{id=\"qemu/100\",storage=\"pbs\"} 1",
                "pve_backup_volumes_newest_verified_timestamp_seconds{id=\"qemu/100\",storage=\"pbs\"} 1795123080",
                "pve_backup_volumes_verification{id=\"lxc/200\",storage=\"pbs\",state=\"failed\"} 1",
                "pve_backup_volumes_verification{id=\"qemu/100\",storage=\"pbs\",state=\"ok\"} 2",
                "pve_backup_volumes_verification{id=\"qemu/100\",storage=\"pbs\",state=\"none\"} 1",
            ]
        );
    }

    #[test]
    fn what_is_no_guests_backup_is_passed_over() {
        let answer = recorded("pve-9.2-cluster/GET_nodes__pve-lab__storage__local__content.json");
        assert_eq!(told(&answer).len(), 2);
        let file =
            r#"{"data":[{"volid":"local:backup/vzdump-lxc-7-2026.tar","vmid":"7","subtype":"lxc","verification":{}}]}"#;
        assert_eq!(
            told(&Answer::of(file)).split_off(2),
            [
                "pve_backup_volumes{id=\"lxc/7\",storage=\"pbs\"} 1",
                "pve_backup_volumes_protected{id=\"lxc/7\",storage=\"pbs\"} 0",
                "pve_backup_volumes_verification{id=\"lxc/7\",storage=\"pbs\",state=\"none\"} 1",
            ]
        );
    }

    #[test]
    fn a_shared_storage_is_asked_of_one_node() {
        let cluster = resources(
            r#"{"data":[{"type":"node","node":"a","status":"offline"},{"type":"node","node":"b","status":"online"},
            {"type":"node","node":"c","status":"online"},
            {"type":"storage","node":"a","storage":"nas","shared":1,"content":"backup","status":"available"},
            {"type":"storage","node":"b","storage":"nas","shared":1,"content":"iso,backup","status":"available"},
            {"type":"storage","node":"c","storage":"nas","shared":1,"content":"backup","status":"available"},
            {"type":"storage","node":"c","storage":"local","shared":0,"content":"backup,iso","status":"available"},
            {"type":"storage","node":"c","storage":"lvm","shared":0,"content":"images","status":"available"}]}"#,
        );
        let names = |node: &str| storages(&cluster, node).map(name).collect::<Vec<_>>();
        assert_eq!(names("b"), ["nas"]);
        assert_eq!(names("c"), ["c/local"]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(
            rows in any_rows(&["volid", "vmid", "subtype", "format", "ctime", "size", "protected", "verification"])
        ) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(volumes) = pve::backup_volumes(&answer) {
                let mut piles = Piles::new();
                add(&mut piles, "nas", &volumes);
                check(&COLLECTOR, &families(&BTreeMap::new(), &piles));
            }
        }
    }
}
