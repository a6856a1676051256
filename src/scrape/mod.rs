//! One round: which collectors of which clusters, until when, and what failed.

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::Part;

/// Orders and waits for the collectors of all clusters.
pub struct Scraper {}

/// What a request asked for; made by [`Scraper::select`].
#[derive(Debug, Clone)]
pub struct Selection {}

/// A name in a request that the configuration does not know.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The query parameter: `cluster` or `collect[]`.
    pub parameter: &'static str,
    /// What was asked for.
    pub value: String,
    /// What there is.
    pub known: Vec<String>,
}

/// What one round had to say.
pub struct Round {
    /// One part per cluster, in the order of the configuration.
    pub parts: Vec<Arc<Part>>,
    /// Whether the process' own metrics belong on the page.
    pub own_metrics: bool,
}

impl Scraper {
    /// Checks the names of a request: `cluster` and `collect[]`, both repeatable; none means all.
    pub fn select(&self, _clusters: &[String], _collect: &[String]) -> Result<Selection, UnknownName> {
        Ok(Selection {})
    }

    /// Runs a round that ends `margin` before `timeout` (the caller's, else the configured one).
    pub async fn scrape(&self, _selection: &Selection, _timeout: Option<Duration>) -> Round {
        Round { parts: Vec::new(), own_metrics: true }
    }

    /// Whether each cluster was reached at least once, or the start was long enough ago; for `/-/ready`.
    pub fn cluster_names(&self) -> Vec<String> {
        Vec::new()
    }
}
