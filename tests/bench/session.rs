//! One cluster, measured: all programs at work in turns.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::arguments::{Arguments, Size};
use crate::measure::{Sample, Subject, WHOLE, Work, sample};
use crate::protocol::{FloorOrder, FloorReport, Helper, SimulatorOrder, SimulatorReady, TOKEN_ID, TOKEN_SECRET};
use crate::server::Server;
use crate::usage;

/// How long after its start the exporter is called idle.
const IDLE: Duration = Duration::from_secs(10);

/// How long after the last scrape the memory is read that was not given back.
const REST: Duration = Duration::from_secs(2);

/// The slow lane is waited for no longer than this.
const SLOW_LANE: Duration = Duration::from_secs(120);

/// A cluster behind an API of some latency.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) size: Size,
    /// What the API adds to each answer.
    pub(crate) latency: Duration,
}

/// What one program did at one work.
pub(crate) struct Cell {
    pub(crate) setting: Setting,
    pub(crate) program: String,
    pub(crate) work: Work,
    pub(crate) samples: Vec<Sample>,
    pub(crate) series: usize,
    pub(crate) memory: Rest,
}

/// Memory between the scrapes, in bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rest {
    /// Before the first scrape.
    pub(crate) idle: u64,
    /// After the last one.
    pub(crate) after: u64,
}

/// A program, what it is to do, and what it did so far.
struct Post {
    subject: Subject,
    idle: u64,
    series: usize,
    work: Vec<(Work, Vec<Sample>)>,
}

/// The processes of one setting.
struct Session<'a> {
    arguments: &'a Arguments,
    setting: Setting,
    api: Helper,
    ready: SimulatorReady,
}

/// Measures one setting. The first cell of each exporter is its very first scrape.
pub(crate) fn measure(arguments: &Arguments, setting: Setting) -> Outcome<Vec<Cell>> {
    let mut session = Session::start(arguments, setting)?;
    let mut cells = Vec::new();
    let mut exporters = session.exporters()?;
    for exporter in &mut exporters {
        let first = sample(&mut exporter.subject, &mut session.api, fast(false, 1), 1)?;
        let page = exporter.subject.page()?;
        exporter.series = count_series(&page);
        cells.push(exporter.cell(setting, Work::First, vec![first], 0));
    }
    let mut floor = session.floor(&mut exporters[0].subject)?;
    let (singles, crowds) = ([fast(false, 1), fast(true, 1)], [fast(false, 8), fast(true, 8)]);
    floor.work = [singles.as_slice(), &[Work::Compress]].concat().into_iter().map(Post::to_do).collect();
    exporters.iter_mut().for_each(|post| post.work = singles.map(Post::to_do).into());
    exporters.push(floor);
    session.rounds(&mut exporters, &mut cells)?;
    exporters.retain(|post| post.subject.name != "floor");
    exporters.iter_mut().for_each(|post| post.work = crowds.map(Post::to_do).into());
    session.rounds(&mut exporters, &mut cells)?;
    drop(exporters.split_off(1));
    if setting.latency.is_zero() && !arguments.quick {
        exporters[0].series = session.wait_for_slow_lane(&mut exporters[0].subject)?;
        exporters[0].work = vec![Post::to_do(Work::Whole)];
        session.rounds(&mut exporters, &mut cells)?;
    }
    drop(exporters);
    if let Some(mut reference) = session.reference()? {
        session.rounds(std::slice::from_mut(&mut reference), &mut cells)?;
    }
    Ok(cells)
}

fn fast(gzip: bool, at_once: usize) -> Work {
    Work::Fast { gzip, at_once }
}

