//! SIGKILL between watch, journal, send and cursor: whatever the process was at, everything that happened is told to each
//! Alertmanager, is in the API exactly once, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pve_sentinel::sim::{Fault, Task, World};
use serde_json::Value;

use super::events::{Fake, config, events};
use super::watch::look;
use crate::support::{Exporter, Page, Simulated};

/// Tasks that fail at once on one node: more than the short list shows, so that its archive is read.
const BURST: usize = 30;

/// A place in the course of a look at which the process is held, and killed.
struct Window {
    name: &'static str,
    /// Makes the process stay there.
    hold: fn(&Scene),
    /// Whether it is there.
    is_there: fn(&Scene, &Exporter) -> bool,
    /// What comes just before the kill.
    last: fn(&Scene),
    /// How much larger than at its start the journal may grow, in bytes.
    room: Option<u64>,
}

const WINDOWS: [Window; 11] = [
    Window {
        name: "the tasks are read, the states of the cluster are not",
        hold: |scene| scene.hang("/cluster/status"),
        is_there: |scene, _| scene.hangs("/cluster/status") && scene.hangs("/cluster/tasks"),
        ..ANY
    },
    Window {
        name: "the short list of tasks is read, the archive of a node is not",
        hold: |scene| scene.hang("/nodes/pve1/tasks"),
        is_there: |scene, _| scene.hangs("/nodes/pve1/tasks"),
        ..ANY
    },
    Window {
        name: "all tasks are read, the log of a backup job is not",
        hold: |scene| scene.hang("/nodes/pve2/tasks/"),
        is_there: |scene, _| scene.hangs("/nodes/pve2/tasks/"),
        ..ANY
    },
    Window {
        name: "found and told, and the disk is full",
        is_there: |scene, exporter| own(exporter, "pve_sentinel_events_at_risk") > 0.0 && scene.is_told(),
        room: Some(4096),
        ..ANY
    },
    Window {
        name: "found, the disk is full, and no Alertmanager is there",
        hold: |scene| scene.fakes.iter().for_each(|fake| fake.says(503, "away")),
        is_there: |_, exporter| own(exporter, "pve_sentinel_events_at_risk") > 0.0,
        room: Some(4096),
        ..ANY
    },
    Window {
        name: "on the disk, and no Alertmanager is there",
        hold: |scene| scene.fakes.iter().for_each(|fake| fake.says(503, "away")),
        is_there: |scene, exporter| scene.is_kept(exporter),
        ..ANY
    },
    Window {
        name: "on the disk, one Alertmanager has taken it, the other one is away",
        hold: |scene| scene.fakes[1].says(503, "away"),
        is_there: |scene, _| scene.misses(&scene.fakes[0].accepted()).is_empty(),
        ..ANY
    },
    Window {
        name: "sent, and not answered",
        hold: |scene| scene.fakes.iter().for_each(|fake| fake.hold(true)),
        is_there: |scene, _| scene.fakes.iter().all(|fake| scene.misses(&fake.posted()).is_empty()),
        ..ANY
    },
    Window {
        name: "sent, answered by one Alertmanager only",
        hold: |scene| scene.fakes[0].hold(true),
        is_there: |scene, _| scene.is_posted(),
        ..ANY
    },
    Window {
        name: "answered just now",
        hold: |scene| scene.fakes.iter().for_each(|fake| fake.hold(true)),
        is_there: |scene, _| scene.is_posted(),
        last: |scene| scene.fakes.iter().for_each(|fake| fake.hold(false)),
        ..ANY
    },
    Window {
        name: "told, and that it is told is written down",
        is_there: |scene, exporter| {
            let waits = own(exporter, "pve_sentinel_events_pending");
            scene.is_told() && scene.is_kept(exporter) && waits == 0.0
        },
        ..ANY
    },
];

/// Nothing holds it.
const ANY: Window = Window { name: "", hold: |_| (), is_there: |_, _| true, last: |_| (), room: None };

