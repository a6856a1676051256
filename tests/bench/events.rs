//! The sidecar while nobody scrapes: what it costs to watch a busy cluster, beside the same exporter that watches nothing.
//! Nothing is compressed: the default interval, and tasks that begin and end as time goes by.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::arguments::{Arguments, Size, Variant};
use crate::client::Client;
use crate::protocol::{Counts, Helper, SimulatorOrder, SimulatorReady, TOKEN_ID, TOKEN_SECRET};
use crate::ratios::{Goal, ratio};
use crate::server::{self, Server};
use crate::usage::{self, Cpu, Memory};

/// The largest cluster that there is.
const SIZE: Size = Size { nodes: 32, guests: 10_000 };
/// In the whole cluster; every tenth fails.
const TASKS_PER_MINUTE: u64 = 100;
/// The default of `[events]`, in seconds.
const INTERVAL: f64 = 10.0;
/// The first looks are others than the rest.
const SETTLE: Duration = Duration::from_secs(45);

const FAST: &str = "/metrics?collect[]=guest&collect[]=node&collect[]=storage";
const OWN: &str = "/metrics?collect[]=process";

const MIB: f64 = 1024.0 * 1024.0;

/// An exporter at work, or at rest.
struct Post {
    server: Server,
    client: Client,
}

/// What a while cost.
struct While {
    wall: Duration,
    cpu: Duration,
    memory: Memory,
}

/// The lines of all builds of the exporter.
pub(crate) fn measure(arguments: &Arguments) -> Outcome<String> {
    let mut api = Helper::start("simulator")?;
    let ready = api.ask(&SimulatorOrder {
        nodes: SIZE.nodes,
        guests: SIZE.guests,
        latency_ms: 0,
        token_id: TOKEN_ID.to_owned(),
        secret: TOKEN_SECRET.to_owned(),
        tasks_per_minute: TASKS_PER_MINUTE,
        all_rights: false,
    })?;
    let mut text = String::new();
    for variant in &arguments.variants {
        text.push_str(&of_one(arguments, variant, &mut api, &ready)?);
    }
    Ok(text)
}

fn of_one(arguments: &Arguments, variant: &Variant, api: &mut Helper, ready: &SimulatorReady) -> Outcome<String> {
    let (address, taken) = alertmanager()?;
    let folder = tempfile::tempdir()?;
    let cluster = server::cluster(ready);
    let watching = format!(
        "state_dir = \"{}\"\n{cluster}[scrape]\nmax_age = \"0s\"\n[events]\nalertmanagers = [{{ url = \"http://{address}\" }}]\n",
        folder.path().display()
    );
    let mut plain = Post::start(variant, &format!("{cluster}[scrape]\nmax_age = \"0s\"\n"))?;
    let mut sidecar = Post::start(variant, &watching)?;
    sleep(SETTLE);
    let before: Counts = api.ask(&())?;
    let length = Duration::from_secs(if arguments.quick { 60 } else { 300 });
    let [rest, watch] = both([&plain, &sidecar], length)?;
    let after: Counts = api.ask(&())?;
    let (scrape, scraped) = plain.scrapes(if arguments.quick { 3 } else { 11 })?;
    let found = sidecar.own("pve_sentinel_events_found_total")?;
    let sent = sidecar.own("pve_sentinel_events_sent_total")?;
    if found == 0.0 || sent == 0.0 || taken.load(Ordering::Relaxed) == 0 {
        return Err("nothing was found and told: this is no measurement".into());
    }
    let mut lines = format!(
        "\n{}: events of {} with {TASKS_PER_MINUTE} tasks a minute, for {} s, and nobody scrapes:\n",
        variant.name,
        SIZE.label(),
        length.as_secs()
    );
    lines.push_str(&figures(&rest, &watch, scrape));
    lines.push_str(&format!(
        "  after scrapes, without: {:.1} MiB; {found} events found, {sent} told; the journal has {} KiB\n",
        scraped as f64 / MIB,
        std::fs::metadata(folder.path().join("events.journal"))?.len() / 1024,
    ));
    lines.push_str(&requests(&before, &after, watch.wall));
    Ok(lines)
}

