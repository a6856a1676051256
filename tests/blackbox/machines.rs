//! Nodes and hosts switched from outside: nothing that costs guests or the quorum unasked, and the truth about what came of it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_sentinel::sim::{Credential, Edit, Fault, Options, Rights, SshFault, SshReply, Token, World};
use serde_json::{Value, json};

use crate::control::{OPERATOR, OPERATOR_SECRET, json, post, seconds, told};
use crate::support::{Exporter, Machine, Reply, Simulated};

/// May switch nodes and hosts.
const MACHINES: &str = "pvs_machinesmachinesmachinesmachinesmachines123";
/// May switch guests.
const GUESTS: &str = "pvs_guestsguestsguestsguestsguestsguestsguests1";
/// May read.
const READ: &str = "pvs_readreadreadreadreadreadreadreadreadread123";
/// May switch nodes.
const NODES: &str = "pvs_nodesnodesnodesnodesnodesnodesnodesnodes1234";
/// May switch hosts.
const HOSTS: &str = "pvs_hostshostshostshostshostshostshostshosts1234";
/// A card.
const CARD: &str = "02:11:22:33:44:55";

/// A cluster of three nodes, all of which run guests, and an exporter that may switch them.
struct Lab {
    pve: Simulated,
    exporter: Exporter,
    config: String,
    folder: tempfile::TempDir,
    began: Instant,
}

impl Lab {
    fn start() -> Self {
        Self::start_with(Rights::Administrator, "", "")
    }

    /// With more lines for the cluster, and more tables.
    fn start_with(rights: Rights, cluster: &str, more: &str) -> Self {
        let began = Instant::now();
        let pve = Simulated::start_with(World::new(1, 3, 12), 1, |options| {
            let mut tokens = options.tokens.clone();
            tokens.push(Token { id: OPERATOR.to_owned(), secret: OPERATOR_SECRET.to_owned(), rights });
            Options { tokens, clock: Arc::new(move || seconds(began)), ..options }
        });
        let folder = tempfile::tempdir().unwrap();
        let token = |name: &str, token: &str, scopes: &str| {
            let hash = pve_sentinel::ids::TokenHash::of(token).hex();
            format!("{{ name = \"{name}\", sha256 = \"{hash}\", scopes = [{scopes}] }}")
        };
        let tokens = [
            token("machines", MACHINES, "\"node-power\", \"host-power\""),
            token("guests", GUESTS, "\"read\", \"power\""),
            token("nodes", NODES, "\"node-power\""),
            token("hosts", HOSTS, "\"host-power\""),
            token("grafana", READ, "\"read\""),
        ];
        let config = format!(
            "state_dir = {:?}\n[scrape]\nmax_age = \"0s\"\n{}control = {{ token_id = \"{OPERATOR}\", token_secret = \
             \"{OPERATOR_SECRET}\" }}\n{cluster}\n[control]\ntokens = [{}]\n{more}\n",
            folder.path().join("state"),
            pve.cluster.config("home"),
            tokens.join(", ")
        );
        Self { exporter: Exporter::serve(&config), config, pve, folder, began }
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Edit<'_>) -> T) -> T {
        self.pve.world.edit(seconds(self.began), change)
    }

    fn post(&self, path: &str, body: &str) -> Reply {
        post(&self.exporter, MACHINES, &format!("/api/v1/{path}"), &[], body)
    }

    /// An action, waited for.
    fn act(&self, path: &str, body: &str) -> (u16, Value) {
        let reply = self.post(&format!("{path}?wait=1m"), body);
        (reply.status, json(&reply))
    }

    /// Paths and bodies of the orders that the cluster saw.
    fn orders(&self) -> Vec<String> {
        let seen = self.pve.cluster.sims[0].requests();
        let posts = seen.iter().filter(|seen| seen.method != "GET");
        posts
            .map(|seen| {
                assert!(matches!(seen.credential, Credential::Right(Rights::Administrator | Rights::Operator)));
                format!("{} {}", seen.target.trim_start_matches("/api2/json/nodes/"), seen.body).trim_end().to_owned()
            })
            .collect()
    }

    fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("state/audit.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

const RUNNING: &str = "{\"allow_running\":true}";

fn message(answer: &(u16, Value)) -> &str {
    answer.1["error"]["message"].as_str().unwrap_or_default()
}

/// A host that says what it was told, with its commands.
fn host(answer: impl Fn(&str) -> SshReply + Send + Sync + 'static, commands: &str) -> (Machine, String) {
    let machine = Machine::answering(answer);
    let table = format!("{}{}\n", machine.host("nas"), machine.control(commands));
    (machine, table)
}

/// The commands of who acts.
fn told_by_power(machine: &Machine) -> Vec<String> {
    let commands = machine.sim.commands().into_iter();
    commands.filter(|(user, _)| user == "power").map(|(_, line)| line).collect()
}

/// An action of the host, which goes off as soon as it was told to.
fn switched(lab: &Lab, machine: &mut Machine, action: &str) -> (u16, Value) {
    let before = told_by_power(machine).len();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| lab.act(&format!("hosts/nas/{action}"), ""));
        wait_until("nothing was asked", || told_by_power(machine).len() > before);
        machine.sim.stop();
        asked.join().unwrap()
    })
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed().as_secs() < 60, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_node_goes_and_comes_back_with_no_more_orders_than_needed() {
    let lab = Lab::start();
    let mut seen = 0;
    for (path, body, expected, order) in [
        ("pve2/shutdown", "", "409 running_guests", None),
        ("pve2/shutdown", "{\"force_quorum\":true}", "409 running_guests", None),
        ("pve2/wake", "", "200 unchanged online", None),
        ("pve2/shutdown", RUNNING, "200 changed offline", Some("pve2/status command=shutdown")),
        ("pve2/shutdown", "", "200 unchanged offline", None),
        ("pve2/suspend", "", "503 control_disabled", None),
        ("pve2/reboot", "", "502 pve_unreachable", None),
        ("pve3/shutdown", RUNNING, "409 would_lose_quorum", None),
        ("pve3/reboot", RUNNING, "409 would_lose_quorum", None),
        ("pve2/wake", "{}", "200 changed online", Some("pve2/wakeonlan")),
        ("pve3/reboot", RUNNING, "200 changed online", Some("pve3/status command=reboot")),
    ] {
        let answer = lab.act(&format!("nodes/home/{path}"), body);
        assert_eq!(told(&answer), expected, "{path}: {}", answer.1);
        let orders = lab.orders();
        assert_eq!(orders[seen..], Vec::from_iter(order), "{path}");
        seen = orders.len();
    }
    let done: Vec<Value> = lab.audit().into_iter().filter(|line| line["outcome"] == "done").collect();
    let of = |line: &Value| format!("{} {} {}", line["action"], line["cluster"], line["node"]).replace('"', "");
    assert_eq!(done.iter().map(of).collect::<Vec<_>>(), ["shutdown home pve2", "wake home pve2", "reboot home pve3"]);
    assert!(done.iter().all(|line| line.get("vmid").is_none() && line["token"] == "machines"), "{done:?}");
    let page = crate::support::Page::parse(&lab.exporter.page("/metrics?collect[]=process"));
    let labels = [("action", "node_shutdown"), ("outcome", "would_lose_quorum")];
    assert_eq!(page.value("pve_sentinel_control_actions_total", &labels), Some(1.0));
}

#[test]
fn two_nodes_that_go_at_once_do_not_cost_the_quorum_together() {
    let lab = Lab::start();
    let first = lab.post("nodes/home/pve2/shutdown", RUNNING);
    assert_eq!((first.status, json(&first)["node"]["node"].as_str()), (202, Some("pve2")));
    let second = lab.post("nodes/home/pve3/shutdown", RUNNING);
    assert_eq!((second.status, &json(&second)["error"]["code"]), (409, &json!("would_lose_quorum")), "{second:?}");
    lab.exporter.wait_for_log("outcome=done");
    assert_eq!(told(&lab.act("nodes/home/pve3/shutdown", RUNNING)), "409 would_lose_quorum");
    let forced = "{\"allow_running\":true,\"force_quorum\":true}";
    assert_eq!(lab.post("nodes/home/pve3/shutdown", forced).status, 202);
    assert_eq!(lab.orders(), ["pve2/status command=shutdown", "pve3/status command=shutdown"]);
}

