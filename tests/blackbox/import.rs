//! `import`: what the reference exporter was told becomes our configuration; nothing is lost without a word.

use std::path::PathBuf;
use std::sync::Arc;

use pve_sentinel::sim::{Certificate, Source, World};

use crate::support::{
    Cluster, Exporter, Finished, Page, SECRET, TOKEN_ID, binary, check_golden, recorded, repository, run_to_end,
    write_private,
};

fn fixtures() -> PathBuf {
    repository().join("tests/fixtures/import")
}

/// Runs `import` in the folder of the fixtures.
fn import(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut command = binary();
    command.arg("import").args(arguments).current_dir(fixtures()).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Compares both outputs with goldens; what is printed passes `check`.
fn golden(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let ended = import(arguments, environment);
    check_golden(&format!("import/{name}.toml"), &ended.stdout);
    let code = ended.code.unwrap();
    check_golden(&format!("import/{name}.stderr"), &format!("exit code {code}\n{}", ended.stderr));
    if code == 0 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::copy(fixtures().join("pve-root-ca.pem"), folder.path().join("pve-root-ca.pem")).unwrap();
        write_private(&file, &ended.stdout);
        let mut check = binary();
        check.args(["check", "--config.file"]).arg(&file).envs(environment.iter().copied());
        let checked = check.output().unwrap();
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
    } else {
        assert_eq!(ended.stdout, "", "{name}");
    }
    // Secrets are printed where they belong, and nowhere else.
    for secret in ["5ecret", "5eec", "pasted"] {
        assert!(!ended.stderr.contains(secret), "{name}: {}", ended.stderr);
    }
    ended
}

fn ended_with(ended: &Finished, code: i32) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
}

#[test]
fn files_become_configurations() {
    for (name, arguments) in [
        ("token", &["--target", "192.0.2.11", "--target", "pve2.example.com:8006"][..]),
        (
            "several-modules",
            &[
                "--target=192.0.2.11",
                "--target=lab@192.0.2.12:8007",
                "--target=prod@pve1",
                "--target=prod@pve2",
                "--cluster=lab=192.0.2.12,192.0.2.11",
            ],
        ),
        ("ca-path", &["--target", "pve1", "--target", "pve1:8007", "--cluster", "home=pve1:8006,pve1:8007"]),
        ("unverified", &["--target", "pve1", "--target", "PVE1:8006"]),
        ("unknown-keys", &["--target", "pve1"]),
        ("anchors", &["--target", "pve1"]),
    ] {
        let file = format!("{name}.yml");
        ended_with(&golden(name, &[&[file.as_str()], arguments].concat(), &[]), 0);
    }
}

#[test]
fn faults_name_file_line_and_key() {
    for (name, arguments) in [
        ("broken", &["--target", "pve1"][..]),
        ("empty", &["--target", "pve1"]),
        (
            "wrong-values",
            &[
                "--target",
                "pve1",
                "--target",
                "lab@pve2",
                "--target",
                "none@pve3",
                "--target",
                "text@pve4",
                "--target",
                "nothing@pve5",
            ],
        ),
        ("no-default", &["--target", "pve1", "--target", "lap@pve2"]),
    ] {
        let file = format!("{name}.yml");
        ended_with(&golden(name, &[&[file.as_str()], arguments].concat(), &[]), 2);
    }
    for (name, arguments) in [
        ("missing", &["nonexistent.yml", "--target", "pve1"][..]),
        ("folder", &[".", "--target", "pve1"]),
        (
            "clusters",
            &[
                "several-modules.yml",
                "--target=pve1",
                "--target=pve1:8007",
                "--target=prod@pve2",
                "--target=prod@pve1",
                "--cluster=a=pve1",
                "--cluster=b=pve1:8006,pve3",
                "--cluster=b=pve2",
                "--cluster=c=pve1:8007,pve2",
            ],
        ),
    ] {
        ended_with(&golden(name, arguments, &[]), 2);
    }
}

