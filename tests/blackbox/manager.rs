//! What a service manager such as systemd hears of the process, and the sockets that it hands over.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Cluster, Exporter, binary, send_signal, write_private};

/// Longer than any message takes; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The end of a service manager.
struct Ears {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Ears {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { socket, folder }
    }

    fn name(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    fn hear_within(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 2048];
        match self.socket.recv(&mut buffer) {
            Ok(read) => Some(String::from_utf8(buffer[..read].to_vec()).unwrap()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn hear(&self) -> String {
        self.hear_within(PATIENCE).expect("a message")
    }

    /// The next message that is no ping.
    fn hear_news(&self) -> String {
        loop {
            let message = self.hear();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    /// What has come so far.
    fn heard(&self) -> Vec<String> {
        std::iter::from_fn(|| self.hear_within(Duration::from_millis(1))).collect()
    }
}

/// `serve` that tells `notify`, on an address of its own unless another is named.
fn serve(config: &str, address: &str, notify: &str, variables: &[(&str, &str)]) -> (Command, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    write_private(&file, config);
    let mut command = binary();
    command.arg("serve").arg("--config.file").arg(&file).args(["--web.listen-address", address]);
    command.env("NOTIFY_SOCKET", notify).envs(variables.iter().copied());
    (command, folder)
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn ready_is_said_when_a_connection_succeeds_and_not_before() {
    let (ears, cluster) = (Ears::new(), Cluster::recorded());
    let address = free_address();
    let (mut command, _folder) = serve(&cluster.config("home"), &address, &ears.name(), &[]);
    let mut child = command.spawn().unwrap();
    let ready = ears.hear();
    let connected = TcpStream::connect(&address);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ready, format!("READY=1\nSTATUS=1 cluster; listening on {address}"));
    connected.expect("whoever is told that it is ready can connect");
    assert_eq!(ears.heard(), [""; 0]);

    let taken = TcpListener::bind(&address).unwrap();
    let (mut command, _folder) = serve(&cluster.config("home"), &address, &ears.name(), &[]);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    assert_eq!(ears.heard(), [""; 0], "who cannot listen is not ready");
    drop(taken);
}

#[test]
fn reloads_and_the_end_are_told() {
    let (ears, cluster) = (Ears::new(), Cluster::recorded());
    let hosts = "[[hosts]]\nid = \"nas\"\nhostname = \"127.0.0.1\"\nservices = [{ type = \"ssh\" }]\n";
    let config = format!("{}\n{hosts}", cluster.config("home"));
    let (command, folder) = serve(&config, "127.0.0.1:0", &ears.name(), &[]);
    let mut exporter = Exporter::start(command, Some(folder));
    let address = exporter.address;
    assert_eq!(ears.hear(), format!("READY=1\nSTATUS=1 cluster, 1 host; listening on {address}"));

    let reloads = |config: &str| {
        exporter.rewrite(config);
        send_signal("-HUP", exporter.id());
        let begins = ears.hear();
        let microseconds = begins.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("the begin").parse::<u64>();
        assert!(microseconds.unwrap() > 0);
        ears.hear()
    };
    let lab = Cluster::recorded();
    let two = format!("{}\n{}", cluster.config("home"), lab.config("lab"));
    let ended = reloads(&two);
    assert_eq!(ended, format!("READY=1\nSTATUS=2 clusters; listening on {address}"));
    let refused = format!("{ended}; the last configuration was refused, see the log");
    assert_eq!(reloads("nonsense"), refused);
    assert_eq!(reloads(&two), ended);

    exporter.terminate();
    assert!(ears.hear().starts_with("STOPPING=1\nSTATUS=stopping: "));
    assert_eq!(exporter.wait().code(), Some(0));
    assert_eq!(ears.heard(), [""; 0]);
}

#[test]
fn the_watchdog_hears_from_a_process_that_works_and_from_no_other() {
    let (ears, cluster) = (Ears::new(), Cluster::recorded());
    let (command, folder) = serve(&cluster.config("home"), "127.0.0.1:0", &ears.name(), &[("WATCHDOG_USEC", "200000")]);
    let exporter = Exporter::start(command, Some(folder));
    assert!(ears.hear().starts_with("READY=1\n"));
    assert_eq!(ears.hear(), "WATCHDOG=1");
    let started = Instant::now();
    (0..10).for_each(|_| assert_eq!(ears.hear(), "WATCHDOG=1"));
    let took = started.elapsed();
    // Half of 200 ms each; the first may have come late.
    assert!(took > Duration::from_millis(700) && took < Duration::from_secs(10), "{took:?}");

    send_signal("-STOP", exporter.id());
    while ears.hear_within(Duration::from_millis(600)).is_some() {}
    send_signal("-CONT", exporter.id());
    assert_eq!(ears.hear(), "WATCHDOG=1");

    send_signal("-HUP", exporter.id());
    assert!(ears.hear_news().starts_with("RELOADING=1\n"));
    assert!(ears.hear_news().starts_with("READY=1\n"));
}

#[test]
fn a_watchdog_of_another_process_hears_nothing() {
    let (ears, cluster) = (Ears::new(), Cluster::recorded());
    let variables = [("WATCHDOG_USEC", "2000"), ("WATCHDOG_PID", "1")];
    let (command, folder) = serve(&cluster.config("home"), "127.0.0.1:0", &ears.name(), &variables);
    let exporter = Exporter::start(command, Some(folder));
    assert!(ears.hear().starts_with("READY=1\n"));
    for _ in 0..3 {
        send_signal("-HUP", exporter.id());
        assert!(ears.hear().starts_with("RELOADING=1\n"));
        assert!(ears.hear().starts_with("READY=1\n"));
    }
}

#[test]
fn a_socket_without_a_file_is_told_as_well() {
    let cluster = Cluster::recorded();
    let name = format!("pve-sentinel-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let ears = Ears { socket, folder: tempfile::tempdir().unwrap() };
    let (command, folder) = serve(&cluster.config("home"), "127.0.0.1:0", &format!("@{name}"), &[]);
    let _exporter = Exporter::start(command, Some(folder));
    assert!(ears.hear().starts_with("READY=1\n"));
}

#[test]
fn a_manager_that_is_gone_is_logged_once_and_stops_nothing() {
    let cluster = Cluster::recorded();
    let (command, folder) =
        serve(&cluster.config("home"), "127.0.0.1:0", "/nowhere/notify", &[("WATCHDOG_USEC", "2000")]);
    let mut exporter = Exporter::start(command, Some(folder));
    exporter.wait_for_log("the service manager did not take a message");
    exporter.page("/metrics");
    exporter.terminate();
    assert_eq!(exporter.wait().code(), Some(0));
    assert_eq!(exporter.log().matches("the service manager").count(), 1, "{}", exporter.log());
}

/// `serve` with a socket that it inherits as number 3.
#[expect(clippy::disallowed_methods, reason = "a shell puts the socket where a service manager does")]
fn serve_on(socket: OwnedFd, cluster: &Cluster) -> (Command, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    // An address that it could not have.
    write_private(&file, &format!("[web]\nlisten_addresses = [\"192.0.2.1:9\"]\n{}", cluster.config("home")));
    let mut command = Command::new("/bin/sh");
    let script = "export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\" 3<&0 </dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_pve-sentinel"), "serve", "--config.file"]).arg(file);
    command.env_clear().stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(Stdio::piped());
    (command, folder)
}

#[test]
fn nobody_is_refused_while_it_is_started_anew() {
    let cluster = Cluster::recorded();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    for round in 0..2 {
        // Nobody serves: who comes now waits.
        let mut early = TcpStream::connect(address).unwrap();
        early.set_read_timeout(Some(PATIENCE)).unwrap();
        early.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let (command, folder) = serve_on(held.try_clone().unwrap().into(), &cluster);
        let mut exporter = Exporter::start(command, Some(folder));
        assert_eq!(exporter.address, address);
        exporter.wait_for_log("listening on sockets of the service manager");
        let mut answer = String::new();
        early.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{round}: {answer}");
        exporter.hang_up(1);
        assert!(!exporter.log().contains("need a restart"), "{}", exporter.log());
        exporter.terminate();
        assert_eq!(exporter.wait().code(), Some(0));
    }
}

#[test]
fn a_socket_of_another_kind_is_refused() {
    let cluster = Cluster::recorded();
    let (mut command, _folder) = serve_on(UnixDatagram::unbound().unwrap().into(), &cluster);
    let ended = command.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.starts_with("expected TCP sockets from the service manager (LISTEN_FDS), found"), "{said}");
}
