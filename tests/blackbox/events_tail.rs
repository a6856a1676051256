//! `events tail`: each event is printed once, as it is found, also over a restart.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pve_sentinel::sim::World;
use serde_json::{Value, json};

use super::events::{Fake, TOKEN, config, keep};
use super::watch::{Lab, look};
use crate::support::{Cluster, Exporter, Finished, binary, send_signal};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running `events tail`, killed when dropped.
struct Tail {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    lines
}

fn spawn(url: &str, arguments: &[&str]) -> Child {
    let environment = [("PVE_SENTINEL_URL", url), ("PVE_SENTINEL_TOKEN", TOKEN)];
    binary().args(["events", "tail"]).args(arguments).envs(environment).spawn().unwrap()
}

impl Tail {
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut child = spawn(url, arguments);
        let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, stdout, stderr }
    }

    fn event(&self) -> Value {
        serde_json::from_str(&self.stdout.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    /// Ctrl-C; answers what was printed that nobody has read yet.
    fn interrupt(mut self) -> (Vec<String>, Vec<String>) {
        send_signal("-INT", self.child.id());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        (self.stdout.iter().collect(), self.stderr.iter().collect())
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends by itself.
fn refused(url: &str, token: Option<&str>) -> Finished {
    let mut command = binary();
    command.args(["events", "tail", "--url", url]).envs(token.map(|token| ("PVE_SENTINEL_TOKEN", token)));
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let finished = Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!format!("{finished:?}").contains("pvs_"), "{finished:?}");
    finished
}

/// Gives these answers, one after the other, the last again and again, and keeps what was asked.
fn scripted(answers: Vec<Value>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, seen) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(Mutex::new(Vec::new())));
    let asked = Arc::clone(&seen);
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            asked.lock().unwrap().push(head.collect::<Vec<_>>().remove(0));
            let body = answers[number.min(answers.len() - 1)].to_string();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    (url, seen)
}

fn with_journal(folder: &Path, numbers: std::ops::Range<u64>) -> (Cluster, Fake, Exporter) {
    let (cluster, fake) = (Cluster::recorded(), Fake::start());
    let url = format!("http://{}/prefix", fake.address);
    keep(folder, &url, numbers);
    let exporter = Exporter::serve(&config(folder, &cluster, &format!("{{ url = \"{url}\" }}")));
    (cluster, fake, exporter)
}

#[test]
fn each_event_is_printed_once_as_it_is_found_also_over_a_restart() {
    let lab = Lab::new(World::new(1, 3, 40));
    let socket = lab.folder.path().join("api.sock");
    let listen = format!("[control]\nlisten_addresses = [\"unix:{}\"]\n", socket.display());
    let config = lab.config("").replace("[control]\n", &listen);
    let mut exporter = Exporter::serve(&config);
    look(&exporter);
    let tail = Tail::start(&format!("unix:{}", socket.display()), &["--since", "0"]);
    for round in 0..3 {
        let now = 100 + 30 * round;
        let id = format!("{}", 110 + round);
        lab.task(0, ("qmstart", &id), (now - 5, now + 1), "start failed\u{1b}[2J");
        lab.at(&exporter, now.unsigned_abs() + 10);
        let event = tail.event();
        assert_eq!((event["number"].as_i64(), event["kind"].as_str()), (Some(round + 1), Some("task_failed")));
        assert!(event["id"].as_str().unwrap().ends_with(&id), "{event}");
        if round == 1 {
            // SIGKILL.
            drop(exporter);
            let line = tail.stderr.recv_timeout(PATIENCE).unwrap();
            assert!(line.contains("no connection") && line.contains("asked again until it answers"), "{line}");
            exporter = Exporter::serve(&config);
            look(&exporter);
        }
    }
    assert_eq!(tail.interrupt(), (vec![], vec![]));
}

#[test]
fn lines_are_for_people_and_a_closed_pipe_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_cluster, _fake, exporter) = with_journal(folder.path(), 1..6);
    let mut child = spawn(&format!("http://{}", exporter.address), &["--since", "3", "--text"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for number in [4, 5] {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let expected = format!("2026-09-21T14:13:20Z  warning   PVETaskFailed                  home  qemu/{number}  ");
        assert!(line.starts_with(&expected), "{line}");
    }
    drop(stdout);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn only_what_comes_is_asked_for_and_a_journal_that_is_another_from_its_beginning() {
    let event = json!({"number": 1, "summary": "x"});
    let page = |events: Value, next: u64| json!({"events": events, "next": next});
    let (url, seen) =
        scripted(vec![page(json!([]), 7), page(json!([]), 0), page(json!([event]), 1), page(json!([]), 1)]);
    let tail = Tail::start(&url, &["--cluster", "home", "--cluster", "a b"]);
    assert_eq!(tail.event(), event);
    let started = Instant::now();
    while seen.lock().unwrap().len() < 4 {
        assert!(started.elapsed() < PATIENCE, "{:?}", seen.lock().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(tail.interrupt(), (vec![], vec![]));
    let expected = [u64::MAX, 7, 0, 1]
        .map(|since| format!("GET /api/v1/events?since={since}&cluster=home&cluster=a%20b HTTP/1.1"));
    assert_eq!(seen.lock().unwrap()[..4], expected);
}

#[test]
fn what_cannot_work_ends_at_once_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, _fake, exporter) = with_journal(folder.path(), 1..2);
    let url = format!("http://{}", exporter.address);
    let wrong = format!("pvs_{}", "A".repeat(43));
    let plain = Exporter::serve(&format!(
        "{}[control]\ntokens = [{{ name = \"ops\", sha256 = \"{}\", scopes = [\"read\"] }}]\n",
        cluster.config("home"),
        pve_sentinel::ids::TokenHash::of(TOKEN).hex()
    ));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, token, code, words) in [
        (url.clone(), Some(wrong.as_str()), 1, "unauthorized"),
        (url, None, 2, "expected a token"),
        (format!("http://{}", plain.address), Some(TOKEN), 1, "are there [events] in its configuration?"),
        (format!("http://{nobody}"), Some(TOKEN), 1, "does pve-sentinel serve there?"),
    ] {
        let ended = refused(&url, token);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{ended:?}");
        assert!(ended.stderr.contains(words) && ended.stderr.lines().count() == 1, "{words}: {ended:?}");
    }
}