#[test]
fn the_environment_stays_where_it_is() {
    let token = [
        ("PVE_USER", "monitor@pve"),
        ("PVE_TOKEN_NAME", "prometheus"),
        ("PVE_TOKEN_VALUE", SECRET),
        ("PVE_VERIFY_SSL", "False"),
        ("PVE_MODULE", "lab"),
    ];
    let ended = golden("env-token", &["--env", "--target", "pve1"], &token);
    ended_with(&ended, 0);
    assert!(!ended.stdout.contains(SECRET));
    for (environment, words) in [
        (&[][..], "PVE_USER"),
        (&[("PVE_USER", "monitor@pve")], "PVE_PASSWORD"),
        (&[("PVE_USER", "monitor@pve"), ("PVE_TOKEN_NAME", "x")], "PVE_TOKEN_VALUE"),
    ] {
        let ended = import(&["--env", "--target", "pve1"], environment);
        ended_with(&ended, 2);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn half_a_configuration_is_not_taken_for_whole() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let path = fixtures().join("token.yml").display().to_string();
    let given = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(given.path(), "a-token-of-thirty-two-characters-x").unwrap();
    for arguments in
        [&["import", &path, "--target", "pve1"][..], &["ssh-probe"], &["hash-token"], &["hash-token", "--stdin"]]
    {
        let mut command = binary();
        let stdin = std::fs::File::open(given.path()).unwrap();
        let output = command.args(arguments).stdin(stdin).stdout(full()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("not written in full: No space left on device"), "{arguments:?}: {told}");
    }
}

#[test]
fn wrong_usage_is_two() {
    for arguments in [
        &[][..],
        &["token.yml"],
        &["--target", "pve1"],
        &["token.yml", "--env", "--target", "pve1"],
        &["token.yml", "--target", "https://pve1:8006"],
        &["token.yml", "--target", "pve1", "--cluster", "home"],
    ] {
        let ended = import(arguments, &[]);
        ended_with(&ended, 2);
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn passwords_become_logins() {
    ended_with(&golden("password", &["password.yml", "--target", "2001:db8::1"], &[]), 0);
    let numbers = ["numbers.yml", "--target", "pve1", "--target", "pve1:8006", "--target", "day@pve1"];
    ended_with(&golden("numbers", &numbers, &[]), 0);
    let environment = [("PVE_USER", "monitor@pve"), ("PVE_PASSWORD", "5ecret")];
    let ended = golden("env-password", &["--env", "--target", "pve1"], &environment);
    ended_with(&ended, 0);
    assert!(!ended.stdout.contains("5ecret"));
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().to_str().unwrap();
    let ended = import(&["several-modules.yml", "--target", "old@pve1", "--secrets-dir", secrets], &[]);
    ended_with(&ended, 0);
    assert!(ended.stdout.contains("password_file = ") && !ended.stdout.contains("5ecret"), "{}", ended.stdout);
    assert_eq!(std::fs::read_to_string(folder.path().join("old.password")).unwrap(), "5ecret\n");
}

#[test]
fn what_serve_would_refuse_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pve.yml");
    write_private(&file, &format!("default: {{user: monitor, token_name: x, token_value: {SECRET}}}\n"));
    let ended = import(&[file.to_str().unwrap(), "--target", "pve1"], &[]);
    ended_with(&ended, 2);
    assert!(ended.stdout.contains("[[clusters]]") && ended.stderr.contains("token_id"), "{ended:?}");
    assert!(!ended.stderr.contains(SECRET));
}

#[test]
fn secrets_move_to_private_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    let path = secrets.to_str().unwrap();
    let arguments = ["several-modules.yml", "--target", "pve1", "--target", "pve2", "--target", "prod@pve3"];
    let arguments = [&arguments[..], &["--secrets-dir", path]].concat();
    let ended = import(&arguments, &[]);
    ended_with(&ended, 0);
    for secret in [SECRET, "11111111-5eec"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{ended:?}");
    }
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(secrets.clone()), 0o700);
    let mut found: Vec<(String, String)> = std::fs::read_dir(&secrets)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            assert_eq!(mode(path.clone()), 0o600);
            let text = std::fs::read_to_string(&path).unwrap();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), text)
        })
        .collect();
    found.sort();
    let expected =
        [("default.token", format!("{SECRET}\n")), ("prod.token", "11111111-5eec-4e7b-9d43-0123456789ab\n".to_owned())];
    assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text)));
    let config = folder.path().join("config.toml");
    write_private(&config, &ended.stdout);
    ended_with(&run_to_end(&["check", "--config.file", config.to_str().unwrap()]), 0);
    // Once more is no other content; another content is left alone.
    assert_eq!(import(&arguments, &[]).stdout, ended.stdout);
    std::fs::write(secrets.join("prod.token"), "mine\n").unwrap();
    let refused = import(&arguments, &[]);
    ended_with(&refused, 1);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("prod.token"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(secrets.join("prod.token")).unwrap(), "mine\n");
}

