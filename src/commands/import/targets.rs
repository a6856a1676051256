//! Targets as they are typed, and which module each of them belongs to.

use super::modules::{DEFAULT, Modules, Settings};
use super::read::key_shown;
use crate::config::{self, words};

/// The port of pveproxy, which the reference takes where none is named.
const DEFAULT_PORT: u16 = 8006;

/// `[MODULE@]HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// As it was typed.
    pub(super) typed: String,
    /// The module, if it was named.
    pub(super) module: Option<String>,
    /// A name or address; IPv6 in brackets.
    pub(super) host: String,
    /// The port, if it was named.
    pub(super) port: Option<u16>,
}

/// `NAME=HOST,HOST`.
#[derive(Debug, Clone)]
pub(super) struct Grouping {
    /// The name that the cluster gets.
    pub(super) name: String,
    /// Its members, which are targets too.
    pub(super) members: Vec<Target>,
}

/// Modules whose settings are the same: for Proxmox VE they are one.
pub(super) struct Group<'m> {
    /// Their names, in the order of the file.
    pub(super) modules: Vec<&'m str>,
    pub(super) settings: &'m Settings,
}

/// A target, and the groups that may be the one it belongs to; at least one.
pub(super) struct Assigned<'m> {
    pub(super) target: Target,
    pub(super) candidates: Vec<&'m Group<'m>>,
}

impl Target {
    /// The address that is asked, as the configuration writes it.
    pub(super) fn url(&self, settings: &Settings) -> String {
        format!("https://{}:{}", self.host, self.port.or(settings.port).unwrap_or(DEFAULT_PORT))
    }

    /// As it was typed, without the module.
    pub(super) fn address(&self) -> &str {
        self.typed.rsplit('@').next().unwrap_or_default()
    }

    /// The host as people write it.
    pub(super) fn plain_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Reads `--target`; the error is what clap shows after the value.
pub(super) fn target(text: &str) -> Result<Target, String> {
    if text.contains("://") {
        return Err("expected a host, such as 192.0.2.11 or pve1.example.com:8006, without https://".to_owned());
    }
    let (module, address) = match text.rsplit_once('@') {
        Some((module, address)) => (Some(module.to_owned()), address),
        None => (None, text),
    };
    let wrong = "expected a host, such as 192.0.2.11, pve1.example.com:8006 or [2001:db8::1]:8006";
    // It is written in one way only, so that hosts can be compared.
    let checked = config::target(address).ok_or(wrong)?;
    let (host, port) = checked.url.trim_start_matches("https://").rsplit_once(':').ok_or(wrong)?;
    let port = port.parse().ok().filter(|_| checked.has_port);
    Ok(Target { typed: text.to_owned(), module, host: host.to_owned(), port })
}

/// Reads `--cluster`; the error is what clap shows after the value.
pub(super) fn grouping(text: &str) -> Result<Grouping, String> {
    let (name, hosts) = text.split_once('=').ok_or("expected NAME=HOST,HOST")?;
    let name = name.trim();
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err("expected NAME=HOST,HOST, found no name".to_owned());
    }
    let members = hosts.split(',').map(|host| target(host.trim())).collect::<Result<Vec<_>, _>>()?;
    if members.iter().any(|member| member.module.is_some()) {
        return Err("expected NAME=HOST,HOST; a module belongs to --target MODULE@HOST".to_owned());
    }
    Ok(Grouping { name: name.to_owned(), members })
}

/// Puts modules with the same settings together.
pub(super) fn groups(modules: &Modules) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for module in &modules.list {
        let Ok(settings) = &module.settings else { continue };
        match groups.iter_mut().find(|group| group.settings.is_as(settings)) {
            Some(group) => group.modules.push(&module.name),
            None => groups.push(Group { modules: vec![&module.name], settings }),
        }
    }
    groups
}

