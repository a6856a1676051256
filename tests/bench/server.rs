//! Programs that serve pages: the exporter under test, and the reference exporter if there is one.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Outcome;
use crate::arguments::Variant;
use crate::protocol::{SimulatorReady, TOKEN_ID, TOKEN_SECRET};

/// Names the reference exporter's program; `tests/bench/compare-peers` sets it.
const REFERENCE: &str = "PVE_SENTINEL_BENCH_REFERENCE";

/// The configuration, in the folder of a program.
const CONFIG: &str = "config.toml";

const SECRET_VARIABLE: &str = "PVE_SENTINEL_BENCH_SECRET";

/// A running program; it ends when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it serves: `127.0.0.1:PORT`.
    pub(crate) address: String,
    _folder: TempDir,
}

impl Server {
    /// The exporter, asking the simulated API and keeping nothing from one scrape to the next.
    pub(crate) fn exporter(variant: &Variant, api: &SimulatorReady) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(CONFIG);
        let cluster = cluster(api);
        // An older exporter shares nothing and does not know the key.
        write_private(&file, &format!("{cluster}\n[scrape]\nmax_age = \"0s\"\n"))?;
        if !exporter_command(variant, "check", &file).stderr(Stdio::null()).stdout(Stdio::null()).status()?.success() {
            write_private(&file, &cluster)?;
        }
        Self::serve(variant, folder)
    }

    /// The exporter with a configuration, which may hold [`cluster`].
    pub(crate) fn with(variant: &Variant, config: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        write_private(&folder.path().join(CONFIG), config)?;
        Self::serve(variant, folder)
    }

    fn serve(variant: &Variant, folder: TempDir) -> Outcome<Self> {
        let mut command = exporter_command(variant, "serve", &folder.path().join(CONFIG));
        command.args(["--web.listen-address", "127.0.0.1:0"]);
        Self::start(command, folder, "serving metrics on http://")
    }

    /// The reference exporter where it is installed: the same API, its certificate verified as well.
    #[expect(clippy::disallowed_methods, reason = "what cargo bench is started with is this program's command line")]
    pub(crate) fn reference(api: &SimulatorReady) -> Outcome<Option<Self>> {
        let Ok(program) = std::env::var(REFERENCE) else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        let (authority, config) = (folder.path().join("ca.pem"), folder.path().join("pve.yml"));
        std::fs::write(&authority, &api.ca_pem)?;
        let (user, name) = TOKEN_ID.split_once('!').unwrap_or_default();
        write_private(
            &config,
            &format!(
                "default:\n  user: {user}\n  token_name: {name}\n  token_value: {TOKEN_SECRET}\n  verify_ssl: true\n"
            ),
        )?;
        let mut command = Command::new(program);
        command.env("REQUESTS_CA_BUNDLE", authority).arg("--config.file").arg(config);
        command.args(["--web.listen-address", "127.0.0.1:0"]);
        Self::start(command, folder, "Listening at: http://").map(Some)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts a program that logs where it listens, after `words`.
    fn start(mut command: Command, folder: TempDir, words: &str) -> Outcome<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or("no stderr")?;
        // It ends with this value, whatever goes wrong from here on.
        let mut server = Self { child, address: String::new(), _folder: folder };
        let mut lines = BufReader::new(stderr).lines();
        let mut log = String::new();
        for line in lines.by_ref() {
            let line = line?;
            if let Some((_, rest)) = line.split_once(words) {
                server.address = rest.split(['/', ' ', '"']).next().unwrap_or_default().to_owned();
                break;
            }
            log.push_str(&line);
            log.push('\n');
        }
        if server.address.is_empty() {
            return Err(format!("{command:?} ended before it served:\n{log}").into());
        }
        // Nobody reads on, but a full pipe must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }
}

/// The simulated API in a configuration.
pub(crate) fn cluster(api: &SimulatorReady) -> String {
    format!(
        "[[clusters]]\nname = \"bench\"\nendpoints = [\"https://{}\"]\ntoken_id = \"{TOKEN_ID}\"\n\
         token_secret_env = \"{SECRET_VARIABLE}\"\ntls = {{ fingerprints = [\"{}\"] }}\n",
        api.address, api.fingerprint
    )
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM first: the reference exporter has children to end. What fails here has ended already.
        terminate(self.child.id());
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "the standard library sends SIGKILL only")]
fn terminate(pid: u32) {
    let _ = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
}

#[expect(clippy::disallowed_methods, reason = "the benchmark starts the real binary")]
fn exporter_command(variant: &Variant, verb: &str, config: &Path) -> Command {
    let mut command = Command::new(&variant.path);
    command.env_clear().env(SECRET_VARIABLE, TOKEN_SECRET).envs(variant.environment.iter().cloned());
    command.arg(verb).arg("--config.file").arg(config);
    command
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Outcome<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
