//! Hosts over SSH on the pages: whose figures they are, what a host that goes wrong costs, and whom we never talk to.

use std::time::{Duration, Instant};

use pve_sentinel::sim::{Fault, SshFault, SshReply};

use crate::support::{Cluster, Exporter, Machine, Page, recorded_host, request};

const LOAD: &str = "node_load1";
const UP: &str = "pve_host_ssh_up";
const SUCCESS: &str = "pve_scrape_collector_success";

/// A recorded cluster of which one node is this machine.
fn config_of_cluster(cluster: &Cluster, machine: &Machine) -> String {
    let addresses = format!("addresses = {{ pve-lab = \"{}\" }}", machine.sim.address());
    format!("{}{}", cluster.config("home"), machine.ssh(&addresses))
}

/// Lets the cluster tell that all its nodes are on this machine.
fn move_nodes_here(cluster: &Cluster, nodes: &[&str]) {
    let entry = |node: &&str| {
        format!(r#"{{"type":"node","name":"{node}","nodeid":1,"online":1,"local":1,"level":"","ip":"127.0.0.1"}}"#)
    };
    let entries: Vec<String> = nodes.iter().map(entry).collect();
    let body = format!(r#"{{"data":[{}]}}"#, entries.join(","));
    cluster.sims[0].set_fault("/cluster/status", Fault::Body(body.into()));
}

#[test]
fn nodes_and_other_machines_are_on_the_page_under_their_names() {
    let (cluster, node, nas) = (Cluster::recorded(), Machine::node(), Machine::node());
    move_nodes_here(&cluster, &["pve-lab"]);
    let exporter = Exporter::serve(&format!("{}{}", config_of_cluster(&cluster, &node), nas.host("nas")));
    let text = exporter.page("/metrics");
    let page = Page::parse(&text);
    let of_node = [("cluster", "home"), ("host", "home-pve-lab")];
    assert_eq!(page.samples[LOAD].len(), 2, "{text}");
    for family in [LOAD, UP, "pve_host_ssh_duration_seconds", "pve_host_clock_offset_seconds"] {
        assert!(page.value(family, &of_node).is_some() && page.value(family, &[("host", "nas")]).is_some(), "{family}");
    }
    assert!(page.samples[LOAD].keys().any(|labels| labels["host"] == "nas" && !labels.contains_key("cluster")));
    assert_eq!(page.value("pve_host_info", &[("host", "nas"), ("name", "The nas")]), Some(1.0));
    for host in ["home-pve-lab", "nas"] {
        let labels = [("host", host), ("collector", "host")];
        assert_eq!(page.value(SUCCESS, &labels), Some(1.0));
        assert!(page.value("pve_scrape_collector_age_seconds", &labels).is_some_and(|age| age < 30.0));
        assert!(page.value("pve_scrape_collector_duration_seconds", &labels).is_some());
        assert_eq!(page.value("node_scrape_collector_success", &[("host", host), ("collector", "cpu")]), Some(1.0));
    }
    assert!(page.samples["pve_guest_info"].len() == 10, "what the API tells is there too");

    // Each parameter narrows.
    let hosts = |path: &str| {
        let page = Page::parse(&exporter.page(path));
        let ids =
            page.samples.get(LOAD).into_iter().flat_map(|series| series.keys().map(|labels| labels["host"].clone()));
        (ids.collect::<Vec<_>>(), page.samples.contains_key("pve_guest_info"))
    };
    assert_eq!(hosts("/metrics?cluster=home"), (vec!["home-pve-lab".to_owned()], true));
    assert_eq!(hosts("/metrics?collect[]=host&cluster=home"), (vec!["home-pve-lab".to_owned()], false));
    assert_eq!(hosts("/metrics?collect[]=host").0.len(), 2);
    assert_eq!(hosts("/metrics?collect[]=guest"), (vec![], true));
    let unknown = exporter.get("/metrics?collect[]=hosts");
    assert!(unknown.status == 400 && unknown.text().contains("host"), "{}", unknown.text());
}

#[test]
fn machines_need_no_cluster() {
    let nas = Machine::node();
    let exporter = Exporter::serve(&nas.host("nas"));
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.value(UP, &[("host", "nas")]), Some(1.0));
    assert_eq!(exporter.get("/host?target=nas").status, 200);
    let refused = exporter.get("/pve");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(exporter.get("/-/ready").status, 200);
    assert_eq!(exporter.get("/sd/clusters").text(), "[]");
}

#[test]
fn a_host_has_a_page_of_its_own_without_labels_of_ours() {
    let (cluster, node, nas) = (Cluster::recorded(), Machine::node(), Machine::node());
    let exporter = Exporter::serve(&format!("{}{}", config_of_cluster(&cluster, &node), nas.host("nas")));
    for target in ["nas", "home-pve-lab"] {
        let reply = request(
            exporter.address,
            "GET",
            &format!("/host?target={target}"),
            &[("Accept", "application/openmetrics-text")],
        );
        assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"), "{reply:?}");
        let page = Page::parse(&reply.text());
        let golden =
            std::fs::read_to_string(crate::support::repository().join("tests/golden/hosts/pve-node.probe.prom"));
        let golden = Page::parse(&golden.unwrap());
        for (name, series) in &golden.samples {
            let found: Vec<_> = page.samples[name].keys().collect();
            assert_eq!(found, series.keys().collect::<Vec<_>>(), "{name}");
        }
        assert_eq!(page.value(UP, &[]), Some(1.0));
        assert_eq!(page.value(SUCCESS, &[("collector", "host")]), Some(1.0));
        let all = page.samples.values().flat_map(|series| series.keys());
        assert!(all.flat_map(|labels| labels.keys()).all(|label| label != "host" && label != "cluster"));
    }
}

#[test]
fn a_target_that_there_is_not_is_refused_with_those_that_there_are() {
    let (cluster, machine) = (Cluster::recorded(), Machine::node());
    move_nodes_here(&cluster, &["pve1", "pve2"]);
    let port = machine.sim.address().port();
    let ssh = machine.ssh(&format!("port = {port}"));
    let exporter = Exporter::serve(&format!("{}{ssh}{}", cluster.config("home"), machine.host("nas")));
    for path in ["/host?target=home-pve3", "/host?target=127.0.0.1", "/host?target=", "/host"] {
        let reply = exporter.get(path);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.text().contains("nas, home-pve1, home-pve2"), "{path}: {}", reply.text());
    }
    assert_eq!(machine.sim.seen().connections, 0);
    // Their addresses are those that the cluster tells.
    assert_eq!(exporter.get("/host?target=home-pve2").status, 200);
    let page = Page::parse(&exporter.page("/metrics?collect[]=host"));
    assert_eq!(page.samples[LOAD].len(), 3);
}

