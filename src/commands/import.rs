//! `pve-sentinel import`: from the reference exporter's pve.yml to our configuration.
//!
//! ```text
//! yaml, scalar   a bounded YAML tree, its scalars as YAML 1.1 means them
//! read, modules  modules: credential, verification, what is not carried over
//! targets        targets as typed → the module of each
//! live           each target is asked who it is
//! plan           which targets are one cluster
//! secrets        secrets that move to files
//! print          the configuration as text
//! ```

mod live;
mod modules;
mod plan;
mod print;
mod read;
mod scalar;
mod secrets;
mod targets;
mod yaml;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::modules::{Credential, Modules, Source, Verify};
use self::plan::{Member, Planned};
use self::targets::{Assigned, Group, Grouping, Target};
use super::{USAGE, complain};
use crate::config::{files, words};
use crate::{app, collectors, config};

/// The largest pve.yml that is read, in bytes.
const LARGEST: usize = 1 << 20;

#[derive(Args)]
pub(super) struct Options {
    /// The configuration file of prometheus-pve-exporter, such as /etc/prometheus/pve.yml.
    #[arg(value_name = "PVE_YML", required_unless_present = "env", conflicts_with = "env")]
    file: Option<PathBuf>,
    /// A target that Prometheus scrapes through it, as it says in ?target=; may be given several times.
    ///
    /// The module is the one that it says in ?module=; without one, `default`, or the only one there is.
    #[arg(long = "target", value_name = "[MODULE@]HOST[:PORT]", required = true, value_parser = targets::target)]
    targets: Vec<Target>,
    /// Targets that are members of one cluster, and its name; may be given several times.
    #[arg(long = "cluster", value_name = "NAME=HOST,HOST", value_parser = targets::grouping)]
    clusters: Vec<Grouping>,
    /// Ask each target who it is, with its module's credential; where several modules come into question, with that of
    /// each in turn.
    ///
    /// Puts members of one cluster together, and shows fingerprints where certificates are not verified.
    #[arg(long)]
    live: bool,
    #[arg(long, help = "Read PVE_USER and the other variables that prometheus-pve-exporter reads, instead of a file")]
    env: bool,
    /// Write secrets to files of their own in this folder, and refer to them.
    #[arg(long, value_name = "DIR")]
    secrets_dir: Option<PathBuf>,
}

/// What ends the command without a configuration: lines for people.
enum Failure {
    /// Wrong usage or a wrong pve.yml.
    Usage(Vec<String>),
    /// Something that was to be done could not be done.
    Runtime(String),
}

/// A configuration to be printed.
struct Imported {
    text: String,
    /// A line each.
    warnings: Vec<String>,
    /// Whether all targets that were to be asked have answered.
    complete: bool,
}

pub(super) fn run(options: Options) -> ExitCode {
    match import(options) {
        Ok(imported) => {
            for warning in &imported.warnings {
                complain(&format!("warning: {warning}"));
            }
            let delivered = super::end(super::deliver(&imported.text));
            match check(&imported.text) {
                Err(faults) => {
                    complain(&format!("the printed configuration needs a correction:\n{faults}"));
                    ExitCode::from(USAGE)
                }
                Ok(()) if imported.complete => delivered,
                Ok(()) => ExitCode::FAILURE,
            }
        }
        Err(Failure::Usage(lines)) => {
            for line in &lines {
                complain(line);
            }
            ExitCode::from(USAGE)
        }
        Err(Failure::Runtime(line)) => {
            complain(&line);
            ExitCode::FAILURE
        }
    }
}

fn import(options: Options) -> Result<Imported, Failure> {
    let Options { file, targets, clusters: groupings, live, env: _, secrets_dir } = options;
    let modules = read(file.as_deref()).map_err(Failure::Usage)?;
    let groups = targets::groups(&modules);
    let assigned = targets::assign(targets, &modules, &groups, live).map_err(Failure::Usage)?;
    let mut warnings = modules.warnings.clone();
    let members = members(assigned, live, &mut warnings)?;
    let complete = members.iter().all(|member| member.fault.is_none());
    let planned = plan::plan(members, &groupings, &mut warnings).map_err(Failure::Usage)?;
    let mut clusters = plan::clusters(&planned);
    if let Some(folder) = &secrets_dir {
        move_secrets(&mut clusters, folder).map_err(Failure::Runtime)?;
    }
    warnings.extend(unused(&modules, &clusters));
    warnings.extend(unverified(&clusters));
    let header = header(file.as_deref(), &clusters, !live && alone(&planned) > 1);
    let text = print::document(&header, &clusters, &footer(&planned));
    Ok(Imported { text, warnings, complete })
}

fn read(file: Option<&Path>) -> Result<Modules, Vec<String>> {
    let Some(path) = file else {
        return modules::from_environment(&config::Env::new(&app::environment));
    };
    let shown = path.display().to_string();
    let content = files::read(path, LARGEST).map_err(|error| {
        let advice = files::advice(&error);
        vec![format!("{shown}: expected a pve.yml, found that it cannot be read: {error}; {advice}")]
    })?;
    let text = std::str::from_utf8(&content.bytes)
        .map_err(|_| vec![format!("{shown}: expected UTF-8, found other bytes; save the file as UTF-8")])?;
    read::modules(&shown, text)
}

