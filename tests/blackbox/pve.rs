//! `/pve` says what prometheus-pve-exporter says, and sends nothing to whom the configuration does not name.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use flate2::read::GzDecoder;
use pve_sentinel::sim::{Fault, Recorded, Source};

use crate::support::{Cluster, Exporter, Page, SECRET, Series, recorded_body, repository, request};

/// Families of the reference's page that ours does not have, and why.
const ABSENT: &[(&str, &str)] = &[(
    "pve_subscription_next_due_timestamp_seconds",
    "no recorded node has a subscription: the reference prints HELP and TYPE without a series",
)];

type Families = BTreeMap<String, BTreeMap<Series, f64>>;

fn reference() -> Page {
    let golden = repository().join("tests/fixtures/reference/prometheus-pve-exporter-3.10.2.pve-9.2-cluster.prom");
    Page::parse(&std::fs::read_to_string(golden).unwrap())
}

/// What `node=1` adds.
fn of_the_node(family: &str) -> bool {
    ["pve_subscription_", "pve_onboot_", "pve_replication_"].iter().any(|prefix| family.starts_with(prefix))
}

/// The series of the reference's page that `cluster=` and `node=` leave.
fn expected(cluster: bool, node: bool) -> Families {
    let wanted = |family: &str| if of_the_node(family) { node } else { cluster };
    reference().samples.into_iter().filter(|(family, _)| wanted(family)).collect()
}

/// What stands beside the reference's families.
fn is_beside(family: &str) -> bool {
    family.starts_with("pve_scrape_collector_")
}

fn told(page: &str) -> Families {
    Page::parse(page).samples.into_iter().filter(|(family, _)| !is_beside(family)).collect()
}

fn successes(page: &str) -> BTreeMap<String, f64> {
    let page = Page::parse(page);
    let series = page.samples.get("pve_scrape_collector_success").cloned().unwrap_or_default();
    series
        .into_iter()
        .map(|(labels, value)| {
            assert_eq!(labels.len(), 1, "the collector and nothing else");
            (labels["collector"].clone(), value)
        })
        .collect()
}

fn paths(cluster: &Cluster, sim: usize) -> Vec<String> {
    let seen = cluster.sims[sim].requests();
    seen.iter().map(|seen| seen.target.trim_start_matches("/api2/json").to_owned()).collect()
}

fn status(code: u16, reason: &str) -> Fault {
    Fault::Status { code, reason: reason.to_owned(), body: String::new() }
}

fn with_module(cluster: &Cluster) -> String {
    format!("{}modules = [\"default\", \"old lab\"]\n", cluster.config("home"))
}

/// The recorded cluster, with an answer for the configuration of every guest on its first node.
pub fn whole() -> Cluster {
    let cluster = Cluster::recorded();
    let config = |guest: &str| format!("/nodes/pve-lab/{guest}/config");
    for guest in ["qemu/101", "qemu/102", "qemu/103", "qemu/300", "lxc/201"] {
        let body = r#"{"data":{"digest":"9f9a"}}"#;
        cluster.sims[0].set_fault(&config(guest), Fault::Body(body.into()));
    }
    cluster
}

#[test]
fn the_recorded_cluster_is_the_references_at_the_first_scrape() {
    let cluster = whole();
    let exporter = Exporter::serve_all(&with_module(&cluster));
    let page = exporter.page("/pve?target=home&module=default&cluster=1&node=1");
    let (reference, ours) = (reference(), Page::parse(&page));
    for (family, kind) in &reference.types {
        if ABSENT.iter().any(|(name, _)| name == family) {
            assert!(!reference.samples.contains_key(family) && !ours.types.contains_key(family), "{family}");
        } else {
            assert_eq!(ours.types.get(family), Some(kind), "{family}");
        }
    }
    assert_eq!(told(&page), reference.samples);
    assert!(ours.samples.values().flat_map(BTreeMap::keys).all(|labels| !labels.contains_key("cluster")));
    let successes = successes(&page);
    assert_eq!(successes.len(), 12, "{successes:?}");
    assert!(successes.values().all(|success| *success == 1.0), "{successes:?}");
}

