//! What the typed values mean: raw → checked.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::fault::{At, Report};
use super::load::Env;
use super::raw::{RawCluster, RawConfig, RawScrape};
use super::{Cluster, Config, Credential, KnownCollector, Scrape};
use super::{
    callers, collecting, credential, endpoint, files, guests, host, mint, modules, power, sidecar, ssh_check, tls,
    units, web, words,
};

/// The longest timeout of a scrape: Prometheus' own default interval is a minute, an hour is a mistake.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// The bounds of `max_body`, in bytes.
const BODY: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 30;

/// What a check may look at, and where it reports.
pub(super) struct Context<'a> {
    /// The configuration file; relative paths start at its folder.
    pub(super) file: &'a Path,
    /// Its permission bits, where it is open to every user.
    pub(super) open_mode: Option<u32>,
    /// The environment.
    pub(super) env: Env<'a>,
    /// Where faults and warnings go.
    pub(super) report: Report<'a>,
}

impl<'a> Context<'a> {
    /// The context of one text.
    pub(super) fn new(file: &'a Path, text: &'a str, env: Env<'a>, open_mode: Option<u32>) -> Self {
        Self { file, open_mode, env, report: Report::new(file, text) }
    }
}

/// Checks the whole file. `None` only after a fault was reported.
pub(super) fn config(raw: &RawConfig<'_>, known: &[KnownCollector], context: &mut Context<'_>) -> Option<Config> {
    let web = web::web(&raw.web, context);
    let control = callers::control(&raw.control, web.as_ref(), context);
    let scrape = scrape(&raw.scrape, &mut context.report);
    let state_dir = raw.state_dir.as_ref().map(|found| files::resolve(context.file, found.value));
    let ssh = ssh_check::defaults(raw.ssh.as_ref(), state_dir.is_some(), context);
    let mut names = HashSet::new();
    // Every cluster is checked, also after a bad one.
    let mut check = |raw| cluster(raw, ssh.as_ref(), &mut names, context);
    let clusters: Vec<Option<Cluster>> = raw.clusters.iter().map(&mut check).collect();
    let hosts = host::hosts(&raw.hosts, ssh.as_ref(), context);
    let collecting::Checked { collectors, host_filters } =
        collecting::check(&raw.collectors, known, &mut context.report);
    let discovery = raw.discovery.as_ref().map(|raw| guests::check(raw, &mut context.report));
    let events = raw.events.as_ref().map(|raw| sidecar::check(raw, state_dir.is_some(), context));
    let clusters = clusters.into_iter().collect::<Option<Vec<Cluster>>>()?;
    host::apart(&raw.hosts, &clusters, &mut context.report);
    // What is wrong with [ssh] was told.
    let (hosts, collectors, host_filters, _) = (hosts?, collectors?, host_filters?, ssh?);
    let acts = power::acts(&clusters, &hosts);
    let control = control.and_then(|control| callers::keeping(control, raw, acts, context));
    let (web, control, scrape) = (web?, control?, scrape?);
    let discovery = match discovery {
        Some(checked) => Some(checked?),
        None => None,
    };
    let events = match events {
        Some(checked) => Some(checked?),
        None => None,
    };
    Some(Config { state_dir, web, control, scrape, clusters, hosts, discovery, collectors, events, host_filters })
}

fn scrape(raw: &RawScrape<'_>, report: &mut Report<'_>) -> Option<Scrape> {
    let timeout = duration(raw.timeout.as_ref(), "10s", report);
    let margin = duration(raw.margin.as_ref(), "500ms", report);
    let max_age = duration(raw.max_age.as_ref(), "1s", report);
    let max_body = match &raw.max_body {
        None => Some(64 << 20),
        Some(found) => units::size(found.value).filter(|size| BODY.contains(size)).or_else(|| {
            let shown = words::shown(found.value);
            report.fault(
                &found.place,
                format!("expected a size from 1KiB to 1GiB, a whole number with B, KiB, MiB or GiB, found {shown}"),
            );
            None
        }),
    };
    let (timeout, margin) = (timeout?, margin?);
    if margin >= timeout {
        let place = raw.timeout.as_ref().or(raw.margin.as_ref()).map(|found| &found.place)?;
        let (timeout, margin) = (units::written(timeout), units::written(margin));
        report.fault(place, format!("expected timeout to be longer than margin, found {timeout} and {margin}"));
        return None;
    }
    Some(Scrape { timeout, margin, max_age: max_age?, max_body: max_body? })
}

fn duration(raw: Option<&At<&str>>, default: &str, report: &mut Report<'_>) -> Option<Duration> {
    let Some(found) = raw else {
        return units::duration(default);
    };
    let value = units::duration(found.value).filter(|value| *value <= LONGEST_TIMEOUT);
    if value.is_none() {
        let shown = words::shown(found.value);
        report.fault(&found.place, format!("expected a duration of at most 1h, such as \"{default}\", found {shown}"));
    }
    value
}

fn cluster<'t>(
    raw: &RawCluster<'t>,
    defaults: Option<&ssh_check::Defaults<'_, '_>>,
    names: &mut HashSet<&'t str>,
    context: &mut Context<'_>,
) -> Option<Cluster> {
    let name = raw.name.as_ref().and_then(|found| name(found, names, &mut context.report));
    let endpoints = raw.endpoints.as_ref().and_then(|found| endpoint::endpoints(found, &mut context.report));
    let modules = modules::modules(raw.modules.as_ref(), &mut context.report);
    let node_addresses = endpoint::node_addresses(&raw.node_addresses, &mut context.report);
    let credential = match (&raw.mint, defaults) {
        (Some(mint), Some(defaults)) => {
            mint::mint(mint, endpoints.as_deref(), defaults, context).map(Credential::Minted)
        }
        (Some(_), None) => None,
        (None, _) => raw.auth.as_ref().and_then(|raw| credential::credential(raw, context)),
    };
    let control = match &raw.control {
        None => Some(None),
        Some((place, acting)) => callers::acting(place, acting.as_ref(), credential.as_ref(), context).map(Some),
    };
    let label = raw.name.as_ref().map_or("", |name| name.value);
    let tls = tls::tls(&raw.tls, label, context);
    let ssh = match (&raw.ssh, defaults) {
        (Some(raw), Some(defaults)) => Some(ssh_check::cluster(raw, defaults, context)?),
        _ => None,
    };
    let wakes = power::wakes(&raw.wake, &mut context.report);
    let (credential, tls, wakes) = (credential?, tls?, wakes?);
    let (endpoints, modules, node_addresses) = (endpoints?, modules?, node_addresses?);
    Some(Cluster { name: name?, endpoints, modules, node_addresses, credential, control: control?, tls, ssh, wakes })
}

fn name<'t>(found: &At<&'t str>, names: &mut HashSet<&'t str>, report: &mut Report<'_>) -> Option<String> {
    let name = found.value;
    let wrong = if let Some(wrong) = words::no_name(name, "home") {
        Some(wrong)
    } else if !names.insert(name) {
        Some(format!("expected a name of its own for each cluster, found {} again", words::shown(name)))
    } else {
        None
    };
    if let Some(message) = wrong {
        report.fault(&found.place, message);
        return None;
    }
    Some(name.to_owned())
}
