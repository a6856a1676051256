//! The command line of the benchmark.

use crate::Outcome;

/// What is measured when nothing narrows it: nodes × guests.
const SIZES: [Size; 5] = [
    Size { nodes: 1, guests: 20 },
    Size { nodes: 3, guests: 100 },
    Size { nodes: 8, guests: 500 },
    Size { nodes: 16, guests: 2000 },
    Size { nodes: 32, guests: 10_000 },
];

const USAGE: &str = "\
usage: cargo bench --bench scrape -- [SIZE | hosts | events | collectors]... [--quick] [--also 'NAME: [KEY=VALUE]... PATH']...

  SIZE        NODESxGUESTS, such as 32x10000; all of 1x20 3x100 8x500 16x2000 32x10000 and all that follow, when nothing
              is given
  hosts       hosts over SSH, beside ssh with a kept connection; needs ssh and sshd
  events      the sidecar at the largest size while nobody scrapes: six minutes, two with --quick
  collectors  all collectors beside the preset minimal at 8x500, at rest and while they refresh
  --quick     fewer rounds, and no waiting for the exporter to settle
  --also      measure another build of the exporter, or the same one in another environment, in the same run";

/// What to do.
pub(crate) struct Arguments {
    pub(crate) sizes: Vec<Size>,
    /// Whether hosts over SSH are measured.
    pub(crate) hosts: bool,
    /// Whether the sidecar is measured.
    pub(crate) events: bool,
    /// Whether all collectors are measured.
    pub(crate) collectors: bool,
    pub(crate) quick: bool,
    pub(crate) variants: Vec<Variant>,
}

/// A cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) guests: usize,
}

/// A build of the exporter and its environment.
#[derive(Clone)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) environment: Vec<(String, String)>,
}

impl Arguments {
    /// `None`: not started by `cargo bench`, such as by `cargo test --all-targets`; there is nothing to do then.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Outcome<Option<Self>> {
        let own = Variant {
            name: "pve-sentinel".to_owned(),
            path: env!("CARGO_BIN_EXE_pve-sentinel").to_owned(),
            environment: Vec::new(),
        };
        let (hosts, events, collectors, quick) = (false, false, false, false);
        let mut arguments = Self { sizes: Vec::new(), hosts, events, collectors, quick, variants: vec![own] };
        let mut started_by_cargo_bench = false;
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => started_by_cargo_bench = true,
                "hosts" => arguments.hosts = true,
                "events" => arguments.events = true,
                "collectors" => arguments.collectors = true,
                "--quick" => arguments.quick = true,
                "--also" => arguments.variants.push(variant(&words.next().unwrap_or_default())?),
                size => arguments.sizes.push(Size::read(size)?),
            }
        }
        if arguments.sizes.is_empty() && !arguments.hosts && !arguments.events && !arguments.collectors {
            arguments.sizes = SIZES.to_vec();
            arguments.hosts = true;
            arguments.events = true;
            arguments.collectors = true;
        }
        Ok(started_by_cargo_bench.then_some(arguments))
    }
}

impl Size {
    /// `32x10000` or `32×10000`.
    fn read(text: &str) -> Outcome<Self> {
        let (nodes, guests) = text.split_once(['x', '×']).ok_or_else(|| wrong(text))?;
        let number = |text: &str| text.parse().map_err(|_| wrong(text));
        Ok(Self { nodes: number(nodes)?, guests: number(guests)? })
    }

    /// As the tables show it.
    pub(crate) fn label(self) -> String {
        format!("{}×{}", self.nodes, self.guests)
    }
}

fn variant(text: &str) -> Outcome<Variant> {
    let (name, command) = text.split_once(": ").ok_or_else(|| wrong(text))?;
    let mut words: Vec<&str> = command.split_whitespace().collect();
    let path = words.pop().ok_or_else(|| wrong(text))?.to_owned();
    let setting = |word: &str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let environment =
        words.into_iter().map(|word| setting(word).ok_or_else(|| wrong(word))).collect::<Result<_, _>>()?;
    Ok(Variant { name: name.to_owned(), path, environment })
}

fn wrong(text: &str) -> String {
    format!("not understood: {text:?}\n{USAGE}")
}
