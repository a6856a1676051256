//! The command line: help that a stranger understands, exit codes, faults of a configuration all at once.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Cluster, SECRET, binary, check_golden, run_to_end, write_private};

#[test]
fn help_texts_are_as_they_were_read() {
    let mut all = String::new();
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["demo", "--help"],
        &["check", "--help"],
        &["collectors", "--help"],
        &["completions", "--help"],
        &["ctl", "--help"],
        &["ctl", "ls", "--help"],
        &["ctl", "shutdown", "--help"],
        &["ctl", "node", "--help"],
        &["events", "tail", "--help"],
        &["hash-token", "--help"],
        &["import", "--help"],
        &["setup", "--help"],
        &["ssh-probe", "--help"],
        &["support-bundle", "--help"],
    ] {
        let ended = run_to_end(arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        all.push_str(&format!("$ pve-sentinel {}\n{}\n", arguments.join(" "), ended.stdout));
    }
    check_golden("help.txt", &all);
}

#[test]
fn the_version_is_told() {
    let ended = run_to_end(&["--version"]);
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("pve-sentinel {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn collectors_are_listed_with_what_they_need_and_cost() {
    let listed = run_to_end(&["collectors", "--keys"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    check_golden("collectors.txt", &listed.stdout);
    let cluster = Cluster::recorded();
    let config = format!(
        "{}\n[collectors]\npreset = \"minimal\"\nguest_config = {{ enabled = true, ttl = \"2h\" }}\n",
        cluster.config("home")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    write_private(&path, &config);
    let chosen =
        run_to_end(&["collectors", "--config.file", path.to_str().unwrap(), "--nodes", "5", "--guests", "300"]);
    assert_eq!(chosen.code, Some(0), "{chosen:?}");
    let row = |name: &str| chosen.stdout.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("guest_config").contains(" yes ") && row("guest_config").contains(" 150 "), "{}", row("guest_config"));
    assert!(row("subscription").contains(" no "), "{}", row("subscription"));
    assert!(
        chosen.stdout.contains("at most 330 calls an hour to 5 nodes with 300 running guests"),
        "{}",
        chosen.stdout
    );
}

#[test]
fn wrong_usage_is_two() {
    for arguments in [
        &[][..],
        &["serv"],
        &["serve"],
        &["serve", "--config.file"],
        &["serve", "--config.file", "x", "--log.level", "loud"],
        &["serve", "--config.file", "x", "--web.listen-address", "nowhere"],
        &["demo", "--nodes", "0"],
        &["hash-token", "--name", "o ps"],
        &["completions", "csh"],
        &["check", "--config.file", "/nonexistent/config.toml"],
        &["collectors", "--config.file", "/nonexistent/config.toml"],
        &["collectors", "--interval", "0s"],
    ] {
        let ended = run_to_end(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
    }
    assert!(
        run_to_end(&["check", "--config.file", "/nonexistent/config.toml"]).stderr.contains("/nonexistent/config.toml")
    );
}

/// Shells themselves read what is printed for them, and complete by it.
#[cfg(feature = "external-programs")]
#[test]
fn shells_complete_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pve-sentinel");
    let said = |shell: &[&str], script: &str| {
        let script = script.replace("FILE", &format!("'{}'", file.display()));
        String::from_utf8(crate::support::run(shell, &script, &[], &[])).unwrap()
    };
    let print = |shell: &str| {
        let ended = run_to_end(&["completions", shell]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{shell}");
        std::fs::write(&file, &ended.stdout).unwrap();
        ended.stdout
    };
    print("bash");
    assert_eq!(said(&["bash"], "bash -n FILE\n"), "");
    let complete = |words: &str| {
        let script = format!(
            "source FILE\nfunction=$(complete -p pve-sentinel | sed 's/.*-F \\([^ ]*\\).*/\\1/')\nCOMP_WORDS=({words})\n\
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             \"$function\" pve-sentinel \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
        said(&["bash"], &script).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("pve-sentinel ctl sta"), ["start"]);
    assert_eq!(complete("pve-sentinel serve --config"), ["--config.file"]);
    assert_eq!(complete("pve-sentinel ctl shutdown --f"), ["--force"]);
    assert_eq!(complete("pve-sentinel completions ''")[2..], ["bash", "zsh", "fish"]);
    print("fish");
    let found = said(&["fish"], "source FILE\ncomplete -C 'pve-sentinel ctl sta'\n");
    assert!(found.starts_with("start\t"), "{found}");
    assert!(print("zsh").starts_with("#compdef pve-sentinel\n"));
}

#[test]
fn check_reports_every_fault_and_serve_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let path = file.to_str().unwrap();
    write_private(
        &file,
        "[web]\nlisten_adresses = [\"127.0.0.1:1\"]\n[[clusters]]\nname = \"\"\nendpoints = [\"http://pve:8006\"]\n\
         token_id = \"root@pam\"\ntoken_secret = \"7f1c2f0a-5eec-4e7b-9d43-0123456789ab\"\n",
    );
    for arguments in [&["check", "--config.file", path][..], &["serve", "--config.file", path]] {
        let ended = run_to_end(arguments);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_eq!(ended.stderr.lines().filter(|line| line.contains("config.toml:")).count(), 4, "{}", ended.stderr);
        for words in
            ["config.toml:2:", "listen_addresses", "config.toml:4:", "config.toml:5:", "https", "config.toml:6:"]
        {
            assert!(ended.stderr.contains(words), "{words}:\n{}", ended.stderr);
        }
        assert!(!ended.stderr.contains("5eec"), "{}", ended.stderr);
    }
}

#[test]
fn check_says_what_a_valid_configuration_means() {
    let cluster = Cluster::recorded();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    write_private(&file, &cluster.config("home"));
    let ended = run_to_end(&["check", "--config.file", file.to_str().unwrap()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("valid") && ended.stdout.contains("home"), "{}", ended.stdout);
    assert!(!ended.stdout.contains(SECRET));
    assert_eq!(cluster.sims[0].connections().accepted, 0, "check asks nothing over the network");
}

fn check(file: &std::path::Path, environment: &[(&str, &std::path::Path)]) -> (Option<i32>, String) {
    let output =
        binary().args(["check", "--config.file"]).arg(file).envs(environment.iter().copied()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn credentials_of_the_unit_can_be_checked_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let config = Cluster::recorded().config("home");
    write_private(
        &file,
        &config.replace(&format!("token_secret = \"{SECRET}\""), "token_secret_credential = \"token\""),
    );
    write_private(&folder.path().join("token"), SECRET);
    let (code, said) = check(&file, &[]);
    assert_eq!(code, Some(2), "{said}");
    for words in ["LoadCredential= in the unit", "by hand", "CREDENTIALS_DIRECTORY=FOLDER pve-sentinel check"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(check(&file, &[("CREDENTIALS_DIRECTORY", folder.path())]), (Some(0), String::new()));
}

/// Serving would refuse to start there.
#[test]
fn check_finds_that_a_system_trusts_no_authorities() {
    let (folder, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = folder.path().join("config.toml");
    let cluster = Cluster::recorded();
    let two = cluster.config_with("two", "", SECRET);
    let events = "[events]\nalertmanagers = [{ url = \"https://127.0.0.1:1\" }]\n";
    let state = folder.path().join("state");
    write_private(&file, &format!("state_dir = \"{}\"\n{}{two}{events}", state.display(), cluster.config("one")));
    let none = [("SSL_CERT_DIR", empty.path())];
    let (code, said) = check(&file, &none);
    assert_eq!((code, said.lines().count()), (Some(2), 2), "{said}");
    assert!(said.starts_with("cluster two: this system has no trusted certificate authorities: install"), "{said}");
    assert!(said.contains("\nalertmanager https://127.0.0.1:1: this system has no trusted certificate"), "{said}");
    assert!(!state.exists() && cluster.sims[0].connections().accepted == 0, "nothing is made, nothing is asked");

    write_private(&file, &format!("{}{two}", cluster.config("one")));
    let (_, said) = check(&file, &none);
    let serve = binary().args(["serve", "--config.file"]).arg(&file).envs(none).output().unwrap();
    assert_eq!(String::from_utf8(serve.stderr).unwrap(), said);
    write_private(&file, &cluster.config("one"));
    assert_eq!(check(&file, &none), (Some(0), String::new()), "who pins needs no authorities");
}

#[test]
fn a_token_is_printed_once_with_the_line_to_configure() {
    let ended = run_to_end(&["hash-token", "--name", "grafana"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let token = ended.stdout.lines().find_map(|line| line.trim().strip_prefix("pvs_")).unwrap();
    let token = format!("pvs_{token}");
    assert_eq!((token.len(), ended.stdout.matches(&token).count()), (47, 1), "{}", ended.stdout);
    let line = ended.stdout.lines().find(|line| line.contains("tokens = ")).unwrap().trim();
    assert!(line.contains("name = \"grafana\"") && line.contains("scopes = [\"read\"]"), "{line}");
    assert!(!run_to_end(&["hash-token"]).stdout.contains(&token), "each is new");

    let hashed = |text: &str| {
        let mut child =
            binary().args(["hash-token", "--name", "grafana", "--stdin"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(hashed(&format!("{token}\n")), (Some(0), format!("{line}\n"), String::new()));
    for (text, words) in
        [("hunter2\n", "at least 32"), (&format!("{token} {token}"), "letters, digits"), ("", "at least")]
    {
        let (code, stdout, stderr) = hashed(text);
        assert!(code == Some(2) && stdout.is_empty() && stderr.contains(words), "{stderr}");
        assert!(!stderr.contains("hunter2") && !stderr.contains(&token), "{stderr}");
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    write_private(&file, &format!("{}\n[control]\n{line}\n", Cluster::recorded().config("home")));
    let ended = run_to_end(&["check", "--config.file", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("tokens of the API: grafana (read)"), "{}", ended.stdout);
}