#[test]
fn a_dry_run_says_what_would_be_sent_and_whether_it_is_allowed() {
    for (rights, held) in [(Rights::Administrator, true), (Rights::Operator, false)] {
        let lab = Lab::start_with(rights, "", "");
        let answer = lab.act("nodes/home/pve2/reboot", "{\"dry_run\":true,\"allow_running\":true}");
        assert_eq!(answer.0, 200, "{}", answer.1);
        let body = json!({
            "action": "reboot", "node": {"cluster": "home", "node": "pve2"}, "changed": true, "dry_run": true,
            "request": {"method": "POST", "path": "/nodes/pve2/status", "form": {"command": "reboot"}},
            "needs": [{"privilege": "Sys.PowerMgmt", "path": "/nodes/pve2", "held": held}],
        });
        assert_eq!(answer.1, body);
        assert_eq!(told(&lab.act("nodes/home/pve2/reboot", "{\"dry_run\":true}")), "409 running_guests");
        assert!(lab.orders().is_empty());
        let answer = lab.act("nodes/home/pve2/reboot", RUNNING);
        if held {
            assert_eq!(answer.0, 200, "{}", answer.1);
        } else {
            assert_eq!(told(&answer), "502 pve_refused");
            assert!(message(&answer).contains("Sys.PowerMgmt"), "{}", answer.1);
        }
        assert_eq!(lab.orders().len(), 1);
    }
}

#[test]
fn senseless_and_forbidden_requests_send_nothing() {
    let (machine, table) = host(|_| SshReply::default(), "shutdown = \"poweroff\"");
    let lab = Lab::start_with(Rights::Administrator, "", &table);
    for (token, path, body, status) in [
        (GUESTS, "nodes/home/pve2/shutdown", RUNNING, 403),
        (READ, "nodes/home/pve2/wake", "", 403),
        (GUESTS, "hosts/nas/shutdown", "", 403),
        (READ, "hosts/nas/wake", "", 403),
        (NODES, "hosts/nas/shutdown", "", 403),
        (HOSTS, "nodes/home/pve2/shutdown", RUNNING, 403),
        (MACHINES, "guests/home/100/stop", "", 403),
        (MACHINES, "batch", "{\"action\":\"stop\",\"select\":{\"vmids\":[100]},\"confirm\":1}", 403),
        (MACHINES, "nodes/home/pve2%00/shutdown", RUNNING, 400),
        (MACHINES, "nodes/home/%2e%2e/shutdown", RUNNING, 400),
        (MACHINES, "hosts/nas%0d%0aX-Y:%20z/shutdown", "", 400),
        ("pvs_wrongwrongwrongwrongwrongwrongwrongwrong123", "hosts/nas/shutdown", "", 401),
        (MACHINES, "nodes/home/pve2/shutdown", "{\"allow-running\":true}", 400),
        (MACHINES, "nodes/home/pve2/shutdown", "{\"allow_running\":1}", 400),
        (MACHINES, "nodes/home/pve2/shutdown", "[true,true,true]", 400),
        (MACHINES, "nodes/home/pve2/wake", "{\"force_quorum\":true}", 400),
        (MACHINES, "nodes/home/pve2/shutdown?wait=", RUNNING, 400),
        (MACHINES, "nodes/home/pve2/shutdown?wait=11m", RUNNING, 400),
        (MACHINES, "nodes/home/pve2/stop", RUNNING, 404),
        (MACHINES, "nodes/home/pve4/shutdown", RUNNING, 404),
        (MACHINES, "nodes/home/..%2fpve2/shutdown", RUNNING, 400),
        (MACHINES, "nodes/elsewhere/pve2/shutdown", RUNNING, 404),
        (MACHINES, "nodes/home/pve2/suspend", RUNNING, 503),
        (MACHINES, "hosts/nas/shutdown", RUNNING, 400),
        (MACHINES, "hosts/nas/reboot", "", 503),
        (MACHINES, "hosts/nas/wake", "", 503),
        (MACHINES, "hosts/tv/shutdown", "", 404),
        (MACHINES, "hosts/home-pve2/shutdown", "", 400),
        (MACHINES, "hosts/pve2/shutdown", "", 400),
    ] {
        let reply = post(&lab.exporter, token, &format!("/api/v1/{path}"), &[], body);
        assert_eq!(reply.status, status, "{path} {body}: {}", reply.text());
    }
    assert!(message(&lab.act("hosts/home-pve2/suspend", "")).contains("/api/v1/nodes/home/pve2/"));
    assert!(message(&lab.act("hosts/nas/reboot", "")).contains("set reboot in control of its [[hosts]]"));
    assert!(message(&lab.act("nodes/home/pve1/suspend", "")).contains("set suspend in the table control of ssh"));
    assert!(lab.orders().is_empty() && machine.sim.commands().is_empty());
    let refused = lab.audit().into_iter().find(|line| line["host"] == "tv").unwrap();
    assert_eq!((&refused["outcome"], &refused["action"]), (&json!("not_found"), &json!("shutdown")));
}

