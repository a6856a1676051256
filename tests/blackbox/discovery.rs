//! What is known of guests, and the lists that Prometheus reads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use pve_sentinel::sim::{Fault, World};
use serde_json::Value;

use crate::support::{Cluster, Exporter, Page, Simulated, binary, connect, parse, request};

/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn list(exporter: &Exporter, path: &str) -> Vec<Value> {
    let reply = exporter.get(path);
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{path}: {}", reply.text());
    serde_json::from_str::<Value>(&reply.text()).unwrap().as_array().unwrap().clone()
}

fn targets(list: &[Value]) -> BTreeMap<String, String> {
    let entry = |entry: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&entry["labels"]["instance"]), text(&entry["targets"][0]))
    };
    let all: BTreeMap<String, String> = list.iter().map(entry).collect();
    assert_eq!(all.len(), list.len(), "no two targets are called the same");
    all
}

/// Asks until it is as wanted.
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "it never came true");
        std::thread::yield_now();
    }
}

#[test]
fn the_demo_tells_the_addresses_of_its_guests() {
    let mut command = binary();
    command.args(["demo", "--web.listen-address", "127.0.0.1:0"]);
    let demo = Exporter::start(command, None);
    let guests = list(&demo, "/sd/guests?port=9100&status=running");
    assert!(guests.len() > 20, "{}", guests.len());
    for guest in &guests {
        let (target, labels) = (guest["targets"][0].as_str().unwrap(), &guest["labels"]);
        assert!(target.starts_with("10.77.") && target.ends_with(":9100"), "{target}");
        let names: BTreeSet<&str> = labels.as_object().unwrap().keys().map(String::as_str).collect();
        let metas = ["id", "vmid", "name", "node", "type", "cluster", "tags", "pool", "status"];
        let metas = metas.map(|name| format!("__meta_pve_{name}"));
        let expected: BTreeSet<&str> =
            metas.iter().map(String::as_str).chain(["instance", "id", "pve_cluster"]).collect();
        assert_eq!(names, expected);
    }
    let hosts = targets(&list(&demo, "/sd/hosts"));
    assert_eq!(hosts.keys().collect::<Vec<_>>(), ["demo-pve1", "demo-pve2", "demo-pve3"]);
    assert_eq!(hosts["demo-pve1"], "test", "where the request says that we are");
    let page = Page::parse(&demo.page("/metrics?collect[]=discovery"));
    assert!(page.value("pve_discovery_guests", &[("cluster", "demo")]).unwrap() > 30.0);
    assert!(page.value("pve_discovery_last_success_timestamp_seconds", &[("cluster", "demo")]).unwrap() > 1e9);
    assert!(page.samples["pve_guest_power_state_changes_total"].len() > 30);
    assert!(!page.samples.contains_key("pve_guest_address_info") && !page.samples.contains_key("pve_guest_info"));
}

#[test]
fn a_recorded_cluster_is_told_with_what_its_guests_said() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    let all = list(&exporter, "/sd/guests?address=name");
    assert!(all.iter().all(|guest| guest["labels"]["__meta_pve_vmid"] != "9000"), "a template is no guest");
    let before: Vec<String> = cluster.sims[0].requests().iter().map(|seen| seen.target.clone()).collect();
    assert_eq!(before, ["/api2/json/cluster/resources"], "names need no further call");
    let container = targets(&list(&exporter, "/sd/guests?type=lxc&port=80"));
    assert_eq!(container.get("home-vm-200").map(String::as_str), Some("10.77.2.50:80"));
    let asked = |part: &str| cluster.sims[0].requests().iter().filter(|seen| seen.target.contains(part)).count();
    assert_eq!(asked("/agent/"), 0, "only those that are meant are asked");
    let settled = asked("/interfaces");
    list(&exporter, "/sd/guests?type=lxc");
    assert_eq!(asked("/interfaces"), settled, "addresses are good for a while");
}

#[test]
fn addresses_are_on_the_page_where_that_is_wanted() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&format!("{}[discovery]\naddress_info = true\n", cluster.config("home")));
    let labels = [
        ("cluster", "home"),
        ("id", "lxc/200"),
        ("address", "10.77.2.50"),
        ("interface", "eth0"),
        ("scope", "global"),
        ("primary", "1"),
    ];
    wait_for(|| {
        let page = Some(exporter.page("/metrics?collect[]=discovery")).filter(|page| !page.is_empty())?;
        Page::parse(&page).value("pve_guest_address_info", &labels).filter(|value| *value == 1.0)
    });
}

