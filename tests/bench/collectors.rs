//! All collectors beside the fewest: what the slow lane adds to a scrape, at rest and while it refreshes, and what a full
//! refresh takes.
//!
//! Three exporters ask the same API: the preset `minimal`; all collectors, whose values are then good for an hour; and all
//! collectors whose values are good for ten seconds. The last starts when the second is at rest, so that never two of them
//! fill the gates of the nodes.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pve_sentinel::collectors::{ALL, Lane};

use crate::Outcome;
use crate::arguments::{Arguments, Size, Variant};
use crate::client::Client;
use crate::measure::WHOLE;
use crate::protocol::{Counts, Helper, SimulatorOrder, SimulatorReady, TOKEN_ID, TOKEN_SECRET};
use crate::ratios::{Goal, divide, ratio};
use crate::server::{self, Server};
use crate::usage::Cpu;

const SIZE: Size = Size { nodes: 8, guests: 500 };
/// Of each API call.
const LATENCIES: [u64; 2] = [5, 50];
/// So many scrapes in a row are one sample: the clock must see them.
const TIMES: u32 = 5;
/// A server still tidies up after its last byte.
const AFTERMATH: Duration = Duration::from_millis(4);
/// No refresh takes so long.
const PATIENCE: Duration = Duration::from_secs(180);

const OWN: &str = "/metrics?collect[]=process";
/// Two pages of the same call, with many bytes and with few: what the fast lane takes for a byte.
const MANY: &str = "/metrics?collect[]=guest";
const FEW: &str = "/metrics?collect[]=lock";

/// An exporter at work.
struct Post {
    server: Server,
    client: Client,
}

/// A scrape of the whole page.
#[derive(Clone, Copy)]
struct Scrape {
    /// Seconds.
    cpu: f64,
    wall: f64,
    bytes: f64,
}

/// A full refresh of all collectors.
struct Refresh {
    wall: f64,
    cpu: f64,
    calls: f64,
    page: String,
}

/// What one latency showed.
struct Told {
    latency: u64,
    minimal: Scrape,
    all: Scrape,
    /// The CPU of a byte that the fast lane tells of guests, in seconds.
    byte: f64,
    refresh: Refresh,
    /// While the last one refreshes: the fewest, all at rest, all that are refreshed.
    meanwhile: [Scrape; 3],
    /// The most calls of the slow lane at once on a node, and of these, such as can block.
    most: [u32; 2],
}

/// The lines of all builds of the exporter.
pub(crate) fn measure(arguments: &Arguments) -> Outcome<String> {
    let mut text = String::new();
    for variant in &arguments.variants {
        let mut told = Vec::new();
        for latency in LATENCIES {
            told.push(of_one(arguments, variant, latency)?);
        }
        text.push_str(&format!("\n{}: all collectors at {}:\n\n", variant.name, SIZE.label()));
        text.push_str(&table(&told));
        told.iter().for_each(|told| text.push_str(&told.lines()));
        text.push_str(&growth(&told));
        told.iter().for_each(|told| text.push_str(&told.refreshes()));
    }
    Ok(text)
}

