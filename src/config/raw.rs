//! What was typed: every key that is accepted, with its place, its type checked and nothing else.

use toml::de::{DeTable, DeValue};

use super::auth::{self, RawAuth};
use super::callers::{self, RawControl};
use super::collecting::RawCollectors;
use super::fault::{At, Place, Report};
use super::guests::{self, RawDiscovery};
use super::host::{self, RawHost};
use super::mint::{self, RawMint};
use super::power::{self, RawWake};
use super::reader::{Reader, wrong_type};
use super::sidecar::{self, RawEvents};
use super::ssh_raw::{self, RawSsh};
use super::web::{self, RawWeb};
use super::words;

/// The whole file. What is absent here was left out, or was reported.
pub(super) struct RawConfig<'t> {
    /// A path.
    pub(super) state_dir: Option<At<&'t str>>,
    /// `[web]`.
    pub(super) web: RawWeb<'t>,
    /// `[control]`.
    pub(super) control: RawControl<'t>,
    /// `[scrape]`.
    pub(super) scrape: RawScrape<'t>,
    /// `[[clusters]]`.
    pub(super) clusters: Vec<RawCluster<'t>>,
    /// `[ssh]`.
    pub(super) ssh: Option<RawSsh<'t>>,
    /// `[[hosts]]`.
    pub(super) hosts: Vec<RawHost<'t>>,
    /// `[discovery]`.
    pub(super) discovery: Option<RawDiscovery<'t>>,
    /// `[events]`.
    pub(super) events: Option<RawEvents<'t>>,
    /// `[collectors]`.
    pub(super) collectors: RawCollectors<'t>,
}

/// `[scrape]`.
#[derive(Default)]
pub(super) struct RawScrape<'t> {
    /// A duration.
    pub(super) timeout: Option<At<&'t str>>,
    /// A duration.
    pub(super) margin: Option<At<&'t str>>,
    pub(super) max_age: Option<At<&'t str>>,
    /// A size.
    pub(super) max_body: Option<At<&'t str>>,
}

/// One of `[[clusters]]`.
pub(super) struct RawCluster<'t> {
    /// The value of the `cluster` label.
    pub(super) name: Option<At<&'t str>>,
    /// URLs.
    pub(super) endpoints: Option<At<Vec<At<&'t str>>>>,
    /// Names of modules.
    pub(super) modules: Option<At<Vec<At<&'t str>>>>,
    /// Names of nodes and their URLs.
    pub(super) node_addresses: Vec<(&'t str, At<&'t str>)>,
    /// `token_id` or `username` with their secrets; none: `mint` is there, or they were mixed, which was reported.
    pub(super) auth: Option<RawAuth<'t>>,
    /// `control`: the same of the acting credential, with the place of the table.
    pub(super) control: Option<(Place, Option<RawAuth<'t>>)>,
    /// `token_from_ssh`.
    pub(super) mint: Option<RawMint<'t>>,
    /// `tls`.
    pub(super) tls: RawTls<'t>,
    /// `ssh`.
    pub(super) ssh: Option<RawSsh<'t>>,
    /// `mac_addresses`.
    pub(super) wake: RawWake<'t>,
}

/// `tls`: at most one is there.
pub(super) enum RawTls<'t> {
    /// Nothing was said.
    Absent,
    /// `ca_file`.
    CaFile(At<&'t str>),
    /// `fingerprints`.
    Fingerprints(At<Vec<At<&'t str>>>),
    /// `insecure_skip_verify = true`.
    Insecure(Place),
}

/// Reads a document; all faults of shape are reported.
pub(super) fn read<'t>(document: &'t DeTable<'_>, report: &mut Report<'_>) -> RawConfig<'t> {
    let mut root = Reader::root(document);
    let state_dir = root.string("state_dir", "a folder such as \"/var/lib/pve-sentinel\"", report);
    let web = root.table("web", report).map(|table| web::read(table, report)).unwrap_or_default();
    let control = root.table("control", report).map(|table| callers::read(table, report)).unwrap_or_default();
    let scrape = root.table("scrape", report).map(|table| read_scrape(table, report)).unwrap_or_default();
    let clusters = read_clusters(&mut root, report);
    let ssh = root.table("ssh", report).map(|table| ssh_raw::read_defaults(table, report));
    let hosts = host::read(&mut root, report);
    let collectors = root.table("collectors", report).map(|table| table.entries().collect());
    let discovery = root.table("discovery", report).map(|table| guests::read(table, report));
    let events = root.table("events", report).map(|table| sidecar::read(table, report));
    root.close(report);
    let collectors = collectors.unwrap_or_default();
    RawConfig { state_dir, web, control, scrape, clusters, ssh, hosts, discovery, events, collectors }
}

