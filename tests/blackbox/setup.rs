//! `setup` before OpenSSH's own sshd, on a node whose pveum, pvesh and sudo remember every word they are called with.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::sshd::{Sshd, wait_for};
use crate::support::{Finished, binary, repository, run, run_to_end, send_signal};

/// A node, and a folder for what is kept of it.
struct Node {
    sshd: Sshd,
    out: PathBuf,
}

const STATUS: &str = r#"[{"type":"cluster","name":"lab","nodes":2,"quorate":1},
    {"type":"node","name":"pve2","ip":"192.0.2.12","local":0,"online":1},
    {"type":"node","name":"pve1","ip":"192.0.2.11","local":1,"online":1}]"#;

/// What is read before anything is done.
const READS: [&str; 4] = [
    "[pvesh][get][/cluster/status][--output-format][json]",
    "[pvesh][get][/nodes][--output-format][json]",
    "[pveum][user][list][--output-format][json]",
    "[pveum][acl][list][--output-format][json]",
];

const TOKEN_LIST: &str = "[pveum][user][token][list][sentinel@pve][--output-format][json]";

const MAKES: [&str; 4] = [
    "[pveum][user][add][sentinel@pve][--comment][made by pve-sentinel setup]",
    "[pveum][acl][modify][/][--users][sentinel@pve][--roles][PVEAuditor]",
    "[pveum][user][token][add][sentinel@pve][monitor][--privsep][1][--comment][made by pve-sentinel setup]\
     [--output-format][json]",
    "[pveum][acl][modify][/][--tokens][sentinel@pve!monitor][--roles][PVEAuditor]",
];

const REMOVES: [&str; 3] = [
    "[pveum][acl][delete][/][--tokens][sentinel@pve!monitor][--roles][PVEAuditor]",
    "[pveum][user][token][remove][sentinel@pve][monitor]",
    "[pveum][user][delete][sentinel@pve]",
];

impl Node {
    fn start() -> Self {
        let sshd = Sshd::start("ed25519", "256");
        let (programs, state) = (sshd.path("programs"), sshd.path("state"));
        fs::create_dir(&programs).unwrap();
        fs::create_dir(&state).unwrap();
        let copy = |from: &str, to: &str| {
            fs::copy(repository().join("tests/support/proxmox").join(from), programs.join(to)).unwrap();
            fs::set_permissions(programs.join(to), fs::Permissions::from_mode(0o755)).unwrap();
        };
        for name in ["pveum", "pvesh", "sudo"] {
            copy(name, name);
        }
        for name in ["id", "uname", "ls", "pveversion"] {
            copy("host", name);
        }
        let node = Self { out: sshd.path("out"), sshd };
        node.set("uid", "0");
        node.set("name", "pve1");
        node.set("version", "pve-manager/9.2.11/14a22df35955d97d (running kernel: 6.17.2-1-pve)");
        node.set("status.json", STATUS);
        let print = |byte: &str| [byte; 32].join(":");
        node.set(
            "nodes.json",
            &format!(
                r#"[{{"node":"pve1","ssl_fingerprint":"{}"}},{{"node":"pve2","ssl_fingerprint":"{}"}}]"#,
                print("A1"),
                print("B2")
            ),
        );
        node.forced("");
        node
    }

    /// Everything runs with the node's own programs first; `more` comes before.
    fn forced(&self, more: &str) {
        let programs = self.sshd.path("programs");
        let programs = programs.display();
        self.sshd.authorize(&format!(
            r#"command="{more}PATH={programs}:$PATH; export PATH; exec sh -c \"$SSH_ORIGINAL_COMMAND\"",restrict "#
        ));
    }

    /// Changes what the node is.
    fn set(&self, name: &str, text: &str) {
        fs::write(self.sshd.path("state").join(name), format!("{text}\n")).unwrap();
    }