fn of_one(arguments: &Arguments, variant: &Variant, latency: u64) -> Outcome<Told> {
    let mut api = Helper::start("simulator")?;
    let ready = api.ask(&SimulatorOrder {
        nodes: SIZE.nodes,
        guests: SIZE.guests,
        latency_ms: latency,
        token_id: TOKEN_ID.to_owned(),
        secret: TOKEN_SECRET.to_owned(),
        tasks_per_minute: 0,
        all_rights: true,
    })?;
    let rounds = if arguments.quick { 3 } else { 15 };
    let mut minimal = Post::start(variant, &ready, "preset = \"minimal\"\n")?;
    let mut all = Post::start(variant, &ready, &all("1h"))?;
    minimal.client.get(WHOLE, false, &mut std::io::sink())?;
    let refresh = all.refresh(&mut api)?;
    let mut works = [(&mut minimal, [WHOLE, MANY, FEW].as_slice()), (&mut all, [WHOLE].as_slice())];
    let [minimal_whole, many, few, all_whole] = in_turns(&mut works, rounds)?[..] else {
        return Err("a page was not measured".into());
    };
    let byte = (many.cpu - few.cpu) / (many.bytes - few.bytes);
    let mut busy = Post::start(variant, &ready, &self::all("10s"))?;
    busy.refresh(&mut api)?;
    let meanwhile = meanwhile([&mut minimal, &mut all, &mut busy], rounds * 2)?;
    let counts: Counts = api.ask(&())?;
    let (minimal, all) = (minimal_whole, all_whole);
    Ok(Told { latency, minimal, all, byte, refresh, meanwhile, most: counts.most })
}

/// A configuration of all collectors, whose values are good for so long.
fn all(ttl: &str) -> String {
    let slow = ALL.iter().filter(|collector| matches!(collector.lane, Lane::Slow(_)));
    let lines = slow.map(|collector| format!("{} = {{ enabled = true, ttl = \"{ttl}\" }}\n", collector.name));
    lines.fold("preset = \"full\"\n".to_owned(), |text, line| text + &line)
}

/// What each page of each exporter costs, in turns, after a round that is not counted: the medians, and the shortest time,
/// since others on the machine only make it longer.
fn in_turns(works: &mut [(&mut Post, &[&str])], rounds: usize) -> Outcome<Vec<Scrape>> {
    let mut samples: Vec<Vec<Scrape>> = Vec::new();
    for round in 0..=rounds {
        let mut turn = Vec::new();
        for (post, pages) in works.iter_mut() {
            for page in *pages {
                turn.push(post.scrapes(page)?);
            }
        }
        samples.resize(turn.len(), Vec::new());
        if round > 0 {
            samples.iter_mut().zip(turn).for_each(|(samples, sample)| samples.push(sample));
        }
    }
    let shortest = |samples: &[Scrape]| samples.iter().map(|one| one.wall).fold(f64::INFINITY, f64::min);
    Ok(samples.iter().map(|samples| Scrape { wall: shortest(samples), ..median(samples) }).collect())
}

/// Single scrapes in turns, those counted after which the last one still had something to ask.
fn meanwhile(posts: [&mut Post; 3], rounds: usize) -> Outcome<[Scrape; 3]> {
    let mut samples: [Vec<Scrape>; 3] = Default::default();
    let (started, [minimal, all, busy]) = (Instant::now(), posts);
    while samples[0].len() < rounds {
        let turn = [minimal.scrape()?, all.scrape()?, busy.scrape()?];
        if busy.backlog()? > 0.0 {
            samples.iter_mut().zip(turn).for_each(|(samples, sample)| samples.push(sample));
        }
        if started.elapsed() > PATIENCE {
            return Err("the values that are good for ten seconds are not asked for anew".into());
        }
        sleep(Duration::from_millis(20));
    }
    Ok(samples.map(|samples| median(&samples)))
}

fn median(samples: &[Scrape]) -> Scrape {
    let of = |what: fn(&Scrape) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(what).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Scrape { cpu: of(|one| one.cpu), wall: of(|one| one.wall), bytes: of(|one| one.bytes) }
}

impl Post {
    fn start(variant: &Variant, ready: &SimulatorReady, collectors: &str) -> Outcome<Self> {
        let cluster = server::cluster(ready);
        let config = format!("{cluster}[scrape]\nmax_age = \"0s\"\n[collectors]\n{collectors}");
        let server = Server::with(variant, &config)?;
        let client = Client::new(&server.address, true);
        Ok(Self { server, client })
    }

