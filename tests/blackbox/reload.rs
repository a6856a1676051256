//! A new configuration comes into force without a lost scrape, and a bad one does not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pve_sentinel::app::{App, Manager, Source};
use pve_sentinel::config::{Env, parse};
use tokio::signal::unix::{SignalKind, signal};

use crate::support::{Cluster, Exporter, Kept, Machine, Page, SECRET, TOKEN_ID, connect, request, send_signal};

const SLOW: [&str; 5] = ["node_load", "backup_coverage", "guest_config", "replication", "subscription"];

fn value(exporter: &Exporter, name: &str) -> f64 {
    Page::parse(&exporter.page("/metrics?collect[]=process")).value(name, &[]).unwrap()
}

/// How often each call of the slow lane was made that is not repeated within an hour: those that are recorded, as others
/// fail.
fn rare_calls(cluster: &Cluster) -> BTreeMap<String, u64> {
    let mut calls = cluster.sims[0].requests_by_path();
    calls.retain(|path, _| {
        path.starts_with("/nodes/pve-lab/") && (path.ends_with("/config") || path.ends_with("/subscription"))
    });
    calls
}

#[test]
fn what_did_not_change_goes_on_and_what_changed_begins_anew() {
    let (home, lab, new) = (Cluster::recorded(), Cluster::recorded(), Cluster::recorded());
    let config = |others: &str| format!("{}\n{others}\n[collectors]\n", home.config("home"));
    let exporter = Exporter::serve(&config(&lab.config("lab")));
    let read_at = value(&exporter, "pve_sentinel_config_last_reload_success_timestamp_seconds");
    assert!(read_at > 1_700_000_000.0 && value(&exporter, "pve_sentinel_config_last_reload_successful") == 1.0);
    let mut kept = Kept::new(connect(exporter.address));
    exporter.settled_page("/metrics?cluster=home", &SLOW);
    let of_lab = |page: &str| page.contains("pve_scrape_collector_success{cluster=\"lab\",collector=\"subscription\"}");
    while !of_lab(&exporter.page("/metrics?cluster=lab")) {
        std::thread::yield_now();
    }
    let (before, lab_before) = (rare_calls(&home), rare_calls(&lab));
    assert!(lab_before.values().all(|calls| *calls == 1), "{lab_before:?}");
    assert!(before.len() >= 5 && before.values().all(|calls| *calls == 1), "{before:?}");

    // The same cluster behind another name of its address is another table.
    let changed = lab.config("lab").replace("127.0.0.1", "localhost");
    exporter.rewrite(&config(&format!("{changed}\n{}", new.config("new"))));
    exporter.hang_up(1);
    let line = exporter.wait_for_log("is in force");
    for words in ["clusters_kept=home", "clusters_changed=lab", "clusters_added=new"] {
        assert!(line.contains(words), "{line}");
    }
    let page = exporter.page("/metrics?cluster=home");
    for collector in SLOW {
        let said = format!("pve_scrape_collector_success{{cluster=\"home\",collector=\"{collector}\"}}");
        assert!(page.contains(&said), "{collector} is lost:\n{page}");
    }
    // The new cluster cannot know what the old one did.
    while lab_before.keys().any(|path| rare_calls(&lab)[path] < 2) {
        exporter.page("/metrics?cluster=lab");
    }
    assert!(exporter.page("/metrics?cluster=new").contains("pve_up{cluster=\"new\""));
    assert_eq!(rare_calls(&home), before, "asked again although it was known");
    assert_eq!(kept.get("/-/ready", "").unwrap().status, 200, "kept connections of clients go on");

    // A collector is switched off and on again: what it knew is still there.
    exporter.rewrite(&format!("{}\n[collectors]\nsubscription = false\n", home.config("home")));
    exporter.hang_up(2);
    assert_eq!(exporter.get("/metrics?cluster=lab").status, 400, "removed");
    let page = exporter.page("/metrics");
    let spoken = |name: &str| page.contains(&format!("collector_success{{cluster=\"home\",collector=\"{name}\"}}"));
    assert!(!spoken("subscription") && spoken("guest_config") && !page.contains("pve_subscription_"), "{page}");
    assert!(!page.contains("slow_lane_backlog{cluster=\"lab\"}"), "{page}");
    exporter.rewrite(&config(""));
    exporter.hang_up(3);
    assert!(exporter.page("/metrics").contains("cluster=\"home\",collector=\"subscription\"}"));
    assert_eq!(rare_calls(&home), before);
    assert!(value(&exporter, "pve_sentinel_config_last_reload_success_timestamp_seconds") >= read_at);
}