/// A pve.yml for simulated endpoints, with a wrong `default` where that is wanted.
fn pve_yml(folder: &tempfile::TempDir, wrong_default: bool) -> String {
    let (user, token) = TOKEN_ID.split_once('!').unwrap();
    let module = |name: &str, secret: &str| {
        format!("{name}:\n  user: {user}\n  token_name: {token}\n  token_value: {secret}\n  verify_ssl: false\n")
    };
    let text = if wrong_default {
        module("default", "00000000-0000-4000-8000-000000000000") + &module("lab", SECRET)
    } else {
        module("default", SECRET)
    };
    let file = folder.path().join("pve.yml");
    write_private(&file, &text);
    file.to_str().unwrap().to_owned()
}

fn address(cluster: &Cluster, index: usize) -> String {
    cluster.sims[index].addr().to_string()
}

fn world() -> Cluster {
    Cluster::start(2, Source::World(Arc::new(World::new(1, 3, 5))), Certificate::SelfSigned)
}

fn recorded_cluster() -> Cluster {
    Cluster::start(1, recorded("pve-9.2-cluster", "GET_"), Certificate::Good)
}

#[test]
fn what_is_printed_serves() {
    let cluster = recorded_cluster();
    let folder = tempfile::tempdir().unwrap();
    let ended = import(&[&pve_yml(&folder, false), "--target", &address(&cluster, 0)], &[]);
    ended_with(&ended, 0);
    assert_eq!(cluster.sims[0].connections().accepted, 0, "nothing is asked without --live");
    let exporter = Exporter::serve(&ended.stdout);
    let page = Page::parse(&exporter.page("/metrics"));
    assert_eq!(page.value("pve_up", &[("id", "node/pve-lab")]), Some(1.0), "{}", exporter.log());
    // As Prometheus went on asking the reference.
    let target = address(&cluster, 0);
    let page = exporter.page(&format!("/pve?target={target}&module=default&cluster=1&node=0"));
    assert!(page.contains("pve_up{id=\"node/pve-lab\"} 1"), "{page}");
}

#[test]
fn live_targets_find_their_cluster() {
    let (world, lab) = (world(), recorded_cluster());
    let folder = tempfile::tempdir().unwrap();
    let file = pve_yml(&folder, false);
    let (one, two, three) = (address(&world, 0), address(&lab, 0), address(&world, 1));
    let ended = import(&[&file, "--live", "--target", &one, "--target", &two, "--target", &three], &[]);
    ended_with(&ended, 0);
    let mut shown = format!("{}\n{}", ended.stdout, ended.stderr).replace(&file, "pve.yml");
    for (sim, name) in [(&world.sims[0], "ONE"), (&lab.sims[0], "TWO"), (&world.sims[1], "THREE")] {
        shown = shown
            .replace(&sim.addr().to_string(), name)
            .replace(&sim.fingerprint().to_string(), &format!("PIN-{name}"));
    }
    check_golden("import/live.txt", &shown);
    // What is commented out works when it takes the place of the line above it.
    let pinned: String = ended
        .stdout
        .lines()
        .filter(|line| !line.contains("insecure_skip_verify"))
        .map(|line| format!("{}\n", line.strip_prefix("# ").filter(|line| line.starts_with("tls = ")).unwrap_or(line)))
        .collect();
    let exporter = Exporter::serve(&pinned);
    let page = Page::parse(&exporter.page("/metrics"));
    assert!(page.samples["pve_scrape_collector_success"].values().all(|value| *value == 1.0), "{}", exporter.log());
    assert_eq!(page.samples["pve_cluster_info"].len(), 2);
}

