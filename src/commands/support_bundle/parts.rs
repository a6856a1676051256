//! What goes into it. What cannot be had says why, and takes nothing else with it.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Part;
use crate::app;
use crate::collectors;
use crate::config::{self, Env, Hidden, Shown};

/// How many lines of the log are taken.
const LINES: &str = "500";
/// The largest page that is read, in bytes.
const LARGEST: usize = 4 << 20;
/// How long the exporter may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where it listens unless it was told otherwise.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 9221);
/// What is asked of it: nothing that would have it ask others.
const PAGE: &str = "/metrics?collect[]=process";

/// All parts, and the texts that must not be in any of them.
pub(super) fn all(file: &Path, unit: &str) -> (Vec<Part>, Vec<Hidden>) {
    let Shown { text, mut hidden } = configuration(file);
    let env = Env::new(&app::environment);
    let said = match config::load(file, &env, &collectors::known()) {
        Ok(loaded) => {
            hidden.extend(loaded.config.secrets().into_iter().cloned().map(Hidden::from));
            if loaded.warnings.is_empty() { "no faults".to_owned() } else { loaded.warnings.join("\n") }
        }
        // Credentials of systemd are there for the service alone, so that there may be faults for us where it has none.
        Err(faults) => format!("seen by who asked, who may not have what the service has:\n{faults}"),
    };
    let (state, metrics) = (state(file, &text), metrics(&text));
    let part = |name, about, text| Part { name, about, text };
    let parts = vec![
        part("versions", "of pve-sentinel, the kernel and the distribution", versions()),
        part("configuration", "every key; values of those that hold no secret", text),
        part("check", "faults and warnings of the configuration", said),
        part("state", "names, sizes and modes of the files in state_dir", state),
        part("metrics", "the exporter's own figures, if it runs and lets us in", metrics),
        part("log", "its last lines, where systemd keeps them", log(unit)),
    ];
    (parts, hidden)
}

fn versions() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let name =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    let kernel = read("/proc/sys/kernel/osrelease");
    let node = if Path::new("/etc/pve").is_dir() { "yes" } else { "no" };
    format!(
        "pve-sentinel {}\nkernel {} {}\ndistribution {name}\na node of Proxmox VE: {node}\n",
        crate::commands::version(),
        kernel.trim(),
        std::env::consts::ARCH
    )
}

fn configuration(file: &Path) -> Shown {
    let instead = |text: String| Shown { text, hidden: Vec::new() };
    match config::show(file) {
        Ok(Some(shown)) => shown,
        Ok(None) => instead("it is not TOML, so that none of it is shown".to_owned()),
        Err(error) => instead(error.to_string()),
    }
}

fn state(file: &Path, shown: &str) -> String {
    let Some(named) = named(shown, "state_dir") else { return "no state_dir is configured".to_owned() };
    let folder = file.parent().unwrap_or(Path::new(".")).join(named);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => return format!("{} cannot be read: {error}", folder.display()),
    };
    let mut lines: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(about) => {
                let name = entry.file_name();
                format!(
                    "{:<24}{:>12} bytes  {:04o}\n",
                    name.display(),
                    about.len(),
                    about.permissions().mode() & 0o7777
                )
            }
            Err(error) => format!("{}: {error}\n", entry.file_name().display()),
        })
        .collect();
    lines.sort();
    lines.concat()
}

/// The text that a key has, as it is shown: known also where the configuration has faults.
fn named<'a>(shown: &'a str, key: &str) -> Option<&'a str> {
    let found = shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    found.map(|text| text.trim_matches('"'))
}

/// Only what everybody on this machine may ask for: we know no password, and have no certificate.
fn metrics(shown: &str) -> String {
    let has = |table: &str| shown.lines().any(|line| line.starts_with(table));
    let named = named(shown, "web.listen_addresses[0]").and_then(|named| config::listen_address(named).ok());
    let address = named.unwrap_or(DEFAULT);
    let by_hand = |why: &str| {
        let scheme = if has("web.tls.") { "https" } else { "http" };
        format!("not asked: {why}; to add them by hand: curl -g '{scheme}://{address}{PAGE}'")
    };
    if has("web.tls.") {
        return by_hand("it serves over TLS");
    }
    if has("web.basic_auth_users.") {
        return by_hand("it asks for a password");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let asked = async { tokio::time::timeout(PATIENCE, ask(address)).await };
        runtime.block_on(asked).unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    });
    asked.unwrap_or_else(|why| by_hand(&format!("{address}: {why}")))
}

async fn ask(address: SocketAddr) -> Result<String, String> {
    // Who listens everywhere is reached on the machine itself.
    let near: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let ip = [address.ip()];
    let places: &[IpAddr] = if address.ip().is_unspecified() { near } else { &ip };
    let places: Vec<SocketAddr> = places.iter().map(|ip| SocketAddr::new(*ip, address.port())).collect();
    let stream = TcpStream::connect(&*places).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let request = Request::get(PAGE).header(HOST, address.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    driver.abort();
    let body = body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    // Something else may listen there.
    if status.is_success() && text.contains("pve_sentinel_build_info") {
        Ok(text)
    } else {
        Err(format!("something else answers there (status {})", status.as_u16()))
    }
}

#[expect(clippy::disallowed_methods, reason = "the journal is systemd's; this command serves nobody")]
fn log(unit: &str) -> String {
    let mut command = Command::new("journalctl");
    command.args(["--no-pager", "--quiet", "--output=short-iso", "--lines", LINES, "--unit", unit]);
    let by_hand = "to add the log by hand, take what is written to stderr";
    match command.stdin(Stdio::null()).output() {
        Err(error) => format!("journalctl cannot be run: {error}; {by_hand}"),
        Ok(output) if output.stdout.is_empty() => {
            let why = String::from_utf8_lossy(&output.stderr);
            let mut text =
                format!("systemd has no lines of {unit}, or does not show them to us: be root, or name it with --unit");
            // Writing into a string cannot fail.
            let _ = why.lines().next().map(|why| write!(text, "; {why}"));
            text
        }
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}