impl Session<'_> {
    fn start(arguments: &Arguments, setting: Setting) -> Outcome<Session<'_>> {
        let mut api = Helper::start("simulator")?;
        let ready = api.ask(&SimulatorOrder {
            nodes: setting.size.nodes,
            guests: setting.size.guests,
            latency_ms: u64::try_from(setting.latency.as_millis())?,
            token_id: TOKEN_ID.to_owned(),
            secret: TOKEN_SECRET.to_owned(),
            tasks_per_minute: 0,
            all_rights: false,
        })?;
        Ok(Session { arguments, setting, api, ready })
    }

    fn exporters(&self) -> Outcome<Vec<Post>> {
        let mut posts = Vec::new();
        for variant in &self.arguments.variants {
            let server = Server::exporter(variant, &self.ready)?;
            posts.push(Post {
                subject: Subject::exporter(&variant.name, server),
                idle: 0,
                series: 0,
                work: Vec::new(),
            });
        }
        let waits = self.setting.latency.is_zero() && !self.arguments.quick;
        sleep(if waits { IDLE } else { Duration::from_secs(1) });
        for post in &mut posts {
            post.idle = usage::memory(post.subject.pid())?.resident;
        }
        Ok(posts)
    }

    /// The floor client, once it has proved that it writes what the exporter writes.
    fn floor(&self, exporter: &mut Subject) -> Outcome<Post> {
        let mut helper = Helper::start("floor")?;
        let _: FloorReport = helper.ask(&FloorOrder {
            url: format!("https://{}", self.ready.address),
            ca_pem: self.ready.ca_pem.clone(),
            token_id: TOKEN_ID.to_owned(),
            secret: TOKEN_SECRET.to_owned(),
        })?;
        let mut subject = Subject::floor(helper);
        let (ours, floors) = (exporter.page()?, subject.page()?);
        let series = same_series(&ours, &floors)?;
        subject.load(&ours)?;
        let idle = usage::memory(subject.pid())?.resident;
        Ok(Post { subject, idle, series, work: Vec::new() })
    }

    fn reference(&mut self) -> Outcome<Option<Post>> {
        let Some(server) = Server::reference(&self.ready)? else { return Ok(None) };
        let mut subject = Subject::reference(server, &self.ready.address);
        let idle = usage::memory(subject.pid())?.resident;
        let series = match subject.page() {
            Ok(page) => count_series(&page),
            Err(error) => {
                crate::say(&format!("\n{}: no page: {error}", subject.name));
                return Ok(None);
            }
        };
        Ok(Some(Post { subject, idle, series, work: vec![Post::to_do(fast(false, 1))] }))
    }

    /// All posts do all their works in turns, round after round; the first round is not counted.
    fn rounds(&mut self, posts: &mut [Post], cells: &mut Vec<Cell>) -> Outcome<()> {
        let rounds = match (self.arguments.quick, posts.iter().any(|post| post.subject.is_slow())) {
            (true, _) => 3,
            (false, true) => 3,
            (false, false) => 11,
        };
        let times = self.times();
        for round in 0..=rounds {
            for post in posts.iter_mut() {
                for (work, samples) in &mut post.work {
                    let sample = sample(&mut post.subject, &mut self.api, *work, times)?;
                    if round > 0 {
                        samples.push(sample);
                    }
                }
            }
        }
        sleep(REST);
        for post in posts {
            let after = usage::memory(post.subject.pid())?.resident;
            for (work, samples) in std::mem::take(&mut post.work) {
                cells.push(post.cell(self.setting, work, samples, after));
            }
        }
        Ok(())
    }

    /// Short works are done several times in a row, so that the clock can see them.
    fn times(&self) -> u32 {
        match self.setting.size.guests {
            0..=200 => 10,
            201..=1000 => 5,
            1001..=4000 => 2,
            _ => 1,
        }
    }

    /// Scrapes everything until the slow lane has nothing left to do, but not for ever; answers how many series there are.
    fn wait_for_slow_lane(&mut self, exporter: &mut Subject) -> Outcome<usize> {
        let started = Instant::now();
        loop {
            let page = exporter.get(WHOLE)?;
            let mut backlog = page.lines().filter(|line| line.starts_with("pve_sentinel_slow_lane_backlog{"));
            if backlog.all(|line| line.ends_with(" 0")) || started.elapsed() > SLOW_LANE {
                return Ok(count_series(&page));
            }
            sleep(Duration::from_secs(1));
        }
    }
}

impl Post {
    fn to_do(work: Work) -> (Work, Vec<Sample>) {
        (work, Vec::new())
    }

    fn cell(&self, setting: Setting, work: Work, samples: Vec<Sample>, after: u64) -> Cell {
        let memory = Rest { idle: self.idle, after };
        Cell { setting, program: self.subject.name.clone(), work, samples, series: self.series, memory }
    }
}

fn count_series(page: &str) -> usize {
    page.lines().filter(|line| !line.starts_with('#')).count()
}

/// How many series the floor client's page has: the exporter's, but for what a scrape says of itself.
fn same_series(exporter: &str, floor: &str) -> Outcome<usize> {
    let series = |page: &str| -> BTreeSet<String> {
        let wanted = page.lines().filter(|line| !line.starts_with('#') && !line.starts_with("pve_scrape_"));
        wanted.map(str::to_owned).collect()
    };
    let (ours, floors) = (series(exporter), series(floor));
    match ours.symmetric_difference(&floors).next() {
        None => Ok(floors.len()),
        Some(line) => {
            let who = if ours.contains(line) { "the exporter" } else { "the floor client" };
            Err(format!("the floor client is to write the exporter's series; only {who} writes {line}").into())
        }
    }
}
