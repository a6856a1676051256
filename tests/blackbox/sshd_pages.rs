//! Hosts behind OpenSSH's own sshd on the pages of the real binary: logins counted in sshd's log, shells of every kind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use pve_sentinel::ssh::PROBE;

use crate::programs::promtool;
use crate::sshd::{Sshd, wait_for};
use crate::support::{Cluster, Exporter, Page, request};

fn serve(cluster: &Cluster, sshd: &Sshd, known_hosts: &str) -> Exporter {
    Exporter::serve(&format!("{}{}", cluster.config("home"), sshd.host(known_hosts)))
}

/// Writes the probe beside the keys, and gives its path.
fn install(sshd: &Sshd) -> String {
    fs::write(sshd.path("probe.sh"), PROBE).unwrap();
    sshd.path("probe.sh").display().to_string()
}

#[test]
fn five_scrapes_are_one_login_in_the_log_of_sshd() {
    let (cluster, sshd) = (Cluster::recorded(), Sshd::start("ed25519", "256"));
    let probe = install(&sshd);
    sshd.authorize(&format!("command=\"sh {probe}\",restrict "));
    let exporter = serve(&cluster, &sshd, &sshd.line());
    for _ in 0..5 {
        let page = Page::parse(&exporter.page("/metrics"));
        assert_eq!(page.value("pve_host_ssh_up", &[("host", "nas")]), Some(1.0), "{}", exporter.log());
        assert_eq!(page.value("pve_scrape_collector_success", &[("host", "nas")]), Some(1.0), "{}", exporter.log());
        assert!(page.value("node_load1", &[("host", "nas")]).is_some() && page.samples.contains_key("pve_guest_info"));
        let offset = page.value("pve_host_clock_offset_seconds", &[("host", "nas")]).unwrap();
        let most = page.value("pve_host_clock_offset_uncertainty_seconds", &[("host", "nas")]).unwrap();
        // Reading two clocks takes a while where many tests run.
        assert!(offset.abs() <= most + 0.1 && most < 30.0, "one clock is {offset} s apart, give or take {most} s");
    }
    assert_eq!(sshd.count("Accepted publickey for"), 1, "{}", sshd.log());
    assert_eq!(sshd.count("Starting session: forced-command"), 5, "{}", sshd.log());
}

#[test]
fn a_host_with_another_key_sees_no_login() {
    let (cluster, sshd) = (Cluster::recorded(), Sshd::start("ed25519", "256"));
    let key = fs::read_to_string(sshd.path("host.pub")).unwrap();
    let other = fs::read_to_string(sshd.path("id.pub")).unwrap();
    let changed = sshd.line().replace(key.trim(), other.trim());
    for known_hosts in [String::new(), changed, format!("{}@revoked * {key}", sshd.line())] {
        let exporter = serve(&cluster, &sshd, &known_hosts);
        let page = Page::parse(&exporter.page("/metrics"));
        assert_eq!(page.value("pve_host_ssh_up", &[("host", "nas")]), Some(0.0));
        assert!(page.samples.contains_key("pve_guest_info"), "the rest of the page is whole");
        let line = exporter.wait_for_log("host key");
        assert!(line.contains("SHA256:") && line.contains("host=nas"), "{line}");
    }
    wait_for("sshd did not see the connections end", || sshd.count("Connection closed by 127.0.0.1") >= 3);
    assert_eq!(sshd.count("userauth-request"), 0, "{}", sshd.log());
}

/// What the login shell or a forced command does with the question, and whether the page has figures.
fn ways(sshd: &Sshd) -> Vec<(&'static str, String, bool)> {
    let probe = install(sshd);
    let stubs = sshd.path("stubs");
    fs::create_dir(&stubs).unwrap();
    for name in ["df", "stat"] {
        fs::write(stubs.join(name), "#!/bin/sh\nexit 127\n").unwrap();
        fs::set_permissions(stubs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let stubs = stubs.display();
    let asked = r#"\"$SSH_ORIGINAL_COMMAND\""#;
    let shell = |shell: &str| format!("exec {shell} -c {asked}");
    vec![
        ("installed", format!("sh {probe}"), true),
        ("bash", shell("bash"), true),
        ("dash", shell("dash"), true),
        ("csh", shell("csh"), true),
        ("fish", shell("fish"), true),
        ("busybox", shell("busybox sh"), true),
        ("a banner", format!("echo Welcome; printf 'no end of line'; sh -c {asked}; echo Bye"), true),
        ("LANG=de_DE", format!("LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 sh -c {asked}"), true),
        ("no df", format!("PATH={stubs}:$PATH sh -c {asked}"), true),
        ("half", format!("sh {probe} | sed '/close proc/q'"), true),
        ("noise", "head -c 10000000 /dev/zero".to_owned(), false),
        ("nothing", "true".to_owned(), false),
        ("no shell", "echo This account is not available.; exit 1".to_owned(), false),
        ("hang", "exec sleep 1000".to_owned(), false),
    ]
}

#[test]
fn whatever_runs_there_is_understood_or_named() {
    let (cluster, sshd) = (Cluster::recorded(), Sshd::start("ed25519", "256"));
    for (name, command, tells) in ways(&sshd) {
        sshd.authorize(&format!("command=\"{command}\",restrict "));
        let exporter = serve(&cluster, &sshd, &sshd.line());
        let started = Instant::now();
        let headers = [("X-Prometheus-Scrape-Timeout-Seconds", if name == "hang" { "3" } else { "30" })];
        let page = Page::parse(&request(exporter.address, "GET", "/metrics", &headers).text());
        assert!(page.samples.contains_key("pve_guest_info"), "{name}: the rest of the page is whole");
        let success = page.value("pve_scrape_collector_success", &[("host", "nas")]);
        let whole = tells && name != "half";
        assert_eq!(success, Some(f64::from(u8::from(whole))), "{name}: {}", exporter.log());
        assert_eq!(page.value("node_load1", &[("host", "nas")]).is_some(), tells, "{name}: {}", exporter.log());
        let of_section =
            |section| page.value("node_scrape_collector_success", &[("collector", section), ("host", "nas")]);
        if whole {
            assert_eq!(of_section("cpu"), Some(1.0), "{name}");
            assert_eq!(page.samples.contains_key("node_filesystem_size_bytes"), name != "no df", "{name}");
        } else {
            assert!(started.elapsed() < Duration::from_secs(25), "{name}");
            exporter.wait_for_log("the host did not tell what it was asked");
        }
    }
}

#[test]
fn promtool_has_nothing_to_say_of_hosts() {
    let (cluster, sshd) = (Cluster::recorded(), Sshd::start("ed25519", "256"));
    let exporter = serve(&cluster, &sshd, &sshd.line());
    for path in ["/metrics", "/host?target=nas"] {
        assert_eq!(promtool(&exporter.page(path)), "", "{path}");
    }
}
