//! Every node, guest, storage and pool is on the page, in both formats.

use flate2::read::GzDecoder;
use std::io::Read;

use pve_sentinel::collectors::{ALL, Lane};
use pve_sentinel::config::Collectors;
use pve_sentinel::sim::{Certificate, Source};

use crate::support::{Cluster, Exporter, Page, check_golden, of_clusters, recorded, recorded_body, request};

/// The page without what differs from run to run.
fn masked(text: &str) -> String {
    let times = ["duration", "age", "refresh_duration"].map(|what| format!("pve_scrape_collector_{what}_seconds{{"));
    text.lines()
        .map(|line| {
            if let Some((name, _)) = line.split_once("endpoint=\"https://") {
                return format!("{name}endpoint=\"MASKED\"}} MASKED\n");
            }
            let masked = times.iter().any(|name| line.starts_with(name));
            if masked { format!("{} MASKED\n", line.split(' ').next().unwrap()) } else { format!("{line}\n") }
        })
        .collect()
}

#[test]
fn the_recorded_cluster_is_told_whole() {
    let cluster = Cluster::recorded();
    for (call, file) in [
        ("/access/users", "GET_access__users__full=1.json"),
        ("/nodes/pve-lab/qemu/100/agent/get-fsinfo", "GET_nodes__pve-lab__qemu__100__agent__get-fsinfo.json"),
    ] {
        cluster.sims[0].set_fault(call, recorded_body("hand-made", file));
    }
    let exporter = Exporter::serve_all(&cluster.config("home"));
    let names = of_clusters();
    let page = exporter.settled_page("/metrics?cluster=home", &names);
    check_golden("metrics.pve-9.2-cluster.prom", &masked(&page));
    for collector in ALL.iter().filter(|collector| names.contains(&collector.name)) {
        let page = exporter.settled_page(&format!("/metrics?collect[]={}", collector.name), &[collector.name]);
        check_golden(&format!("collectors/{}.prom", collector.name), &masked(&page));
        let told = Page::parse(&page);
        for family in told.samples.keys().filter(|name| !name.starts_with("pve_scrape_")) {
            assert!(collector.families.iter().any(|desc| desc.name == family), "{} brings {family}", collector.name);
        }
    }
}

/// What needs more than everybody has is off where it is not named.
#[test]
fn what_is_off_is_told_where_it_is_wanted() {
    let by_default = Collectors::default();
    let off = ALL.iter().filter(|one| matches!(one.lane, Lane::Slow(_)) && !one.is_on(&by_default));
    for name in off.map(|collector| collector.name) {
        let cluster = Cluster::recorded();
        let exporter = Exporter::serve(&format!("{}\n[collectors]\n{name} = true\n", cluster.config("home")));
        let page = exporter.settled_page(&format!("/metrics?collect[]={name}"), &[name]);
        check_golden(&format!("collectors/{name}.prom"), &masked(&page));
    }
}

/// Disks that tell of themselves, pools and Ceph: the recorded cluster has none of them.
#[test]
fn what_was_made_by_hand_is_told_whole() {
    let Source::Recorded(mut replies) = recorded("pve-9.2-cluster", "GET_") else { panic!("no recordings") };
    let Source::Recorded(hand_made) = recorded("hand-made", "GET_") else { panic!("nothing made by hand") };
    replies.0.extend(hand_made.0);
    let cluster = Cluster::start(1, Source::Recorded(replies), Certificate::Good);
    let exporter = Exporter::serve(&format!(
        "{}\n[collectors]\npreset = \"full\"\ndisk = {{ smart = true }}\n",
        cluster.config("home")
    ));
    for name in ["disk", "zfs", "lvm", "ceph"] {
        let page = exporter.settled_page(&format!("/metrics?collect[]={name}"), &[name]);
        check_golden(&format!("hand-made/{name}.prom"), &masked(&page));
    }
}

