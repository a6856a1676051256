//! A scrape never fails whole, and each failure is named for what can be done about it.

use pve_sentinel::sim::{Certificate, Fault};

use crate::support::{Cluster, Exporter, Page, SECRET, TOKEN_ID, recorded};

fn status(code: u16, reason: &str, body: &str) -> Fault {
    Fault::Status { code, reason: reason.to_owned(), body: body.to_owned() }
}

fn successes(page: &Page) -> Vec<(&str, f64)> {
    page.samples["pve_scrape_collector_success"]
        .iter()
        .map(|(labels, value)| (labels["collector"].as_str(), *value))
        .collect()
}

#[test]
fn a_cluster_that_cannot_be_reached_costs_only_its_own_part() {
    let mut dead = Cluster::recorded();
    dead.stop(0);
    let alive = Cluster::recorded();
    let exporter = Exporter::serve(&format!("{}\n{}", dead.config("dead"), alive.config("alive")));
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.value("pve_up", &[("cluster", "alive"), ("id", "node/pve-lab")]), Some(1.0));
    for collector in ["guest", "node", "storage", "cluster", "ha", "lock", "pool"] {
        let success =
            |cluster| page.value("pve_scrape_collector_success", &[("cluster", cluster), ("collector", collector)]);
        assert_eq!((success("dead"), success("alive")), (Some(0.0), Some(1.0)), "{collector}");
    }
    assert!(page.value("process_start_time_seconds", &[]).is_some());
    assert!(
        page.samples["pve_up"].keys().all(|labels| labels["cluster"] == "alive"),
        "nothing is known of the dead one"
    );
}

#[test]
fn a_failing_call_hides_nothing_of_the_others() {
    let cluster = Cluster::recorded();
    cluster.sims[0].set_fault("/cluster/status", status(403, "Permission check failed (/, Sys.Audit)", ""));
    let exporter = Exporter::serve(&cluster.config("home"));
    let page = Page::parse(&exporter.page("/metrics"));
    for (collector, success) in successes(&page) {
        assert_eq!(success, f64::from(u8::from(collector != "cluster")), "{collector}");
    }
    assert!(page.samples.contains_key("pve_version_info"), "what the collector could have is there");
    assert!(page.samples.contains_key("pve_guest_info"));
    exporter.wait_for_log("403 Permission check failed (/, Sys.Audit)");
    exporter.wait_for_log("PVEAuditor");
}

#[test]
fn a_kept_connection_that_died_is_asked_once_more() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    cluster.sims[0].set_fault("", Fault::CloseKeepAlive);
    for round in 0..4 {
        let page = Page::parse(&exporter.page("/metrics"));
        assert!(successes(&page).iter().all(|(_, value)| *value == 1.0), "round {round}:\n{}", exporter.log());
    }
}

#[test]
fn another_endpoint_answers_for_a_dead_one() {
    let mut cluster = Cluster::start(2, recorded("pve-9.2-cluster", "GET_"), Certificate::Good);
    let exporter = Exporter::serve(&cluster.config("home"));
    let whole = |exporter: &Exporter| {
        let page = Page::parse(&exporter.page("/metrics"));
        assert!(successes(&page).iter().all(|(_, value)| *value == 1.0), "{}", exporter.log());
    };
    whole(&exporter);
    assert!(cluster.sims[1].requests().is_empty(), "the first endpoint is asked first");
    cluster.stop(0);
    whole(&exporter);
    assert!(!cluster.sims[1].requests().is_empty());
}

#[test]
fn a_wrong_secret_is_told_with_what_to_check_and_without_the_secret() {
    let cluster = Cluster::recorded();
    let wrong = "00000000-dead-beef-0000-000000000000";
    let pin = format!("{{ fingerprints = [\"{}\"] }}", cluster.sims[0].fingerprint());
    let exporter = Exporter::serve_with(&cluster.config_with("home", &pin, wrong), &["--log.level", "debug"]);
    let page = Page::parse(&exporter.page("/metrics"));
    assert!(successes(&page).iter().all(|(_, value)| *value == 0.0));
    let line = exporter.wait_for_log("401 Authentication failed!");
    assert!(line.contains("token_id") && line.contains("expired"), "{line}");
    assert!(!exporter.log().contains(wrong) && !exporter.page("/metrics").contains(wrong));
    assert!(!exporter.log().contains(&format!("{TOKEN_ID}=")), "the header is not logged");
}

#[test]
fn a_token_without_rights_is_recognised() {
    let cluster = Cluster::start(1, recorded("pve-9.2-cluster", "NOACL_GET_"), Certificate::Good);
    let exporter = Exporter::serve(&cluster.config("home"));
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.value("pve_up", &[("id", "node/pve-lab")]), Some(1.0));
    assert!(!page.samples.contains_key("pve_memory_usage_bytes"), "what is not told is no zero");
    let line = exporter.wait_for_log("probably has no rights");
    assert!(line.contains("PVEAuditor"), "{line}");
}

