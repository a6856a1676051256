//! The slow lane: it takes no more of a node than the gate allows, costs the fast lane nothing, and is seen by those
//! who scrape seldom.
//!
//! Where minutes have to pass, the exporter runs in this process, all of it but `main`, on a clock that moves only when
//! it is told to; the sockets on both of its sides are real. A process of its own has no clock that could be turned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use pve_sentinel::app::App;
use pve_sentinel::collectors::{self, Collector, Lane};
use pve_sentinel::config::{self, Collectors, Config, Env};
use pve_sentinel::metrics::Own;
use pve_sentinel::pve::{Client, Limits, Path, Roots};
use pve_sentinel::sim::{self, Fault, Options, Rights, Sim, Source, Token, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Exporter, Page, SECRET, Simulated, TOKEN_ID, of_clusters, parse, request};

/// Calls to the first node that are never answered: one of the cluster, one of the node, three of its guests.
const SILENT: [&str; 5] = [
    "/cluster/metrics/export",
    "/nodes/pve1/replication",
    "/nodes/pve1/qemu/100/config",
    "/nodes/pve1/qemu/101/config",
    "/nodes/pve1/qemu/105/config",
];

fn world() -> World {
    // With an even number of nodes there is a quorum device.
    World::new(1, 4, 40)
}

#[test]
fn what_hangs_in_the_slow_lane_delays_no_page() {
    let (healthy, sick) = (Simulated::start(world(), 1), Simulated::start(world(), 1));
    SILENT.iter().for_each(|call| sick.cluster.sims[0].set_fault(call, Fault::Hang));
    let exporters = [&healthy, &sick].map(|lab| Exporter::serve_all(&lab.cluster.config("home")));
    let load = || sick.cluster.sims[0].load()["pve1"];
    exporters.iter().for_each(|exporter| drop(exporter.page("/metrics")));
    let started = Instant::now();
    while load().open < 2 {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing hangs: {:?}", load());
        std::thread::yield_now();
    }
    let mut walls = [Vec::new(), Vec::new()];
    for _ in 0..15 {
        for (exporter, walls) in exporters.iter().zip(&mut walls) {
            let started = Instant::now();
            let reply = request(exporter.address, "GET", "/metrics", &[("X-Prometheus-Scrape-Timeout-Seconds", "5")]);
            walls.push(started.elapsed());
            let page = Page::parse(&reply.text());
            let fast = |labels: &&BTreeMap<String, String>| is_fast(&labels["collector"]);
            let told = page.samples["pve_scrape_collector_success"].iter().filter(|(labels, _)| fast(labels));
            let expected = collectors::ALL.iter().filter(|one| matches!(one.lane, Lane::Fast(_))).count();
            assert_eq!(told.filter(|(_, success)| **success == 1.0).count(), expected, "{}", exporter.log());
        }
    }
    let [usual, delayed] = walls.map(|mut walls| {
        walls.sort();
        walls[walls.len() / 2]
    });
    assert!(delayed < 3 * usual + Duration::from_millis(50), "{delayed:?} where {usual:?} is usual");
    let asked: Vec<String> = sick.cluster.sims[0].requests().into_iter().map(|seen| seen.target).collect();
    assert!(load().most == 2 && load().blocking_most <= 1, "{:?}\n{asked:#?}", load());
}

fn is_fast(name: &str) -> bool {
    collectors::ALL.iter().any(|collector| collector.name == name && matches!(collector.lane, Lane::Fast(_)))
}

/// A simulated cluster, and an exporter in this process, on a clock that stands still.
pub struct Still {
    pub sim: Sim,
    config: Config,
    /// Where the exporter serves.
    address: SocketAddr,
}

/// Runs a test on a clock that stands still: while a blocking task runs, tokio does not skip ahead by itself.
fn on_a_still_clock<F: Future<Output = ()>>(worker_hang: Duration, test: impl FnOnce(Still) -> F) {
    on_a_still_clock_with(world(), "", worker_hang, test);
}

/// The same with another cluster and more of a configuration.
pub fn on_a_still_clock_with<F: Future<Output = ()>>(
    world: World,
    config: &str,
    worker_hang: Duration,
    test: impl FnOnce(Still) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (hold, held) = mpsc::channel::<()>();
    runtime.block_on(async {
        tokio::task::spawn_blocking(move || held.recv());
        test(Still::start(world, config, worker_hang).await).await;
    });
    drop(hold);
}

