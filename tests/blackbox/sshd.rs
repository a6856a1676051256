//! Hosts over SSH before OpenSSH's own sshd, ssh-keygen and ssh-agent. A missing program is a failure.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pve_sentinel::config::{HostKeys, Secret, Ssh, SshKey, SshKeys};
use pve_sentinel::ids::{SshAddress, SshFingerprint};
use pve_sentinel::metrics::Own;
use pve_sentinel::ssh::{Client, Command, Error, Exit, Limits, Output, Session};
use tempfile::TempDir;
use tokio::time::Instant;

/// An sshd of our own with one host key, killed when dropped.
pub struct Sshd {
    child: Child,
    port: u16,
    folder: TempDir,
}

#[expect(clippy::disallowed_methods, reason = "the tests start other people's programs")]
fn program(name: &str) -> Program {
    Program::new(name)
}

/// Runs a program and gives what it printed.
fn run(name: &str, arguments: &[&str]) -> String {
    let output = program(name)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{name} cannot be started ({error}): tests/run installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn keygen(file: &Path, kind: &str, bits: &str, passphrase: &str) {
    let file = file.to_str().unwrap();
    run("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", "", "-f", file]);
}

/// Who we are here.
pub fn user() -> String {
    run("id", &["-un"])
}

/// As sshd writes a key into its log.
pub fn fingerprint(file: &Path) -> String {
    let listed = run("ssh-keygen", &["-l", "-f", file.to_str().unwrap()]);
    listed.split(' ').nth(1).unwrap().to_owned()
}

impl Sshd {
    /// One whose host key is of this kind.
    pub fn start(kind: &str, bits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        keygen(&folder.path().join("host"), kind, bits, "");
        keygen(&folder.path().join("id"), "ed25519", "256", "");
        Self::start_in(folder, "")
    }

    /// One with the keys `host` and `id` in a folder, and `more` lines of configuration.
    fn start_in(folder: TempDir, more: &str) -> Self {
        let at = |name: &str| folder.path().join(name);
        if !at("authorized").exists() {
            fs::copy(at("id.pub"), at("authorized")).unwrap();
        }
        // sshd cannot choose a port itself: the listener holds one until just before the start.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nLogLevel DEBUG1\n{more}\n",
            at("host").display(),
            at("authorized").display(),
        );
        fs::write(at("sshd_config"), config).unwrap();
        if run("id", &["-u"]) == "0" {
            // Where the service has never been started, sshd misses this folder.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let child = program("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("sshd cannot be started ({error}): tests/run installs it"));
        let mut sshd = Self { child, port, folder };
        wait_for("sshd does not listen", || {
            assert!(sshd.child.try_wait().unwrap().is_none(), "sshd ended:\n{}", sshd.log());
            sshd.log().contains("Server listening on")
        });
        sshd
    }

    /// It takes no more connections.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    pub fn count(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// The line that makes the host known.
    pub fn line(&self) -> String {
        let key = fs::read_to_string(self.path("host.pub")).unwrap();
        format!("[127.0.0.1]:{} {key}", self.port)
    }

    /// As `--ssh` and its companions name it, with what is known of the host.
    pub fn arguments(&self, known_hosts: &str) -> Vec<String> {
        fs::write(self.path("known_hosts"), known_hosts).unwrap();
        let (id, known) = (self.path("id").display().to_string(), self.path("known_hosts").display().to_string());
        let target = format!("{}@127.0.0.1:{}", run("id", &["-un"]), self.port);
        ["--ssh", &target, "--identity", &id, "--known-hosts", &known].map(str::to_owned).to_vec()
    }

    /// What the key `id` may do from now on: the options in front of it.
    pub fn authorize(&self, options: &str) {
        let key = fs::read_to_string(self.path("id.pub")).unwrap();
        fs::write(self.path("authorized"), format!("{options}{key}")).unwrap();
    }

    /// A `[[hosts]]` entry, with what is known of the host.
    pub fn host(&self, known_hosts: &str) -> String {
        fs::write(self.path("known_hosts"), known_hosts).unwrap();
        let (id, known, port, user) = (self.path("id"), self.path("known_hosts"), self.port, run("id", &["-un"]));
        format!(
            "[[hosts]]\nid = \"nas\"\nhostname = \"127.0.0.1\"\nssh_port = {port}\nssh_user = \"{user}\"\n\
             ssh_key_path = \"{}\"\nssh_known_hosts_file = \"{}\"\n",
            id.display(),
            known.display()
        )
    }

    fn key(&self) -> SshKeys {
        SshKeys::File(read_key(&self.path("id"), None))
    }

    fn session(&self, keys: SshKeys, known_hosts: &str) -> Session {
        fs::write(self.path("known_hosts"), known_hosts).unwrap();
        self.session_with(keys, HostKeys::Known { files: vec![self.path("known_hosts")], accept_new: false })
    }

