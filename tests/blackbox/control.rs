//! Guests switched from outside: exactly what was asked, once, and the truth about what came of it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_sentinel::sim::{Credential, Edit, Fault, GuestKind, Options, Rights, Token, World};
use serde_json::{Value, json};

use crate::support::{Exporter, Page, Reply, SECRET, Simulated, TOKEN_ID, connect, parse};

pub const OPERATOR: &str = "operator@pve!power";
pub const OPERATOR_SECRET: &str = "0d0e0f10-5eec-4e7b-9d43-0123456789ab";
/// May read, and switch everything.
pub const ALL: &str = "pvs_q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA";
/// May switch 900, and nothing else.
pub const SOME: &str = "pvs_7xI0VniQq83vEjRWeJAq83vEjRWeJCrze8SNFZ4kKvN";
/// May read.
pub const READ: &str = "pvs_readreadreadreadreadreadreadreadreadread123";

/// A second of ours is so many of the cluster's.
const PACE: u64 = 20;
pub const VM: u64 = 900;
pub const CONTAINER: u64 = 901;

/// A cluster with two guests of its own, and an exporter that may switch them.
pub struct Lab {
    pub pve: Simulated,
    pub exporter: Exporter,
    pub config: String,
    pub folder: tempfile::TempDir,
    began: Instant,
}

impl Lab {
    pub fn start() -> Self {
        Self::start_with("")
    }