/// Settles the module of each target, by asking if that is wanted.
fn members<'m>(
    assigned: Vec<Assigned<'m>>,
    live: bool,
    warnings: &mut Vec<String>,
) -> Result<Vec<Member<'m>>, Failure> {
    if !live {
        let first = |assigned: Assigned<'m>| {
            let group: &'m Group<'m> = assigned.candidates.first().copied()?;
            Some(Member { target: assigned.target, group, seen: None, fault: None })
        };
        return Ok(assigned.into_iter().filter_map(first).collect());
    }
    let mut found = Vec::new();
    let asked = super::run(async {
        found = live::ask(assigned).await;
        Ok(())
    });
    if asked != ExitCode::SUCCESS {
        return Err(Failure::Runtime("the targets were not asked".to_owned()));
    }
    let mut members = Vec::new();
    let mut faults = Vec::new();
    for found in found {
        warnings.extend(found.notes);
        match found.member {
            Ok(member) => members.push(member),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        return Ok(members);
    }
    let mut lines: Vec<String> = warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    lines.append(&mut faults);
    Err(Failure::Usage(lines))
}

/// Plans a file for each secret, writes them, and names them in the clusters.
fn move_secrets(clusters: &mut [print::Cluster<'_>], folder: &Path) -> Result<(), String> {
    let mut folder = secrets::Folder::open(folder)?;
    let mut placed: Vec<(&Credential, String)> = Vec::new();
    for cluster in clusters {
        let known = placed.iter().find(|(credential, _)| *credential == cluster.credential);
        let file = match known {
            Some((_, file)) => file.clone(),
            None => {
                let stem = cluster.modules.first().copied().unwrap_or_default();
                let kind = match cluster.credential {
                    Credential::Token { .. } => "token",
                    Credential::Login { .. } => "password",
                };
                let file = folder.plan(stem, kind, cluster.credential.source().expose())?;
                placed.push((cluster.credential, file.clone()));
                file
            }
        };
        cluster.secret_file = Some(file);
    }
    for note in folder.write()? {
        complain(&note);
    }
    Ok(())
}

/// A line for each module that no target uses.
fn unused(modules: &Modules, clusters: &[print::Cluster<'_>]) -> Vec<String> {
    let used = |name: &str| clusters.iter().any(|cluster| cluster.modules.contains(&name));
    let left = modules.list.iter().filter(|module| !used(&module.name));
    left.map(|module| {
        let name = read::key_shown(&module.name);
        match &module.settings {
            Ok(_) => format!("module {name} is left out, since no target uses it; --target {name}@HOST takes it over"),
            Err(faults) => format!("module {name} is left out: {}", faults.join("; ")),
        }
    })
    .collect()
}

/// A line about the clusters whose certificates nobody verifies.
fn unverified(clusters: &[print::Cluster<'_>]) -> Option<String> {
    let unverified: Vec<_> = clusters.iter().filter(|cluster| *cluster.verify == Verify::Nothing).collect();
    let names: Vec<&str> = unverified.iter().map(|cluster| cluster.name.as_str()).collect();
    let advice = if unverified.iter().any(|cluster| !cluster.shown.is_empty()) {
        "pin the fingerprints that are printed"
    } else {
        "--live prints the fingerprints to pin"
    };
    let clusters = if names.len() == 1 { "cluster" } else { "clusters" };
    let names = words::list(&names, "and");
    let line = format!(
        "the certificates of {clusters} {names} are not verified, as pve.yml says: anyone on the way can read the token \
         or password; {advice}"
    );
    (!unverified.is_empty()).then_some(line)
}

/// How many clusters have one target and no name that was given.
fn alone(planned: &[Planned<'_>]) -> usize {
    planned.iter().filter(|cluster| cluster.named.is_none() && cluster.members.len() == 1).count()
}

fn header(file: Option<&Path>, clusters: &[print::Cluster<'_>], alone: bool) -> Vec<String> {
    let origin = file.map_or("the environment".to_owned(), |path| path.display().to_string());
    let mut lines = vec![format!("Made by `pve-sentinel import` from {origin}.")];
    let inline = |cluster: &print::Cluster<'_>| {
        cluster.secret_file.is_none() && matches!(cluster.credential.source(), Source::Inline(_))
    };
    if clusters.iter().any(inline) {
        lines.push(
            "It holds secrets, as pve.yml did: let only pve-sentinel read it, or move them with --secrets-dir DIR."
                .to_owned(),
        );
    }
    if clusters.iter().any(|cluster| cluster.secret_file.is_none() && !inline(cluster)) {
        lines.push("Secrets stay in the environment variables where they were.".to_owned());
    }
    if alone {
        lines.push(
            "Targets that stand alone here may be members of one cluster: import again with --cluster NAME=HOST,HOST \
             or --live."
                .to_owned(),
        );
    }
    lines
}

/// What of the settings has no key here.
fn footer(planned: &[Planned<'_>]) -> Vec<String> {
    let timeouts = planned.iter().filter_map(|cluster| cluster.members.first()?.group.settings.timeout.as_ref());
    let mut lines = Vec::new();
    for timeout in timeouts {
        let line = format!(
            "timeout: {timeout} (seconds for each request) is not carried over: Prometheus' scrape_timeout bounds a \
             scrape; for callers that name none, [scrape] timeout does."
        );
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// Whether the text is a configuration that `serve` takes; else all that is wrong with it.
fn check(text: &str) -> Result<(), String> {
    let env = config::Env::new(&app::environment);
    config::parse(text, Path::new("line"), &env, &collectors::known()).map(drop).map_err(|error| error.to_string())
}
