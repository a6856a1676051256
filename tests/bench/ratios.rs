//! What the table must show: ratios within one run, each with its goal.

use std::time::Duration;

use crate::measure::Work;
use crate::session::Cell;

const IDENTITY: Work = Work::Fast { gzip: false, at_once: 1 };
const GZIP: Work = Work::Fast { gzip: true, at_once: 1 };
const EIGHT: Work = Work::Fast { gzip: false, at_once: 8 };
const EIGHT_GZIP: Work = Work::Fast { gzip: true, at_once: 8 };

const REFERENCE: &str = "prometheus-pve-exporter";
const FLOOR: &str = "floor";

const MIB: f64 = 1024.0 * 1024.0;

/// A number and what it may be.
pub(crate) struct Ratio {
    what: String,
    value: Option<f64>,
    goal: Goal,
}

pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
}

/// The cells of one program.
struct Told<'a> {
    cells: &'a [Cell],
    program: &'a str,
}

/// The lines below the table: the largest cluster that was measured, each build of the exporter by itself.
pub(crate) fn lines(cells: &[Cell], programs: &[&str]) -> String {
    let mut text = String::new();
    let Some(largest) = cells.iter().map(|cell| cell.setting.size.guests).max() else { return text };
    for program in programs {
        let told = Told { cells, program };
        let label = cells.iter().find(|cell| cell.setting.size.guests == largest).map(|cell| cell.setting.size.label());
        text.push_str(&format!("\n{program} at {}:\n", label.unwrap_or_default()));
        let ratios = told.speed(largest).into_iter().chain(told.memory(largest)).chain(told.calls(largest));
        ratios.for_each(|ratio| text.push_str(&ratio.line()));
    }
    text
}

