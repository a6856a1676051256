//! Services of hosts and guests, by connecting to them.
//! Try: `curl -skI https://HOST/`, `nc -z HOST PORT`

use std::time::Duration;

use super::{Collector, Lane};
use crate::checks::{self, Checker, Outcome, Target};
use crate::config::Preset;
use crate::config::{Host, Service};
use crate::ids::ServiceTarget;
use crate::metrics::{Family, Labels};

/// The collector; it tells nothing where no services are configured.
pub static COLLECTOR: Collector = Collector {
    name: "service",
    about: "whether [services of hosts](#services-of-hosts) and guests answer, how fast, and when their certificates run out",
    needs: &[],
    calls: &[],
    families: checks::FAMILIES,
    preset: Some(Preset::Minimal),
    options: &[],
    lane: Lane::Services,
};

/// One service, and who checks it.
#[derive(Clone)]
pub struct Check {
    labels: Labels,
    target: Target,
    checker: Checker,
    of: Of,
    name: String,
}

/// Whose service it is.
#[derive(Clone, PartialEq, Eq)]
enum Of {
    Host(String),
    Guest { cluster: String, guest: String },
}

/// What a check found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked(Outcome);

impl Check {
    /// The services of a host, in the order of the configuration.
    pub fn all(host: &Host, checker: &Checker) -> Vec<Self> {
        let check = |service: &Service| {
            let target = Target { host: host.address.host().to_owned(), port: service.port, kind: service.kind };
            Self {
                labels: checks::labels(&service.name, &target),
                target,
                checker: checker.clone(),
                of: Of::Host(host.id.clone()),
                name: service.name.clone(),
            }
        };
        host.services.iter().map(check).collect()
    }

    /// The service of a guest.
    pub fn of_guest(cluster: &str, told: &ServiceTarget, checker: &Checker) -> Self {
        let target = Target { host: told.address.to_string(), port: told.port, kind: told.kind };
        Self {
            labels: checks::guest_labels(&told.guest, &told.service, &target),
            target,
            checker: checker.clone(),
            of: Of::Guest { cluster: cluster.to_owned(), guest: told.guest.as_ref().to_owned() },
            name: told.service.as_ref().to_owned(),
        }
    }

    /// The same, with nobody else who checks.
    #[cfg(test)]
    pub(crate) fn alone(host: &Host) -> Vec<Self> {
        Self::all(host, &Checker::new())
    }