#[test]
fn a_host_sleeps_by_its_own_command_and_key_and_is_woken_by_its_card() {
    let ear = UdpSocket::bind("127.0.0.1:0").unwrap();
    ear.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let commands = "suspend = \"sleep now\", shutdown = \"poweroff\"";
    let (mut machine, table) = host(|_| SshReply::default(), commands);
    let wake = format!("mac_address = \"{CARD}\"\nwake_address = \"{}\"\n", ear.local_addr().unwrap());
    let lab = Lab::start_with(Rights::Administrator, "", &format!("{table}{wake}"));
    let plan = lab.act("hosts/nas/suspend", "{\"dry_run\":true}").1;
    let address = machine.sim.address().to_string();
    let request = json!({"method": "ssh", "user": "power", "address": address, "command": "sleep now"});
    assert_eq!((&plan["request"], &plan["needs"]), (&request, &json!([])), "{plan}");
    assert_eq!(told(&lab.act("hosts/nas/wake", "")), "200 unchanged up");
    // Scrapes read with their own key.
    lab.exporter.page("/metrics?collect[]=host");
    let answer = switched(&lab, &mut machine, "suspend");
    assert_eq!(told(&answer), "200 changed down", "{}", answer.1);
    assert_eq!(answer.1["host"], json!({"id": "nas", "name": "The nas"}));
    let all = machine.sim.commands();
    assert!(all.contains(&("power".to_owned(), "sleep now".to_owned())), "{all:?}");
    assert!(all.iter().all(|(user, line)| (user == "sentinel") == line.starts_with("sh -s -- ")), "{all:?}");

    // It does not answer, which does not say that it is off.
    let answer = lab.act("hosts/nas/shutdown", "");
    assert_eq!(told(&answer), "502 host_unreachable", "{}", answer.1);
    let plan = lab.act("hosts/nas/wake", "{\"dry_run\":true}").1;
    let request = json!({"method": "packet", "mac_address": CARD, "address": ear.local_addr().unwrap().to_string()});
    assert_eq!(plan["request"], request, "{plan}");
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| lab.act("hosts/nas/wake", ""));
        let mut bytes = [0; 200];
        let length = ear.recv(&mut bytes).unwrap();
        let expected = [&[0xff; 6][..], &[2, 0x11, 0x22, 0x33, 0x44, 0x55].repeat(16)].concat();
        assert_eq!(&bytes[..length], &expected[..]);
        machine.start();
        asked.join().unwrap()
    });
    assert_eq!(told(&answer), "200 changed up", "{}", answer.1);
    assert_eq!(told(&lab.act("hosts/nas/wake", "")), "200 unchanged up");
    ear.set_nonblocking(true).unwrap();
    assert!(ear.recv(&mut [0; 200]).is_err(), "a second packet");
    assert_eq!(told(&switched(&lab, &mut machine, "shutdown")), "200 changed down");
    let lines: Vec<Value> = lab.audit().into_iter().filter(|line| line["host"] == "nas").collect();
    let told: Vec<String> =
        lines.iter().map(|line| format!("{} {}", line["action"], line["outcome"]).replace('"', "")).collect();
    let expected = "suspend dry_run, wake unchanged, suspend intended, suspend done, shutdown intended, \
                    shutdown host_unreachable, wake dry_run, wake intended, wake done, wake unchanged, shutdown intended, \
                    shutdown done";
    assert_eq!(told.join(", "), expected);
    assert!(lines.iter().all(|line| line["cluster"] == "" && line["node"].is_null()), "{lines:?}");
}

