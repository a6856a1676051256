//! Whatever goes wrong with whichever call of the fast lane: the page comes in time, is valid, shows all that the other
//! calls told and nothing of what failed, and is whole again at the next scrape.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pve_sentinel::collectors::{self, Lane};
use pve_sentinel::sim::{Fault, NodeState, World};

use crate::support::{Exporter, Page, Series, Simulated, request};
use Cause::{Answers, Clock, Node};
use Effect::{Fails, Whole};

/// What goes wrong, and where.
enum Cause {
    /// With the answers to one call or to all, for one cell of the matrix each.
    Answers(Fault),
    /// With the node, and so with all calls.
    Node(NodeState),
    /// The cluster's clock is set forward, then back to where it had been long before.
    Clock,
}

/// What a scrape makes of it.
enum Effect {
    /// Nothing is missing.
    Whole,
    /// What the call tells is missing, for this reason.
    Fails(&'static str),
}

fn table() -> Vec<(&'static str, Cause, Effect)> {
    vec![
        ("401", answers(401, "Authentication failed!"), Fails("unauthorized")),
        ("403", answers(403, "Permission check failed (/, Sys.Audit)"), Fails("forbidden")),
        ("500", answers(500, "got no worker upid - start worker failed"), Fails("status")),
        ("501", answers(501, "Method 'GET /x' not implemented"), Fails("status")),
        ("595", answers(595, "No route to host"), Fails("status")),
        ("596", answers(596, "Connection timed out"), Fails("status")),
        ("a redirection", answers(301, "Moved Permanently"), Fails("status")),
        ("HTML", body("<html><body>Bad Gateway</body></html>"), Fails("malformed")),
        ("an empty body", body(""), Fails("malformed")),
        ("null", body("null"), Fails("malformed")),
        ("null data", body(r#"{"data":null}"#), Fails("malformed")),
        ("an empty object for data", body(r#"{"data":{}}"#), Fails("malformed")),
        ("an empty list for data", body(r#"{"data":[]}"#), Fails("malformed")),
        ("a text for data", body(r#"{"data":"everything is fine"}"#), Fails("malformed")),
        ("entries of wrong types", body(r#"{"data":[7,null,"node",[[]],true]}"#), Fails("malformed")),
        ("fields of wrong types", body(r#"{"data":[{"type":[7],"version":[],"name":{}}]}"#), Fails("malformed")),
        ("no text at all", Answers(Fault::Body(b"{\"data\":[\"\xff\"]}"[..].into())), Fails("malformed")),
        ("deep nesting", Answers(Fault::nested(1_000_000)), Fails("malformed")),
        ("half an answer", Answers(Fault::Truncate), Fails("malformed")),
        ("half the length announced", Answers(Fault::Understate), Fails("malformed")),
        ("bytes after the answer", Answers(Fault::Surplus(b"HTTP/1.1 200 OK\r\n\r\n{}"[..].into())), Whole),
        ("a reset", Answers(Fault::Reset), Fails("unreachable")),
        ("every fifth reset", Answers(Fault::EveryNth { n: 5, fault: Box::new(Fault::Reset) }), Whole),
        ("a kept connection reset", Answers(Fault::CloseKeepAlive), Whole),
        ("silence before the headers", Answers(Fault::Hang), Fails("timeout")),
        ("headers without end", Answers(Fault::EndlessHeaders), Fails("timeout")),
        ("silence in the body", Answers(Fault::Stall { after_bytes: 10 }), Fails("timeout")),
        ("16 B/s", Answers(Fault::Drip { bytes_per_second: 16 }), Fails("timeout")),
        ("300 MB", Answers(Fault::BigBody { bytes: 300 << 20 }), Fails("too_large")),
        ("a body without end", Answers(Fault::BigBody { bytes: u64::MAX }), Fails("too_large")),
        ("gzip that nobody asked for", Answers(Fault::Gzip), Fails("malformed")),
        ("bad gzip", Answers(Fault::BadGzip), Fails("malformed")),
        ("late answers", Answers(Fault::Slow(Duration::from_millis(200))), Whole),
        ("answers after the deadline", Answers(Fault::Slow(Duration::from_secs(30))), Fails("timeout")),
        ("a slow node", Node(NodeState::Slow(Duration::from_millis(200))), Whole),
        ("a node slower than the deadline", Node(NodeState::Slow(Duration::from_secs(30))), Fails("timeout")),
        ("a dead node", Node(NodeState::Dead), Fails("unreachable")),
        ("a hung node", Node(NodeState::Hung), Fails("timeout")),
        ("a clock that jumps", Clock, Whole),
    ]
}

fn answers(code: u16, reason: &str) -> Cause {
    Answers(Fault::Status { code, reason: reason.to_owned(), body: String::new() })
}

fn body(text: &'static str) -> Cause {
    Answers(Fault::Body(text.into()))
}

const RESOURCES: &str = "/cluster/resources";
const STATUS: &str = "/cluster/status";
const VERSION: &str = "/version";
const ALL: &str = "";

/// What the caller gives a scrape, and how much of it is kept for the page: generous, as the machine may be busy.
const DEADLINE: Duration = Duration::from_millis(2500);
const CONFIG: &str = "[scrape]\nmax_age = \"0s\"\nmargin = \"1s\"\nmax_body = \"4MiB\"\n";

/// Three times what is read of two endless answers at once.
const MOST_MEMORY: u64 = 3 * 2 * (4 << 20);

/// As many rows of the table are tried at once; most of them wait most of the time.
const AT_ONCE: usize = 8;

#[test]
fn every_fault_with_every_call() {
    let rows = Mutex::new(VecDeque::from(table()));
    let next = || rows.lock().unwrap().pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, cause, effect)) = next() {
                    try_row(name, &cause, &effect);
                }
            });
        }
    });
}

fn try_row(name: &str, cause: &Cause, effect: &Effect) {
    let lab = Simulated::start(World::new(1, 3, 30), 1);
    lab.turn_to(1000);
    let exporter = Exporter::serve(&format!("{CONFIG}{}", lab.cluster.config("home")));
    let healthy = scrape(&exporter, name);
    for call in [RESOURCES, STATUS, VERSION] {
        assert!(
            figures(&healthy).keys().any(|(family, labels)| told_by(family, labels) == call),
            "{call} tells nothing"
        );
    }
    let cell = |call| Cell { lab: &lab, exporter: &exporter, what: format!("{name}, {call:?}"), cause, effect, call };
    if matches!(cause, Answers(_)) {
        cell(RESOURCES).prove(&[RESOURCES]);
        cell(STATUS).prove(&[STATUS]);
        // It is asked every five minutes only: its failure is seen by an exporter that never had an answer.
        let newcomer = Exporter::serve(&format!("{CONFIG}{}", lab.cluster.config("home")));
        Cell { exporter: &newcomer, ..cell(VERSION) }.prove(&[VERSION]);
    }
    cell(ALL).prove(&[RESOURCES, STATUS]);
}

/// One fault with one call.
struct Cell<'a> {
    lab: &'a Simulated,
    exporter: &'a Exporter,
    what: String,
    cause: &'a Cause,
    effect: &'a Effect,
    call: &'static str,
}

impl Cell<'_> {
    /// `calls` are those whose figures go missing, unless the fault is one that costs nothing.
    fn prove(&self, calls: &[&str]) {
        let Self { lab, exporter, what, .. } = self;
        let errors_before = errors(&parse(exporter, "/metrics?collect[]=process"));
        let (time, memory) = (lab.now().as_secs() + 10, exporter.peak_memory());
        lab.turn_to(time);
        self.begin();
        let (missing, reason, scrapes) = match self.effect {
            // Enough for what strikes at times only.
            Whole => (&[][..], None, 6),
            Fails(reason) => (calls, Some(*reason), 1),
        };
        let spoilt: Vec<Page> = (0..scrapes).map(|_| scrape(exporter, what)).collect();
        // The kernel counts a process' pages in batches: what is read may be a little less than before.
        let grown = exporter.peak_memory().saturating_sub(memory);
        self.end(time);
        let whole = scrape(exporter, what);
        assert!(failed(&whole).is_empty(), "{what}: not whole again: {:?}\n{}", failed(&whole), exporter.log());
        let mut expected = figures(&whole);
        expected.retain(|(family, labels), _| !missing.contains(&told_by(family, labels)));
        for page in &spoilt {
            // The clock stood still since: what is there is of now, and what failed is not there.
            let differences = differences(&self.comparable(figures(page)), &self.comparable(expected.clone()));
            assert!(differences.is_empty(), "{what}: {differences:#?}");
            assert_eq!(failed(page), collectors_of(missing), "{what}");
            for collector in collectors_of(missing).iter().filter(|_| reason == Some("timeout")) {
                let waited = page.value("pve_scrape_collector_duration_seconds", &[("collector", collector)]);
                assert!(waited >= Some(1.5), "{what}: {collector} waited {waited:?}");
            }
        }
        let mut new_errors = errors(&whole);
        new_errors.retain(|key, count| {
            *count -= errors_before.get(key).unwrap_or(&0.0);
            *count > 0.0
        });
        let told = collectors_of(missing)
            .into_iter()
            .map(|collector| ((collector, reason.unwrap_or_default().to_owned()), 1.0));
        assert_eq!(new_errors, told.collect(), "{what}\n{}", exporter.log());
        assert!(grown < MOST_MEMORY, "{what}: {grown} bytes more");
    }

    fn begin(&self) {
        match self.cause {
            Answers(fault) => self.lab.cluster.sims[0].set_fault(self.call, fault.clone()),
            Node(state) => self.lab.cluster.set_node_state(0, *state),
            Clock => self.lab.turn_to(10 * 365 * 86_400),
        }
    }

    fn end(&self, time: u64) {
        match self.cause {
            Answers(_) => self.lab.cluster.sims[0].clear_faults(),
            Node(_) => self.lab.cluster.set_node_state(0, NodeState::Well),
            Clock => self.lab.turn_to(time - 500),
        }
    }

    /// Where it is the clock that is at fault, the figures are of another time, and only the series can be the same.
    fn comparable(&self, mut figures: Figures) -> Figures {
        if matches!(self.cause, Clock) {
            figures.values_mut().for_each(|value| *value = 0.0);
        }
        figures
    }
}

/// What the cluster says of itself, by family and labels.
type Figures = BTreeMap<(String, Series), f64>;

/// A page that came in time.
fn scrape(exporter: &Exporter, what: &str) -> Page {
    let started = Instant::now();
    let seconds = DEADLINE.as_secs_f64().to_string();
    let headers = [("X-Prometheus-Scrape-Timeout-Seconds", seconds.as_str())];
    let reply = request(exporter.address, "GET", "/metrics", &headers);
    let waited = started.elapsed();
    assert_eq!(reply.status, 200, "{what}");
    assert!(waited < DEADLINE, "{what}: {waited:?}\n{}", exporter.log());
    Page::parse(&reply.text())
}

fn parse(exporter: &Exporter, path: &str) -> Page {
    Page::parse(&exporter.page(path))
}

fn figures(page: &Page) -> Figures {
    let ours = ["pve_scrape_", "pve_sentinel_", "process_"];
    let families = page.samples.iter().filter(|(name, _)| !ours.iter().any(|prefix| name.starts_with(prefix)));
    families
        .flat_map(|(name, series)| series.iter().map(|(labels, value)| ((name.clone(), labels.clone()), *value)))
        .collect()
}

/// What is in only one of the two, or has another value there.
fn differences(found: &Figures, expected: &Figures) -> Vec<String> {
    let missing = expected.iter().filter(|(key, value)| found.get(*key) != Some(*value));
    let unexpected = found.iter().filter(|(key, value)| expected.get(*key) != Some(*value));
    missing
        .map(|figure| format!("expected {figure:?}"))
        .chain(unexpected.map(|figure| format!("found {figure:?}")))
        .collect()
}

/// The call whose answer a series is made from.
fn told_by(family: &str, labels: &Series) -> &'static str {
    match family {
        "pve_version_info" => VERSION,
        "pve_cluster_info" | "pve_node_info" => STATUS,
        "pve_up" if labels["id"].starts_with("cluster/") => STATUS,
        _ => RESOURCES,
    }
}

/// The collectors that read any of the calls.
fn collectors_of(calls: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    if calls.contains(&RESOURCES) {
        names.extend(["allocation", "guest", "ha", "lock", "node", "pool", "storage"].map(str::to_owned));
    }
    if calls.contains(&STATUS) || calls.contains(&VERSION) {
        names.push("cluster".to_owned());
    }
    names.sort();
    names
}

/// The collectors without success, sorted.
fn failed(page: &Page) -> Vec<String> {
    let outcomes = page.samples["pve_scrape_collector_success"].iter();
    assert_eq!(outcomes.len(), collectors::ALL.iter().filter(|one| matches!(one.lane, Lane::Fast(_))).count());
    outcomes.filter(|(_, success)| **success == 0.0).map(|(labels, _)| labels["collector"].clone()).collect()
}

/// Failures so far, by collector and reason.
fn errors(page: &Page) -> BTreeMap<(String, String), f64> {
    let counts = page.samples.get("pve_scrape_collector_errors_total").into_iter().flatten();
    counts.map(|(labels, count)| ((labels["collector"].clone(), labels["reason"].clone()), *count)).collect()
}