#[test]
fn each_parameter_chooses_as_the_references_does() {
    let cluster = whole();
    let exporter = Exporter::serve_all(&with_module(&cluster));
    let address = cluster.sims[0].addr();
    let port = address.port();
    for (query, cluster_wanted, node_wanted) in [
        (String::new(), true, true),
        ("cluster=0".to_owned(), false, true),
        ("cluster=False&node=1".to_owned(), false, true),
        ("node=".to_owned(), true, false),
        ("node=0&node=1&module=home".to_owned(), true, false),
        (format!("target={address}&cluster=true&node=yes"), true, true),
        (format!("target={address}&module=old+lab&cluster=0"), false, true),
        (format!("target=127.0.0.1&node=0&target=x&port={port}"), true, false),
        ("target=home&module=default&cluster=0&node=0".to_owned(), false, false),
    ] {
        let page = exporter.get(&format!("/pve?{query}"));
        assert_eq!(page.status, 200, "{query}: {}", page.text());
        if cluster_wanted || node_wanted {
            assert_eq!(told(&page.text()), expected(cluster_wanted, node_wanted), "{query}");
        } else {
            assert_eq!(page.text(), "", "{query}: nothing is wanted, as the reference has it");
        }
    }
}

#[test]
fn pages_are_classic_text_compressed_if_wanted_and_counted() {
    let cluster = whole();
    let exporter = Exporter::serve_all(&cluster.config("home"));
    let accept = ("Accept", "application/openmetrics-text;version=1.0.0");
    let plain = request(exporter.address, "GET", "/pve?node=0", &[accept]);
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(plain.header("vary"), "Accept-Encoding");
    let packed = request(exporter.address, "GET", "/pve?node=0", &[accept, ("Accept-Encoding", "gzip")]);
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    GzDecoder::new(packed.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(told(&text), told(&plain.text()));
    let head = request(exporter.address, "HEAD", "/pve?node=0", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(request(exporter.address, "POST", "/pve?node=0", &[]).status, 405);
    let own = Page::parse(&exporter.page("/metrics?collect[]=process"));
    let count = |code| own.value("pve_sentinel_http_requests_total", &[("path", "/pve"), ("code", code)]);
    assert_eq!((count("200"), count("405")), (Some(3.0), Some(1.0)));
}

/// Spellings of addresses that are not in the configuration, some of which look as if they were.
fn outside_targets(port: u16, port_6: u16, inside: SocketAddr) -> Vec<String> {
    let mut targets = vec![
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("127.1:{port}"),
        format!("2130706433:{port}"),
        format!("0x7f000001:{port}"),
        format!("0177.0.0.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::1]:{port_6}"),
        "::1".to_owned(),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("https://{inside}"),
        format!("{inside}@127.0.0.1:{port}"),
        format!("user:password@{inside}"),
        format!("{inside}%23@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}%23{inside}"),
        format!("127.0.0.1:{port}/{inside}"),
        format!("{inside}/../x"),
        format!("{inside}%3Fx=1"),
        format!("{inside}%20"),
        format!("{inside}%00"),
        format!("{inside}%0d%0aHost:%20x"),
        format!("127.0.0.1%252e1:{port}"),
        format!("{inside}0"),
        "127.0.0.1:".to_owned(),
        "home.".to_owned(),
        "HOME".to_owned(),
        "%68ome%20".to_owned(),
        String::new(),
    ];
    targets.push("x".repeat(20_000));
    targets
}

#[test]
fn no_target_from_outside_the_configuration_is_asked() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve_all(&with_module(&cluster));
    // Where an attacker waits for the token; IPv6 may be switched off.
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let outside_6 = TcpListener::bind("[::1]:0").ok();
    for listener in [Some(&outside), outside_6.as_ref()].into_iter().flatten() {
        listener.set_nonblocking(true).unwrap();
    }
    let (port, inside) = (outside.local_addr().unwrap().port(), cluster.sims[0].addr());
    let port_6 = outside_6.as_ref().map_or(port, |listener| listener.local_addr().unwrap().port());
    let targets = outside_targets(port, port_6, inside);
    assert!(targets.len() >= 20);
    for target in &targets {
        let reply = exporter.get(&format!("/pve?target={target}"));
        assert_eq!(reply.status, 400, "{target}: {}", reply.text());
        let text = reply.text();
        assert!(text.contains("known: home, ") && text.len() < 600 && text.lines().count() == 1, "{target}: {text}");
        assert!(!text.contains(SECRET));
    }
    for (query, words) in [
        ("target=home&module=new", "\"new\", which is not configured; known: default, home, old lab"),
        ("target=home&module=", "the parameter module names \"\""),
        ("target=%zz", "percent-encoded"),
    ] {
        let reply = exporter.get(&format!("/pve?{query}"));
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains(words), "{query}: {}", reply.text());
    }
    for listener in [Some(&outside), outside_6.as_ref()].into_iter().flatten() {
        assert!(listener.accept().is_err(), "somebody came");
    }
    let connections = cluster.sims[0].connections();
    assert_eq!(cluster.sims[0].requests().len(), 0, "{connections:?}");
    // The test would see it: the configured target is asked.
    assert_eq!(exporter.get(&format!("/pve?target={inside}&node=0")).status, 200);
    assert!(!cluster.sims[0].requests().is_empty());
}

