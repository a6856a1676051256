//! Hosts over SSH: whom we talk to, what it costs, and what a host that goes wrong can do to us.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use pve_sentinel::config::{HostKeys, Ssh, SshKey, SshKeys};
use pve_sentinel::ids::SshAddress;
use pve_sentinel::metrics::{Format, Own};
use pve_sentinel::sim::{
    SshCertificate, SshFault, SshKeyKind, SshKeyPair, SshOptions, SshReply, SshSeen, SshSim, start_ssh,
};
use pve_sentinel::ssh::{Client, Command, Error, Exit, HostKeyKind, Limits, Output, Reason, Session, Step};
use tempfile::TempDir;
use tokio::time::Instant;

/// 2027, in seconds since 1970.
const NOW: i64 = 1_800_000_000;

/// A host, who may log in there, and a folder for files.
struct Lab {
    sim: SshSim,
    host_key: SshKeyPair,
    user_key: SshKeyPair,
    folder: TempDir,
    own: Arc<Own>,
}

fn pair(kind: SshKeyKind) -> SshKeyPair {
    SshKeyPair::new(kind).unwrap()
}

fn options(host_key: &SshKeyPair, user_key: &SshKeyPair) -> SshOptions {
    SshOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        users: vec![("sentinel".to_owned(), user_key.clone())],
        host_keys: vec![host_key.clone()],
        certificate: None,
        answer: Arc::new(|line, stdin| SshReply {
            stdout: Bytes::from([line.as_bytes(), b"|", stdin].concat()),
            stderr: Bytes::from_static(b"a warning\n"),
            exit: u32::from(line == "false"),
        }),
    }
}

impl Lab {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SshOptions)) -> Self {
        let (host_key, user_key) = (pair(SshKeyKind::Ed25519), pair(SshKeyKind::Ed25519));
        let mut options = options(&host_key, &user_key);
        change(&mut options);
        let sim = start_ssh(options).await.unwrap();
        let own = Arc::new(Own::new("1"));
        Self { sim, host_key, user_key, folder: tempfile::tempdir().unwrap(), own }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self) -> SshAddress {
        SshAddress::parse(&self.sim.address().to_string(), 22).unwrap()
    }

    /// The host's line in `known_hosts`.
    fn line(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.sim.address().port(), self.host_key.public().unwrap())
    }

    fn settings(&self, host_keys: HostKeys) -> Arc<Ssh> {
        let file = self.user_key.file().unwrap();
        let key = SshKey::decode(&self.path("id"), file.as_bytes(), None).unwrap();
        Arc::new(Ssh { user: "sentinel".to_owned(), keys: SshKeys::File(key), host_keys })
    }

    /// A session for which `known_hosts` says this.
    fn session_knowing(&self, text: &str) -> Session {
        fs::write(self.path("known_hosts"), text).unwrap();
        self.session(HostKeys::Known { files: vec![self.path("known_hosts")], accept_new: false })
    }

    fn known(&self) -> Session {
        self.session_knowing(&self.line())
    }

    fn session(&self, host_keys: HostKeys) -> Session {
        self.client().session("nas", self.address(), self.settings(host_keys))
    }

    fn client(&self) -> Client {
        let learned = Some(self.path("learned"));
        Client::new(Arc::clone(&self.own), learned, Limits::default(), || NOW)
    }

    /// Another machine at the same address.
    async fn taken_over(self) -> Self {
        let Self { sim, user_key, folder, own, .. } = self;
        let listen = sim.address();
        drop(sim);
        let host_key = pair(SshKeyKind::Ecdsa);
        let mut sim = start_ssh(SshOptions { listen, ..options(&host_key, &user_key) }).await;
        while sim.is_err() {
            tokio::task::yield_now().await;
            sim = start_ssh(SshOptions { listen, ..options(&host_key, &user_key) }).await;
        }
        Self { sim: sim.unwrap(), host_key, user_key, folder, own }
    }

    fn counted(&self, line: &str) -> bool {
        self.own.encode(Format::Text004).contains(&format!("\n{line}\n"))
    }
}