#[test]
fn each_change_of_health_is_logged_once() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    let count = |words: &str| exporter.log().lines().filter(|line| line.contains(words)).count();
    let scrape = |times| (0..times).for_each(|_| drop(exporter.page("/metrics")));
    scrape(3);
    assert_eq!(count("first successful scrape"), 1);
    cluster.sims[0].set_fault("", status(500, "out of order", ""));
    scrape(3);
    assert_eq!(count("collectors failed"), 2, "one line for each of the two calls:\n{}", exporter.log());
    cluster.sims[0].clear_faults();
    scrape(3);
    assert_eq!(count("collectors succeed again"), 1);
    assert_eq!(count("level=warn") + count("level=error"), 2, "{}", exporter.log());
}

#[test]
fn a_secret_that_comes_back_is_not_repeated() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve_with(&cluster.config("home"), &["--log.level", "debug"]);
    let echo = format!("authorization: PVEAPIToken={TOKEN_ID}={SECRET}");
    for fault in [
        status(500, &echo, ""),
        status(401, "Authentication failed!", &format!("{{\"message\":\"{echo}\"}}")),
        Fault::Body(format!("<html>{echo}</html>").into()),
        Fault::Body(format!("{{\"{echo}\":[}}").into()),
        Fault::Body(format!("{{\"data\":{{\"{echo}\":1}}}}").into()),
        // The quote ends in the middle of the secret.
        Fault::Body(format!("{{\"{}{SECRET}", "x".repeat(20)).into()),
    ] {
        cluster.sims[0].set_fault("", fault);
        exporter.page("/metrics");
        exporter.page("/metrics?collect[]=process");
    }
    let log = exporter.log();
    assert!(log.contains("[secret]"), "{log}");
    assert!(!log.contains(&SECRET[..12]), "{log}");
}

#[test]
fn a_caller_in_a_hurry_says_nothing_of_a_clusters_health() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    exporter.page("/metrics");
    cluster.sims[0].set_fault("", Fault::Hang);
    for _ in 0..3 {
        let hurry = [("X-Prometheus-Scrape-Timeout-Seconds", "0.01")];
        let page = Page::parse(&crate::support::request(exporter.address, "GET", "/metrics", &hurry).text());
        assert!(successes(&page).iter().any(|(_, success)| *success == 0.0), "the page itself says it");
    }
    cluster.sims[0].clear_faults();
    let page = Page::parse(&exporter.page("/metrics"));
    assert!(!page.samples.contains_key("pve_scrape_collector_errors_total"));
    assert!(!exporter.log().contains("collectors failed"), "{}", exporter.log());
}

#[test]
fn odd_entries_cost_only_themselves() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    let entries = [
        r#"{"type":"node","node":"a","status":"online","mem":1,"uptime":-5,"cpu":"NaN"}"#,
        r#"{"type":"node","node":"a/b","status":"online"}"#,
        r#"{"type":"storage","node":"a","storage":"b/c","status":"available"}"#,
        r#"{"type":"storage","node":"a/b","storage":"c","status":"available"}"#,
        r#"{"type":"qemu","node":"a","vmid":0,"status":"running"}"#,
        r#"{"type":"qemu","node":"a","vmid":7,"status":"running","name":"a\"b\\c\nd\u202e","tags":["x"],"mem":{"a":[]}}"#,
        r#"{"type":"qemu","node":"a","vmid":7,"status":"stopped","name":"twin"}"#,
        r#"{"type":"brand-new"},null,7,"x",[[]]"#,
    ];
    let mut body = format!("{{\"data\":[{}]}}", entries.join(",")).into_bytes();
    let twin = body.windows(4).position(|bytes| bytes == b"twin").unwrap();
    body[twin] = 0xff;
    cluster.sims[0].set_fault("/cluster/resources", Fault::Body(body.into()));
    let page = Page::parse(&exporter.page("/metrics"));
    assert!(successes(&page).iter().all(|(_, success)| *success == 1.0), "{}", exporter.log());
    let ids: Vec<&str> = page.samples["pve_up"].keys().map(|labels| labels["id"].as_str()).collect();
    assert_eq!(ids, ["cluster/labcluster", "node/a", "qemu/7"]);
    let name = page.samples["pve_guest_info"].keys().next().map(|labels| labels["name"].clone());
    assert_eq!(name.as_deref(), Some("a\"b\\c\nd\u{202e}"));
    assert_eq!(page.samples["pve_memory_usage_bytes"].len(), 1);
}

/// A body of millions of tiny entries would take a hundred times its size if each became something.
#[test]
fn an_answer_of_too_many_entries_is_refused() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    exporter.page("/metrics");
    let memory = || {
        let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
        page.value("process_resident_memory_bytes", &[]).unwrap()
    };
    let before = memory();
    let body = format!("{{\"data\":[{}{{\"type\":\"node\"}}]}}", "{},".repeat(5_000_000));
    let size = body.len() as f64;
    cluster.sims[0].set_fault("/cluster/resources", Fault::Body(body.into()));
    exporter.page("/metrics");
    exporter.wait_for_log("more than 100000 entries");
    let grown = memory() - before;
    assert!(grown < 6.0 * size, "{grown} bytes more for an answer of {size}");
}