#[test]
fn several_clusters_are_told_apart() {
    let (home, lab) = (whole(), whole());
    let exporter = Exporter::serve_all(&format!("{}\n{}", with_module(&home), lab.config("lab")));
    let reply = exporter.get("/pve");
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("there are 2 clusters; it can be: home, 127.0.0.1:"), "{}", reply.text());
    assert_eq!(exporter.get("/pve?target=lab&module=default&node=0").status, 200);
    assert_eq!((home.sims[0].requests().len(), lab.sims[0].requests().len() > 2), (0, true));
    let reply = exporter.get("/pve?target=lab&module=old+lab");
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("the cluster lab, which does not answer to this module"), "{}", reply.text());
}

#[test]
fn both_pages_share_their_calls() {
    let cluster = whole();
    let config = format!("[scrape]\nmax_age = \"1h\"\n{}", cluster.config("home"));
    let exporter = Exporter::serve_all(&config);
    for path in ["/metrics", "/pve", "/pve?node=0", "/pve?cluster=0", "/metrics?collect[]=guest", "/pve?target=home"] {
        exporter.page(path);
    }
    assert_eq!(told(&exporter.page("/pve")), reference().samples);
    let mut asked = paths(&cluster, 0);
    assert!(asked.len() > 10, "{asked:?}");
    // The slow lane asks for the name of the cluster where HA or a quorum device needs it.
    asked.retain(|path| path != "/cluster/status");
    asked.sort();
    assert!(asked.windows(2).all(|pair| pair[0] != pair[1]), "something is asked twice: {asked:?}");
}

#[test]
fn later_scrapes_ask_what_the_fast_lane_asks() {
    let cluster = whole();
    let exporter = Exporter::serve_all(&cluster.config("home"));
    let first = exporter.page("/pve");
    let before = paths(&cluster, 0);
    let count = |path: &str| before.iter().filter(|seen| *seen == path).count();
    assert_eq!((count("/cluster/resources"), count("/cluster/status"), count("/version")), (1, 1, 1), "{before:?}");
    assert_eq!(before.iter().filter(|path| path.ends_with("/config")).count(), 9, "{before:?}");
    assert!(before.iter().all(|path| !path.contains("pve-lab2")), "only the node that the target is: {before:?}");
    assert_eq!(told(&exporter.page("/pve")), told(&first));
    let mut second = paths(&cluster, 0)[before.len()..].to_vec();
    second.sort();
    assert_eq!(second, ["/cluster/resources", "/cluster/status"]);
    exporter.page("/pve?cluster=0");
    assert_eq!(paths(&cluster, 0)[before.len() + 2..], ["/cluster/resources"]);
}

