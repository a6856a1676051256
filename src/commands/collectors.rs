//! `pve-sentinel collectors`

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{ConfigFile, complain, end, load};
use crate::collectors::{self, ALL, Collector, Lane, Size};
use crate::config::{self, Collectors};

/// What a call of the API is taken to keep a worker for.
const CALL: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(super) struct Options {
    /// Tell what this configuration leaves on; without it, what the defaults do.
    #[arg(long = "config.file", value_name = "PATH")]
    config_file: Option<PathBuf>,
    /// Count the calls for so many nodes.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    nodes: u32,
    /// And for so many running guests.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    guests: u32,
    /// And for a scrape so often.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = interval)]
    interval: Duration,
    /// Also tell the keys that each may have in the configuration.
    #[arg(long)]
    keys: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let fits = |found: &Duration| (Duration::from_secs(1)..=Duration::from_hours(1)).contains(found);
    config::duration(text).filter(fits).ok_or_else(|| "expected a duration from 1s to 1h, such as 30s".to_owned())
}

pub(super) fn run(options: &Options) -> ExitCode {
    let config = match &options.config_file {
        None => Collectors::default(),
        Some(path) => match load(&ConfigFile { config_file: path.clone() }) {
            Ok(loaded) => {
                loaded.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
                loaded.config.collectors
            }
            Err(code) => return code,
        },
    };
    end(super::deliver(&text(&config, options)))
}

fn text(config: &Collectors, options: &Options) -> String {
    let size = Size { nodes: options.nodes, guests: options.guests, interval: options.interval };
    let mut text =
        format!("{:<17} {:<4} {:<8} {:<21} {:>10}  NEEDS\n", "COLLECTOR", "ON", "PRESET", "ASKED", "CALLS/HOUR");
    for collector in ALL {
        let on = if collector.is_on(config) { "yes" } else { "no" };
        let preset = collector.preset.map_or("-", config::Preset::as_str);
        let ttl = config.of(collector.name).ttl;
        let calls = match collector.lane {
            Lane::Fast(_) | Lane::Slow(_) => format!("{:.0}", collectors::calls_per_hour(collector, ttl, &size).ceil()),
            Lane::Host(_) | Lane::Services => "-".to_owned(),
        };
        let needs = needs(collector);
        // Writing to a String cannot fail.
        let _ = write!(text, "{:<17} {on:<4} {preset:<8} {:<21} {calls:>10}", collector.name, collector.asked(ttl));
        let _ = if needs.is_empty() { writeln!(text) } else { writeln!(text, "  {needs}") };
        let keys = if options.keys { collector.keys() } else { Vec::new() };
        for key in keys {
            let _ = writeln!(text, "    {:<15} {}", key.name, key.about);
        }
    }
    let on = ALL.iter().copied().filter(|collector| collector.is_on(config));
    let calls = collectors::calls_of_all(on.map(|collector| (collector, config.of(collector.name).ttl)), &size);
    let share = collectors::share_of_workers(calls, CALL, &size) * 100.0;
    let _ = write!(
        text,
        "\nThose that are on make at most {:.0} calls an hour to {} nodes with {} running guests, scraped every {}: what \
         several read is\nasked once. At 50 ms a call, that is {share:.2} % of pveproxy's time, with its 3 workers on each node.\n",
        calls.ceil(),
        options.nodes,
        options.guests,
        config::written(options.interval),
    );
    text
}

fn needs(collector: &Collector) -> String {
    let needs = collector.needs.iter().map(|need| format!("{} on {}", need.privilege, need.path));
    needs.collect::<Vec<_>>().join(", ")
}