    fn unset(&self, name: &str) {
        fs::remove_file(self.sshd.path("state").join(name)).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.sshd.path("state").join(name).exists()
    }

    /// What was called since the last time.
    fn called(&self) -> Vec<String> {
        let file = self.sshd.path("state/argv");
        let lines = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, "").unwrap();
        lines.lines().map(str::to_owned).collect()
    }

    /// The same without what only reads.
    fn changed(&self) -> Vec<String> {
        let reads = |line: &String| READS.contains(&line.as_str()) || line == TOKEN_LIST;
        self.called().into_iter().filter(|line| !reads(line)).collect()
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let mut arguments = vec!["setup".to_owned()];
        arguments.extend(self.sshd.arguments(&self.sshd.line()));
        arguments.extend(["--out".to_owned(), self.out.display().to_string()]);
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        arguments
    }

    fn setup(&self, more: &[&str]) -> Finished {
        let arguments = self.arguments(more);
        run_to_end(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A `setup --yes` that waits for pveum to make the token until the file is closed, and what it says from then on.
    fn in_the_middle(&self) -> (Child, impl Iterator<Item = String> + use<>, fs::File) {
        let fifo = self.sshd.path("state/wait.user.token.add");
        #[expect(clippy::disallowed_methods, reason = "the standard library makes no such file")]
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let mut child = binary().args(self.arguments(&["--yes"])).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line == "2. done"));
        // There as soon as pveum reads.
        let fifo = fs::OpenOptions::new().write(true).open(fifo).unwrap();
        (child, said, fifo)
    }

    /// The secret of the token, as the node knows it.
    fn secret(&self) -> String {
        fs::read_to_string(self.sshd.path("state/secret")).unwrap()
    }

    fn token_file(&self) -> PathBuf {
        self.out.join("lab.token")
    }
}

/// Nothing that a terminal obeys.
fn assert_plain(finished: &Finished) {
    for text in [&finished.stdout, &finished.stderr] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}

