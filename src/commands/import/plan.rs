//! Which targets are one cluster, and what it is called.

use std::collections::BTreeSet;

use super::print;
use super::read::key_shown;
use super::targets::{Group, Grouping, Target};
use crate::app::Seen;

/// The longest name of a cluster that the configuration takes, in bytes.
const LONGEST_NAME: usize = 128;

/// A target and its module.
pub(super) struct Member<'m> {
    pub(super) target: Target,
    pub(super) group: &'m Group<'m>,
    /// What it told, if it was asked.
    pub(super) seen: Option<Seen>,
    /// Why it told nothing, if it was asked.
    pub(super) fault: Option<String>,
}

/// Targets that are members of one cluster; at least one, all of one group.
pub(super) struct Planned<'m> {
    /// As `--cluster` says.
    pub(super) named: Option<String>,
    pub(super) members: Vec<Member<'m>>,
}

/// Puts targets together as `--cluster` says, then by what they told; `notes` hears what should be known.
pub(super) fn plan<'m>(
    members: Vec<Member<'m>>,
    groupings: &[Grouping],
    notes: &mut Vec<String>,
) -> Result<Vec<Planned<'m>>, Vec<String>> {
    let mut faults = Vec::new();
    let members = without_twins(members, &mut faults);
    let homes = homes(&members, groupings, &mut faults);
    let mut planned: Vec<Planned<'m>> = Vec::new();
    for (member, home) in members.into_iter().zip(homes) {
        let named = home.and_then(|index| groupings.get(index)).map(|grouping| grouping.name.clone());
        let place = match &named {
            Some(_) => planned.iter().position(|other| other.named == named),
            None => planned.iter().position(|other| {
                other.named.is_none() && other.members.iter().any(|other| same_cluster(other, &member))
            }),
        };
        let Some(other) = place.and_then(|index| planned.get_mut(index)) else {
            planned.push(Planned { named, members: vec![member] });
            continue;
        };
        let Some(first) = other.members.first() else { continue };
        let (one, two) = (&first.target.typed, &member.target.typed);
        match (std::ptr::eq(first.group, member.group), &named) {
            (true, Some(name)) if different_clusters(first, &member) => {
                faults.push(format!("--cluster {name}: {one} and {two} belong to different clusters"));
            }
            (true, _) => other.members.push(member),
            (false, Some(name)) => faults.push(format!(
                "--cluster {name}: {one} and {two} have modules with different settings, {} and {}; \
                 name one module for both, such as --target {}@{}",
                module(first.group),
                module(member.group),
                module(first.group),
                member.target.address(),
            )),
            (false, None) => {
                notes.push(format!(
                    "{one} and {two} belong to one cluster but have modules with different settings, {} and {}, so that \
                     they stay two; to put them together: --target {}@{}",
                    module(first.group),
                    module(member.group),
                    module(first.group),
                    member.target.address(),
                ));
                planned.push(Planned { named, members: vec![member] });
            }
        }
    }
    if faults.is_empty() { Ok(planned) } else { Err(faults) }
}

/// Each target once.
fn without_twins<'m>(members: Vec<Member<'m>>, faults: &mut Vec<String>) -> Vec<Member<'m>> {
    let mut kept: Vec<Member<'m>> = Vec::new();
    for member in members {
        let url = member.target.url(member.group.settings);
        match kept.iter().find(|other| other.target.url(other.group.settings) == url) {
            None => kept.push(member),
            Some(twin) if std::ptr::eq(twin.group, member.group) => {}
            Some(twin) => faults.push(format!(
                "--target {}: expected each address once, found it with the modules {} and {}, whose settings differ; \
                 keep one of them",
                member.target.typed,
                module(twin.group),
                module(member.group),
            )),
        }
    }
    kept
}

