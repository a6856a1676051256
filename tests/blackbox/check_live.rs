//! `check --live` says of each target whether it works, and else what to do.

use std::time::Duration;

use pve_sentinel::app;
use pve_sentinel::sim::{Certificate, Credential, Fault, Rights, Source, Token, World};
use regex_lite::Regex;

use super::guests;
use crate::support::{
    Cluster, Exporter, Finished, Machine, Page, Refusing, SECRET, Service, Simulated, TOKEN_ID, check_golden, recorded,
    run_to_end, write_private,
};

fn check(config: &str, more: &[&str]) -> Finished {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    write_private(&file, config);
    let finished = run_to_end(&[&["check", "--live", "--config.file", &file.display().to_string()], more].concat());
    assert!(!finished.stdout.contains(SECRET) && !finished.stderr.contains(SECRET), "{finished:?}");
    finished
}

/// Without what is another one at each run.
fn masked(text: &str) -> String {
    let mask = |text: String, pattern: &str, with: &str| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, with).into_owned()
    };
    let text = mask(text.to_owned(), r"127\.0\.0\.1:\d+", "127.0.0.1:PORT");
    let text = mask(text, r"\[127\.0\.0\.1\]:\d+", "[127.0.0.1]:PORT");
    let text = mask(text, r"([0-9A-F]{2}:){31}[0-9A-F]{2}", "FINGERPRINT");
    let text = mask(text, r"SHA256:[0-9A-Za-z+/]{43}", "SHA256:FINGERPRINT");
    let text = mask(text, r"(ssh-ed25519) [0-9A-Za-z+/=]+", "$1 KEY");
    let text = mask(text, r"/\S*/\.tmp\w+", "FOLDER");
    mask(text, r"\d+ days (left|ago)", "N days $1")
}

fn failed(finished: &Finished, golden: &str) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    check_golden(&format!("check-live/{golden}.txt"), &masked(&finished.stdout));
}

/// A cluster whose clock is so far from ours.
fn simulated(seconds: i64, rights: Rights) -> Simulated {
    let world = World::new(1, 2, 10).begun_at(app::unix_time() + seconds);
    Simulated::start_with(world, 2, |mut options| {
        options.tokens = vec![Token { id: TOKEN_ID.into(), secret: SECRET.into(), rights }];
        options
    })
}

