//! The process' own metrics: what it did, and what /proc says of it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Format;
use super::dialect::rewrite;
use super::process::ProcessCollector;
use super::sidecar::Events;

/// Counters and gauges of this process; shared by all who count, and written on the page.
#[derive(Debug)]
pub struct Own {
    registry: Registry,
    api_requests: Family<ApiRequest, Counter>,
    collector_errors: Family<CollectorError, Counter>,
    http_requests: Family<HttpRequest, Counter>,
    slow_lane_backlog: Family<Cluster, Gauge>,
    config_read_well: Gauge,
    config_read_at: Gauge,
    ssh_connections: Family<SshAttempt, Counter>,
    ssh_requests: Family<SshAttempt, Counter>,
    control_actions: Family<ControlAction, Counter>,
    events: Events,
    clusters: Family<ClusterAddress, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiRequest {
    cluster: String,
    path: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CollectorError {
    cluster: String,
    collector: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpRequest {
    path: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SshAttempt {
    host: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cluster {
    cluster: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClusterAddress {
    cluster: String,
    url: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControlAction {
    action: &'static str,
    outcome: &'static str,
}

impl Own {
    /// Starts counting. `version` is that of the program; the start of the process is read from /proc.
    pub fn new(version: &str) -> Self {
        Self::of_build(version, None)
    }

    /// The same of a program that knows from which revision of its source it was made.
    pub fn of_build(version: &str, revision: Option<&str>) -> Self {
        let own = Self {
            registry: Registry::default(),
            api_requests: Family::default(),
            collector_errors: Family::default(),
            http_requests: Family::default(),
            slow_lane_backlog: Family::default(),
            config_read_well: Gauge::default(),
            config_read_at: Gauge::default(),
            ssh_connections: Family::default(),
            ssh_requests: Family::default(),
            control_actions: Family::default(),
            events: Events::default(),
            clusters: Family::default(),
        };
        own.registered(version, revision)
    }

    // The registry adds the full stop to each help.
    fn registered(mut self, version: &str, revision: Option<&str>) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "pve_sentinel_build_info",
            "Always 1, labelled with version and, where it is known, source revision of pve-sentinel",
            build(version, revision),
        );
        registry.register(
            "pve_sentinel_api_requests",
            "Requests to the PVE API by cluster, path and outcome",
            self.api_requests.clone(),
        );
        registry.register(
            "pve_scrape_collector_errors",
            "Failed runs of a collector by cluster and reason",
            self.collector_errors.clone(),
        );
        registry.register(
            "pve_sentinel_http_requests",
            "Answered requests to our own pages by path and status code",
            self.http_requests.clone(),
        );
        registry.register(
            "pve_sentinel_slow_lane_backlog",
            "Calls of the slow lane that wait for their turn or their answer, without those in line that took long the last time",
            self.slow_lane_backlog.clone(),
        );
        registry.register(
            "pve_sentinel_config_last_reload_successful",
            "Whether the configuration was usable when it was last read",
            self.config_read_well.clone(),
        );
        registry.register(
            "pve_sentinel_config_last_reload_success_timestamp_seconds",
            "When a usable configuration was last read, since the Unix epoch",
            self.config_read_at.clone(),
        );
        registry.register(
            "pve_sentinel_ssh_connections",
            "Attempts to connect and log in over SSH by host and outcome",
            self.ssh_connections.clone(),
        );
        registry.register(
            "pve_sentinel_ssh_requests",
            "Commands run over SSH by host and outcome",
            self.ssh_requests.clone(),
        );
        registry.register(
            "pve_sentinel_control_actions",
            "Decisions on actions of guests, nodes and hosts by action and outcome",
            self.control_actions.clone(),
        );
        self.events.register(registry);
        registry.register(
            "pve_sentinel_cluster_info",
            "Address of the first endpoint of each configured cluster, where its web interface is",
            self.clusters.clone(),
        );
        registry.register_collector(Box::new(ProcessCollector::new()));
        self
    }

    /// Counts a request to a PVE API: `pve_sentinel_api_requests_total`. `path` is normalised (no names or numbers
    /// of guests and nodes), `outcome` one of few words.
    pub fn api_request(&self, cluster: &str, path: &str, outcome: &str) {
        let labels = ApiRequest { cluster: cluster.into(), path: path.into(), outcome: outcome.into() };
        self.api_requests.get_or_create(&labels).inc();
    }

    /// Counts a collector that failed: `pve_scrape_collector_errors_total`. `reason` is one of few words.
    pub fn collector_error(&self, cluster: &str, collector: &str, reason: &str) {
        let labels = CollectorError { cluster: cluster.into(), collector: collector.into(), reason: reason.into() };
        self.collector_errors.get_or_create(&labels).inc();
    }

    /// Counts an answered request to one of our pages: `pve_sentinel_http_requests_total`. `path` is a route, or
    /// `other`.
    pub fn http_request(&self, path: &'static str, code: u16) {
        self.http_requests.get_or_create(&HttpRequest { path, code }).inc();
    }

    /// Tells how many calls of a cluster's slow lane wait: `pve_sentinel_slow_lane_backlog`.
    pub fn slow_lane_backlog(&self, cluster: &str, calls: usize) {
        let labels = Cluster { cluster: cluster.into() };
        self.slow_lane_backlog.get_or_create(&labels).set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    /// Leaves a cluster's slow lane out, because the cluster is not asked any more.
    pub fn forget_slow_lane(&self, cluster: &str) {
        self.slow_lane_backlog.remove(&Cluster { cluster: cluster.into() });
    }

    /// Tells how the last attempt to read the configuration ended: `pve_sentinel_config_last_reload_successful` and,
    /// where it went well, `pve_sentinel_config_last_reload_success_timestamp_seconds`. `at` is when it did, in seconds
    /// since the Unix epoch.
    pub fn config_read(&self, at: Option<i64>) {
        self.config_read_well.set(i64::from(at.is_some()));
        if let Some(at) = at {
            self.config_read_at.set(at);
        }
    }

    /// Counts an attempt to connect to a host and log in: `pve_sentinel_ssh_connections_total`. `outcome` is one of few
    /// words.
    pub fn ssh_connection(&self, host: &str, outcome: &'static str) {
        self.ssh_connections.get_or_create(&SshAttempt { host: host.into(), outcome }).inc();
    }

    /// Counts a command on a host: `pve_sentinel_ssh_requests_total`. `outcome` is one of few words.
    pub fn ssh_request(&self, host: &str, outcome: &'static str) {
        self.ssh_requests.get_or_create(&SshAttempt { host: host.into(), outcome }).inc();
    }

    /// Counts a decision on an action: `pve_sentinel_control_actions_total`. Both are among few words.
    pub fn control_action(&self, action: &'static str, outcome: &'static str) {
        self.control_actions.get_or_create(&ControlAction { action, outcome }).inc();
    }

    /// What the sidecar counts.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Tells where the web interface of each configured cluster is, by name: `pve_sentinel_cluster_info`. Those of before
    /// are forgotten.
    pub fn clusters<'a>(&self, addresses: impl Iterator<Item = (&'a str, String)>) {
        self.clusters.clear();
        for (cluster, url) in addresses {
            self.clusters.get_or_create(&ClusterAddress { cluster: cluster.to_owned(), url }).set(1);
        }
    }

    /// The metrics as they are now, families by name, without the `# EOF` that closes a page.
    pub fn encode(&self, format: Format) -> String {
        let mut text = String::with_capacity(8 * 1024);
        encode_registry(&mut text, &self.registry).expect("writing into a string cannot fail");
        rewrite(&text, format)
    }
}

/// Whether a family is one of ours, so that no collector may bring it.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with("pve_sentinel_") || name.starts_with("process_") || name == "pve_scrape_collector_errors_total"
}

/// What `pve_sentinel_build_info` says.
fn build(version: &str, revision: Option<&str>) -> Family<Vec<(&'static str, String)>, Gauge> {
    let info: Family<Vec<(&'static str, String)>, Gauge> = Family::default();
    let labels = [("version", Some(version)), ("revision", revision)];
    let known = labels.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned())));
    info.get_or_create(&known.collect()).set(1);
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted() -> Own {
        let own = Own::new("1.2.3");
        own.api_request("lab", "/version", "ok");
        own.api_request("home", "/cluster/resources", "ok");
        own.api_request("home", "/cluster/resources", "ok");
        own.collector_error("ho\"me\\\n", "guest", "timeout");
        own.http_request("other", 404);
        own.http_request("/metrics", 200);
        own.config_read(Some(1_750_000_000));
        own.config_read(None);
        own.ssh_connection("nas", "host_key");
        own.ssh_request("nas", "ok");
        for name in ["gone", "home"] {
            own.clusters([(name, format!("https://{name}.example.com:8006"))].into_iter());
        }
        own
    }

    fn without_process(text: &str) -> String {
        text.lines().filter(|line| !line.contains("process_")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn text_004() {
        assert_eq!(
            without_process(&counted().encode(Format::Text004)),
            r#"# HELP pve_scrape_collector_errors_total Failed runs of a collector by cluster and reason.
# TYPE pve_scrape_collector_errors_total counter
pve_scrape_collector_errors_total{cluster="ho\"me\\\n",collector="guest",reason="timeout"} 1
# HELP pve_sentinel_api_requests_total Requests to the PVE API by cluster, path and outcome.
# TYPE pve_sentinel_api_requests_total counter
pve_sentinel_api_requests_total{cluster="home",path="/cluster/resources",outcome="ok"} 2
pve_sentinel_api_requests_total{cluster="lab",path="/version",outcome="ok"} 1
# HELP pve_sentinel_build_info Always 1, labelled with version and, where it is known, source revision of pve-sentinel.
# TYPE pve_sentinel_build_info gauge
pve_sentinel_build_info{version="1.2.3"} 1
# HELP pve_sentinel_cluster_info Address of the first endpoint of each configured cluster, where its web interface is.
# TYPE pve_sentinel_cluster_info gauge
pve_sentinel_cluster_info{cluster="home",url="https://home.example.com:8006"} 1
# HELP pve_sentinel_config_last_reload_success_timestamp_seconds When a usable configuration was last read, since the Unix epoch.
# TYPE pve_sentinel_config_last_reload_success_timestamp_seconds gauge
pve_sentinel_config_last_reload_success_timestamp_seconds 1750000000
# HELP pve_sentinel_config_last_reload_successful Whether the configuration was usable when it was last read.
# TYPE pve_sentinel_config_last_reload_successful gauge
pve_sentinel_config_last_reload_successful 0
# HELP pve_sentinel_http_requests_total Answered requests to our own pages by path and status code.
# TYPE pve_sentinel_http_requests_total counter
pve_sentinel_http_requests_total{path="/metrics",code="200"} 1
pve_sentinel_http_requests_total{path="other",code="404"} 1
# HELP pve_sentinel_ssh_connections_total Attempts to connect and log in over SSH by host and outcome.
# TYPE pve_sentinel_ssh_connections_total counter
pve_sentinel_ssh_connections_total{host="nas",outcome="host_key"} 1
# HELP pve_sentinel_ssh_requests_total Commands run over SSH by host and outcome.
# TYPE pve_sentinel_ssh_requests_total counter
pve_sentinel_ssh_requests_total{host="nas",outcome="ok"} 1
"#
        );
    }

    #[test]
    fn open_metrics() {
        assert_eq!(
            without_process(&counted().encode(Format::OpenMetrics100)),
            r#"# HELP pve_scrape_collector_errors Failed runs of a collector by cluster and reason.
# TYPE pve_scrape_collector_errors counter
pve_scrape_collector_errors_total{cluster="ho\"me\\\n",collector="guest",reason="timeout"} 1
# HELP pve_sentinel_api_requests Requests to the PVE API by cluster, path and outcome.
# TYPE pve_sentinel_api_requests counter
pve_sentinel_api_requests_total{cluster="home",path="/cluster/resources",outcome="ok"} 2
pve_sentinel_api_requests_total{cluster="lab",path="/version",outcome="ok"} 1
# HELP pve_sentinel_build_info Always 1, labelled with version and, where it is known, source revision of pve-sentinel.
# TYPE pve_sentinel_build_info gauge
pve_sentinel_build_info{version="1.2.3"} 1
# HELP pve_sentinel_cluster_info Address of the first endpoint of each configured cluster, where its web interface is.
# TYPE pve_sentinel_cluster_info gauge
pve_sentinel_cluster_info{cluster="home",url="https://home.example.com:8006"} 1
# HELP pve_sentinel_config_last_reload_success_timestamp_seconds When a usable configuration was last read, since the Unix epoch.
# TYPE pve_sentinel_config_last_reload_success_timestamp_seconds gauge
pve_sentinel_config_last_reload_success_timestamp_seconds 1750000000
# HELP pve_sentinel_config_last_reload_successful Whether the configuration was usable when it was last read.
# TYPE pve_sentinel_config_last_reload_successful gauge
pve_sentinel_config_last_reload_successful 0
# HELP pve_sentinel_http_requests Answered requests to our own pages by path and status code.
# TYPE pve_sentinel_http_requests counter
pve_sentinel_http_requests_total{path="/metrics",code="200"} 1
pve_sentinel_http_requests_total{path="other",code="404"} 1
# HELP pve_sentinel_ssh_connections Attempts to connect and log in over SSH by host and outcome.
# TYPE pve_sentinel_ssh_connections counter
pve_sentinel_ssh_connections_total{host="nas",outcome="host_key"} 1
# HELP pve_sentinel_ssh_requests Commands run over SSH by host and outcome.
# TYPE pve_sentinel_ssh_requests counter
pve_sentinel_ssh_requests_total{host="nas",outcome="ok"} 1
"#
        );
    }

    #[test]
    fn a_known_revision_is_told() {
        let text = Own::of_build("1.2.3", Some("abcdef0")).encode(Format::Text004);
        assert!(text.contains("\npve_sentinel_build_info{version=\"1.2.3\",revision=\"abcdef0\"} 1\n"), "{text}");
    }

    #[test]
    fn the_process_has_its_standard_names() {
        let text = Own::new("1").encode(Format::Text004);
        for (name, kind) in [
            ("process_cpu_seconds_total", "counter"),
            ("process_max_fds", "gauge"),
            ("process_open_fds", "gauge"),
            ("process_resident_memory_bytes", "gauge"),
            ("process_start_time_seconds", "gauge"),
            ("process_threads", "gauge"),
            ("process_virtual_memory_bytes", "gauge"),
        ] {
            assert!(text.contains(&format!("\n# TYPE {name} {kind}\n{name} ")), "{name}:\n{text}");
        }
        assert!(!text.contains(".."), "a full stop is doubled:\n{text}");
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
            line.and_then(|line| line.split(' ').nth(1)).and_then(|value| value.parse::<f64>().ok()).unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1024.0 * 1024.0);
        assert!(value("process_start_time_seconds") > 1_600_000_000.0);
        assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") <= value("process_max_fds"));
    }

    #[test]
    fn all_names_are_known_as_ours() {
        let text = counted().encode(Format::Text004);
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(names.len(), 16, "{names:?}");
        for name in names {
            assert!(is_own(name), "{name}");
        }
        assert!(!is_own("pve_scrape_collector_success"));
    }
}