#[test]
fn a_node_is_set_up_by_exactly_these_commands_and_not_again() {
    let node = Node::start();
    let first = node.setup(&["--yes"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let called = node.called();
    let wanted: Vec<&str> = READS[..3].iter().chain(&MAKES).copied().collect();
    assert_eq!(called, wanted);
    for step in
        ["make the user sentinel@pve", "--privsep 1", "'sentinel@pve!monitor'", "found Proxmox VE 9.2.11", "4. done"]
    {
        assert!(first.stderr.contains(step), "{step}: {}", first.stderr);
    }
    let secret = node.secret();
    assert_eq!(fs::read_to_string(node.token_file()).unwrap(), secret);
    assert_eq!(fs::metadata(node.token_file()).unwrap().permissions().mode() & 0o777, 0o600);
    let place = [&first.stdout, &first.stderr, &node.sshd.log(), &called.join("\n")];
    assert!(place.iter().all(|text| !text.contains(secret.trim())), "the secret is nowhere else");

    let config = node.sshd.path("config.toml");
    fs::write(&config, &first.stdout).unwrap();
    let check = run_to_end(&["check", "--config.file", config.to_str().unwrap()]);
    assert_eq!((check.code, check.stderr.as_str()), (Some(0), ""), "{}", first.stdout);
    let pins = [["A1"; 32].join(":"), ["B2"; 32].join(":")];
    for words in ["name = \"lab\"", "\"https://127.0.0.1:8006\", \"https://192.0.2.12:8006\"", &pins[0], &pins[1]] {
        assert!(first.stdout.contains(words), "{words}: {}", first.stdout);
    }

    let again = node.setup(&[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(node.changed().is_empty() && again.stderr.contains("nothing is to be done"), "{}", again.stderr);
    // Both in one file would be two clusters of one name.
    let (note, rest) = again.stdout.split_once('\n').unwrap();
    assert!(note.starts_with("# ") && note.contains("replace what setup printed"), "{note}");
    assert_eq!(rest, first.stdout);
    fs::write(&config, &again.stdout).unwrap();
    assert_eq!(run_to_end(&["check", "--config.file", config.to_str().unwrap()]).code, Some(0));
    assert_eq!(node.secret(), secret);
}

#[test]
fn the_group_that_a_folder_of_roots_is_for_may_read_the_secret() {
    let node = Node::start();
    fs::create_dir(&node.out).unwrap();
    fs::set_permissions(&node.out, fs::Permissions::from_mode(0o750)).unwrap();
    // Only root can have such a folder here, and not in every container.
    let own = fs::metadata(&node.out).unwrap();
    let is_for_group = own.uid() == 0 && chown(&node.out, None, Some(own.gid() + 1)).is_ok();
    let finished = node.setup(&["--yes"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let (made, folder) = (fs::metadata(node.token_file()).unwrap(), fs::metadata(&node.out).unwrap());
    let mode = if is_for_group { 0o640 } else { 0o600 };
    assert_eq!((made.mode() & 0o777, made.uid(), made.gid()), (mode, own.uid(), folder.gid()), "{}", finished.stderr);
    for words in ["lab.token: readable by the group of its folder", "lab.token, for root and the group of its folder"] {
        assert_eq!(finished.stderr.contains(words), is_for_group, "{words}: {}", finished.stderr);
    }
}

#[test]
fn what_was_made_is_removed_and_the_rest_is_left() {
    let node = Node::start();
    assert_eq!(node.setup(&["--yes"]).code, Some(0));
    node.called();
    let gone = node.setup(&["--yes", "--revoke"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(0), ""), "{}", gone.stderr);
    assert_eq!(node.changed(), REMOVES);
    assert!(!node.token_file().exists() && !node.has("user.sentinel@pve"));
    let again = node.setup(&["--revoke"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(node.changed().is_empty() && again.stderr.contains("is not there"), "{}", again.stderr);

    // Two exporters share the user.
    assert_eq!(node.setup(&["--yes"]).code, Some(0));
    assert_eq!(node.setup(&["--yes", "--token", "second", "--name", "second"]).code, Some(0));
    node.called();
    let shared = node.setup(&["--yes", "--revoke"]);
    assert_eq!(node.changed(), REMOVES[..2]);
    assert!(shared.stderr.contains("left: the user sentinel@pve, who has"), "{}", shared.stderr);
    assert!(node.has("user.sentinel@pve") && node.has("token.second") && node.out.join("second.token").exists());

    // A token of the same name that somebody made by hand.
    node.set("token.monitor", r#"{"tokenid":"monitor","privsep":0}"#);
    node.called();
    let foreign = node.setup(&["--yes", "--revoke"]);
    assert!(node.changed().is_empty() && foreign.stderr.contains("left: the token"), "{}", foreign.stderr);
}

/// A node with two pools, and what was changed on it since the last time, whoever was listed.
fn node_with_pools() -> Node {
    let node = Node::start();
    node.set("pools.json", r#"[{"poolid":"lab"},{"poolid":"dev"}]"#);
    node
}

impl Node {
    fn changed_at_all(&self) -> Vec<String> {
        self.called().into_iter().filter(|line| !line.contains("[list]") && !line.starts_with("[pvesh]")).collect()
    }
}

const POWER: [&str; 6] = ["--power", "--pool", "lab", "--hibernate", "--nodes", "--yes"];

/// The rights of all of `POWER`.
fn grants(verb: &str, who: &str) -> Vec<String> {
    let roles = [
        ("/pool/lab", "SentinelPower"),
        ("/pool/lab", "SentinelHibernate"),
        ("/storage", "SentinelHibernate"),
        ("/nodes", "SentinelNodes"),
    ];
    roles.map(|(path, role)| format!("[pveum][acl][{verb}][{path}]{who}[--roles][{role}]")).to_vec()
}

#[test]
fn who_switches_guests_has_a_user_roles_and_a_token_of_its_own() {
    let node = node_with_pools();
    let first = node.setup(&POWER);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let wanted = [
        vec![
            "[pveum][user][add][sentinel-power@pve][--comment][made by pve-sentinel setup]".to_owned(),
            "[pveum][role][add][SentinelPower][--privs][VM.Audit,VM.PowerMgmt]".to_owned(),
            "[pveum][role][add][SentinelHibernate][--privs][Datastore.AllocateSpace,VM.Config.Disk]".to_owned(),
            "[pveum][role][add][SentinelNodes][--privs][Sys.PowerMgmt]".to_owned(),
        ],
        grants("modify", "[--users][sentinel-power@pve]"),
        vec![
            "[pveum][user][token][add][sentinel-power@pve][power][--privsep][1][--comment][made by pve-sentinel setup]\
             [--output-format][json]"
                .to_owned(),
        ],
        grants("modify", "[--tokens][sentinel-power@pve!power]"),
    ];
    assert_eq!(node.changed_at_all(), wanted.concat());
    let (file, secret) = (node.out.join("lab.power.token"), node.secret());
    assert_eq!(fs::read_to_string(&file).unwrap(), secret);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!first.stdout.contains(secret.trim()) && !first.stderr.contains(secret.trim()));

    // The lines that are printed fit into the configuration of the one that reads, and the example holds with a hash.
    let reader = node.setup(&["--yes"]);
    node.changed_at_all();
    let example = |line: &str| {
        line.strip_prefix("# ").filter(|line| line.contains('=') || line.starts_with('[')).map(str::to_owned)
    };
    let control = first.stdout.lines().find(|line| line.starts_with("control = ")).unwrap();
    let rest: Vec<String> = first.stdout.lines().filter_map(example).collect();
    let rest = rest[1..].join("\n").replace('…', &"ab".repeat(32)).replace(", \"node-power\"", "");
    let config = node.sshd.path("config.toml");
    fs::write(&config, format!("state_dir = \"/nonexistent\"\n{}\n{control}\n{rest}\n", reader.stdout)).unwrap();
    let check = run_to_end(&["check", "--config.file", config.to_str().unwrap()]);
    assert_eq!(check.code, Some(0), "{}\n{}", check.stderr, fs::read_to_string(&config).unwrap());
    assert!(rest.contains("guests = [\"pool:lab\"]"), "{rest}");

    let again = node.setup(&POWER[..POWER.len() - 1]);
    let (note, rest) = again.stdout.split_once('\n').unwrap();
    assert_eq!((again.code, rest), (Some(0), first.stdout.as_str()), "{}", again.stderr);
    assert!(note.starts_with("# ") && note.contains("replace what setup printed"), "{note}");
    assert!(node.changed_at_all().is_empty());
}

#[test]
fn who_switches_guests_goes_with_all_that_was_made_for_it() {
    let node = node_with_pools();
    assert_eq!((node.setup(&["--yes"]).code, node.setup(&POWER).code), (Some(0), Some(0)));
    node.changed_at_all();
    let other = node.setup(&["--power", "--pool", "dev", "--yes"]);
    assert!(other.stderr.contains("also has the role SentinelPower on /pool/lab"), "{}", other.stderr);
    assert_eq!(node.changed_at_all().len(), 2);
    let gone = node.setup(&["--power", "--pool", "lab", "--revoke", "--yes"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(0), ""), "{}", gone.stderr);
    let removed = node.changed_at_all();
    assert_eq!(removed[..4], grants("delete", "[--tokens][sentinel-power@pve!power]"));
    let rest = [
        "[pveum][user][token][remove][sentinel-power@pve][power]",
        "[pveum][user][delete][sentinel-power@pve]",
        "[pveum][role][delete][SentinelPower]",
        "[pveum][role][delete][SentinelHibernate]",
        "[pveum][role][delete][SentinelNodes]",
    ];
    assert_eq!(removed[4..], rest);
    assert!(!node.out.join("lab.power.token").exists());
    assert!(node.token_file().exists() && node.has("user.sentinel@pve"), "who reads is left alone");
}

#[test]
fn rights_on_nothing_or_on_too_much_are_not_given() {
    let node = node_with_pools();
    for (arguments, code, words) in [
        (&["--power", "--pool", "nowhere", "--yes"][..], 1, "there are lab, dev"),
        (&["--power", "--pool", "a;b", "--yes"], 2, "a pool's name"),
        (&["--pool", "lab", "--yes"], 2, "--power"),
        (&["--power", "--mint", "--yes"], 2, "--mint"),
    ] {
        let refused = node.setup(arguments);
        assert!(refused.code == Some(code) && refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
        assert!(node.changed_at_all().is_empty(), "{arguments:?}");
    }
    node.set("role.SentinelPower", r#"{"roleid":"SentinelPower","privs":"VM.Audit,VM.Allocate","special":0}"#);
    let other = node.setup(&["--power", "--yes"]);
    assert!(other.code == Some(1) && other.stderr.contains("pveum role modify SentinelPower"), "{}", other.stderr);
    assert!(node.changed_at_all().is_empty());
}

#[test]
fn without_a_yes_nothing_is_done() {
    let node = Node::start();
    let refused = node.setup(&[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("--yes") && refused.stderr.contains("pveum user add"), "{}", refused.stderr);
    for (typed, code) in [("no\n", Some(1)), ("y\n", Some(1)), ("", Some(1)), ("yes\n", Some(0))] {
        node.called();
        let program = node.arguments(&[]);
        let (code_found, said) = on_a_terminal(&program, typed);
        assert_eq!(code_found, code, "{typed:?}: {said}");
        assert_eq!(node.changed().is_empty(), code != Some(0), "{typed:?}: {said}");
        assert!(said.contains("type yes to do this"), "{said}");
    }
}

/// Runs the binary on a terminal where something is typed.
fn on_a_terminal(arguments: &[String], typed: &str) -> (Option<i32>, String) {
    use std::io::Write;
    let line = std::iter::once(env!("CARGO_BIN_EXE_pve-sentinel")).chain(arguments.iter().map(String::as_str));
    let line: Vec<String> = line.map(pve_sentinel::setup::quote).collect();
    #[expect(clippy::disallowed_methods, reason = "the tests start other people's programs")]
    let mut child = std::process::Command::new("script")
        .args(["-q", "-e", "-c", &line.join(" "), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn who_is_not_root_goes_through_sudo_and_is_told_where_that_asks_for_a_password() {
    let node = Node::start();
    node.set("uid", "1000");
    let done = node.setup(&["--yes"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let called = node.called();
    for line in READS[..3].iter().chain(&MAKES) {
        let at = called.iter().position(|called| called == line).unwrap();
        assert_eq!(called[at - 1], format!("[sudo][-n]{line}"));
    }
    assert!(done.stderr.contains("sudo -n pveum user add sentinel@pve"), "{}", done.stderr);
    node.set("password", "");
    let asked = node.setup(&["--yes"]);
    assert_eq!(asked.code, Some(1));
    assert!(
        asked.stderr.contains("sudo -n pvesh get /cluster/status") && asked.stderr.contains("without a password"),
        "{}",
        asked.stderr
    );
}

#[test]
fn an_unknown_host_key_is_shown_and_nothing_is_sent() {
    let node = Node::start();
    let mut arguments = vec!["setup".to_owned(), "--yes".to_owned()];
    arguments.extend(node.sshd.arguments(""));
    let refused = run_to_end(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("host key unknown") && refused.stderr.contains("SHA256:"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&node.sshd.line().trim()[..60]), "the line to add: {}", refused.stderr);
    wait_for("sshd did not see the connection end", || node.sshd.count("Connection closed by 127.0.0.1") >= 1);
    assert_eq!(node.sshd.count("userauth-request"), 0);
    assert!(node.called().is_empty());
}

#[test]
fn what_stands_in_the_way_is_named_before_anything_is_done() {
    let node = Node::start();
    let refused = |words: &str| {
        let finished = node.setup(&["--yes"]);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{words}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{words}: {}", finished.stderr);
        assert!(node.changed().is_empty(), "{words}");
        assert_plain(&finished);
    };
    // The secret is gone, and the token is not.
    assert_eq!(node.setup(&["--yes"]).code, Some(0));
    node.called();
    let secret = fs::read_to_string(node.token_file()).unwrap();
    fs::remove_file(node.token_file()).unwrap();
    refused("shows a secret only once");
    // A link in its place.
    symlink("/nonexistent/x", node.token_file()).unwrap();
    refused("found a link");
    fs::remove_file(node.token_file()).unwrap();
    // The token is gone, and the secret is not.
    fs::write(node.token_file(), secret).unwrap();
    node.unset("token.monitor");
    refused("the secret in it is of no use here");
    fs::remove_file(node.token_file()).unwrap();
    node.set("user.sentinel@pve", r#"{"userid":"sentinel@pve","enable":"0"}"#);
    refused("disabled or expired");
    // No Proxmox VE.
    node.unset("version");
    refused("expected a node of Proxmox VE");
}

#[test]
fn hostile_answers_are_refused_and_never_reach_the_terminal() {
    let node = Node::start();
    let clear = "\u{1b}[2J\u{1b}]0;owned\u{7}";
    node.set("name", &format!("pve1;touch {}{clear}", node.sshd.path("pwned").display()));
    let state = |name: &str, text: &str, words: &str| {
        let before = fs::read(node.sshd.path("state").join(name)).ok();
        node.set(name, text);
        let finished = node.setup(&["--yes"]);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{name}: {}", finished.stderr);
        assert!(finished.stderr.contains(words) && finished.stderr.len() < 4000, "{name} {words}: {}", finished.stderr);
        assert_plain(&finished);
        assert!(node.changed().is_empty(), "{name}");
        match before {
            Some(before) => fs::write(node.sshd.path("state").join(name), before).unwrap(),
            None => node.unset(name),
        }
    };
    let half = &STATUS[..STATUS.len() - 1];
    let name = r#"[{"type":"node","name":"pve1;reboot\n\u001b[2J","local":1}]"#;
    let noise = "[1]".repeat(3_500_000);
    for (text, words) in [
        (half, "found half of it"),
        ("", "found nothing"),
        (clear, "found something else"),
        (name, "no such entry"),
        (&noise, "printed more than"),
    ] {
        state("status.json", text, words);
    }
    state("nodes.json", "[]", "tell a node's certificate");
    state("say.user.list", "[{\"userid\":", "found half of it");
    state("say.user.list", "\"no list\"", "found other values");
    state("fail.user.list", &format!("ipcc_send_rec failed{clear}\n{clear}"), "ipcc_send_rec failed");
    state("version", &format!("pve-manager/{clear}/x"), "expected a node of Proxmox VE");

    // Noise of a login shell, and a cluster whose name is none, are no obstacle.
    node.forced("echo Welcome; printf 'no end of line'; ");
    node.set("status.json", &STATUS.replace("\"lab\"", "\"a;b\\u001b[2J\""));
    let done = node.setup(&["--yes"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_plain(&done);
    assert!(done.stdout.contains("name = \"pve1\""), "{}", done.stdout);
    assert!(!node.sshd.path("pwned").exists());
}

#[test]
fn a_token_whose_secret_is_lost_does_not_stay() {
    let node = Node::start();
    let id = "sentinel@pve!monitor";
    for value in [
        format!(r#"{{"full-tokenid":"{id}","value":"0b9e7a52-1111"#),
        format!(r#"{{"full-tokenid":"{id}","value":"0b9e7a52; rm -rf /"}}"#),
        r#"{"full-tokenid":"root@pam!x","value":"0b9e7a52-1111-4222-8333-5a5a5a5a5a5a"}"#.to_owned(),
    ] {
        node.set("value", &value);
        node.called();
        let failed = node.setup(&["--yes"]);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{}", failed.stderr);
        assert!(failed.stderr.contains("was removed again") && !failed.stderr.contains("0b9e"), "{}", failed.stderr);
        assert_eq!(node.called().last().map(String::as_str), Some(REMOVES[1]));
        assert!(!node.token_file().exists() && !node.has("token.monitor"));
    }
    // A step that fails leaves the others for the next time.
    node.unset("value");
    node.set("fail.acl.modify", "cluster not ready - no quorum?");
    let failed = node.setup(&["--yes", "--name", "other"]);
    assert!(failed.code == Some(1) && failed.stderr.contains("no quorum?"), "{}", failed.stderr);
    node.unset("fail.acl.modify");
    let done = node.setup(&["--yes", "--name", "other"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn who_interrupts_it_stops_it_between_two_steps() {
    let node = Node::start();
    let (mut child, mut said, fifo) = node.in_the_middle();
    send_signal("-INT", child.id());
    assert!(said.any(|line| line.contains("this step is finished first")));
    drop(fifo);
    let rest: Vec<String> = said.collect();
    assert_eq!(rest, ["3. done", "step 4 was not begun, steps 1 to 3 were done"]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(fs::read_to_string(node.token_file()).unwrap(), node.secret());
    node.called();
    node.unset("wait.user.token.add");
    assert_eq!(node.setup(&["--yes"]).code, Some(0));
    assert_eq!(node.changed(), MAKES[3..]);
}

#[test]
fn what_is_cut_off_in_the_middle_is_seen_the_next_time() {
    let node = Node::start();
    let (mut child, mut said, fifo) = node.in_the_middle();
    send_signal("-TERM", child.id());
    assert!(said.any(|line| line.contains("this step is finished first")));
    send_signal("-TERM", child.id());
    let rest: Vec<String> = said.collect();
    assert_eq!(rest, ["step 3 was cut off and may have been done, steps 1 to 2 were done"]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(!node.token_file().exists());
    drop(fifo);
    wait_for("pveum did not go on", || node.has("token.monitor"));
    node.unset("wait.user.token.add");
    // The process may have been killed, too.
    for left in [None, Some("")] {
        if let Some(text) = left {
            fs::write(node.token_file(), text).unwrap();
        }
        node.called();
        let refused = node.setup(&["--yes"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{}", refused.stderr);
        assert!(refused.stderr.contains("--revoke first") && node.changed().is_empty(), "{}", refused.stderr);
    }
    assert_eq!(node.setup(&["--yes", "--revoke"]).code, Some(0));
    let done = node.setup(&["--yes"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(fs::read_to_string(node.token_file()).unwrap(), node.secret());
}

#[test]
fn a_real_shell_reads_every_quoted_word_as_it_was() {
    let words = [
        "",
        " ",
        "a b",
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "$(id)",
        "`id`",
        "$HOME",
        ";",
        "&",
        "|",
        "\n",
        "a\nb",
        "*",
        "~",
        "!x",
        "é",
        "\u{1b}[2J",
        "-n",
        "#",
        "a=b",
        "{a,b}",
        "<x",
        "sentinel@pve!monitor",
        "\t",
    ];
    for shell in [&["sh"][..], &["bash"], &["busybox", "sh"]] {
        for word in words {
            let script = format!("printf '%s.' {}\n", pve_sentinel::setup::quote(word));
            let printed = run(shell, &script, &["-s"], &[]);
            assert_eq!(String::from_utf8(printed).unwrap(), format!("{word}."), "{shell:?}");
        }
    }
}