#[test]
fn what_a_command_and_a_host_that_is_another_say_is_told() {
    let no = SshReply { stderr: "sudo: a password is required\n".into(), exit: 1, ..SshReply::default() };
    let (machine, table) = host(move |_| no.clone(), "reboot = \"sudo reboot\"");
    let lab = Lab::start_with(Rights::Administrator, "", &table);
    let answer = lab.act("hosts/nas/reboot", "");
    assert_eq!(told(&answer), "502 task_failed");
    assert!(message(&answer).contains("exit status 1: sudo: a password is required"), "{}", answer.1);
    machine.set_fault(SshFault::RefuseCommand);
    assert_eq!(told(&lab.act("hosts/nas/reboot", "")), "502 host_unreachable");
    machine.set_fault(SshFault::None);
    machine.know("");
    let before = machine.sim.seen();
    let answer = lab.act("hosts/nas/reboot", "");
    assert_eq!(told(&answer), "502 host_unreachable");
    assert!(message(&answer).contains("host key") && message(&answer).contains("nothing was done"), "{}", answer.1);
    assert_eq!(machine.sim.seen().logins, before.logins);
    assert_eq!(told_by_power(&machine), ["sudo reboot"]);
}

#[test]
fn a_connection_that_breaks_is_success_only_where_the_host_is_gone() {
    let (mut machine, table) = host(|_| SshReply::default(), "shutdown = \"poweroff\", reboot = \"reboot\"");
    machine.set_fault(SshFault::Reset);
    let lab = Lab::start_with(Rights::Administrator, "", &table);
    // It is asked, and stays: nothing is claimed.
    let reply = lab.post("hosts/nas/shutdown?wait=1s", "");
    assert_eq!((reply.status, json(&reply).get("changed")), (202, None), "{reply:?}");
    assert_eq!(told_by_power(&machine), ["poweroff"]);
    machine.sim.stop();
    lab.exporter.wait_for_log("outcome=done");
    machine.set_fault(SshFault::None);
    machine.start();
    // Gone, and there again.
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| lab.act("hosts/nas/reboot", ""));
        wait_until("nothing was asked", || told_by_power(&machine).len() == 1);
        machine.sim.stop();
        // So long that it is looked at more than twice.
        let since = Instant::now();
        wait_until("time stands still", || since.elapsed() > Duration::from_secs(4));
        machine.start();
        asked.join().unwrap()
    });
    assert_eq!(told(&answer), "200 changed up", "{}", answer.1);
}

#[test]
fn nodes_are_switched_over_ssh_and_woken_by_packet_where_the_configuration_says_so_with_the_same_guards() {
    let machine = Machine::answering(|_| SshReply::default());
    let ear = UdpSocket::bind("127.0.0.1:0").unwrap();
    ear.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let more = format!(
        "addresses = {{ pve2 = \"{}\" }}, {}",
        machine.sim.address(),
        machine.control("suspend = \"sleep now\", shutdown = \"poweroff\"")
    );
    let wake = format!("mac_addresses = {{ pve2 = \"{CARD}\" }}\nwake_address = \"{}\"\n", ear.local_addr().unwrap());
    let lab = Lab::start_with(Rights::Administrator, &format!("{}{wake}", machine.ssh(&more)), "");
    assert_eq!(told(&lab.act("nodes/home/pve2/suspend", "")), "409 running_guests");
    assert!(lab.edit(|edit| edit.lose(2)));
    wait_until("pve3 stays", || {
        told(&lab.act("nodes/home/pve2/suspend", RUNNING)) == "409 would_lose_quorum"
            || !machine.sim.commands().is_empty()
    });
    assert!(machine.sim.commands().is_empty());
    assert!(lab.edit(|edit| edit.bring_back(2)));
    wait_until("pve3 does not return", || {
        lab.act("nodes/home/pve3/wake", "{\"dry_run\":true}").1["changed"] == json!(false)
    });
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| lab.act("nodes/home/pve2/suspend", RUNNING));
        wait_until("nothing was asked", || told_by_power(&machine) == ["sleep now"]);
        assert!(lab.edit(|edit| edit.lose(1)));
        asked.join().unwrap()
    });
    assert_eq!(told(&answer), "200 changed offline", "{}", answer.1);
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| lab.act("nodes/home/pve2/wake", ""));
        assert_eq!(ear.recv(&mut [0; 200]).unwrap(), 102);
        assert!(lab.edit(|edit| edit.bring_back(1)));
        asked.join().unwrap()
    });
    assert_eq!(told(&answer), "200 changed online", "{}", answer.1);
    let plan = lab.act("nodes/home/pve2/shutdown", "{\"dry_run\":true,\"allow_running\":true}").1;
    assert_eq!(plan["request"]["command"], "poweroff", "{plan}");
    assert!(lab.orders().is_empty());
}

