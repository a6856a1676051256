//! A plan is carried out with the real binary, a simulated cluster and Alertmanagers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pve_sentinel::sim::{Fault, NodeState, World};
use serde_json::Value;

use super::super::events::{Fake, SPEECHLESS, config, events};
use super::observer::{Alerts, Findings, Known, some};
use super::plan::{MEMBERS, MOBILE, Mood, NODES, Path, Step};
use super::work::{Guests, Piece, Work};
use crate::support::{Exporter, Page, Simulated};

/// Guests of the cluster.
const GUESTS: usize = 300;
/// The last word of all: longer than anything rests after a failure.
pub const PATIENCE: Duration = Duration::from_secs(75);
/// While PVE is late, no more of its time goes by than of ours.
const SLOWLY: u64 = 3;

/// What a storm was like.
#[derive(Debug)]
pub struct Summary {
    pub tasks: usize,
    pub findings: BTreeMap<&'static str, usize>,
    pub kills: usize,
    /// Seconds of the cluster.
    pub lasted: u64,
}

/// All that there is in a storm.
struct Storm {
    simulated: Simulated,
    folder: tempfile::TempDir,
    members: Vec<(Fake, Alerts)>,
    exporter: Option<Exporter>,
    /// The process has not seen all of the cluster yet.
    is_fresh: bool,
    guests: Guests,
    work: Work,
    expected: Findings,
    /// Guests that something happened to.
    touched: BTreeSet<u64>,
    away: BTreeSet<usize>,
    no_quorum: bool,
    /// How late answers are, in milliseconds.
    late: u64,
    failing: BTreeSet<&'static str>,
    now: u64,
    tasks: usize,
    kills: usize,
}

/// Carries out the steps; fails with what was lost, or told and never happened. Nothing is waited for longer than `patience`
/// without any progress.
pub fn run(plan: &[Step], patience: Duration) -> Result<Summary, String> {
    let mut storm = Storm::begin()?;
    for step in plan {
        storm.step(step)?;
    }
    storm.calm()?;
    storm.settle(patience)?;
    let findings = storm.expected.by_kind();
    Ok(Summary { tasks: storm.tasks, findings, kills: storm.kills, lasted: storm.now })
}

impl Storm {
    /// A cluster in which nothing is wrong, seen by a process.
    fn begin() -> Result<Self, String> {
        let world = World::new(7, NODES, GUESTS);
        let simulated = Simulated::start(world, 2);
        let vmids = simulated.world.vmids();
        // What HA does is not what a plan says.
        simulated.world.edit(Duration::ZERO, |edit| vmids.iter().for_each(|vmid| assert!(edit.manage(*vmid, false))));
        simulated.turn_to(100);
        let guests = Guests::of(&simulated.world.resources(Duration::from_secs(100)));
        let mut storm = Self {
            simulated,
            folder: tempfile::tempdir().unwrap(),
            members: (0..MEMBERS).map(|_| (Fake::start(), Alerts::default())).collect(),
            exporter: None,
            is_fresh: true,
            guests,
            work: Work::default(),
            expected: Findings::default(),
            touched: BTreeSet::new(),
            away: BTreeSet::new(),
            no_quorum: false,
            late: 0,
            failing: BTreeSet::new(),
            now: 100,
            tasks: 0,
            kills: 0,
        };
        // A node that nothing was ever seen of is not known to have a clock that goes back.
        for node in 0..NODES {
            storm.work.add(Piece::quiet(node, 40));
        }
        storm.insert(100);
        storm.start();
        storm.looked(2)?;
        Ok(storm)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let now = i64::try_from(self.now).unwrap();
        match *step {
            Step::Tasks { node, count, seconds, seed } => {
                self.work.draw(&self.guests, (node, count), (now, seconds), seed);
            }
            Step::Backup { guests, failed } => self.work.add(Piece::backup(&self.guests, (guests, failed), now)),
            Step::Crash { guest } => self.happens_to(guest, false),
            Step::Restart { guest } => self.happens_to(guest, true),
            Step::Stop { guest } => {
                let vmid = self.guests.lonely(guest);
                if self.touched.insert(vmid) {
                    self.work.add(Piece::stop(&self.guests, vmid, now));
                }
            }
            Step::Away { node } => self.lose(node)?,
            Step::Back { node } => self.bring_back(node)?,
            Step::Quorum { there } => self.quorum(there)?,
            Step::Kill { ms } => {
                std::thread::sleep(Duration::from_millis(ms));
                self.kills += usize::from(self.exporter.take().is_some());
            }
            Step::Start => self.start(),
            Step::Alertmanager { member, mood } => {
                let (status, text) = match mood {
                    Mood::Well => (200, ""),
                    Mood::Away => (503, "away"),
                    Mood::Speechless => (SPEECHLESS, ""),
                };
                self.members[member].0.says(status, text);
            }
            Step::Late { path, ms } => {
                self.late = self.late.max(ms);
                self.set_fault(path, &Fault::Slow(Duration::from_millis(ms)));
            }
            Step::Failing { path } => {
                let (reason, body) = ("not now".to_owned(), String::new());
                self.set_fault(path, &Fault::Status { code: 500, reason, body });
                self.failing.insert(path.text());
            }
            Step::OnTime => self.on_time(),
            Step::Refuses { does } => {
                let state = if does { NodeState::Dead } else { NodeState::Well };
                self.simulated.cluster.set_node_state(1, state);
            }
            Step::Clock { node, by } => self.edit(|edit| edit.set_clock(node, now + 1, by)),
            Step::Pass { seconds, ms } => self.pass(seconds, ms)?,
        }
        Ok(())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut pve_sentinel::sim::Edit<'_>) -> T) -> T {
        self.simulated.world.edit(Duration::from_secs(self.now), change)
    }