#[test]
fn a_call_that_fails_costs_its_own_series() {
    let cluster = whole();
    cluster.sims[0].set_fault("/cluster/backup-info", status(403, "Permission check failed (/, Sys.Audit)"));
    cluster.sims[0].set_fault("/nodes/pve-lab/subscription", Fault::Hang);
    let exporter =
        Exporter::serve_all(&format!("[scrape]\ntimeout = \"2s\"\nmax_age = \"0s\"\n{}", cluster.config("home")));
    let page = exporter.page("/pve");
    let mut expected = reference().samples;
    expected.retain(|family, _| !family.starts_with("pve_not_backed_up") && !family.starts_with("pve_subscription"));
    assert_eq!(told(&page), expected);
    let failed: Vec<String> =
        successes(&page).into_iter().filter(|(_, success)| *success == 0.0).map(|(name, _)| name).collect();
    assert_eq!(failed, ["backup_coverage", "subscription"]);
    // Nobody waits twice for what hangs.
    let started = std::time::Instant::now();
    let page = exporter.page("/pve");
    assert!(started.elapsed().as_secs_f64() < 1.4, "{:?}", started.elapsed());
    assert_eq!(successes(&page).get("subscription"), Some(&0.0));
    cluster.sims[0].set_fault("/cluster/status", status(403, "Permission check failed (/, Sys.Audit)"));
    let page = exporter.page("/pve");
    assert_eq!(successes(&page).get("cluster"), Some(&0.0));
    let page = Page::parse(&page);
    assert!(page.samples.contains_key("pve_guest_info") && !page.samples.contains_key("pve_node_info"));
}

#[test]
fn whoever_waits_for_the_slow_lane_keeps_no_round_open() {
    let cluster = whole();
    cluster.sims[0].set_fault("/nodes/pve-lab/subscription", Fault::Slow(Duration::from_secs(2)));
    let exporter = Exporter::serve_all(&cluster.config("home"));
    let asked = |path: &str| paths(&cluster, 0).iter().filter(|seen| *seen == path).count();
    // What the node is, so that only one call is left to the round.
    exporter.page("/metrics?collect[]=cluster");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| exporter.page("/pve?cluster=0"));
        while asked("/nodes/pve-lab/subscription") == 0 {
            std::thread::yield_now();
        }
        exporter.page("/metrics?collect[]=node");
        assert_eq!(asked("/cluster/resources"), 2, "another scrape gets an answer of its own");
        assert!(told(&waiting.join().unwrap()).contains_key("pve_subscription_info"));
    });
}

#[test]
fn without_one_answer_the_scrape_fails_with_the_reasons() {
    let mut cluster = whole();
    let exporter = Exporter::serve_all(&cluster.config("home"));
    exporter.page("/pve");
    cluster.sims[0].set_fault("/cluster/status", status(500, "no such luck"));
    cluster.sims[0].set_fault("/cluster/resources", status(401, "Authentication failed!"));
    for query in ["", "cluster=0", "node=0"] {
        let reply = exporter.get(&format!("/pve?{query}"));
        assert_eq!(reply.status, 503, "{query}: what was kept from before is no answer");
        let text = reply.text();
        assert!(text.starts_with("not one call to Proxmox VE succeeded:\n"), "{text}");
        assert!(text.contains("/cluster/resources: 401 Authentication failed!"), "{query}: {text}");
        assert_eq!(text.contains("no such luck"), query != "cluster=0", "{text}");
        assert!(!text.contains(SECRET) && reply.header("content-type").starts_with("text/plain"));
    }
    assert_eq!(exporter.get("/metrics").status, 200);
    cluster.sims[0].clear_faults();
    assert_eq!(exporter.get("/pve").status, 200);
    cluster.stop(0);
    let reply = exporter.get("/pve");
    assert_eq!(reply.status, 503);
    assert_eq!(reply.text().lines().count(), 2, "each reason once: {}", reply.text());
    let own = Page::parse(&exporter.page("/metrics?collect[]=process"));
    let failed = own.value("pve_sentinel_http_requests_total", &[("path", "/pve"), ("code", "503")]);
    assert_eq!(failed, Some(4.0));
}

