//! The front door of the real binary: TLS, client certificates, passwords.

use std::io::Write;

use crate::support::{Cluster, Exporter, Kept, Pki, exchange, request, shown};

/// A password, of which neither the text nor the hash must ever turn up.
const PASSWORD: &str = "correct horse battery";

/// `basic_auth_users = …` of `[web]`.
fn users() -> String {
    format!("basic_auth_users = {{ prometheus = \"{}\" }}\n", bcrypt::hash(PASSWORD, 4).unwrap())
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", data_encoding::BASE64.encode(credentials.as_bytes()))
}

#[test]
fn a_certificate_is_replaced_while_pages_are_served() {
    let (cluster, pki) = (Cluster::recorded(), Pki::new());
    let exporter = Exporter::serve(&format!("[web]\n{}{}", pki.web(None), cluster.config("home")));
    exporter.wait_for_log("serving metrics on https://");
    let first = shown(&pki.connect(exporter.address, None).unwrap());
    let mut kept = Kept::new(pki.connect(exporter.address, None).unwrap());
    assert_eq!(kept.get("/metrics", "").unwrap().status, 200);

    let second = pki.renew("web");
    assert_ne!(first, second);
    while shown(&pki.connect(exporter.address, None).unwrap()) == first {
        std::thread::yield_now();
    }
    assert_eq!(kept.get("/metrics", "").unwrap().status, 200, "a kept connection goes on");

    std::fs::write(pki.path("web.key"), "no key").unwrap();
    let mut line = String::new();
    while line.is_empty() {
        assert_eq!(shown(&pki.connect(exporter.address, None).unwrap()), second);
        line = exporter.log().lines().find(|line| line.contains("are no use")).unwrap_or_default().to_owned();
    }
    assert!(line.contains("web.key") && line.contains("expected a private key"), "{line}");
    let page = exchange(pki.connect(exporter.address, None).unwrap(), "GET", "/metrics", &[]);
    assert!(page.status == 200 && page.text().contains("pve_up"));

    let third = pki.renew("web");
    while shown(&pki.connect(exporter.address, None).unwrap()) != third {
        std::thread::yield_now();
    }
    assert_eq!(kept.get("/metrics", "").unwrap().status, 200);
    assert_eq!(exporter.log().matches("are no use").count(), 1, "{}", exporter.log());
}

#[test]
fn only_clients_with_a_certificate_come_in_where_one_is_asked_for() {
    let (cluster, pki, clients) = (Cluster::recorded(), Pki::new(), Pki::new());
    let exporter = Exporter::serve(&format!("[web]\n{}{}", pki.web(Some(&clients)), cluster.config("home")));
    let page = exchange(pki.connect(exporter.address, Some(&clients)).unwrap(), "GET", "/metrics", &[]);
    assert!(page.status == 200 && page.text().contains("pve_up"));
    for stranger in [None, Some(&pki)] {
        if let Ok(stream) = pki.connect(exporter.address, stranger) {
            assert!(Kept::new(stream).get("/-/healthy", "").is_err());
        }
    }
    let reply = request(exporter.address, "GET", "/metrics", &[]);
    assert_eq!((reply.status, reply.text().contains("https://")), (400, true));
    let asked = cluster.sims[0].requests().len();
    let mut garbage = crate::support::connect(exporter.address);
    garbage.write_all(&[0x16; 3000]).unwrap();
    let page = exchange(pki.connect(exporter.address, Some(&clients)).unwrap(), "GET", "/metrics", &[]);
    assert_eq!(page.status, 200);
    assert!(cluster.sims[0].requests().len() > asked);
}

#[test]
fn passwords_open_the_pages_and_are_never_logged() {
    let cluster = Cluster::recorded();
    let config = format!("[web]\n{}{}", users(), cluster.config("home"));
    let exporter = Exporter::serve_with(&config, &["--log.level", "debug"]);
    let good = basic(&format!("prometheus:{PASSWORD}"));
    let ask = |path: &str, value: &str| request(exporter.address, "GET", path, &[("Authorization", value)]).status;
    assert_eq!(ask("/metrics", &good), 200);
    assert_eq!(ask("/pve", &good), 200);
    let asked = cluster.sims[0].requests().len();
    let bad = [
        basic("prometheus:wrong password"),
        basic(&format!("nobody:{PASSWORD}")),
        basic(PASSWORD),
        basic(&format!("{PASSWORD}:x")),
        format!("Bearer {PASSWORD}"),
    ];
    for value in &bad {
        for path in ["/metrics", "/pve", "/", "/-/ready", "/nowhere"] {
            assert_eq!(ask(path, value), 401, "{path} {value}");
        }
    }
    assert_eq!(exporter.get("/metrics").status, 401);
    assert_eq!(exporter.get("/-/healthy").status, 200);
    assert_eq!(cluster.sims[0].requests().len(), asked, "nothing is asked for strangers");
    let page = request(exporter.address, "GET", "/metrics", &[("Authorization", &good)]).text();
    assert!(page.contains("pve_sentinel_http_requests_total{path=\"/metrics\",code=\"401\"} 6\n"), "{page}");

    let log = exporter.log();
    let line = log.lines().find(|line| line.contains("status=200") && line.contains("/metrics")).unwrap();
    assert!(line.contains("user=prometheus") && line.contains("client=127.0.0.1:"), "{line}");
    let line = log.lines().find(|line| line.contains("status=401")).unwrap();
    assert!(line.contains("user=prometheus") && line.contains("client=127.0.0.1:"), "{line}");
    for secret in ["correct", "horse", "wrong password", "nobody", "$2b$", &good[6..], &bad[0][6..]] {
        assert!(!log.contains(secret), "{secret}:\n{log}");
    }
}
