//! `ctl`: the API from a shell: exactly what was typed, told to people and to programs, and no token anywhere else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pve_sentinel::sim::GuestKind;
use serde_json::{Value, json};

use super::control::{ALL, Lab, READ, SOME};
use crate::support::{Exporter, Finished, Pki, binary, repository, write_private};

/// Runs `ctl` with a token in the environment.
fn ctl(url: &str, token: &str, arguments: &[&str]) -> Finished {
    ctl_with(&[("PVE_SENTINEL_URL", url), ("PVE_SENTINEL_TOKEN", token)], arguments)
}

fn ctl_with(environment: &[(&str, &str)], arguments: &[&str]) -> Finished {
    let output = binary().arg("ctl").args(arguments).envs(environment.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let finished = Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!format!("{finished:?}").contains("pvs_"), "{finished:?}");
    finished
}

fn url(exporter: &Exporter) -> String {
    format!("http://{}", exporter.address)
}

impl Lab {
    fn ctl(&self, arguments: &[&str]) -> Finished {
        ctl(&url(&self.exporter), ALL, arguments)
    }
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

/// Answers every request in the same way, and keeps what was asked.
struct Fake {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn new(answer: &str) -> Self {
        let (listener, seen) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(Mutex::new(Vec::new())));
        let fake = Self { address: listener.local_addr().unwrap(), seen: Arc::clone(&seen) };
        let answer = answer.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                seen.lock().unwrap().push(read_request(&mut stream));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        fake
    }

    fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string();
        Self::new(&format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn ctl(&self, arguments: &[&str]) -> Finished {
        ctl(&format!("http://{}", self.address), ALL, arguments)
    }
}

/// Head and body.
fn read_request(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    let complete = |text: &[u8]| {
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
        let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        text.len() >= end + 4 + length.unwrap_or(0)
    };
    while !complete(&text) && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn what_there_is_is_a_table_for_people_and_the_answer_itself_for_programs() {
    let lab = Lab::start();
    let table = lab.ctl(&["ls", "--table"]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""), "{table:?}");
    let mut lines = table.stdout.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["CLUSTER", "VMID", "TYPE", "NAME", "STATUS", "NODE", "LOCK", "TAGS", "POOL", "UP", "ADDRESS"]);
    let row = table.stdout.lines().find(|line| line.contains(" 900 ")).unwrap();
    assert_eq!(row.split_whitespace().take(6).collect::<Vec<_>>(), ["home", "900", "qemu", "web", "running", "pve1"]);
    let piped = json(&lab.ctl(&["ls"]));
    assert_eq!(piped["guests"].as_array().unwrap().len(), lines.count());
    assert_eq!(
        json(&lab.ctl(&["ls", "--json", "--type", "lxc", "--status", "running", "--cluster", "home"]))["guests"][0]["type"],
        "lxc"
    );
    assert_eq!(json(&lab.ctl(&["ls", "--tag", "no such tag&status=x"])), json!({"guests": []}));
    lab.exporter.page("/metrics");
    for (verb, key, words) in
        [("nodes", "nodes", "pve2"), ("clusters", "clusters", "well"), ("hosts", "hosts", "ANSWERED")]
    {
        assert!(json(&lab.ctl(&[verb]))[key].is_array());
        let table = lab.ctl(&[verb, "--table"]);
        assert!(table.code == Some(0) && table.stdout.contains(words), "{table:?}");
    }
    let unknown = lab.ctl(&["ls", "--cluster", "elsewhere"]);
    assert_eq!((unknown.code, json(&unknown)["error"]["code"].as_str()), (Some(1), Some("bad_request")), "{unknown:?}");
    assert!(unknown.stderr.contains("elsewhere"), "{unknown:?}");
}