impl Told<'_> {
    fn of(&self, program: &str, guests: usize, latency_ms: u64, work: Work) -> Option<&Cell> {
        let latency = Duration::from_millis(latency_ms);
        self.cells.iter().find(|cell| {
            let same_place = cell.setting.size.guests == guests && cell.setting.latency == latency;
            cell.program == program && same_place && cell.work == work
        })
    }

    fn own(&self, guests: usize, work: Work) -> Option<&Cell> {
        self.of(self.program, guests, 0, work)
    }

    fn floor(&self, guests: usize, work: Work) -> Option<&Cell> {
        self.of(FLOOR, guests, 0, work)
    }

    fn speed(&self, guests: usize) -> Vec<Ratio> {
        let cpu = |cell: Option<&Cell>| cell.map(Cell::cpu);
        let (identity, gzip) = (cpu(self.own(guests, IDENTITY)), cpu(self.own(guests, GZIP)));
        let (floor, compress) = (cpu(self.floor(guests, IDENTITY)), cpu(self.floor(guests, Work::Compress)));
        let mut ratios = vec![
            ratio("identity: CPU / floor, per series", divide(identity, floor), Goal::AtMost(1.5)),
            ratio(
                "identity: wall / (slowest call + 1.5 × floor)",
                divide(self.own(guests, IDENTITY).map(Cell::wall), self.floor(guests, IDENTITY).map(wall_limit)),
                Goal::AtMost(1.0),
            ),
            ratio(
                "gzip: CPU / (identity + gzip -1 of the same bytes)",
                divide(gzip, identity.zip(compress).map(|(identity, compress)| identity + compress)),
                Goal::AtMost(1.2),
            ),
            ratio("8 identity at once: CPU / one", divide(cpu(self.own(guests, EIGHT)), identity), Goal::AtMost(8.0)),
            ratio("8 gzip at once: CPU / one", divide(cpu(self.own(guests, EIGHT_GZIP)), gzip), Goal::AtMost(1.3)),
        ];
        if let Some(reference) = self.of(REFERENCE, guests, 0, IDENTITY) {
            ratios.push(ratio("reference: CPU / ours", divide(Some(reference.cpu()), identity), Goal::AtLeast(50.0)));
        }
        ratios
    }

    fn memory(&self, guests: usize) -> Vec<Ratio> {
        let json = self.own(guests, IDENTITY).map(Cell::json);
        let above_idle = |bytes: u64, cell: &Cell| bytes.saturating_sub(cell.memory.idle) as f64;
        let peak = |works: &[Work]| {
            let cells = works.iter().filter_map(|work| self.own(guests, *work));
            cells.map(|cell| above_idle(cell.peak(), cell)).max_by(f64::total_cmp)
        };
        let after = |work| self.own(guests, work).map(|cell| above_idle(cell.memory.after, cell));
        let idle = self.own(guests, IDENTITY).map(|cell| cell.memory.idle as f64 / MIB);
        vec![
            ratio("memory: peak above idle / JSON", divide(peak(&[IDENTITY, GZIP]), json), Goal::AtMost(3.0)),
            ratio("memory: the same, 8 at once", divide(peak(&[EIGHT, EIGHT_GZIP]), json), Goal::AtMost(3.0)),
            ratio("memory: after scrapes above idle / JSON", divide(after(IDENTITY), json), Goal::AtMost(1.5)),
            ratio("memory: the same, after 8 at once", divide(after(EIGHT), json), Goal::AtMost(1.5)),
            ratio("memory: idle, in MiB", idle, Goal::AtMost(12.0)),
        ]
    }

    fn calls(&self, guests: usize) -> Vec<Ratio> {
        let smallest = self.cells.iter().map(|cell| cell.setting.size.guests).min().filter(|least| *least != guests);
        let calls = |guests| self.own(guests, IDENTITY).map(|cell| cell.median(|sample| sample.calls));
        let handshakes = |work| self.own(guests, work).map(|cell| cell.median(|sample| sample.handshakes));
        let wall = |work| self.of(self.program, 100, 20, work).map(|cell| cell.wall() * 1000.0);
        // Four round trips of 20 ms and 60 ms.
        let limit = Goal::AtMost(4.0 * 20.0 + 60.0);
        vec![
            ratio(
                "API calls per scrape / those of the smallest cluster",
                divide(calls(guests), smallest.and_then(calls)),
                Goal::Exactly(1.0),
            ),
            ratio("new connections of the first scrape", handshakes(Work::First), Goal::AtMost(3.0)),
            ratio("new connections of a later one", handshakes(IDENTITY), Goal::Exactly(0.0)),
            ratio("3×100 with 20 ms per call: wall of the first scrape in ms", wall(Work::First), limit),
            ratio("3×100 with 20 ms per call: wall of a later one in ms", wall(IDENTITY), Goal::AtMost(140.0)),
        ]
    }
}

/// The API's share of the floor client's time, and one and a half of the rest.
fn wall_limit(floor: &Cell) -> f64 {
    let fetch = floor.median(|sample| sample.fetch.as_secs_f64());
    fetch + 1.5 * (floor.wall() - fetch)
}

pub(crate) fn ratio(what: &str, value: Option<f64>, goal: Goal) -> Ratio {
    Ratio { what: what.to_owned(), value, goal }
}

pub(crate) fn divide(value: Option<f64>, by: Option<f64>) -> Option<f64> {
    value.zip(by).map(|(value, by)| value / by).filter(|ratio| ratio.is_finite())
}

impl Ratio {
    /// As it is printed.
    pub(crate) fn line(&self) -> String {
        let (sign, goal, met) = match self.goal {
            Goal::AtMost(goal) => ("≤", goal, self.value.map(|value| value <= goal)),
            Goal::AtLeast(goal) => ("≥", goal, self.value.map(|value| value >= goal)),
            Goal::Exactly(goal) => ("=", goal, self.value.map(|value| (value - goal).abs() < 0.005)),
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        let value = self.value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        format!("  {:<60} {value:>8}   goal {sign} {goal:<6} {verdict}\n", self.what)
    }
}
