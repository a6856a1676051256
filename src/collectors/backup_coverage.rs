//! Guests that no backup job covers, templates too. Try: `pvesh get /cluster/backup-info/not-backed-up`

use std::time::Duration;

use super::shared::{Column, if_known};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow, reference};
use crate::config::Preset;
use crate::inventory::GuestKind;
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
    families: &[&GUESTS, &INFO],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_mins(5),
        per: Per::Cluster,
        blocks: true,
        max_in_flight: None,
        sees_all: false,
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

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let Some(answer) = if_known(ask.get(CALL).await)? else { return Ok(Vec::new()) };
        Ok(families(&pve::not_backed_up(&answer)?))
    })
}

fn families(uncovered: &[Uncovered<'_>]) -> Vec<Family> {
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
    [count.into_family(), reference::backup_total(number)].into_iter().chain(info.into_families()).collect()
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
    use crate::pve::Answer;
    use crate::pve::testing::{any_rows, recorded};
    use proptest::prelude::*;

    fn told(answer: &Answer) -> Vec<Family> {
        own(&COLLECTOR, families(&pve::not_backed_up(answer).expect("guests")))
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

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(rows in any_rows(&["vmid", "type", "name"])) {
            let answer = Answer::of(&serde_json::json!({ "data": rows }).to_string());
            if let Ok(guests) = pve::not_backed_up(&answer) {
                check(&COLLECTOR, &families(&guests));
            }
        }
    }
}