#[test]
fn the_two_pages_do_not_take_turns_in_the_log() {
    let mut cluster = whole();
    let exporter = Exporter::serve_all(&cluster.config("home"));
    let all = |exporter: &Exporter| {
        for path in ["/metrics", "/pve", "/pve?cluster=0", "/pve?node=0"] {
            exporter.get(path);
        }
    };
    all(&exporter);
    exporter.settled_page("/metrics", &["subscription", "guest_config"]);
    all(&exporter);
    cluster.stop(0);
    for _ in 0..3 {
        all(&exporter);
    }
    let line = exporter.wait_for_log("collectors=/pve");
    assert!(line.contains("no connection"), "{line}");
    let log = exporter.log();
    let said = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!((said("no connection"), said("succeed again")), (2, 0), "{log}");
    // The recordings have nothing of the second node, of which the drop-in page of the first knows nothing.
    assert_eq!((said("collectors=subscription"), said("collectors=guest_config")), (1, 1), "{log}");
}

#[test]
fn switched_off_collectors_are_left_out() {
    let cluster = whole();
    let config =
        format!("{}\n[collectors]\nlock = false\nsubscription = false\npool = false\n", cluster.config("home"));
    let exporter = Exporter::serve(&config);
    let page = exporter.page("/pve");
    let mut expected = reference().samples;
    expected.retain(|family, _| family != "pve_lock_state" && !family.starts_with("pve_subscription"));
    for series in expected.values_mut() {
        series.retain(|labels, _| labels.get("id").is_none_or(|id| !id.starts_with("/pool/")));
    }
    assert_eq!(told(&page), expected);
    assert!(!successes(&page).contains_key("lock"));
}

/// What PVE says of a node that is lost, and of what it held, is told as it is.
#[test]
fn a_lost_node_is_told_in_pves_words() {
    let cluster = whole();
    let exporter = Exporter::serve_all(&cluster.config("home"));
    exporter.page("/metrics");
    let lost = |stage: &str| {
        for call in ["resources", "status"] {
            let body = recorded_body("pve-9.2-node-lost", &format!("{stage}_GET_cluster__{call}.json"));
            cluster.sims[0].set_fault(&format!("/cluster/{call}"), body);
        }
        exporter.page("/pve?node=0")
    };
    let ghost = Page::parse(&lost("noquorum_early"));
    let value = |page: &Page, family: &str, id: &str| page.value(family, &[("id", id)]);
    assert_eq!(value(&ghost, "pve_up", "node/pve-lab2"), Some(0.0));
    assert_eq!(value(&ghost, "pve_up", "cluster/labcluster"), Some(0.0));
    assert_eq!(value(&ghost, "pve_up", "lxc/301"), Some(1.0), "for five minutes PVE repeats what was");
    assert_eq!(value(&ghost, "pve_memory_usage_bytes", "lxc/301"), Some(2_015_232.0));
    assert_eq!(value(&ghost, "pve_network_receive_bytes", "lxc/301"), Some(340.0));
    assert_eq!(value(&ghost, "pve_memory_size_bytes", "node/pve-lab2"), Some(25_276_502_016.0));
    assert_eq!(value(&ghost, "pve_memory_usage_bytes", "node/pve-lab2"), None);
    assert_eq!(value(&ghost, "pve_up", "storage/pve-lab2/local"), Some(1.0));
    assert_eq!(value(&ghost, "pve_disk_usage_bytes", "storage/pve-lab2/local"), Some(23_189_229_568.0));
    let gone = Page::parse(&lost("node2down_6min"));
    assert_eq!(value(&gone, "pve_up", "lxc/301"), Some(0.0), "unknown is not running");
    assert_eq!(value(&gone, "pve_memory_usage_bytes", "lxc/301"), None);
    assert_eq!(value(&gone, "pve_up", "storage/pve-lab2/local"), Some(0.0));
    let info = gone.samples["pve_guest_info"].keys().find(|labels| labels["id"] == "lxc/301").unwrap();
    let label = |name: &str| info[name].as_str();
    assert_eq!((label("name"), label("tags"), label("template"), label("node")), ("", "", "", "pve-lab2"));
    let state = [("id", "node/pve-lab2"), ("state", "unknown")];
    assert_eq!(gone.value("pve_ha_state", &state), Some(1.0));
    // The other page goes on hiding it.
    let metrics = Page::parse(&exporter.page("/metrics?cluster=home"));
    assert_eq!(value(&metrics, "pve_up", "lxc/301"), None);
    assert!(metrics.samples["pve_guest_info"].keys().any(|labels| labels["name"] == "ct-n2"));
}

