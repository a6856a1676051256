//! The floor: OpenSSH's own `ssh` with a kept connection (`ControlMaster`), the same command at the same sshd.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pve_sentinel::ssh::{Mode, PROBE};
use tempfile::TempDir;

use super::{IDENTITY, KNOWN_HOSTS};
use crate::Outcome;
use crate::usage::{self, Cpu};

/// Debian keeps it where not everybody looks.
const SSHD: &str = "/usr/sbin/sshd";

/// A start takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

const SOCKET: &str = "master";

/// A real sshd, and the connection that `ssh` keeps to it; both end when dropped.
pub(super) struct OpenSsh {
    folder: TempDir,
    pub(super) port: u16,
    pub(super) user: String,
    sshd: Child,
    master: Option<Child>,
}

/// What one probe by `ssh` cost.
pub(super) struct Cost {
    pub(super) cpu: Duration,
    pub(super) wall: Duration,
}

impl OpenSsh {
    /// Starts both; the error names the program that is missing.
    pub(super) fn start() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        for name in ["host", IDENTITY] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &at(name).to_string_lossy()])?;
        }
        // sshd cannot choose a port itself: the listener holds one until just before the start.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::write(at(KNOWN_HOSTS), format!("[127.0.0.1]:{port} {}", fs::read_to_string(at("host.pub"))?))?;
        fs::write(
            at("sshd_config"),
            format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}.pub\nPidFile none\nUsePAM no\n\
                 StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n",
                at("host").display(),
                at(IDENTITY).display()
            ),
        )?;
        if run("id", &["-u"])? == "0" {
            // Where the service has never been started, sshd misses this folder.
            fs::create_dir_all("/run/sshd")?;
        }
        let mut command = program(SSHD);
        command.args(["-D", "-e", "-f"]).arg(at("sshd_config")).stderr(File::create(at("log"))?);
        let sshd = spawn(&mut command, SSHD)?;
        let mut openssh = Self { folder, port, user: run("id", &["-un"])?, sshd, master: None };
        let log = openssh.path("log");
        let listens = || fs::read_to_string(&log).is_ok_and(|log| log.contains("Server listening on"));
        wait_for(&format!("{SSHD} does not listen"), listens)?;
        let mut command = openssh.ssh();
        command.args(["-M", "-N"]).arg("127.0.0.1").stderr(Stdio::inherit());
        openssh.master = Some(spawn(&mut command, "ssh")?);
        let socket = openssh.path(SOCKET);
        wait_for("ssh does not connect", || socket.exists())?;
        Ok(openssh)
    }

    /// The file with the key that lets in, and the one with the host's key.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The mean of several probes.
    pub(super) fn probe(&self, times: u32) -> Outcome<Cost> {
        let script = self.path("probe.sh");
        fs::write(&script, PROBE)?;
        let master = self.master.as_ref().ok_or("no connection")?.id();
        let (kept, ended) = (Cpu::of(master)?, usage::of_the_ended()?);
        let mut wall = Duration::ZERO;
        for _ in 0..times {
            let mut command = self.ssh();
            command.arg("127.0.0.1").arg(Mode::Probe.command()).stdin(File::open(&script)?);
            let output = self.path("answer");
            let started = Instant::now();
            let status = command.stdout(File::create(&output)?).status()?;
            wall += started.elapsed();
            if !status.success() || !is_whole(&output)? {
                return Err("ssh did not bring the whole answer of the probe".into());
            }
        }
        let cpu = Cpu::of(master)?.since(&kept) + usage::of_the_ended()?.saturating_sub(ended);
        Ok(Cost { cpu: cpu / times, wall: wall / times })
    }

    fn ssh(&self) -> Command {
        let mut command = program("ssh");
        command.args(["-F", "none", "-S"]).arg(self.path(SOCKET)).arg("-i").arg(self.path(IDENTITY));
        command.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o"]);
        command.arg(format!("UserKnownHostsFile={}", self.path(KNOWN_HOSTS).display()));
        command.args(["-l", &self.user, "-p", &self.port.to_string()]);
        command
    }
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        // What fails here has ended already.
        for child in self.master.iter_mut().chain([&mut self.sshd]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn is_whole(output: &Path) -> Outcome<bool> {
    Ok(fs::read_to_string(output)?.contains("\n@pve-sentinel 1 end probe"))
}

#[expect(clippy::disallowed_methods, reason = "the benchmark starts other people's programs to compare with")]
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn spawn(command: &mut Command, name: &str) -> Outcome<Child> {
    command.spawn().map_err(|error| missing(name, &error).into())
}

/// Runs a program to its end and gives what it printed.
fn run(name: &str, arguments: &[&str]) -> Outcome<String> {
    let output =
        program(name).args(arguments).stdout(Stdio::piped()).output().map_err(|error| missing(name, &error))?;
    if !output.status.success() {
        return Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn missing(name: &str, error: &std::io::Error) -> String {
    format!("{name} cannot be started ({error}): tests/run installs it")
}

fn wait_for(what: &str, there: impl Fn() -> bool) -> Outcome<()> {
    let started = Instant::now();
    while !there() {
        if started.elapsed() > PATIENCE {
            return Err(what.into());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}