    fn set_fault(&self, path: Path, fault: &Fault) {
        self.simulated.cluster.sims.iter().for_each(|sim| sim.set_fault(path.text(), fault.clone()));
    }

    fn start(&mut self) {
        if self.exporter.is_none() {
            let members: Vec<String> = self
                .members
                .iter()
                .map(|(fake, _)| format!("{{ url = \"http://{}/prefix\" }}", fake.address))
                .collect();
            let config = config(self.folder.path(), &self.simulated.cluster, &members.join(", "));
            let config = config.replace("[events]\n", "[events]\ninterval = \"1s\"\nresend = \"20s\"\n");
            self.exporter = Some(Exporter::serve(&config));
            self.is_fresh = true;
        }
    }

    /// What is late by now was asked in another time, and answered in this one.
    fn on_time(&mut self) {
        self.simulated.cluster.sims.iter().for_each(pve_sentinel::sim::Sim::clear_faults);
        self.failing.clear();
        std::thread::sleep(Duration::from_millis(std::mem::take(&mut self.late)));
    }

    fn pass(&mut self, seconds: u64, ms: u64) -> Result<(), String> {
        let guests_are_told = ![Path::Tasks, Path::Resources].iter().any(|path| self.failing.contains(path.text()));
        if self.is_fresh && self.exporter.is_some() && guests_are_told {
            // Figures of one time with the date of another would be no fault of PVE's.
            self.first_look();
        }
        let next = self.now + if self.late > 0 { seconds.min(SLOWLY) } else { seconds };
        let stopped = self.insert(next);
        self.now = next;
        self.simulated.turn_to(next);
        self.edit(|edit| stopped.into_iter().for_each(|vmid| assert!(edit.halt(vmid))));
        std::thread::sleep(Duration::from_millis(ms));
        self.collect();
        Ok(())
    }

    /// Tasks that have begun by then are there from then on, those of nodes that are away when they are back. Answers which
    /// guests they stop.
    fn insert(&mut self, by: u64) -> Vec<u64> {
        let begun = self.work.begun(i64::try_from(by).unwrap(), &self.away);
        let upids = self.edit(|edit| begun.iter().map(|piece| edit.task(piece.task.clone())).collect::<Vec<_>>());
        self.expect(&begun, &upids);
        begun.iter().filter_map(|piece| piece.stops).collect()
    }

    fn expect(&mut self, pieces: &[Piece], upids: &[String]) {
        self.tasks += pieces.len();
        for (piece, upid) in pieces.iter().zip(upids) {
            for (kind, id, suffix) in &piece.tells {
                let node = Some(self.simulated.world.node_name(piece.task.node).to_owned());
                let task = Some((piece.task.kind.to_owned(), format!("{upid}{suffix}")));
                self.expected.add(Known { kind, id: id.clone(), node, task, state: "occurred" });
            }
        }
    }

    fn happens_to(&mut self, guest: usize, restarts: bool) {
        let vmid = self.guests.lonely(guest);
        if self.touched.insert(vmid) {
            let kind = if restarts { "guest_restarted_unexpectedly" } else { "guest_stopped_unexpectedly" };
            assert!(self.edit(|edit| if restarts { edit.boot(vmid) } else { edit.halt(vmid) }));
            let id = self.guests.id(vmid);
            self.expected.add(Known { kind, id, node: None, task: None, state: "occurred" });
        }
    }

    fn condition(&mut self, kind: &'static str, id: &str, node: Option<&str>, state: &'static str) {
        let node = node.map(str::to_owned);
        self.expected.add(Known { kind, id: id.to_owned(), node, task: None, state });
    }

    fn lose(&mut self, node: usize) -> Result<(), String> {
        if node < MOBILE || self.away.contains(&node) {
            return Ok(());
        }
        self.notice()?;
        assert!(self.edit(|edit| edit.lose(node)));
        self.away.insert(node);
        let name = self.simulated.world.node_name(node).to_owned();
        self.condition("node_lost", &format!("node/{name}"), Some(&name), "began");
        Ok(())
    }

