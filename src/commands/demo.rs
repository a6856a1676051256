//! `pve-sentinel demo`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tempfile::TempDir;

use super::demo_hosts::Hosts;
use super::{Log, demo_stack, listen_address, log, say};
use crate::sim::{self, Authority, Rights, Sim, Source, Token, World};
use crate::{app, collectors, config};

const TOKEN_ID: &str = "monitor@pve!prometheus";
/// The simulation is open to whoever reads its output; this secret protects nothing.
const TOKEN_SECRET: &str = "00000000-0000-4000-8000-00000000d390";
/// More members than two need not be asked: they tell the same.
const ENDPOINTS: usize = 2;

#[derive(Args)]
pub(super) struct Options {
    /// Where to listen, such as 127.0.0.1:9221 or [::]:9221.
    #[arg(long = "web.listen-address", value_name = "ADDR", value_parser = listen_address, default_value = "127.0.0.1:9221")]
    listen_address: SocketAddr,
    /// How many nodes the simulated cluster has; 1 is a stand-alone node.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// How many VMs and containers it has.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u16).range(0..=20000))]
    guests: u16,
    /// The same seed gives the same names and loads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write files that show this demo in Prometheus, Alertmanager and Grafana by `docker compose`.
    #[arg(long, value_name = "DIR")]
    stack: Option<PathBuf>,
    /// The address of an Alertmanager to tell of what happens in it, with its scheme and port.
    #[arg(long, value_name = "URL")]
    alertmanager: Option<String>,
    #[command(flatten)]
    log: Log,
}

pub(super) fn run(options: &Options) -> ExitCode {
    log::start(&options.log);
    super::run(async {
        let stop = app::stop_signal()?;
        let listeners = app::bind(&[options.listen_address])?;
        let address = listeners[0].local_addr().map_err(|error| format!("the own address is unknown: {error}"))?;
        if let Some(folder) = &options.stack {
            demo_stack::write(folder, address)?;
        }
        let cannot = |error| format!("the simulated cluster cannot be started: {error}");
        let (sims, hosts) = start(options).await.map_err(cannot)?;
        let state = state(options)?;
        let text = config_text(&sims, state.as_ref().map(TempDir::path).zip(options.alertmanager.as_deref()));
        let mut config = parse(&text)?;
        config.clusters.iter_mut().for_each(|cluster| cluster.ssh = hosts.config());
        // Its nodes need no sudoers.
        collectors::names().into_iter().for_each(|name| config.collectors.switch_on(name));
        say(&welcome(options, (address, hosts.first()), &text));
        app::App::new(&config)?.serve(listeners, stop).await
    })
}

async fn start(options: &Options) -> std::io::Result<(Vec<Sim>, Hosts)> {
    let world = World::new(options.seed, usize::from(options.nodes), usize::from(options.guests));
    let world = Arc::new(world.begun_at(app::unix_time()));
    let authority = Arc::new(Authority::new(world.cluster())?);
    let started = Instant::now();
    let hosts = Hosts::start(&world, started).await?;
    let mut sims = Vec::new();
    for node in 0..world.node_count().min(ENDPOINTS) {
        let options = sim::Options {
            node,
            authority: Some(Arc::clone(&authority)),
            tokens: vec![Token { id: TOKEN_ID.into(), secret: TOKEN_SECRET.into(), rights: Rights::Auditor }],
            clock: Arc::new(move || started.elapsed()),
            latency: Duration::from_millis(5),
            seed: options.seed,
            ..sim::Options::default()
        };
        sims.push(sim::start(options, Source::World(Arc::clone(&world))).await?);
    }
    Ok((sims, hosts))
}

/// Where events are kept until the demo ends, if anybody is told of them.
fn state(options: &Options) -> Result<Option<TempDir>, String> {
    let made = options.alertmanager.as_ref().map(|_| tempfile::tempdir()).transpose();
    made.map_err(|error| format!("a folder for events cannot be made: {error}"))
}

/// A configuration as an administrator would write it, which the demo itself reads.
fn config_text(sims: &[Sim], events: Option<(&Path, &str)>) -> String {
    let quoted = |texts: Vec<String>| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
    let (top, end) = events
        .map(|(folder, url)| {
            (format!("state_dir = {folder:?}\n\n"), format!("\n[events]\nalertmanagers = [{{ url = {url:?} }}]\n"))
        })
        .unwrap_or_default();
    format!(
        "{top}[[clusters]]\n\
         name = \"demo\"\n\
         endpoints = [{}]\n\
         token_id = \"{TOKEN_ID}\"\n\
         token_secret = \"{TOKEN_SECRET}\"\n\
         tls = {{ fingerprints = [{}] }}\n\
         \n\
         [discovery]\n{end}",
        quoted(sims.iter().map(Sim::url).collect()),
        quoted(sims.iter().map(|sim| sim.fingerprint().to_string()).collect()),
    )
}

fn parse(text: &str) -> Result<config::Config, String> {
    config::parse(text, Path::new("demo.toml"), &config::Env::new(&|_| None), &collectors::known())
        .map(|loaded| loaded.config)
        .map_err(|error| error.to_string())
}

fn welcome(options: &Options, (address, host): (SocketAddr, String), config: &str) -> String {
    let nodes = if options.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", options.nodes) };
    format!(
        "A simulated Proxmox VE cluster: {nodes}, {guests} guests. Loads move, backups run, a VM migrates, one crashes,\n\
         and where there are several nodes, the last one goes away after four minutes and returns six minutes later.\n\
         \n\
         Open          http://{address}/\n\
         Metrics       curl http://{address}/metrics\n\
         One host      curl 'http://{address}/host?target={host}'\n\
         \n\
         For Prometheus, in prometheus.yml:\n\
         \n\
         scrape_configs:\n\
         \x20 - job_name: pve-sentinel\n\
         \x20   static_configs:\n\
         \x20     - targets: ['{address}']\n\
         \n\
         {stack}\
         The configuration that the demo runs on; yours looks the same (pve-sentinel serve --config.file FILE):\n\
         \n\
         {config}\n\
         Stop with Ctrl-C.",
        guests = options.guests,
        stack = options.stack.as_deref().map(shown).unwrap_or_default(),
    )
}

/// What to do with the files.
fn shown(folder: &Path) -> String {
    format!(
        "Prometheus, Alertmanager and Grafana, in another terminal and while the demo runs; then open http://127.0.0.1:3000/\n\
         \n\
         docker compose -f {}/compose.yaml up\n\
         \n",
        folder.display()
    )
}
