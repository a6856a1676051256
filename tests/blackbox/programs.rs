//! What other programs think of our pages: Debian's promtool and Prometheus. A missing program is a failure.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use pve_sentinel::sim::Fault;

use crate::support::{Cluster, Exporter, Page, binary, get, request};

/// A demo that listens on a free port.
fn demo() -> Exporter {
    let mut command = binary();
    command.args(["demo", "--web.listen-address", "127.0.0.1:0", "--seed", "7"]);
    Exporter::start(command, None)
}

#[expect(clippy::disallowed_methods, reason = "the tests start other people's programs")]
pub fn program(name: &str) -> Command {
    Command::new(name)
}

pub fn missing(name: &str, error: &std::io::Error) -> ! {
    panic!("{name} cannot be started ({error}): tests/run installs it")
}

#[test]
fn promtool_has_nothing_to_say() {
    let demo = demo();
    // The slow lane has told of all its subjects by then, or of enough for every family.
    let slow = [
        "pve_node_load1",
        "pve_onboot_status",
        "pve_not_backed_up_guests",
        "pve_subscription_info",
        "pve_replication_info",
    ];
    let page = loop {
        let page = demo.page("/metrics");
        if slow.iter().all(|family| page.contains(&format!("# TYPE {family} "))) {
            break page;
        }
        std::thread::yield_now();
    };
    assert_eq!(promtool(&page), "");
}

#[test]
fn promtool_has_nothing_to_say_of_pages_with_gaps() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    for call in ["/cluster/status", "/cluster/resources", ""] {
        cluster.sims[0].clear_faults();
        cluster.sims[0].set_fault(call, Fault::Truncate);
        assert_eq!(promtool(&exporter.page("/metrics")), "", "{call}");
    }
}

/// Names that node_exporter made of the kernel's own, which promtool has something against there too.
const KERNELS_OWN: [&str; 3] = ["node_entropy_", "node_memory_", "node_netstat_"];

/// What promtool finds fault with, besides names that are not ours to choose.
pub fn promtool(page: &str) -> String {
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
    assert!(output.status.success() || !said.is_empty(), "it fails without a word");
    let ours = said.lines().filter(|line| !KERNELS_OWN.iter().any(|prefix| line.starts_with(prefix)));
    ours.map(|line| format!("{line}\n")).collect()
}

/// A Prometheus, killed when dropped.
pub struct Prometheus {
    child: Child,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Prometheus {
    /// Jobs: name, address, path and query.
    fn scrape(jobs: &[(&str, SocketAddr, &str)]) -> Self {
        let mut config = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
        for (name, address, path) in jobs {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let mut params: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
                params.entry(key).or_default().push(value);
            }
            config.push_str(&format!(
                "- job_name: {name}\n  metrics_path: {path}\n  params: {}\n  static_configs: [{{targets: ['{address}']}}]\n",
                serde_json::json!(params)
            ));
        }
        Self::start(&config)
    }

    /// With a configuration of its own.
    pub fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
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
    pub fn wait_for(&mut self, query: &str, wanted: impl Fn(f64) -> bool) -> f64 {
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
        self.vector(query)?.first()?["value"][1].as_str()?.parse().ok()
    }

    /// All that an instant query gives.
    pub fn vector(&self, query: &str) -> Option<Vec<serde_json::Value>> {
        std::net::TcpStream::connect(self.address).ok()?;
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let reply = get(self.address, &format!("/api/v1/query?query={encoded}"));
        let answer: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
        answer["data"]["result"].as_array().cloned()
    }

    /// What a question of Prometheus' API gives, such as `query?query=…`, or its error.
    pub fn answer(&self, path: &str, query: &str) -> Result<Vec<serde_json::Value>, String> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let reply = get(self.address, &format!("/api/v1/{path}&query={encoded}"));
        let answer: serde_json::Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| answer["error"].to_string())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes scrapes on, but asks for `text/plain` only: Debian's Prometheus cannot be told to.
fn plain_text_in_front_of(exporter: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut head = Vec::new();
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                head.push(std::mem::take(&mut line));
            }
            let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { continue };
            let reply = request(exporter, "GET", path, &[("Accept", "text/plain;version=0.0.4")]);
            let answer = format!(
                "HTTP/1.1 {} OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                reply.status,
                reply.header("content-type"),
                reply.body.len()
            );
            let mut stream = reader.into_inner();
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.write_all(&reply.body));
        }
    });
    address
}

#[test]
fn a_real_prometheus_scrapes_the_demo_in_both_formats() {
    let demo = demo();
    // Nodes and storages: guests may be locked in one scrape and not in the next.
    let path = "/metrics?cluster=demo&collect[]=node&collect[]=storage";
    let plain = plain_text_in_front_of(demo.address);
    let mut prometheus = Prometheus::scrape(&[
        ("whole", demo.address, "/metrics"),
        ("open", demo.address, path),
        ("plain", plain, path),
    ]);
    for job in ["whole", "open", "plain"] {
        prometheus.wait_for(&format!("count_over_time(up{{job=\"{job}\"}}[1m])"), |count| count >= 3.0);
        prometheus.wait_for(&format!("min_over_time(up{{job=\"{job}\"}}[1m])"), |up| up == 1.0);
    }
    let samples = |prometheus: &mut Prometheus, job: &str| {
        prometheus.wait_for(&format!("scrape_samples_scraped{{job=\"{job}\"}}"), |count| count > 10.0)
    };
    let open = samples(&mut prometheus, "open");
    assert_eq!(open, samples(&mut prometheus, "plain"));
    assert!(samples(&mut prometheus, "whole") > open);
    let classic = request(demo.address, "GET", path, &[("Accept", "text/plain")]).text();
    assert_eq!(open, Page::parse(&classic).count as f64, "every sample of the page is in Prometheus");
    prometheus.wait_for("count(pve_guest_info)", |guests| guests >= 40.0);
    let log = prometheus.log();
    let complaints: Vec<&str> =
        log.lines().filter(|line| line.contains("level=warn") || line.contains("level=error")).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
