//! What a scrape costs, beside the least it could cost: `cargo bench --bench scrape`.
//!
//! ```text
//! simulator   the simulated API            ┐
//! server      the exporter under test      ├ a process each, so that each one's CPU and memory can be told
//! floor       the least that can be done   ┘
//! client      reads pages to nowhere, in this process
//! session     starts them and lets them work in turns: A B A B …; measure: one turn; usage: what it cost, from /proc
//! hosts       the same for hosts over SSH, which have another floor; events  the sidecar while nobody scrapes
//! collectors  all of them beside the fewest: what the slow lane adds to a scrape, and what a full refresh takes
//! table, ratios   medians, and what they must show
//! ```
//!
//! Only ratios within one run mean anything: the machine is never alone. A goal that is missed is said and no failure.
//! `tests/bench/compare-peers` adds the reference exporter to the run.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers to look at"
)]

mod arguments;
mod client;
mod collectors;
mod events;
mod floor;
mod hosts;
mod measure;
mod protocol;
mod ratios;
mod server;
mod session;
mod simulator;
mod table;
mod usage;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use arguments::Arguments;
use session::Setting;

/// What the benchmark's functions return: any error ends it.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    let role = words.next_if(|word| word == protocol::ROLE).and_then(|_| words.next());
    let outcome = match role.as_deref() {
        Some("simulator") => simulator::run(),
        Some("floor") => floor::run(),
        Some("machines") => hosts::machines(),
        _ => Arguments::read(words).and_then(|arguments| arguments.map_or(Ok(()), |arguments| run(&arguments))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody to tell is no reason to panic.
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let mut cells = Vec::new();
    for size in &arguments.sizes {
        for latency in [0, 20] {
            let setting = Setting { size: *size, latency: Duration::from_millis(latency) };
            let _ = writeln!(std::io::stderr(), "measuring {} with {latency} ms per API call", size.label());
            cells.extend(session::measure(arguments, setting)?);
        }
    }
    let programs: Vec<&str> = arguments.variants.iter().map(|variant| variant.name.as_str()).collect();
    if !cells.is_empty() {
        say(&table::table(&cells));
        say(&ratios::lines(&cells, &programs));
    }
    if arguments.hosts {
        let _ = writeln!(std::io::stderr(), "measuring hosts over SSH");
        say(&hosts::measure(arguments)?);
    }
    if arguments.events {
        let _ = writeln!(std::io::stderr(), "measuring the sidecar");
        say(&events::measure(arguments)?);
    }
    if arguments.collectors {
        let _ = writeln!(std::io::stderr(), "measuring all collectors");
        say(&collectors::measure(arguments)?);
    }
    Ok(())
}

/// Writes to stdout; a closed pipe is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