#[test]
fn live_finds_the_module_whose_credential_works() {
    let lab = recorded_cluster();
    let folder = tempfile::tempdir().unwrap();
    let target = address(&lab, 0);
    let ended = import(&[&pve_yml(&folder, true), "--live", "--target", &target], &[]);
    ended_with(&ended, 0);
    assert!(ended.stdout.contains("modules = [\"lab\"]") && ended.stdout.contains(SECRET), "{ended:?}");
    assert!(ended.stderr.contains("module default") && ended.stderr.contains("401"), "{}", ended.stderr);
    assert!(ended.stderr.contains("the credential of module lab works"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(SECRET) && !ended.stdout.contains("00000000-0000"));
}

#[test]
fn live_targets_that_do_not_answer_are_printed_and_said() {
    let mut world = world();
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (address(&world, 0), address(&world, 1));
    world.stop(1);
    let ended = import(&[&pve_yml(&folder, false), "--live", "--target", &one, "--target", &two], &[]);
    ended_with(&ended, 1);
    assert_eq!(ended.stdout.matches("[[clusters]]").count(), 2, "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("# {two} could not be asked")), "{}", ended.stdout);
    assert!(ended.stderr.contains(&format!("--target {two}")), "{}", ended.stderr);
}

#[test]
fn live_sees_when_one_name_is_given_to_two_clusters() {
    let (world, lab) = (world(), recorded_cluster());
    let folder = tempfile::tempdir().unwrap();
    let (one, two, three) = (address(&world, 0), address(&lab, 0), address(&world, 1));
    let file = pve_yml(&folder, false);
    let home = format!("--cluster=home={one},{three}");
    let ended = import(&[&file, "--live", "--target", &one, "--target", &three, &home], &[]);
    ended_with(&ended, 0);
    assert!(ended.stdout.contains("name = \"home\""), "{}", ended.stdout);
    let home = format!("--cluster=home={one},{two}");
    let ended = import(&[&file, "--live", "--target", &one, "--target", &two, &home], &[]);
    ended_with(&ended, 2);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("belong to different clusters"), "{ended:?}");
}

#[test]
fn live_sends_no_credential_to_who_proves_nothing() {
    let lab = recorded_cluster();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pve.yml");
    let (user, token) = TOKEN_ID.split_once('!').unwrap();
    let ca = fixtures().join("pve-root-ca.pem");
    write_private(
        &file,
        &format!(
            "default:\n  user: {user}\n  token_name: {token}\n  token_value: {SECRET}\n  verify_ssl: {}\n",
            ca.display()
        ),
    );
    let ended = import(&[file.to_str().unwrap(), "--live", "--target", &address(&lab, 0)], &[]);
    ended_with(&ended, 1);
    assert!(ended.stderr.contains("certificate refused, no credential was sent"), "{}", ended.stderr);
    assert!(ended.stdout.contains(&lab.sims[0].fingerprint().to_string()), "{}", ended.stdout);
    assert_eq!(lab.sims[0].requests(), []);
}

#[test]
fn live_members_with_different_modules_stay_apart_and_that_is_said() {
    let world = world();
    let folder = tempfile::tempdir().unwrap();
    let file = pve_yml(&folder, false);
    let (user, token) = TOKEN_ID.split_once('!').unwrap();
    let other =
        format!("other: {{user: {user}, token_name: {token}, token_value: {SECRET}, verify_ssl: false, port: 1}}\n");
    write_private(std::path::Path::new(&file), &(std::fs::read_to_string(&file).unwrap() + &other));
    let (one, two) = (address(&world, 0), address(&world, 1));
    let (default, other) = (format!("default@{one}"), format!("other@{two}"));
    let ended = import(&[&file, "--live", "--target", &default, "--target", &other], &[]);
    ended_with(&ended, 0);
    assert!(ended.stdout.contains("name = \"demo\"\n") && ended.stdout.contains("name = \"demo-127.0.0.1\"\n"));
    assert!(ended.stderr.contains(&format!("--target default@{two}")), "{}", ended.stderr);
    // What is to be typed puts them together.
    let typed = format!("default@{two}");
    let ended = import(&[&file, "--live", "--target", &default, "--target", &typed], &[]);
    assert_eq!(ended.stdout.matches("[[clusters]]").count(), 1, "{}", ended.stdout);
}
