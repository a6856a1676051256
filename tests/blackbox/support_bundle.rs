//! What is sent with a report of a fault: enough to help, and no secret of any kind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Cluster, Exporter, Finished, SECRET, run_to_end, write_private};

/// In everything that must not be shown.
const CANARY: &str = "canary4711";

fn bundle(folder: &Path, config: &str, more: &[&str]) -> (Finished, PathBuf) {
    let (file, out) = (folder.join("config.toml"), folder.join("out.txt"));
    write_private(&file, config);
    let (file, path) = (file.display().to_string(), out.display().to_string());
    let arguments = ["support-bundle", "--config.file", &file, "--out", &path, "--unit", "none-such"];
    (run_to_end(&[&arguments[..], more].concat()), out)
}

/// One secret in each place that may have one.
fn config(folder: &Path, cluster: &Cluster) -> String {
    let key = pve_sentinel::sim::SshKeyPair::new(pve_sentinel::sim::SshKeyKind::Ed25519).unwrap();
    write_private(&folder.join("id"), &key.file().unwrap());
    write_private(&folder.join("password"), &format!("{CANARY}-in-a-file"));
    let hash = pve_sentinel::ids::TokenHash::of(CANARY).hex();
    let bcrypt = "$2y$10$abcdefghijklmnopqrstuuqCcjMALGJVRUyfMGNUFJvOI7kBFbLDi";
    let folder = folder.display();
    format!(
        "# {CANARY} in a comment\nstate_dir = \"{folder}/state\"\n[web]\nbasic_auth_users = {{ prometheus = \"{bcrypt}\" }}\n\
         {}control = {{ token_id = \"operator@pve!power\", token_secret = \"{CANARY}-0\" }}   # and {CANARY} behind a line\n\
         [[clusters]]\nname = \"lab\"\nendpoints = [\"https://127.0.0.1:1\"]\nusername = \"monitor@pve\"\n\
         password_file = \"{folder}/password\"\ntls.insecure_skip_verify = true\n\
         [[hosts]]\nid = \"nas\"\nhostname = \"127.0.0.1\"\nssh_user = \"sentinel\"\nssh_key_path = \"{folder}/id\"\n\
         ssh_known_hosts_file = \"{folder}/known_hosts\"\n\
         control = {{ ssh_user = \"power\", ssh_key_path = \"{folder}/id\", shutdown = \"echo {CANARY}\" }}\n\
         [control]\ntokens = [{{ name = \"ops\", sha256 = \"{hash}\", scopes = [\"power\"] }}]\n\
         [events]\nalertmanagers = [{{ url = \"http://127.0.0.1:1\", bearer_token = \"{CANARY}-1\" }}, \
         {{ url = \"http://127.0.0.1:2/{CANARY}-2\", username = \"me\", password = \"{CANARY}-3\" }}]\n",
        cluster.config("home"),
    )
}