    fn bring_back(&mut self, node: usize) -> Result<(), String> {
        if !self.away.contains(&node) {
            return Ok(());
        }
        self.notice()?;
        self.away.remove(&node);
        let begun = self.work.begun(i64::try_from(self.now).unwrap(), &self.away);
        // With all that it did meanwhile, at once.
        let upids = self.edit(|edit| {
            assert!(edit.bring_back(node));
            begun.iter().map(|piece| edit.task(piece.task.clone())).collect::<Vec<_>>()
        });
        self.expect(&begun, &upids);
        let name = self.simulated.world.node_name(node).to_owned();
        self.condition("node_returned", &format!("node/{name}"), Some(&name), "occurred");
        self.condition("node_lost", &format!("node/{name}"), Some(&name), "ended");
        Ok(())
    }

    fn quorum(&mut self, there: bool) -> Result<(), String> {
        if there != self.no_quorum {
            return Ok(());
        }
        self.notice()?;
        self.edit(|edit| edit.set_quorate(there));
        self.no_quorum = !there;
        if there {
            self.condition("quorum_regained", "cluster/home", None, "occurred");
        }
        self.condition("quorum_lost", "cluster/home", None, if there { "ended" } else { "began" });
        Ok(())
    }

    /// Before it turns into its opposite, what is must have been seen, as nobody can tell of what nobody saw.
    fn notice(&mut self) -> Result<(), String> {
        self.on_time();
        self.simulated.cluster.set_node_state(1, NodeState::Well);
        self.start();
        self.pass(10, 0)?;
        self.looked(3)
    }

    /// All is well, and all that begins has ended.
    fn calm(&mut self) -> Result<(), String> {
        self.members.iter().for_each(|(fake, _)| fake.says(200, ""));
        for node in MOBILE..NODES {
            self.bring_back(node)?;
        }
        self.quorum(true)?;
        self.notice()?;
        let end = self.work.end().max(0).unsigned_abs().max(self.now) + 20;
        self.pass(end - self.now, 0)?;
        self.looked(3)
    }

    /// Until what there is at each Alertmanager is what must be.
    fn settle(&mut self, patience: Duration) -> Result<(), String> {
        let (mut last, mut progress) = (0, Instant::now());
        loop {
            self.pass(5, 200)?;
            let events = self.events();
            let (lost, phantoms) = self.expected.differences(&Findings::of(&events));
            if !phantoms.is_empty() {
                return Err(some("that never happened", &phantoms) + &some("\nnot found", &lost));
            }
            let must = Alerts::of(&events);
            let differ = self.members.iter().map(|(_, shown)| must.differences(shown)).collect::<Vec<_>>();
            let left = lost.len() + differ.iter().map(|(lacks, more)| lacks.len() + more.len()).sum::<usize>();
            if left == 0 {
                return Ok(());
            }
            if left != std::mem::replace(&mut last, left) {
                progress = Instant::now();
            }
            if progress.elapsed() > patience {
                let mut text = some("not found", &lost);
                for (member, (lacks, more)) in differ.iter().enumerate() {
                    let (lacks, more) = (some("not shown as they must be", lacks), some("that never happened", more));
                    text = format!("{text}\nAlertmanager {member}: {lacks}\nAlertmanager {member}: {more}");
                }
                return Err(text);
            }
        }
    }

    /// All that the API lists.
    fn events(&self) -> Vec<Value> {
        let Some(exporter) = &self.exporter else { return Vec::new() };
        let (mut all, mut since) = (Vec::new(), 0);
        loop {
            let answer = events(exporter, &format!("?since={since}"));
            let list = answer["events"].as_array().unwrap();
            if list.is_empty() {
                return all;
            }
            all.extend(list.iter().cloned());
            since = answer["next"].as_u64().unwrap();
        }
    }

    fn collect(&mut self) {
        for (fake, shown) in &mut self.members {
            shown.take(&fake.take_accepted());
        }
    }

    fn first_look(&mut self) {
        let started = Instant::now();
        while self.answered(&[Path::Tasks, Path::Resources]) < 1.0 && started.elapsed() < Duration::from_secs(15) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.is_fresh = false;
    }

    /// Until so many whole looks were answered.
    fn looked(&self, times: u32) -> Result<(), String> {
        let all = [Path::Tasks, Path::Status, Path::Resources];
        let (before, started) = (self.answered(&all), Instant::now());
        while self.answered(&all) < before + f64::from(times) {
            if started.elapsed() > 2 * PATIENCE {
                let log = self.exporter.as_ref().map(Exporter::log).unwrap_or_default();
                return Err(format!("the cluster is not looked at any more:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// How often each of these was answered.
    fn answered(&self, paths: &[Path]) -> f64 {
        let Some(exporter) = &self.exporter else { return 0.0 };
        let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
        let requests = page.samples.get("pve_sentinel_api_requests_total");
        let of = |path: Path| {
            let well = requests.into_iter().flatten().filter(move |(labels, _)| labels["path"] == path.text());
            well.filter(|(labels, _)| labels["outcome"] == "ok").map(|(_, count)| *count).sum::<f64>()
        };
        paths.iter().map(|path| of(*path)).fold(f64::MAX, f64::min)
    }
}
