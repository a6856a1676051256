//! Alertmanager notifies people of each event once: Debian's own, with a receiver of our own. Times are a hundredth of the
//! defaults, on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pve_sentinel::config;
use pve_sentinel::events::{Clock, Finding, Keeper, Kind, Ledger, Limits, Notifier, Severity, Span, try_alertmanager};
use pve_sentinel::metrics::Own;
use pve_sentinel::sim::World;
use serde_json::Value;

use super::ledger::failed_task;
use super::programs::{missing, program};
use super::watch::{Lab, listed, look};
use crate::support::{Exporter, Pki};

/// Of 15 min, 1 min, and Alertmanager's `group_interval` of 5 min.
const HOLD: u64 = 9;
const RESEND: u64 = 1;
const GROUP_INTERVAL: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(90);

/// What a webhook was told, one alert after the other: status and labels.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<(String, Value)>>>);

impl Told {
    /// Listens, and gives the address too.
    pub fn start() -> (Self, SocketAddr) {
        let told = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let writer = told.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let writer = writer.clone();
                std::thread::spawn(move || while writer.one(&mut stream).is_some() {});
            }
        });
        (told, address)
    }

    fn one(&self, stream: &mut (impl Read + Write)) -> Option<()> {
        let mut bytes = Vec::new();
        let body = loop {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&piece[..read]);
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if bytes.len() >= end + 4 + length.parse::<usize>().unwrap() {
                break bytes.split_off(end + 4);
            }
        };
        let notification: Value = serde_json::from_slice(&body).unwrap();
        let alerts = notification["alerts"].as_array().unwrap().iter();
        let alerts = alerts.map(|alert| (alert["status"].as_str().unwrap().to_owned(), alert.clone()));
        self.0.lock().unwrap().extend(alerts);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()
    }

    /// How often each alert was told of in one status: by alertname and id.
    pub fn count(&self, status: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, alert) in self.0.lock().unwrap().iter().filter(|(other, _)| other == status) {
            *counts.entry(name(&alert["labels"])).or_default() += 1;
        }
        counts
    }

    pub fn wait_for(&self, status: &str, names: &[String]) {
        let started = Instant::now();
        while !names.iter().all(|name| self.count(status).contains_key(name)) {
            assert!(
                started.elapsed() < PATIENCE,
                "{status} was told of {:?} only, not of {names:?}",
                self.count(status)
            );
            std::thread::yield_now();
        }
    }
}

fn name(labels: &Value) -> String {
    format!("{} {}", labels["alertname"].as_str().unwrap(), labels["id"].as_str().unwrap())
}

/// A Debian's Alertmanager, killed when dropped.
pub struct Alertmanager {
    child: Child,
    address: SocketAddr,
    pub gossip: SocketAddr,
    _folder: tempfile::TempDir,
}

pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Alertmanager {
    pub fn start(hook: SocketAddr, group_by: &str) -> Self {
        Self::start_at(free(), hook, group_by, None)
    }

    pub fn start_at(address: SocketAddr, hook: SocketAddr, group_by: &str, peer: Option<SocketAddr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peer = peer.map(|peer| format!("--cluster.peer={peer}"));
        Self::start_in(folder, (address, hook), group_by, peer)
    }

    fn start_in(
        folder: tempfile::TempDir,
        (address, hook): (SocketAddr, SocketAddr),
        group_by: &str,
        more: Option<String>,
    ) -> Self {
        let file = folder.path().join("alertmanager.yml");
        let config = format!(
            "route: {{receiver: hook, group_by: {group_by}, group_wait: 300ms, group_interval: {GROUP_INTERVAL}s, repeat_interval: 1h}}\n\
             receivers:\n- name: hook\n  webhook_configs: [{{url: 'http://{hook}/', send_resolved: true}}]\n"
        );
        std::fs::write(&file, config).unwrap();
        let gossip = free();
        let mut command = program("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--cluster.listen-address={gossip}"))
            .args(["--cluster.settle-timeout=1s", "--cluster.peer-timeout=2s", "--cluster.gossip-interval=50ms"]);
        command.args(more);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| missing("prometheus-alertmanager", &error));
        Self { child, address, gossip, _folder: folder }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it sees so many members of its cluster, itself among them.
    pub fn wait_for_members(&self, members: usize) {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "the Alertmanagers never met");
            if std::net::TcpStream::connect(self.address).is_err() {
                std::thread::yield_now();
                continue;
            }
            let status: Value =
                serde_json::from_slice(&crate::support::get(self.address, "/api/v2/status").body).unwrap_or_default();
            let peers = status["cluster"]["peers"].as_array().map_or(0, Vec::len);
            if status["cluster"]["status"] == "ready" && peers == members {
                return;
            }
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A ledger and those who tell of it.
struct Sender {
    ledger: Arc<Ledger>,
    runtime: tokio::runtime::Runtime,
    _keeper: Keeper,
    _folder: Option<tempfile::TempDir>,
}

#[expect(clippy::disallowed_methods, reason = "a real Alertmanager has a real clock")]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

impl Sender {
    fn start(urls: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sender = Self::start_in(folder.path(), urls);
        Self { _folder: Some(folder), ..sender }
    }

    fn start_in(folder: &Path, urls: &[String]) -> Self {
        let open = |url: &String| config::Alertmanager { url: url.clone(), login: None, tls: config::Tls::SystemRoots };
        Self::start_with(folder, urls.iter().map(open).collect())
    }