    pub fn start_with(control: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), control)
    }

    /// The same with a folder whose `state` may be there already.
    pub fn start_in(folder: tempfile::TempDir, control: &str) -> Self {
        let began = Instant::now();
        let pve = Simulated::start_with(World::new(1, 3, 12), 1, |options| {
            let mut tokens = options.tokens.clone();
            let (id, secret) = (OPERATOR.to_owned(), OPERATOR_SECRET.to_owned());
            tokens.push(Token { id, secret, rights: Rights::Administrator });
            let clock = Arc::new(move || seconds(began));
            Options { tokens, clock, ..options }
        });
        pve.world.edit(Duration::from_secs(500), |edit| {
            assert!(edit.create(VM, 0, GuestKind::Qemu, "web"));
            assert!(edit.create(CONTAINER, 1, GuestKind::Lxc, "dns"));
        });
        let token = |name: &str, token: &str, more: &str| {
            let hash = pve_sentinel::ids::TokenHash::of(token).hex();
            format!("{{ name = \"{name}\", sha256 = \"{hash}\", {more} }}")
        };
        let tokens = [
            token("ops", ALL, "scopes = [\"read\", \"power\"]"),
            token("some", SOME, "scopes = [\"power\"], guests = [\"900-901\", \"!901\"]"),
            token("grafana", READ, "scopes = [\"read\"]"),
        ];
        let config = format!(
            "state_dir = {:?}\n[scrape]\nmax_age = \"0s\"\n{}control = {{ token_id = \"{OPERATOR}\", token_secret = \
             \"{OPERATOR_SECRET}\" }}\n[control]\ntokens = [{}]\n{control}\n",
            folder.path().join("state"),
            pve.cluster.config("home"),
            tokens.join(", ")
        );
        Self { exporter: Exporter::serve(&config), config, pve, folder, began }
    }

    pub fn edit<T>(&self, change: impl FnOnce(&mut Edit<'_>) -> T) -> T {
        self.pve.world.edit(seconds(self.began), change)
    }

    /// SIGKILL, and another life.
    pub fn restart(&mut self) {
        self.kill();
        self.exporter = Exporter::serve(&self.config);
    }

    #[expect(clippy::disallowed_methods, reason = "a signal that nobody can catch")]
    pub fn kill(&mut self) {
        let id = self.exporter.id().to_string();
        assert!(std::process::Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
        self.exporter.wait();
    }

    pub fn post(&self, path: &str, body: &str) -> Reply {
        post(&self.exporter, ALL, path, &[], body)
    }

    /// An action, waited for.
    pub fn act(&self, vmid: u64, action: &str, body: &str) -> (u16, Value) {
        let reply = self.post(&format!("/api/v1/guests/home/{vmid}/{action}?wait=1m"), body);
        (reply.status, json(&reply))
    }

    /// Paths and bodies of the orders that the cluster saw.
    pub fn orders(&self) -> Vec<String> {
        let seen = self.pve.cluster.sims[0].requests();
        let posts = seen.iter().filter(|seen| seen.method != "GET");
        posts
            .map(|seen| {
                assert_eq!(seen.credential, Credential::Right(Rights::Administrator), "{seen:?}");
                format!("{} {}", seen.target.trim_start_matches("/api2/json/nodes/"), seen.body).trim_end().to_owned()
            })
            .collect()
    }

    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("state/audit.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub fn seconds(began: Instant) -> Duration {
    Duration::from_secs(1000 + u64::try_from(began.elapsed().as_millis()).unwrap() * PACE / 1000)
}

pub fn post(exporter: &Exporter, token: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    send(connect(exporter.address), token, path, headers, body)
}

/// An order over whatever carries it.
pub fn send(
    mut stream: impl std::io::Read + Write,
    token: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes, false)
}

pub fn get(exporter: &Exporter, token: &str, path: &str) -> Reply {
    crate::support::request(exporter.address, "GET", path, &[("Authorization", &format!("Bearer {token}"))])
}

pub fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

/// What came of it in a few words: `changed running`, `unchanged running`, or the code of an error.
pub fn told((status, body): &(u16, Value)) -> String {
    match body["error"]["code"].as_str() {
        Some(code) => format!("{status} {code}"),
        None => {
            let changed = if body["changed"] == json!(true) { "changed" } else { "unchanged" };
            format!("{status} {changed} {}", body["status"].as_str().unwrap_or("?"))
        }
    }
}

#[test]
fn a_virtual_machine_goes_through_all_its_states_with_no_more_orders_than_needed() {
    let lab = Lab::start();
    let mut seen = 0;
    for (action, body, expected, order) in [
        ("start", "", "200 unchanged running", None),
        ("suspend", "{}", "200 changed paused", Some("suspend")),
        ("suspend", "", "200 unchanged paused", None),
        ("start", "", "502 task_failed", Some("start")),
        ("resume", "", "200 changed running", Some("resume")),
        ("resume", "", "200 unchanged running", None),
        ("reset", "", "200 changed running", Some("reset")),
        ("reboot", "{\"timeout\":\"40s\"}", "200 changed running", Some("reboot timeout=40")),
        ("hibernate", "", "200 changed stopped", Some("suspend todisk=1")),
        ("hibernate", "", "200 unchanged stopped", None),
        ("resume", "", "200 changed running", Some("start")),
        (
            "shutdown",
            "{\"timeout\":\"90s\",\"force\":true}",
            "200 changed stopped",
            Some("shutdown timeout=90&forceStop=1"),
        ),
        ("shutdown", "", "200 unchanged stopped", None),
        ("stop", "", "200 unchanged stopped", None),
        ("reboot", "", "502 task_failed", Some("reboot")),
        ("reset", "", "502 pve_refused", Some("reset")),
        ("suspend", "", "502 task_failed", Some("suspend")),
        ("start", "{\"dry_run\":false}", "200 changed running", Some("start")),
        ("stop", "", "200 changed stopped", Some("stop")),
    ] {
        let answer = lab.act(VM, action, body);
        assert_eq!(told(&answer), expected, "{action}: {}", answer.1);
        let orders = lab.orders();
        let news: Vec<&str> =
            orders[seen..].iter().map(|order| order.strip_prefix("pve1/qemu/900/status/").unwrap()).collect();
        assert_eq!(news, Vec::from_iter(order), "{action}");
        seen = orders.len();
        if answer.0 == 200 && order.is_some() {
            let task = &answer.1["task"];
            assert_eq!(
                (&task["status"], &task["exit_status"], &task["node"]),
                (&json!("stopped"), &json!("OK"), &json!("pve1"))
            );
            assert!(task["log"].as_array().unwrap().iter().any(|line| line == "TASK OK"), "{task}");
        }
    }
    let page = Page::parse(&lab.exporter.page("/metrics?collect[]=process"));
    let counted = |action, outcome| {
        page.value("pve_sentinel_control_actions_total", &[("action", action), ("outcome", outcome)])
            .unwrap_or_default()
    };
    assert_eq!(
        (counted("start", "done"), counted("start", "unchanged"), counted("start", "task_failed")),
        (1.0, 1.0, 1.0)
    );
    assert_eq!(counted("reset", "pve_refused"), 1.0);
}

#[test]
fn a_container_too_and_what_it_cannot_do_is_said() {
    let lab = Lab::start();
    for (action, body, expected) in [
        ("start", "", "200 unchanged running"),
        ("reset", "", "400 unsupported_action"),
        ("hibernate", "", "400 unsupported_action"),
        ("reboot", "", "200 changed running"),
        ("shutdown", "{\"timeout\":\"30s\"}", "200 changed stopped"),
        ("stop", "", "200 unchanged stopped"),
        ("reboot", "", "502 pve_refused"),
        ("suspend", "", "502 pve_refused"),
        ("start", "", "200 changed running"),
        ("stop", "", "200 changed stopped"),
    ] {
        let answer = lab.act(CONTAINER, action, body);
        assert_eq!(told(&answer), expected, "{action}: {}", answer.1);
    }
    let orders = ["reboot", "shutdown timeout=30", "reboot", "suspend", "start", "stop"];
    assert_eq!(lab.orders(), orders.map(|order| format!("pve2/lxc/901/status/{order}")));
}

#[test]
fn who_does_not_wait_gets_the_task_and_finds_its_end_later() {
    let lab = Lab::start();
    let reply = lab.post("/api/v1/guests/home/900/shutdown", "");
    let body = json(&reply);
    assert_eq!(
        (reply.status, &body["task"]["status"], &body["task"]["exit_status"]),
        (202, &json!("running"), &Value::Null)
    );
    assert!(body.get("changed").is_none() && body.get("via").is_none(), "{body}");
    let upid = body["task"]["upid"].as_str().unwrap();
    let path = format!("/api/v1/tasks/home/{upid}");
    lab.exporter.wait_for_log("outcome=done");
    let task = json(&get(&lab.exporter, READ, &path))["task"].clone();
    assert_eq!(
        (&task["status"], &task["exit_status"], &task["type"]),
        (&json!("stopped"), &json!("OK"), &json!("qmshutdown"))
    );
    let list = json(&get(&lab.exporter, READ, "/api/v1/tasks?cluster=home&guest=900&running=false"));
    assert_eq!((list["tasks"].as_array().unwrap().len(), &list["tasks"][0]["upid"]), (1, &json!(upid)));
    for (path, status) in [
        (format!("/api/v1/tasks/elsewhere/{upid}"), 404),
        (format!("/api/v1/tasks/home/{}", upid.replace("pve1", "pve2")), 404),
        (format!("/api/v1/tasks/home/{}", upid.replace("pve1", "nowhere")), 404),
        (format!("/api/v1/tasks/home/{}", upid.replace("pve1", "..%2f..")), 400),
        ("/api/v1/tasks?guest=-1".to_owned(), 400),
        ("/api/v1/tasks?running=maybe".to_owned(), 400),
        ("/api/v1/tasks?cluster=elsewhere".to_owned(), 400),
    ] {
        assert_eq!(get(&lab.exporter, READ, &path).status, status, "{path}");
    }
    assert_eq!(get(&lab.exporter, SOME, &path).status, 403);
}

#[test]
fn what_would_be_sent_is_said_without_sending_it() {
    let lab = Lab::start();
    let answer = lab.act(VM, "shutdown", "{\"dry_run\":true,\"timeout\":\"30s\"}");
    let body = &answer.1;
    assert_eq!((told(&answer).as_str(), &body["dry_run"]), ("200 changed running", &json!(true)));
    let request = json!({"method": "POST", "path": "/nodes/pve1/qemu/900/status/shutdown", "form": {"timeout": "30"}});
    assert_eq!(body["request"], request);
    assert_eq!(body["needs"], json!([{"privilege": "VM.PowerMgmt", "path": "/vms/900", "held": true}]));
    assert_eq!(told(&lab.act(VM, "start", "{\"dry_run\":true}")), "200 unchanged running");
    assert_eq!(told(&lab.act(CONTAINER, "reset", "{\"dry_run\":true}")), "400 unsupported_action");
    assert!(lab.orders().is_empty());
    let lines = lab.audit();
    assert!(lines.len() == 3 && lines.iter().all(|line| line["dry_run"] == json!(true)), "{lines:?}");
}

#[test]
fn ha_is_asked_where_it_manages_and_the_guest_is_waited_for() {
    let lab = Lab::start();
    assert!(lab.edit(|edit| edit.manage(VM, true)));
    assert_eq!(lab.act(VM, "stop", "{\"dry_run\":true}").1["via"], "ha");
    let answer = lab.act(VM, "stop", "");
    assert_eq!(told(&answer), "200 changed stopped", "{}", answer.1);
    assert_eq!((&answer.1["via"], &answer.1["task"]["type"]), (&json!("ha"), &json!("hastop")));
    let reply = lab.post("/api/v1/guests/home/900/start", "");
    assert_eq!((reply.status, &json(&reply)["via"]), (202, &json!("ha")));
}

#[test]
fn a_guest_that_moves_meanwhile_is_found_again_once() {
    let lab = Lab::start();
    let sim = &lab.pve.cluster.sims[0];
    // What the cluster says is old, every other time.
    let old = Fault::Body(lab.pve.world.resources(seconds(lab.began)).into());
    sim.set_fault("/cluster/resources", Fault::EveryNth { n: 2, fault: Box::new(old) });
    assert!(lab.edit(|edit| edit.migrate(VM, 1)));
    assert_eq!(lab.act(VM, "suspend", "{\"dry_run\":true}").1["guest"]["node"], "pve2");
    let answer = lab.act(VM, "suspend", "");
    assert_eq!((told(&answer).as_str(), &answer.1["guest"]["node"]), ("200 changed paused", &json!("pve2")));
    sim.clear_faults();
    let moved_during = |action: &'static str, from: &str, to: usize| {
        let path = format!("/nodes/{from}/qemu/900/status/{action}");
        sim.set_fault(&path, Fault::Slow(Duration::from_secs(1)));
        let before = lab.orders().len();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| lab.act(VM, action, ""));
            while lab.orders().len() == before {
                std::thread::yield_now();
            }
            assert!(lab.edit(|edit| edit.migrate(VM, to)));
            asked.join().unwrap()
        })
    };
    // Refused at once.
    let answer = moved_during("reset", "pve2", 2);
    assert_eq!(told(&answer), "200 changed paused", "{}", answer.1);
    assert_eq!(lab.act(VM, "stop", "").0, 200);
    // Found out by the task.
    let answer = moved_during("start", "pve3", 0);
    assert_eq!(told(&answer), "200 changed running", "{}", answer.1);
    let orders = ["pve2 suspend", "pve2 reset", "pve3 reset", "pve3 stop", "pve3 start", "pve1 start"];
    assert_eq!(lab.orders(), orders.map(|order| order.replace(' ', "/qemu/900/status/")));
}

