//! What does not let us in, or is not what it was: tokens, certificates of endpoints, keys of hosts.

use super::{Ground, Look, State, plain};
use crate::events::finding::{Finding, Kind};

/// How an endpoint's certificate was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::events) struct Certificate {
    /// Such as `192.0.2.11:8006`.
    pub(in crate::events) endpoint: String,
    /// The node that answers there, where that is known.
    pub(in crate::events) node: Option<String>,
    /// Whether it is not trusted, if that is known now.
    pub(in crate::events) is_refused: Option<bool>,
    /// What is wrong with it.
    pub(in crate::events) why: String,
}

/// How a host's key was found when it was last asked over SSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// The cluster that the host is a node of; empty where it is none.
    pub cluster: String,
    /// Its id.
    pub host: String,
    /// Whether its key was refused because another one is known, if it was reached.
    pub is_refused: Option<bool>,
    /// What is wrong with it.
    pub why: String,
}

pub(super) fn findings(ground: &Ground<'_>, state: &mut State) -> Vec<Finding> {
    let id = format!("cluster/{}", ground.cluster);
    let token = ground.condition(state, (Kind::TokenRejected, &id), ground.look.token_refused, || {
        format!("Cluster {} does not accept our credential any more", ground.cluster)
    });
    let mut found: Vec<Finding> = token.into_iter().collect();
    for certificate in &ground.look.certificates {
        let id = format!("endpoint/{}", certificate.endpoint);
        let news = ground.condition(state, (Kind::CertificateRefused, &id), certificate.is_refused, || {
            format!("The certificate of {} is not trusted", certificate.endpoint)
        });
        found.extend(news.map(|mut finding| {
            finding.node.clone_from(&certificate.node);
            finding.description = plain(&certificate.why);
            finding
        }));
    }
    found
}

/// What the keys of hosts tell; `now` is in seconds since 1970.
pub(in crate::events) fn host_keys(keys: &[HostKey], now: i64, state: &mut State) -> Vec<Finding> {
    let look = Look { now, ..Look::default() };
    let told = keys.iter().filter_map(|key| {
        let ground = Ground { cluster: &key.cluster, interval: 0, look: &look };
        let id = format!("host/{}", key.host);
        let mut news = ground.condition(state, (Kind::HostKeyChanged, &id), key.is_refused, || {
            format!("Host {} shows another SSH key than the one that is known", key.host)
        })?;
        news.description = plain(&key.why);
        Some(news)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::finding::Span;

    #[test]
    fn what_is_refused_is_told_until_it_is_accepted_twice() {
        let mut state = State::default();
        let certificate = |is_refused| Certificate {
            endpoint: "192.0.2.11:8006".to_owned(),
            node: Some("pve1".to_owned()),
            is_refused,
            why: "another \u{7}fingerprint".to_owned(),
        };
        let mut told = Vec::new();
        for (now, refused) in [(10, Some(true)), (20, None), (30, Some(false)), (40, Some(false)), (50, Some(false))] {
            let look =
                Look { now, token_refused: refused, certificates: vec![certificate(refused)], ..Look::default() };
            let ground = Ground { cluster: "home", interval: 10, look: &look };
            told.extend(findings(&ground, &mut state));
        }
        let spans: Vec<Span> = told.iter().map(|finding| finding.span).collect();
        let (began, ended) = (Span::Began { since: 10 }, Span::Ended { since: 10, at: 30 });
        assert_eq!(spans, [began, began, ended, ended]);
        assert_eq!((told[0].id.as_str(), told[1].id.as_str()), ("cluster/home", "endpoint/192.0.2.11:8006"));
        assert_eq!((told[1].node.as_deref(), told[1].description.as_str()), (Some("pve1"), "another fingerprint"));
    }

    #[test]
    fn keys_of_hosts_have_the_cluster_that_they_are_of() {
        let key = |host: &str, cluster: &str| HostKey {
            cluster: cluster.to_owned(),
            host: host.to_owned(),
            is_refused: Some(true),
            why: String::new(),
        };
        let mut state = State::default();
        let found = host_keys(&[key("nas", ""), key("home-pve1", "home")], 10, &mut state);
        assert_eq!((found[0].id.as_str(), found[0].cluster.as_str()), ("host/nas", ""));
        assert_eq!((found[1].id.as_str(), found[1].cluster.as_str()), ("host/home-pve1", "home"));
        assert!(host_keys(&[key("nas", "")], 20, &mut state).is_empty());
    }
}