#[test]
fn nodes_of_a_silent_cluster_are_not_said_not_to_be_there() {
    let (cluster, machine) = (Cluster::recorded(), Machine::node());
    let exporter = Exporter::serve(&config_of_cluster(&cluster, &machine));
    cluster.sims[0].set_fault("/", Fault::Status { code: 500, reason: "no".to_owned(), body: String::new() });
    let reply = exporter.get("/host?target=home-pve9");
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("the nodes of home are not known yet: "), "{}", reply.text());
    assert_eq!(exporter.get("/host?target=other").status, 400);
    assert_eq!(exporter.get("/host?target=home-pve-lab").status, 200, "the configuration knows where it is");
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.value(UP, &[("host", "home-pve-lab")]), Some(1.0));
}

#[test]
fn five_scrapes_are_one_login_and_eight_at_once_are_one_command() {
    let (cluster, machine) = (Cluster::recorded(), Machine::node());
    let exporter = Exporter::serve(&format!("{}{}", cluster.config("home"), machine.host("nas")));
    for _ in 0..5 {
        assert_eq!(exporter.get("/host?target=nas").status, 200);
    }
    let seen = machine.sim.seen();
    assert_eq!((seen.connections, seen.let_in, seen.commands, seen.extras), (1, 1, 5, 0));

    let long =
        Exporter::serve(&format!("[scrape]\nmax_age = \"1h\"\n{}{}", cluster.config("home"), machine.host("nas")));
    let commands = machine.sim.seen().commands;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(long.page("/metrics").contains("\nnode_load1{host=\"nas\"}")));
        }
    });
    assert!(long.page("/metrics").contains("\nnode_load1{host=\"nas\"}"));
    assert_eq!(machine.sim.seen().commands - commands, 1);
}