#[test]
fn locks_templates_and_a_lost_quorum_are_told_as_what_they_are() {
    let lab = Lab::start();
    assert!(lab.edit(|edit| edit.lock(VM, Some("backup"))));
    let answer = lab.act(VM, "stop", "");
    assert_eq!(told(&answer), "409 locked");
    assert!(answer.1["error"]["message"].as_str().unwrap().contains("locked (backup)"));
    let resources: Value = serde_json::from_str(&lab.pve.world.resources(seconds(lab.began))).unwrap();
    let template = resources["data"].as_array().unwrap().iter().find(|entry| entry["template"] == json!(1)).unwrap();
    assert_eq!(told(&lab.act(template["vmid"].as_u64().unwrap(), "start", "")), "409 template");
    assert!(lab.orders().is_empty());
    lab.edit(|edit| edit.set_quorate(false));
    assert_eq!(told(&lab.act(CONTAINER, "stop", "")), "503 no_quorum");
    assert_eq!(lab.orders().len(), 1);
}

#[test]
fn senseless_and_forbidden_requests_send_nothing() {
    let lab = Lab::start();
    for (token, path, body, status) in [
        (ALL, "900/start", "{\"dry-run\":true}", 400),
        (ALL, "900/start", "{\"dry_run\":true,\"dry_run\":false}", 400),
        (ALL, "900/start", "[true]", 400),
        (ALL, "900/start", "null", 400),
        (ALL, "900/start", "{\"timeout\":\"30s\"}", 400),
        (ALL, "900/start", "{\"force\":true}", 400),
        (ALL, "900/shutdown", "{\"timeout\":30}", 400),
        (ALL, "900/shutdown", "{\"timeout\":\"500ms\"}", 400),
        (ALL, "900/shutdown", "{\"timeout\":\"2h\"}", 400),
        (ALL, "900/stop?wait=", "", 400),
        (ALL, "900/stop?wait=soon", "", 400),
        (ALL, "900/stop?wait=1d", "", 400),
        (ALL, "900/stop?dry_run=true", "", 400),
        (ALL, "900/explode", "", 404),
        (ALL, "900%2f..%2f901/stop", "", 400),
        (ALL, "00900/stop", "", 400),
        (ALL, "18446744073709551617/stop", "", 400),
        (ALL, "899/stop", "", 404),
        (READ, "900/stop", "", 403),
        (SOME, "901/stop", "", 403),
        (SOME, "100/stop", "", 403),
        ("pvs_wrongwrongwrongwrongwrongwrongwrongwrong123", "900/stop", "", 401),
    ] {
        let reply = post(&lab.exporter, token, &format!("/api/v1/guests/home/{path}"), &[], body);
        assert_eq!(reply.status, status, "{path} {body}: {}", reply.text());
    }
    assert_eq!(lab.post("/api/v1/guests/elsewhere/900/stop", "").status, 404);
    assert_eq!(
        lab.post("/api/v1/guests/home/900/stop", &format!("{{\"timeout\":\"{}\"}}", "1".repeat(70_000))).status,
        413
    );
    let key = [("Idempotency-Key", "a key")];
    assert_eq!(post(&lab.exporter, ALL, "/api/v1/guests/home/900/stop", &key, "").status, 400);
    assert!(lab.orders().is_empty());
    let reply = post(&lab.exporter, SOME, "/api/v1/guests/home/900/suspend", &[], "");
    assert_eq!((reply.status, lab.orders().len()), (202, 1), "{}", reply.text());
}