impl Still {
    async fn start(world: World, more: &str, worker_hang: Duration) -> Self {
        let begun = tokio::time::Instant::now();
        let world = Arc::new(world);
        world.edit(Duration::ZERO, |edit| edit.calm());
        let tokens = vec![Token { id: TOKEN_ID.into(), secret: SECRET.into(), rights: Rights::Auditor }];
        let options = Options { tokens, clock: Arc::new(move || begun.elapsed()), worker_hang, ..Options::default() };
        let sim = sim::start(options, Source::World(world)).await.unwrap();
        let text = format!(
            "[[clusters]]\nname = \"home\"\nendpoints = [{:?}]\ntoken_id = \"{TOKEN_ID}\"\ntoken_secret = \"{SECRET}\"\n\
             tls = {{ fingerprints = [\"{}\"] }}\n[scrape]\nmax_age = \"0s\"\n{more}",
            sim.url(),
            sim.fingerprint()
        );
        let config = config::parse(&text, FilePath::new("home.toml"), &Env::new(&|_| None), &collectors::known())
            .unwrap()
            .config;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(App::new(&config).unwrap().serve(vec![listener], std::future::pending()));
        Self { sim, config, address }
    }

    /// A client of its own, with gates of its own.
    fn client(&self) -> Client {
        let limits = Limits { max_body: self.config.scrape.max_body };
        let own = Arc::new(Own::new("test"));
        Client::new(&self.config.clusters[0], limits, &Roots::default(), own).unwrap()
    }

    /// A page that takes no time at all.
    pub async fn page(&self) -> Page {
        let asking = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            let reply = parse(&bytes, false);
            assert_eq!(reply.status, 200);
            Page::parse(&reply.text())
        };
        at_once("a scrape", asking).await
    }
}

/// Lets everything go on that needs no time.
pub async fn breathe() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