#[test]
fn guests_are_switched_once_each_and_their_end_is_told() {
    let lab = Lab::start();
    let stopped = lab.ctl(&["stop", "web", "home/901", "900", "--wait"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    assert!(
        stopped.stderr.contains("web (home/900): TASK OK") && stopped.stderr.contains("home/901: TASK OK"),
        "{stopped:?}"
    );
    let answers: Vec<Value> = stopped.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2, "the same guest twice is one");
    assert_eq!((&answers[0]["guest"]["vmid"], &answers[1]["status"]), (&json!(900), &json!("stopped")));
    let mut orders = lab.orders();
    orders.sort();
    assert_eq!(orders, ["pve1/qemu/900/status/stop", "pve2/lxc/901/status/stop"]);

    let again = lab.ctl(&["stop", "web", "--wait", "--table"]);
    let row: Vec<&str> = again.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((again.code, row), (Some(0), vec!["home/900", "web", "unchanged", "stopped", "-"]), "{again:?}");
    let dry = lab.ctl(&["start", "web", "--dry-run", "--wait", "--table"]);
    assert!(dry.stdout.contains("would change"), "{dry:?}");
    assert!(
        dry.stdout.contains("POST /nodes/pve1/qemu/900/status/start; needs VM.PowerMgmt on /vms/900 (held)"),
        "{dry:?}"
    );
    assert_eq!(lab.orders().len(), 2);

    let asked = lab.ctl(&["start", "web", "--table"]);
    assert!(
        asked.code == Some(0) && asked.stdout.contains("asked") && asked.stdout.contains("UPID:pve1:"),
        "{asked:?}"
    );
    let upid = asked.stdout.split_whitespace().last().unwrap();
    let began = std::time::Instant::now();
    let task = loop {
        let task = lab.ctl(&["task", "home", upid, "--table"]);
        if !task.stdout.contains("running") {
            break task;
        }
        assert!(began.elapsed().as_secs() < 60, "{task:?}");
    };
    assert!(task.code == Some(0) && task.stdout.contains("TASK OK") && task.stdout.contains("qmstart"), "{task:?}");
    let tasks = lab.ctl(&["tasks", "--guest", "900", "--table"]);
    assert!(tasks.stdout.contains(upid) && tasks.stdout.starts_with("BEGAN"), "{tasks:?}");
    assert_eq!(json(&lab.ctl(&["tasks", "--guest", "900", "--running"])), json!({"tasks": []}));

    let shut = lab.ctl(&["shutdown", "web", "--timeout", "90s", "--force", "--wait=2m"]);
    assert_eq!((shut.code, json(&shut)["changed"].as_bool()), (Some(0), Some(true)), "{shut:?}");
    assert_eq!(lab.orders().last().map(String::as_str), Some("pve1/qemu/900/status/shutdown timeout=90&forceStop=1"));
}

#[test]
fn one_that_is_refused_fails_the_command_and_not_the_others() {
    let lab = Lab::start();
    assert!(lab.edit(|edit| edit.lock(900, Some("backup"))));
    let half = lab.ctl(&["stop", "web", "901", "--wait", "--table"]);
    assert_eq!(half.code, Some(1), "{half:?}");
    assert!(half.stderr.contains("web (home/900): locked: the virtual machine 900 is locked (backup)"), "{half:?}");
    let results: Vec<&str> = half.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(results, ["locked", "done"], "{half:?}");
    let program = lab.ctl(&["stop", "900"]);
    assert_eq!(
        (program.code, &json(&program)["error"]["code"], &json(&program)["target"]),
        (Some(1), &json!("locked"), &json!("home/900"))
    );
    // Not with this token, and not through what it may not even read.
    let forbidden = ctl(&url(&lab.exporter), SOME, &["stop", "home/901"]);
    assert!(forbidden.code == Some(1) && forbidden.stderr.contains("forbidden"), "{forbidden:?}");
    assert!(lab.edit(|edit| edit.lock(900, None)));
    let unread = ctl(&url(&lab.exporter), SOME, &["start", "home/900", "--wait"]);
    assert_eq!((unread.code, json(&unread)["status"].as_str()), (Some(0), Some("running")), "{unread:?}");
    let reader = ctl(&url(&lab.exporter), READ, &["stop", "web"]);
    assert!(reader.code == Some(1) && reader.stderr.contains("scope power"), "{reader:?}");
    assert_eq!(lab.orders(), ["pve2/lxc/901/status/stop"]);
}

#[test]
fn who_is_meant_is_never_guessed() {
    let lab = Lab::start();
    lab.edit(|edit| assert!(edit.create(902, 2, GuestKind::Qemu, "web")));
    for (guests, words) in [
        (&["web"][..], "web stands for 2 guests: home/900, home/902; name one of them; nothing was done"),
        (&["dns", "webb"], "there is no guest webb, or it is a template; did you mean web?"),
        (&["dns", "home/web"], "home/web stands for 2"),
        (&["elsewhere/900"], "there is no cluster \"elsewhere\""),
        (&["899"], "there is no guest 899"),
        (&["../../clusters"], "there is no guest"),
    ] {
        let refused = lab.ctl(&[&["stop"], guests].concat());
        assert!(refused.code == Some(1) && refused.stderr.contains(words), "{guests:?}: {refused:?}");
    }
    assert!(lab.orders().is_empty());
    let keyed = ["reboot", "home/900", "--idempotency-key", "monday", "--wait"];
    let (first, second) = (lab.ctl(&keyed), lab.ctl(&keyed));
    assert_eq!((first.code, &first.stdout, lab.orders().len()), (Some(0), &second.stdout, 1), "{first:?} {second:?}");
}

#[test]
fn wrong_usage_is_two_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (file, none) = (folder.path().join("token"), folder.path().join("none"));
    write_private(&file, "not a token\n");
    let (file, none) = (file.to_str().unwrap(), none.to_str().unwrap());
    let token = &[("PVE_SENTINEL_TOKEN", ALL)][..];
    for (environment, arguments, words) in [
        (token, &[][..], "Usage"),
        (token, &["stop"], "GUEST"),
        (token, &["stop", "web", "--wait=soon"], "at most 10m"),
        (token, &["stop", "web", "--force"], "--force"),
        (token, &["stop", "web", "--token", "x"], "--token"),
        (token, &["ls", "--json", "--table"], "cannot be used with"),
        (token, &["node", "shutdown", "pve1"], "home/pve1"),
        (token, &["ls", "--url", "ftp://x"], "expected http://HOST:PORT"),
        (token, &["ls", "--url", "https://127.0.0.1:1", "--ca-file", none], "create it or correct the path"),
        (token, &["ls", "--url", "http://192.0.2.1:9221"], "--allow-plaintext"),
        (token, &["ls", "--url", "http://[2001:db8::1]:9221"], "expected https"),
        (&[], &["ls"], "hash-token"),
        (&[("PVE_SENTINEL_TOKEN", "a b")], &["ls"], "PVE_SENTINEL_TOKEN"),
        (&[], &["ls", "--token-file", none], "create it"),
        (&[], &["ls", "--token-file", file], "(not shown)"),
    ] {
        let refused = ctl_with(environment, arguments);
        assert!(refused.code == Some(2) && refused.stdout.is_empty(), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(words), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn the_token_is_told_to_the_right_one_only_and_shown_to_nobody() {
    let lab = Lab::start();
    let file = lab.folder.path().join("token");
    let path = file.to_str().unwrap();
    write_private(&file, &format!("{READ}\n"));
    let here = url(&lab.exporter);
    let quiet = ctl_with(&[], &["clusters", "--url", &here, "--token-file", path]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""), "{quiet:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let warned = ctl_with(&[], &["clusters", "--url", &here, "--token-file", path]);
    assert!(warned.code == Some(0) && warned.stderr.contains("chmod o-rwx"), "{warned:?}");
    let wrong = ctl(&here, "pvs_wrongwrongwrongwrongwrongwrongwrongwrong123", &["clusters"]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("unauthorized: the token is not known"), "{wrong:?}");

    // TLS: the authority that was named, and no other one.
    let (pki, other) = (Pki::new(), Pki::new());
    let hash = pve_sentinel::ids::TokenHash::of(READ).hex();
    let config = format!(
        "[web]\n{}{}[control]\ntokens = [{{ name = \"grafana\", sha256 = \"{hash}\", scopes = [\"read\"] }}]\n",
        pki.web(None),
        lab.pve.cluster.config("home"),
    );
    let exporter = Exporter::serve(&config);
    let https = format!("https://{}", exporter.address);
    let trusting = |pki: &Pki| ctl(&https, READ, &["clusters", "--ca-file", pki.path("ca.pem").to_str().unwrap()]);
    assert_eq!(trusting(&pki).code, Some(0));
    let refused = trusting(&other);
    assert!(refused.code == Some(1) && refused.stderr.contains("--ca-file"), "{refused:?}");
}

#[test]
fn a_unix_socket_will_do() {
    let lab = Lab::start();
    let path = lab.folder.path().join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let address = lab.exporter.address;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut here, mut there) = (stream.unwrap(), TcpStream::connect(address).unwrap());
            let (mut back, mut forth) = (there.try_clone().unwrap(), here.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut forth, &mut there));
            std::thread::spawn(move || std::io::copy(&mut back, &mut here));
        }
    });
    let told = ctl(&format!("unix:{}", path.display()), READ, &["clusters"]);
    assert_eq!((told.code, json(&told)["clusters"][0]["name"].as_str()), (Some(0), Some("home")), "{told:?}");
    let none = ctl(&format!("unix:{}/none", lab.folder.path().display()), READ, &["clusters"]);
    assert!(none.code == Some(1) && none.stderr.contains("does pve-sentinel serve there?"), "{none:?}");
}