#[test]
fn without_an_acting_credential_nothing_is_ever_sent() {
    let lab = Lab::start();
    let config: Vec<&str> = lab.config.lines().filter(|line| !line.starts_with("control = ")).collect();
    let off = Exporter::serve(&config.join("\n").replace("/state\"", "/other\""));
    for action in ["start", "stop", "shutdown", "reboot", "reset", "suspend", "resume", "hibernate"] {
        for body in ["", "{\"dry_run\":true}"] {
            let reply = post(&off, ALL, &format!("/api/v1/guests/home/900/{action}"), &[], body);
            assert_eq!((reply.status, &json(&reply)["error"]["code"]), (503, &json!("control_disabled")));
        }
    }
    assert!(lab.orders().is_empty());
    assert_eq!(lab.pve.cluster.sims[0].requests().iter().filter(|seen| seen.method != "GET").count(), 0);
}

#[test]
fn after_a_lost_answer_the_task_is_looked_for_and_nothing_sent_again() {
    let lab = Lab::start();
    let sim = &lab.pve.cluster.sims[0];
    // The work is done, and the answer is lost.
    sim.set_fault("/nodes/pve1/qemu/900/status/suspend", Fault::Reset);
    let answer = lab.act(VM, "suspend", "");
    assert_eq!(told(&answer), "200 changed paused", "{}", answer.1);
    assert_eq!(answer.1["task"]["type"], "qmpause");
    // Nothing was done, and nobody knows.
    let hung = Fault::Status { code: 596, reason: "Connection timed out".into(), body: String::new() };
    sim.set_fault("/nodes/pve1/qemu/900/status/resume", hung);
    let answer = lab.act(VM, "resume", "");
    assert_eq!(told(&answer), "502 outcome_unknown");
    let message = answer.1["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("no task of it was found on pve1") && message.contains("the guest is paused"),
        "{message}"
    );
    let away = Fault::Status { code: 595, reason: "No route to host".into(), body: String::new() };
    sim.set_fault("/nodes/pve2/lxc/901/status/stop", away);
    assert_eq!(told(&lab.act(CONTAINER, "stop", "")), "502 pve_unreachable");
    assert_eq!(
        lab.orders(),
        ["pve1/qemu/900/status/suspend", "pve1/qemu/900/status/resume", "pve2/lxc/901/status/stop"]
    );
}