#[test]
fn an_order_is_sent_once_whatever_is_repeated_or_killed() {
    let mut lab = Lab::start();
    let order = |lab: &Lab, body: &str| {
        let key = [("Idempotency-Key", "night")];
        post(&lab.exporter, MACHINES, "/api/v1/nodes/home/pve2/shutdown", &key, body)
    };
    assert_eq!(order(&lab, RUNNING).status, 202);
    kill(&mut lab);
    let early = lab.audit();
    assert!(early.iter().any(|line| line["event"] == "intent") && early.iter().all(|line| line["outcome"] != "done"));
    lab.exporter = Exporter::serve(&lab.config);
    lab.exporter.wait_for_log("looking for the end of an action");
    lab.exporter.wait_for_log("outcome=done");
    let again = post(
        &lab.exporter,
        MACHINES,
        "/api/v1/nodes/home/pve2/shutdown?wait=1m",
        &[("Idempotency-Key", "night")],
        RUNNING,
    );
    let body = json(&again);
    assert_eq!((again.status, &body["changed"], &body["status"]), (200, &json!(true), &json!("offline")));
    assert_eq!(order(&lab, "{}").status, 400);
    for path in ["nodes/home/pve2/wake", "nodes/home/pve2/reboot", "nodes/home/pve3/shutdown"] {
        let reply = post(&lab.exporter, MACHINES, &format!("/api/v1/{path}"), &[("Idempotency-Key", "night")], "");
        assert_eq!(reply.status, 400, "{path}: {}", reply.text());
        assert!(reply.text().contains("Idempotency-Key"), "{path}: {}", reply.text());
    }
    assert_eq!(lab.orders(), ["pve2/status command=shutdown"]);
}

/// What it comes to is not known for minutes.
#[test]
fn an_order_that_is_repeated_after_a_kill_is_answered_before_its_end() {
    let (machine, table) = host(|_| SshReply::default(), "shutdown = \"poweroff\"");
    let mut lab = Lab::start_with(Rights::Administrator, "", &table);
    assert_eq!(lab.post("hosts/nas/shutdown", "").status, 202);
    wait_until("nothing was asked", || told_by_power(&machine) == ["poweroff"]);
    kill(&mut lab);
    lab.exporter = Exporter::serve(&lab.config);
    lab.exporter.wait_for_log("looking for the end of an action");
    assert_eq!(lab.post("hosts/nas/shutdown", "").status, 202);
    assert_eq!(told_by_power(&machine), ["poweroff"]);
}

