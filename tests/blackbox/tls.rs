//! An endpoint proves who it is before it gets the token: each mode, right and wrong.

use pve_sentinel::sim::{Certificate, Sim};

use crate::support::{Cluster, Exporter, Page, SECRET, binary, recorded, write_private};

fn cluster(certificate: Certificate) -> Cluster {
    Cluster::start(1, recorded("pve-9.2-cluster", "GET_"), certificate)
}

/// Serves, with the authority of `ca` in a file that `{ca}` in `tls` stands for.
fn serve(cluster: &Cluster, tls: &str, ca: &Sim, system_roots: bool) -> Exporter {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, ca.ca_pem()).unwrap();
    let tls = tls.replace("{ca}", &format!("\"{}\"", ca_file.display()));
    let config = folder.path().join("config.toml");
    write_private(&config, &cluster.config_with("home", &tls, SECRET));
    let mut command = binary();
    command.arg("serve").arg("--config.file").arg(&config).args(["--web.listen-address", "127.0.0.1:0"]);
    if system_roots {
        command.env("SSL_CERT_FILE", &ca_file);
    }
    Exporter::start(command, Some(folder))
}

fn trusted(exporter: &Exporter, cluster: &Cluster) {
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.value("pve_up", &[("id", "node/pve-lab")]), Some(1.0), "{}", exporter.log());
    assert!(!cluster.sims[0].requests().is_empty());
}

/// Refused: still a page, and the endpoint saw no request, hence no token.
fn refused(exporter: &Exporter, cluster: &Cluster, words: &[&str]) {
    let page = Page::parse(&exporter.page("/metrics"));
    assert!(page.samples["pve_scrape_collector_success"].values().all(|value| *value == 0.0));
    let labels = [("collector", "node"), ("reason", "tls")];
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.value("pve_scrape_collector_errors_total", &labels), Some(2.0));
    assert_eq!(cluster.sims[0].requests(), [], "a request was sent to an endpoint that proved nothing");
    let log = exporter.log();
    for words in words {
        assert!(log.contains(words), "{words:?} is not in the log:\n{log}");
    }
    assert!(!log.contains(SECRET));
}

#[test]
fn pinned_fingerprints() {
    let right = cluster(Certificate::SelfSigned);
    let other = cluster(Certificate::Good);
    let pin = |sims: &[&Cluster]| {
        let pins: Vec<String> = sims.iter().map(|cluster| format!("\"{}\"", cluster.sims[0].fingerprint())).collect();
        format!("{{ fingerprints = [{}] }}", pins.join(","))
    };
    trusted(&serve(&right, &pin(&[&other, &right]), &right.sims[0], false), &right);
    let fingerprint = right.sims[0].fingerprint().to_string();
    let fresh = cluster(Certificate::SelfSigned);
    let seen = fresh.sims[0].fingerprint().to_string();
    assert_ne!(fingerprint, seen);
    let exporter = serve(&fresh, &pin(&[&right]), &right.sims[0], false);
    refused(&exporter, &fresh, &["not the one of tls.fingerprints", &seen, "names ", "subject "]);
}

#[test]
fn an_authority_in_a_file() {
    let right = cluster(Certificate::Good);
    trusted(&serve(&right, "{ ca_file = {ca} }", &right.sims[0], false), &right);
    let foreign = cluster(Certificate::Good);
    let seen = foreign.sims[0].fingerprint().to_string();
    let exporter = serve(&foreign, "{ ca_file = {ca} }", &right.sims[0], false);
    refused(&exporter, &foreign, &["authority that is not trusted", &seen, "pve-root-ca.pem"]);
}

#[test]
fn the_authorities_of_the_system() {
    let right = cluster(Certificate::Good);
    trusted(&serve(&right, "", &right.sims[0], true), &right);
    let foreign = cluster(Certificate::Good);
    let exporter = serve(&foreign, "", &right.sims[0], true);
    refused(&exporter, &foreign, &["authority that is not trusted"]);
}

#[test]
fn wrong_names_and_dates() {
    let wrong_name = cluster(Certificate::WrongName);
    let exporter = serve(&wrong_name, "{ ca_file = {ca} }", &wrong_name.sims[0], false);
    refused(&exporter, &wrong_name, &["not valid for the name 127.0.0.1", "elsewhere.invalid"]);
    let expired = cluster(Certificate::Expired);
    let exporter = serve(&expired, "{ ca_file = {ca} }", &expired.sims[0], false);
    refused(&exporter, &expired, &["it has expired"]);
}

#[test]
fn no_check_at_all_is_possible_and_said_at_each_start() {
    let cluster = cluster(Certificate::Expired);
    let exporter = serve(&cluster, "{ insecure_skip_verify = true }", &cluster.sims[0], false);
    trusted(&exporter, &cluster);
    let warning = exporter.log().lines().filter(|line| line.contains("insecure_skip_verify")).count();
    assert_eq!(warning, 1, "{}", exporter.log());
}

#[test]
fn a_port_that_speaks_no_tls_gets_no_token() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        stream
            .write_all(b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        bytes.truncate(count);
        bytes
    });
    let cluster = cluster(Certificate::Good);
    let config = cluster.config("home").replace(&cluster.sims[0].url(), &format!("https://127.0.0.1:{port}"));
    let exporter = Exporter::serve(&config);
    exporter.page("/metrics?collect[]=node");
    let bytes = heard.join().unwrap();
    assert!(!bytes.is_empty() && !String::from_utf8_lossy(&bytes).contains(SECRET));
    exporter.wait_for_log("no TLS is spoken there");
}