#[test]
fn a_host_that_is_down_costs_nothing_and_one_that_hangs_the_deadline_at_most() {
    let (cluster, machine) = (Cluster::recorded(), Machine::node());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = machine.host("gone").replace(&machine.sim.address().port().to_string(), &closed.to_string());
    let exporter = Exporter::serve(&format!("{}{}{gone}", cluster.config("home"), machine.host("nas")));
    let scrape = |seconds: &str| {
        let started = Instant::now();
        let headers = [("X-Prometheus-Scrape-Timeout-Seconds", seconds)];
        let page = Page::parse(&request(exporter.address, "GET", "/metrics", &headers).text());
        assert!(page.samples.contains_key("pve_node_info") && page.samples.contains_key("pve_guest_info"));
        (page, started.elapsed())
    };
    let (page, took) = scrape("30");
    assert_eq!((page.value(UP, &[("host", "gone")]), page.value(UP, &[("host", "nas")])), (Some(0.0), Some(1.0)));
    assert_eq!(page.value(SUCCESS, &[("host", "gone")]), Some(0.0));
    assert_eq!(page.value("pve_scrape_collector_age_seconds", &[("host", "gone")]), None);
    assert_eq!(page.value("pve_host_ssh_duration_seconds", &[("host", "gone")]), None);
    assert!(took < Duration::from_secs(20), "{took:?}");
    let reply = exporter.get("/host?target=gone");
    assert!(reply.status == 503 && reply.text().contains("ssh gone (127.0.0.1:"), "{}", reply.text());

    machine.set_fault(SshFault::HangInCommand);
    let (page, took) = scrape("2");
    assert_eq!(page.value(UP, &[("host", "nas")]), Some(0.0));
    assert!(took < Duration::from_millis(1900), "{took:?}");
    assert!(!page.samples.contains_key(LOAD), "nothing old passes for new");
    exporter.wait_for_log("the command did not end within");
    machine.set_fault(SshFault::None);
    let started = Instant::now();
    while scrape("30").0.value(UP, &[("host", "nas")]) != Some(1.0) {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", exporter.log());
    }
    exporter.wait_for_log("the host tells again what it is asked");
    assert_eq!(exporter.log().matches("the command did not end within").count(), 1, "{}", exporter.log());
    assert_eq!(exporter.log().matches("host=gone").count(), 1, "{}", exporter.log());
}

#[test]
fn a_host_with_another_key_is_not_logged_in_to() {
    let (cluster, machine, other) = (Cluster::recorded(), Machine::node(), Machine::node());
    let key = |machine: &Machine| machine.line().split_once(' ').expect("a key").1.to_owned();
    let changed = machine.line().replace(&key(&machine), &key(&other));
    for known in [String::new(), changed, format!("{}@revoked * {}", machine.line(), key(&machine))] {
        machine.know(&known);
        let exporter = Exporter::serve(&format!("{}{}", cluster.config("home"), machine.host("nas")));
        let page = Page::parse(&exporter.page("/metrics"));
        assert_eq!(page.value(UP, &[("host", "nas")]), Some(0.0));
        assert!(page.samples.contains_key("pve_guest_info"), "the rest of the page is whole");
        let line = exporter.wait_for_log("host key");
        assert!(line.contains("host=nas") && line.contains("SHA256:"), "{line}");
        let reply = exporter.get("/host?target=nas");
        assert!(reply.status == 503 && reply.text().contains("host key") && reply.text().contains("SHA256:"));
        exporter.page("/metrics");
        assert_eq!(exporter.log().matches("host key").count(), 1, "{}", exporter.log());
    }
    assert_eq!(machine.sim.seen().logins, 0);
}

