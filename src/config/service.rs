//! `services` of `[[hosts]]`: what is checked by connecting to it.

use std::collections::HashSet;

use super::fault::{At, Place, Report};
use super::reader::Reader;
use super::{Service, words};
use crate::ids::ServiceKind;

/// One of `services`, as typed.
pub(super) struct RawService<'t> {
    place: Place,
    name: Option<At<&'t str>>,
    port: Option<At<u16>>,
    kind: Option<At<&'t str>>,
    /// What was no port at all is told already.
    has_port: bool,
}

/// Reads `services` of a host.
pub(super) fn read<'t>(host: &mut Reader<'t, '_>, report: &mut Report<'_>) -> Vec<RawService<'t>> {
    let services = host.short_tables("services", r#"[{ port = 443, type = "https" }]"#, report);
    services.into_iter().map(|table| read_service(table, report)).collect()
}

fn read_service<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawService<'t> {
    table.require("type", &expected_kind(), report);
    let service = RawService {
        place: table.place().clone(),
        name: table.string("name", "a name such as \"Web UI\"", report),
        has_port: table.has("port"),
        port: table.port("port", report),
        kind: table.string("type", &expected_kind(), report),
    };
    table.close(report);
    service
}

/// Checks `services`. `None` only after a fault was reported.
pub(super) fn services(raw: &[RawService<'_>], report: &mut Report<'_>) -> Option<Vec<Service>> {
    let mut seen = HashSet::new();
    // Every service is checked, also after a bad one.
    let services: Vec<Option<Service>> =
        raw.iter().map(|raw| once(raw, service(raw, report)?, &mut seen, report)).collect();
    services.into_iter().collect()
}

fn once(
    raw: &RawService<'_>,
    service: Service,
    seen: &mut HashSet<Service>,
    report: &mut Report<'_>,
) -> Option<Service> {
    if !seen.insert(service.clone()) {
        let Service { name, port, kind } = &service;
        let (name, kind) = (words::shown(name), kind.as_str());
        let message =
            format!("expected each service once, found {name} of type {kind} on port {port} again; remove one of them");
        report.fault(&raw.place, message);
        return None;
    }
    Some(service)
}

fn service(raw: &RawService<'_>, report: &mut Report<'_>) -> Option<Service> {
    let kind = raw.kind.as_ref().and_then(|found| kind(found, report));
    let port = match (&raw.port, kind) {
        (Some(port), _) => Some(port.value),
        (None, Some(kind)) if !raw.has_port => kind.usual_port().or_else(|| {
            let message = format!("expected a port, as type {} has none of its own, found none", kind.as_str());
            report.fault(&raw.place, message);
            None
        }),
        (None, _) => None,
    };
    let name = match &raw.name {
        None => None,
        Some(found) => Some(name(found, report)?),
    };
    let (port, kind) = (port?, kind?);
    Some(Service { name: name.unwrap_or_else(|| format!("{}/{port}", kind.as_str())), port, kind })
}

fn name(found: &At<&str>, report: &mut Report<'_>) -> Option<String> {
    if let Some(wrong) = words::no_name(found.value, "Web UI") {
        report.fault(&found.place, wrong);
        return None;
    }
    Some(found.value.to_owned())
}

fn kind(found: &At<&str>, report: &mut Report<'_>) -> Option<ServiceKind> {
    let kind = ServiceKind::parse(found.value);
    if kind.is_none() {
        report.fault(&found.place, format!("expected {}, found {}", expected_kind(), words::shown(found.value)));
    }
    kind
}

fn expected_kind() -> String {
    let known = ServiceKind::ALL.map(|kind| format!("\"{}\"", kind.as_str()));
    words::list(&known.each_ref().map(String::as_str), "or")
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::tests::{cluster, parsed};
    use super::*;

    fn loaded(hosts: &str) -> Result<Config, String> {
        let text = format!("{}\n{hosts}\n", cluster("token_secret_env = \"PVE_TOKEN\""));
        parsed(&text).map(|loaded| loaded.config).map_err(|error| error.to_string())
    }

    /// A host with more keys, and nothing of SSH.
    fn host(more: &str) -> String {
        format!("[[hosts]]\nid = \"nas\"\nhostname = \"nas.example.com\"\n{more}\n")
    }

    #[test]
    fn what_is_left_out_has_the_usual_port_and_a_name_that_says_what_it_is() {
        let config = loaded(&host(
            r#"services = [{ name = "Web UI", port = 8443, type = "https" }, { type = "https" }, { type = "http" },
               { type = "ssh" }, { port = 445, type = "tcp" }, { name = "Web UI", type = "https" }]"#,
        ))
        .unwrap();
        let services: Vec<_> = config.hosts[0]
            .services
            .iter()
            .map(|Service { name, port, kind }| (name.as_str(), *port, kind.as_str()))
            .collect();
        let expected = [
            ("Web UI", 8443, "https"),
            ("https/443", 443, "https"),
            ("http/80", 80, "http"),
            ("ssh/22", 22, "ssh"),
            ("tcp/445", 445, "tcp"),
            ("Web UI", 443, "https"),
        ];
        assert_eq!(services, expected);
        let long = loaded(&host("[[hosts.services]]\ntype = \"ssh\"")).unwrap();
        assert_eq!(long.hosts[0].services[0].name, "ssh/22");
    }

    #[test]
    fn a_host_is_asked_over_ssh_where_anything_is_said_of_it() {
        let services = "services = [{ type = \"http\" }]";
        let defaults = "[ssh]\nuser = \"sentinel\"\nagent_socket = \"/agent\"\n";
        let ssh = "ssh_user = \"sentinel\"\nssh_agent_socket = \"/agent\"\n";
        for (text, asked) in [
            (host(services), false),
            (host(&format!("{ssh}{services}")), true),
            (defaults.to_owned() + &host(services), true),
            (defaults.to_owned() + &host(&format!("ssh = false\n{services}")), false),
            (host(&format!("ssh = true\n{ssh}")), true),
        ] {
            let config = loaded(&text).unwrap();
            assert_eq!(config.hosts[0].ssh.is_some(), asked, "{text}");
            assert_eq!(config.summary().contains("not over ssh, 1 service"), !asked, "{}", config.summary());
        }
        // A host of which nothing is said but its name was meant to be asked, and so was one with a key of SSH.
        for text in
            [host(""), host(&format!("ssh_usr = \"sentinel\"\n{services}")), host(&format!("ssh = true\n{services}"))]
        {
            let faults = loaded(&text).unwrap_err();
            assert!(faults.contains("expected a user for ssh, found none"), "{text}{faults}");
        }
    }
}
