//! Which cluster a target of the drop-in page is: looked up in the configuration, before anything is asked anywhere.

use super::{Refusal, UnknownName};
use crate::config::{self, Cluster, Endpoint};

/// The module of whoever names none; it leaves the choice to the target.
const DEFAULT: &str = "default";
/// Names shown in messages at most.
const MOST_SHOWN: usize = 50;

/// Everything that can be a target.
pub(super) struct Targets(Vec<Known>);

struct Known {
    cluster: String,
    modules: Vec<String>,
    /// Endpoints in configured order, then node addresses.
    addresses: Vec<Endpoint>,
}

/// A target that there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its place in the configuration.
    pub(super) cluster: usize,
    /// Absent where the cluster as a whole was named.
    pub(super) address: Option<String>,
}

impl Targets {
    pub(super) fn new(clusters: &[Cluster]) -> Self {
        let known = |cluster: &Cluster| {
            let mut addresses = cluster.endpoints.clone();
            let more = cluster.node_addresses.values().filter(|address| !cluster.endpoints.contains(address));
            addresses.extend(more.cloned());
            Known { cluster: cluster.name.clone(), modules: cluster.modules.clone(), addresses }
        };
        Self(clusters.iter().map(known).collect())
    }

    pub(super) fn find(&self, target: Option<&str>, module: Option<&str>) -> Result<Found, Refusal> {
        let module = module.unwrap_or(DEFAULT);
        if module != DEFAULT && !self.0.iter().any(|known| known.answers_to(module)) {
            let modules = self.0.iter().flat_map(|known| known.modules.iter().chain([&known.cluster]));
            let mut known: Vec<String> = modules.cloned().chain([DEFAULT.to_owned()]).collect();
            known.sort();
            known.dedup();
            return Err(unknown("module", module, known));
        }
        let found = match target {
            Some(target) => self.named(target)?,
            None => vec![Found { cluster: 0, address: None }],
        };
        if target.is_none() && self.0.len() != 1 {
            let targets = bounded(self.targets()).join(", ");
            return Err(Refusal::Unclear(format!(
                "the parameter target is missing, and there are {} clusters; it can be: {targets}",
                self.0.len()
            )));
        }
        self.of_module(found, module)
    }

    /// Where a target leads, whatever the module: never nowhere.
    fn named(&self, target: &str) -> Result<Vec<Found>, Refusal> {
        let mut found = Vec::new();
        for (cluster, known) in self.0.iter().enumerate() {
            let address = known.address(target)?;
            if known.cluster == target {
                return Ok(vec![Found { cluster, address }]);
            }
            if address.is_some() {
                found.push(Found { cluster, address });
            }
        }
        if found.is_empty() { Err(unknown("target", target, self.targets())) } else { Ok(found) }
    }

    /// Several clusters can have one address, each with a credential of its own; the module tells them apart.
    fn of_module(&self, found: Vec<Found>, module: &str) -> Result<Found, Refusal> {
        let names = |found: &[Found]| {
            let names: Vec<&str> =
                found.iter().filter_map(|found| Some(self.0.get(found.cluster)?.cluster.as_str())).collect();
            names.join(" and ")
        };
        let all = names(&found);
        let mut left = found;
        let several = left.len() > 1;
        if several || module != DEFAULT {
            left.retain(|found| self.0.get(found.cluster).is_some_and(|known| known.answers_to(module)));
        }
        match (left.len(), left.pop()) {
            (1, Some(found)) => Ok(found),
            (0, _) if !several => Err(Refusal::Unclear(format!(
                "the target is of the cluster {all}, which does not answer to this module; \
                 leave the parameter module away, or put the name into modules of that cluster"
            ))),
            _ => Err(Refusal::Unclear(format!(
                "the target is an address of the clusters {all}, and the module is not that of one of them; \
                 name the cluster as target or as module"
            ))),
        }
    }

