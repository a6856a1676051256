//! `[ssh]`, `clusters.ssh` and `[[hosts]]`: every key, what says what, and what is hidden.

use std::path::{Path, PathBuf};

use super::*;
use crate::ids::{SshAddress, SshFingerprint};

/// A key of `ssh-keygen -t ed25519`.
pub(super) const KEY: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----\n\
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
QyNTUxOQAAACD5pBlacHwVMyaUxXxMJQGZQ1Q+8Sd0+ZhTqmI+WqFQ3wAAAIjVPwCi1T8A\n\
ogAAAAtzc2gtZWQyNTUxOQAAACD5pBlacHwVMyaUxXxMJQGZQ1Q+8Sd0+ZhTqmI+WqFQ3w\n\
AAAEBD08LoOj0US8Ozu4VCtBarxPWoKRy9JhiCECCP73jckfmkGVpwfBUzJpTFfEwlAZlD\n\
VD7xJ3T5mFOqYj5aoVDfAAAAAAECAwQF\n\
-----END OPENSSH PRIVATE KEY-----\n";

/// One that is encrypted.
const ENCRYPTED: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----\n\
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABBS1Lm/KR\n\
F15Yw9JQPrcv0yAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAINfZFDaqUmy7aQ8S\n\
MG7mwzjbdWM0X4QiwmFdnUta/eb9AAAAkF86OavHdDSX/a7CcEo9objPfqqxZxMG5pKrGl\n\
/5yzRlOrnwoihbbJ4a4IVRK/EqFzQCyVcFYUVzg0sxKu8EmAQDt2fR+1ThHF1LgcioyQLZ\n\
SDWhDci3BEFKXhJyc7dtNv7f4ZHmIXL1XNrPK91DZfxrRh3iXiEnaFm5BhlxmM6wDe0NYO\n\
LApZ9hE0LU2r96/Q==\n\
-----END OPENSSH PRIVATE KEY-----\n";

const PASSPHRASE: &str = "correct horse";

const PIN: &str = "SHA256:RHTuihchn6ME2lscfD+PSzsBieTl9ELN5sFN53CwY8k";

/// A configuration with `ssh` in its cluster and `more` behind it; `id` and `locked` are keys beside it.
pub(super) fn loaded(ssh: &str, more: &str) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    file("id", KEY);
    file("locked", ENCRYPTED);
    file("phrase", &format!("{PASSPHRASE}\n"));
    let top = if ssh.contains("no state_dir") { "" } else { "state_dir = \"/var\"\n" };
    let text = format!(
        "{top}[[clusters]]\nname = \"home\"\nendpoints = [\"https://192.0.2.11\"]\ntoken_id = \"monitor@pve!prometheus\"\n\
         token_secret = \"x\"\n{ssh}\n{more}\n"
    );
    let environment = |name: &str| (name == "SSH_AUTH_SOCK").then(|| "/run/agent".to_owned());
    let path = folder.path().join("x.toml");
    let result = parse(&text, &path, &Env::new(&environment), &[]);
    result.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn cluster_ssh(text: &str) -> ClusterSsh {
    loaded(text, "").unwrap().config.clusters.remove(0).ssh.unwrap()
}

fn files(settings: &Ssh) -> (Vec<PathBuf>, bool) {
    match &settings.host_keys {
        HostKeys::Known { files, accept_new } => (files.clone(), *accept_new),
        HostKeys::Pinned(_) => panic!("pinned"),
    }
}

#[test]
fn nodes_are_hosts_by_one_table() {
    let ssh = cluster_ssh(
        "ssh = { user = \"sentinel\", key_file = \"id\", known_hosts_file = \"/kh\", port = 2200, \
         addresses = { pve1 = \"192.0.2.11\", pve2 = \"PVE2:22\" } }",
    );
    assert_eq!((ssh.settings.user.as_str(), ssh.port), ("sentinel", 2200));
    assert!(matches!(&ssh.settings.keys, SshKeys::File(key) if key.path().ends_with("id")));
    assert_eq!(files(&ssh.settings), (vec![PathBuf::from("/kh")], false));
    let addresses: Vec<_> = ssh.addresses.iter().map(|(node, at)| format!("{node} {at}")).collect();
    assert_eq!(addresses, ["pve1 192.0.2.11:2200", "pve2 pve2:22"]);

    let least = cluster_ssh("ssh = { user = \"sentinel\" }");
    assert_eq!(least.port, 22);
    assert!(matches!(&least.settings.keys, SshKeys::Agent(socket) if socket == Path::new("/run/agent")));
    assert_eq!(files(&least.settings), (vec![PathBuf::from("/etc/ssh/ssh_known_hosts")], false));

    let locked = cluster_ssh(
        "ssh = { user = \"a\", key_file = \"locked\", key_passphrase_file = \"phrase\", fingerprint = \"SHA256:RHTuihchn6ME2lscfD+PSzsBieTl9ELN5sFN53CwY8k\" }",
    );
    let HostKeys::Pinned(pin) = locked.settings.host_keys else { panic!("not pinned") };
    assert_eq!(Some(pin), SshFingerprint::parse(PIN));
    assert!(loaded("", "").unwrap().config.clusters[0].ssh.is_none());
}

