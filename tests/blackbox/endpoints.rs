//! Endpoints that die, hang, fail or belong elsewhere: scrapes stay whole, each change is one line, no data mix.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use pve_sentinel::config::Env;
use pve_sentinel::metrics::{Format, Own};
use pve_sentinel::pve::{Answer, Client, Error, Limits, Path, Reason, Roots};
use pve_sentinel::sim::{
    self, Certificate, Credential, Fault, Options, Recorded, Reply, Rights, Sim, Source, Token, World,
};
use rustls::HandshakeKind;
use tokio::runtime::Runtime;

use crate::support::{Cluster, Exporter, Page, SECRET, TOKEN_ID, recorded};

/// A cluster whose endpoints can be killed and come back at the same address.
struct Lab {
    runtime: Runtime,
    source: Source,
    sims: Vec<Sim>,
}

impl Lab {
    fn start(count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut lab = Self { runtime, source: recorded("pve-9.2-cluster", "GET_"), sims: Vec::new() };
        for _ in 0..count {
            let sim = lab.endpoint(SocketAddr::from(([127, 0, 0, 1], 0)));
            lab.sims.push(sim);
        }
        lab
    }

    fn endpoint(&self, listen: SocketAddr) -> Sim {
        let tokens = vec![Token { id: TOKEN_ID.into(), secret: SECRET.into(), rights: Rights::Auditor }];
        let options = Options { listen, tokens, unauthorized_delay: Duration::from_millis(1), ..Options::default() };
        self.runtime.block_on(sim::start(options, self.source.clone())).unwrap()
    }

    fn kill(&mut self, index: usize) {
        self.runtime.block_on(self.sims[index].stop());
    }

    fn revive(&mut self, index: usize) {
        self.sims[index] = self.endpoint(self.sims[index].addr());
    }

    fn hang(&self, index: usize) {
        self.sims[index].set_fault("", Fault::Hang);
    }

    /// Waits until what was seen of requests is decided: the endpoints have one thread.
    fn settle(&self) {
        self.runtime.block_on(self.runtime.spawn(async {})).unwrap();
    }

    fn config(&self) -> String {
        config(&self.sims.iter().map(Sim::url).collect::<Vec<_>>(), "")
    }

    /// How often an endpoint was asked for what is on the pages.
    fn asked(&self, index: usize) -> usize {
        self.sims[index].requests().iter().filter(|seen| seen.target != "/api2/json/nodes").count()
    }
}

/// Each scrape is a round of its own; what is tested here is not how certificates are verified.
fn config(urls: &[String], more: &str) -> String {
    format!(
        "[scrape]\nmax_age = \"0s\"\n[[clusters]]\nname = \"home\"\nendpoints = {urls:?}\ntoken_id = \"{TOKEN_ID}\"\n\
         token_secret = \"{SECRET}\"\ntls = {{ insecure_skip_verify = true }}\n{more}"
    )
}

/// A scrape of everything that the fast lane has, and whether all of it came.
fn scrape(exporter: &Exporter) -> (bool, Page) {
    let page = Page::parse(&exporter.page("/metrics"));
    let success = &page.samples["pve_scrape_collector_success"];
    let fast = ["cluster", "guest", "ha", "lock", "node", "pool", "storage"];
    let whole =
        fast.iter().all(|name| success.iter().any(|(labels, value)| labels["collector"] == *name && *value == 1.0));
    (whole, page)
}

fn whole(exporter: &Exporter) {
    assert!(scrape(exporter).0, "an incomplete scrape:\n{}", exporter.log());
}

