//! `pve-sentinel setup`: makes a token on a node over SSH, after asking, and prints the configuration that uses it.
//!
//! ```text
//! login      who we are on the node, and how it proves who it is
//! agreement  --yes or a typed yes
//! steps      what was agreed to
//! minting    what to install for tokens that are made at each start
//! ```

mod agreement;
mod login;
mod minting;
mod steps;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::login::Target;
use super::{USAGE, complain};
use crate::setup::bootstrap::{self, Plan, Step};
use crate::setup::detect::{self, Host, System};
use crate::setup::document::{self, Facts};
use crate::setup::{self, Account, Acts, Node, TokenFile, plain};
use crate::{app, collectors, config};

#[derive(Args)]
pub(super) struct Options {
    /// The node to set up, as root or as a user who may run pveum and pvesh by sudo without a password.
    #[arg(long = "ssh", value_name = "USER@HOST[:PORT]", value_parser = login::target)]
    target: Target,
    /// The private key to log in with; without it, the ssh-agent, or the key in ~/.ssh.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = "Where the node's host key is known; without it, ~/.ssh/known_hosts")]
    known_hosts: Option<PathBuf>,
    /// What the cluster is called in the configuration; without it, as Proxmox VE calls it.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    /// The token's name; each exporter should have its own. Without it, monitor, or power with --power.
    #[arg(long, value_name = "NAME", value_parser = setup::token_name)]
    token: Option<String>,
    /// Where to write the secret, to a file that only you may read; for root, also the group that the folder is for.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Also print how to have the token made over SSH at each start, by a key that can do nothing else.
    #[arg(long, conflicts_with_all = ["revoke", "power"])]
    mint: bool,
    /// Make another token, of a user of its own, that may switch guests, and print the lines that use it.
    #[arg(long)]
    power: bool,
    /// With --power: only guests of this pool.
    #[arg(long, value_name = "POOL", requires = "power")]
    pool: Option<String>,
    /// With --power: virtual machines may be hibernated, too.
    #[arg(long, requires = "power")]
    hibernate: bool,
    /// With --power: nodes may be switched, too.
    #[arg(long, requires = "power")]
    nodes: bool,
    /// Do what is shown without asking.
    #[arg(long)]
    yes: bool,
    /// Remove what this command has made.
    #[arg(long)]
    revoke: bool,
}

/// What ends the command early: a line for people.
enum Failure {
    /// It was called in a way in which it does nothing.
    Usage(String),
    /// Something did not work, or nobody agreed.
    Runtime(String),
}

impl From<setup::Error> for Failure {
    fn from(error: setup::Error) -> Self {
        Self::Runtime(error.to_string())
    }
}

/// What was found out before anything is done.
struct Found {
    account: Account,
    file: TokenFile,
    plan: Plan,
    /// The configuration, and lines about it; none where what was made is to go.
    document: Option<(String, Vec<String>)>,
}

pub(super) fn run(options: Options) -> ExitCode {
    let mut outcome = Ok(());
    let ran = super::run(async {
        outcome = set_up(&options).await;
        Ok(())
    });
    match outcome {
        Ok(()) => ran,
        Err(Failure::Usage(line)) => {
            complain(&line);
            ExitCode::from(USAGE)
        }
        Err(Failure::Runtime(line)) => {
            complain(&line);
            ExitCode::FAILURE
        }
    }
}

async fn set_up(options: &Options) -> Result<(), Failure> {
    let settings = login::settings(options, &config::Env::new(&app::environment)).map_err(Failure::Usage)?;
    let known_hosts = login::known_hosts(&settings).map(Path::to_owned);
    let session = app::session(&options.target.address, settings);
    let (host, node) = detect::detect(session).await?;
    let found = look(options, &host, &node).await?;
    for note in &found.plan.notes {
        complain(&plain(note));
    }
    if found.plan.steps.is_empty() {
        complain(&"nothing is to be done on the node");
    } else {
        show(options, &node, &found);
        agreement::agree(options.yes, &options.target).await?;
        steps::carry_out(&node, &found).await?;
    }
    found.document.map_or(Ok(()), |(text, notes)| print(&text, &notes, !options.power))?;
    if options.mint {
        complain(&minting::how(options, known_hosts.as_deref()));
    }
    Ok(())
}

