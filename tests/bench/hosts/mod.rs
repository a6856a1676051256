//! Hosts over SSH: what each costs in memory, what a probe costs beside OpenSSH's own client, and a round of many.
//!
//! ```text
//! machines   fifty simulated hosts with the answer of a real one, in a process of their own
//! openssh    the floor: ssh with a kept connection, and the sshd that both ask
//! ```

mod machines;
mod openssh;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::Outcome;
use crate::arguments::{Arguments, Variant};
use crate::client::Client;
use crate::measure::crowd;
use crate::protocol::{Helper, MachinesOrder, MachinesReady};
use crate::ratios::{Goal, Ratio, ratio};
use crate::server::Server;
use crate::usage::{self, Cpu};
pub(crate) use machines::run as machines;
use openssh::OpenSsh;

/// How many simulated hosts there are.
const HOSTS: usize = 50;
/// What a host costs is told by the difference to an exporter of so many.
const FEW: usize = 5;
/// How long a slow host takes.
const LATENCY: Duration = Duration::from_millis(100);
/// How long after the last scrape the memory is read that was not given back: as long as Prometheus mostly leaves between
/// two. Threads that did blocking work, and the allocator's own pages, are given back within ten seconds.
const REST: Duration = Duration::from_secs(15);
/// Scrapes at once.
const CROWD: usize = 8;

const USER: &str = "sentinel";
const IDENTITY: &str = "id";
const KNOWN_HOSTS: &str = "known_hosts";

/// The page of all hosts.
const ALL: &str = "/metrics?collect[]=host";

/// Nothing is kept from one scrape to the next. There has to be a cluster; it is never asked.
const NO_CLUSTER: &str = "[scrape]\nmax_age = \"0s\"\n[[clusters]]\nname = \"none\"\nendpoints = [\"https://127.0.0.1:1\"]\n\
    token_id = \"monitor@pve!none\"\ntoken_secret = \"none\"\n";

const KIB: f64 = 1024.0;

/// Simulated hosts.
struct Lab {
    helper: Helper,
    folder: tempfile::TempDir,
    ports: Vec<u16>,
}

/// What a round of all hosts cost, and the memory that it left for each.
struct Rounds {
    first_wall: Duration,
    wall: Duration,
    /// Of a host.
    cpu: Duration,
    /// Resident bytes after the first round, after more of them, and after crowds.
    memory: [u64; 3],
    logins: u64,
}

/// What a probe of one real host cost, beside the floor: means of several, medians of these.
struct Probes {
    ours: [f64; 2],
    floor: [f64; 2],
}

/// The lines of all builds of the exporter.
pub(crate) fn measure(arguments: &Arguments) -> Outcome<String> {
    let (mut text, mut quick_lab) = (String::new(), Lab::start(Duration::ZERO)?);
    let mut slow_lab = Lab::start(LATENCY)?;
    for variant in &arguments.variants {
        let few = rounds(arguments, variant, &mut quick_lab, FEW)?;
        let rounds = rounds(arguments, variant, &mut quick_lab, HOSTS)?;
        let (alone, all) = slow(arguments, variant, &mut slow_lab)?;
        text.push_str(&format!("\n{} with {HOSTS} hosts over SSH:\n", variant.name));
        let probes = probes(arguments, variant);
        let cpu = probes.as_ref().ok().map(|probes| probes.floor[0]);
        let mut lines = rounds.lines(&few, cpu);
        let what = format!("hosts of {} ms each: wall of a round / of one alone", LATENCY.as_millis());
        lines.push(ratio(&what, Some(all / alone), Goal::AtMost(5.0)));
        lines.extend(probes.iter().flat_map(Probes::lines));
        lines.iter().for_each(|line| text.push_str(&line.line()));
        if let Err(error) = probes {
            text.push_str(&format!("  FAILED: the floor was not measured, so nothing of it is met: {error}\n"));
        }
        text.push_str(&format!(
            "  a round: {:.0} ms, the first {:.0} ms\n",
            milliseconds(rounds.wall),
            milliseconds(rounds.first_wall)
        ));
    }
    Ok(text)
}

impl Lab {
    fn start(latency: Duration) -> Outcome<Self> {
        let (mut helper, folder) = (Helper::start("machines")?, tempfile::tempdir()?);
        let ready: MachinesReady = helper.ask(&MachinesOrder {
            count: HOSTS,
            folder: folder.path().to_string_lossy().into_owned(),
            latency_ms: u64::try_from(latency.as_millis())?,
        })?;
        Ok(Self { helper, folder, ports: ready.ports })
    }

    fn seen(&mut self) -> Outcome<MachinesReady> {
        self.helper.ask(&())
    }

    /// An exporter of the first of these hosts.
    fn exporter(&self, variant: &Variant, count: usize) -> Outcome<Server> {
        let mut config = NO_CLUSTER.to_owned();
        for (index, port) in self.ports.iter().take(count).enumerate() {
            config.push_str(&host(&format!("host{index}"), USER, *port, self.folder.path()));
        }
        Server::with(variant, &config)
    }
}

fn host(id: &str, user: &str, port: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[[hosts]]\nid = \"{id}\"\nhostname = \"127.0.0.1\"\nssh_user = \"{user}\"\nssh_port = {port}\n\
         ssh_key_path = \"{folder}/{IDENTITY}\"\nssh_known_hosts_file = \"{folder}/{KNOWN_HOSTS}\"\n"
    )
}