/// The grouping of each target, if any.
fn homes(members: &[Member<'_>], groupings: &[Grouping], faults: &mut Vec<String>) -> Vec<Option<usize>> {
    let mut homes = vec![None; members.len()];
    let mut names = BTreeSet::new();
    for (index, grouping) in groupings.iter().enumerate() {
        let name = &grouping.name;
        if !names.insert(name) {
            faults.push(format!("--cluster {name}: expected each name once, found it again"));
        }
        for wanted in &grouping.members {
            let typed = &wanted.typed;
            let mut found = members.iter().zip(&mut homes).filter(|(member, _)| {
                member.target.host == wanted.host
                    && wanted
                        .port
                        .is_none_or(|_| wanted.url(member.group.settings) == member.target.url(member.group.settings))
            });
            match (found.next(), found.next()) {
                (None, _) => faults.push(format!("--cluster {name}: {typed} is no --target; add --target {typed}")),
                (Some(_), Some(_)) => {
                    faults.push(format!("--cluster {name}: {typed} is the host of several targets; add the port"));
                }
                (Some((_, home)), None) if home.is_none_or(|home| home == index) => *home = Some(index),
                (Some(_), None) => {
                    faults.push(format!("--cluster {name}: {typed} is a member of another --cluster too"))
                }
            }
        }
    }
    homes
}

fn module(group: &Group<'_>) -> String {
    group.modules.first().map(|name| key_shown(name)).unwrap_or_default()
}

/// By the name of the cluster and a node with its address: names alone are alike in many places.
fn same_cluster(one: &Member<'_>, two: &Member<'_>) -> bool {
    let (Some(one), Some(two)) = (&one.seen, &two.seen) else { return false };
    one.cluster == two.cluster && one.nodes.iter().any(|node| node.1.is_some() && two.nodes.contains(node))
}

fn different_clusters(one: &Member<'_>, two: &Member<'_>) -> bool {
    one.seen.is_some() && two.seen.is_some() && !same_cluster(one, two)
}

/// What is printed of each cluster, named so that no name is there twice.
pub(super) fn clusters<'m>(planned: &[Planned<'m>]) -> Vec<print::Cluster<'m>> {
    let mut taken: BTreeSet<String> = planned.iter().filter_map(|cluster| cluster.named.clone()).collect();
    planned
        .iter()
        .filter_map(|cluster| {
            let first = cluster.members.first()?;
            let name = cluster.named.clone().unwrap_or_else(|| free_name(first, &mut taken));
            let comments = cluster.members.iter().filter_map(|member| {
                let reason = member.fault.as_ref()?;
                Some(format!("{} could not be asked: {reason}", member.target.typed))
            });
            Some(print::Cluster {
                comments: comments.collect(),
                name,
                endpoints: cluster.members.iter().map(|member| member.target.url(member.group.settings)).collect(),
                modules: first.group.modules.clone(),
                credential: &first.group.settings.credential,
                secret_file: None,
                verify: &first.group.settings.verify,
                shown: certificates(&cluster.members),
                node_addresses: node_addresses(&cluster.members),
            })
        })
        .collect()
}

/// The name of the cluster, else of the node, else the target; with the target's address where it is taken.
fn free_name(member: &Member<'_>, taken: &mut BTreeSet<String>) -> String {
    let usable = |name: &&String| {
        (1..=LONGEST_NAME).contains(&name.len()) && name.trim() == name.as_str() && !name.chars().any(char::is_control)
    };
    let told = member.seen.as_ref().and_then(|seen| seen.cluster.as_ref().or(seen.local.as_ref())).filter(usable);
    let host = member.target.plain_host();
    let url = member.target.url(member.group.settings);
    let address = url.trim_start_matches("https://");
    let names = match told {
        Some(told) => [told.clone(), format!("{told}-{host}"), format!("{told}-{address}")],
        None => [host.to_owned(), address.to_owned(), url.clone()],
    };
    let numbered = (2..).map(|number| format!("{address}-{number}"));
    let name = names.into_iter().chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(name.clone());
    name
}