/// What watching costs above what rest does; `scrape`: seconds of CPU of a scrape of the fast lane.
fn figures(rest: &While, watch: &While, scrape: f64) -> String {
    let percent = |one: &While| 100.0 * one.cpu.as_secs_f64() / one.wall.as_secs_f64();
    let mebibytes = |bytes: u64| bytes as f64 / MIB;
    let look = watch.cpu.as_secs_f64() / (watch.wall.as_secs_f64() / INTERVAL);
    let times = ratio("events: CPU of a look / of a scrape of the fast lane", Some(look / scrape), Goal::AtMost(3.0));
    format!(
        "{}  CPU: {:.2} percent of a core, {:.2} without; a look {:.0} ms, a scrape {:.0} ms\n  \
         memory: {:.1} MiB, {:.1} without; peak {:.1} MiB, {:.1} without\n",
        times.line(),
        percent(watch),
        percent(rest),
        look * 1000.0,
        scrape * 1000.0,
        mebibytes(watch.memory.resident),
        mebibytes(rest.memory.resident),
        mebibytes(watch.memory.peak),
        mebibytes(rest.memory.peak),
    )
}

/// Both at the same time, so that what disturbs the machine disturbs both.
fn both(posts: [&Post; 2], length: Duration) -> Outcome<[While; 2]> {
    let started = Instant::now();
    for post in posts {
        usage::reset_peak(post.server.pid())?;
    }
    let before = [Cpu::of(posts[0].server.pid())?, Cpu::of(posts[1].server.pid())?];
    sleep(length);
    let end = |post: &Post, before: &Cpu| -> Outcome<While> {
        let pid = post.server.pid();
        Ok(While { cpu: Cpu::of(pid)?.since(before), wall: started.elapsed(), memory: usage::memory(pid)? })
    };
    Ok([end(posts[0], &before[0])?, end(posts[1], &before[1])?])
}

impl Post {
    fn start(variant: &Variant, config: &str) -> Outcome<Self> {
        let server = Server::with(variant, config)?;
        let client = Client::new(&server.address, true);
        Ok(Self { server, client })
    }

    /// CPU of a scrape of the fast lane in seconds, the median, and the memory in bytes that is left.
    fn scrapes(&mut self, rounds: usize) -> Outcome<(f64, u64)> {
        let (mut cpus, pid) = (Vec::new(), self.server.pid());
        for round in 0..=rounds {
            let before = Cpu::of(pid)?;
            self.client.get(FAST, false, &mut std::io::sink())?;
            sleep(Duration::from_millis(4));
            // The first connects.
            if round > 0 {
                cpus.push(Cpu::of(pid)?.since(&before).as_secs_f64());
            }
        }
        cpus.sort_by(f64::total_cmp);
        sleep(Duration::from_secs(2));
        Ok((cpus.get(cpus.len() / 2).copied().unwrap_or_default(), usage::memory(pid)?.resident))
    }

    /// The sum of one of its own figures.
    fn own(&mut self, name: &str) -> Outcome<f64> {
        let mut page = Vec::new();
        self.client.get(OWN, false, &mut page)?;
        let page = String::from_utf8(page)?;
        let series = page.lines().filter(|line| line.starts_with(name));
        Ok(series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

/// Requests per minute by path.
fn requests(before: &Counts, after: &Counts, wall: Duration) -> String {
    let mut by_path: BTreeMap<String, u64> = BTreeMap::new();
    for (path, count) in &after.by_path {
        let more = count.saturating_sub(before.by_path.get(path).copied().unwrap_or_default());
        *by_path.entry(normal(path)).or_default() += more;
    }
    let minutes = wall.as_secs_f64() / 60.0;
    let mut lines = String::from("  requests a minute:\n");
    for (path, count) in by_path.iter().filter(|(_, count)| **count > 0) {
        lines.push_str(&format!("    {:6.1}  {path}\n", *count as f64 / minutes));
    }
    let all: u64 = by_path.values().sum();
    lines.push_str(&format!("    {:6.1}  in all\n", all as f64 / minutes));
    lines
}

/// Without the names of nodes and tasks.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.get(1) == Some(&"nodes") {
        parts.iter_mut().skip(2).take(1).for_each(|part| *part = "{node}");
        parts.iter_mut().filter(|part| part.starts_with("UPID")).for_each(|part| *part = "{upid}");
    }
    parts.join("/")
}

/// Somebody who takes all alerts, and counts the posts.
fn alertmanager() -> Outcome<(SocketAddr, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, taken) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
    let counter = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || take(&stream, &counter));
        }
    });
    Ok((address, taken))
}

/// Until the connection ends.
fn take(stream: &TcpStream, counter: &AtomicU64) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap_or(0);
            }
            if line == "\r\n" {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        counter.fetch_add(1, Ordering::Relaxed);
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}
