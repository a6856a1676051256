//! Outcomes of one host → families.

use std::collections::BTreeSet;

use super::{Outcome, Target};
use crate::metrics::{Desc, Family, Kind, Labels, Sample};

/// Every family that [`families`] can say.
pub const FAMILIES: &[&Desc] = &[&UP, &RESPONSE, &NOT_AFTER, &HOST];

static UP: Desc = Desc {
    name: "pve_service_up",
    help: "Whether the service answered the last check from here: a connection, an SSH banner or an HTTP status below 500, whatever the certificate.",
    kind: Kind::Gauge,
};
static RESPONSE: Desc = Desc {
    name: "pve_service_response_seconds",
    help: "How long the last check of the service took from the name lookup to its answer, absent where none came.",
    kind: Kind::Gauge,
};
static NOT_AFTER: Desc = Desc {
    name: "pve_service_certificate_not_after_timestamp_seconds",
    help: "When the certificate that the service showed in the last check runs out, in seconds since 1970, whether it is valid or not.",
    kind: Kind::Gauge,
};
static HOST: Desc = Desc {
    name: "pve_host_up",
    help: "Whether the host answered the last check of at least one of its services from here, be it by refusing the connection.",
    kind: Kind::Gauge,
};

/// The labels of a service beside `host`; `service` is the name that it has in the configuration.
pub fn labels(service: &str, target: &Target) -> Labels {
    let port = target.port.to_string();
    Labels::new(&[("service", service), ("port", &port), ("type", target.kind.as_str())])
}

/// What the checks of one host found out. What was not asked has no series; of services with the same labels the first
/// counts.
pub fn families(services: &[(&Labels, &Outcome)]) -> Vec<Family> {
    let mut seen = BTreeSet::new();
    let services: Vec<_> = services.iter().copied().filter(|(labels, _)| seen.insert(*labels)).collect();
    let family = |desc: &'static Desc, value: fn(&Outcome) -> Option<f64>| {
        let sample = |(labels, outcome): &(&Labels, &Outcome)| {
            value(outcome).map(|value| Sample { labels: Labels::clone(labels), value })
        };
        Family { desc: desc.into(), samples: services.iter().filter_map(sample).collect() }
    };
    // One that answered says enough, of all that did not each counts.
    let answered = services.iter().map(|(_, outcome)| outcome.host_answered());
    let host = answered.reduce(|one, other| match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        (None, _) | (_, None) => None,
    });
    let host = host.flatten().map(|up| Sample { labels: Labels::new(&[]), value: f64::from(u8::from(up)) });
    vec![
        family(&UP, |outcome| outcome.up.map(|up| f64::from(u8::from(up)))),
        family(&RESPONSE, |outcome| outcome.took.map(|took| took.as_secs_f64())),
        family(&NOT_AFTER, |outcome| outcome.certificate_not_after.map(seconds)),
        Family { desc: (&HOST).into(), samples: host.into_iter().collect() },
    ]
}

/// X.509 ends with the year 9999: no second of it is lost.
#[expect(clippy::cast_precision_loss, reason = "dates of certificates are far below 2^53")]
fn seconds(seconds: i64) -> f64 {
    seconds as f64
}

#[cfg(test)]
mod tests {
    use super::super::{Kind as Type, Why};
    use super::*;
    use std::time::Duration;

    fn said(services: &[(Labels, Outcome)]) -> Vec<String> {
        let services: Vec<_> = services.iter().map(|(labels, outcome)| (labels, outcome)).collect();
        let families = families(&services);
        let lines = families.iter().flat_map(|family| {
            let line =
                |sample: Sample| format!("{}{{{}}} {}", family.desc.view().name, sample.labels.as_str(), sample.value);
            family.samples.iter().map(line).collect::<Vec<_>>()
        });
        lines.collect()
    }

    fn target(port: u16, kind: Type) -> Target {
        Target { host: "nas.example.com".into(), port, kind }
    }

    const ASKED: Outcome = Outcome { up: None, took: None, status: None, certificate_not_after: None, why: None };

    #[test]
    fn what_is_unknown_is_absent() {
        let up = Outcome {
            up: Some(true),
            took: Some(Duration::from_millis(125)),
            status: Some(200),
            certificate_not_after: Some(253_402_300_799),
            ..ASKED
        };
        let down = Outcome { up: Some(false), why: Some(Why::Connect("connection refused".into())), ..ASKED };
        let unknown = Outcome { why: Some(Why::NotAsked("no time was left".into())), ..ASKED };
        assert_eq!(
            said(&[
                (labels("Web \"UI\"", &target(443, Type::Https)), up),
                (labels("Shell", &target(22, Type::Ssh)), down),
                (labels("Files", &target(445, Type::Tcp)), unknown),
            ]),
            [
                r#"pve_service_up{service="Web \"UI\"",port="443",type="https"} 1"#,
                r#"pve_service_up{service="Shell",port="22",type="ssh"} 0"#,
                r#"pve_service_response_seconds{service="Web \"UI\"",port="443",type="https"} 0.125"#,
                r#"pve_service_certificate_not_after_timestamp_seconds{service="Web \"UI\"",port="443",type="https"} 253402300799"#,
                "pve_host_up{} 1",
            ]
        );
    }

    #[test]
    fn no_series_is_there_twice() {
        let down = Outcome { up: Some(false), why: Some(Why::Status(500)), ..ASKED };
        let up = Outcome { up: Some(true), ..ASKED };
        let same = labels("Web", &target(80, Type::Http));
        assert_eq!(
            said(&[(same.clone(), down), (same, up)]),
            [r#"pve_service_up{service="Web",port="80",type="http"} 0"#, "pve_host_up{} 1"]
        );
    }

    #[test]
    fn a_host_is_up_where_one_service_answers_and_down_where_none_does() {
        let outcome = |why: Why| Outcome { why: Some(why), ..ASKED };
        let silent = outcome(Why::Connect("no way to the host".into()));
        let refused = outcome(Why::Refused("connection refused".into()));
        let unknown = outcome(Why::NotAsked("no time was left".into()));
        for (outcomes, up) in [
            (vec![&silent, &refused, &unknown], Some("pve_host_up{} 1")),
            (vec![&silent, &silent], Some("pve_host_up{} 0")),
            (vec![&silent, &unknown], None),
            (vec![], None),
        ] {
            let services = outcomes
                .iter()
                .zip(1..)
                .map(|(outcome, port)| (labels("x", &target(port, Type::Tcp)), Outcome::clone(outcome)));
            let said = said(&services.collect::<Vec<_>>());
            assert_eq!(said.iter().find(|line| line.starts_with("pve_host_up")).map(String::as_str), up);
        }
    }

    #[test]
    fn the_descriptions_are_well_formed_and_complete() {
        assert_eq!(crate::metrics::faults(FAMILIES), Vec::<String>::new());
        let told = families(&[]);
        assert_eq!(told.len(), FAMILIES.len());
        assert!(told.iter().zip(FAMILIES).all(|(family, desc)| family.desc == (*desc).into()));
    }
}