#[test]
fn a_key_is_one_order_also_after_a_kill() {
    let mut lab = Lab::start();
    let send = |lab: &Lab, path: &str, key: &str, body: &str| {
        post(&lab.exporter, ALL, &format!("/api/v1/guests/home/{path}"), &[("Idempotency-Key", key)], body)
    };
    let first = send(&lab, "901/reboot?wait=1m", "one", "");
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(send(&lab, "901/reboot?wait=1m", "one", "").body, first.body);
    for (path, body) in [("901/stop", ""), ("900/reboot", ""), ("901/reboot", "{\"timeout\":\"9s\"}")] {
        let other = send(&lab, path, "one", body);
        assert_eq!((other.status, lab.orders().len()), (400, 1), "{}", other.text());
    }
    // Somebody does not listen, and the exporter is killed in the meantime.
    assert!(lab.edit(|edit| edit.deafen(VM)));
    let asked = send(&lab, "900/shutdown", "two", "{\"timeout\":\"60s\"}");
    assert_eq!(asked.status, 202, "{}", asked.text());
    let upid = json(&asked)["task"]["upid"].clone();
    lab.restart();
    assert_eq!(send(&lab, "901/reboot", "one", "").body, first.body);
    let again = send(&lab, "900/shutdown?wait=1m", "two", "{\"timeout\":\"60s\"}");
    assert_eq!((again.status, &json(&again)["task"]["upid"]), (502, &upid), "{}", again.text());
    assert_eq!(json(&again)["error"]["code"], "task_failed");
    assert_eq!(lab.orders(), ["pve2/lxc/901/status/reboot", "pve1/qemu/900/status/shutdown timeout=60"]);
}