#[expect(clippy::disallowed_methods, reason = "a signal that nobody can catch")]
fn kill(lab: &mut Lab) {
    let id = lab.exporter.id().to_string();
    assert!(std::process::Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    lab.exporter.wait();
}

#[test]
fn two_at_once_are_one_and_a_reload_takes_nothing_back_that_was_sent() {
    let lab = Lab::start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(lab.post("nodes/home/pve2/shutdown", RUNNING).status, 202));
        }
    });
    let kept: Vec<&str> = lab.config.lines().filter(|line| !line.starts_with("control = ")).collect();
    lab.exporter.rewrite(&kept.join("\n").replace("name = \"machines\"", "name = \"others\"").replace(
        &pve_sentinel::ids::TokenHash::of(MACHINES).hex(),
        &pve_sentinel::ids::TokenHash::of("another").hex(),
    ));
    lab.exporter.hang_up(1);
    assert_eq!(lab.post("nodes/home/pve3/shutdown", RUNNING).status, 401);
    lab.exporter.wait_for_log("outcome=done");
    assert_eq!(lab.orders(), ["pve2/status command=shutdown"]);
    let done = || lab.audit().into_iter().filter(|line| line["outcome"] == "done").count();
    wait_until("its end is not written down", || done() > 0);
    assert_eq!(done(), 1);
}

#[test]
fn nothing_is_sent_that_cannot_be_written_down() {
    let (machine, table) = host(|_| SshReply::default(), "shutdown = \"poweroff\"");
    let lab = Lab::start_with(Rights::Administrator, "", &table);
    let refused = || {
        for (path, body) in [("nodes/home/pve2/shutdown", RUNNING), ("hosts/nas/shutdown", "")] {
            let answer = lab.act(path, body);
            assert_eq!(told(&answer), "500 internal", "{path}: {}", answer.1);
            assert!(message(&answer).contains("nothing was asked for"), "{path}: {}", answer.1);
        }
        assert!(lab.orders().is_empty() && told_by_power(&machine).is_empty());
    };
    let state = lab.folder.path().join("state");
    std::fs::rename(state.join("audit.log"), state.join("audit.before")).unwrap();
    std::os::unix::fs::symlink("/dev/full", state.join("audit.log")).unwrap();
    refused();
    std::fs::remove_file(state.join("audit.log")).unwrap();
    std::fs::remove_file(state.join("control.journal")).unwrap();
    std::fs::create_dir(state.join("control.journal")).unwrap();
    refused();
    std::fs::remove_dir(state.join("control.journal")).unwrap();
    assert_eq!(told(&lab.act("nodes/home/pve2/shutdown", RUNNING)), "200 changed offline");
}

#[test]
fn guests_of_which_nobody_knows_whether_they_run_are_not_taken_down() {
    let lab = Lab::start();
    // The node's pvestatd hangs: the cluster sees the node, and knows nothing of what is on it.
    for status in ["unknown", "running"] {
        let nodes = ["pve1", "pve2", "pve3"].map(|node| {
            let state = if node == "pve2" { "unknown" } else { "online" };
            json!({"type": "node", "node": node, "status": state, "mem": 1, "maxmem": 2, "uptime": 3})
        });
        let guest = json!({"type": "qemu", "vmid": 100, "node": "pve2", "status": status, "name": "web"});
        let data: Vec<Value> = nodes.into_iter().chain([guest]).collect();
        let body = json!({"data": data}).to_string();
        lab.pve.cluster.sims[0].set_fault("/cluster/resources", Fault::Status { code: 200, reason: "OK".into(), body });
        for action in ["shutdown", "reboot"] {
            let answer = lab.act(&format!("nodes/home/pve2/{action}"), "");
            assert_eq!(told(&answer), "409 running_guests", "{status}: {}", answer.1);
        }
    }
    // Nor those that the reading credential may not see.
    lab.pve.cluster.sims[0].clear_faults();
    for rights in
        [json!({"/nodes": {"Sys.Audit": 1}}), json!({"/nodes": {"Sys.Audit": 1}, "/pool/lab": {"VM.Audit": 1}})]
    {
        let body = json!({"data": rights}).to_string();
        lab.pve.cluster.sims[0]
            .set_fault("/access/permissions", Fault::Status { code: 200, reason: "OK".into(), body });
        let answer = lab.act("nodes/home/pve2/shutdown", "");
        assert_eq!(told(&answer), "502 pve_unreachable", "{}", answer.1);
        assert!(message(&answer).contains("VM.Audit on /vms"), "{}", answer.1);
    }
    assert!(lab.orders().is_empty());
}