    fn session_with(&self, keys: SshKeys, host_keys: HostKeys) -> Session {
        let address = SshAddress::new("127.0.0.1", self.port).unwrap();
        let client = Client::new(Arc::new(Own::new("1")), None, Limits::default(), || 1_800_000_000);
        client.session("nas", address, Arc::new(Ssh { user: run("id", &["-un"]), keys, host_keys }))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_key(path: &Path, passphrase: Option<&str>) -> SshKey {
    let passphrase = passphrase.map(|text| Secret::new(text.to_owned()));
    SshKey::decode(path, &fs::read(path).unwrap(), passphrase.as_ref()).unwrap()
}

pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed().as_secs() < 60, "{what}");
        std::thread::yield_now();
    }
}

fn script(text: &str) -> Command {
    Command { line: "sh -s -- probe", stdin: Bytes::copy_from_slice(text.as_bytes()) }
}

async fn ask(session: &Session) -> Result<Arc<Output>, Error> {
    session.exec(&script("echo \"$1 of $$\"; echo careful >&2\n"), Instant::now() + Duration::from_secs(30)).await
}

async fn assert_answers(session: &Session) {
    let output = ask(session).await.unwrap();
    assert!(output.stdout.starts_with(b"probe of "), "{output:?}");
    assert_eq!(output.exit, Exit::Status(0));
}

#[tokio::test]
async fn five_commands_are_one_login_in_the_log_of_sshd() {
    let sshd = Sshd::start("ed25519", "256");
    let session = sshd.session(sshd.key(), &sshd.line());
    for _ in 0..5 {
        assert_answers(&session).await;
    }
    assert_eq!(sshd.count("Accepted publickey for"), 1, "{}", sshd.log());
    assert_eq!(sshd.count("Starting session: command"), 5, "{}", sshd.log());
    let log = sshd.log();
    for unwanted in ["pty-req", "auth-agent-req", "x11-req", " env "] {
        assert!(!log.contains(unwanted), "{unwanted} was asked for:\n{log}");
    }
}

#[tokio::test]
async fn a_wrong_host_key_means_no_login_in_the_log_of_sshd() {
    let sshd = Sshd::start("ed25519", "256");
    let key = fs::read_to_string(sshd.path("host.pub")).unwrap();
    keygen(&sshd.path("other"), "ed25519", "256", "");
    let other = fs::read_to_string(sshd.path("other.pub")).unwrap();
    for known_hosts in
        [String::new(), sshd.line().replace(key.trim(), other.trim()), format!("{}@revoked * {key}", sshd.line())]
    {
        let error = ask(&sshd.session(sshd.key(), &known_hosts)).await.unwrap_err();
        assert_eq!(error.label(), "host_key", "{error}");
    }
    wait_for("sshd did not see the connections end", || sshd.count("Connection closed by 127.0.0.1") >= 3);
    for words in ["userauth-request", "Accepted", "Failed", "Invalid user"] {
        assert_eq!(sshd.count(words), 0, "{words}:\n{}", sshd.log());
    }
    // That the words are right: a login does leave them.
    assert_answers(&sshd.session(sshd.key(), &sshd.line())).await;
    assert!(sshd.count("userauth-request") > 0 && sshd.count("Accepted") > 0, "{}", sshd.log());
}

#[tokio::test]
async fn keys_of_ssh_keygen_let_us_in_and_prove_hosts() {
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "3072")] {
        let folder = tempfile::tempdir().unwrap();
        keygen(&folder.path().join("host"), kind, bits, "");
        keygen(&folder.path().join("id"), kind, bits, "correct horse");
        let sshd = Sshd::start_in(folder, "");
        let key = SshKeys::File(read_key(&sshd.path("id"), Some("correct horse")));
        assert_answers(&sshd.session(key.clone(), &sshd.line())).await;
        let listed = run("ssh-keygen", &["-l", "-f", sshd.path("host.pub").to_str().unwrap()]);
        let fingerprint = SshFingerprint::parse(listed.split(' ').nth(1).unwrap()).unwrap();
        assert_answers(&sshd.session_with(key, HostKeys::Pinned(fingerprint))).await;
        let log = sshd.log();
        assert!(!log.contains("ssh-rsa signature"), "{log}");
    }
}

#[tokio::test]
async fn names_hashed_and_hosts_certified_by_ssh_keygen_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["host", "id", "ca"] {
        keygen(Path::new(&at(name)), "ed25519", "256", "");
    }
    run("ssh-keygen", &["-q", "-s", &at("ca"), "-h", "-I", "nas", "-n", "nas,127.0.0.1", &at("host.pub")]);
    let certificate = format!("HostCertificate {}", at("host-cert.pub"));
    let sshd = Sshd::start_in(folder, &certificate);
    let authority = fs::read_to_string(sshd.path("ca.pub")).unwrap();
    assert_answers(&sshd.session(sshd.key(), &format!("@cert-authority * {authority}"))).await;
    assert_answers(&sshd.session(sshd.key(), &format!("@cert-authority 127.0.0.1,!x {authority}"))).await;
    let foreign = ask(&sshd.session(sshd.key(), &format!("@cert-authority nas {authority}"))).await.unwrap_err();
    assert_eq!(foreign.label(), "host_key");

    fs::write(sshd.path("hashed"), sshd.line()).unwrap();
    run("ssh-keygen", &["-q", "-H", "-f", sshd.path("hashed").to_str().unwrap()]);
    let hashed = fs::read_to_string(sshd.path("hashed")).unwrap();
    assert!(hashed.starts_with("|1|"), "{hashed}");
    assert_answers(&sshd.session(sshd.key(), &hashed)).await;
}