    /// Some in a row: the mean of their CPU, and the shortest time.
    fn scrapes(&mut self, target: &str) -> Outcome<Scrape> {
        let pid = self.server.pid();
        let (before, mut wall, mut bytes) = (Cpu::of(pid)?, Duration::MAX, 0);
        for _ in 0..TIMES {
            let mut sink = Length(0);
            wall = wall.min(self.client.get(target, false, &mut sink)?);
            bytes = sink.0;
        }
        sleep(AFTERMATH);
        let cpu = Cpu::of(pid)?.since(&before).as_secs_f64() / f64::from(TIMES);
        Ok(Scrape { cpu, wall: wall.as_secs_f64(), bytes: bytes as f64 })
    }

    /// One, whose CPU nobody could tell from that of a refresh.
    fn scrape(&mut self) -> Outcome<Scrape> {
        let mut sink = Length(0);
        let wall = self.client.get(WHOLE, false, &mut sink)?.as_secs_f64();
        Ok(Scrape { cpu: 0.0, wall, bytes: sink.0 as f64 })
    }

    /// From the first scrape until nothing waits and each collector has told all it can.
    fn refresh(&mut self, api: &mut Helper) -> Outcome<Refresh> {
        let (started, cpu, before): (_, _, Counts) = (Instant::now(), Cpu::of(self.server.pid())?, api.ask(&())?);
        self.page(WHOLE)?;
        while self.backlog()? > 0.0 {
            if started.elapsed() > PATIENCE {
                return Err("the slow lane never came to an end".into());
            }
            sleep(Duration::from_millis(10));
        }
        let wall = started.elapsed().as_secs_f64();
        let cpu = Cpu::of(self.server.pid())?.since(&cpu).as_secs_f64();
        let after: Counts = api.ask(&())?;
        let calls = slow_calls(&after).saturating_sub(slow_calls(&before)) as f64;
        let page = self.page(WHOLE)?;
        let success = by_collector(&page, "pve_scrape_collector_success");
        let slow = ALL.iter().filter(|collector| matches!(collector.lane, Lane::Slow(_)));
        let silent: Vec<&str> = slow.map(|one| one.name).filter(|name| success.get(*name) != Some(&1.0)).collect();
        if !silent.is_empty() {
            return Err(format!("all collectors are to be measured, and these do not work: {silent:?}").into());
        }
        Ok(Refresh { wall, cpu, calls, page })
    }

    /// Calls of the slow lane that wait.
    fn backlog(&mut self) -> Outcome<f64> {
        let page = self.page(OWN)?;
        let line = page.lines().find(|line| line.starts_with("pve_sentinel_slow_lane_backlog{"));
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).ok_or("no backlog on the page")?)
    }

    fn page(&mut self, target: &str) -> Outcome<String> {
        let mut bytes = Vec::new();
        self.client.get(target, false, &mut bytes)?;
        Ok(String::from_utf8(bytes)?)
    }
}

/// Counts what is written to it.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Calls but those that each scrape makes.
fn slow_calls(counts: &Counts) -> u64 {
    let fast = ["/cluster/resources", "/cluster/status", "/version", "/nodes"];
    counts.by_path.iter().filter(|(path, _)| !fast.contains(&path.as_str())).map(|(_, count)| count).sum()
}

/// The series of a family that is told by collector.
fn by_collector<'a>(page: &'a str, name: &str) -> BTreeMap<&'a str, f64> {
    let of = |line: &'a str| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        let (_, collector) = labels.split_once("collector=\"")?;
        Some((collector.split('"').next()?, value.parse().ok()?))
    };
    page.lines().filter_map(of).collect()
}