/// What needs no time to pass, or the test fails.
async fn at_once<T>(what: &str, work: impl Future<Output = T>) -> T {
    let patience = async {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { done = work => done, () = patience => panic!("{what} waits for time to pass") }
}

/// The collectors that succeeded.
fn succeeded(page: &Page) -> BTreeSet<&str> {
    let outcomes = page.samples["pve_scrape_collector_success"].iter().filter(|(_, success)| **success == 1.0);
    outcomes.map(|(labels, _)| labels["collector"].as_str()).collect()
}

#[test]
fn scrapes_every_two_minutes_see_every_family() {
    on_a_still_clock(Duration::from_secs(30), |still| async move {
        let told = |page: &Page| -> BTreeMap<String, usize> {
            let steady = |name: &str| {
                !["pve_guest_backup_", "pve_backup_job_", "pve_tasks_", "pve_ceph_"].iter().any(|b| name.starts_with(b))
            };
            let families = page.samples.iter().filter(|(name, _)| name.starts_with("pve_") && steady(name));
            families.map(|(name, series)| (name.clone(), series.len())).collect()
        };
        let on = |collector: &&&Collector| collector.is_on(&Collectors::default());
        let slow = collectors::ALL.iter().filter(on).filter(|collector| matches!(collector.lane, Lane::Slow(_)));
        // What there is to tell of backups, tasks and Ceph comes and goes.
        let steady = slow.filter(|collector| !matches!(collector.name, "backup" | "backup_jobs" | "tasks"));
        let slow: Vec<(&str, Vec<&str>)> = steady
            .map(|collector| (collector.name, collector.families.iter().map(|desc| desc.name).collect()))
            .collect();
        let first = told(&still.page().await);
        let families = || slow.iter().flat_map(|(_, families)| families);
        assert!(families().all(|name| !first.contains_key(*name)), "nothing was asked before");
        let mut whole = BTreeMap::new();
        // Longer than any time-to-live, so that every value is asked for anew.
        for round in 1..40 {
            breathe().await;
            tokio::time::advance(Duration::from_mins(2)).await;
            let page = still.page().await;
            for (name, families) in &slow {
                let told = families.iter().any(|family| page.samples.contains_key(*family));
                assert!(told, "scrape {round} does not see {name}");
            }
            assert_eq!(succeeded(&page).len(), of_clusters().len(), "scrape {round}");
            let told = told(&page);
            if round == 1 {
                whole.clone_from(&told);
            }
            assert_eq!(told, whole, "scrape {round} sees as much as the others");
        }
    });
}

#[test]
fn silent_calls_never_take_more_of_a_node_than_the_gate_allows() {
    // Longer than the exporter waits for an answer: most of the time, what is busy has been given up.
    on_a_still_clock(Duration::from_secs(90), |still| async move {
        SILENT.iter().for_each(|call| still.sim.set_fault(call, Fault::Hang));
        let mut healthy = 0;
        for _ in 0..120 {
            let page = still.page().await;
            let told = succeeded(&page);
            assert!(
                collectors::names().iter().filter(|name| is_fast(name)).all(|name| told.contains(name)),
                "{told:?}"
            );
            breathe().await;
            tokio::time::advance(Duration::from_secs(15)).await;
            let elsewhere = page.samples.get("pve_onboot_status").map_or(0, BTreeMap::len);
            healthy = healthy.max(elsewhere);
        }
        let load = still.sim.load();
        assert_eq!((load["pve1"].most, load["pve1"].blocking_most), (2, 1), "{load:?}");
        let asked = still.sim.requests_by_path();
        assert!(SILENT.iter().all(|call| asked.get(*call).is_some_and(|times| *times < 20)), "{asked:?}");
        assert!(healthy > 20, "the other nodes' guests are told: {healthy}");
    });
}

#[test]
fn silent_agents_and_a_dead_storage_leave_a_node_its_workers() {
    const BLOCKING: [&str; 4] = [
        "/nodes/{node}/qemu/100/agent/network-get-interfaces",
        "/nodes/{node}/qemu/101/agent/network-get-interfaces",
        "/nodes/{node}/qemu/105/agent/network-get-interfaces",
        "/nodes/{node}/storage",
    ];
    const QUICK: &str = "/nodes/{node}/subscription";
    on_a_still_clock(Duration::from_secs(90), |still| async move {
        let (client, quick) = (Arc::new(still.client()), Arc::new(AtomicUsize::new(0)));
        BLOCKING.iter().for_each(|call| still.sim.set_fault(&call.replace("{node}", "pve1"), Fault::Hang));
        for (call, blocks) in BLOCKING.iter().map(|call| (*call, true)).chain([(QUICK, false)]) {
            let (client, quick) = (Arc::clone(&client), Arc::clone(&quick));
            tokio::spawn(async move {
                loop {
                    let permit = client.gate().enter("pve1", blocks).await;
                    let answer = client.get_node(&Path::new(call, &[("node", "pve1")]), &permit).await;
                    quick.fetch_add(usize::from(answer.is_ok()), Ordering::Relaxed);
                    drop(permit);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        }
        for second in 0..1800 {
            for call in ["/cluster/resources", "/cluster/status"] {
                at_once(call, client.get(call)).await.unwrap();
            }
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(still.sim.load()["pve1"].open <= 2, "after {second} s");
        }
        let load = still.sim.load()["pve1"];
        assert_eq!((load.most, load.blocking_most), (2, 1), "{load:?}");
        let asked = still.sim.requests_by_path();
        let blocking: u64 = BLOCKING.iter().filter_map(|call| asked.get(&call.replace("{node}", "pve1"))).sum();
        assert!((3..20).contains(&blocking), "{blocking} calls that were given up in half an hour");
        assert!(quick.load(Ordering::Relaxed) > 500, "calls that cannot block go on beside them: {quick:?}");
    });
}

#[test]
fn nodes_are_asked_for_replication_one_after_the_other() {
    let lab = Simulated::start(world(), 1);
    let calls = ["pve1", "pve2", "pve3", "pve4"].map(|node| format!("/nodes/{node}/replication"));
    calls.iter().for_each(|call| lab.cluster.sims[0].set_fault(call, Fault::Slow(Duration::from_millis(150))));
    let slow = collectors::ALL.iter().filter(|collector| !is_fast(collector.name) && collector.name != "replication");
    let others: String = slow.map(|collector| format!("{} = false\n", collector.name)).collect();
    let exporter = Exporter::serve(&format!("{}\n[collectors]\n{others}", lab.cluster.config("home")));
    exporter.page("/metrics");
    let started = Instant::now();
    let mut most = 0;
    loop {
        let load = lab.cluster.sims[0].load();
        let open = load.values().map(|load| load.open).sum::<u32>();
        most = most.max(open);
        let asked = lab.cluster.sims[0].requests_by_path();
        if open == 0 && calls.iter().all(|call| asked.contains_key(call)) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{asked:?}");
        std::thread::yield_now();
    }
    assert_eq!(most, 1);
}