    /// All of them, for messages.
    fn targets(&self) -> Vec<String> {
        let of = |known: &Known| {
            let addresses = known.addresses.iter().map(|address| address.url.trim_start_matches("https://").to_owned());
            [known.cluster.clone()].into_iter().chain(addresses).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }
}

impl Known {
    fn answers_to(&self, module: &str) -> bool {
        self.cluster == module || self.modules.iter().any(|name| name == module)
    }

    /// The address that a text names: host and port; a host alone is the default port's, or else the only one's.
    fn address(&self, text: &str) -> Result<Option<String>, Refusal> {
        let Some(target) = config::target(text) else { return Ok(None) };
        if let Some(address) = self.addresses.iter().find(|address| address.url == target.url) {
            return Ok(Some(address.url.clone()));
        }
        let host = Endpoint { url: target.url };
        let on_host: Vec<&Endpoint> =
            self.addresses.iter().filter(|address| !target.has_port && address.host() == host.host()).collect();
        match on_host.as_slice() {
            [] => Ok(None),
            [address] => Ok(Some(address.url.clone())),
            several => Err(Refusal::Unclear(format!(
                "the target is a host with several addresses; it can be: {}",
                several.iter().map(|address| address.url.trim_start_matches("https://")).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

fn unknown(parameter: &'static str, value: &str, known: Vec<String>) -> Refusal {
    Refusal::Unknown(UnknownName { parameter, value: value.to_owned(), known: bounded(known) })
}

fn bounded(mut names: Vec<String>) -> Vec<String> {
    if names.len() > MOST_SHOWN {
        names.truncate(MOST_SHOWN);
        names.push("…".to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn targets(clusters: &[(&str, &str, &str)]) -> Targets {
        let text: String = clusters
            .iter()
            .map(|(name, endpoints, more)| {
                format!(
                    "[[clusters]]\nname = \"{name}\"\nendpoints = [{endpoints}]\ntoken_id = \"a@pve!b\"\ntoken_secret = \"x\"\n{more}\n"
                )
            })
            .collect();
        let loaded = config::parse(&text, Path::new("x.toml"), &config::Env::new(&|_| None), &[]).expect("a config");
        Targets::new(&loaded.config.clusters)
    }

    fn three() -> Targets {
        targets(&[
            (
                "home",
                r#""https://192.0.2.11", "https://PVE2.example.com:443""#,
                "modules = [\"default\", \"old\"]\nnode_addresses = { pve3 = \"https://[2001:db8::3]\" }",
            ),
            ("lab", r#""https://192.0.2.11", "https://lab1:1", "https://lab1:2""#, ""),
            ("pve2.example.com", r#""https://192.0.2.50""#, ""),
        ])
    }

    /// The cluster's place and the address, or the message.
    fn find(targets: &Targets, target: Option<&str>, module: Option<&str>) -> Result<(usize, String), String> {
        match targets.find(target, module) {
            Ok(Found { cluster, address }) => Ok((cluster, address.unwrap_or_default())),
            Err(Refusal::Unclear(words)) => Err(words),
            Err(Refusal::Unknown(unknown)) => {
                Err(format!("{} {:?}: {}", unknown.parameter, unknown.value, unknown.known.join(", ")))
            }
            Err(Refusal::Failed(_)) => panic!("nothing is asked"),
        }
    }

    #[test]
    fn targets_are_found_by_name_host_and_address() {
        let known = three();
        for (target, module, cluster, address) in [
            ("home", None, 0, ""),
            ("192.0.2.11", None, 0, "https://192.0.2.11:8006"),
            ("192.0.2.11:8006", Some("default"), 0, "https://192.0.2.11:8006"),
            ("192.0.2.11", Some("lab"), 1, "https://192.0.2.11:8006"),
            ("192.0.2.11", Some("old"), 0, "https://192.0.2.11:8006"),
            ("PVE2.Example.com:443", None, 0, "https://pve2.example.com:443"),
            ("2001:DB8:0::3", None, 0, "https://[2001:db8::3]:8006"),
            ("[2001:db8::3]:8006", None, 0, "https://[2001:db8::3]:8006"),
            ("lab1:2", None, 1, "https://lab1:2"),
            ("192.0.2.50", None, 2, "https://192.0.2.50:8006"),
        ] {
            assert_eq!(find(&known, Some(target), module), Ok((cluster, address.to_owned())), "{target} {module:?}");
        }
        assert_eq!(find(&known, Some("pve2.example.com"), None), Ok((2, String::new())), "a name beats a host");
    }

    #[test]
    fn a_cluster_that_is_called_as_a_host_of_its_own_is_that_address() {
        let known = targets(&[("pve2", r#""https://pve1", "https://pve2""#, "")]);
        assert_eq!(find(&known, Some("pve2"), None), Ok((0, "https://pve2:8006".to_owned())));
        assert_eq!(find(&known, None, None), Ok((0, String::new())), "the only cluster there is");
        assert_eq!(find(&known, None, Some("pve2")), Ok((0, String::new())));
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_there_is() {
        let known = three();
        let all = "home, 192.0.2.11:8006, pve2.example.com:443, [2001:db8::3]:8006, lab, 192.0.2.11:8006, lab1:1, \
                   lab1:2, pve2.example.com, 192.0.2.50:8006";
        for (target, module, words) in [
            (Some("192.0.2.12"), None, format!("target \"192.0.2.12\": {all}")),
            (Some("192.0.2.11:443"), None, format!("target \"192.0.2.11:443\": {all}")),
            (Some(""), None, format!("target \"\": {all}")),
            (Some("Home"), None, format!("target \"Home\": {all}")),
            (None, None, format!("the parameter target is missing, and there are 3 clusters; it can be: {all}")),
            (Some("home"), Some("new"), "module \"new\": default, home, lab, old, pve2.example.com".to_owned()),
            (Some("home"), Some(""), "module \"\": default, home, lab, old, pve2.example.com".to_owned()),
        ] {
            assert_eq!(find(&known, target, module), Err(words), "{target:?} {module:?}");
        }
        for (target, module, words) in [
            ("lab", Some("old"), "of the cluster lab, which does not answer to this module"),
            ("192.0.2.50", Some("lab"), "of the cluster pve2.example.com, which"),
            ("192.0.2.11", Some("pve2.example.com"), "an address of the clusters home and lab"),
            ("lab1", None, "several addresses; it can be: lab1:1, lab1:2"),
        ] {
            let said = find(&known, Some(target), module).expect_err(target);
            assert!(said.contains(words), "{target}: {said}");
        }
        let many =
            targets(&[("big", &(0..99).map(|n| format!("\"https://pve{n}\"")).collect::<Vec<_>>().join(","), "")]);
        assert!(find(&many, Some("x"), None).expect_err("unknown").ends_with(", pve48:8006, …"));
    }

    proptest! {
        #[test]
        fn no_text_is_a_target_by_accident(text in any::<String>(), close in "(https://|a@)?(192\\.0\\.2\\.|lab|\\[)[0-9.:\\]a-f#/?@ ]{0,12}") {
            let known = three();
            for text in [text, close] {
                if let Ok(found) = known.find(Some(&text), None) {
                    let address = found.address.unwrap_or_default().replace("https://", "");
                    let host = address.rsplit_once(':').map_or("", |(host, _)| host);
                    let bare = host.trim_matches(['[', ']']).to_owned();
                    let read = config::target(&text).map(|target| target.url.replace("https://", ""));
                    prop_assert!(
                        known.0[found.cluster].cluster == text || read == Some(address.clone()) || [host, &bare].contains(&text.as_str()),
                        "{text:?} {address}"
                    );
                }
            }
        }
    }
}
