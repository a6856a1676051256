//! `pve-sentinel ctl`: the API from a shell, for people.
//!
//! ```text
//! address    where the API is asked              login      the token, and whom to trust
//! client     one question, one answer
//! guests     which guest is meant                lists      what there is
//! switch     orders, and what came of them       progress   what is told meanwhile
//! table      answers as text
//! ```
//!
//! An order is sent once. Nothing that is answered reaches a terminal with characters that it would obey.

mod address;
mod client;
mod guests;
mod lists;
mod login;
mod progress;
mod switch;
mod table;

use std::fmt;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

pub(super) use self::address::target;
use self::address::{Address, Place};
pub(super) use self::client::{Answer, Client};
pub(super) use self::table::json;
use super::{USAGE, complain};
use crate::setup::plain;
use crate::{app, config};

/// The variable that says where the API is.
const URL: &str = "PVE_SENTINEL_URL";

const ABOUT_URL: &str = "Where the API is: http://…, https://…, or unix:/PATH of a socket; without it PVE_SENTINEL_URL, or else \
                         http://127.0.0.1:9221";
const ABOUT_TOKEN: &str = "The file with the token; without it, the token is in PVE_SENTINEL_TOKEN";

#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    way: Way,
    #[command(subcommand)]
    verb: Verb,
}

/// Where to ask, and how to print.
#[derive(Args)]
struct Way {
    #[command(flatten)]
    reach: Reach,
    /// Print JSON, one line for each answer, as is done where the output is no terminal.
    #[arg(long, global = true, conflicts_with = "table", help_heading = "Output")]
    json: bool,
    /// Print a table, as is done on a terminal.
    #[arg(long, global = true, help_heading = "Output")]
    table: bool,
}

/// Where to ask, and with which token.
#[derive(Args)]
pub(super) struct Reach {
    #[arg(long, global = true, value_name = "URL", help_heading = "Connection", help = ABOUT_URL)]
    url: Option<String>,
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection", help = ABOUT_TOKEN)]
    token_file: Option<PathBuf>,
    /// The authorities of the server's certificate, in PEM; without it, those of this system.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    ca_file: Option<PathBuf>,
    /// Send the token over plain HTTP to another machine, too: whoever is on the way can read it.
    #[arg(long, global = true, help_heading = "Connection")]
    allow_plaintext: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// List guests.
    Ls(lists::Guests),
    /// List nodes.
    Nodes(lists::Machines),
    /// List hosts.
    Hosts(lists::Machines),
    /// List clusters, and how each does.
    Clusters,
    /// Switch guests on, or wake them from disk.
    Start(switch::Guests),
    /// Switch guests off, without asking them.
    Stop(switch::Guests),
    /// Ask guests to shut down.
    Shutdown(switch::Shutdown),
    /// Ask guests to shut down, and switch them on again.
    Reboot(switch::Reboot),
    /// Press the reset button of virtual machines.
    Reset(switch::Guests),
    /// Pause guests.
    Suspend(switch::Guests),
    /// Let paused or hibernated guests go on.
    Resume(switch::Guests),
    /// Write the memory of virtual machines to disk, and switch them off.
    Hibernate(switch::Guests),
    /// List tasks, those that began last first.
    Tasks(lists::Tasks),
    /// Tell of one task, with the end of its log.
    Task(lists::Task),
    /// Switch a node.
    Node(switch::Node),
    /// Switch a host.
    Host(switch::Host),
}

/// What a verb needs.
struct Context {
    client: Client,
    /// Whether people read what is printed.
    table: bool,
    /// Seconds since 1970.
    now: i64,
}

/// What ends the command early. Printed as a line for people.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was called in a way in which it does nothing.
    Usage(String),
    /// Something did not work.
    Runtime(String),
    /// The API refused, with this answer.
    Refused(String, Value),
    /// What went wrong was told already.
    Told,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(line) | Self::Runtime(line) | Self::Refused(line, _) => f.write_str(line),
            Self::Told => Ok(()),
        }
    }
}

impl Reach {
    /// Reads what was typed and the environment; nothing is asked yet.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let env = config::Env::new(&app::environment);
        let (place, url) = match (&self.url, env.get(URL).filter(|url| !url.is_empty())) {
            (Some(url), _) => ("--url", url.clone()),
            (None, Some(url)) => (URL, url),
            (None, None) => ("--url", address::DEFAULT.to_owned()),
        };
        let address = Address::parse(&url).map_err(|wrong| Failure::Usage(format!("{place}: {wrong}")))?;
        let token = login::token(self.token_file.as_deref(), &env).map_err(Failure::Usage)?;
        let tls = match address.place {
            Place::Tls { .. } => Some(login::trust(self.ca_file.as_deref()).map_err(Failure::Usage)?),
            Place::Plain { .. } | Place::Unix(_) => None,
        };
        Ok(Client { address, token, tls, allow_plaintext: self.allow_plaintext })
    }
}

impl Context {
    fn new(way: &Way) -> Result<Self, Failure> {
        let table = way.table || (!way.json && stdout().is_terminal());
        Ok(Self { client: way.reach.client()?, table, now: app::unix_time() })
    }

    fn deliver(&self, text: &str) -> Result<(), Failure> {
        super::deliver(text).map_err(Failure::Runtime)
    }
}

pub(super) fn run(options: &Options) -> ExitCode {
    to_its_end(ask(options))
}

/// Runs `work`, and tells why it failed.
pub(super) fn to_its_end(work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let mut outcome = Ok(());
    let ran = super::run(async {
        outcome = work.await;
        Ok(())
    });
    let Err(failure) = outcome else { return ran };
    if !matches!(failure, Failure::Told) {
        complain(&plain(&failure.to_string()));
    }
    if matches!(failure, Failure::Usage(_)) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

async fn ask(options: &Options) -> Result<(), Failure> {
    let context = Context::new(&options.way)?;
    let done = verb(&context, &options.verb).await;
    if let Err(Failure::Refused(_, answer)) = &done
        && !context.table
    {
        context.deliver(&table::json(answer))?;
    }
    done
}

async fn verb(context: &Context, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Ls(asked) => lists::guests(context, asked).await,
        Verb::Nodes(asked) => lists::nodes(context, asked).await,
        Verb::Hosts(asked) => lists::hosts(context, asked).await,
        Verb::Clusters => lists::clusters(context).await,
        Verb::Start(asked) => switch::guests(context, "start", asked).await,
        Verb::Stop(asked) => switch::guests(context, "stop", asked).await,
        Verb::Shutdown(asked) => switch::shutdown(context, asked).await,
        Verb::Reboot(asked) => switch::reboot(context, asked).await,
        Verb::Reset(asked) => switch::guests(context, "reset", asked).await,
        Verb::Suspend(asked) => switch::guests(context, "suspend", asked).await,
        Verb::Resume(asked) => switch::guests(context, "resume", asked).await,
        Verb::Hibernate(asked) => switch::guests(context, "hibernate", asked).await,
        Verb::Tasks(asked) => lists::tasks(context, asked).await,
        Verb::Task(asked) => lists::task(context, asked).await,
        Verb::Node(asked) => switch::node(context, asked).await,
        Verb::Host(asked) => switch::host(context, asked).await,
    }
}