#[test]
fn what_is_misspelt_selects_nothing() {
    let lab = Simulated::start(World::new(1, 3, 40), 1);
    let exporter = Exporter::serve(&lab.cluster.config("home"));
    for (path, words) in [
        ("/sd/guests?tags=web", "\"tags\" is not known here"),
        ("/sd/guests?cluster=hom", "expected a cluster of the configuration: home"),
        ("/sd/guests?port=http", "expected a port from 1 to 65535"),
        ("/sd/hosts?tag=web", "known: cluster"),
        ("/sd/clusters?cluster=%ff", "not percent-encoded UTF-8"),
    ] {
        let reply = exporter.get(path);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.text().contains(words), "{path}: {}", reply.text());
    }
    assert_eq!(request(exporter.address, "HEAD", "/sd/clusters", &[]).status, 200);
    let all = list(&exporter, "/sd/guests?address=name");
    for (query, label, word) in [("tag=web", "tags", "web"), ("pool=prod", "pool", "prod"), ("type=lxc", "type", "lxc")]
    {
        let some = list(&exporter, &format!("/sd/guests?address=name&{query}"));
        let label = format!("__meta_pve_{label}");
        let has = |guest: &&Value| guest["labels"][&label].as_str().unwrap().split(';').any(|part| part == word);
        assert!(!some.is_empty() && some.len() < all.len(), "{query}");
        assert_eq!(some.len(), all.iter().filter(has).count(), "{query}");
    }
    let packed = request(exporter.address, "GET", "/sd/guests?address=name", &[("Accept-Encoding", "gzip")]);
    assert_eq!(packed.header("content-encoding"), "gzip");
}