/// A signal that comes while the exporter is being put together, as after `systemctl start` and `reload` at once.
#[tokio::test]
async fn a_signal_before_the_listeners_are_there_is_heard() {
    let config = format!(
        "[[clusters]]\nname = \"home\"\nendpoints = [\"https://127.0.0.1:1\"]\ntoken_id = \"{TOKEN_ID}\"\n\
         token_secret = \"{SECRET}\"\n"
    );
    let loaded = parse(&config, "x.toml".as_ref(), &Env::new(&|_| None), &[]).unwrap();
    let (read, mut again) = tokio::sync::mpsc::unbounded_channel();
    let source: Source = Box::new(move || {
        read.send(()).unwrap();
        Err("not this time".to_owned())
    });
    // Without it, the signal could end the test.
    let mut arrived = signal(SignalKind::hangup()).unwrap();
    let app = App::reloadable(&loaded.config, source, Manager::default()).unwrap();
    send_signal("-HUP", std::process::id());
    arrived.recv().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = tokio::spawn(app.serve(vec![listener], std::future::pending()));
    tokio::time::timeout(Duration::from_secs(20), again.recv())
        .await
        .expect("the configuration is read again")
        .unwrap();
    serving.abort();
}

#[test]
fn no_scrape_is_lost_while_good_and_bad_files_come_and_go() {
    let (home, lab) = (Cluster::recorded(), Cluster::recorded());
    let good = |more: &str| format!("[web]\nenable_lifecycle = true\n{}{more}", home.config("home"));
    let bad = good("tokn_id = \"x\"\n[web.tls]\ncert_file = \"none.pem\"\n");
    let exporter = Exporter::serve(&good(""));
    let (over, scraped) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for kept in [true, false, true] {
            let (exporter, over, scraped) = (&exporter, &over, &scraped);
            scope.spawn(move || {
                let mut connection = Kept::new(connect(exporter.address));
                while !over.load(Ordering::Relaxed) {
                    let reply = match kept {
                        true => connection.get("/metrics?cluster=home", "").unwrap(),
                        false => exporter.get("/metrics?cluster=home"),
                    };
                    assert_eq!(reply.status, 200);
                    let text = reply.text();
                    assert!(text.contains("pve_up{cluster=\"home\",id=\"qemu/100\"}"), "{text}");
                    let failed = text.lines().find(|line| line.contains("collector_success") && line.ends_with(" 0"));
                    assert_eq!(failed, None);
                    scraped.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for turn in 0..5 {
            let seen = scraped.load(Ordering::Relaxed);
            exporter.rewrite(&bad);
            exporter.hang_up(3 * turn + 1);
            assert_eq!(value(&exporter, "pve_sentinel_config_last_reload_successful"), 0.0);
            exporter.rewrite(&good(&lab.config("lab")));
            exporter.hang_up(3 * turn + 2);
            assert!(exporter.page("/metrics?cluster=lab").contains("pve_up"));
            exporter.rewrite(&good(""));
            exporter.hang_up(3 * turn + 3);
            assert_eq!(value(&exporter, "pve_sentinel_config_last_reload_successful"), 1.0);
            while scraped.load(Ordering::Relaxed) < seen + 6 {
                std::thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let log = exporter.log();
    for words in ["unknown key; did you mean token_id?", "web.tls.key_file", "the old one goes on"] {
        assert!(log.contains(words), "{words}:\n{log}");
    }
    assert!(!log.contains(SECRET) && !log.contains("panic"), "{log}");
}

#[test]
fn a_round_in_flight_survives() {
    let cluster = Cluster::recorded();
    let exporter = Exporter::serve(&cluster.config("home"));
    cluster.sims[0].set_fault("/cluster/status", pve_sentinel::sim::Fault::Hang);
    let timeout = [("X-Prometheus-Scrape-Timeout-Seconds", "3")];
    std::thread::scope(|scope| {
        let scrape = scope.spawn(|| request(exporter.address, "GET", "/metrics", &timeout));
        while !cluster.sims[0].requests().iter().any(|seen| seen.target.contains("/cluster/status")) {
            std::thread::yield_now();
        }
        exporter.rewrite(&format!("{}modules = [\"other\"]\n", cluster.config("home")));
        exporter.hang_up(1);
        let page = scrape.join().unwrap();
        assert!(page.status == 200 && page.text().contains("pve_up{cluster=\"home\""));
    });
}

#[test]
fn reloading_over_http_is_off_until_it_is_switched_on() {
    let cluster = Cluster::recorded();
    let post = |exporter: &Exporter| {
        let reply = request(exporter.address, "POST", "/-/reload", &[]);
        (reply.status, reply.text())
    };
    let exporter = Exporter::serve(&cluster.config("home"));
    let (status, text) = post(&exporter);
    assert!(status == 403 && text.contains("enable_lifecycle = true"), "{text}");

    exporter.rewrite(&format!("[web]\nenable_lifecycle = true\n{}", cluster.config("home")));
    exporter.hang_up(1);
    let (status, text) = post(&exporter);
    assert_eq!((status, text.as_str()), (200, "the configuration is in force.\n"));
    let reply = exporter.get("/-/reload");
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));

    exporter.rewrite(&format!("[wbe]\n{}", cluster.config("home").replace("token_secret", "token_secrt")));
    let (status, text) = post(&exporter);
    assert_eq!(status, 500, "{text}");
    for words in ["the old one goes on", "config.toml:", "did you mean web?", "token_secret"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains(SECRET) && !exporter.log().contains(SECRET), "{text}");
    assert!(exporter.page("/metrics").contains("pve_up"));

    exporter.rewrite(&format!("[web]\nlisten_addresses = [\"127.0.0.1:1\"]\n{}", cluster.config("home")));
    assert_eq!(post(&exporter).0, 200);
    assert_eq!(post(&exporter).0, 403, "the new file does not allow it");
    assert!(!exporter.log().contains("restart"), "the command line's address stands above the file's");
}

#[test]
fn another_address_needs_a_restart_and_says_so() {
    let cluster = Cluster::recorded();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let config = |address: &str| format!("[web]\nlisten_addresses = [\"{address}\"]\n{}", cluster.config("home"));
    crate::support::write_private(&file, &config("127.0.0.1:0"));
    let mut command = crate::support::binary();
    command.arg("serve").arg("--config.file").arg(&file);
    let exporter = Exporter::start(command, Some(folder));
    exporter.rewrite(&config("127.0.0.2:0"));
    exporter.hang_up(1);
    assert!(exporter.wait_for_log("need a restart").contains("listening=127.0.0.1:0"));
    assert_eq!(exporter.get("/-/ready").status, 200);
}

#[test]
fn hosts_that_did_not_change_keep_their_connection() {
    let (cluster, nas, node) = (Cluster::recorded(), Machine::node(), Machine::node());
    let ssh = node.ssh(&format!("addresses = {{ pve-lab = \"{}\", pve-lab2 = \"127.0.0.1:9\" }}", node.sim.address()));
    let config = |hosts: &str| format!("{}{ssh}{hosts}\n[collectors]\nsubscription = false\n", cluster.config("home"));
    let exporter = Exporter::serve(&config(&nas.host("nas")));
    let hosts = || {
        let page = Page::parse(&exporter.page("/metrics?collect[]=host"));
        page.samples["node_load1"].keys().map(|labels| labels["host"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(hosts(), ["home-pve-lab", "nas"]);
    exporter.rewrite(&config(&format!("{}{}", nas.host("nas"), nas.host("again"))));
    exporter.hang_up(1);
    assert_eq!(hosts(), ["home-pve-lab", "again", "nas"]);
    assert_eq!((node.sim.seen().let_in, nas.sim.seen().let_in), (1, 2), "one for each host");
    exporter.rewrite(&config(""));
    exporter.hang_up(2);
    assert_eq!(hosts(), ["home-pve-lab"]);
    assert_eq!(exporter.get("/host?target=nas").status, 400);
    assert_eq!(node.sim.seen().let_in, 1);
}