#[test]
fn locks_and_fractions_of_a_cpu_are_told() {
    let cluster = Cluster::recorded();
    let body = recorded_body("pve-9.2-cluster", "GET_cluster__resources__with_lock_and_cpulimit.json");
    cluster.sims[0].set_fault("/cluster/resources", body);
    let exporter = Exporter::serve(&cluster.config("home"));
    let page = Page::parse(&exporter.page("/metrics?collect[]=lock&collect[]=guest"));
    assert_eq!(page.value("pve_cpu_usage_limit", &[("id", "lxc/202")]), Some(0.5));
    assert_eq!(page.samples["pve_lock_state"].len(), 1, "locks are sparse");
}

/// For five minutes PVE repeats the last figures of a lost node's guests, then it forgets their names; we never do either.
#[test]
fn a_lost_node_takes_figures_with_it_and_leaves_names() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    let whole = Page::parse(&exporter.page("/metrics?cluster=home"));
    let name = |page: &Page| {
        page.samples["pve_guest_info"]
            .keys()
            .find(|series| series["id"] == "lxc/301")
            .map(|series| (series["name"].clone(), series["template"].clone(), series["tags"].clone()))
    };
    let named = name(&whole);
    assert_eq!(named.as_ref().unwrap().0, "ct-n2");
    for (stage, golden) in [
        ("noquorum_early", "metrics.node-lost.under-five-minutes.prom"),
        ("node2down_6min", "metrics.node-lost.over-five-minutes.prom"),
    ] {
        for call in ["resources", "status"] {
            let body = recorded_body("pve-9.2-node-lost", &format!("{stage}_GET_cluster__{call}.json"));
            cluster.sims[0].set_fault(&format!("/cluster/{call}"), body);
        }
        let text = exporter.page("/metrics?cluster=home");
        check_golden(golden, &masked(&text));
        let page = Page::parse(&text);
        assert_eq!(name(&page), named, "{stage}");
        assert_eq!(page.value("pve_guest_state", &[("id", "lxc/301")]), Some(1.0));
        assert_eq!(page.value("pve_guest_state", &[("id", "lxc/301"), ("state", "unknown")]), Some(1.0), "{stage}");
        assert_eq!(page.value("pve_up", &[("id", "node/pve-lab2")]), Some(0.0), "{stage}");
        let silent = ["pve_guest_state", "pve_guest_info", "pve_ha_state", "pve_lock_state", "pve_pool_member_info"];
        for (family, series) in &page.samples {
            let told = series.keys().any(|labels| labels.get("id").is_some_and(|id| id == "lxc/301"));
            assert!(!told || silent.contains(&family.as_str()), "{stage}: {family} of a guest on a lost node");
        }
    }
}

#[test]
fn both_formats_say_the_same() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&format!("{}\n{}", cluster.config("home"), cluster.config("lab")));
    let ask = |accept| request(exporter.address, "GET", "/metrics", &[("Accept", accept)]);
    let plain = ask("text/plain");
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let open = ask("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.text().ends_with("# EOF\n"));
    let (plain, open) = (Page::parse(&plain.text()), Page::parse(&open.text()));
    // Our own request counters exist only after the first request, so only the other families must be equal.
    let ours = |name: &str| name.starts_with("pve_sentinel_") || name.starts_with("process_");
    let names = |page: &Page| page.samples.keys().filter(|name| !ours(name)).cloned().collect::<Vec<_>>();
    assert_eq!(names(&plain), names(&open));
    for name in names(&plain) {
        let series = |page: &Page| page.samples[&name].keys().cloned().collect::<Vec<_>>();
        assert_eq!(series(&plain), series(&open), "{name}");
        let clusters = plain.samples[&name].keys().filter(|labels| labels["cluster"] == "lab").count();
        assert_eq!(clusters * 2, plain.samples[&name].len(), "{name} speaks of both clusters alike");
    }
    for (name, kind) in &open.types {
        let plain_name = if kind == "counter" { format!("{name}_total") } else { name.clone() };
        if !ours(name) {
            assert_eq!(plain.types.get(&plain_name), Some(kind), "{name}");
            assert_eq!(plain.helps.get(&plain_name), open.helps.get(name), "{name}");
        }
        assert!(kind != "gauge" || !open.types.contains_key(&format!("{name}_total")), "{name} is a family twice");
    }
}