#[test]
fn nothing_that_is_answered_is_obeyed_by_a_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{9b}2J\n\u{202e}x";
    let guest = json!({"cluster": evil, "vmid": 1, "name": evil, "tags": [evil], "addresses": [{"address": evil, "primary": true}]});
    let plain = |text: &str| assert!(text.chars().all(|c| c == '\n' || pve_sentinel::setup::is_plain(c)), "{text:?}");
    let list = Fake::json(200, &json!({"guests": [guest]}));
    for form in ["--table", "--json"] {
        let told = list.ctl(&["ls", form]);
        assert_eq!((told.code, told.stdout.lines().count()), (Some(0), if form == "--table" { 2 } else { 1 }));
        plain(&told.stdout);
    }
    let task = json!({"upid": evil, "cluster": evil, "log": [evil]});
    for (status, answer) in [
        (409, json!({"error": {"code": evil, "message": evil}})),
        (202, json!({"task": task, "guest": {"name": evil}})),
        (200, json!({"changed": true, "status": evil, "task": task, "request": {"method": evil, "path": evil}})),
    ] {
        for form in ["--table", "--json"] {
            let told = Fake::json(status, &answer).ctl(&["stop", "home/100", "--wait", form]);
            assert_eq!(told.code, Some(i32::from(status != 200)), "{told:?}");
            plain(&told.stdout);
            plain(&told.stderr);
        }
    }
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        "HTTP/1.1 302 X\r\nLocation: /\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
    ] {
        let told = Fake::new(answer).ctl(&["ls"]);
        assert!(told.code == Some(1) && told.stdout.is_empty() && !told.stderr.is_empty(), "{told:?}");
    }
}

