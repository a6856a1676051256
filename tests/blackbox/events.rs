//! The sidecar of the real binary: what its journal holds is told, to Alertmanager and by the API.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use pve_sentinel::events::{Ledger, Limits};
use pve_sentinel::metrics::Own;
use serde_json::Value;

use super::ledger::failed_task;
use crate::support::{Cluster, Exporter, Page, binary, request, run_to_end, write_private};

/// Opens the API.
pub const TOKEN: &str = "pvs_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA";
const PASSWORD: &str = "hunter2 with a space";
const STATUS: &str = r#"{"versionInfo":{"version":"0.25.0"},"cluster":{"status":"ready"}}"#;

/// Alerts are taken, and the connection ends without an answer.
pub const SPEECHLESS: u16 = 0;

/// Something that answers as an Alertmanager does.
#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    status: Arc<Mutex<(u16, String)>>,
    held: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Debug, Clone)]
struct Seen {
    line: String,
    authorization: String,
    accepted: bool,
    body: Vec<u8>,
}

impl Fake {
    /// On a port of its own.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(Mutex::new((200, STATUS.to_owned())));
        let fake = Self { address, seen: Arc::default(), status, held: Arc::default() };
        let own = fake.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let own = own.clone();
                std::thread::spawn(move || while own.answer(&mut stream).is_some() {});
            }
        });
        fake
    }

    fn answer(&self, stream: &mut (impl Read + Write)) -> Option<()> {
        let mut bytes = Vec::new();
        let (head, body) = loop {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&piece[..read]);
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = header(&head, "content-length").parse().unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                break (head, bytes.split_off(end + 4));
            }
        };
        let line = head.lines().next().unwrap_or_default().to_owned();
        let (status, text) = self.status.lock().unwrap().clone();
        let (held, released) = &*self.held;
        let held = held.lock().unwrap();
        let accepted = matches!(status, 200 | SPEECHLESS) && !*held;
        self.seen.lock().unwrap().push(Seen { line, authorization: header(&head, "authorization"), accepted, body });
        drop(released.wait_while(held, |held| *held).unwrap());
        if status == SPEECHLESS {
            return None;
        }
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len()).ok()
    }

    /// What it answers from now on.
    pub fn says(&self, status: u16, text: &str) {
        *self.status.lock().unwrap() = (status, text.to_owned());
    }

    /// It answers nobody until this is taken back; who was not answered at once was not accepted.
    pub fn hold(&self, is_held: bool) {
        let (held, released) = &*self.held;
        *held.lock().unwrap() = is_held;
        released.notify_all();
    }

    /// All alerts that were posted, whatever it answered.
    pub fn posted(&self) -> Vec<Value> {
        self.alerts(|_| true)
    }

    /// Those of them that it took.
    pub fn accepted(&self) -> Vec<Value> {
        self.alerts(|seen| seen.accepted)
    }

    /// The same, and forgets them.
    pub fn take_accepted(&self) -> Vec<Value> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        alerts(&seen, |seen| seen.accepted)
    }

    fn alerts(&self, is_meant: impl Fn(&Seen) -> bool) -> Vec<Value> {
        alerts(&self.seen.lock().unwrap(), is_meant)
    }

    /// Until something was posted.
    pub fn wait(&self, what: &str, there: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !there(self) {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{what}: never seen, but {:?}",
                self.seen.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn alerts(seen: &[Seen], is_meant: impl Fn(&Seen) -> bool) -> Vec<Value> {
    let seen = seen.iter().filter(|seen| is_meant(seen));
    let posts = seen.filter(|seen| seen.line.starts_with("POST /prefix/api/v2/alerts "));
    posts.flat_map(|seen| serde_json::from_slice::<Vec<Value>>(&seen.body).unwrap()).collect()
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
    line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
}

/// A journal with findings that nobody was told of.
pub fn keep(folder: &Path, url: &str, numbers: std::ops::Range<u64>) {
    let own = Arc::new(Own::new("1"));
    let (ledger, _) = Ledger::open(folder, &[url.to_owned()], Limits::default(), own).unwrap();
    let findings = numbers.map(|number| failed_task(number, &format!("qemu/{number}"), 1_790_000_000)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Arc::new(ledger).record("home", findings, BTreeMap::new(), 1_790_000_001));
}

/// A configuration with a token for the API and a ledger. Recorded and simulated clusters have a replication that fails.
pub fn config(folder: &Path, cluster: &Cluster, alertmanager: &str) -> String {
    let hash = pve_sentinel::ids::TokenHash::of(TOKEN).hex();
    format!(
        "state_dir = \"{}\"\n{}[control]\ntokens = [{{ name = \"ops\", sha256 = \"{hash}\", scopes = [\"read\"] }}]\n\
         [scrape]\nmax_age = \"0s\"\n[events]\nhold = \"1h\"\n\
         rules.replication_failing = {{ enabled = false }}\nalertmanagers = [{alertmanager}]\n",
        folder.display(),
        cluster.config("home"),
    )
}

/// What `/api/v1/events` answers.
pub fn events(exporter: &Exporter, query: &str) -> Value {
    let path = format!("/api/v1/events{query}");
    let reply = request(exporter.address, "GET", &path, &[("Authorization", &format!("Bearer {TOKEN}"))]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

fn sent(exporter: &Exporter) -> f64 {
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    page.samples.get("pve_sentinel_events_sent_total").map_or(0.0, |series| series.values().sum())
}

#[test]
fn what_the_journal_holds_is_told_and_not_again_as_new() {
    let (cluster, folder, fake) = (Cluster::recorded(), tempfile::tempdir().unwrap(), Fake::start());
    let url = format!("http://{}/prefix", fake.address);
    keep(folder.path(), &url, 1..6);
    let member = format!("{{ url = \"{url}/\", username = \"me\", password = \"{PASSWORD}\" }}");
    let config = config(folder.path(), &cluster, &member);
    let mut exporter = Exporter::serve_with(&config, &["--log.level", "debug"]);
    fake.wait("five alerts", |fake| fake.posted().len() == 5);
    let alert = &fake.posted()[0];
    assert_eq!(
        (alert["labels"]["id"].as_str(), alert["startsAt"].as_str()),
        (Some("qemu/1"), Some("2026-09-21T14:13:20Z"))
    );
    // me:hunter2 with a space
    assert_eq!(fake.seen.lock().unwrap()[0].authorization, "Basic bWU6aHVudGVyMiB3aXRoIGEgc3BhY2U=");
    let answer = events(&exporter, "?since=3");
    assert_eq!((answer["events"][0]["number"].as_u64(), answer["next"].as_u64()), (Some(4), Some(5)));
    fake.wait("the count", |_| sent(&exporter) > 4.0);
    assert_eq!(sent(&exporter), 5.0);
    // A reload changes nothing of it; what is shown is shown again.
    exporter.rewrite(&config);
    exporter.hang_up(1);
    fake.wait("the same again", |fake| fake.posted().len() == 10);
    assert_eq!(sent(&exporter), 5.0);
    exporter.terminate();
    assert!(exporter.wait().success());
    for secret in [PASSWORD, "bWU6aHVudGVyMiB3aXRoIGEgc3BhY2U="] {
        assert!(!exporter.log().contains(secret), "{}", exporter.log());
    }
    let ends = |alerts: &[Value]| alerts.iter().map(|alert| alert["endsAt"].to_string()).collect::<Vec<_>>();
    let (before, exporter) = (ends(&fake.posted()[..5]), Exporter::serve(&config));
    fake.wait("once more", |fake| fake.posted().len() == 15);
    assert_eq!(ends(&fake.posted()[10..]), before);
    assert_eq!(sent(&exporter), 0.0);
}

#[test]
fn what_is_not_taken_is_kept_and_said_without_secrets() {
    let (cluster, folder, fake) = (Cluster::recorded(), tempfile::tempdir().unwrap(), Fake::start());
    let url = format!("http://{}/prefix", fake.address);
    keep(folder.path(), &url, 1..3);
    fake.says(401, &format!("no:\n{PASSWORD}"));
    let member = format!("{{ url = \"{url}\", bearer_token = \"{}\" }}", PASSWORD.replace(' ', "-"));
    fake.says(401, &format!("no:\n\t{}", PASSWORD.replace(' ', "-")));
    let exporter = Exporter::serve(&config(folder.path(), &cluster, &member));
    let line = exporter.wait_for_log("events are not taken");
    assert!(line.contains("401: no: [secret]; check its username and password"), "{line}");
    fake.wait("a retry", |fake| fake.posted().len() >= 4);
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    assert_eq!(page.samples["pve_sentinel_events_pending"].values().sum::<f64>(), 2.0);
    assert_eq!(fake.seen.lock().unwrap()[0].authorization, "Bearer hunter2-with-a-space");
    fake.says(200, "");
    exporter.wait_for_log("events are taken again");
    assert_eq!(sent(&exporter), 2.0);
}

#[test]
fn a_folder_has_one_process() {
    let (cluster, folder) = (Cluster::recorded(), tempfile::tempdir().unwrap());
    let config = config(folder.path(), &cluster, "{ url = \"http://127.0.0.1:1\" }");
    let exporter = Exporter::serve(&config);
    let second = |config: &str| {
        let file = folder.path().join("second.toml");
        write_private(&file, config);
        let mut command = binary();
        let arguments = ["serve", "--web.listen-address", "127.0.0.1:0", "--config.file", &file.display().to_string()];
        let output = command.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = second(&config);
    assert!(said.contains("state_dir: expected a folder of its own for each pve-sentinel"), "{said}");
    assert!(said.contains(&folder.path().display().to_string()), "{said}");
    // A file stands where the folder would be made.
    let none = folder.path().join("second.toml/none").display().to_string();
    let said = second(&config.replacen(&folder.path().display().to_string(), &none, 1));
    assert!(said.contains("state_dir: ") && said.contains(&none), "{said}");
    drop(exporter);
    // SIGKILL leaves no lock behind.
    drop(Exporter::serve(&config));
}

#[test]
fn check_live_tries_each_alertmanager() {
    let (cluster, folder, fake) = (Cluster::recorded(), tempfile::tempdir().unwrap(), Fake::start());
    let url = format!("http://{}/prefix", fake.address);
    let member = format!(
        "{{ url = \"{url}\", username = \"me\", password = \"{PASSWORD}\" }}, {{ url = \"http://127.0.0.1:1\" }}"
    );
    let file = folder.path().join("config.toml");
    write_private(&file, &config(folder.path(), &cluster, &member));
    let check = || {
        let finished = run_to_end(&["check", "--live", "--config.file", &file.display().to_string()]);
        assert!(!finished.stdout.contains(PASSWORD) && !finished.stderr.contains(PASSWORD), "{finished:?}");
        finished.stdout
    };
    let said = check();
    assert!(
        said.contains(&format!("alertmanager {url}\n  ok    api               API v2 of Alertmanager 0.25.0")),
        "{said}"
    );
    assert!(said.contains("alertmanager http://127.0.0.1:1\n  FAIL  api               Connection refused"), "{said}");
    fake.says(200, "hello");
    assert!(check().contains("FAIL  api               something answers there, but not with the API v2"));
    fake.says(404, "");
    assert!(check().contains("FAIL  api               404; check the path prefix in its url"));
    assert!(fake.posted().is_empty() && fake.seen.lock().unwrap()[0].line.starts_with("GET /prefix/api/v2/status "));
}
