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
    for collector in pve_sentinel::collectors::names() {
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
fn every_kind_of_failure_has_its_reason() {
    let cluster = Cluster::recorded();
    let sim = &cluster.sims[0];
    let config = format!("[scrape]\nmax_age = \"0s\"\nmax_body = \"1MiB\"\n{}", cluster.config("home"));
    let exporter = Exporter::serve(&config);
    let faults = [
        ("unauthorized", status(401, "Authentication failed!", "")),
        (
            "forbidden",
            status(
                403,
                "Permission check failed",
                r#"{"data":null,"message":"Permission check failed (/, Sys.Audit)\n"}"#,
            ),
        ),
        ("status", status(500, "got no worker upid - start worker failed", "")),
        ("status", status(501, "Method 'GET /cluster/resources' not implemented", "")),
        ("status", status(595, "No route to host", "")),
        ("status", status(301, "Moved Permanently", "")),
        ("malformed", Fault::Body("<html>a proxy</html>".into())),
        ("malformed", Fault::Body("".into())),
        ("malformed", Fault::Body("null".into())),
        ("malformed", Fault::Body(r#"{"data":null}"#.into())),
        ("malformed", Fault::Body(r#"{"data":{}}"#.into())),
        ("malformed", Fault::Body(r#"{"data":[]}"#.into())),
        ("malformed", Fault::Body(r#"{"data":[{"kind":"node"},7]}"#.into())),
        ("malformed", Fault::Body(vec![b'['; 100_000].into())),
        ("malformed", Fault::Body(b"{\"data\":[\"\xff\"]}".to_vec().into())),
        ("malformed", Fault::Truncate),
        ("too_large", Fault::BigBody { bytes: 3 << 20 }),
        ("unreachable", Fault::Reset),
    ];
    for (reason, fault) in faults {
        sim.clear_faults();
        let labels = [("collector", "guest"), ("reason", reason)];
        let count = |page: &Page| page.value("pve_scrape_collector_errors_total", &labels).unwrap_or(0.0);
        let before = count(&Page::parse(&exporter.page("/metrics?collect[]=process")));
        sim.set_fault("/cluster/resources", fault.clone());
        let page = Page::parse(&exporter.page("/metrics"));
        let success = |name| page.value("pve_scrape_collector_success", &[("collector", name)]);
        assert_eq!((success("guest"), success("cluster")), (Some(0.0), Some(1.0)), "{fault:?}");
        assert!(!page.samples.contains_key("pve_guest_info"), "{fault:?}: nothing old is passed off as new");
        let after = count(&Page::parse(&exporter.page("/metrics?collect[]=process")));
        assert_eq!(after, before + 1.0, "{reason}: {fault:?}\n{}", exporter.log());
        sim.clear_faults();
        let page = Page::parse(&exporter.page("/metrics"));
        assert!(successes(&page).iter().all(|(_, value)| *value == 1.0), "whole again after {fault:?}");
    }
    assert!(!exporter.log().contains(SECRET));
}

#[test]
fn slow_answers_end_at_the_callers_deadline() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    for fault in [Fault::Hang, Fault::Stall { after_bytes: 100 }, Fault::Drip { bytes_per_second: 16 }] {
        cluster.sims[0].set_fault("/cluster/resources", fault.clone());
        let headers = [("X-Prometheus-Scrape-Timeout-Seconds", "1")];
        let reply = crate::support::request(exporter.address, "GET", "/metrics?cluster=home", &headers);
        let page = Page::parse(&reply.text());
        let label = [("collector", "guest")];
        assert_eq!(page.value("pve_scrape_collector_success", &label), Some(0.0), "{fault:?}");
        // What is asserted is the exporter's own statement, which does not depend on how busy this machine is.
        let waited = page.value("pve_scrape_collector_duration_seconds", &label).unwrap();
        assert!((0.45..30.0).contains(&waited), "{fault:?}: {waited}");
        assert!(page.samples.contains_key("pve_cluster_info"), "{fault:?}: the others are not delayed beyond it");
    }
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
