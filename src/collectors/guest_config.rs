//! What the administrator set for a guest: for now, whether it is to start with its node.
//! Try: `pvesh get /nodes/NODE/qemu/100/config`

use std::time::Duration;

use super::shared::{self, Column, flag};
use super::{Ask, Asking, Collector, Lane, Need, Per, Slow};
use crate::config::Preset;
use crate::metrics::{Desc, Family, Kind, Labels};
use crate::pve::{self, GuestConfig};

const CALL: &str = "/nodes/{node}/{type}/{vmid}/config";

/// One call per guest, and settings seldom change: an hour is soon enough.
pub(super) const COLLECTOR: Collector = Collector {
    name: "guest_config",
    about: "whether a guest is set to start with its node",
    needs: &[Need { privilege: "VM.Audit", before_9: None, path: "/vms" }],
    calls: &[CALL],
    families: &[&ONBOOT],
    preset: Some(Preset::Default),
    options: &[],
    lane: Lane::Slow(Slow {
        ttl: Duration::from_hours(1),
        per: Per::Guest,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch,
    }),
};

pub(super) static ONBOOT: Desc = Desc {
    name: "pve_onboot_status",
    help: "Whether the guest is set to start with its node, only where that was ever set, from /nodes/{node}/{type}/{vmid}/config.",
    kind: Kind::Gauge,
};

fn fetch<'a>(ask: &'a Ask<'a>) -> Asking<'a> {
    Box::pin(async move {
        let answer = ask.get(CALL).await?;
        Ok(families(&shared::id(ask.subject()), &pve::guest_config(&answer)?))
    })
}

fn families(id: &str, config: &GuestConfig<'_>) -> Vec<Family> {
    let mut onboot = Column::new(&ONBOOT);
    onboot.push(&Labels::new(&[("id", id)]), config.onboot.0.map(flag));
    vec![onboot.into_family()]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Series, check, lines, reference, series};
    use super::*;
    use crate::pve::Answer;
    use crate::pve::testing::{any_object, recorded};
    use proptest::prelude::*;

    fn told(id: &str, answer: &Answer) -> Vec<Family> {
        families(id, &pve::guest_config(answer).expect("a configuration"))
    }

    #[test]
    fn the_recorded_guests_are_the_references_but_for_where_they_are() {
        let mut ours = Series::new();
        for (id, file) in [
            ("qemu/100", "GET_nodes__pve-lab__qemu__100__config.json"),
            ("qemu/9000", "GET_nodes__pve-lab__qemu__9000__config.json"),
            ("lxc/200", "GET_nodes__pve-lab__lxc__200__config.json"),
            ("lxc/202", "GET_lxc_202_cpulimit_0.5_config.json"),
        ] {
            ours.extend(series(&told(id, &recorded(&format!("pve-9.2-cluster/{file}")))));
        }
        let without_place = |((name, mut labels), value): ((String, std::collections::BTreeMap<_, _>), f64)| {
            labels.retain(|label: &String, _| label == "id");
            ((name, labels), value)
        };
        let reference: Series = reference("pve_onboot_status").into_iter().map(without_place).collect();
        assert_eq!(reference.len(), 2);
        assert_eq!(ours, reference);
    }

    #[test]
    fn what_was_never_set_is_absent() {
        for (onboot, value) in [(r#","onboot":1"#, Some("1")), (r#","onboot":"0""#, Some("0")), ("", None)] {
            let answer = Answer::of(&format!(r#"{{"data":{{"digest":"9f9a"{onboot}}}}}"#));
            let expected: Vec<String> =
                value.iter().map(|value| format!("pve_onboot_status{{id=\"qemu/7\"}} {value}")).collect();
            assert_eq!(lines(&told("qemu/7", &answer)), expected);
        }
        for body in [r#"{"data":{"onboot":1}}"#, r#"{"data":{}}"#, r#"{"data":[1,"9f9a"]}"#, r#"{"data":null}"#] {
            assert!(pve::guest_config(&Answer::of(body)).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_page(config in any_object(&["onboot", "digest", "name"])) {
            let answer = Answer::of(&serde_json::json!({ "data": config }).to_string());
            if let Ok(config) = pve::guest_config(&answer) {
                check(&COLLECTOR, &families("qemu/7", &config));
            }
        }
    }
}
