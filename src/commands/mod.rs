//! The command line: one file per command. Exit codes: 0 fine, 1 failed while running, 2 wrong usage or configuration.

mod check;
mod collectors;
mod completions;
mod ctl;
mod demo;
mod demo_hosts;
mod demo_stack;
mod events;
mod hash_token;
mod import;
mod log;
mod man;
mod serve;
mod setup;
mod ssh_mint;
mod ssh_probe;
mod support_bundle;

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{app, config};

/// Exit code for wrong usage and wrong configuration.
const USAGE: u8 = 2;

/// Prometheus exporter for Proxmox VE.
///
/// Reads every node, guest, storage and pool of your Proxmox VE clusters through their API
/// and answers on http://…:9221/metrics.
#[derive(Parser)]
#[command(name = "pve-sentinel", version = version(), max_term_width = 100)]
#[command(after_help = "New here? `pve-sentinel demo` needs no Proxmox: open the address that it prints.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve metrics of the configured clusters, until SIGTERM or Ctrl-C.
    Serve(serve::Options),
    /// Serve metrics of a simulated cluster; no Proxmox and no configuration needed.
    Demo(demo::Options),
    /// Check a configuration file and report all its faults at once.
    ///
    /// Nothing is asked over the network, except with --live. Exit code 0: usable; 1: something that --live tried does not
    /// work; 2: faults, each with file, line and key.
    Check(check::Options),
    /// List what can be collected: how often it is asked for, which privileges it needs, and how many calls it costs.
    Collectors(collectors::Options),
    /// Print what a shell needs to complete commands and options of pve-sentinel.
    Completions(completions::Options),
    /// List and switch guests, nodes and hosts from a shell, through the API of a pve-sentinel that serves.
    ///
    /// Needs a token of [control] in its configuration. Prints tables on a terminal and JSON elsewhere. Exit code 0: done, or
    /// asked for without --wait; 1: refused, failed, or not ended within --wait; 2: wrong usage, or no token.
    Ctl(ctl::Options),
    /// Tell of what happens in the clusters, through the API of a pve-sentinel that serves and has [events].
    Events(events::Options),
    /// Print a new token for the API once, and the line with its hash to put in the configuration.
    HashToken(hash_token::Options),
    /// Print the configuration that serves the same targets as prometheus-pve-exporter does.
    ///
    /// Exit code 0: it is complete; 1: it or a secret could not be written, or with --live, a target did not answer (the
    /// configuration is printed all the same); 2: nothing can be printed, or what is printed needs a correction.
    Import(import::Options),
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man(man::Options),
    /// Make a token on a node of Proxmox VE over SSH, one that reads or one that acts, and print the configuration that
    /// uses it.
    ///
    /// Shows each command first, and runs them only after --yes or a typed yes; to run it again changes nothing. The
    /// configuration goes to stdout, all else to stderr. Exit code 0: done, or there was nothing to do; 1: something
    /// failed, or nobody agreed; 2: there was nobody to ask.
    Setup(setup::Options),
    /// Print the program that makes tokens on a node of Proxmox VE, to read it or to install it there.
    ///
    /// As the forced command of a key, it can do nothing but replace, print and remove one read-only token.
    SshMint,
    /// Print the program that hosts are asked to run over SSH, to read it or to install it there.
    ///
    /// Installed as a forced command, it is all that the exporter's key can run.
    SshProbe,
    /// Write a text file to send with a report of a fault: configuration without secrets, versions, own figures, last log lines.
    ///
    /// Shows the list of what is in it first, and writes it only after --yes or a typed yes. Exit code 0: written; 1: not
    /// written, or nobody agreed; 2: the file is there already, or there was nobody to ask.
    SupportBundle(support_bundle::Options),
}

/// Where to read the configuration.
#[derive(Args)]
struct ConfigFile {
    /// The configuration file, in TOML.
    #[arg(long = "config.file", value_name = "PATH")]
    config_file: PathBuf,
}

/// How to log. Logs go to stderr.
#[derive(Args)]
struct Log {
    /// The least serious messages to log.
    #[arg(long = "log.level", value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    level: LogLevel,
    /// How to write them.
    #[arg(long = "log.format", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Logfmt)]
    format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Logfmt,
    Json,
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => serve::run(options),
        Command::Demo(options) => demo::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Collectors(options) => collectors::run(&options),
        Command::Completions(options) => completions::run(&options),
        Command::Ctl(options) => ctl::run(&options),
        Command::Events(options) => events::run(&options),
        Command::HashToken(options) => hash_token::run(&options),
        Command::Import(options) => import::run(options),
        Command::Man(options) => man::run(&options),
        Command::Setup(options) => setup::run(options),
        Command::SshMint => ssh_mint::run(),
        Command::SshProbe => ssh_probe::run(),
        Command::SupportBundle(options) => support_bundle::run(&options),
    }
}

/// What `--version` says after the name.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    app::REVISION.map_or_else(|| version.to_owned(), |revision| format!("{version} (revision {revision})"))
}

/// Reads `--web.listen-address`.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    config::listen_address(text)
}

/// Loads a configuration, or says all that is wrong with it.
fn load(file: &ConfigFile) -> Result<config::Loaded, ExitCode> {
    config::load(&file.config_file, &config::Env::new(&app::environment), &crate::collectors::known()).map_err(
        |error| {
            complain(&error);
            ExitCode::from(USAGE)
        },
    )
}

/// Starts the asynchronous runtime and runs `work` on it; its failure becomes the last line and exit code 1.
///
/// One thread: a scrape of ten thousand guests keeps it for some 20 ms, between two pieces of a page others have their
/// turn, and each further thread would hold memory of its own.
fn run(work: impl Future<Output = Result<(), String>>) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))
        .and_then(|runtime| {
            let ended = runtime.block_on(work);
            // A name that is being looked up cannot be given up; it is not to hold up the end.
            runtime.shutdown_background();
            ended
        });
    end(outcome)
}

/// Writes a message for people to stdout; a closed pipe is no reason to fail.
fn say(message: &impl Display) {
    let _ = writeln!(std::io::stdout(), "{message}");
}

/// Writes a text to stdout as it stands; a closed pipe is no reason to fail.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes to stdout what a command is there to give. A file that could not take all of it would be taken for whole; a
/// closed pipe is no reason to fail. Fails with a sentence for people.
fn deliver(text: &str) -> Result<(), String> {
    deliver_more(text).map(|_| ())
}

/// The same for a part; false where nobody reads any more.
fn deliver_more(text: &str) -> Result<bool, String> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("what is printed was not written in full: {error}; make room, and print it again")),
        Ok(()) => Ok(true),
    }
}

/// The end of a command that fails with a sentence for people.
fn end(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Writes a message for people to stderr.
fn complain(message: &impl Display) {
    let _ = writeln!(std::io::stderr(), "{message}");
}