fn rounds(arguments: &Arguments, variant: &Variant, lab: &mut Lab, count: usize) -> Outcome<Rounds> {
    let before = lab.seen()?;
    let server = lab.exporter(variant, count)?;
    let pid = server.pid();
    let resident = || -> Outcome<u64> {
        sleep(REST);
        Ok(usage::memory(pid)?.resident)
    };
    let mut clients: Vec<Client> = (0..CROWD).map(|_| Client::new(&server.address, true)).collect();
    let first_wall = whole_round(&mut clients, count)?;
    let first = resident()?;
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..if arguments.quick { 3 } else { 11 } {
        let cpu = Cpu::of(pid)?;
        walls.push(whole_round(&mut clients, count)?.as_secs_f64());
        cpus.push(Cpu::of(pid)?.since(&cpu).as_secs_f64());
    }
    let in_turn = resident()?;
    for _ in 0..if arguments.quick { 3 } else { 11 } {
        crowd(&mut clients, ALL, false)?;
        for index in 0..count {
            crowd(&mut clients, &format!("/host?target=host{index}"), true)?;
        }
    }
    let memory = [first, in_turn, resident()?];
    let logins = lab.seen()?.logins - before.logins;
    let cpu = Duration::from_secs_f64(median(&mut cpus)) / u32::try_from(count)?;
    Ok(Rounds { first_wall, wall: Duration::from_secs_f64(median(&mut walls)), cpu, memory, logins })
}

/// A page on which every host tells of itself.
fn whole_round(clients: &mut [Client], count: usize) -> Outcome<Duration> {
    let mut page = Vec::new();
    let wall = clients.first_mut().ok_or("no client")?.get(ALL, false, &mut page)?;
    let page = String::from_utf8(page)?;
    let told = page.lines().filter(|line| line.starts_with("pve_host_ssh_up{") && line.ends_with(" 1")).count();
    if told == count { Ok(wall) } else { Err(format!("{told} of {count} hosts told of themselves").into()) }
}

/// Seconds for one slow host alone, and for a round of all.
fn slow(arguments: &Arguments, variant: &Variant, lab: &mut Lab) -> Outcome<(f64, f64)> {
    let server = lab.exporter(variant, HOSTS)?;
    let mut clients = [Client::new(&server.address, true)];
    whole_round(&mut clients, HOSTS)?;
    let (mut alone, mut all) = (Vec::new(), Vec::new());
    for _ in 0..if arguments.quick { 3 } else { 11 } {
        alone.push(clients[0].get("/host?target=host0", false, &mut std::io::sink())?.as_secs_f64());
        all.push(whole_round(&mut clients, HOSTS)?.as_secs_f64());
    }
    Ok((median(&mut alone), median(&mut all)))
}

/// One real host, asked by the exporter and by `ssh` in turns.
fn probes(arguments: &Arguments, variant: &Variant) -> Outcome<Probes> {
    let openssh = OpenSsh::start()?;
    let host = host("real", &openssh.user, openssh.port, &openssh.path(""));
    let server = Server::with(variant, &format!("{NO_CLUSTER}{host}"))?;
    let mut client = Client::new(&server.address, true);
    let (rounds, times) = if arguments.quick { (3, 3) } else { (11, 5) };
    let (mut ours, mut floors) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..=rounds {
        let cpu = Cpu::of(server.pid())?;
        let mut wall = Duration::ZERO;
        for _ in 0..times {
            wall += client.get("/host?target=real", false, &mut std::io::sink())?;
        }
        let cpu = Cpu::of(server.pid())?.since(&cpu);
        let floor = openssh.probe(times)?;
        // The first connects.
        if round > 0 {
            ours[0].push((cpu / times).as_secs_f64());
            ours[1].push((wall / times).as_secs_f64());
            floors[0].push(floor.cpu.as_secs_f64());
            floors[1].push(floor.wall.as_secs_f64());
        }
    }
    Ok(Probes { ours: ours.map(|mut values| median(&mut values)), floor: floors.map(|mut values| median(&mut values)) })
}

impl Rounds {
    /// `few`: the same with [`FEW`] hosts; `floor`: CPU of a probe by `ssh`, in seconds.
    fn lines(&self, few: &Self, floor: Option<f64>) -> Vec<Ratio> {
        let each = |index: usize| {
            let more = self.memory.get(index)?.saturating_sub(*few.memory.get(index)?);
            Some(more as f64 / (HOSTS - FEW) as f64 / KIB)
        };
        let [first, in_turn, crowds] = [0, 1, 2].map(each);
        vec![
            ratio("hosts: KiB of memory each, after the first round", first, Goal::AtMost(100.0)),
            ratio("hosts: the same, after rounds in turn", in_turn, Goal::AtMost(100.0)),
            ratio("hosts: the same, after crowds of 8", crowds, Goal::AtMost(100.0)),
            ratio("hosts: logins per host", Some(self.logins as f64 / HOSTS as f64), Goal::Exactly(1.0)),
            ratio(
                "hosts: CPU per probe in a round / floor",
                floor.map(|floor| self.cpu.as_secs_f64() / floor),
                Goal::AtMost(1.0),
            ),
        ]
    }
}

impl Probes {
    fn lines(&self) -> Vec<Ratio> {
        let ([cpu, wall], [floor_cpu, floor_wall]) = (self.ours, self.floor);
        vec![
            ratio("/host of a real sshd: CPU / floor", Some(cpu / floor_cpu), Goal::AtMost(1.0)),
            ratio("/host of a real sshd: wall / floor", Some(wall / floor_wall), Goal::AtMost(1.15)),
            ratio(
                "/host of a real sshd: wall above the floor in ms",
                Some((wall - floor_wall) * 1000.0),
                Goal::AtMost(15.0),
            ),
        ]
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