#[test]
fn another_service_behind_the_address_is_not_believed() {
    for (status, answer) in [
        (200, json!({"status": "ok"})),
        (202, json!({})),
        (307, json!({"changed": true})),
        (502, json!({"error": "no"})),
    ] {
        for form in ["--table", "--json"] {
            let fake = Fake::json(status, &answer);
            let told = fake.ctl(&["stop", "home/100", form]);
            assert!(told.code == Some(1) && told.stderr.contains("whether it was done is not known"), "{told:?}");
            assert_eq!(fake.seen().len(), 1);
            let told = fake.ctl(&["ls", form]);
            assert!(told.code == Some(1) && told.stdout.is_empty() && !told.stderr.is_empty(), "{told:?}");
        }
    }
}

#[test]
fn an_order_whose_answer_is_lost_is_not_given_again() {
    let cut = Fake::new("");
    let lost = cut.ctl(&["reboot", "home/100"]);
    assert!(lost.code == Some(1) && lost.stderr.contains("whether it was done is not known"), "{lost:?}");
    assert_eq!(cut.seen().len(), 1);
}

#[test]
fn nodes_and_hosts_are_asked_for_as_they_were_typed() {
    let fake = Fake::json(202, &json!({"action": "shutdown", "task": {"upid": "UPID:pve1:x:", "cluster": "home"}}));
    for (arguments, line, body) in [
        (&["node", "shutdown", "home/pve1"][..], "POST /api/v1/nodes/home/pve1/shutdown HTTP/1.1", "{}"),
        (
            &["node", "reboot", "home/pve1", "--allow-running", "--force-quorum", "--dry-run"],
            "POST /api/v1/nodes/home/pve1/reboot HTTP/1.1",
            "{\"allow_running\":true,\"dry_run\":true,\"force_quorum\":true}",
        ),
        (&["node", "suspend", "a b/pve1"], "POST /api/v1/nodes/a%20b/pve1/suspend HTTP/1.1", "{}"),
        (&["host", "wake", "nas"], "POST /api/v1/hosts/nas/wake HTTP/1.1", "{}"),
        (&["host", "shutdown", "../nodes"], "POST /api/v1/hosts/..%2Fnodes/shutdown HTTP/1.1", "{}"),
    ] {
        let told = fake.ctl(arguments);
        assert_eq!(told.code, Some(0), "{told:?}");
        let seen = fake.seen().last().cloned().unwrap();
        assert!(seen.starts_with(line) && seen.ends_with(&format!("\r\n\r\n{body}")), "{seen}");
        assert!(seen.to_lowercase().contains("content-type: application/json\r\n"), "{seen}");
    }
    let waited = fake.ctl(&["host", "wake", "nas", "--wait=1s"]);
    assert!(waited.code == Some(1) && waited.stderr.contains("ctl task home UPID:pve1:x:"), "{waited:?}");
    assert!(fake.seen().last().unwrap().starts_with("POST /api/v1/hosts/nas/wake?wait=1s "));
}