/// The recorded cluster behind two endpoints, each of which says that it is another node.
fn two_nodes() -> Cluster {
    let cluster = Cluster::start(2, whole_recording(), pve_sentinel::sim::Certificate::Good);
    let path = "/api2/json/cluster/status";
    let Source::Recorded(Recorded(replies)) = whole_recording() else { unreachable!() };
    let status = String::from_utf8(replies[path].body.to_vec()).unwrap();
    let (first, second) = ("\"local\":1", "\"local\":0");
    let other = status.replace(first, "\"local\":x").replace(second, first).replace("\"local\":x", second);
    assert_ne!(other, status);
    cluster.sims[1].set_fault("/cluster/status", Fault::Body(other.into()));
    cluster
}

fn whole_recording() -> Source {
    crate::support::recorded("pve-9.2-cluster", "GET_")
}

#[test]
fn the_node_is_the_one_that_the_target_is() {
    let mut cluster = two_nodes();
    let exporter = Exporter::serve_all(&cluster.config("home"));
    let (first, second) = (cluster.sims[0].addr(), cluster.sims[1].addr());
    let reply = exporter.get("/pve?target=127.0.0.1");
    assert_eq!((reply.status, reply.text().contains(&format!("it can be: {first}, {second}"))), (400, true));
    let ids = |target: &str| {
        let page = exporter.page(&format!("/pve?target={target}&cluster=0"));
        let told = told(&page);
        let ids = told.get("pve_replication_info").into_iter().chain(told.get("pve_subscription_info"));
        ids.flat_map(BTreeMap::keys).map(|labels| labels["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids("home"), ["100-0", "node/pve-lab"]);
    assert_eq!(ids(&first.to_string()), ["100-0", "node/pve-lab"]);
    // The recordings have no subscription of the second node.
    assert_eq!(ids(&second.to_string()), Vec::<String>::new());
    let asked = |sim: usize, path: &str| paths(&cluster, sim).iter().filter(|seen| *seen == path).count();
    assert_eq!(asked(1, "/cluster/status"), 1, "asked once who it is");
    assert_eq!(asked(0, "/nodes/pve-lab2/subscription") + asked(1, "/nodes/pve-lab2/subscription"), 1);
    let page = exporter.page(&format!("/pve?target={second}&cluster=0"));
    assert_eq!(successes(&page).get("subscription"), Some(&0.0));
    assert_eq!(asked(1, "/cluster/status"), 1);
    // Known by now, so that its node is still the one that is meant.
    cluster.stop(1);
    let page = exporter.page(&format!("/pve?target={second}&cluster=0"));
    assert!(!page.contains("pve-lab\""), "{page}");
}

#[test]
fn no_other_endpoint_stands_in_for_a_node_that_cannot_say_which_it_is() {
    let mut cluster = two_nodes();
    let exporter = Exporter::serve_all(&cluster.config("home"));
    let second = cluster.sims[1].addr();
    cluster.stop(1);
    let page = exporter.page(&format!("/pve?target={second}"));
    let mut expected = expected(true, false);
    expected.retain(|family, _| !is_beside(family));
    assert_eq!(told(&page), expected, "the cluster is told by the other endpoint");
    let successes = successes(&page);
    for (name, success) in successes {
        let of_the_node = ["guest_config", "replication", "subscription"].contains(&name.as_str());
        assert_eq!(success, f64::from(u8::from(!of_the_node)), "{name}");
    }
    let reply = exporter.get(&format!("/pve?target={second}&cluster=0"));
    assert_eq!(reply.status, 200, "{}", reply.text());
}
