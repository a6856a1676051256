//! What a request narrows the page to.

/// The name under which `collect[]` asks for the process' own metrics.
pub const PROCESS: &str = "process";

/// The name under which `collect[]` asks for what is known of guests.
pub const DISCOVERY: &str = "discovery";

/// What a request asked for; made by [`super::Scraper::select`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    clusters: Option<Vec<String>>,
    collectors: Option<Vec<String>>,
    /// Whether the process' own metrics belong on the page: asked for, or nothing was narrowed.
    pub own_metrics: bool,
}

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

impl Selection {
    pub(super) fn new(
        clusters: &[String],
        collect: &[String],
        known_clusters: &[String],
        known_collectors: &[&str],
    ) -> Result<Self, UnknownName> {
        check("cluster", clusters, known_clusters.iter().map(String::as_str))?;
        check("collect[]", collect, known_collectors.iter().copied().chain([DISCOVERY, PROCESS]))?;
        let named = |names: &[String]| if names.is_empty() { None } else { Some(names.to_vec()) };
        Ok(Self {
            clusters: named(clusters),
            collectors: named(collect),
            own_metrics: if collect.is_empty() {
                clusters.is_empty()
            } else {
                collect.iter().any(|name| name == PROCESS)
            },
        })
    }

    pub(super) fn has_cluster(&self, name: &str) -> bool {
        self.clusters.as_ref().is_none_or(|clusters| clusters.iter().any(|cluster| cluster == name))
    }

    /// Whether the page says what is known of the guests of a cluster.
    pub(super) fn has_discovery(&self, cluster: &str) -> bool {
        self.has_cluster(cluster) && self.has_collector(DISCOVERY)
    }

    /// Whether nothing was narrowed to some clusters.
    pub(super) fn has_all_clusters(&self) -> bool {
        self.clusters.is_none()
    }

    pub(super) fn has_collector(&self, name: &str) -> bool {
        self.collectors.as_ref().is_none_or(|collectors| collectors.iter().any(|collector| collector == name))
    }
}

fn check<'a>(
    parameter: &'static str,
    asked: &[String],
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), UnknownName> {
    match asked.iter().find(|name| !known.clone().any(|known| known == name.as_str())) {
        None => Ok(()),
        Some(name) => Err(UnknownName { parameter, value: name.clone(), known: known.map(str::to_owned).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(clusters: &[&str], collect: &[&str]) -> Result<Selection, UnknownName> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(clusters), &owned(collect), &owned(&["home", "lab"]), &["guest", "node"])
    }

    #[test]
    fn no_name_means_all_and_each_name_narrows() {
        let all = select(&[], &[]).expect("all");
        assert!(all.own_metrics && all.has_cluster("lab") && all.has_collector("node"));
        let home = select(&["home"], &[]).expect("a cluster");
        assert!(
            !home.own_metrics && home.has_cluster("home") && !home.has_cluster("lab") && home.has_collector("node")
        );
        let guest = select(&[], &["guest"]).expect("a collector");
        assert!(!guest.own_metrics && guest.has_cluster("lab") && !guest.has_collector("node"));
        let process = select(&["home"], &["process"]).expect("our own");
        assert!(process.own_metrics && !process.has_collector("guest"));
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let unknown = select(&["home", "hmoe"], &[]).expect_err("unknown");
        assert_eq!((unknown.parameter, unknown.value.as_str()), ("cluster", "hmoe"));
        assert_eq!(unknown.known, ["home", "lab"]);
        let unknown = select(&[], &["nodes"]).expect_err("unknown");
        assert_eq!(unknown.known, ["guest", "node", "discovery", "process"]);
    }
}
