//! One measurement: a program does its work once, and before and after it everything is read that counts.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::client::Client;
use crate::protocol::{Counts, FloorReport, FloorTask, Helper};
use crate::server::Server;
use crate::usage::{self, Cpu};

/// After its last byte a server still tidies up; that is its cost, too.
const AFTERMATH: Duration = Duration::from_millis(4);

/// The page of the fast lane.
const FAST: &str = "/metrics?collect[]=guest&collect[]=node&collect[]=storage";

/// The page with everything there is.
pub(crate) const WHOLE: &str = "/metrics";

/// What a program is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// The page of the fast lane.
    Fast { gzip: bool, at_once: usize },
    /// The same, plain, and the very first of the process: nothing is connected yet.
    First,
    /// The page with everything there is, the slow lane's included.
    Whole,
    /// gzip of the exporter's page of the fast lane, by the floor client.
    Compress,
}

/// A program at work.
pub(crate) struct Subject {
    pub(crate) name: String,
    program: Program,
}

enum Program {
    Floor(Helper),
    Server { server: Server, fast: String, clients: Vec<Client> },
}

/// What one piece of work cost.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// Of this, waiting for the API; the floor client alone tells.
    pub(crate) fetch: Duration,
    /// The most memory that was resident, in bytes.
    pub(crate) peak: u64,
    /// API calls, TLS handshakes, resumed ones among them, and bytes of answers.
    pub(crate) calls: f64,
    pub(crate) handshakes: f64,
    pub(crate) resumed: f64,
    pub(crate) json: f64,
}

impl Subject {
    pub(crate) fn floor(helper: Helper) -> Self {
        Self { name: "floor".to_owned(), program: Program::Floor(helper) }
    }

    pub(crate) fn exporter(name: &str, server: Server) -> Self {
        let clients = (0..8).map(|_| Client::new(&server.address, true)).collect();
        Self { name: name.to_owned(), program: Program::Server { server, fast: FAST.to_owned(), clients } }
    }

    /// The reference exporter closes kept connections at its own pleasure.
    pub(crate) fn reference(server: Server, api: &str) -> Self {
        let fast = format!("/pve?target={api}&module=default&cluster=1&node=0");
        let clients = vec![Client::new(&server.address, false)];
        Self { name: "prometheus-pve-exporter".to_owned(), program: Program::Server { server, fast, clients } }
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.program {
            Program::Floor(helper) => helper.pid(),
            Program::Server { server, .. } => server.pid(),
        }
    }

    /// Whether rounds of it are to be few.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(&self.program, Program::Server { fast, .. } if fast != FAST)
    }

    /// The page of the fast lane as text.
    pub(crate) fn page(&mut self) -> Outcome<String> {
        let mut bytes = Vec::new();
        match &mut self.program {
            Program::Floor(helper) => {
                let file = tempfile::NamedTempFile::new()?;
                let _: FloorReport = helper.ask(&FloorTask::Page(file.path().to_string_lossy().into_owned()))?;
                bytes = std::fs::read(file.path())?;
            }
            Program::Server { fast, clients, .. } => {
                clients[0].get(fast, false, &mut bytes)?;
            }
        }
        Ok(String::from_utf8(bytes)?)
    }

    /// Hands the floor client a page to compress.
    pub(crate) fn load(&mut self, page: &str) -> Outcome<()> {
        let Program::Floor(helper) = &mut self.program else { return Ok(()) };
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), page)?;
        let _: FloorReport = helper.ask(&FloorTask::Load(file.path().to_string_lossy().into_owned()))?;
        Ok(())
    }

    /// A page of the exporter's, to read something from it.
    pub(crate) fn get(&mut self, target: &str) -> Outcome<String> {
        let mut bytes = Vec::new();
        if let Program::Server { clients, .. } = &mut self.program {
            clients[0].get(target, false, &mut bytes)?;
        }
        Ok(String::from_utf8(bytes)?)
    }

    /// Does its work; answers how long that took, and how long of it the floor client waited for the API.
    fn work(&mut self, work: Work) -> Outcome<(Duration, Duration)> {
        let (fast, clients) = match &mut self.program {
            Program::Floor(helper) => {
                let task = match work {
                    Work::Compress => FloorTask::Compress,
                    Work::Fast { gzip, .. } => FloorTask::Scrape { gzip },
                    Work::First | Work::Whole => FloorTask::Scrape { gzip: false },
                };
                let report: FloorReport = helper.ask(&task)?;
                return Ok((Duration::from_micros(report.wall_us), Duration::from_micros(report.fetch_us)));
            }
            Program::Server { fast, clients, .. } => (fast, clients),
        };
        let wall = match work {
            Work::Fast { gzip, at_once: 1 } => clients[0].get(fast, gzip, &mut std::io::sink())?,
            Work::Fast { gzip, at_once } => crowd(clients.get_mut(..at_once).unwrap_or_default(), fast, gzip)?,
            Work::First | Work::Compress => clients[0].get(fast, false, &mut std::io::sink())?,
            Work::Whole => clients[0].get(WHOLE, false, &mut std::io::sink())?,
        };
        Ok((wall, Duration::ZERO))
    }
}

/// All clients at once; how long until the last one had its page.
pub(crate) fn crowd(clients: &mut [Client], target: &str, gzip: bool) -> Outcome<Duration> {
    let barrier = Barrier::new(clients.len() + 1);
    std::thread::scope(|scope| {
        let start = &barrier;
        let work = move |client: &mut Client| {
            start.wait();
            client.get(target, gzip, &mut std::io::sink()).map_err(|error| error.to_string())
        };
        let threads: Vec<_> = clients.iter_mut().map(|client| scope.spawn(move || work(client))).collect();
        barrier.wait();
        let started = Instant::now();
        for thread in threads {
            thread.join().map_err(|_| "a client panicked")??;
        }
        Ok(started.elapsed())
    })
}

/// Lets a program do its work `times` times in a row; answers the mean.
pub(crate) fn sample(subject: &mut Subject, api: &mut Helper, work: Work, times: u32) -> Outcome<Sample> {
    let pid = subject.pid();
    let counts: Counts = api.ask(&())?;
    usage::reset_peak(pid)?;
    let cpu = Cpu::of(pid)?;
    let (mut wall, mut fetch) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..times {
        let (this, waiting) = subject.work(work)?;
        wall += this;
        fetch += waiting;
    }
    std::thread::sleep(AFTERMATH);
    let cpu = Cpu::of(pid)?.since(&cpu);
    let peak = usage::memory(pid)?.peak;
    let now: Counts = api.ask(&())?;
    let mean = |now: u64, before: u64| now.saturating_sub(before) as f64 / f64::from(times);
    Ok(Sample {
        cpu: cpu / times,
        wall: wall / times,
        fetch: fetch / times,
        peak,
        calls: mean(now.by_path.values().sum(), counts.by_path.values().sum()),
        handshakes: mean(now.handshakes, counts.handshakes),
        resumed: mean(now.resumed, counts.resumed),
        json: mean(now.bytes, counts.bytes),
    })
}