#[test]
fn an_answer_that_is_none_says_what_it_is() {
    let whole = recorded_host("pve-node.probe");
    let half = String::from_utf8_lossy(&whole).split("@pve-sentinel 1 close proc").next().unwrap().to_owned();
    let noisy = format!("Welcome to NAS\n\u{1b}[2Jmotd\n{}bye\n", String::from_utf8_lossy(&whole));
    let reply =
        |stdout: String, exit| move |_: &str| SshReply { stdout: stdout.clone().into(), exit, ..SshReply::default() };
    let cluster = Cluster::recorded();
    for (stdout, exit, status, words) in [
        (noisy, 0, 200, "node_load1 "),
        (half, 0, 200, "pve_scrape_collector_success{collector=\"host\"} 0"),
        ("This account is not available.\n".to_owned(), 1, 503, "the command ended with exit status 1"),
        ("hello\n".to_owned(), 0, 503, "expected the probe's answer, found \"hello"),
        (String::new(), 0, 503, "the probe told nothing"),
        ("\n@pve-sentinel 9 begin probe\n".to_owned(), 0, 503, "speaks format 9"),
    ] {
        let machine = Machine::answering(reply(stdout, exit));
        let exporter = Exporter::serve(&format!("{}{}", cluster.config("home"), machine.host("nas")));
        let reply = exporter.get("/host?target=nas");
        assert_eq!(reply.status, status, "{words}: {}", reply.text());
        assert!(reply.text().contains(words), "{words}: {}", reply.text());
        let page = Page::parse(&exporter.page("/metrics"));
        assert_eq!(page.value(UP, &[("host", "nas")]), Some(1.0), "{words}: SSH itself is well");
        assert!(page.samples.contains_key("pve_guest_info"));
    }
    for fault in [SshFault::Noise { bytes: 10 << 20 }, SshFault::HalfOutput, SshFault::RefuseCommand, SshFault::Reset] {
        let machine = Machine::node();
        machine.set_fault(fault.clone());
        let exporter = Exporter::serve(&format!("{}{}", cluster.config("home"), machine.host("nas")));
        let page = Page::parse(&exporter.page("/metrics"));
        assert_eq!(page.value(SUCCESS, &[("host", "nas")]), Some(0.0), "{fault:?}");
        assert!(page.samples.contains_key("pve_guest_info"), "{fault:?}");
        assert_eq!(exporter.get("/host?target=nas").status, 503, "{fault:?}");
    }
}

#[test]
fn what_is_told_of_hosts_can_be_chosen() {
    let (cluster, machine) = (Cluster::recorded(), Machine::node());
    let page = |more: &str| {
        let config = format!("{}{}[collectors]\n{more}\n", cluster.config("home"), machine.host("nas"));
        let exporter = Exporter::serve(&config);
        let reply = exporter.get("/host?target=nas");
        (reply.status, reply.text())
    };
    let devices = |text: &str| {
        let page = Page::parse(text);
        page.samples["node_network_receive_bytes_total"]
            .keys()
            .map(|labels| labels["device"].clone())
            .collect::<Vec<_>>()
    };
    let (_, default) = page("");
    let default = devices(&default);
    assert!(default.iter().any(|device| device == "lo") && default.iter().all(|device| !device.starts_with("tap")));
    let (_, all) = page("host = { network_devices = { exclude = \"^lo$\" } }");
    let all = devices(&all);
    assert!(all.iter().any(|device| device.starts_with("tap")) && !all.contains(&"lo".to_owned()), "{all:?}");
    let (status, text) = page("host = false");
    assert!(status == 400 && text.contains("switched off"), "{text}");
}