/// Three nodes, two Alertmanagers, and the folder between them.
struct Scene {
    simulated: Simulated,
    folder: tempfile::TempDir,
    fakes: [Fake; 2],
    /// Ids of guests, such as `qemu/100`, by number.
    ids: BTreeMap<u64, String>,
    /// Guests of the third node that will stop by themselves.
    victims: Vec<u64>,
    /// All that is to be in the API: kind, id and state.
    expected: Vec<[String; 3]>,
    /// Requests for a path before it was held.
    asked: BTreeMap<String, u64>,
}

impl Scene {
    fn new() -> Self {
        let simulated = Simulated::start(World::new(1, 3, 60), 2);
        let resources: Value = serde_json::from_str(&simulated.world.resources(Duration::ZERO)).unwrap();
        let (mut ids, mut victims) = (BTreeMap::new(), Vec::new());
        for entry in resources["data"].as_array().unwrap() {
            let Some(vmid) = entry["vmid"].as_u64() else { continue };
            ids.insert(vmid, entry["id"].as_str().unwrap().to_owned());
            if entry["status"] == "running" && entry["node"] == "pve3" && entry.get("hastate").is_none() {
                victims.push(vmid);
            }
        }
        victims.truncate(2);
        assert_eq!(victims.len(), 2);
        let (folder, fakes) = (tempfile::tempdir().unwrap(), [Fake::start(), Fake::start()]);
        Self { simulated, folder, fakes, ids, victims, expected: Vec::new(), asked: BTreeMap::new() }
    }

    fn config(&self) -> String {
        let member = |fake: &Fake| format!("{{ url = \"http://{}/prefix\" }}", fake.address);
        let members = self.fakes.each_ref().map(member).join(", ");
        config(self.folder.path(), &self.simulated.cluster, &members)
            .replace("[events]\n", "[events]\ninterval = \"1s\"\n")
    }

