//! A Prometheus with a past.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::{get, repository};

/// Rules that are made of others are made of no more than so many, one upon the other.
const ROUNDS: usize = 3;

/// A Prometheus, killed when dropped.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
}

/// How long an answer took, and what it has.
pub struct Timed {
    pub seconds: f64,
    pub series: usize,
}

#[expect(clippy::disallowed_methods, reason = "it starts other people's programs")]
fn program(name: &str) -> Command {
    Command::new(name)
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started ({error}): tests/run installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Prometheus {
    /// Puts the samples of a file into a folder, then what the rules record of them.
    pub fn filled(folder: &Path, samples: &Path, start: i64, end: i64) -> Self {
        let data = folder.join("data");
        run(program("promtool").args(["tsdb", "create-blocks-from", "openmetrics"]).arg(samples).arg(&data));
        let rules = repository().join("alerts/recording.rules.yml");
        // A rule is written of what was there before: each round knows what the one before recorded.
        for _ in 0..ROUNDS {
            let prometheus = Self::start(folder, &data);
            run(program("promtool")
                .args(["tsdb", "create-blocks-from", "rules", "--eval-interval=60s"])
                .args([
                    format!("--start={start}"),
                    format!("--end={end}"),
                    format!("--url=http://{}", prometheus.address),
                ])
                .arg(format!("--output-dir={}", data.display()))
                .arg(&rules));
        }
        Self::start(folder, &data)
    }

    fn start(folder: &Path, data: &Path) -> Self {
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, "scrape_configs: []\n").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = program("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus cannot be started ({error}): tests/run installs it"));
        let mut prometheus = Self { child, address };
        while !prometheus.is_ready() {
            assert!(prometheus.child.try_wait().unwrap().is_none(), "prometheus ended: see {}", folder.display());
            std::thread::yield_now();
        }
        prometheus
    }

    fn is_ready(&self) -> bool {
        std::net::TcpStream::connect(self.address).is_ok() && get(self.address, "/-/ready").status == 200
    }

    /// Now, or over time: start, end and step in seconds.
    pub fn ask(&self, expr: &str, is_instant: bool, (start, end, step): (i64, i64, i64)) -> Timed {
        let query: String = expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = if is_instant {
            format!("/api/v1/query?time={end}&query={query}")
        } else {
            format!("/api/v1/query_range?start={start}&end={end}&step={step}&query={query}")
        };
        let begun = Instant::now();
        let reply = get(self.address, &path);
        let seconds = begun.elapsed().as_secs_f64();
        let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        Timed { seconds, series: answer["data"]["result"].as_array().map_or(0, Vec::len) }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