/// Finds out what the host is and what there is to do.
async fn look(options: &Options, host: &Host, node: &Node) -> Result<Found, Failure> {
    let version = match &host.system {
        System::Proxmox { version } => version.clone(),
        System::Other { name, .. } => {
            return Err(Failure::Runtime(format!(
                "expected a node of Proxmox VE at {}, found {name} (no /etc/pve, or no pveversion); to read its figures over \
                 SSH, name it under [[hosts]]",
                options.target.address
            )));
        }
    };
    let membership = setup::membership(node).await?;
    let name = options.name.as_ref().or(membership.cluster.as_ref()).unwrap_or(&membership.local.name).clone();
    let of = match &membership.cluster {
        Some(cluster) => format!("cluster {cluster} of {} nodes", membership.others.len() + 1),
        None => "no cluster".to_owned(),
    };
    complain(&format!("found Proxmox VE {version}: node {}, {of}", membership.local.name));
    let account = options.account().map_err(Failure::Usage)?;
    if let Some(pool) = options.pool.as_ref().filter(|_| !options.revoke) {
        setup::need_pool(node, pool).await?;
    }
    let of = if options.power { format!("{name}.power") } else { name.clone() };
    let file = TokenFile::find(&options.out, &of)?;
    let access = setup::access(node, &account, app::unix_time()).await?;
    if options.revoke {
        let plan = bootstrap::revoke(&access, &account, &file);
        return Ok(Found { plan, account, file, document: None });
    }
    let plan = bootstrap::make(&access, &account, &file)?;
    let again = !plan.steps.contains(&Step::AddToken);
    let document = if options.power {
        (document::acting(&name, (&account, again), &file, options.acts()), Vec::new())
    } else {
        let (address, membership) = (&options.target.address, &membership);
        let facts =
            Facts { name: &name, version: &version, address, membership, account: &account, file: &file, again };
        document::document(&facts)?
    };
    Ok(Found { plan, account, file, document: Some(document) })
}

impl Options {
    /// All that was ever given goes, whatever is said of it now.
    fn acts(&self) -> Acts<'_> {
        let (hibernate, nodes) = (self.hibernate || self.revoke, self.nodes || self.revoke);
        Acts { pool: self.pool.as_deref(), hibernate, nodes }
    }

    /// Whose token it is about.
    fn account(&self) -> Result<Account, String> {
        match (&self.token, self.power) {
            (token, true) => Account::actor(token.as_deref().unwrap_or("power"), self.acts()),
            (token, false) => Account::reader(token.as_deref().unwrap_or("monitor")),
        }
    }
}

/// Says what will be done, with each command.
fn show(options: &Options, node: &Node, found: &Found) {
    complain(&format!("this will be done on {} (as {}):", options.target.address, options.target.user));
    let words = |step: &Step| plain(&step.words(&found.account, &found.file));
    for (index, step) in found.plan.steps.iter().enumerate() {
        complain(&format!("{}. {}", index + 1, words(step)));
        if let Some(call) = step.call(&found.account) {
            complain(&format!("   {}", node.command(&call)));
        }
    }
}

/// Prints the configuration, and says what there is to say of it; lines for one are not a `whole` one.
fn print(text: &str, notes: &[String], whole: bool) -> Result<(), Failure> {
    for note in notes {
        complain(note);
    }
    super::deliver(text).map_err(Failure::Runtime)?;
    if !whole {
        return Ok(());
    }
    let env = config::Env::new(&app::environment);
    match config::parse(text, Path::new("what was printed"), &env, &collectors::known()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(&format!("warning: {}", plain(warning)));
            }
            Ok(())
        }
        Err(faults) => Err(Failure::Usage(format!("the printed configuration needs a correction:\n{faults}"))),
    }
}

/// Reads `--name`, which also names a file.
fn name(text: &str) -> Result<String, String> {
    if setup::is_cluster_name(text) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 64 letters, digits and \"._-\", beginning with a letter or digit".to_owned())
}
