//! What a request for a list says: strictly, as a misspelt word would select everything.

use super::guest::Filter;

/// A list of targets as it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Which guests.
    pub filter: Filter,
    /// The port of each target; none: the target is the bare address.
    pub port: Option<u16>,
    /// `address=name`: the name of a guest stands for its address.
    pub by_name: bool,
}

impl Query {
    /// Reads the pairs of a query; an empty value says nothing. `known` are those that this list takes, `clusters` the
    /// configured names. The error is a sentence for whoever asked.
    pub fn parse(pairs: &[(String, String)], known: &[&str], clusters: &[&str]) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in pairs {
            if !known.contains(&name.as_str()) {
                return Err(format!("the parameter {:?} is not known here; known: {}", short(name), known.join(", ")));
            }
            if !value.is_empty() {
                query.take(name, value, clusters)?;
            }
        }
        Ok(query)
    }

    fn take(&mut self, name: &str, value: &str, clusters: &[&str]) -> Result<(), String> {
        let wrong = |expected: &str| Err(format!("the parameter {name} is {:?}; expected {expected}", short(value)));
        let filter = &mut self.filter;
        match name {
            "cluster" if !clusters.contains(&value) => {
                return wrong(&format!("a cluster of the configuration: {}", clusters.join(", ")));
            }
            "type" if !["qemu", "lxc"].contains(&value) => return wrong("qemu or lxc"),
            "cluster" => filter.clusters.push(value.to_owned()),
            "node" => filter.nodes.push(value.to_owned()),
            "tag" => filter.tags.push(value.to_owned()),
            "pool" => filter.pools.push(value.to_owned()),
            "status" => filter.statuses.push(value.to_owned()),
            "type" => filter.kinds.push(value.to_owned()),
            "port" => match value.parse() {
                // Two targets of one guest would have the same labels.
                Ok(1_u16..) if self.port.is_some() => return wrong("one port"),
                Ok(port @ 1..) if value.bytes().all(|byte| byte.is_ascii_digit()) => self.port = Some(port),
                _ => return wrong("a port from 1 to 65535"),
            },
            "address" => match value {
                "name" => self.by_name = true,
                _ => return wrong("name"),
            },
            _ => {}
        }
        Ok(())
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: [&str; 7] = ["cluster", "tag", "pool", "status", "type", "port", "address"];

    fn parse(pairs: &[(&str, &str)]) -> Result<Query, String> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Query::parse(&pairs, &KNOWN, &["home", "lab"])
    }

    #[test]
    fn words_are_read_and_empty_ones_say_nothing() {
        let query = parse(&[("cluster", "home"), ("tag", "a"), ("tag", "b"), ("pool", ""), ("port", "9100")]).unwrap();
        assert_eq!((query.filter.clusters, query.port, query.by_name), (vec!["home".to_owned()], Some(9100), false));
        assert_eq!((query.filter.tags.len(), query.filter.pools.len()), (2, 0));
        assert!(parse(&[("address", "name"), ("type", "lxc")]).unwrap().by_name);
        assert_eq!(parse(&[]), Ok(Query::default()));
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for (name, value, expected) in [
            (
                "tags",
                "web",
                "the parameter \"tags\" is not known here; known: cluster, tag, pool, status, type, port, address",
            ),
            ("cluster", "hom", "the parameter cluster is \"hom\"; expected a cluster of the configuration: home, lab"),
            ("type", "vm", "the parameter type is \"vm\"; expected qemu or lxc"),
            ("port", "0", "the parameter port is \"0\"; expected a port from 1 to 65535"),
            ("port", "+80", "the parameter port is \"+80\"; expected a port from 1 to 65535"),
            ("address", "ip", "the parameter address is \"ip\"; expected name"),
        ] {
            assert_eq!(parse(&[(name, value)]).unwrap_err(), expected);
        }
        assert!(parse(&[("port", "80"), ("port", "81")]).unwrap_err().ends_with("expected one port"));
    }

    proptest! {
        #[test]
        fn no_query_panics(name in prop::sample::select(&KNOWN[..]), value in ".{0,80}") {
            let _ = parse(&[(name, &value)]);
        }
    }
}
