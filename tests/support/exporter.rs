//! The real binary as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pve_sentinel::collectors;
use pve_sentinel::config::Collectors;

use super::http::{self, Reply};
use super::page::Page;

/// Longer than anything a test waits for on a loaded machine; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `pve-sentinel`, killed when dropped.
pub struct Exporter {
    child: Child,
    log: Arc<Log>,
    stdout: Arc<Log>,
    pub address: SocketAddr,
    folder: Option<tempfile::TempDir>,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

/// A command that runs the binary under test in an empty environment.
#[expect(clippy::disallowed_methods, reason = "the tests start the real binary")]
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pve-sentinel"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same where no file can have more than so many blocks of 512 bytes.
#[expect(clippy::disallowed_methods, reason = "the tests start the real binary")]
pub fn within(blocks: u64) -> Command {
    let mut command = Command::new("/bin/sh");
    // Who ignores the signal is told of the limit as of a full disk.
    let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_pve-sentinel")]);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends a signal such as `-HUP` to a process.
#[expect(clippy::disallowed_methods, reason = "the standard library sends SIGKILL only")]
pub fn send_signal(name: &str, process: u32) {
    let status = Command::new("kill").args([name, &process.to_string()]).status().expect("kill runs");
    assert!(status.success());
}

/// Runs the binary to its end.
pub fn run_to_end(arguments: &[&str]) -> Finished {
    let output = binary().args(arguments).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8 output");
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Exporter {
    /// `serve` with a configuration; it listens on a free port of 127.0.0.1. Only the fast lane, whose calls can be
    /// counted, unless the configuration says something of `[collectors]`.
    pub fn serve(config: &str) -> Self {
        Self::serve_with(config, &[])
    }

    /// `serve` with a configuration and all collectors.
    pub fn serve_all(config: &str) -> Self {
        Self::serve(&format!("{config}\n[collectors]\n"))
    }

    /// The page once the slow lane has told all it can in it: every collector has spoken, and nothing waits.
    pub fn settled_page(&self, path: &str, collectors: &[&str]) -> String {
        let started = std::time::Instant::now();
        loop {
            let text = self.page(path);
            let own = Page::parse(&self.page("/metrics?collect[]=process"));
            let idle = own
                .samples
                .get("pve_sentinel_slow_lane_backlog")
                .is_none_or(|series| series.values().all(|calls| *calls == 0.0));
            let spoken = |name: &&str| {
                text.contains(&format!("pve_scrape_collector_success{{cluster=\"home\",collector=\"{name}\"}}"))
            };
            if idle && collectors.iter().all(spoken) {
                return self.page(path);
            }
            assert!(started.elapsed() < PATIENCE, "the slow lane never settled:\n{text}");
            std::thread::yield_now();
        }
    }

    /// `serve` with a configuration and further arguments.
    pub fn serve_with(config: &str, arguments: &[&str]) -> Self {
        Self::serve_as(binary(), config, arguments)
    }

    /// `serve` with a configuration on a disk that takes no file of more than so many blocks of 512 bytes.
    pub fn serve_within(blocks: u64, config: &str) -> Self {
        Self::serve_as(within(blocks), config, &[])
    }

    fn serve_as(mut command: Command, config: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        write_private(&file, &completed(config));
        command
            .arg("serve")
            .arg("--config.file")
            .arg(&file)
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(arguments);
        Self::start(command, Some(folder))
    }

    /// Any command that serves pages and logs where.
    pub fn start(mut command: Command, folder: Option<tempfile::TempDir>) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let log = Log::follow(child.stderr.take().expect("stderr"));
        let stdout = Log::follow(child.stdout.take().expect("stdout"));
        let line = log.wait_for("serving metrics on http");
        let address = line
            .split("serving metrics on http")
            .nth(1)
            .and_then(|rest| rest.split_once("://"))
            .and_then(|(_, rest)| rest.split("/metrics").next())
            .and_then(|address| address.parse().ok())
            .expect("the address in the log");
        Self { child, log, stdout, address, folder }
    }

    pub fn get(&self, path: &str) -> Reply {
        http::get(self.address, path)
    }

    /// A page that must be there.
    pub fn page(&self, path: &str) -> String {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text()
    }

    /// The most memory that the process had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that the process has, in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a figure of the process");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kibibytes * 1024
    }

    /// What was logged so far.
    pub fn log(&self) -> String {
        self.log.text().clone()
    }

    /// Waits until the log has `words`, and gives the line.
    pub fn wait_for_log(&self, words: &str) -> String {
        self.log.wait_for(words)
    }

    /// Waits until the log has `words` so often.
    pub fn wait_for_logs(&self, words: &str, count: usize) {
        drop(self.log.wait_until(words, |log| log.matches(words).count() >= count));
    }

    /// Waits until stdout has `words`, and gives all of it.
    pub fn wait_for_stdout(&self, words: &str) -> String {
        self.stdout.wait_for(words);
        self.stdout.text().clone()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Puts another configuration in the place of the one it was started with; nobody is told.
    pub fn rewrite(&self, config: &str) {
        let folder = self.folder.as_ref().expect("a folder of its own");
        write_private(&folder.path().join("config.toml"), &completed(config));
    }

    /// SIGHUP; waits until the log tells `count` times what came of such signals.
    pub fn hang_up(&self, count: usize) {
        self.signal("-HUP");
        let of = |log: &str, words: &str| log.matches(words).count();
        let told = |log: &str| of(log, "read again and is in force") + of(log, "the configuration is refused");
        drop(self.log.wait_until("what came of SIGHUP", |log| told(log) >= count));
    }

    fn signal(&self, name: &str) {
        send_signal(name, self.child.id());
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the process ends")
    }
}

#[expect(clippy::print_stderr, reason = "shown by the test harness when a test fails")]
impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the log of the exporter:\n{}", self.log());
        }
    }
}

