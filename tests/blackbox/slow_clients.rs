//! A thousand clients that send next to nothing keep no scraper out.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Cluster, Exporter, Pki, exchange, get};

/// As many as are promised, or as the system lets this process open, with some left for everything else.
fn how_many() -> usize {
    let limits = procfs::process::Process::myself().and_then(|process| process.limits()).unwrap();
    match limits.max_open_files.soft_limit {
        procfs::process::LimitValue::Value(limit) => usize::try_from(limit).unwrap().saturating_sub(200).min(1000),
        procfs::process::LimitValue::Unlimited => 1000,
    }
}

#[expect(clippy::print_stdout, reason = "shown by the test harness when a test is asked to show it")]
fn say(words: &str) {
    println!("{words}");
}

/// Clients that begin with `start` and then send a byte now and then, while `scrape` is called.
fn beset(exporter: &Exporter, start: &[u8], drip: &[u8], scrape: impl Fn()) {
    let count = how_many();
    if count < 1000 {
        say(&format!("only {count} clients: this system allows no more open files"));
    }
    let mut clients: Vec<TcpStream> = Vec::with_capacity(count);
    let mut longest = Duration::ZERO;
    for turn in 0..count {
        let mut client = TcpStream::connect(exporter.address).unwrap();
        let _ = client.write_all(start);
        clients.push(client);
        if turn % 50 == 49 {
            let started = Instant::now();
            scrape();
            longest = longest.max(started.elapsed());
            // Whoever was closed to make room hears of it now.
            clients.iter_mut().for_each(|client| drop(client.write_all(drip)));
        }
    }
    assert!(longest < Duration::from_secs(8), "a scrape took {longest:?}");
}

#[test]
fn a_thousand_slow_clients_hold_up_no_scrape() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    beset(&exporter, b"GET /metrics HTTP/1.1\r\nX-", b"a", || {
        let page = get(exporter.address, "/metrics");
        assert!(page.status == 200 && page.text().contains("pve_up"));
    });
    assert!(!exporter.log().contains("level=warn"), "{}", exporter.log());
}

#[test]
fn a_thousand_slow_handshakes_hold_up_no_scrape() {
    let (cluster, pki) = (Cluster::recorded(), Pki::new());
    let exporter = Exporter::serve(&format!("[web]\n{}{}", pki.web(None), cluster.config("home")));
    beset(&exporter, b"\x16\x03\x01\x02\x00", b"\x01", || {
        let page = exchange(pki.connect(exporter.address, None).unwrap(), "GET", "/metrics", &[]);
        assert!(page.status == 200 && page.text().contains("pve_up"));
    });
}

#[test]
fn a_thousand_slow_bodies_hold_up_no_scrape() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&format!("[web]\nenable_lifecycle = true\n{}", cluster.config("home")));
    beset(&exporter, b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n", b"a", || {
        assert_eq!(get(exporter.address, "/metrics").status, 200);
    });
    assert!(!exporter.log().contains("in force"), "no reload without a whole request:\n{}", exporter.log());
}
