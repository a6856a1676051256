//! What other programs make of the locked front door: curl and Debian's Prometheus. A missing program is a failure.

use crate::programs::{Prometheus, missing, program};
use crate::support::{Cluster, Exporter, Pki};

const PASSWORD: &str = "päss: wörd";

fn locked(pki: &Pki, clients: Option<&Pki>, cluster: &Cluster) -> Exporter {
    let hash = bcrypt::hash(PASSWORD, 5).unwrap();
    let users = format!("basic_auth_users = {{ prometheus = \"{hash}\" }}\nenable_lifecycle = true\n");
    Exporter::serve(&format!("[web]\n{}{users}{}", pki.web(clients), cluster.config("home")))
}

/// The status that curl shows, or its exit code if it got none; and the body.
fn curl(exporter: &Exporter, url: &str, arguments: &[&str]) -> (Result<u16, i32>, String) {
    let output = program("curl")
        .args(["--silent", "--max-time", "30", "--noproxy", "*", "--write-out", "\n%{http_code}"])
        .args(arguments)
        .arg(url.replace("PORT", &exporter.address.port().to_string()))
        .output()
        .unwrap_or_else(|error| missing("curl", &error));
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, code) = text.rsplit_once('\n').unwrap();
    let status = if output.status.success() { Ok(code.parse().unwrap()) } else { Err(output.status.code().unwrap()) };
    (status, body.to_owned())
}

#[test]
fn curl_comes_in_with_certificate_and_password_only() {
    let (cluster, pki, clients) = (Cluster::recorded(), Pki::new(), Pki::new());
    let exporter = locked(&pki, Some(&clients), &cluster);
    let path = |pki: &Pki, name: &str| pki.path(name).display().to_string();
    let (ca, cert, key) = (path(&pki, "ca.pem"), path(&clients, "client.pem"), path(&clients, "client.key"));
    let (user, tls) = (format!("prometheus:{PASSWORD}"), ["--cacert", &ca, "--cert", &cert, "--key", &key]);
    let ask = |more: &[&str]| curl(&exporter, "https://127.0.0.1:PORT/metrics", &[&tls[..], more].concat());

    for versions in [&[][..], &["--http2"], &["--tls-max", "1.2"], &["--tlsv1.3"], &["--compressed"]] {
        let (status, body) = ask(&[&["--user", &user][..], versions].concat());
        assert_eq!(status, Ok(200), "{versions:?}");
        assert!(body.contains("pve_up{cluster=\"home\""), "{body}");
    }
    assert_eq!(ask(&["--user", &user, "--head"]).0, Ok(200));
    assert_eq!(ask(&[]).0, Ok(401));
    assert_eq!(ask(&["--anyauth", "--user", &user]).0, Ok(200), "the challenge is understood");
    assert_eq!(ask(&["--user", "prometheus:wrong"]).0, Ok(401));
    assert_eq!(ask(&["--user", &format!("nobody:{PASSWORD}")]).0, Ok(401));
    assert!(ask(&["--user", &user, "--tls-max", "1.1"]).0.is_err());

    let url = "https://127.0.0.1:PORT/-/healthy";
    assert_eq!(curl(&exporter, url, &tls).0, Ok(200));
    assert!(curl(&exporter, url, &["--cacert", &ca]).0.is_err(), "no certificate");
    let (cert, key) = (path(&pki, "client.pem"), path(&pki, "client.key"));
    assert!(curl(&exporter, url, &["--cacert", &ca, "--cert", &cert, "--key", &key]).0.is_err(), "another's");
    let other = path(&clients, "ca.pem");
    assert_eq!(curl(&exporter, url, &["--cacert", &other]).0, Err(60), "curl does not trust it");
    let (status, body) = curl(&exporter, "http://127.0.0.1:PORT/metrics", &[]);
    assert!(status == Ok(400) && body.contains("https://"), "{status:?} {body}");

    let url = "https://127.0.0.1:PORT/-/reload";
    let post = |more: &[&str]| curl(&exporter, url, &[&tls[..], &["--user", &user], more].concat());
    for more in [&["--request", "POST"][..], &["--data", "x=1"], &["--data", "", "--header", "Expect: 100-continue"]] {
        assert_eq!(post(more).0, Ok(200), "{more:?}");
    }
    let long = "x".repeat(5000);
    assert_eq!(post(&["--data", &long]).0, Ok(413));
    assert_eq!(post(&[]).0, Ok(405));
    assert_eq!(curl(&exporter, url, &[&tls[..], &["--request", "POST"]].concat()).0, Ok(401));
}

#[test]
fn a_real_prometheus_scrapes_through_the_locked_door() {
    let (cluster, pki, clients) = (Cluster::recorded(), Pki::new(), Pki::new());
    let (open, closed) = (locked(&pki, None, &cluster), locked(&pki, Some(&clients), &cluster));
    let path = |pki: &Pki, name: &str| pki.path(name).display().to_string();
    let ca = path(&pki, "ca.pem");
    let pair = format!(", cert_file: {}, key_file: {}", path(&clients, "client.pem"), path(&clients, "client.key"));
    let job = |name: &str, exporter: &Exporter, pair: &str, password: &str| {
        format!(
            "- job_name: {name}\n  scheme: https\n  tls_config: {{ca_file: {ca}{pair}}}\n  \
             basic_auth: {{username: prometheus, password: '{password}'}}\n  \
             static_configs: [{{targets: ['{}']}}]\n",
            exporter.address
        )
    };
    let jobs = [
        job("tls", &open, "", PASSWORD),
        job("mutual", &closed, &pair, PASSWORD),
        job("wrong", &open, "", "wrong"),
        job("stranger", &closed, "", PASSWORD),
    ];
    let head = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n";
    let mut prometheus = Prometheus::start(&format!("{head}{}", jobs.concat()));
    for job in ["tls", "mutual"] {
        prometheus.wait_for(&format!("count_over_time(up{{job=\"{job}\"}}[1m])"), |count| count >= 3.0);
        prometheus.wait_for(&format!("min_over_time(up{{job=\"{job}\"}}[1m])"), |up| up == 1.0);
        prometheus.wait_for(&format!("count(pve_up{{job=\"{job}\"}})"), |count| count > 10.0);
    }
    // A new certificate, and a new configuration, cost no scrape.
    pki.renew("web");
    for exporter in [&open, &closed] {
        exporter.hang_up(1);
    }
    let scrapes = |job: &str| format!("count_over_time(up{{job=\"{job}\"}}[1m])");
    for job in ["tls", "mutual"] {
        let so_far = prometheus.wait_for(&scrapes(job), |_| true);
        prometheus.wait_for(&scrapes(job), |count| count >= so_far + 3.0);
        prometheus.wait_for(&format!("min_over_time(up{{job=\"{job}\"}}[1m])"), |up| up == 1.0);
    }
    for job in ["wrong", "stranger"] {
        prometheus.wait_for(&format!("max_over_time(up{{job=\"{job}\"}}[1m])"), |up| up == 0.0);
    }
}