/// Who sits at a terminal sees a table, and meanwhile what is waited for.
#[cfg(feature = "external-programs")]
#[test]
#[expect(clippy::disallowed_methods, reason = "the tests start other people's programs")]
fn on_a_terminal_there_is_a_table_and_a_line_that_changes() {
    use pve_sentinel::sim::Fault;
    let lab = Lab::start();
    let slow = Fault::Slow(std::time::Duration::from_secs(3));
    lab.pve.cluster.sims[0].set_fault("/nodes/pve1/qemu/900/status/stop", slow);
    let words = [env!("CARGO_BIN_EXE_pve-sentinel"), "ctl", "stop", "web", "--wait"].map(pve_sentinel::setup::quote);
    let output = std::process::Command::new("script")
        .args(["-q", "-e", "-c", &words.join(" "), "/dev/null"])
        .envs([("PVE_SENTINEL_URL", url(&lab.exporter).as_str()), ("PVE_SENTINEL_TOKEN", ALL)])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    for words in ["\r\u{1b}[K1 s, waiting for web (home/900)", "TARGET", "stopped"] {
        assert!(said.contains(words), "{words:?}: {said:?}");
    }
    assert!(said.split("TARGET").next().unwrap().ends_with("\r\u{1b}[K"), "the line is gone: {said:?}");
    assert!(!said.contains('{') && lab.orders().len() == 1, "{said:?}");
}

/// The README's commands do what it says of them.
#[test]
fn the_commands_of_the_readme_work_as_printed() {
    let lab = Lab::start();
    lab.edit(|edit| assert!(edit.create(903, 0, GuestKind::Qemu, "web01")));
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split("### From a shell\n").nth(1).unwrap();
    let script = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(lab.folder.path().join("token"), format!("{ALL}\n")).unwrap();
    let folder = lab.folder.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pve-sentinel"), folder.join("pve-sentinel")).unwrap();
    let script = script.replace("http://127.0.0.1:9221", &url(&lab.exporter)).replace("home/101", "home/901");
    let output = shell(&folder, lab.folder.path(), &script);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let answers: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.get("error").is_none()), "{stdout}");
    assert_eq!(
        lab.orders().len(),
        answers.iter().filter(|answer| answer["changed"] == true && answer.get("dry_run").is_none()).count()
    );
    assert!(lab.orders().iter().any(|order| order.contains("903/status/")), "{stdout}");
}

#[expect(clippy::disallowed_methods, reason = "what people type is tried as they type it")]
fn shell(programs: &Path, folder: &Path, script: &str) -> std::process::Output {
    let path = format!("{}:/usr/bin:/bin", programs.display());
    std::process::Command::new("sh").args(["-e", "-c", script]).env("PATH", path).current_dir(folder).output().unwrap()
}
