//! What is known of the endpoints of a cluster, for those who ask how it does.

use super::endpoints::Endpoints;

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownEndpoint {
    /// Its address, such as `https://192.0.2.11:8006`.
    pub url: String,
    /// The node that answers there, once that is known.
    pub node: Option<String>,
    /// How it does.
    pub condition: Condition,
    /// What is in the way of using it, or of some calls.
    pub error: Option<String>,
    /// Whether its certificate was not trusted when it was last tried.
    pub distrusted: bool,
    /// Whether it is asked first now.
    pub in_use: bool,
}

/// How an endpoint does, from real answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing was seen of it, or it is the only one, which leaves nothing to choose.
    Unknown,
    /// It answers.
    Well,
    /// Some calls fail there, which are asked elsewhere first.
    Troubled,
    /// Others are asked first.
    Down,
    /// It belongs to another cluster, and is not used.
    Refused,
}

impl Endpoints {
    /// All endpoints, as configured.
    pub(super) fn known(&self) -> Vec<KnownEndpoint> {
        let first = self.order("").first().map(|first| first.index);
        let seen = self.seen().into_iter().enumerate();
        seen.map(|(index, (condition, error, node, distrusted))| KnownEndpoint {
            url: self.url(index).to_owned(),
            node,
            condition,
            error,
            distrusted,
            in_use: first == Some(index),
        })
        .collect()
    }
}