fn table(told: &[Told]) -> String {
    let mut text = String::from(
        "| API | collectors | CPU ms | wall ms | wall ms, meanwhile | page MB | CPU ns per byte |\n|---|---|--:|--:|--:|--:|--:|\n",
    );
    for told in told {
        let [minimal, all, busy] = told.meanwhile;
        let rows =
            [("minimal", Some(told.minimal), minimal), ("all", Some(told.all), all), ("all, refreshed", None, busy)];
        for (name, at_rest, meanwhile) in rows {
            let milliseconds =
                |seconds: Option<f64>| seconds.map_or_else(String::new, |one| format!("{:.1}", one * 1e3));
            let bytes = at_rest.unwrap_or(meanwhile).bytes;
            text.push_str(&format!(
                "| {} ms | {name} | {} | {} | {} | {:.2} | {} |\n",
                told.latency,
                milliseconds(at_rest.map(|one| one.cpu)),
                milliseconds(at_rest.map(|one| one.wall)),
                milliseconds(Some(meanwhile.wall)),
                bytes / 1e6,
                at_rest.map_or_else(String::new, |one| format!("{:.1}", one.cpu * 1e9 / one.bytes)),
            ));
        }
    }
    text
}

impl Told {
    /// What all collectors add to the fewest.
    fn more(&self) -> Scrape {
        let (all, minimal) = (self.all, self.minimal);
        Scrape { cpu: all.cpu - minimal.cpu, wall: all.wall - minimal.wall, bytes: all.bytes - minimal.bytes }
    }

    fn lines(&self) -> String {
        let (more, minimal, [_, at_rest, busy]) = (self.more(), self.minimal, self.meanwhile);
        let ratios = [
            ratio("times the bytes of the preset minimal", Some(self.all.bytes / minimal.bytes), Goal::AtLeast(1.0)),
            ratio(
                "CPU: a further byte / a byte of minimal",
                divide(Some(more.cpu / more.bytes), Some(minimal.cpu / minimal.bytes)),
                Goal::AtMost(1.0),
            ),
            ratio(
                "CPU: a further byte / a byte that the fast lane tells of guests",
                divide(Some(more.cpu / more.bytes), Some(self.byte)),
                Goal::AtMost(2.0),
            ),
            ratio("wall: growth / growth of CPU", divide(Some(more.wall), Some(more.cpu)), Goal::AtMost(1.5)),
            ratio("wall while it refreshes / at rest", divide(Some(busy.wall), Some(at_rest.wall)), Goal::AtMost(1.5)),
            ratio("calls in flight on a node", Some(f64::from(self.most[0])), Goal::AtMost(2.0)),
            ratio("those of them that can block", Some(f64::from(self.most[1])), Goal::AtMost(1.0)),
        ];
        let lines: String = ratios.iter().map(crate::ratios::Ratio::line).collect();
        format!("\n{} ms per API call:\n{lines}", self.latency)
    }

    /// What a full refresh took, in all and by collector as the page says it.
    fn refreshes(&self) -> String {
        let Refresh { wall, cpu, calls, page } = &self.refresh;
        let mut text = format!(
            "\na full refresh at {} ms per call: {wall:.1} s, {calls:.0} calls, {:.2} ms of CPU a call\n",
            self.latency,
            cpu * 1e3 / calls
        );
        let durations = by_collector(page, "pve_scrape_collector_refresh_duration_seconds");
        let mut calls: Vec<(&str, f64)> =
            by_collector(page, "pve_scrape_collector_refresh_calls").into_iter().collect();
        calls.sort_by(|one, other| other.1.total_cmp(&one.1));
        for (name, calls) in calls {
            let seconds = durations.get(name).copied().unwrap_or_default();
            text.push_str(&format!("  {name:<18} {calls:>6.0} calls {seconds:>8.2} s\n"));
        }
        text
    }
}

/// What a scrape's growth has to do with the latency of the calls of the slow lane.
fn growth(told: &[Told]) -> String {
    let [low, high] = told else { return String::new() };
    let value = divide(Some(high.more().wall), Some(low.more().wall));
    format!("\nboth:\n{}", ratio("wall: growth with 50 ms per call / with 5 ms", value, Goal::AtMost(1.3)).line())
}