#[test]
fn a_host_header_that_can_be_no_target_is_refused() {
    let exporter = Exporter::serve(&Cluster::recorded().config("home"));
    let ask = |hosts: &str| {
        let mut stream = connect(exporter.address);
        write!(stream, "GET /sd/clusters HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        parse(&bytes, false)
    };
    for host in ["pve.example.com:9221", "pve.example.com", "[::1]:9221", "[::1]"] {
        let reply = ask(&format!("Host: {host}\r\n"));
        assert!(reply.status == 200 && reply.text().contains(&format!("\"targets\":[\"{host}\"]")), "{}", reply.text());
    }
    for hosts in ["a:99999", "a:", "a@b", "a b", "a/b", "", "a\r\nHost: b"] {
        assert_eq!(ask(&format!("Host: {hosts}\r\n")).status, 400, "{hosts:?}");
    }
}

#[test]
fn a_list_is_503_until_its_clusters_were_read_and_then_the_last_good_one() {
    let (lab, other) = (Simulated::start(World::new(1, 1, 20), 1), Simulated::start(World::new(1, 1, 20), 1));
    let refused = || Fault::Status { code: 500, reason: "no such luck".to_owned(), body: String::new() };
    lab.cluster.sims[0].set_fault("/cluster/resources", refused());
    for discovery in ["", "[discovery]\ninterval = \"1s\"\n"] {
        lab.cluster.sims[0].set_fault("/cluster/resources", refused());
        let config = format!("{}{}{discovery}", lab.cluster.config("home"), other.cluster.config("lab"));
        let exporter = Exporter::serve(&config);
        for path in ["/sd/guests?address=name", "/sd/guests?cluster=home"] {
            let reply = exporter.get(path);
            assert_eq!(reply.status, 503, "{path}");
            assert!(reply.text().contains("home was not read since the start: "), "{}", reply.text());
            assert!(reply.text().contains("no such luck") && !reply.text().contains("lab"), "{}", reply.text());
        }
        assert_eq!(exporter.get("/sd/guests?address=name&cluster=lab").status, 200);
        assert_eq!(targets(&list(&exporter, "/sd/clusters")).len(), 2, "of these nothing need be read");
        lab.cluster.sims[0].clear_faults();
        // The same guests with the same addresses in both clusters.
        let count = |exporter: &Exporter| targets(&list(exporter, "/sd/guests")).len();
        wait_for(|| Some(()).filter(|()| exporter.get("/sd/guests").status == 200));
        let known = count(&exporter);
        assert!(known > 20 && known.is_multiple_of(2), "{known}");
        lab.cluster.sims[0].set_fault("/cluster/resources", refused());
        assert_eq!(count(&exporter), known, "the last good list");
        lab.cluster.sims[0].clear_faults();
    }
}

#[test]
fn changes_are_seen_between_scrapes_and_told_once() {
    let lab = Simulated::start(World::new(1, 3, 40), 1);
    let exporter = Exporter::serve(&format!("{}[discovery]\ninterval = \"1s\"\n", lab.cluster.config("home")));
    let known = || exporter.page("/metrics?collect[]=discovery");
    let guests = || {
        let page = Some(known()).filter(|page| !page.is_empty())?;
        Page::parse(&page).value("pve_discovery_guests", &[("cluster", "home")])
    };
    let first = wait_for(guests);
    assert!(first > 30.0);
    let [renamed, moved, deleted, ..] = lab.world.vmids()[..] else { panic!("too few") };
    lab.world.edit(lab.now(), |edit| {
        assert!(edit.rename(renamed, "shop") && edit.delete(deleted));
        assert!(edit.migrate(moved, 0) | edit.migrate(moved, 1));
    });
    wait_for(|| guests().filter(|now| *now == first - 1.0));
    for words in ["a guest has another name", "a guest is on another node", "a guest is gone"] {
        // The line may still be on its way.
        exporter.wait_for_log(words);
        let log = exporter.log();
        assert_eq!(log.matches(words).count(), 1, "{words}: {log}");
    }
}

#[test]
fn without_discovery_nothing_is_asked_and_with_it_scrapes_count() {
    let lab = Simulated::start(World::new(1, 1, 20), 1);
    let asked = || lab.cluster.sims[0].requests().len();
    let exporter = Exporter::serve(&lab.cluster.config("home"));
    assert!(!exporter.page("/metrics").contains("pve_discovery_"));
    assert_eq!(asked(), lab.cluster.sims[0].requests_by_path().values().sum::<u64>() as usize);
    let (before, mut last) = (asked(), Instant::now());
    list(&exporter, "/sd/guests?address=name");
    list(&exporter, "/sd/guests?address=name&tag=web");
    // Both within the time that one look is good for.
    if last.elapsed() < Duration::from_secs(4) {
        assert_eq!(asked(), before + 1);
    }
    drop(exporter);
    let exporter = Exporter::serve(&format!("{}[discovery]\ninterval = \"1h\"\n", lab.cluster.config("home")));
    wait_for(|| exporter.page("/metrics?collect[]=discovery").contains("pve_discovery_guests").then_some(()));
    let page = || Page::parse(&exporter.page("/metrics?collect[]=guest&collect[]=discovery"));
    let at = |page: &Page| page.value("pve_discovery_last_success_timestamp_seconds", &[("cluster", "home")]).unwrap();
    let first = at(&page());
    last = Instant::now();
    wait_for(|| (at(&page()) > first).then_some(()));
    assert!(last.elapsed() < PATIENCE, "what a scrape read counts");
}

#[test]
fn a_thousand_silent_agents_hold_nobody_up() {
    let lab = Simulated::start(World::new(1, 1, 1000), 1);
    for vmid in lab.world.vmids() {
        lab.cluster.sims[0].set_fault(&format!("/nodes/pve1/qemu/{vmid}/agent"), Fault::Hang);
    }
    let exporter = Exporter::serve(&format!("{}[discovery]\n", lab.cluster.config("home")));
    let address = exporter.address;
    let waiting = std::thread::spawn(move || request(address, "GET", "/sd/guests?type=qemu", &[]));
    let load = || lab.cluster.sims[0].load()["pve1"];
    wait_for(|| (load().blocking_open == 1).then_some(()));
    for _ in 0..20 {
        let page = Page::parse(&exporter.page("/metrics?collect[]=guest&collect[]=node"));
        assert!(page.samples["pve_scrape_collector_success"].values().all(|success| *success == 1.0));
        assert!(load().most <= 2 && load().blocking_most <= 1, "{:?}", load());
    }
    // Containers do not wait for VMs.
    wait_for(|| (exporter.get("/sd/guests?type=lxc").status == 200).then_some(()));
    assert!(targets(&list(&exporter, "/sd/guests?type=lxc")).len() > 100);
    let reply = waiting.join().unwrap();
    assert_eq!(reply.status, 503, "Prometheus keeps what it knows");
    assert!(reply.text().contains("guests were not asked for their addresses yet"), "{}", reply.text());
    assert!(load().most <= 2 && load().blocking_most <= 1, "{:?}", load());
}

#[test]
fn a_reload_ends_what_goes_on_in_the_background() {
    let lab = Simulated::start(World::new(1, 1, 20), 1);
    let exporter = Exporter::serve(&format!("{}[discovery]\ninterval = \"1s\"\n", lab.cluster.config("home")));
    let asked = || lab.cluster.sims[0].requests().len();
    wait_for(|| (asked() >= 3).then_some(()));
    exporter.rewrite(&lab.cluster.config("home"));
    exporter.hang_up(1);
    assert!(!exporter.page("/metrics?collect[]=discovery").contains("pve_discovery_"));
    // A call under way ends; then there is silence for longer than the interval.
    let started = (Instant::now(), asked());
    wait_for(|| (started.0.elapsed() > Duration::from_millis(2500)).then_some(()));
    assert!(asked() <= started.1 + 1, "{} after {}", asked(), started.1);
}