#[test]
fn all_is_well() {
    let simulated = simulated(0, Rights::Auditor);
    let machine = Machine::node();
    let finished = check(&format!("{}\n{}", simulated.cluster.config("home"), machine.host("nas")), &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    check_golden("check-live/well.txt", &masked(&finished.stdout));
    let only_reads = simulated.cluster.sims.iter().flat_map(|sim| sim.requests()).all(|seen| seen.method == "GET");
    assert!(only_reads);
}

#[test]
fn a_token_without_rights_is_told_from_an_empty_cluster() {
    let simulated = simulated(0, Rights::None);
    failed(&check(&simulated.cluster.config("home"), &[]), "no-rights");
    let exporter = Exporter::serve(&simulated.cluster.config("home"));
    let page = Page::parse(&exporter.page("/metrics"));
    let missing = [("cluster", "home"), ("collector", "guest"), ("path", "/vms"), ("privilege", "VM.Audit")];
    assert_eq!(page.value("pve_sentinel_privilege_missing", &missing), Some(1.0));
    let line = exporter.wait_for_log("probably has no rights");
    let command = format!("pveum acl modify / --roles PVEAuditor --users monitor@pve --tokens '{TOKEN_ID}'");
    assert!(line.contains(&command), "{line}");
}

#[test]
fn an_empty_cluster_has_nothing_to_ask_about() {
    let world = World::new(1, 1, 0).begun_at(app::unix_time());
    let simulated = Simulated::start(world, 1);
    let finished = check(&simulated.cluster.config("home"), &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("1 nodes, 0 guests"), "{finished:?}");
    assert!(finished.stdout.contains("guest_config      there is nothing to ask about"), "{finished:?}");
    assert!(finished.stdout.contains("ceph              it is not set up there"), "{finished:?}");
}

#[test]
fn a_selection_of_nobody_is_told() {
    let simulated = simulated(0, Rights::Auditor);
    let collectors = "[collectors]\nguest_config = { select = [\"tag:nobody\"] }\nsnapshot = { ttl = \"1h\" }\n";
    let finished = check(&format!("{}\n{collectors}", simulated.cluster.config("home")), &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let told = "warn  guest_config      select names none of the 10 guests";
    assert!(finished.stdout.contains(told), "{finished:?}");
    assert!(finished.stdout.contains("correct collectors.guest_config.select"), "{finished:?}");
    let idle = "collectors.snapshot: the collector is off, and its settings count for nothing; add enabled = true";
    assert!(finished.stderr.contains(idle), "{finished:?}");
}

#[test]
fn a_refused_call_names_what_grants_it() {
    let simulated = simulated(0, Rights::Auditor);
    let refusal =
        Fault::Status { code: 403, reason: "Permission check failed (/, Sys.Audit)".to_owned(), body: String::new() };
    simulated.cluster.sims[0].set_fault("/cluster/backup-info", refusal.clone());
    failed(&check(&simulated.cluster.config("home"), &[]), "refused-call");
    let exporter = Exporter::serve_all(&simulated.cluster.config("home"));
    let page = exporter.settled_page("/metrics", &["backup_coverage"]);
    let missing = [("collector", "backup_coverage"), ("path", "/"), ("privilege", "Sys.Audit")];
    assert_eq!(Page::parse(&page).value("pve_sentinel_privilege_missing", &missing), Some(1.0));
    let line = exporter.wait_for_log("collectors failed");
    assert!(line.contains("pveum acl modify / --roles PVEAuditor"), "{line}");
}

#[test]
fn an_older_proxmox_ve_lacks_calls_without_fault() {
    let simulated = Simulated::start(World::new(1, 2, 10).old().begun_at(app::unix_time()), 1);
    let finished = check(&simulated.cluster.config("home"), &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    check_golden("check-live/older.txt", &masked(&finished.stdout));
}

#[test]
fn a_certificate_that_is_not_the_right_one_stops_before_the_login() {
    for (certificate, golden) in [
        (Certificate::Good, "wrong-fingerprint"),
        (Certificate::Expired, "expired"),
        (Certificate::WrongName, "wrong-name"),
    ] {
        let source = Source::World(World::new(1, 1, 3).begun_at(app::unix_time()).into());
        let cluster = Cluster::start(1, source, certificate);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, cluster.sims[0].ca_pem()).expect("a file");
        let tls = match certificate {
            Certificate::Good => format!("{{ fingerprints = [\"{}\"] }}", ["00"; 32].join(":")),
            _ => format!("{{ ca_file = \"{}\" }}", file.display()),
        };
        failed(&check(&cluster.config_with("home", &tls, SECRET), &[]), golden);
        assert!(cluster.sims[0].requests().is_empty(), "{certificate:?}: nothing is sent");
    }
}

#[test]
fn a_wrong_secret_is_tried_once() {
    let simulated = simulated(0, Rights::Auditor);
    let config = simulated.cluster.config("home").replace(SECRET, "00000000-0000-0000-0000-000000000000");
    failed(&check(&config, &[]), "wrong-secret");
    let requests: usize = simulated.cluster.sims.iter().map(|sim| sim.requests().len()).sum();
    assert_eq!(requests, 1);
}

#[test]
fn clocks_that_differ_are_a_warning() {
    let finished = check(&simulated(-300, Rights::Auditor).cluster.config("home"), &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        Regex::new("warn  clock +(29|30)\\d s behind this machine").expect("a pattern").is_match(&finished.stdout),
        "{finished:?}"
    );
    let finished = check(&simulated(300, Rights::Auditor).cluster.config("home"), &[]);
    assert!(
        Regex::new("warn  clock +(29|30)\\d s ahead of this machine").expect("a pattern").is_match(&finished.stdout),
        "{finished:?}"
    );
}

#[test]
fn a_dead_endpoint_and_an_unknown_host_key_are_told_with_what_to_do() {
    let mut simulated = simulated(0, Rights::Auditor);
    let config = simulated.cluster.config("home");
    simulated.cluster.stop(0);
    let machine = Machine::node();
    machine.know("");
    failed(&check(&format!("{config}\n{}", machine.host("nas")), &[]), "dead-endpoint-unknown-key");
}

#[test]
fn a_new_host_key_is_taken_for_this_run_and_nothing_is_written() {
    let machine = Machine::node();
    machine.know("");
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "state_dir = {:?}\n{}ssh_accept_new = true\n",
        folder.path().display().to_string(),
        machine.host("nas")
    );
    let finished = check(&config, &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("accept_new trusts whoever answers first"), "{finished:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_proxmox_ve_says_is_not_obeyed_by_a_terminal() {
    let lab = simulated(0, Rights::Auditor);
    let version = r#"{"data":{"version":"9.2\u001b[2J\nok \u202e","release":"9.2"}}"#;
    lab.cluster.sims[0].set_fault("/version", Fault::Body(version.into()));
    for more in [&[][..], &["--json"]] {
        let found = check(&lab.cluster.config("home"), more);
        assert!(found.stdout.contains("Proxmox VE 9.2\u{fffd}[2J\u{fffd}ok"), "{}", found.stdout);
        assert!(found.stdout.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{:?}", found.stdout);
    }
}

#[test]
fn programs_read_json() {
    let simulated = simulated(0, Rights::None);
    let finished = check(&simulated.cluster.config("home"), &["--json"]);
    assert_eq!(finished.code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(document["ok"], false);
    let rights = document["checks"].as_array().expect("a list").iter().find(|check| check["check"] == "rights");
    assert_eq!(rights.expect("the rights")["verdict"], "fail");
}

#[test]
fn a_cluster_that_says_nothing_does_not_hold_up_the_others() {
    let silent = Cluster::start(1, recorded("pve-9.2-cluster", "GET_"), Certificate::Good);
    silent.sims[0].set_fault("/version", Fault::Body("nonsense".into()));
    let well = simulated(0, Rights::Auditor);
    let finished = check(&format!("{}\n{}", silent.config("sick"), well.cluster.config("well")), &[]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("malformed answer") && finished.stdout.contains("cluster well\n"), "{finished:?}");
    assert!(well.now() < Duration::from_secs(1));
}

#[test]
fn the_right_to_ask_agents_is_called_as_the_release_calls_it() {
    let wants = "[discovery]\n";
    let serious = "[discovery]\naddress_info = true\n";
    for (rights, old, more, code, golden) in [
        (Rights::Auditor, false, serious, 0, "agent-9"),
        (Rights::Operator, false, serious, 1, "agent-9-lacking"),
        (Rights::Administrator, true, serious, 0, "agent-8"),
        (Rights::Auditor, true, serious, 1, "agent-8-lacking"),
        (Rights::Auditor, true, wants, 0, "agent-8-wanting"),
    ] {
        let world = World::new(1, 2, 10).begun_at(app::unix_time());
        let world = if old { world.old() } else { world };
        let simulated = Simulated::start_with(world, 1, |mut options| {
            options.tokens = vec![Token { id: TOKEN_ID.into(), secret: SECRET.into(), rights }];
            options
        });
        let finished = check(&format!("{}{more}", simulated.cluster.config("home")), &[]);
        assert_eq!(finished.code, Some(code), "{golden}: {finished:?}");
        let mut lines = finished.stdout.lines().skip_while(|line| !line.contains("  agent  "));
        let about = lines.next().into_iter().chain(lines.take_while(|line| line.contains('→')));
        check_golden(&format!("check-live/{golden}.txt"), &format!("{}\n", about.collect::<Vec<_>>().join("\n")));
    }
}

#[test]
fn the_acting_credential_is_tried_and_told_what_it_lacks() {
    const OPERATOR: &str = "operator@pve!power";
    let folder = tempfile::tempdir().expect("a folder");
    for (rights, secret, code, golden) in [
        (Rights::Operator, SECRET, 0, "control"),
        (Rights::None, SECRET, 1, "control-no-rights"),
        (Rights::Operator, "00000000-0000-0000-0000-000000000000", 1, "control-refused"),
    ] {
        let world = World::new(1, 2, 10).begun_at(app::unix_time());
        let simulated = Simulated::start_with(world, 2, |mut options| {
            options.tokens.push(Token { id: OPERATOR.into(), secret: SECRET.into(), rights });
            options
        });
        let config = format!(
            "state_dir = {:?}\n{}control = {{ token_id = \"{OPERATOR}\", token_secret = \"{secret}\" }}\n",
            folder.path(),
            simulated.cluster.config("home")
        );
        let finished = check(&config, &[]);
        assert_eq!(finished.code, Some(code), "{golden}: {finished:?}");
        let about = finished.stdout.split("cluster home, control\n").nth(1).expect("the acting credential");
        let about = about.split("\n\n").next().expect("its lines");
        check_golden(&format!("check-live/{golden}.txt"), &masked(&format!("{about}\n")));
        let asked: Vec<_> = simulated.cluster.sims.iter().flat_map(|sim| sim.requests()).collect();
        assert!(asked.iter().all(|seen| seen.method == "GET"), "{asked:?}");
        let monitors = |seen: &&pve_sentinel::sim::Seen| seen.credential == Credential::Right(Rights::Auditor);
        let acting: Vec<&str> = asked
            .iter()
            .filter(|seen| !monitors(seen))
            .map(|seen| seen.target.trim_start_matches("/api2/json"))
            .collect();
        let expected =
            if golden == "control-refused" { &["/version"][..] } else { &["/version", "/access/permissions"] };
        assert_eq!(acting, expected);
        let document: serde_json::Value = serde_json::from_str(&check(&config, &["--json"]).stdout).expect("JSON");
        let checks = document["checks"].as_array().expect("a list");
        assert!(checks.iter().any(|check| check["subject"] == "cluster home, control" && check["check"] == "login"));
    }
}

#[test]
fn services_of_hosts_and_guests_are_tried() {
    let (cluster, refusing, http) = (Cluster::recorded(), Refusing::new(), Service::http());
    guests::tells_loopback(&cluster);
    let host = format!(
        "[[hosts]]\nid = \"nas\"\nhostname = \"127.0.0.1\"\nservices = [{{ name = \"Site\", port = {}, type = \"http\" }}, \
         {{ name = \"Off\", port = {}, type = \"tcp\" }}]\n",
        http.port, refusing.port
    );
    let guests = guests::services(&[("Web", "200-202", http.port, "http"), ("Gone", "200", refusing.port, "tcp")]);
    let finished = check(&format!("{}{host}[discovery]\n{guests}", cluster.config("home")), &[]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for line in [
        "  ok    Site              works",
        "  FAIL  Off               connect: 127.0.0.1:",
        "  ok    Web               works, at 1 guests",
        "  warn  addresses         1 running guests told none",
        "  FAIL  Gone              home-vm-200 (127.0.0.1): connect: 127.0.0.1:",
        "host nas, services at 127.0.0.1",
        "cluster home, services of guests",
    ] {
        assert!(finished.stdout.contains(line), "{line}\n{}", finished.stdout);
    }
    let document = check(&format!("{}{host}[discovery]\n{guests}", cluster.config("home")), &["--json"]);
    assert!(document.stdout.contains("\"subject\": \"host nas, services at 127.0.0.1\""), "{document:?}");
    // Where the collector is off, nothing of it is tried.
    let before = http.connections();
    let off =
        check(&format!("{}{host}[discovery]\n{guests}[collectors]\nservice = false\n", cluster.config("home")), &[]);
    let tried = off.stdout.contains("services at") || off.stdout.contains("services of guests");
    assert!(!tried && http.connections() == before, "{off:?}");
}