#[test]
fn a_kill_between_order_and_answer_costs_no_second_order() {
    let mut lab = Lab::start();
    lab.pve.cluster.sims[0].set_fault("/nodes/pve1/qemu/900/status/suspend", Fault::Hang);
    let mut stream = connect(lab.exporter.address);
    let text = format!(
        "POST /api/v1/guests/home/900/suspend HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {ALL}\r\nIdempotency-Key: three\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).unwrap();
    while lab.orders().is_empty() {
        std::thread::yield_now();
    }
    lab.kill();
    lab.pve.cluster.sims[0].clear_faults();
    lab.exporter = Exporter::serve(&lab.config);
    lab.exporter.wait_for_log("looking for the end of an action");
    let path = "/api/v1/guests/home/900/suspend?wait=1m";
    let again = post(&lab.exporter, ALL, path, &[("Idempotency-Key", "three")], "");
    assert_eq!((again.status, &json(&again)["status"]), (200, &json!("paused")), "{}", again.text());
    assert_eq!(lab.orders().len(), 1);
}

#[test]
fn a_kill_before_the_order_costs_the_order_and_is_said() {
    let mut lab = Lab::start();
    lab.kill();
    // Written down, and not sent.
    let at = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let intent = json!({"intent": {
        "id": "of-before", "at": at, "token": "ops", "key": "four", "cluster": "home", "vmid": VM, "kind": "qemu", "node": "pve1",
        "name": "web", "action": "suspend", "wish": "suspend home/900", "since": at, "uptime": 100,
    }});
    std::fs::write(lab.folder.path().join("state/control.journal"), format!("{intent}\n")).unwrap();
    lab.exporter = Exporter::serve(&lab.config);
    let path = "/api/v1/guests/home/900/suspend?wait=1m";
    let again = || post(&lab.exporter, ALL, path, &[("Idempotency-Key", "four")], "");
    let first = again();
    let body = json(&first);
    assert_eq!((first.status, &body["error"]["code"]), (502, &json!("outcome_unknown")), "{body}");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("no task of it was found") && message.contains("the guest is running"), "{message}");
    assert_eq!(again().body, first.body);
    assert!(lab.orders().is_empty());
    let lines = lab.audit();
    assert_eq!(
        (lines.len(), &lines[0]["request"], &lines[0]["outcome"]),
        (1, &json!("of-before"), &json!("outcome_unknown"))
    );
}

#[test]
fn two_at_once_are_one() {
    let lab = Lab::start();
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| lab.act(VM, "reboot", ""))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| told(answer) == "200 changed running"), "{answers:?}");
    assert_eq!(lab.orders().len(), 1);
}

