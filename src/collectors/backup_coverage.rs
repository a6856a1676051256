//! Guests that no backup job covers, templates too. Try: `pvesh get /cluster/backup-info/not-backed-up`

use std::time::Duration;

use super::shared::{Column, flag, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, reference};
use crate::config::Preset;
use crate::inventory::{GuestKind, Resources};
use crate::metrics::{Desc, Family, Kind, Labels, Table};
use crate::pve::{self, Uncovered};

const CALL: &str = "/cluster/backup-info/not-backed-up";

/// It blocks because PVE reads the configuration file of every guest that it lists.
pub(super) const COLLECTOR: Collector = Collector {
    name: "backup_coverage",
    about: "guests that no backup job covers",
    needs: &[
        Need { privilege: "Sys.Audit", before_9: None, path: "/" },
        Need { privilege: "VM.Audit", before_9: None, path: "/vms" },
    ],
    calls: &[CALL],
    families: &[&GUESTS, &INFO, &COVERED],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(5),
        per: Per::Cluster,
        blocks: true,
        max_in_flight: None,
        sees_all: true,
        fetch,
    }),
};

static GUESTS: Desc = Desc {
    name: "pve_not_backed_up_guests",
    help: "Number of guests that no backup job covers, from /cluster/backup-info/not-backed-up.",
    kind: Kind::Gauge,
};
pub(super) static INFO: Desc = Desc {
    name: "pve_not_backed_up_info",
    help: "Present for each guest that no backup job covers, from /cluster/backup-info/not-backed-up.",
    kind: Kind::Gauge,
};

static COVERED: Desc = Desc {
    name: "pve_guest_backup_covered",
    help: "Whether a backup job covers the guest, templates left out, from /cluster/backup-info/not-backed-up and /cluster/resources.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let resources = ask.all()?;
        let Some(answer) = if_known(ask.get(CALL).await)? else { return Ok(Vec::new()) };
        Ok(families(&pve::not_backed_up(&answer)?, Some(resources)))
    })
}

fn families(uncovered: &[Uncovered<'_>], resources: Option<&Resources>) -> Vec<Family> {
    let mut guests: Vec<(GuestKind, u64)> = uncovered.iter().filter_map(guest).collect();
    guests.sort_unstable();
    guests.dedup();
    let mut info = Table::new([&INFO], guests.len());
    for (kind, vmid) in &guests {
        info.push(&[("id", &format!("{}/{vmid}", kind.as_str()))], [Some(1.0)]);
    }
    // There is one such number per cluster, so that the cluster's own label says all.
    let mut count = Column::new(&GUESTS);
    #[expect(clippy::cast_precision_loss, reason = "a number of guests")]
    let number = guests.len() as f64;
    count.push(&Labels::new(&[]), Some(number));
    let told = [count.into_family(), reference::backup_total(number), covered(&guests, resources)];
    told.into_iter().chain(info.into_families()).collect()
}

/// Of the guests that there are; nothing where that is not known.
fn covered(uncovered: &[(GuestKind, u64)], resources: Option<&Resources>) -> Family {
    let mut covered = Column::new(&COVERED);
    let resources = resources.filter(|resources| resources.tells_of_guests());
    for guest in resources.iter().flat_map(|resources| resources.guests.iter()) {
        let identity = &guest.identity;
        if identity.template != Some(true) {
            let is_covered = uncovered.binary_search(&(identity.kind, identity.vmid)).is_err();
            covered.push(&Labels::new(&[("id", &identity.id())]), Some(flag(is_covered)));
        }
    }
    covered.into_family()
}

fn guest(entry: &Uncovered<'_>) -> Option<(GuestKind, u64)> {
    let kind = match entry.kind.filled()? {
        "qemu" => GuestKind::Qemu,
        "lxc" => GuestKind::Lxc,
        _ => return None,
    };
    Some((kind, entry.vmid.whole()?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, lines, own, reference, series};
    use super::*;
    use crate::inventory::testing::resources;
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<Family> {
        own(&COLLECTOR, families(&pve::not_backed_up(answer).expect("guests"), None))
    }

    #[test]
    fn the_recorded_guests_are_the_references() {
        let families = told(&recorded("pve-9.2-cluster/GET_cluster__backup-info__not-backed-up.json"));
        let mut ours = series(&families);
        let count = ours.remove(&("pve_not_backed_up_guests".to_owned(), [].into()));
        assert_eq!(count, reference("pve_not_backed_up_total").into_values().next());
        assert_eq!(count, Some(9.0));
        assert_eq!(ours, reference("pve_not_backed_up_info"));
        let lines = lines(&families);
        assert_eq!(lines[0], "pve_not_backed_up_guests{} 9");
        assert_eq!(lines[1], "pve_not_backed_up_info{id=\"qemu/101\"} 1");
    }

    #[test]
    fn no_guest_without_backup_is_a_number_too() {
        assert_eq!(lines(&told(&Answer::of(r#"{"data":[]}"#))), ["pve_not_backed_up_guests{} 0"]);
        for body in [r#"{"data":null}"#, r#"{"data":{}}"#, r#"{"data":[7,{"vmid":100},{"type":"qemu"}]}"#] {
            assert!(pve::not_backed_up(&Answer::of(body)).is_err(), "{body}");
        }
    }

    #[test]
    fn doubles_and_unknown_types_are_passed_over() {
        let body = r#"{"data":[{"vmid":"7","type":"lxc"},{"vmid":7,"type":"lxc"},{"vmid":8,"type":"openvz"},3]}"#;
        assert_eq!(
            lines(&told(&Answer::of(body))),
            ["pve_not_backed_up_guests{} 1", "pve_not_backed_up_info{id=\"lxc/7\"} 1"]
        );
    }

    #[test]
    fn each_guest_is_covered_or_not_but_templates() {
        let resources = resources(
            r#"{"data":[{"type":"node","node":"a","status":"online"},
            {"type":"qemu","vmid":7,"node":"a","status":"running"},{"type":"lxc","vmid":8,"node":"a","status":"stopped"},
            {"type":"qemu","vmid":9,"node":"a","template":1}]}"#,
        );
        let answer = Answer::of(r#"{"data":[{"vmid":8,"type":"lxc"},{"vmid":9,"type":"qemu"}]}"#);
        let families = families(&pve::not_backed_up(&answer).expect("guests"), Some(&resources));
        let lines: Vec<String> =
            lines(&own(&COLLECTOR, families)).into_iter().filter(|line| line.contains("covered")).collect();
        assert_eq!(lines, ["pve_guest_backup_covered{id=\"qemu/7\"} 1", "pve_guest_backup_covered{id=\"lxc/8\"} 0"]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["vmid", "type", "name"])) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(guests) = pve::not_backed_up(&answer) {
                check(&COLLECTOR, &families(&guests, None));
            }
        }
    }
}