#[test]
fn without_means_nothing_is_ever_sent() {
    let (machine, table) = host(|_| SshReply::default(), "shutdown = \"poweroff\"");
    let lab = Lab::start_with(Rights::Administrator, "", &table);
    let config: Vec<&str> = lab.config.lines().filter(|line| !line.starts_with("control = ")).collect();
    let off = Exporter::serve(&config.join("\n").replace("/state\"", "/other\""));
    for action in ["shutdown", "reboot", "suspend", "wake"] {
        for target in ["nodes/home/pve2", "hosts/nas"] {
            for body in ["", "{\"dry_run\":true}"] {
                let reply = post(&off, MACHINES, &format!("/api/v1/{target}/{action}"), &[], body);
                let code = json(&reply)["error"]["code"].clone();
                assert_eq!((reply.status, code), (503, json!("control_disabled")), "{target} {action}");
            }
        }
    }
    assert!(lab.orders().is_empty() && machine.sim.commands().is_empty());
    assert!(lab.pve.cluster.sims[0].requests().iter().all(|seen| seen.method == "GET"));
}

#[test]
fn after_a_lost_answer_the_node_is_looked_at_and_nothing_sent_again() {
    let lab = Lab::start();
    let sim = &lab.pve.cluster.sims[0];
    sim.set_fault("/nodes/pve2/status", Fault::Reset);
    let answer = lab.act("nodes/home/pve2/shutdown", RUNNING);
    assert_eq!(told(&answer), "200 changed offline", "{}", answer.1);
    assert_eq!(lab.orders().len(), 1);
    // Who votes cannot be read: nothing is risked.
    sim.set_fault("/cluster/config/qdevice", Fault::Status { code: 500, reason: "broken".into(), body: String::new() });
    let answer = lab.act("nodes/home/pve1/shutdown", RUNNING);
    assert_eq!(told(&answer), "502 pve_unreachable", "{}", answer.1);
    assert!(message(&answer).contains("votes could not be read"), "{}", answer.1);
    assert_eq!(lab.orders().len(), 1);
}

/// The README's commands do what it says of them.
#[cfg(feature = "external-programs")]
#[test]
#[expect(clippy::disallowed_methods, reason = "what people type is tried as they type it")]
fn the_commands_of_the_readme_work_as_printed() {
    let ear = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut machine, table) = host(|_| SshReply::default(), "suspend = \"systemctl suspend\"");
    let wake = format!("mac_address = \"{CARD}\"\nwake_address = \"{}\"\n", ear.local_addr().unwrap());
    let lab = Lab::start_with(Rights::Administrator, "", &format!("{table}{wake}"));
    let readme = std::fs::read_to_string(crate::support::repository().join("README.md")).unwrap();
    let section = readme.split("#### Nodes and hosts\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let commands: Vec<&str> = section.lines().filter(|line| line.starts_with("curl ")).collect();
    std::fs::write(lab.folder.path().join("token.header"), format!("Authorization: Bearer {MACHINES}\n")).unwrap();
    let run = |command: &str| -> Value {
        let here = command.replace("127.0.0.1:9221", &lab.exporter.address.to_string());
        let run = std::process::Command::new("sh")
            .args(["-c", &format!("{here} -s")])
            .current_dir(lab.folder.path())
            .output();
        serde_json::from_slice(&run.unwrap().stdout).unwrap()
    };
    let [plan, wakes_node, suspends, wakes] = commands.as_slice() else { panic!("{commands:?}") };
    let plan = run(plan);
    assert_eq!((&plan["dry_run"], &plan["request"]["form"]["command"]), (&json!(true), &json!("shutdown")), "{plan}");
    assert_eq!(run(wakes_node)["changed"], json!(false));
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| run(suspends));
        wait_until("nothing was asked", || told_by_power(&machine) == ["systemctl suspend"]);
        machine.sim.stop();
        assert_eq!(asked.join().unwrap()["status"], "down");
        let asked = scope.spawn(|| run(wakes));
        ear.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(ear.recv(&mut [0; 200]).unwrap(), 102);
        machine.start();
        assert_eq!(asked.join().unwrap()["status"], "up");
    });
    assert!(lab.orders().is_empty());
}