fn probe() -> Command {
    Command { line: "sh -s -- probe", stdin: Bytes::from_static(b"echo hello\n") }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn ask(session: &Session) -> Result<Arc<Output>, Error> {
    session.exec(&probe(), soon()).await
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets time pass for all that waits for a time, and nothing else.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn five_commands_are_one_login() {
    let lab = Lab::new().await;
    let session = lab.known();
    for _ in 0..5 {
        let output = ask(&session).await.unwrap();
        assert_eq!(output.stdout, b"sh -s -- probe|echo hello\n");
        assert_eq!((output.stderr.as_slice(), &output.exit), (&b"a warning\n"[..], &Exit::Status(0)));
        assert_eq!(output.failure(), None);
    }
    let seen = lab.sim.seen();
    assert_eq!(
        SshSeen { logins: 1, ..seen },
        SshSeen { connections: 1, logins: 1, let_in: 1, commands: 5, hung: 0, given_up: 0, extras: 0 },
        "one connection, and nothing but commands asked for"
    );
    assert!(lab.counted(r#"pve_sentinel_ssh_requests_total{host="nas",outcome="ok"} 5"#));
    assert!(lab.counted(r#"pve_sentinel_ssh_connections_total{host="nas",outcome="ok"} 1"#));
}

#[tokio::test]
async fn a_command_that_ends_badly_is_an_output_and_says_so() {
    let lab = Lab::new().await;
    let command = Command { line: "false", stdin: Bytes::new() };
    let output = lab.known().exec(&command, soon()).await.unwrap();
    assert_eq!(output.exit, Exit::Status(1));
    let reason = output.failure().unwrap();
    assert_eq!(reason.to_string(), "the command ended with exit status 1: a warning");
    assert!(lab.counted(r#"pve_sentinel_ssh_requests_total{host="nas",outcome="exit"} 1"#));
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_command_and_others_run_beside_it() {
    let lab = Lab::new().await;
    let session = lab.known();
    let other = Command { line: "sh -s -- smart", stdin: Bytes::new() };
    let (first, second, third) =
        tokio::join!(ask(&session), ask(&session), async { session.exec(&other, soon()).await });
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    assert_eq!(third.unwrap().stdout, b"sh -s -- smart|");
    let seen = lab.sim.seen();
    assert_eq!((seen.connections, seen.let_in, seen.commands), (1, 1, 2));
}

#[tokio::test]
async fn a_killed_connection_is_made_again_at_once() {
    let lab = Lab::new().await;
    let session = lab.known();
    ask(&session).await.unwrap();
    lab.sim.kill_connections();
    // Whether or not the end was noticed before.
    ask(&session).await.unwrap();
    assert_eq!(lab.sim.seen().connections, 2);
}

#[tokio::test]
async fn a_host_that_falls_silent_is_noticed_without_being_asked() {
    let lab = Lab::new().await;
    let session = lab.known();
    ask(&session).await.unwrap();
    lab.sim.freeze_connections();
    for _ in 0..5 {
        pass(Duration::from_secs(25)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let started = std::time::Instant::now();
    ask(&session).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "the dead connection was still asked");
    assert_eq!(lab.sim.seen().connections, 2);
}

#[tokio::test]
async fn a_host_in_trouble_is_asked_less_and_less() {
    let lab = Lab::new().await;
    let session = lab.known();
    lab.sim.set_fault(SshFault::ResetAtGreeting);
    let first = ask(&session).await.unwrap_err();
    assert_eq!(first.label(), "unreachable");
    for _ in 0..10 {
        assert_eq!(ask(&session).await.unwrap_err(), first);
    }
    assert_eq!(lab.sim.seen().connections, 1, "in the pause nothing is tried");
    pass(Duration::from_millis(1300)).await;
    ask(&session).await.unwrap_err();
    assert_eq!(lab.sim.seen().connections, 2);
    pass(Duration::from_millis(1300)).await;
    ask(&session).await.unwrap_err();
    assert_eq!(lab.sim.seen().connections, 2, "the second pause is longer");
    lab.sim.set_fault(SshFault::None);
    pass(Duration::from_secs(3)).await;
    ask(&session).await.unwrap();
    assert!(lab.counted(r#"pve_sentinel_ssh_connections_total{host="nas",outcome="unreachable"} 2"#));
}

#[tokio::test]
async fn a_host_that_hangs_costs_the_deadline_and_no_more() {
    for (fault, step) in [
        (SshFault::HangAtGreeting, Step::Greeting),
        (SshFault::Greeting { bytes: Bytes::from_static(b"SSH-2.0-x\r\n"), stay: true }, Step::Greeting),
        (SshFault::HangAtLogin, Step::Login),
        (SshFault::HangInCommand, Step::Command),
        (SshFault::VanishInCommand, Step::Command),
    ] {
        let lab = Lab::new().await;
        let session = lab.known();
        lab.sim.set_fault(fault.clone());
        let started = Instant::now();
        // Long enough for a login on a busy machine.
        let wait = Duration::from_millis(if step == Step::Command { 1500 } else { 300 });
        let error = session.exec(&probe(), started + wait).await.unwrap_err();
        assert!(started.elapsed() < wait + Duration::from_secs(1), "{fault:?} took {:?}", started.elapsed());
        let Reason::Timeout { step: found, .. } = error.reason else { panic!("{fault:?}: {error}") };
        assert_eq!(found, step, "{fault:?}");
    }
}

#[tokio::test]
async fn a_command_given_up_is_ended_and_the_connection_kept() {
    let lab = Lab::new().await;
    let session = lab.known();
    ask(&session).await.unwrap();
    lab.sim.set_fault(SshFault::HangInCommand);
    session.exec(&probe(), Instant::now() + Duration::from_millis(200)).await.unwrap_err();
    eventually("the host was not told", || lab.sim.seen().given_up == 1).await;
    lab.sim.set_fault(SshFault::None);
    ask(&session).await.unwrap();
    // It stays so after the time that the host had.
    pass(Duration::from_secs(3)).await;
    tokio::task::yield_now().await;
    ask(&session).await.unwrap();
    assert_eq!(lab.sim.seen().connections, 1);
    assert!(lab.counted(r#"pve_sentinel_ssh_requests_total{host="nas",outcome="cancelled"} 1"#));
}

#[tokio::test]
async fn a_connection_that_does_not_let_a_command_go_is_cut() {
    let lab = Lab::new().await;
    let session = lab.known();
    ask(&session).await.unwrap();
    lab.sim.set_fault(SshFault::VanishInCommand);
    session.exec(&probe(), Instant::now() + Duration::from_millis(200)).await.unwrap_err();
    lab.sim.set_fault(SshFault::None);
    // Whoever comes meanwhile waits until it is known what becomes of the connection.
    ask(&session).await.unwrap();
    assert_eq!(lab.sim.seen().connections, 2);
}

#[tokio::test]
async fn a_command_that_hangs_is_not_asked_again_at_each_scrape() {
    let lab = Lab::new().await;
    let session = lab.known();
    ask(&session).await.unwrap();
    lab.sim.set_fault(SshFault::HangInCommand);
    session.exec(&probe(), Instant::now() + Duration::from_millis(1200)).await.unwrap_err();
    let again = ask(&session).await.unwrap_err();
    assert!(matches!(again.reason, Reason::Timeout { step: Step::Command, .. }), "{again}");
    assert_eq!(lab.sim.seen().commands, 2, "nothing more hangs there");
    let other = Command { line: "sh -s -- smart", stdin: Bytes::new() };
    lab.sim.set_fault(SshFault::None);
    session.exec(&other, soon()).await.unwrap();
    pass(Duration::from_millis(1300)).await;
    ask(&session).await.unwrap();
}

/// That the host was refused so, and got to know nothing of us.
async fn assert_refused(lab: &Lab, session: &Session, kind: HostKeyKind) -> String {
    let error = ask(session).await.unwrap_err();
    assert_eq!(error.label(), "host_key");
    let Reason::HostKey(refused) = &error.reason else { panic!("{error}") };
    assert_eq!(refused.kind, kind, "{error}");
    assert_eq!(refused.fingerprint, lab.host_key.fingerprint());
    let message = error.to_string();
    let fingerprint = lab.host_key.fingerprint().to_string();
    for words in ["host key", "nas", &lab.sim.address().to_string(), &fingerprint] {
        assert!(message.contains(words), "{words}: {message}");
    }
    let seen = lab.sim.seen();
    assert_eq!((seen.connections, seen.logins), (1, 0), "the host saw a login");
    message
}

#[tokio::test]
async fn a_host_with_another_key_than_known_sees_no_login() {
    let stranger = pair(SshKeyKind::Ed25519).public().unwrap();
    let lab = Lab::new().await;
    let message = assert_refused(&lab, &lab.session_knowing("# nobody\n"), HostKeyKind::Unknown).await;
    assert!(message.ends_with(&lab.line()), "the line to add: {message}");

    let lab = Lab::new().await;
    let text = format!("\n[127.0.0.1]:{} {stranger}\n", lab.sim.address().port());
    let message = assert_refused(&lab, &lab.session_knowing(&text), HostKeyKind::Changed).await;
    assert!(message.contains(&format!("{}:2", lab.path("known_hosts").display())), "{message}");

    let lab = Lab::new().await;
    let text = format!("{}\n@revoked * {}\n", lab.line(), lab.host_key.public().unwrap());
    assert_refused(&lab, &lab.session_knowing(&text), HostKeyKind::Revoked).await;

    let lab = Lab::new().await;
    let pin = pair(SshKeyKind::Ed25519).fingerprint();
    assert_refused(&lab, &lab.session(HostKeys::Pinned(pin)), HostKeyKind::Changed).await;
    ask(&lab.session(HostKeys::Pinned(lab.host_key.fingerprint()))).await.unwrap();
}

#[tokio::test]
async fn a_refused_host_is_right_as_soon_as_its_line_is_there() {
    let lab = Lab::new().await;
    let session = lab.session_knowing("");
    ask(&session).await.unwrap_err();
    fs::write(lab.path("known_hosts"), lab.line()).unwrap();
    pass(Duration::from_millis(1300)).await;
    ask(&session).await.unwrap();
}

#[tokio::test]
async fn a_host_shows_the_key_that_is_known_of_it() {
    let ecdsa = pair(SshKeyKind::Ecdsa);
    let mine = ecdsa.clone();
    let lab = Lab::with(|options| options.host_keys.push(mine)).await;
    let session = lab.session_knowing(&format!("127.0.0.1 {}", ecdsa.public().unwrap()));
    ask(&session).await.unwrap();
}

#[tokio::test]
async fn a_first_key_is_accepted_where_asked_for_and_another_never() {
    let lab = Lab::new().await;
    let accepting = || HostKeys::Known { files: vec![lab.path("known_hosts")], accept_new: true };
    ask(&lab.session(accepting())).await.unwrap();
    assert_eq!(fs::read_to_string(lab.path("learned")).unwrap(), format!("{}\n", lab.line()));
    ask(&lab.session(accepting())).await.unwrap();
    assert_eq!(fs::read_to_string(lab.path("learned")).unwrap().lines().count(), 1);
    // Who does not accept new ones does not look at what others accepted.
    let strict = HostKeys::Known { files: vec![lab.path("known_hosts")], accept_new: false };
    assert_eq!(ask(&lab.session(strict)).await.unwrap_err().label(), "host_key");

    // Another machine takes the address.
    let lab = lab.taken_over().await;
    let accepting = HostKeys::Known { files: vec![lab.path("known_hosts")], accept_new: true };
    let message = assert_refused(&lab, &lab.session(accepting), HostKeyKind::Changed).await;
    assert!(message.contains("learned:1"), "{message}");
}

#[tokio::test]
async fn a_new_key_that_cannot_be_written_down_is_not_accepted() {
    let lab = Lab::new().await;
    fs::create_dir(lab.path("learned.new")).unwrap();
    let accepting = HostKeys::Known { files: vec![lab.path("known_hosts")], accept_new: true };
    let message = assert_refused(&lab, &lab.session(accepting), HostKeyKind::Unknown).await;
    assert!(message.contains("state_dir"), "{message}");
}

#[tokio::test]
async fn who_changes_nothing_remembers_a_first_key_and_writes_none() {
    let lab = Lab::new().await;
    let client = Client::read_only(Arc::clone(&lab.own), Some(lab.path("learned")), Limits::default(), || NOW);
    let accepting = || lab.settings(HostKeys::Known { files: vec![lab.path("known_hosts")], accept_new: true });
    ask(&client.session("nas", lab.address(), accepting())).await.unwrap();
    assert!(!lab.path("learned").exists());

    // Another machine takes the address while the same client lives.
    let accepting = accepting();
    let lab = lab.taken_over().await;
    let message = assert_refused(&lab, &client.session("nas", lab.address(), accepting), HostKeyKind::Changed).await;
    assert!(message.contains("what was learned now:1"), "{message}");

    // What the service learned counts.
    fs::write(lab.path("learned"), format!("{}\n", lab.line())).unwrap();
    let client = Client::read_only(Arc::clone(&lab.own), Some(lab.path("learned")), Limits::default(), || NOW);
    let accepting = lab.settings(HostKeys::Known { files: vec![lab.path("known_hosts")], accept_new: true });
    ask(&client.session("nas", lab.address(), accepting)).await.unwrap();
}

async fn certified(names: &[&str], valid: std::ops::Range<u64>) -> (Lab, String) {
    let authority = pair(SshKeyKind::Ed25519);
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let line = format!("@cert-authority * {}", authority.public().unwrap());
    let lab = Lab::with(|options| options.certificate = Some(SshCertificate { authority, names, valid })).await;
    (lab, line)
}

#[tokio::test]
async fn a_certificate_of_a_known_authority_is_enough() {
    let now = u64::try_from(NOW).unwrap();
    let (lab, line) = certified(&["127.0.0.1"], now - 1..now + 1).await;
    ask(&lab.session_knowing(&line)).await.unwrap();
    for (names, valid, wrong) in [
        (["pve2"], now - 1..now + 1, "and not for 127.0.0.1"),
        (["127.0.0.1"], now - 9..now, "has run out"),
        (["127.0.0.1"], now + 1..now + 9, "not valid yet"),
    ] {
        let (lab, line) = certified(&names, valid).await;
        let message = assert_refused(&lab, &lab.session_knowing(&line), HostKeyKind::Certificate).await;
        assert!(message.contains(wrong), "{message}");
    }
}

#[tokio::test]
async fn a_user_that_is_not_let_in_is_told_what_to_do() {
    let mut lab = Lab::new().await;
    lab.user_key = pair(SshKeyKind::Ed25519);
    let error = ask(&lab.known()).await.unwrap_err();
    assert_eq!(error.label(), "auth");
    let message = error.to_string();
    let fingerprint = lab.user_key.fingerprint().to_string();
    for words in ["user sentinel", "authorized_keys", &fingerprint, &lab.path("id").display().to_string()] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert_eq!(lab.sim.seen().let_in, 0);
    let nowhere = Path::new("/nowhere/agent");
    let settings = Ssh {
        user: "sentinel".to_owned(),
        keys: SshKeys::Agent(nowhere.to_owned()),
        host_keys: HostKeys::Pinned(lab.host_key.fingerprint()),
    };
    let error = ask(&lab.client().session("nas", lab.address(), Arc::new(settings))).await.unwrap_err();
    assert_eq!(error.label(), "auth");
    assert!(error.to_string().contains("/nowhere/agent"), "{error}");
}

#[tokio::test]
async fn an_agent_that_hangs_is_named_and_not_the_host() {
    let lab = Lab::new().await;
    let agent = tokio::net::UnixListener::bind(lab.path("agent")).unwrap();
    let keys = SshKeys::Agent(lab.path("agent"));
    let host_keys = HostKeys::Pinned(lab.host_key.fingerprint());
    let settings = Ssh { user: "sentinel".to_owned(), keys, host_keys };
    let session = lab.client().session("nas", lab.address(), Arc::new(settings));
    let asking = tokio::spawn(async move { ask(&session).await });
    let (mut silent, _) = agent.accept().await.unwrap();
    tokio::io::AsyncReadExt::read_u8(&mut silent).await.unwrap();
    pass(Duration::from_secs(3)).await;
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!(error.label(), "auth");
    assert!(error.to_string().contains("agent did not answer within 2 s"), "{error}");
}

#[tokio::test]
async fn a_pipe_in_place_of_known_hosts_is_named_and_holds_up_nobody() {
    let lab = Lab::new().await;
    #[expect(clippy::disallowed_methods, reason = "the standard library makes no named pipes")]
    let made = std::process::Command::new("mkfifo").arg(lab.path("pipe")).status().unwrap();
    assert!(made.success());
    let client = lab.client();
    let at = |name: &str| {
        let host_keys = HostKeys::Known { files: vec![lab.path(name)], accept_new: false };
        client.session("nas", lab.address(), lab.settings(host_keys))
    };
    let message = assert_refused(&lab, &at("pipe"), HostKeyKind::Unreadable).await;
    assert!(message.contains("it is no regular file; check the path"), "{message}");
    fs::write(lab.path("known_hosts"), lab.line()).unwrap();
    ask(&at("known_hosts")).await.unwrap();
}

#[tokio::test]
async fn output_is_bounded() {
    let lab = Lab::new().await;
    let session = lab.known();
    lab.sim.set_fault(SshFault::Noise { bytes: 10 << 20 });
    let error = ask(&session).await.unwrap_err();
    assert_eq!(error.reason, Reason::TooLarge(4 << 20));
    assert_eq!(ask(&session).await.unwrap_err(), error);
    assert_eq!(lab.sim.seen().commands, 1, "it is not asked again at once");

    lab.sim.set_fault(SshFault::NoiseOnStderr { bytes: 10 << 20 });
    pass(Duration::from_millis(1300)).await;
    let output = ask(&session).await.unwrap();
    assert_eq!(output.stderr.len(), 64 << 10);
    assert_eq!(output.stdout, b"sh -s -- probe|echo hello\n");
}

#[tokio::test]
async fn half_an_output_is_none() {
    let lab = Lab::new().await;
    let session = lab.known();
    for (fault, words) in [
        (SshFault::HalfOutput, "without an exit status"),
        (SshFault::Reset, "connection"),
        (SshFault::RefuseCommand, "does not run commands"),
    ] {
        lab.sim.set_fault(fault.clone());
        let error = ask(&session).await.unwrap_err();
        assert_eq!(error.label(), "closed", "{fault:?}: {error}");
        assert!(error.to_string().contains(words), "{fault:?}: {error}");
    }
    lab.sim.set_fault(SshFault::None);
    ask(&session).await.unwrap();
}

#[tokio::test]
async fn what_speaks_no_ssh_is_named() {
    let lab = Lab::new().await;
    for (bytes, words) in [
        (Bytes::from("HTTP/1.1 400 Bad Request\r\n\r\n".repeat(30)), "no SSH is spoken there"),
        (Bytes::from(vec![b'x'; 10 << 20]), "no SSH is spoken there"),
        (Bytes::from_static(b"Exceeded MaxStartups\r\n"), "closed the connection during the greeting"),
        (Bytes::from_static(b"SSH-2.0-x\r\n"), "during the greeting"),
        (Bytes::from([&b"SSH-2.0-x\r\n"[..], &[0xff; 64]].concat()), "expected packets after the greeting"),
        (Bytes::new(), "closed the connection during the greeting"),
    ] {
        lab.sim.set_fault(SshFault::Greeting { bytes: bytes.clone(), stay: false });
        let error = ask(&lab.known()).await.unwrap_err();
        assert_eq!(error.label(), "unreachable", "{error}");
        let reset = error.to_string().contains("reset by peer");
        assert!(reset || error.to_string().contains(words), "{words}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_greeting_does_more_than_fail(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            prop::collection::vec(any::<u8>(), 0..400).prop_map(|more| [b"SSH-2.0-x\r\n".to_vec(), more].concat()),
            prop::collection::vec(any::<u8>(), 0..400).prop_map(|more| {
                [b"hello\r\nSSH-2.0-x\r\n\x00\x00\x01\x0c\x04\x14".to_vec(), more].concat()
            }),
        ]
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new().await;
            lab.sim.set_fault(SshFault::Greeting { bytes: bytes.into(), stay: false });
            let error = ask(&lab.known()).await.unwrap_err();
            assert_eq!(error.label(), "unreachable");
        });
    }
}