#[test]
fn it_tells_of_everything_but_secrets_and_only_once_agreed() {
    let (cluster, folder) = (Cluster::recorded(), tempfile::tempdir().unwrap());
    let config = config(folder.path(), &cluster);
    fs::create_dir(folder.path().join("state")).unwrap();
    fs::write(folder.path().join("state/audit.log"), CANARY).unwrap();
    let (asked, out) = bundle(folder.path(), &config, &[]);
    assert_eq!((asked.code, out.exists()), (Some(2), false), "{asked:?}");
    assert!(asked.stderr.contains("  configuration") && asked.stderr.contains("expected --yes"), "{}", asked.stderr);
    let (written, _) = bundle(folder.path(), &config, &["--yes"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let hash = pve_sentinel::ids::TokenHash::of(CANARY).hex();
    for secret in [CANARY, SECRET, "$2y$10$", "BEGIN OPENSSH", &hash] {
        assert!(!(text.clone() + &written.stdout + &written.stderr).contains(secret), "{secret}: {text}");
    }
    for words in [
        concat!("pve-sentinel ", env!("CARGO_PKG_VERSION")),
        "clusters[0].name = \"home\"",
        "clusters[0].token_secret = <hidden>",
        "hosts[0].control.shutdown = <hidden>",
        "events.alertmanagers[1].url = \"http://127.0.0.1:2/…\"",
        "insecure_skip_verify",
        "audit.log",
        "not asked: it asks for a password",
        "==== log: ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (again, _) = bundle(folder.path(), &config, &["--yes"]);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert_eq!(fs::read_to_string(&out).unwrap(), text);
}

#[test]
fn it_asks_the_exporter_that_runs_for_its_own_figures_and_nothing_else() {
    let (cluster, folder) = (Cluster::recorded(), tempfile::tempdir().unwrap());
    let exporter = Exporter::serve(&cluster.config("home"));
    let config = format!("[web]\nlisten_addresses = [\"{}\"]\n{}", exporter.address, cluster.config("home"));
    let asked = cluster.sims[0].requests().len();
    let (written, out) = bundle(folder.path(), &config, &["--yes"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.contains("\npve_sentinel_build_info{") && !text.contains("\npve_guest_info{"), "{text}");
    assert_eq!(cluster.sims[0].requests().len(), asked);
}

/// Where the path of an Alertmanager is a secret, as that of a webhook may be, its figures and log lines have it, too.
#[test]
fn paths_of_alertmanagers_are_in_no_part() {
    let (cluster, folder) = (Cluster::recorded(), tempfile::tempdir().unwrap());
    let more = format!(
        "state_dir = \"{}\"\n[scrape]\nmax_age = \"0s\"\n{}[events]\nalertmanagers = [{{ url = \"HTTP://127.0.0.1:1/T0/{CANARY}/\" }}]\n",
        folder.path().join("state").display(),
        cluster.config("home")
    );
    let exporter = Exporter::serve(&more);
    let own = exporter.page("/metrics?collect[]=process");
    assert!(own.contains(&format!("alertmanager=\"http://127.0.0.1:1/T0/{CANARY}\"")), "{own}");
    let (head, rest) = more.split_once('\n').unwrap();
    let config = format!("{head}\n[web]\nlisten_addresses = [\"{}\"]\n{rest}", exporter.address);
    let (written, out) = bundle(folder.path(), &config, &["--yes"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.contains("events.alertmanagers[0].url = \"HTTP://127.0.0.1:1/…\""), "{text}");
    assert!(text.contains("alertmanager=\"http://127.0.0.1:1/…\""), "{text}");
    assert!(!text.contains(CANARY), "{text}");
}

#[test]
fn a_configuration_with_faults_is_told_without_secrets_too() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = format!(
        "[[clusters]]\nname = \"home\"\nendpoints = [\"https://root:{CANARY}@192.0.2.1:8006\"]\ntoken_secrt = \"{CANARY}\"\n\
         token_id = \"monitor@pve!x={SECRET}\"\n\
         [[clusters]]\nname = \"lab\"\nendpoints = [\"https://192.0.2.2/T0/{CANARY}\", \
         \"https://192.0.2.3/{CANARY}{}\"]\n",
        "x".repeat(60)
    );
    let (written, out) = bundle(folder.path(), &faulty, &["--yes"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.contains("unknown key; did you mean token_secret?"), "{text}");
    assert!(text.contains("endpoints[0] = \"https://192.0.2.1:8006/…\""), "{text}");
    assert!(!text.contains(CANARY) && !text.contains(SECRET), "{text}");
    fs::remove_file(&out).unwrap();
    let (_, out) = bundle(folder.path(), &format!("password = \"{CANARY}"), &["--yes"]);
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.contains("it is not TOML") && !text.contains(CANARY), "{text}");
}

#[test]
fn secrets_in_the_wrong_key_are_in_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = |id: &str, endpoint: &str, secret: &str| {
        format!(
            "[[clusters]]\nname = \"{}\"\nendpoints = [\"{endpoint}\"]\ntoken_id = \"{id}\"\n{secret}\n",
            secret.len()
        )
    };
    let config = [
        cluster(&format!("PVEAPIToken=a@pve!b={CANARY}"), "https://192.0.2.1", "token_secret = \"x\""),
        cluster("a@pve!b", &format!("example.com/{CANARY}"), &format!("token_secret_file = \"{CANARY}\"")),
        format!("[events]\nalertmanagers = [{{ url = \"example.com/{CANARY}\" }}]\n"),
    ]
    .concat();
    let (written, out) = bundle(folder.path(), &config, &["--yes"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let text = fs::read_to_string(&out).unwrap();
    for words in [
        "clusters[0].token_id = <hidden>",
        "clusters[1].endpoints[0] = <hidden>",
        "clusters[1].token_secret_file = <hidden>",
        "events.alertmanagers[0].url = <hidden>",
        "/<hidden> cannot be read",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains(CANARY), "{text}");
}

/// As serving would refuse it, and without waiting for somebody to write into a pipe.
#[test]
#[expect(clippy::disallowed_methods, reason = "the standard library makes no pipes with names")]
fn what_is_no_file_of_a_configuration_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str| folder.path().join(name);
    assert!(std::process::Command::new("mkfifo").arg(named("pipe")).status().unwrap().success());
    fs::create_dir(named("folder")).unwrap();
    fs::write(named("large"), vec![b'#'; (1 << 20) + 1]).unwrap();
    for (name, why) in [
        ("pipe", "it is no regular file; check the path"),
        ("folder", "Is a directory (os error 21); name a file in it"),
        ("large", "it is larger than 1048576 bytes; name another file"),
    ] {
        let (file, out) = (named(name).display().to_string(), named(&format!("{name}.txt")));
        let path = out.display().to_string();
        let arguments = ["support-bundle", "--config.file", &file, "--out", &path, "--unit", "none-such", "--yes"];
        let written = run_to_end(&arguments);
        assert_eq!(written.code, Some(0), "{written:?}");
        let text = fs::read_to_string(&out).unwrap();
        let sentence = format!("{file}: expected a configuration file, found that it cannot be read: {why}\n");
        let part = text.split("==== configuration: ").nth(1).unwrap().split("==== ").next().unwrap();
        assert!(part.ends_with(&format!("\n\n{sentence}\n")), "{sentence}{text}");
    }
}
