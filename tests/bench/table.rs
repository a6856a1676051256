//! The table of all cells, in Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::measure::{Sample, Work};
use crate::session::Cell;

const MIB: f64 = 1024.0 * 1024.0;

impl Cell {
    /// The median of what all samples say of one thing.
    pub(crate) fn median(&self, what: impl Fn(&Sample) -> f64) -> f64 {
        let mut values: Vec<f64> = self.samples.iter().map(what).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.as_slice() {
            [] => 0.0,
            values if values.len() % 2 == 1 => values[middle],
            values => f64::midpoint(values[middle - 1], values[middle]),
        }
    }

    /// Seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.median(|sample| sample.cpu.as_secs_f64())
    }

    /// Seconds.
    pub(crate) fn wall(&self) -> f64 {
        self.median(|sample| sample.wall.as_secs_f64())
    }

    /// Bytes of the API's answers.
    pub(crate) fn json(&self) -> f64 {
        self.median(|sample| sample.json)
    }

    /// The worst of all samples, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.samples.iter().map(|sample| sample.peak).max().unwrap_or(0)
    }
}

/// One row per cell.
pub(crate) fn table(cells: &[Cell]) -> String {
    let mut text = String::from(
        "| nodes × guests | API | program | work | CPU ms | wall ms | peak MiB | idle MiB | after MiB | API calls | TLS full + resumed | JSON MB | series |\n\
         |---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for cell in cells {
        let milliseconds = |seconds: f64| format!("{:.1}", seconds * 1000.0);
        let mebibytes = |bytes: u64| if bytes == 0 { String::new() } else { format!("{:.1}", bytes as f64 / MIB) };
        let resumed = cell.median(|sample| sample.resumed);
        let full = cell.median(|sample| sample.handshakes) - resumed;
        // A String takes everything.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} + {} | {:.2} | {} |",
            cell.setting.size.label(),
            latency(cell.setting.latency),
            cell.program,
            work(cell.work),
            milliseconds(cell.cpu()),
            milliseconds(cell.wall()),
            mebibytes(cell.peak()),
            mebibytes(cell.memory.idle),
            mebibytes(cell.memory.after),
            short(cell.median(|sample| sample.calls)),
            short(full),
            short(resumed),
            cell.json() / 1e6,
            cell.series,
        );
    }
    text
}

fn latency(latency: Duration) -> String {
    format!("{} ms", latency.as_millis())
}

fn work(work: Work) -> String {
    match work {
        Work::First => "first scrape".to_owned(),
        Work::Whole => "whole page".to_owned(),
        Work::Compress => "gzip only".to_owned(),
        Work::Fast { gzip, at_once } => {
            let body = if gzip { "gzip" } else { "identity" };
            if at_once == 1 { body.to_owned() } else { format!("{at_once} {body} at once") }
        }
    }
}

/// Without a fraction where there is none to speak of.
fn short(number: f64) -> String {
    if (number - number.round()).abs() < 0.005 { format!("{:.0}", number.abs()) } else { format!("{number:.2}") }
}