    fn start_with(folder: &Path, alertmanagers: Vec<config::Alertmanager>) -> Self {
        let urls: Vec<String> = alertmanagers.iter().map(|one| one.url.clone()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let own = Arc::new(Own::new("1"));
        let (ledger, _) = Ledger::open(folder, &urls, Limits::default(), Arc::clone(&own)).unwrap();
        let ledger = Arc::new(ledger);
        let config = config::Events {
            interval: Duration::from_secs(1),
            lookback: Duration::ZERO,
            alertmanagers,
            hold: Duration::from_secs(HOLD),
            resend: Duration::from_secs(RESEND),
            rules: BTreeMap::new(),
        };
        let clock: Clock = Arc::new(now);
        let notifier = Notifier::new(&ledger, &config, clock, &own).unwrap();
        let keeper = runtime.block_on(async { notifier.keep() });
        Self { ledger, runtime, _keeper: keeper, _folder: None }
    }

    fn record(&self, findings: Vec<Finding>) {
        self.runtime.block_on(self.ledger.record("home", findings, BTreeMap::new(), now()));
    }
}

/// One of each kind that is told, with ids of their own.
fn one_of_each(at: i64) -> Vec<Finding> {
    let told = Kind::ALL.iter().zip(1..).filter(|(kind, _)| kind.severity() != Severity::Info);
    let finding = |(kind, number): (&Kind, u64)| Finding {
        kind: *kind,
        severity: kind.severity(),
        ..failed_task(number, &format!("qemu/{number}"), at)
    };
    told.map(finding).collect()
}

fn names(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{} {}", finding.kind.alertname(), finding.id)).collect()
}

/// Each of these was told of once, and once that it is over.
pub fn assert_told_once(told: &Told, names: &[String]) {
    told.wait_for("firing", names);
    told.wait_for("resolved", names);
    let once: BTreeMap<String, usize> = names.iter().map(|name| (name.clone(), 1)).collect();
    assert_eq!(told.count("firing"), once);
    assert_eq!(told.count("resolved"), once);
}

fn condition(kind: Kind, span: Span) -> Finding {
    Finding {
        key: format!("home/{}", kind.name()),
        kind,
        span,
        severity: kind.severity(),
        ..failed_task(0, "node/pve1", 0)
    }
}

#[test]
fn each_kind_is_told_once_and_once_that_it_is_over() {
    let (told, hook) = Told::start();
    let alertmanager = Alertmanager::start(hook, "['...']");
    let sender = Sender::start(&[alertmanager.url()]);
    let events = one_of_each(now() - 3);
    sender.record(events.clone());
    let (since, lost) = (now(), "PVENodeLost node/pve1".to_owned());
    sender.record(vec![condition(Kind::NodeLost, Span::Began { since })]);
    let names = names(&events);
    assert!(names.len() >= 15, "{names:?}");
    told.wait_for("resolved", &names);
    // It outlasts all that is held.
    assert_eq!((told.count("firing")[&lost], told.count("resolved").get(&lost)), (1, None));
    sender.record(vec![condition(Kind::NodeLost, Span::Ended { since, at: now() })]);
    assert_told_once(&told, &[names, vec![lost]].concat());
    let alerts = told.0.lock().unwrap();
    let labels: Vec<&str> = alerts[0].1["labels"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(labels, ["alertname", "cluster", "id", "node", "severity", "task_type"]);
}

#[test]
fn what_joins_a_group_is_told_of_too_and_what_repeats_is_one_alert() {
    let (told, hook) = Told::start();
    let alertmanager = Alertmanager::start(hook, "[cluster]");
    let sender = Sender::start(&[alertmanager.url()]);
    sender.record(vec![failed_task(1, "qemu/1", now())]);
    told.wait_for("firing", &["PVETaskFailed qemu/1".to_owned()]);
    // The group was told of just now: the next time is an interval away.
    let more: Vec<Finding> =
        (2..30).map(|number| failed_task(number, &format!("qemu/{}", number % 3 + 2), now())).collect();
    sender.record(more.clone());
    told.wait_for("firing", &names(&more));
    told.wait_for("resolved", &names(&more));
    let alerts = told.0.lock().unwrap();
    let joined = alerts.iter().find(|(_, alert)| alert["labels"]["id"] == "qemu/2").unwrap();
    assert_eq!(joined.1["annotations"]["count"], "9");
    assert_eq!(joined.1["annotations"]["upids"].as_str().unwrap().split(' ').count(), 9);
}

#[test]
fn two_sidecars_and_two_alertmanagers_tell_once() {
    let (told, hook) = Told::start();
    let first = Alertmanager::start(hook, "['...']");
    let second = Alertmanager::start_at(free(), hook, "['...']", Some(first.gossip));
    first.wait_for_members(2);
    second.wait_for_members(2);
    let urls = [first.url(), second.url()];
    let senders = [Sender::start(&urls), Sender::start(&urls)];
    let events = one_of_each(now() - 2);
    senders.iter().for_each(|sender| sender.record(events.clone()));
    assert_told_once(&told, &names(&events));
}

#[test]
fn an_alertmanager_that_was_away_is_told_of_everything_later() {
    let (told, hook) = Told::start();
    let address = free();
    let sender = Sender::start(&[format!("http://{address}")]);
    let events = one_of_each(now() - 100);
    sender.record(events.clone());
    // Over before anybody was there to hear of it.
    let since = now() - 5;
    sender.record(vec![condition(Kind::QuorumLost, Span::Began { since })]);
    sender.record(vec![condition(Kind::QuorumLost, Span::Ended { since, at: now() })]);
    let _alertmanager = Alertmanager::start_at(address, hook, "['...']", None);
    assert_told_once(&told, &[names(&events), vec!["PVEQuorumLost node/pve1".to_owned()]].concat());
}

#[test]
fn a_restart_in_the_middle_tells_nobody_twice() {
    let (told, hook) = Told::start();
    let alertmanager = Alertmanager::start(hook, "['...']");
    let folder = tempfile::tempdir().unwrap();
    let events = one_of_each(now());
    let (early, late) = events.split_at(8);
    let sender = Sender::start_in(folder.path(), &[alertmanager.url()]);
    sender.record(early.to_vec());
    told.wait_for("firing", &names(early));
    // Kept, and perhaps not sent.
    sender.record(late.to_vec());
    drop(sender);
    let _sender = Sender::start_in(folder.path(), &[alertmanager.url()]);
    assert_told_once(&told, &names(&events));
}

/// The whole program twice, before one cluster.
#[test]
fn two_exporters_side_by_side_are_one_alert_for_each_event() {
    let (told, hook) = Told::start();
    let alertmanager = Alertmanager::start(hook, "['...']");
    let lab = Lab::new(World::new(1, 3, 40));
    let member = format!("{{ url = \"{}\" }}", alertmanager.url());
    let times = format!("interval = \"1s\"\nhold = \"{HOLD}s\"\nresend = \"{RESEND}s\"\n");
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let exporters = folders.each_ref().map(|folder| {
        let config = super::events::config(folder.path(), &lab.simulated.cluster, &member);
        Exporter::serve(&config.replace("hold = \"1h\"\n", &times))
    });
    exporters.iter().for_each(look);
    for id in ["110", "111", "112"] {
        lab.task(0, ("qmstart", id), (95, 101), "start failed");
    }
    lab.simulated.turn_to(110);
    exporters.iter().for_each(look);
    let found = exporters.each_ref().map(|exporter| listed(exporter).into_iter().collect::<BTreeSet<_>>());
    assert_eq!((found[0].len(), &found[0]), (3, &found[1]));
    let names: Vec<String> = found[0].iter().map(|(_, id)| format!("PVETaskFailed {id}")).collect();
    assert_told_once(&told, &names);
}

#[test]
fn passwords_are_sent_to_who_has_shown_the_right_certificate() {
    let (told, hook) = Told::start();
    let (pki, other) = (Pki::new(), Pki::new());
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    // The password is abc.
    let text = format!(
        "tls_server_config: {{cert_file: '{}', key_file: '{}'}}\nbasic_auth_users: {{me: '{}'}}\n",
        pki.path("web.pem").display(),
        pki.path("web.key").display(),
        bcrypt::hash("abc", 4).unwrap(),
    );
    std::fs::write(&web, text).unwrap();
    let more = format!("--web.config.file={}", web.display());
    let alertmanager = Alertmanager::start_in(folder, (free(), hook), "['...']", Some(more));
    let url = format!("https://localhost:{}", alertmanager.address.port());
    let member = |pki: &Pki, password: &str| {
        let path = pki.path("ca.pem");
        let pem = std::fs::read(&path).unwrap();
        let login = config::Login::Basic { name: "me".to_owned(), password: config::Secret::new(password.to_owned()) };
        config::Alertmanager { url: url.clone(), login: Some(login), tls: config::Tls::CaFile { path, pem } }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let started = Instant::now();
    let found = loop {
        // It may not listen yet.
        match runtime.block_on(try_alertmanager(member(&pki, "abc"))) {
            Err(_) if started.elapsed() < PATIENCE => std::thread::yield_now(),
            found => break found.unwrap(),
        }
    };
    assert!(found.starts_with("API v2 of Alertmanager 0."), "{found}");
    let refused = |member| runtime.block_on(try_alertmanager(member)).unwrap_err();
    let wrong = refused(member(&pki, "wrong"));
    assert!(wrong.contains("401") && wrong.contains("check its username and password"), "{wrong}");
    let stranger = refused(member(&other, "abc"));
    assert!(stranger.contains("certificate"), "{stranger}");
    let events = tempfile::tempdir().unwrap();
    let sender = Sender::start_with(events.path(), vec![member(&pki, "abc")]);
    sender.record(vec![failed_task(1, "qemu/1", now())]);
    assert_told_once(&told, &["PVETaskFailed qemu/1".to_owned()]);
}