    fn edit<T>(&self, change: impl FnOnce(&mut pve_sentinel::sim::Edit<'_>) -> T) -> T {
        self.simulated.world.edit(self.simulated.now(), change)
    }

    fn fail(&mut self, (node, kind): (usize, &'static str), vmid: u64, ends: i64) {
        let (by, outcome) = ("root@pam".to_owned(), format!("{kind} failed"));
        let task = Task { node, kind, id: vmid.to_string(), by, begun: ends - 4, ends, outcome, log: Vec::new() };
        self.edit(|edit| edit.task(task));
        self.expect("task_failed", &self.ids[&vmid].clone(), "occurred");
    }

    fn expect(&mut self, kind: &str, id: &str, state: &str) {
        self.expected.push([kind, id, state].map(str::to_owned));
    }

    /// Everything at once, so that one look sees all of it.
    fn happen(&mut self, act: usize, base: u64) {
        let base = i64::try_from(base).unwrap();
        let kind = ["qmstart", "qmreboot"][act];
        let others: Vec<u64> = self.ids.keys().copied().filter(|vmid| !self.victims.contains(vmid)).collect();
        for vmid in others.iter().take(BURST) {
            self.fail((0, kind), *vmid, base + 5);
        }
        let (failed, by) = (others[BURST], "root@pam".to_owned());
        let lines = [format!("INFO: Starting Backup of VM {failed} (qemu)"), "INFO: done".to_owned()];
        let mut log = lines.to_vec();
        log.insert(1, format!("ERROR: Backup of VM {failed} failed - no space left"));
        let (begun, ends, outcome) = (base - 60, base + 5, "job errors".to_owned());
        self.edit(|edit| edit.task(Task { node: 1, kind: "vzdump", id: String::new(), by, begun, ends, outcome, log }));
        self.expect("backup_failed", &self.ids[&failed].clone(), "occurred");
        self.expect("guest_stopped_unexpectedly", &self.ids[&self.victims[act]].clone(), "occurred");
        self.edit(|edit| edit.set_quorate(act == 1));
        self.expect("quorum_lost", "cluster/home", ["began", "ended"][act]);
        if act == 1 {
            self.expect("quorum_regained", "cluster/home", "occurred");
        }
        self.simulated.turn_to(base.unsigned_abs() + 10);
    }

    fn hang(&self, prefix: &str) {
        self.simulated.cluster.sims.iter().for_each(|sim| sim.set_fault(prefix, Fault::Hang));
    }

    fn count(&self, prefix: &str) -> u64 {
        let paths = self.simulated.cluster.sims.iter().flat_map(pve_sentinel::sim::Sim::requests_by_path);
        paths.filter(|(path, _)| path.starts_with(prefix)).map(|(_, count)| count).sum()
    }

    /// Whether it was asked for since everything happened.
    fn hangs(&self, prefix: &str) -> bool {
        self.count(prefix) > self.asked[prefix]
    }

    /// What was posted, by `alertname id task_type`, and when it was said to begin and end.
    fn told(alerts: &[Value]) -> BTreeMap<String, BTreeSet<(String, String)>> {
        let mut told: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        for alert in alerts {
            let time = |name: &str| alert[name].as_str().unwrap().to_owned();
            told.entry(labels(alert)).or_default().insert((time("startsAt"), time("endsAt")));
        }
        told
    }

    /// What is to be told, as [`Self::told`] names it, without what is only kept.
    fn to_tell(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for [kind, id, state] in self.expected.iter().filter(|[kind, ..]| kind != "quorum_regained") {
            let words = kind.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
            all.entry(format!("PVE{} {id}", words.collect::<String>())).or_default().insert(state.clone());
        }
        all
    }

    /// What is to be told and is not in these alerts.
    fn misses(&self, alerts: &[Value]) -> Vec<String> {
        let mut missed: Vec<String> = Vec::new();
        let told = Self::told(alerts);
        let of = |name: &str| told.iter().filter(|(labels, _)| labels.starts_with(name)).collect::<Vec<_>>();
        for (name, states) in self.to_tell() {
            let tasks =
                self.expected.iter().filter(|[kind, id, _]| kind == "task_failed" && name.ends_with(id.as_str()));
            let least = if name.starts_with("PVETaskFailed ") { tasks.count() } else { 1 };
            if of(&format!("{name} ")).len() < least {
                missed.push(name);
            } else if states.contains("ended") && !is_over(alerts, &name) {
                missed.push(format!("{name} is over"));
            }
        }
        missed
    }

    /// Both have taken all.
    fn is_told(&self) -> bool {
        self.fakes.iter().all(|fake| self.misses(&fake.accepted()).is_empty())
    }

    /// Both were sent all.
    fn is_posted(&self) -> bool {
        self.fakes.iter().all(|fake| self.misses(&fake.posted()).is_empty())
    }

    fn is_kept(&self, exporter: &Exporter) -> bool {
        let mut expected = self.expected.clone();
        expected.sort();
        listed(exporter) == expected
    }

    /// Runs the process until it is in the window, kills it there, and lets something happen while nobody watches.
    fn kill_in(&mut self, window: &Window, act: usize, base: u64) {
        let room = window.room.map(|room| {
            let journal = std::fs::metadata(self.folder.path().join("events.journal")).unwrap();
            (journal.len() + room) / 512
        });
        let exporter = match room {
            Some(blocks) => Exporter::serve_within(blocks, &self.config()),
            None => Exporter::serve(&self.config()),
        };
        look(&exporter);
        for prefix in ["/cluster/status", "/cluster/tasks", "/nodes/pve1/tasks", "/nodes/pve2/tasks/"] {
            self.asked.insert(prefix.to_owned(), self.count(prefix));
        }
        (window.hold)(self);
        self.happen(act, base);
        let what = format!("{:?}, act {act}: the process is there", window.name);
        wait(&what, || (window.is_there)(self, &exporter), || self.state(&exporter));
        (window.last)(self);
        // SIGKILL.
        drop(exporter);
        self.simulated.cluster.sims.iter().for_each(pve_sentinel::sim::Sim::clear_faults);
        for fake in &self.fakes {
            fake.says(200, "");
            fake.hold(false);
        }
        let ends = i64::try_from(base).unwrap() + 35;
        let others: Vec<u64> = self.ids.keys().copied().filter(|vmid| !self.victims.contains(vmid)).collect();
        for vmid in [others[BURST + 1 + act], others[BURST + 3 + act]] {
            self.fail((2, "qmstop"), vmid, ends);
        }
        self.simulated.turn_to(base + 40);
    }

    /// The next process tells what the one before left.
    fn settle(&self, window: &Window, act: usize, base: u64) {
        let exporter = Exporter::serve(&self.config());
        look(&exporter);
        self.simulated.turn_to(base + 60);
        look(&exporter);
        let what = format!("{:?}, act {act}: everything is told", window.name);
        wait(&what, || self.is_told() && self.is_kept(&exporter), || self.state(&exporter));
        for fake in &self.fakes {
            let told = Self::told(&fake.posted());
            let phantoms: Vec<&String> = told.keys().filter(|labels| !self.is_meant(labels)).collect();
            assert!(phantoms.is_empty(), "{:?}, act {act}: {phantoms:?} never happened", window.name);
            for (labels, times) in told {
                let starts: BTreeSet<&String> = times.iter().map(|(starts, _)| starts).collect();
                // What was noticed and not written down is noticed again, later.
                let at_most = if window.room.is_some() && labels.starts_with("PVEQuorumLost") { 2 } else { 1 };
                assert!(starts.len() <= at_most, "{:?}, act {act}: {labels} began at {starts:?}", window.name);
            }
        }
        assert_eq!(own(&exporter, "pve_sentinel_events_at_risk"), 0.0, "{:?}", window.name);
    }

    fn is_meant(&self, labels: &str) -> bool {
        self.to_tell().keys().any(|name| labels.starts_with(&format!("{name} ")))
    }

    fn state(&self, exporter: &Exporter) -> String {
        let missing = self.fakes.each_ref().map(|fake| self.misses(&fake.accepted()));
        let mut left = listed(exporter);
        let mut expected = self.expected.clone();
        expected.retain(|one| left.iter().position(|other| other == one).map(|at| left.remove(at)).is_none());
        format!("not taken: {missing:?}; not listed: {expected:?}; listed too often: {left:?}")
    }
}

/// `alertname id task_type`.
fn labels(alert: &Value) -> String {
    let text = |name: &str| alert["labels"][name].as_str().unwrap_or_default();
    format!("{} {} {}", text("alertname"), text("id"), text("task_type"))
}

/// Whether the last word of a condition is that it is over: it ends earlier than it was said to before.
fn is_over(alerts: &[Value], name: &str) -> bool {
    let ends = |alert: &Value| alert["endsAt"].as_str().unwrap().to_owned();
    let all: Vec<String> =
        alerts.iter().filter(|alert| labels(alert).starts_with(&format!("{name} "))).map(ends).collect();
    all.last().zip(all.iter().max()).is_some_and(|(last, most)| last < most)
}

/// The sum of one of its own figures.
fn own(exporter: &Exporter, name: &str) -> f64 {
    let page = Page::parse(&exporter.page("/metrics?collect[]=process"));
    page.samples.get(name).map_or(0.0, |series| series.values().sum())
}

/// Kind, id and state of all events in the API, sorted.
fn listed(exporter: &Exporter) -> Vec<[String; 3]> {
    let answer = events(exporter, "?since=0");
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let all = answer["events"].as_array().unwrap().iter();
    let mut all: Vec<_> = all.map(|event| ["kind", "id", "state"].map(|name| text(event, name))).collect();
    all.sort();
    all
}

fn wait(what: &str, is: impl Fn() -> bool, state: impl Fn() -> String) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(120), "{what}: never; {}", state());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Once while something begins to be wrong, and once while it ends.
fn kill_twice_in(window: &Window) {
    let mut scene = Scene::new();
    scene.simulated.turn_to(90);
    look(&Exporter::serve(&scene.config()));
    for act in 0..2 {
        let base = 100 + 100 * act as u64;
        scene.simulated.turn_to(base);
        // Seen stopped at once, and told at the next time of the cluster.
        let victim = scene.victims[act];
        assert!(scene.edit(|edit| edit.halt(victim)));
        scene.kill_in(window, act, base);
        scene.settle(window, act, base);
    }
    assert_eq!(scene.expected.len(), 2 * (BURST + 5) + 1);
}

#[test]
fn sigkill_in_each_window_loses_nothing_and_tells_nothing_twice() {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // A few at once; more would only wait for each other.
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(window) = WINDOWS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = std::panic::catch_unwind(|| kill_twice_in(window));
                    assert!(done.is_ok(), "killed in the window {:?}: see above", window.name);
                }
            });
        }
    });
    assert!(next.into_inner() > WINDOWS.len());
}