fn certificates(members: &[Member<'_>]) -> Vec<crate::ids::Fingerprint> {
    let mut shown = Vec::new();
    for certificate in members.iter().filter_map(|member| member.seen.as_ref()?.certificate) {
        if !shown.contains(&certificate) {
            shown.push(certificate);
        }
    }
    shown
}

/// Where nodes of a cluster can be asked directly. Only addresses that were typed: no other gets a credential.
fn node_addresses(members: &[Member<'_>]) -> Vec<(String, String)> {
    let mut addresses: Vec<(String, String)> = Vec::new();
    for member in members {
        let Some(seen) = &member.seen else { continue };
        let (Some(_), Some(node)) = (&seen.cluster, &seen.local) else { continue };
        if addresses.iter().all(|(known, _)| known != node) {
            addresses.push((node.clone(), member.target.url(member.group.settings)));
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::import::modules::{Credential, Settings, Source, Verify};
    use crate::commands::import::targets::target;
    use crate::config::Secret;

    fn settings() -> Settings {
        let password = Source::Inline(Secret::new("x".to_owned()));
        let credential = Credential::Login { username: "monitor@pve".to_owned(), password };
        Settings { credential, verify: Verify::System, port: None, timeout: None }
    }

    /// Plans targets that told a cluster's name, a node and its address; gives each cluster's name and endpoints.
    fn planned(told: &[(&str, Option<&str>, &str, Option<&str>)]) -> Vec<(String, Vec<String>)> {
        let settings = settings();
        let group = Group { modules: vec!["default"], settings: &settings };
        let members = told.iter().map(|(host, cluster, node, address)| {
            let seen = Seen {
                cluster: cluster.map(str::to_owned),
                nodes: vec![((*node).to_owned(), address.map(str::to_owned))],
                local: Some((*node).to_owned()),
                certificate: None,
            };
            Member { target: target(host).unwrap(), group: &group, seen: Some(seen), fault: None }
        });
        let planned = plan(members.collect(), &[], &mut Vec::new()).unwrap();
        clusters(&planned).into_iter().map(|cluster| (cluster.name, cluster.endpoints)).collect()
    }

    fn names(told: &[(&str, Option<&str>, &str, Option<&str>)]) -> Vec<String> {
        planned(told).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn one_cluster_has_one_name_and_a_node_in_common() {
        let (one, two) = (Some("192.0.2.1"), Some("192.0.2.2"));
        let together = planned(&[("a", Some("home"), "pve1", one), ("b", Some("home"), "pve1", one)]);
        assert_eq!(together, [("home".to_owned(), vec!["https://a:8006".to_owned(), "https://b:8006".to_owned()])]);
        // Names are alike in many places; addresses without names too.
        assert_eq!(names(&[("a", Some("home"), "pve1", one), ("b", Some("home"), "pve1", two)]), ["home", "home-b"]);
        assert_eq!(names(&[("a", Some("home"), "pve1", one), ("b", Some("home"), "pve2", one)]), ["home", "home-b"]);
        assert_eq!(names(&[("a", Some("home"), "pve1", one), ("b", Some("lab"), "pve1", one)]), ["home", "lab"]);
        assert_eq!(names(&[("a", Some("home"), "pve1", None), ("b", Some("home"), "pve1", None)]), ["home", "home-b"]);
        // Nodes that stand alone.
        assert_eq!(names(&[("a", None, "pve", one), ("b", None, "pve", one)]), ["pve"]);
        assert_eq!(names(&[("a", None, "pve", one), ("b", None, "pve", two)]), ["pve", "pve-b"]);
    }

    #[test]
    fn names_are_usable_and_never_there_twice() {
        let (one, two, three) = (Some("192.0.2.1"), Some("192.0.2.2"), Some("192.0.2.3"));
        let told = [("a:1", None, "pve", one), ("a:2", None, "pve", two), ("a:3", None, "pve", three)];
        assert_eq!(names(&told), ["pve", "pve-a", "pve-a:3"]);
        let long = "x".repeat(LONGEST_NAME + 1);
        for odd in ["", " home", "ho\nme", &long] {
            assert_eq!(names(&[("pve1", Some(odd), "x", one)]), ["pve1"], "{odd:?}");
        }
    }
}
