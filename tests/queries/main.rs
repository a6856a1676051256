//! What the dashboards' queries and the rules cost: `cargo bench --bench queries [-- --nodes 16 --guests 2000]`.
//!
//! Twenty minutes of a simulated cluster, as the exporter tells them, are put into a real Prometheus (Debian's, on the
//! PATH), and what the rules record of them. Then each query is asked as Grafana would, and compared with `sum(pve_up)`
//! in the same run: only these ratios mean anything.

#![expect(unreachable_pub, reason = "what the support modules share is public among them")]
#![expect(clippy::unwrap_used, reason = "whoever starts it reads where it ended")]
#![expect(clippy::cast_precision_loss, reason = "numbers to look at")]

#[expect(dead_code, reason = "the tests use more of it")]
#[expect(unused_imports, reason = "the tests use more of it")]
#[path = "../support/mod.rs"]
mod support;

mod prometheus;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Prometheus, Timed};
use pve_sentinel::sim::World;
use support::{Exporter, Simulated, of_clusters, repository};

const MINUTES: i64 = 20;
/// Seconds between two scrapes.
const STEP: i64 = 30;
/// How often each query is asked; the fastest counts.
const TIMES: usize = 5;

struct Query {
    /// Dashboard, panel and letter.
    place: String,
    expr: String,
    is_instant: bool,
}

fn main() {
    let (mut nodes, mut guests) = (16, 2000);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|number| number.parse().ok()).expect("a number after it");
        match word.as_str() {
            "--nodes" => nodes = number(),
            "--guests" => guests = number(),
            // What cargo bench adds.
            "--bench" => {}
            other => panic!("unknown argument {other}: --nodes and --guests are known"),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let end = i64::try_from(now()).unwrap();
    say(&format!("{MINUTES} minutes of {nodes} nodes and {guests} guests, a page every {STEP} s"));
    let pages = folder.path().join("pages.prom");
    let samples = record(&pages, (nodes, guests), end - MINUTES * 60);
    say(&format!("{samples} samples"));
    let prometheus = Prometheus::filled(folder.path(), &pages, end - MINUTES * 60, end);
    report(&prometheus, end);
}

#[expect(clippy::disallowed_methods, reason = "Prometheus keeps nothing that is older than its own clock allows")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60 * 60
}

/// Writes the pages with their times; answers how many samples they have.
fn record(file: &Path, (nodes, guests): (usize, usize), begin: i64) -> usize {
    // Nothing moves: what is put in afterwards has no marks that a series has ended, and would seem to be in two places.
    let cluster = Simulated::start(World::new(1, nodes, guests).begun_at(begin), 2);
    let exporter = Exporter::serve_all(&cluster.cluster.config("home"));
    exporter.settled_page("/metrics", &of_clusters());
    let mut file = std::io::BufWriter::new(std::fs::File::create(file).unwrap());
    let mut samples = 0;
    for second in (0..=MINUTES * 60).step_by(usize::try_from(STEP).unwrap()) {
        cluster.turn_to(second.unsigned_abs());
        let page = exporter.page("/metrics");
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let comma = if labels == "}" { "" } else { "," };
            let time = begin + second;
            writeln!(file, "{name}{{instance=\"a\",job=\"pve-sentinel\"{comma}{labels} {value} {time}").unwrap();
            samples += 1;
        }
        writeln!(file, "up{{instance=\"a\",job=\"pve-sentinel\"}} 1 {}", begin + second).unwrap();
    }
    writeln!(file, "# EOF").unwrap();
    file.flush().unwrap();
    samples
}

/// Every query of every panel, with variables as a reader would choose them at first: everything.
fn queries() -> Vec<Query> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(repository().join("dashboards")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut queries = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let board: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy();
        let panels = board["panels"].as_array().unwrap();
        let nested = panels.iter().flat_map(|row| row["panels"].as_array().into_iter().flatten());
        for panel in panels.iter().chain(nested) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let letter = target["refId"].as_str().unwrap_or_default();
                queries.push(Query {
                    place: format!("{name}: {} {letter}", panel["title"].as_str().unwrap_or_default()),
                    expr: filled_in(target["expr"].as_str().unwrap()),
                    is_instant: target["instant"] == true,
                });
            }
        }
    }
    queries
}

fn filled_in(expr: &str) -> String {
    let chosen = [
        ("$__rate_interval", "2m"),
        ("$__range", "20m"),
        ("$__interval", "30s"),
        ("$cluster", "home"),
        ("$node", "pve1"),
        ("$guest", "qemu/101"),
        ("$storage", ".+"),
        ("$host", ".+"),
        ("$search", ""),
        ("$top", "10"),
    ];
    chosen.iter().fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}

fn report(prometheus: &Prometheus, end: i64) {
    let ask = |expr: &str, is_instant: bool| -> Timed {
        let times = (0..TIMES).map(|_| prometheus.ask(expr, is_instant, (end - MINUTES * 60, end, STEP)));
        times.min_by(|one, other| one.seconds.total_cmp(&other.seconds)).unwrap()
    };
    let (floor_now, floor_over) = (ask("sum(pve_up)", true), ask("sum(pve_up)", false));
    let mut timed: Vec<(f64, Timed, Query)> = Vec::new();
    for query in queries() {
        let time = ask(&query.expr, query.is_instant);
        let floor = if query.is_instant { &floor_now } else { &floor_over };
        timed.push((time.seconds / floor.seconds, time, query));
    }
    let with_data = timed.iter().filter(|(_, time, _)| time.series > 0).count();
    let share = 100.0 * with_data as f64 / timed.len().max(1) as f64;
    say(&format!("{} queries, {with_data} with data ({share:.0} %)", timed.len()));
    timed.sort_by(|one, other| other.0.total_cmp(&one.0));
    say("the slowest, as multiples of sum(pve_up) asked the same way, with the series they give:");
    for (ratio, time, query) in timed.iter().take(15) {
        let how = if query.is_instant { "now" } else { "over time" };
        say(&format!("{ratio:8.1} × {:6} {how:9} {}", time.series, query.place));
    }
    let most = timed.iter().map(|(_, time, _)| time.series).max().unwrap_or(0);
    say(&format!("the most series of one query: {most}"));
}

/// Writes to stdout; a closed pipe is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