fn read_scrape<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawScrape<'t> {
    let timeout = table.string("timeout", "a duration such as \"10s\"", report);
    let margin = table.string("margin", "a duration such as \"500ms\"", report);
    let max_age = table.string("max_age", "a duration such as \"1s\"", report);
    let max_body = table.string("max_body", "a size such as \"64MiB\"", report);
    table.close(report);
    RawScrape { timeout, margin, max_age, max_body }
}

fn read_clusters<'t>(root: &mut Reader<'t, '_>, report: &mut Report<'_>) -> Vec<RawCluster<'t>> {
    // Whoever has machines alone needs no cluster.
    if !root.has("hosts") {
        root.require("clusters", "at least one [[clusters]] with name, endpoints, token_id and a token secret", report);
    }
    let tables = root.tables("clusters", report);
    tables.into_iter().map(|table| read_cluster(table, report)).collect()
}

fn read_cluster<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawCluster<'t> {
    table.require("name", "a name, such as \"home\"", report);
    let name = table.string("name", "a name such as \"home\"", report);
    table.require("endpoints", "addresses, such as [\"https://192.0.2.11:8006\"]", report);
    let endpoints = table.strings("endpoints", r#"["https://192.0.2.11:8006"]"#, report);
    let modules = table.strings("modules", r#"["default"]"#, report);
    let node_addresses = table.table("node_addresses", report).map(|nodes| read_node_addresses(nodes, report));
    let mint = mint::read(&mut table, report);
    let auth = if mint.is_some() { None } else { auth::read(&mut table, report) };
    let control = table.table("control", report).map(|mut control| {
        let auth = auth::read(&mut control, report);
        let place = control.place().clone();
        control.close(report);
        (place, auth)
    });
    let tls = table.table("tls", report).map_or(RawTls::Absent, |tls| read_tls(tls, report));
    let ssh = table.table("ssh", report).map(|ssh| ssh_raw::read_cluster(ssh, report));
    let wake = power::read_wakes(&mut table, report);
    table.close(report);
    let node_addresses = node_addresses.unwrap_or_default();
    RawCluster { name, endpoints, modules, node_addresses, auth, mint, control, tls, ssh, wake }
}

fn read_node_addresses<'t>(table: Reader<'t, '_>, report: &mut Report<'_>) -> Vec<(&'t str, At<&'t str>)> {
    const EXPECTED: &str = "an address such as \"https://192.0.2.11:8006\", in quotes";
    let mut found = Vec::new();
    for (node, entry) in table.entries() {
        match entry.value {
            DeValue::String(text) => found.push((node, At { place: entry.place, value: text.as_ref() })),
            other => wrong_type(&entry.place, EXPECTED, other, report).unwrap_or_default(),
        }
    }
    found
}

fn read_tls<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawTls<'t> {
    let ca_file = table.string("ca_file", "the path of a PEM file", report);
    let fingerprints = table.strings("fingerprints", r#"["AB:CD:…"]"#, report);
    let insecure = table.boolean("insecure_skip_verify", report).filter(|insecure| insecure.value);
    let mut given = Vec::new();
    given.extend(ca_file.as_ref().map(|found| ("ca_file", &found.place)));
    given.extend(fingerprints.as_ref().map(|found| ("fingerprints", &found.place)));
    given.extend(insecure.as_ref().map(|found| ("insecure_skip_verify", &found.place)));
    if let (true, Some((_, last))) = (given.len() > 1, given.iter().max_by_key(|(_, place)| place.offset)) {
        let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
        let found = words::list(&names, "and");
        report.fault(last, format!("expected one way to verify certificates, found {found}; keep one of them"));
    }
    table.close(report);
    match (ca_file, fingerprints, insecure) {
        (Some(path), _, _) => RawTls::CaFile(path),
        (None, Some(list), _) => RawTls::Fingerprints(list),
        (None, None, Some(insecure)) => RawTls::Insecure(insecure.place),
        (None, None, None) => RawTls::Absent,
    }
}