    /// Whether two check the same under the same name.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.of, &self.name, &self.target) == (&other.of, &other.name, &other.target)
    }

    /// Checks the service; `limit` begins when it is its turn among all checks.
    pub async fn ask(&self, limit: Duration) -> Checked {
        Checked(self.checker.check(&self.target, limit).await)
    }

    /// Tells the log how the service is, since it was so before (`None`: nobody knew): each change once.
    pub fn log(&self, before: Option<&Checked>, now: &Checked) {
        let Target { port, kind, .. } = &self.target;
        let (host, cluster, guest) = match &self.of {
            Of::Host(host) => (Some(host.as_str()), None, None),
            Of::Guest { cluster, guest } => (None, Some(cluster.as_str()), Some(guest.as_str())),
        };
        let (service, r#type, up) = (&self.name, kind.as_str(), now.is_up());
        let why = now.0.why.as_ref().map(ToString::to_string).unwrap_or_default();
        match change(before.map(Checked::is_up), up) {
            Some(Change::Down) => {
                tracing::warn!(host, cluster, guest, service, port, r#type, why, "the service is down");
            }
            Some(Change::Unknown) => {
                tracing::warn!(host, cluster, guest, service, port, r#type, why, "the service cannot be checked");
            }
            Some(Change::Up) => {
                tracing::info!(host, cluster, guest, service, port, r#type, "the service is up again");
            }
            None => tracing::debug!(host, cluster, guest, service, port, r#type, why, up, "the service was checked"),
        }
    }
}

impl Checked {
    /// Whether the service answered as it should; `None` where it was not asked.
    pub fn is_up(&self) -> Option<bool> {
        self.0.up
    }
}

/// What the checks of one host tell.
pub fn families<'a>(services: impl Iterator<Item = (&'a Check, &'a Checked)>) -> Vec<Family> {
    let services: Vec<_> = services.map(|(check, Checked(outcome))| (&check.labels, outcome)).collect();
    checks::families(&services)
}

/// What the checks of guests of one cluster tell.
pub fn guest_families<'a>(services: impl Iterator<Item = (&'a Check, &'a Checked)>) -> Vec<Family> {
    let services: Vec<_> = services.map(|(check, Checked(outcome))| (&check.labels, outcome)).collect();
    checks::of_services(&services)
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Up,
    Down,
    Unknown,
}

/// A service that is well from the start is no news.
fn change(before: Option<Option<bool>>, now: Option<bool>) -> Option<Change> {
    match (before, now) {
        (Some(before), now) if before == now => None,
        (_, Some(false)) => Some(Change::Down),
        (_, None) => Some(Change::Unknown),
        (Some(_), Some(true)) => Some(Change::Up),
        (None, Some(true)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::checks::Why;
    use crate::ids::{ServiceKind, SshAddress};

    fn host() -> Host {
        let service = |name: &str, port, kind| Service { name: name.to_owned(), port, kind };
        let services = vec![
            service("Web UI", 443, ServiceKind::Https),
            service("smb", 445, ServiceKind::Tcp),
            service("ssh/22", 22, ServiceKind::Ssh),
        ];
        let address = SshAddress::new("2001:db8::1", 22).unwrap();
        Host { id: "nas".into(), name: "NAS".into(), address, ssh: None, services, power: None, wake: None }
    }

    #[test]
    fn all_families_are_announced_and_tell_of_every_service() {
        let checks = Check::alone(&host());
        let (took, status) = (Some(Duration::from_millis(40)), Some(200));
        let up = Outcome { up: Some(true), took, status, certificate_not_after: Some(1_800_000_000), why: None };
        let why = Some(Why::Refused("connection refused".into()));
        let down = Outcome { up: Some(false), took: None, status: None, certificate_not_after: None, why };
        let unknown = Outcome { up: None, why: Some(Why::NotAsked("no time was left".into())), ..down.clone() };
        let checked = [up, down, unknown].map(Checked);
        let told = families(checks.iter().zip(&checked));
        testing::check(&COLLECTOR, &told);
        assert_eq!(
            testing::lines(&told),
            [
                r#"pve_service_up{service="Web UI",port="443",type="https"} 1"#,
                r#"pve_service_up{service="smb",port="445",type="tcp"} 0"#,
                r#"pve_service_response_seconds{service="Web UI",port="443",type="https"} 0.04"#,
                r#"pve_service_certificate_not_after_timestamp_seconds{service="Web UI",port="443",type="https"} 1800000000"#,
                "pve_host_up{} 1",
            ]
        );
        assert_eq!(checks[0].target.host, "2001:db8::1");
    }

    #[test]
    fn another_name_or_address_is_another_service() {
        let checks = |change: fn(&mut Host)| {
            let mut host = host();
            change(&mut host);
            Check::alone(&host)
        };
        let same = |change| checks(|_| {}).iter().zip(&checks(change)).map(|(one, other)| one.is_same(other)).collect();
        let told: Vec<Vec<bool>> = vec![
            same(|host| host.name.clear()),
            same(|host| host.services[0].port = 8443),
            same(|host| host.services[1].name.push('2')),
            same(|host| host.id.push('2')),
            same(|host| host.address = SshAddress::new("192.0.2.1", 22).unwrap()),
        ];
        let (all, none) = (vec![true; 3], vec![false; 3]);
        assert_eq!(told, [all, vec![false, true, true], vec![true, false, true], none.clone(), none]);
    }

    #[test]
    fn each_change_is_told_once() {
        let (up, down, unknown) = (Some(true), Some(false), None);
        for (before, now, told) in [
            (None, up, None),
            (None, down, Some(Change::Down)),
            (None, unknown, Some(Change::Unknown)),
            (Some(up), up, None),
            (Some(up), down, Some(Change::Down)),
            (Some(down), down, None),
            (Some(down), up, Some(Change::Up)),
            (Some(up), unknown, Some(Change::Unknown)),
            (Some(unknown), unknown, None),
            (Some(unknown), up, Some(Change::Up)),
            (Some(unknown), down, Some(Change::Down)),
        ] {
            assert_eq!(change(before, now), told, "{before:?} {now:?}");
        }
    }
}