#[test]
fn the_process_tells_of_itself() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    exporter.page("/metrics");
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    assert!(page.samples.keys().all(|name| name.starts_with("process_") || name.starts_with("pve_")), "{page:?}");
    // The kernel counts CPU in hundredths of a second: a fresh process may have used none yet.
    assert!(page.value("process_cpu_seconds_total", &[]).is_some());
    for name in ["process_resident_memory_bytes", "process_start_time_seconds"] {
        assert!(page.value(name, &[]).is_some_and(|value| value > 0.0), "{name}");
    }
    assert_eq!(page.value("pve_sentinel_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
    let asked = |path| page.value("pve_sentinel_api_requests_total", &[("path", path), ("outcome", "ok")]);
    assert_eq!(asked("/cluster/resources"), Some(1.0), "all of the fast lane share one call");
    assert_eq!(asked("/cluster/status"), Some(1.0));
    assert!(!page.samples.contains_key("pve_up"), "nothing of a cluster was asked for");
}

#[test]
fn a_release_is_asked_for_once_and_not_at_every_scrape() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    for _ in 0..3 {
        exporter.page("/metrics");
    }
    let asked = |path: &str| cluster.sims[0].requests().iter().filter(|seen| seen.target.ends_with(path)).count();
    assert_eq!((asked("/version"), asked("/cluster/resources"), asked("/cluster/status")), (1, 3, 3));
    assert_eq!(cluster.sims[0].requests().len(), 7, "nothing else is asked");
}

#[test]
fn a_page_is_narrowed_and_unknown_names_are_refused() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve_all(&format!("{}\n{}", cluster.config("home"), cluster.config("lab")));
    let page = Page::parse(&exporter.page("/metrics?cluster=lab&collect[]=node&collect%5B%5D=storage"));
    assert!(page.samples.keys().all(|name| !name.starts_with("process_") && !name.starts_with("pve_guest_")));
    assert!(page.samples.values().flat_map(|series| series.keys()).all(|labels| labels["cluster"] == "lab"));
    assert_eq!(page.samples["pve_scrape_collector_success"].len(), 2);
    let before = cluster.sims[0].requests().len();
    let by_default = Collectors::default();
    let on = ALL.iter().filter(|collector| collector.is_on(&by_default));
    let on: Vec<&str> = on.map(|collector| collector.name).collect();
    for (path, words) in [
        ("/metrics?cluster=hmoe", "hmoe"),
        ("/metrics?cluster=hmoe", "home, lab"),
        ("/metrics?collect[]=guests", &format!("{}, discovery, process", on.join(", "))),
    ] {
        let reply = exporter.get(path);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.text().contains(words), "{path}: {}", reply.text());
    }
    assert_eq!(cluster.sims[0].requests().len(), before, "a refused request asks nothing");
}

#[test]
fn switched_off_collectors_are_silent() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&format!("{}\n[collectors]\nguest = false\nha = false\n", cluster.config("home")));
    let page = Page::parse(&exporter.page("/metrics"));
    assert!(!page.samples.contains_key("pve_guest_info") && !page.samples.contains_key("pve_ha_state"));
    assert!(page.value("pve_up", &[("id", "node/pve-lab")]).is_some());
    assert_eq!(exporter.get("/metrics?collect[]=guest").status, 400);
}

#[test]
fn compressed_pages_say_the_same() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    let reply = request(exporter.address, "GET", "/metrics?cluster=home", &[("Accept-Encoding", "gzip")]);
    assert_eq!(reply.header("content-encoding"), "gzip");
    let mut text = String::new();
    GzDecoder::new(reply.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(masked(&text), masked(&exporter.page("/metrics?cluster=home")));
}

#[test]
fn head_wrong_methods_and_unknown_paths_are_answered_properly() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    let ask = |method, path| request(exporter.address, method, path, &[]);
    for path in ["/", "/metrics", "/pve", "/-/healthy", "/-/ready"] {
        assert_eq!(ask("GET", path).status, 200, "{path}");
        let head = ask("HEAD", path);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        let post = ask("POST", path);
        assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"), "{path}");
    }
    assert_eq!(ask("GET", "/unknown").status, 404);
    let landing = ask("GET", "/").text();
    assert!(landing.contains("href=\"/metrics\"") && landing.contains("cluster=home"), "{landing}");
    assert!(!landing.contains(crate::support::SECRET));
}