impl Log {
    fn follow(stream: impl std::io::Read + Send + 'static) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut text = writer.text();
                text.push_str(&line);
                text.push('\n');
                writer.grown.notify_all();
            }
        });
        log
    }

    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, what: &str, there: impl Fn(&str) -> bool) -> MutexGuard<'_, String> {
        let text = self.text();
        let (text, waited) =
            self.grown.wait_timeout_while(text, PATIENCE, |text| !there(text)).unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "never seen: {what:?}");
        text
    }

    fn wait_for(&self, words: &str) -> String {
        let text = self.wait_until(words, |text| text.contains(words));
        text.lines().find(|line| line.contains(words)).unwrap_or_default().to_owned()
    }
}

/// A configuration as tests want it, unless it says otherwise: pages are never shared, and there is no slow lane.
fn completed(config: &str) -> String {
    // Tests that follow a change ask again at once.
    let fresh = if config.contains("[scrape]") { "" } else { "[scrape]\nmax_age = \"0s\"\n" };
    let fast = if config.contains("[collectors]") { String::new() } else { without_slow_lane() };
    format!("{fresh}{config}\n{fast}")
}

/// The names of the collectors that ask clusters where the configuration names none.
pub fn of_clusters() -> Vec<&'static str> {
    let of_clusters = |collector: &&&collectors::Collector| {
        let of_clusters = !matches!(collector.lane, collectors::Lane::Host(_) | collectors::Lane::Services);
        of_clusters && collector.is_on(&Collectors::default())
    };
    collectors::ALL.iter().filter(of_clusters).map(|collector| collector.name).collect()
}

/// A `[collectors]` section that leaves the fast lane only.
pub fn without_slow_lane() -> String {
    let is_slow = |collector: &&&collectors::Collector| match collector.lane {
        collectors::Lane::Fast(_) | collectors::Lane::Services => false,
        collectors::Lane::Slow(_) => true,
        collectors::Lane::Host(over_ssh) => over_ssh.ttl.is_some(),
    };
    let slow = collectors::ALL.iter().filter(is_slow);
    let lines: String = slow.map(|collector| format!("{} = false\n", collector.name)).collect();
    format!("[collectors]\n{lines}")
}

/// Writes a file that only its owner can read, as secrets should be.
pub fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("the file is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its mode is set");
}