#[test]
fn what_a_host_leaves_out_the_table_at_the_top_says() {
    let loaded = loaded(
        "ssh = {}",
        "[ssh]\nuser = \"sentinel\"\nkey_file = \"id\"\nknown_hosts_files = [\"/a\", \"/b\"]\nport = 2200\n\
         accept_new = true\n\
         [[hosts]]\nid = \"nas\"\nname = \"NAS\"\nhostname = \"nas.example.com\"\nssh_user = \"other\"\n\
         [[hosts]]\nid = \"backup\"\nhostname = \"2001:db8::1\"\nssh_port = 22\nssh_agent_socket = \"/agent\"\n\
         ssh_known_hosts_file = \"/c\"\nssh_accept_new = false\n\
         [[hosts]]\nid = \"tv\"\nhostname = \"tv\"\n",
    )
    .unwrap();
    let config = loaded.config;
    let ssh = config.clusters[0].ssh.as_ref().unwrap();
    assert_eq!((ssh.settings.user.as_str(), ssh.port), ("sentinel", 2200));
    assert_eq!(files(&ssh.settings), (vec!["/a".into(), "/b".into()], true));

    let [nas, backup, tv] = config.hosts.as_slice() else { panic!("{} hosts", config.hosts.len()) };
    assert_eq!((nas.id.as_str(), nas.name.as_str()), ("nas", "NAS"));
    assert_eq!(nas.address, SshAddress::parse("nas.example.com:2200", 22).unwrap());
    let settings = nas.ssh.as_ref().unwrap();
    assert_eq!((settings.user.as_str(), files(settings).1), ("other", true));
    assert_eq!((backup.name.as_str(), backup.address.to_string().as_str()), ("backup", "[2001:db8::1]:22"));
    let settings = backup.ssh.as_ref().unwrap();
    assert!(matches!(&settings.keys, SshKeys::Agent(socket) if socket == Path::new("/agent")));
    assert_eq!(files(settings), (vec!["/c".into()], false));
    let settings = tv.ssh.as_ref().unwrap();
    assert_eq!((settings.user.as_str(), files(settings).1), ("sentinel", true));
}

#[test]
fn keys_that_do_not_open_say_why_and_nothing_is_shown() {
    for (ssh, wrong) in [
        (
            "key_file = \"locked\"",
            "ssh.key_file: expected a private key of ssh-keygen in locked, found an encrypted one",
        ),
        ("key_file = \"locked\", key_passphrase = \"battery staple\"", "the passphrase is not its own"),
        ("key_file = \"phrase\"", "found none; it starts with -----BEGIN OPENSSH"),
        ("key_file = \"none\"", "none cannot be read: No such file"),
    ] {
        let message = loaded(&format!("ssh = {{ user = \"a\", {ssh} }}"), "").unwrap_err();
        assert!(message.contains(wrong), "{ssh}: {message}");
        assert!(!message.contains("battery") && !message.contains(PASSPHRASE), "{message}");
    }
    let loaded =
        loaded("ssh = { user = \"a\", key_file = \"locked\", key_passphrase = \"correct horse\" }", "").unwrap();
    let printed = format!("{loaded:?}");
    assert!(!printed.contains(PASSPHRASE) && !printed.contains("PRIVATE KEY"), "{printed}");
    assert!(printed.contains("[private key in "), "{printed}");
}

#[test]
fn a_first_key_that_is_trusted_draws_a_warning() {
    let warnings = |ssh: &str| loaded(&format!("ssh = {{ user = \"a\", {ssh} }}"), "").unwrap().warnings;
    let found = warnings("accept_new = true");
    assert!(matches!(found.as_slice(), [only] if only.contains("clusters[0].ssh.accept_new: ")), "{found:?}");
    assert!(warnings("accept_new = false").is_empty());
    let faults = loaded("# no state_dir\nssh = { user = \"a\", accept_new = true }", "").unwrap_err();
    assert!(faults.contains("clusters[0].ssh.accept_new: expected state_dir"), "{faults}");
}
