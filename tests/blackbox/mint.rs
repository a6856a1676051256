//! `token_from_ssh` before OpenSSH's own sshd, on a node whose pveum remembers every word, and a simulated API.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use pve_sentinel::sim::{Rights, Token};

use crate::sshd::Sshd;
use crate::support::{Cluster, Exporter, SECRET, recorded, repository, run, run_to_end};

/// A node whose key can make tokens, and a cluster that accepts those of `instance`.
struct Node {
    sshd: Sshd,
    cluster: Cluster,
}

const ADD: &str = "[pveum][user][token][add][sentinel@pve][mint-one][--privsep][1][--comment][made by pve-sentinel mint]\
                   [--output-format][json]";
const ACL: &str = "[pveum][acl][modify][/][--tokens][sentinel@pve!mint-one][--roles][PVEAuditor]";
const LIST: &str = "[pveum][user][token][list][sentinel@pve][--output-format][json]";
const REMOVE: &str = "[pveum][user][token][remove][sentinel@pve][mint-one]";

/// A secret that the cluster does not take.
const OUTDATED: &str = "0b9e7a52-1111-4222-8333-5a5a5a5a5a5a";

impl Node {
    fn start() -> Self {
        let sshd = Sshd::start("ed25519", "256");
        let (programs, state) = (sshd.path("programs"), sshd.path("state"));
        fs::create_dir(&programs).unwrap();
        fs::create_dir(&state).unwrap();
        let copy = |from: &str, to: &str| {
            fs::copy(repository().join(from), programs.join(to)).unwrap();
            fs::set_permissions(programs.join(to), fs::Permissions::from_mode(0o755)).unwrap();
        };
        copy("tests/support/proxmox/pveum", "pveum");
        copy("tests/support/proxmox/sudo", "sudo");
        copy("tests/support/proxmox/host", "id");
        let program = run_to_end(&["ssh-mint"]);
        fs::write(programs.join("mint.sh"), program.stdout).unwrap();
        fs::set_permissions(programs.join("mint.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = programs.display();
        sshd.authorize(&format!(r#"command="PATH={path}:$PATH {path}/mint.sh",restrict "#));
        let tokens: Vec<Token> = ["one", "two"]
            .map(|name| Token {
                id: format!("sentinel@pve!mint-{name}"),
                secret: SECRET.into(),
                rights: Rights::Auditor,
            })
            .into();
        let source = recorded("pve-9.2-cluster", "GET_");
        let cluster = Cluster::start_with(1, source, pve_sentinel::sim::Certificate::Good, |options| {
            pve_sentinel::sim::Options { tokens: tokens.clone(), ..options }
        });
        let node = Self { sshd, cluster };
        node.set("uid", "0");
        node.answer("one", SECRET);
        node
    }

    fn set(&self, name: &str, text: &str) {
        fs::write(self.sshd.path("state").join(name), format!("{text}\n")).unwrap();
    }

    fn unset(&self, name: &str) {
        fs::remove_file(self.sshd.path("state").join(name)).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.sshd.path("state").join(name).exists()
    }

    /// What pveum prints of the next token.
    fn answer(&self, instance: &str, secret: &str) {
        let id = format!("sentinel@pve!mint-{instance}");
        self.set("value", &format!(r#"{{"full-tokenid":"{id}","info":{{"privsep":"1"}},"value":"{secret}"}}"#));
    }

    fn called(&self) -> Vec<String> {
        let file = self.sshd.path("state/argv");
        let lines = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, "").unwrap();
        lines.lines().map(str::to_owned).collect()
    }

    fn config(&self, instance: &str) -> String {
        let arguments = self.sshd.arguments(&self.sshd.line());
        let (user, address) = arguments[1].split_once('@').unwrap();
        let (url, pin) = (self.cluster.sims[0].url(), self.cluster.sims[0].fingerprint());
        format!(
            "[[clusters]]\nname = \"home\"\nendpoints = [\"{url}\"]\ntls = {{ fingerprints = [\"{pin}\"] }}\n\
             [clusters.token_from_ssh]\nuser = \"{user}\"\naddress = \"{address}\"\nkey_file = \"{}\"\n\
             known_hosts_file = \"{}\"\ninstance = \"{instance}\"\n",
            arguments[3], arguments[5]
        )
    }

    fn serve(&self, instance: &str) -> Exporter {
        Exporter::serve_with(&self.config(instance), &["--log.level", "debug"])
    }
}

#[test]
fn a_token_is_made_used_replaced_and_removed() {
    let node = Node::start();
    let mut exporter = node.serve("one");
    exporter.wait_for_log("a token was made over ssh");
    let page = exporter.page("/metrics");
    assert!(page.contains("pve_node_info{"), "{page}");
    assert_eq!(node.called(), [LIST, ADD, ACL]);
    // Killed, so that the token stays; the next start replaces it.
    let first = exporter.log();
    drop(exporter);
    exporter = node.serve("one");
    exporter.wait_for_log("a token was made over ssh");
    assert_eq!(node.called(), [LIST, REMOVE, ADD, ACL]);
    // A reload that leaves the cluster as it was leaves the token, too.
    exporter.hang_up(1);
    assert!(exporter.page("/metrics").contains("pve_node_info{"));
    assert!(node.called().is_empty());
    exporter.terminate();
    assert!(exporter.wait().success());
    assert_eq!(node.called(), [LIST, REMOVE]);
    assert!(!node.has("token.mint-one"));
    for text in [&first, &exporter.log(), &page, &node.sshd.log()] {
        assert!(!text.contains(SECRET), "the secret is told");
    }
}

#[test]
fn a_token_that_is_not_accepted_is_made_again() {
    let node = Node::start();
    node.answer("one", OUTDATED);
    let exporter = node.serve("one");
    exporter.wait_for_log("a token was made over ssh");
    assert!(!exporter.page("/metrics").contains("pve_node_info{"));
    let refused = exporter.wait_for_log("401");
    node.answer("one", SECRET);
    exporter.wait_for_logs("a token was made over ssh", 2);
    assert!(exporter.page("/metrics").contains("pve_node_info{"));
    assert_eq!(node.called(), [LIST, ADD, ACL, LIST, REMOVE, ADD, ACL]);
    for text in [&refused, &exporter.log(), &node.sshd.log()] {
        assert!(!text.contains(SECRET) && !text.contains(OUTDATED), "a secret is told");
    }
}

#[test]
fn two_instances_leave_each_other_alone() {
    let node = Node::start();
    let one = node.serve("one");
    one.wait_for_log("a token was made over ssh");
    node.answer("two", SECRET);
    let mut two = node.serve("two");
    two.wait_for_log("a token was made over ssh");
    assert!(node.has("token.mint-one") && node.has("token.mint-two"));
    two.terminate();
    assert!(two.wait().success());
    assert!(node.has("token.mint-one") && !node.has("token.mint-two"));
    assert!(one.page("/metrics").contains("pve_node_info{"));
}

#[test]
fn the_lines_that_setup_prints_install_it() {
    let node = Node::start();
    let sshd = &node.sshd;
    // What setup asks, answered, and by a login that runs what it is told to.
    for name in ["pvesh", "uname", "ls", "pveversion"] {
        let from = if name == "pvesh" { "tests/support/proxmox/pvesh" } else { "tests/support/proxmox/host" };
        fs::copy(repository().join(from), sshd.path("programs").join(name)).unwrap();
        fs::set_permissions(sshd.path("programs").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    node.set("name", "pve1");
    node.set("version", "pve-manager/9.2.11/14a22df35955d97d");
    node.set("status.json", r#"[{"type":"node","name":"pve1","local":1}]"#);
    let pin = node.cluster.sims[0].fingerprint();
    node.set("nodes.json", &format!(r#"[{{"node":"pve1","ssl_fingerprint":"{pin}"}}]"#));
    let programs = sshd.path("programs").display().to_string();
    sshd.authorize(&format!(
        r#"command="PATH={programs}:$PATH; export PATH; exec sh -c \"$SSH_ORIGINAL_COMMAND\"",restrict "#
    ));
    let out = sshd.path("a 'folder'");
    fs::create_dir(&out).unwrap();
    let mut arguments = vec!["setup".to_owned()];
    arguments.extend(sshd.arguments(&sshd.line()));
    arguments.extend(["--out".to_owned(), out.display().to_string(), "--yes".to_owned(), "--mint".to_owned()]);
    node.unset("value");
    let done = run_to_end(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    node.answer("one", SECRET);

    // This machine is no node: what would be installed for all of it goes to folders of the test.
    let text = done.stderr.replace("/usr/local/lib/pve-sentinel/", &format!("{}/", sshd.path("lib").display()));
    let text = text.replace(">>.ssh/authorized_keys", &format!(">>{}", sshd.path("authorized").display()));
    let own = sshd.path("own");
    fs::create_dir(&own).unwrap();
    symlink(env!("CARGO_BIN_EXE_pve-sentinel"), own.join("pve-sentinel")).unwrap();
    let steps: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(":  ")).map(|(_, line)| line.trim()).collect();
    assert_eq!(steps.len(), 3, "{text}");
    // This sshd lets everybody hear what it does.
    let (heard, steps) = (sshd.path("heard"), steps.join("\n"));
    let script = format!("exec 2>{}\nset -e\nPATH={}:$PATH\n{steps}\necho done\n", heard.display(), own.display());
    assert_eq!(run(&["sh"], &script, &["-s"], &[]), b"done\n", "{}", fs::read_to_string(heard).unwrap());
    let installed = sshd.path("lib/mint.sh");
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_to_string(&installed).unwrap(), run_to_end(&["ssh-mint"]).stdout);

    // The stand-ins are where a node has its programs.
    let authorized = fs::read_to_string(sshd.path("authorized")).unwrap();
    let (before, line) = authorized.trim_end().rsplit_once('\n').unwrap();
    assert!(line.starts_with(&format!("command=\"{}\",restrict ssh-ed25519 ", installed.display())), "{line}");
    let line = line.replacen("command=\"", &format!("command=\"PATH={programs}:$PATH "), 1);
    fs::write(sshd.path("authorized"), format!("{before}\n{line}\n")).unwrap();

    // The line for the configuration, in that which was printed.
    let table = text.lines().find(|line| line.starts_with("token_from_ssh = {")).unwrap();
    let table = table.replace(" }", ", instance = \"one\" }");
    let rest: Vec<&str> = done.stdout.lines().filter(|line| !line.starts_with("token_")).collect();
    let config = rest.join("\n").replacen("endpoints", &format!("{table}\nendpoints"), 1);
    let url = node.cluster.sims[0].url();
    let exporter = Exporter::serve(&config.replace("https://127.0.0.1:8006", &url));
    exporter.wait_for_log("a token was made over ssh");
    assert!(exporter.page("/metrics").contains("pve_node_info{"));
}

#[test]
fn what_fails_is_named_and_tried_again() {
    let node = Node::start();
    node.set("fail.acl.modify", "ipcc_send_rec failed\u{1b}[2J");
    let mut without = node.serve("one");
    without.wait_for_log("no token could be made over ssh");
    without.terminate();
    assert!(without.wait().success() && !without.log().contains("the token was removed"), "there was none");
    let exporter = node.serve("one");
    let line = exporter.wait_for_log("no token could be made over ssh");
    assert!(line.contains("pveum acl modify") && line.contains("ipcc_send_rec failed"), "{line}");
    assert!(!line.contains('\u{1b}') && !node.has("token.mint-one"), "{line}");
    drop(exporter.page("/metrics"));
    let line = exporter.wait_for_log("no token yet");
    assert!(line.contains("pveum acl modify"), "{line}");
    node.unset("fail.acl.modify");
    exporter.wait_for_log("a token was made over ssh");
    assert!(exporter.page("/metrics").contains("pve_node_info{"));
}

#[test]
fn hostile_answers_are_refused_and_not_repeated() {
    for answer in ["\u{1b}[2J", "", "{\"full-tokenid\":\"root@pam!x\",\"value\":\"5ecret-5ecret\"}", "5ecret-5ecret"] {
        let node = Node::start();
        node.set("value", answer);
        let exporter = node.serve("one");
        let line = exporter.wait_for_log("no token could be made over ssh");
        assert!(line.contains("expected") && !line.contains("5ecret") && !line.contains('\u{1b}'), "{line}");
        assert!(!exporter.page("/metrics").contains("pve_node_info{"));
    }
}

#[test]
fn the_key_can_do_nothing_else() {
    let node = Node::start();
    let arguments = node.sshd.arguments(&node.sshd.line());
    let ask = |line: &str, stdin: &str| ssh(&arguments, line, stdin);
    for (line, stdin) in [
        ("id", "one\n"),
        ("pve-sentinel mint; id", "one\n"),
        ("pve-sentinel mint", "one;touch pwned\n"),
        ("pve-sentinel mint", "$(touch pwned)\n"),
        ("pve-sentinel mint", "One\n"),
        ("pve-sentinel mint", "\n"),
        ("pve-sentinel mint", ""),
        ("pve-sentinel revoke", "-a *\n"),
        ("pve-sentinel revoke", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"),
        ("", "one\n"),
    ] {
        let (code, stdout) = ask(line, stdin);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{line:?} {stdin:?}");
        assert!(node.called().is_empty(), "{line:?} {stdin:?}");
    }
    let (code, stdout) = ask("pve-sentinel mint", "one\n");
    assert!(code == Some(0) && stdout.contains(SECRET), "{stdout}");
    node.set("uid", "1000");
    node.called();
    // The stand-in of sudo lets everybody be root; the program would ask it for ever.
    node.set("password", "");
    assert_eq!(ask("pve-sentinel revoke", "one\n").0, Some(1));
    let called = node.called();
    assert!(called.len() == 1 && called[0].ends_with("/mint.sh][pve-sentinel revoke]"), "{called:?}");
}

/// OpenSSH's own client.
fn ssh(arguments: &[String], line: &str, stdin: &str) -> (Option<i32>, String) {
    use std::io::Write;
    use std::process::Stdio;
    let (user, address) = arguments[1].split_once('@').unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    #[expect(clippy::disallowed_methods, reason = "the tests start other people's programs")]
    let mut child = std::process::Command::new("ssh")
        .args(["-F", "/dev/null", "-o", "BatchMode=yes", "-i", &arguments[3], "-p", port, "-l", user])
        .args(["-o", &format!("UserKnownHostsFile={}", arguments[5]), host, line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A command that is refused does not read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn check_accepts_it_and_makes_no_token() {
    let node = Node::start();
    let file = node.sshd.path("config.toml");
    fs::write(&file, node.config("one")).unwrap();
    let live = run_to_end(&["check", "--live", "--config.file", file.to_str().unwrap()]);
    assert!(live.stdout.contains("not tried: to make a token"), "{}{}", live.stdout, live.stderr);
    assert!(live.stderr.contains("token sentinel@pve!mint-one made over ssh by 127.0.0.1"), "{}", live.stderr);
    assert_eq!(live.code, Some(0), "{}", live.stdout);
    assert!(node.called().is_empty());
}