#[test]
fn each_decision_is_written_down_before_anything_is_sent() {
    let lab = Lab::start();
    assert_eq!(lab.act(VM, "suspend", "").0, 200);
    assert_eq!(lab.act(899, "stop", "").0, 404);
    let path = lab.folder.path().join("state/audit.log");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = lab.audit();
    let of = |index: usize, key: &str| lines[index][key].as_str().unwrap_or_default().to_owned();
    let lines: Vec<String> =
        (0..3).map(|at| ["event", "token", "action", "outcome"].map(|key| of(at, key)).join(" ")).collect();
    assert_eq!(lines, ["intent ops suspend intended", "decision ops suspend done", "decision ops stop not_found"]);
    assert!(of(1, "upid").contains(":qmpause:900:operator@pve!power:") && of(1, "client") == "127.0.0.1");
    assert_eq!((of(0, "request"), of(0, "node")), (of(1, "request"), "pve1".to_owned()));
    let text = std::fs::read_to_string(&path).unwrap() + &lab.exporter.log();
    for secret in [OPERATOR_SECRET, SECRET, "q83vEjRW"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(lab.exporter.log().contains("decided on an action"));
    // Without a place to write, nothing is sent.
    let before = lab.orders().len();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let answer = lab.act(VM, "resume", "");
    assert_eq!((told(&answer).as_str(), lab.orders().len()), ("500 internal", before));
    assert!(answer.1["error"]["message"].as_str().unwrap().contains("nothing was asked for"));
    let seen = lab.pve.cluster.sims[0].requests();
    let of_monitor = seen.iter().filter(|seen| seen.credential == Credential::Right(Rights::Auditor));
    assert!(of_monitor.into_iter().all(|seen| seen.method == "GET"), "{TOKEN_ID} acts");
}

#[test]
fn a_state_dir_of_another_process_ends_the_start() {
    let lab = Lab::start();
    let file = lab.folder.path().join("second.toml");
    crate::support::write_private(Path::new(&file), &lab.config);
    let path = file.display().to_string();
    let finished =
        crate::support::run_to_end(&["serve", "--config.file", &path, "--web.listen-address", "127.0.0.1:0"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("state_dir") && finished.stderr.contains("another one uses"), "{finished:?}");
}

/// The README's commands do what it says of them.
#[cfg(feature = "external-programs")]
#[test]
#[expect(clippy::disallowed_methods, reason = "what people type is tried as they type it")]
fn the_commands_of_the_readme_work_as_printed() {
    let lab = Lab::start();
    let readme = std::fs::read_to_string(crate::support::repository().join("README.md")).unwrap();
    let section = readme.split("### Control\n").nth(1).unwrap().split("\n##").next().unwrap();
    let commands: Vec<&str> = section.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 6, "{commands:?}");
    std::fs::write(lab.folder.path().join("token.header"), format!("Authorization: Bearer {ALL}\n")).unwrap();
    let answers: Vec<Value> = commands
        .into_iter()
        .map(|command| {
            let here = command.replace("127.0.0.1:9221", &lab.exporter.address.to_string());
            let here = here.replace("home/100", "home/900").replace("guest=100", "guest=900").replace("[100]", "[900]");
            let run = std::process::Command::new("sh")
                .args(["-c", &format!("{here} -s")])
                .current_dir(lab.folder.path())
                .output();
            let output = run.unwrap();
            assert!(output.status.success(), "{here}: {}", String::from_utf8_lossy(&output.stderr));
            if command.contains("force") {
                lab.exporter.wait_for_log("outcome=done");
            }
            serde_json::from_slice(&output.stdout).unwrap()
        })
        .collect();
    assert_eq!(answers[0]["dry_run"], json!(true), "{answers:?}");
    assert_eq!(answers[1]["task"]["type"], "qmshutdown");
    assert_eq!((&answers[2]["changed"], &answers[2]["status"]), (&json!(true), &json!("running")));
    assert_eq!(answers[3]["tasks"].as_array().unwrap().len(), 2);
    assert_eq!((&answers[4]["dry_run"], &answers[4]["selected"]), (&json!(true), &json!(1)));
    assert_eq!(answers[5]["results"][0]["outcome"], "done");
}
