//! What other programs think of our pages: Debian's promtool and Prometheus. A missing program is a failure.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use crate::support::{Exporter, binary, get, request};

/// A demo that listens on a free port.
fn demo() -> Exporter {
    let mut command = binary();
    command.args(["demo", "--web.listen-address", "127.0.0.1:0", "--seed", "7"]);
    Exporter::start(command, None)
}

#[expect(clippy::disallowed_methods, reason = "the tests start other people's programs")]
fn program(name: &str) -> Command {
    Command::new(name)
}

fn missing(name: &str, error: &std::io::Error) -> ! {
    panic!("{name} cannot be started ({error}): tests/run installs it")
}

#[test]
fn promtool_has_nothing_to_say() {
    let demo = demo();
    demo.page("/metrics");
    let page = demo.page("/metrics");
    let mut child = program("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| missing("promtool", &error));
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// A Prometheus with two jobs, killed when dropped.
struct Prometheus {
    child: Child,
    address: std::net::SocketAddr,
    folder: tempfile::TempDir,
}

impl Prometheus {
    fn scrape(exporter: &Exporter) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let job = |name: &str, path: &str| {
            format!(
                "- job_name: {name}\n  metrics_path: {path}\n  static_configs: [{{targets: ['{}']}}]\n",
                exporter.address
            )
        };
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{}",
            job("demo", "/metrics")
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        // Prometheus cannot choose a port itself: the listener holds one until just before the start.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = program("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| missing("prometheus", &error));
        Self { child, address, folder }
    }

    /// The value of an instant query, once it has one.
    fn wait_for(&mut self, query: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        let started = std::time::Instant::now();
        loop {
            assert!(self.child.try_wait().unwrap().is_none(), "prometheus ended:\n{}", self.log());
            if let Some(value) = self.ask(query).filter(|value| wanted(*value)) {
                return value;
            }
            assert!(started.elapsed().as_secs() < 120, "{query} never came true:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    fn ask(&self, query: &str) -> Option<f64> {
        std::net::TcpStream::connect(self.address).ok()?;
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let reply = get(self.address, &format!("/api/v1/query?query={encoded}"));
        let answer: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_the_demo() {
    let demo = demo();
    let mut prometheus = Prometheus::scrape(&demo);
    prometheus.wait_for("up{job=\"demo\"}", |up| up == 1.0);
    prometheus.wait_for("count_over_time(up{job=\"demo\"}[1m])", |count| count >= 3.0);
    prometheus.wait_for("min(min_over_time(up{job=\"demo\"}[1m]))", |up| up == 1.0);
    let samples = prometheus.wait_for("scrape_samples_scraped{job=\"demo\"}", |count| count > 100.0);
    let kept = prometheus.wait_for("scrape_samples_post_metric_relabeling{job=\"demo\"}", |count| count > 100.0);
    assert!((samples - kept).abs() < f64::EPSILON);
    prometheus.wait_for("count(pve_guest_info)", |guests| guests >= 40.0);
    let log = prometheus.log();
    let complaints: Vec<&str> =
        log.lines().filter(|line| line.contains("level=warn") || line.contains("level=error")).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The Accept header of Debian's Prometheus 2.42 gets OpenMetrics, text/plain the classic format: the same samples.
#[test]
fn both_formats_bring_a_scraper_the_same_number_of_samples() {
    let demo = demo();
    let count = |accept| {
        let reply = request(demo.address, "GET", "/metrics?cluster=demo", &[("Accept", accept)]);
        (reply.header("content-type").to_owned(), crate::support::Page::parse(&reply.text()).count)
    };
    let open = count(
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    );
    let plain = count("text/plain");
    assert!(open.0.starts_with("application/openmetrics-text") && plain.0.starts_with("text/plain"));
    assert_eq!(open.1, plain.1);
}
