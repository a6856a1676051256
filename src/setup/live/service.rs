//! Services of hosts and guests: whether each answers.

use std::time::Duration;

use futures_util::future::join_all;

use super::line::Lines;
use crate::checks::{Checker, Outcome, Target};
use crate::config::Host;
use crate::ids::ServiceTarget;

/// For one check.
const LIMIT: Duration = Duration::from_secs(5);

/// The services of guests of one cluster, as others found them out.
#[derive(Debug, Default)]
pub struct GuestServices {
    /// Those of guests that run and told their address.
    pub targets: Vec<ServiceTarget>,
    /// How many of those that are meant and run told none.
    pub without_address: usize,
}

/// Those of a host, each with a line.
pub(super) async fn of_host(host: &Host, checker: &Checker, lines: &mut Lines<'_>) {
    let target = |service: &crate::config::Service| Target {
        host: host.address.host().to_owned(),
        port: service.port,
        kind: service.kind,
    };
    let targets: Vec<Target> = host.services.iter().map(target).collect();
    let outcomes = join_all(targets.iter().map(|target| checker.check(target, LIMIT))).await;
    for (service, outcome) in host.services.iter().zip(outcomes) {
        match (outcome.up, why(&outcome)) {
            (Some(true), _) => lines.ok(&service.name, "works"),
            (_, why) => lines.fail(&service.name, why, ""),
        }
    }
}

/// Those of guests: a line for each service that works, and one for each guest where it does not.
pub(super) async fn of_guests(found: &GuestServices, checker: &Checker, lines: &mut Lines<'_>) {
    let GuestServices { targets, without_address } = found;
    let check = async |told: &ServiceTarget| {
        let target = Target { host: told.address.to_string(), port: told.port, kind: told.kind };
        checker.check(&target, LIMIT).await
    };
    let outcomes = join_all(targets.iter().map(check)).await;
    let mut well: Vec<(&str, usize)> = Vec::new();
    for (told, outcome) in targets.iter().zip(&outcomes) {
        if outcome.up == Some(true) {
            match well.iter_mut().find(|(service, _)| *service == &*told.service) {
                Some((_, count)) => *count += 1,
                None => well.push((&told.service, 1)),
            }
        } else {
            lines.fail(&told.service, format!("{} ({}): {}", told.guest, told.address, why(outcome)), "");
        }
    }
    for (service, count) in well {
        lines.ok(service, format!("works, at {count} guests"));
    }
    if *without_address > 0 {
        lines.warn(
            "addresses",
            format!("{without_address} running guests told none"),
            "a VM tells them by its guest agent: qm set VMID --agent 1, and qemu-guest-agent inside of it",
        );
    } else if targets.is_empty() {
        lines.skip("services", "no running guest is meant");
    }
}

fn why(outcome: &Outcome) -> String {
    outcome.why.as_ref().map(ToString::to_string).unwrap_or_default()
}