/// Longer than any pause of the exporter; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// Scrapes, each of them whole, until the log has so many lines with these words.
fn scrape_until(exporter: &Exporter, words: &str, count: usize) {
    let started = Instant::now();
    while lines(exporter, words) < count {
        assert!(started.elapsed() < PATIENCE, "never {count} times in the log: {words:?}");
        whole(exporter);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn lines(exporter: &Exporter, words: &str) -> usize {
    exporter.log().lines().filter(|line| line.contains(words)).count()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Well,
    Killed,
    Hung,
}

fn in_every_order(order: [State; 3]) {
    let mut lab = Lab::start(3);
    let exporter = Exporter::serve(&lab.config());
    whole(&exporter);
    for (index, state) in order.iter().enumerate() {
        match state {
            State::Well => {}
            State::Killed => lab.kill(index),
            State::Hung => lab.hang(index),
        }
    }
    let well = order.iter().position(|state| *state == State::Well).unwrap();
    scrape_until(&exporter, "endpoint down", well);
    let asked: Vec<usize> = (0..3).map(|index| lab.asked(index)).collect();
    (0..5).for_each(|_| whole(&exporter));
    for (index, before) in asked.iter().enumerate().filter(|(index, _)| *index != well) {
        assert_eq!(lab.asked(index), *before, "{order:?}: {index} is still asked first");
    }
    for (index, state) in order.iter().enumerate() {
        match state {
            State::Well => {}
            State::Killed => lab.revive(index),
            State::Hung => lab.sims[index].clear_faults(),
        }
    }
    scrape_until(&exporter, "endpoint well again", well);
    let before = lab.asked(0);
    whole(&exporter);
    assert!(lab.asked(0) > before, "{order:?}: the first one is asked first again");
    assert_eq!((lines(&exporter, "endpoint down"), lines(&exporter, "endpoint well again")), (well, well), "{order:?}");
    assert_eq!(lines(&exporter, "level=warn"), well + 1, "and one at the start for tls:\n{}", exporter.log());
}

#[test]
fn one_killed_and_one_hung_in_every_order_cost_no_scrape() {
    use State::{Hung, Killed, Well};
    let orders = [
        [Well, Killed, Hung],
        [Well, Hung, Killed],
        [Killed, Well, Hung],
        [Hung, Well, Killed],
        [Killed, Hung, Well],
        [Hung, Killed, Well],
    ];
    std::thread::scope(|scope| {
        for order in orders {
            scope.spawn(move || in_every_order(order));
        }
    });
}

#[test]
fn one_of_two_after_the_other() {
    let mut lab = Lab::start(2);
    let exporter = Exporter::serve(&lab.config());
    whole(&exporter);
    lab.kill(0);
    scrape_until(&exporter, "endpoint down", 1);
    lab.revive(0);
    scrape_until(&exporter, "endpoint well again", 1);
    lab.hang(0);
    scrape_until(&exporter, "endpoint down", 2);
    lab.sims[0].clear_faults();
    scrape_until(&exporter, "endpoint well again", 2);
    lab.kill(1);
    (0..3).for_each(|_| whole(&exporter));
    assert_eq!((lines(&exporter, "endpoint down"), lines(&exporter, "endpoint well again")), (2, 2));
    lab.kill(0);
    assert!(!scrape(&exporter).0, "nobody is left");
    lab.revive(1);
    scrape_until_whole(&exporter);
    assert!(lines(&exporter, "endpoint down") <= 4, "{}", exporter.log());
}

/// With all endpoints down, they are asked all the same.
fn scrape_until_whole(exporter: &Exporter) {
    assert!(scrape(exporter).0, "one is back: {}", exporter.log());
}

#[test]
fn a_call_that_fails_at_one_endpoint_is_told_once_and_goes_to_the_other() {
    let out_of_order = Fault::Status { code: 500, reason: "out of order".into(), body: String::new() };
    std::thread::scope(|scope| {
        for fault in [out_of_order, Fault::Hang, Fault::Truncate] {
            scope.spawn(move || one_call_fails(&fault));
        }
    });
}

fn one_call_fails(fault: &Fault) {
    let lab = Lab::start(2);
    let exporter = Exporter::serve(&lab.config());
    whole(&exporter);
    lab.sims[0].set_fault("/cluster/status", fault.clone());
    scrape_until(&exporter, "endpoint fails at one call", 1);
    (0..5).for_each(|_| whole(&exporter));
    assert_eq!(lines(&exporter, "endpoint fails at one call"), 1, "{fault:?}: {}", exporter.log());
    assert!(exporter.wait_for_log("endpoint fails at one call").contains("/api2/json/cluster/status"));
    assert_eq!(lines(&exporter, "endpoint down"), 0, "{fault:?}: {}", exporter.log());
    let resources = |index: usize| {
        lab.sims[index].requests().iter().filter(|seen| seen.target.ends_with("/cluster/resources")).count()
    };
    assert_eq!(resources(1), 0, "{fault:?}: the other calls stay where they were");
    lab.sims[0].clear_faults();
    scrape_until(&exporter, "endpoint answers the call again", 1);
}

#[test]
fn an_endpoint_of_another_cluster_is_refused_and_named() {
    let mut home = Lab::start(1);
    let other = Cluster::start(1, Source::World(Arc::new(World::new(1, 3, 20))), Certificate::Good);
    let exporter = Exporter::serve(&config(&[home.sims[0].url(), other.sims[0].url()], ""));
    whole(&exporter);
    assert!(other.sims[0].requests().is_empty(), "it is not asked before it is needed");
    home.kill(0);
    let mut page = Page::default();
    for _ in 0..3 {
        let (whole, next) = scrape(&exporter);
        assert!(!whole);
        assert!(!next.samples.contains_key("pve_up") && !next.samples.contains_key("pve_node_info"), "foreign data");
        assert!(!next.samples.contains_key("pve_cluster_info") && !next.samples.contains_key("pve_guest_info"));
        page = next;
    }
    assert!(
        page.value("pve_scrape_collector_errors_total", &[("collector", "node"), ("reason", "unreachable")]).is_some()
    );
    let line = exporter.wait_for_log("endpoint refused");
    for words in [&*other.sims[0].url(), "level=error", "pve-lab", "pve1", "pve3", "another cluster"] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert_eq!(lines(&exporter, "endpoint refused"), 1);
    assert!(other.sims[0].requests().iter().all(|seen| seen.target == "/api2/json/nodes"));
    home.revive(0);
    whole(&exporter);
    home.kill(0);
    assert!(!scrape(&exporter).0);
    assert_eq!((other.sims[0].requests().len(), lines(&exporter, "endpoint refused")), (1, 1), "never asked again");
}

#[test]
fn a_lone_endpoint_costs_no_call_of_its_own() {
    let mut lab = Lab::start(1);
    let exporter = Exporter::serve(&lab.config());
    whole(&exporter);
    lab.kill(0);
    (0..3).for_each(|_| assert!(!scrape(&exporter).0));
    lab.revive(0);
    (0..3).for_each(|_| whole(&exporter));
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    assert_eq!(page.value("pve_sentinel_api_requests_total", &[("path", "/nodes")]), None);
}

#[test]
fn a_silent_answer_is_asked_for_once_more_on_a_new_connection() {
    let lab = Lab::start(1);
    let exporter = Exporter::serve(&lab.config());
    whole(&exporter);
    let before = (lab.asked(0), lab.sims[0].connections().accepted);
    lab.hang(0);
    let (done, page) = std::thread::scope(|scope| {
        let scraping = scope.spawn(|| scrape(&exporter));
        // The requests that hang are there; those that follow are answered.
        while lab.asked(0) < before.0 + 2 {
            std::thread::yield_now();
        }
        lab.settle();
        lab.sims[0].clear_faults();
        scraping.join().unwrap()
    });
    assert!(done, "{}", exporter.log());
    let waited = page.value("pve_scrape_collector_duration_seconds", &[("collector", "node")]).unwrap();
    assert!((1.0..9.0).contains(&waited), "{waited}");
    assert_eq!(lab.asked(0), before.0 + 4);
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    let given_up = [("path", "/cluster/resources"), ("outcome", "given_up")];
    assert_eq!(page.value("pve_sentinel_api_requests_total", &given_up), Some(1.0));
}

#[test]
fn connections_are_kept_as_far_as_pveproxy_keeps_them() {
    let lab = Lab::start(1);
    let exporter = Exporter::serve(&lab.config());
    whole(&exporter);
    let accepted = || lab.sims[0].connections().accepted;
    assert!(accepted() <= 3, "{}", accepted());
    // One is needed and at least one is there.
    let before = accepted();
    (0..5).for_each(|_| drop(exporter.page("/metrics?collect[]=node")));
    assert_eq!(accepted(), before, "a kept connection is used again");
    // The answer of /cluster/status says that it closes.
    (0..5).for_each(|_| whole(&exporter));
    assert!(accepted() <= before + 5, "{} more in five rounds", accepted() - before);
}

#[test]
fn the_credential_goes_to_no_address_that_only_an_answer_named() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let at = trap.local_addr().unwrap();
    let node = |name: &str| {
        serde_json::json!({ "type": "node", "name": name, "node": name, "ip": at.to_string(), "online": 1,
        "local": 1, "id": format!("node/{name}"), "status": "online", "url": format!("https://{at}/"), "address": at.to_string() })
    };
    let nodes = [node("pve1"), node(&at.to_string()), node(&format!("x@{at}/")), node(&format!("../../../../{at}"))];
    let answer = |data: serde_json::Value| Reply::json(200, "OK", serde_json::json!({ "data": data }).to_string());
    let answers = BTreeMap::from([
        ("/api2/json/cluster/resources".to_owned(), answer(nodes.clone().into())),
        ("/api2/json/cluster/status".to_owned(), answer(nodes.clone().into())),
        ("/api2/json/nodes".to_owned(), answer(nodes.into())),
        (
            "/api2/json/version".to_owned(),
            Reply::json(302, &format!("Found\r\nLocation: https://{at}/api2/json/version"), "{}"),
        ),
    ]);
    let cluster = Cluster::start(2, Source::Recorded(Recorded(answers)), Certificate::Good);
    let exporter = Exporter::serve(&cluster.config("home"));
    for _ in 0..3 {
        let page = Page::parse(&exporter.page("/metrics"));
        assert_eq!(page.value("pve_up", &[("id", "node/pve1")]), Some(1.0), "the answers are taken as such");
    }
    cluster.sims[0].set_fault("/cluster", Fault::Reset);
    exporter.page("/metrics");
    exporter.wait_for_log("302 Found");
    assert!(
        cluster.sims.iter().flat_map(Sim::requests).all(|seen| seen.credential == Credential::Right(Rights::Auditor))
    );
    assert_eq!(trap.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody came");
}

/// The client itself, for what no scrape asks for.
fn client(urls: &[String], more: &str) -> (Client, Arc<Own>) {
    let text = config(urls, more);
    let loaded = pve_sentinel::config::parse(&text, "x.toml".as_ref(), &Env::new(&|_| None), &[]).unwrap();
    let own = Arc::new(Own::new("1"));
    let limits = Limits { max_body: 1 << 20 };
    (Client::new(&loaded.config.clusters[0], limits, &Roots::default(), Arc::clone(&own)).unwrap(), own)
}

const EXPORT: &str = "/cluster/metrics/export";

impl Lab {
    /// What the fast lane does in an exporter.
    fn read(&self, client: &Client) {
        self.runtime.block_on(async {
            let answer = client.get("/cluster/status").await.unwrap();
            client.learn(&answer, &["pve-lab", "pve-lab2"], Some("pve-lab"));
        });
    }

    fn get_node(&self, client: &Client, node: &str) -> Result<Answer, Error> {
        let permit = client.gate().try_enter(node, false).unwrap();
        self.runtime.block_on(client.get_node(&Path::new("/nodes/{node}/qemu", &[("node", node)]), &permit))
    }

    fn targets(&self, index: usize) -> Vec<String> {
        self.sims[index].requests().into_iter().map(|seen| seen.target.replace("/api2/json", "")).collect()
    }
}

#[test]
fn a_node_is_asked_directly_and_through_an_endpoint_where_that_fails() {
    let mut lab = Lab::start(2);
    let direct = format!("node_addresses = {{ pve-lab2 = {:?} }}", lab.sims[1].url());
    let (client, own) = client(&[lab.sims[0].url()], &direct);
    lab.get_node(&client, "pve-lab2").unwrap();
    assert_eq!(lab.targets(0), ["/nodes/pve-lab2/qemu"], "nothing is known yet to compare with");
    lab.read(&client);
    lab.get_node(&client, "pve-lab2").unwrap();
    lab.get_node(&client, "pve-lab2").unwrap();
    assert_eq!(lab.targets(1), ["/nodes", "/nodes/pve-lab2/qemu", "/nodes/pve-lab2/qemu"]);
    lab.get_node(&client, "pve-lab3").unwrap_err();
    assert_eq!(lab.targets(0).last().unwrap(), "/nodes/pve-lab3/qemu", "no address is configured for it");
    lab.kill(1);
    let before = lab.targets(0).len();
    (0..3).for_each(|_| drop(lab.get_node(&client, "pve-lab2").unwrap()));
    assert_eq!(lab.targets(0).len(), before + 3);
    lab.revive(1);
    let started = Instant::now();
    while lab.targets(1).len() < 2 {
        assert!(started.elapsed() < PATIENCE, "never asked directly again");
        lab.get_node(&client, "pve-lab2").unwrap();
    }
    assert_eq!(lab.targets(1)[..2], ["/nodes", "/nodes/pve-lab2/qemu"], "who comes back proves itself again");
    let page = own.encode(Format::Text004);
    assert!(page.contains("path=\"/nodes/{node}/qemu\",outcome=\"ok\"") && !page.contains("pve-lab2"), "{page}");
}

#[test]
fn what_the_node_says_is_not_asked_again_through_an_endpoint() {
    let lab = Lab::start(2);
    let direct = format!("node_addresses = {{ pve-lab2 = {:?} }}", lab.sims[1].url());
    let (client, _) = client(&[lab.sims[0].url()], &direct);
    lab.read(&client);
    let reason = "QEMU guest agent is not running".to_owned();
    lab.sims[1].set_fault("/nodes/", Fault::Status { code: 500, reason, body: String::new() });
    let error = lab.get_node(&client, "pve-lab2").unwrap_err();
    assert!(error.to_string().contains("QEMU guest agent is not running"), "{error}");
    assert_eq!(lab.targets(0), ["/cluster/status"]);

    // Who cannot prove that it belongs to the cluster was not asked.
    let (client, _) = self::client(&[lab.sims[0].url()], &direct);
    lab.read(&client);
    lab.sims[1].set_fault("/nodes", Fault::Body("{}".into()));
    lab.get_node(&client, "pve-lab2").unwrap();
    assert_eq!(lab.targets(0).last().unwrap(), "/nodes/pve-lab2/qemu");
}

#[test]
fn a_call_of_the_cluster_waits_for_no_place() {
    let lab = Lab::start(1);
    let (client, _) = client(&[lab.sims[0].url()], "");
    lab.read(&client);
    let export = Path::from(EXPORT);
    let elsewhere = client.gate().try_enter("pve-lab2", true).unwrap();
    let busy = client.gate().try_enter(&client.entry_node(), true).unwrap();
    let error = lab.runtime.block_on(client.get_slow(&export, &elsewhere)).unwrap_err();
    assert!(error.to_string().contains("busy"), "{error}");
    drop(busy);
    lab.runtime.block_on(client.get_slow(&export, &elsewhere)).unwrap();
}

#[test]
fn a_dead_endpoint_beside_a_busy_one_is_no_failure_of_the_call() {
    let mut lab = Lab::start(2);
    let (client, _) = client(&[lab.sims[0].url(), lab.sims[1].url()], "");
    lab.read(&client);
    lab.sims[0].set_fault("/cluster/status", Fault::Reset);
    let answer = lab.runtime.block_on(client.get("/cluster/status")).unwrap();
    client.learn(&answer, &["pve-lab", "pve-lab2"], Some("pve-lab2"));
    let export = Path::from(EXPORT);
    let permit = client.gate().try_enter("pve-lab", true).unwrap();
    let busy = client.gate().try_enter("pve-lab2", true).unwrap();
    lab.kill(0);
    let error = lab.runtime.block_on(client.get_slow(&export, &permit)).unwrap_err();
    assert!(matches!(error.reason, Reason::Busy(_)), "{error}");
    assert!(error.to_string().contains("no connection") && error.to_string().contains("busy"), "{error}");
    drop(busy);
    lab.runtime.block_on(client.get_slow(&export, &permit)).unwrap();
}

#[test]
fn a_node_address_of_another_cluster_is_not_used() {
    let lab = Lab::start(1);
    let other = Cluster::start(1, Source::World(Arc::new(World::new(1, 3, 20))), Certificate::Good);
    let direct = format!("node_addresses = {{ pve-lab2 = {:?} }}", other.sims[0].url());
    let (client, _) = client(&[lab.sims[0].url()], &direct);
    lab.read(&client);
    (0..3).for_each(|_| drop(lab.get_node(&client, "pve-lab2").unwrap()));
    assert_eq!(other.sims[0].requests().len(), 1, "it was asked for its nodes once");
    assert_eq!(lab.targets(0).len(), 4);
}

#[test]
fn names_from_answers_stay_within_their_segment() {
    let lab = Lab::start(1);
    let (client, _) = client(&[lab.sims[0].url()], "");
    for name in ["../../access/users?x=", "a/b", "..", "%2e%2e", ""] {
        lab.get_node(&client, name).unwrap_err();
    }
    let targets = lab.targets(0);
    assert_eq!(targets.len(), 5);
    for target in targets {
        assert!(target.starts_with("/nodes/") && target.ends_with("/qemu"), "{target}");
        assert_eq!(target.matches('/').count(), 3, "{target}");
        assert!(target.contains("%EF%BF%BD") && !target.contains('?'), "{target}");
    }
}

#[test]
fn a_call_that_is_given_up_keeps_its_place_at_the_node() {
    let lab = Lab::start(1);
    let (client, own) = client(&[lab.sims[0].url()], "");
    assert_eq!(client.entry_node(), lab.sims[0].url(), "the address stands in");
    let early = client.gate().try_enter(&client.entry_node(), false).unwrap();
    lab.read(&client);
    assert_eq!((client.entry_node(), client.asked()), ("pve-lab".to_owned(), lab.sims[0].url()));
    let permit = client.gate().try_enter("pve-lab", true).unwrap();
    assert!(client.gate().try_enter("pve-lab", false).is_none(), "the early one counts for the node now");
    let others = [true, false].map(|blocks| client.gate().try_enter("pve-lab2", blocks));
    assert!(others.iter().all(Option::is_some), "and for no other any more");
    lab.hang(0);
    lab.runtime.block_on(async {
        let path = Path::from(EXPORT);
        let seen = async {
            while !lab.targets(0).iter().any(|target| target == EXPORT) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = client.get_slow(&path, &permit) => panic!("answered"), () = seen => {} }
    });
    lab.settle();
    lab.sims[0].clear_faults();
    lab.runtime.block_on(async {
        client.get_slow(&Path::from(EXPORT), &permit).await.unwrap_err();
        client.get_slow(&Path::from(EXPORT), &early).await.unwrap();
    });
    drop((permit, early));
    assert!(client.gate().try_enter("pve-lab", true).is_none());
    assert!(client.gate().try_enter("pve-lab", false).is_some());
    let page = own.encode(Format::Text004);
    for outcome in ["given_up", "ok"] {
        let line = format!("path=\"{EXPORT}\",outcome=\"{outcome}\"}} 1");
        assert!(page.contains(&line), "{line}: {page}");
    }
}

#[test]
fn a_call_of_the_cluster_goes_on_to_an_endpoint_whose_node_has_a_place() {
    let lab = Lab::start(2);
    let (client, _) = client(&[lab.sims[0].url(), lab.sims[1].url()], "");
    let export = Path::from(EXPORT);
    lab.read(&client);
    lab.sims[0].set_fault(EXPORT, Fault::Status { code: 596, reason: "Broken pipe".into(), body: String::new() });
    let permit = client.gate().try_enter(&client.entry_node(), true).unwrap();
    // The second one's node is unknown: it may be the one that is busy with this very call.
    let error = lab.runtime.block_on(client.get_slow(&export, &permit)).unwrap_err();
    assert!(error.to_string().contains("596"), "{error}");
    drop(permit);
    assert!(client.gate().try_enter("pve-lab", true).is_none(), "pveproxy gave up, its node may not have");

    lab.sims[0].set_fault("/cluster/status", Fault::Reset);
    lab.runtime.block_on(async {
        let answer = client.get("/cluster/status").await.unwrap();
        assert_eq!(answer.endpoint(), lab.sims[1].url());
        client.learn(&answer, &["pve-lab", "pve-lab2"], Some("pve-lab2"));
        let permit = client.gate().try_enter("pve-lab", false).unwrap();
        client.get_slow(&export, &permit).await.unwrap();
    });
    assert_eq!(lab.targets(1), ["/nodes", "/cluster/status", EXPORT]);
}

/// A server whose first connection dies at its second request, and whose others end after one; how each was greeted.
async fn greeter(listener: tokio::net::TcpListener, greeted: mpsc::Sender<HandshakeKind>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    for connection in ["Keep-Alive", "close", "close"] {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        greeted.send(stream.get_ref().1.handshake_kind().unwrap()).unwrap();
        let body = r#"{"data":{"version":"9.2.11"}}"#;
        let head = format!("HTTP/1.1 200 OK\r\nConnection: {connection}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        if connection == "Keep-Alive" {
            assert!(stream.read(&mut request).await.unwrap() > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_also_where_a_kept_connection_died() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (sender, greeted) = mpsc::channel();
    let server = tokio::spawn(greeter(listener, sender));
    let (client, _) = client(&[url], "");
    for _ in 0..3 {
        client.get("/version").await.unwrap();
    }
    server.await.unwrap();
    let kinds: Vec<HandshakeKind> = greeted.iter().collect();
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_accepts_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (client, _) = client(&[format!("https://{}", listener.local_addr().unwrap())], "");
    let started = tokio::time::Instant::now();
    let error = client.get("/version").await.unwrap_err();
    assert!(error.to_string().contains("nothing answered within 3 s"), "{error}");
    assert_eq!(started.elapsed().as_secs(), 4, "asked once more after a second");
    let permit = client.gate().try_enter(&client.entry_node(), true).unwrap();
    let started = tokio::time::Instant::now();
    client.get_slow(&Path::from(EXPORT), &permit).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 3);
    drop(permit);
    assert!(client.gate().try_enter(&client.entry_node(), true).is_some(), "nothing was asked, nothing is under way");
}