/// Finds the module of each target, or says what to type. Where it can be asked, several remain.
pub(super) fn assign<'m>(
    targets: Vec<Target>,
    modules: &Modules,
    groups: &'m [Group<'m>],
    live: bool,
) -> Result<Vec<Assigned<'m>>, Vec<String>> {
    let mut faults = Vec::new();
    let mut assigned = Vec::new();
    for target in targets {
        match candidates(&target, modules, groups, live) {
            Ok(candidates) => assigned.push(Assigned { target, candidates }),
            // Several targets of one bad module tell the same.
            Err(more) => faults.extend(more.into_iter().filter(|fault| !faults.contains(fault)).collect::<Vec<_>>()),
        }
    }
    if faults.is_empty() { Ok(assigned) } else { Err(faults) }
}

fn candidates<'m>(
    target: &Target,
    modules: &Modules,
    groups: &'m [Group<'m>],
    live: bool,
) -> Result<Vec<&'m Group<'m>>, Vec<String>> {
    let of = |name: &str| {
        let module = modules.list.iter().find(|module| module.name == name)?;
        let group = groups.iter().find(|group| group.modules.contains(&name));
        Some(group.ok_or_else(|| module.settings.as_ref().err().cloned().unwrap_or_default()))
    };
    if let Some(name) = &target.module {
        return of(name).unwrap_or_else(|| Err(vec![unknown(name, target, modules)])).map(|group| vec![group]);
    }
    // A scrape that names no module means this one.
    let first = of(DEFAULT).transpose()?;
    match (first, groups) {
        (_, []) => {
            Err(modules.list.iter().filter_map(|module| module.settings.as_ref().err()).flatten().cloned().collect())
        }
        (_, [only]) => Ok(vec![only]),
        (Some(first), _) if !live => Ok(vec![first]),
        (None, _) if !live => Err(vec![ambiguous(target, groups)]),
        (first, all) => {
            let others = all.iter().filter(|group| first.is_none_or(|first| !std::ptr::eq(*group, first)));
            Ok(first.into_iter().chain(others).collect())
        }
    }
}

/// What to type for a target that could belong to several modules.
pub(super) fn ambiguous(target: &Target, groups: &[Group<'_>]) -> String {
    let host = target.address();
    let ways: Vec<String> = groups
        .iter()
        .filter_map(|group| group.modules.first())
        .map(|module| format!("--target {}@{host}", key_shown(module)))
        .collect();
    let ways: Vec<&str> = ways.iter().map(String::as_str).collect();
    format!(
        "--target {}: expected the module that it is scraped with, found none; say {}",
        target.typed,
        words::list(&ways, "or")
    )
}

fn unknown(name: &str, target: &Target, modules: &Modules) -> String {
    let known: Vec<&str> = modules.list.iter().map(|module| module.name.as_str()).collect();
    let near =
        words::nearest(name, &known).map(|near| format!("did you mean {}? ", key_shown(near))).unwrap_or_default();
    let shown: Vec<String> = known.iter().map(|name| key_shown(name)).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    format!("--target {}: unknown module; {near}the modules are {}", target.typed, words::list(&shown, "and"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets_are_what_the_reference_takes() {
        for (text, module, host, port) in [
            ("192.0.2.11", None, "192.0.2.11", None),
            ("pve1.example.com:8007", None, "pve1.example.com", Some(8007)),
            ("PVE1", None, "pve1", None),
            ("2001:db8::1", None, "[2001:db8::1]", None),
            ("[2001:DB8::1]:443", None, "[2001:db8::1]", Some(443)),
            ("lab@pve1:8006", Some("lab"), "pve1", Some(8006)),
            ("a@b@pve1", Some("a@b"), "pve1", None),
        ] {
            let found = target(text).unwrap();
            let want = Target { typed: text.into(), module: module.map(str::to_owned), host: host.into(), port };
            assert_eq!(found, want);
        }
        for text in ["", "https://pve1", "pve1:", "pve1:0", "pve1:99999", "pve1/x", "a b", "lab@", "[::1", "pve1?x"] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn groupings_have_a_name_and_hosts() {
        let found = grouping("home=pve1, 2001:db8::1").unwrap();
        assert_eq!((found.name.as_str(), found.members.len()), ("home", 2));
        for text in ["home", "=pve1", "home=", "home=pve1,", "home=lab@pve1"] {
            assert!(grouping(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "[a1@:.\\[\\]=,/]{0,14}") {
            let _ = (target(&text), target(&close), grouping(&text), grouping(&close));
        }
    }
}