#[tokio::test]
async fn an_agent_signs_for_us() {
    let sshd = Sshd::start("ed25519", "256");
    let socket = sshd.path("agent");
    let mut agent = program("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("ssh-agent cannot be started ({error}): tests/run installs it"));
    wait_for("the agent does not listen", || socket.exists());
    let empty = ask(&sshd.session(SshKeys::Agent(socket.clone()), &sshd.line())).await.unwrap_err();
    assert!(empty.label() == "auth" && empty.to_string().contains("ssh-add"), "{empty}");

    keygen(&sshd.path("rsa"), "rsa", "2048", "");
    let authorized = fs::read_to_string(sshd.path("rsa.pub")).unwrap();
    fs::write(sshd.path("authorized"), authorized).unwrap();
    for name in ["id", "rsa"] {
        let status = program("ssh-add")
            .arg("-q")
            .arg(sshd.path(name))
            .env("SSH_AUTH_SOCK", &socket)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }
    // The first key is refused, the second is RSA.
    assert_answers(&sshd.session(SshKeys::Agent(socket), &sshd.line())).await;
    let _ = agent.kill();
    let _ = agent.wait();
}

#[tokio::test]
async fn a_command_that_hangs_is_told_to_end_and_the_next_is_well() {
    let sshd = Sshd::start("ed25519", "256");
    let session = sshd.session(sshd.key(), &sshd.line());
    assert_answers(&session).await;
    let pid_file = sshd.path("pid");
    let hang = script(&format!("echo $$ >{}; exec sleep 1000\n", pid_file.display()));
    let error = session.exec(&hang, Instant::now() + Duration::from_millis(900)).await.unwrap_err();
    assert_eq!(error.label(), "timeout");
    let pid = fs::read_to_string(&pid_file).unwrap();
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert_answers(&session).await;
    assert_eq!(sshd.count("session_signal_req"), 1, "{}", sshd.log());
    if process.exists() {
        // An sshd that refuses signals, as that of root does: then the connection was cut.
        run("kill", &[pid.trim()]);
        assert_eq!(sshd.count("Accepted publickey for"), 2, "{}", sshd.log());
    } else {
        assert_eq!(sshd.count("Accepted publickey for"), 1, "{}", sshd.log());
    }
}

#[tokio::test]
async fn a_connection_that_ends_under_a_command_is_said_in_words_and_made_again() {
    let sshd = Sshd::start("ed25519", "256");
    let session = sshd.session(sshd.key(), &sshd.line());
    let killer = script("kill -9 $PPID; sleep 10\n");
    let error = session.exec(&killer, Instant::now() + Duration::from_secs(30)).await.unwrap_err();
    let message = error.to_string();
    assert!(message.ends_with("the host closed the connection before the command had ended"), "{message}");
    assert_answers(&session).await;
}

#[tokio::test]
async fn keys_that_change_under_way_disturb_nobody() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["host", "id"] {
        keygen(&folder.path().join(name), "ed25519", "256", "");
    }
    let sshd = Sshd::start_in(folder, "RekeyLimit 16K");
    let session = sshd.session(sshd.key(), &sshd.line());
    let much = script("yes 'line by line' | head -c 100000\n");
    for _ in 0..5 {
        let output = session.exec(&much, Instant::now() + Duration::from_secs(30)).await.unwrap();
        assert_eq!(output.stdout.len(), 100_000);
    }
    assert!(sshd.count("rekey") > 0, "{}", sshd.log());
    assert_eq!(sshd.count("Accepted publickey for"), 1, "{}", sshd.log());
}

#[tokio::test]
async fn a_forced_command_is_all_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["host", "id"] {
        keygen(&folder.path().join(name), "ed25519", "256", "");
    }
    let key = fs::read_to_string(folder.path().join("id.pub")).unwrap();
    let forced = format!("command=\"echo forced instead of $SSH_ORIGINAL_COMMAND\",restrict {key}");
    fs::write(folder.path().join("authorized"), forced).unwrap();
    let sshd = Sshd::start_in(folder, "");
    let output = ask(&sshd.session(sshd.key(), &sshd.line())).await.unwrap();
    assert_eq!(output.stdout, b"forced instead of sh -s -- probe\n");
}
