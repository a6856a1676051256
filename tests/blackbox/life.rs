//! The life of the process: exit codes, signals, what it logs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use pve_sentinel::sim::Fault;

use crate::support::{Cluster, Exporter, SECRET, run_to_end, write_private};

#[test]
fn sigterm_answers_what_is_in_flight_and_ends_well() {
    let cluster = Cluster::recorded();
    let mut exporter = Exporter::serve(&cluster.config("home"));
    cluster.sims[0].set_fault("/cluster/resources", Fault::Hang);
    let mut stream = TcpStream::connect(exporter.address).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 2\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    while cluster.sims[0].requests().is_empty() {
        std::thread::yield_now();
    }
    exporter.terminate();
    exporter.wait_for_log("stopping");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("pve_scrape_collector_success"), "{answer}");
    assert_eq!(exporter.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let cluster = Cluster::recorded();
    let mut exporter = Exporter::serve(&cluster.config("home"));
    cluster.sims[0].set_fault("/cluster/resources", Fault::Hang);
    let mut stream = TcpStream::connect(exporter.address).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 600\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    while cluster.sims[0].requests().is_empty() {
        std::thread::yield_now();
    }
    exporter.terminate();
    exporter.wait_for_log("stopping: ");
    exporter.terminate();
    assert_eq!(exporter.wait().code(), Some(1));
    let log = exporter.wait_for_log("stopping at once");
    assert!(log.contains("SIGTERM") && !exporter.log().contains("cutting off"), "{}", exporter.log());
}

#[test]
fn half_a_request_does_not_hold_up_the_end() {
    let cluster = Cluster::recorded();
    let mut exporter = Exporter::serve(&cluster.config("home"));
    let mut stream = TcpStream::connect(exporter.address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").unwrap();
    // Accepted later than the one before.
    exporter.get("/-/healthy");
    let stopped = Instant::now();
    exporter.terminate();
    assert_eq!(exporter.wait().code(), Some(0));
    assert!(stopped.elapsed() < Duration::from_secs(8), "{:?}", stopped.elapsed());
    assert!(!exporter.log().contains("cutting off"), "{}", exporter.log());
}

#[test]
fn a_taken_address_ends_the_start_with_a_sentence() {
    let cluster = Cluster::recorded();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    write_private(&file, &cluster.config("home"));
    let ended =
        run_to_end(&["serve", "--config.file", file.to_str().unwrap(), "--web.listen-address", address.as_str()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
}

#[test]
fn logs_are_json_on_wish() {
    let cluster = Cluster::recorded();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    write_private(&file, &cluster.config("home"));
    let mut command = crate::support::binary();
    command.arg("serve").arg("--config.file").arg(&file);
    command.args(["--web.listen-address", "127.0.0.1:0", "--log.format", "json", "--log.level", "debug"]);
    let exporter = Exporter::start(command, Some(folder));
    exporter.page("/metrics");
    exporter.wait_for_log("first successful scrape");
    let log = exporter.log();
    for line in log.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["timestamp", "level", "message"] {
            assert!(entry[key].is_string(), "{line}");
        }
    }
    assert!(log.contains("asked the API"), "debug tells of the calls:\n{log}");
    assert!(!log.contains(SECRET));
}

#[test]
fn several_addresses_are_served() {
    let cluster = Cluster::recorded();
    let config = format!("[web]\nlisten_addresses = [\"127.0.0.1:0\"]\n{}", cluster.config("home"));
    let exporter = Exporter::serve_with(&config, &["--web.listen-address", "[::1]:0"]);
    let line = exporter.wait_for_log("serving metrics on http://[::1]:");
    let port: u16 = line.split("[::1]:").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    assert_eq!(crate::support::get(([0, 0, 0, 0, 0, 0, 0, 1], port).into(), "/-/healthy").status, 200);
    assert_eq!(exporter.get("/-/ready").status, 200);
}
