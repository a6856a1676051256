//! A day in a few minutes: `cargo bench --bench soak [-- --rounds 500 --seed 7]`.
//!
//! The real binary is scraped while guests of a simulated cluster are created, deleted, migrated and renamed and nodes
//! are lost. Each page must tell exactly what is so, and the memory must be flat. A short slice of the same rounds is
//! among the tests.

#![expect(unreachable_pub, reason = "what the support modules share is public among them")]

mod rounds;
#[expect(dead_code, reason = "the tests use more of it")]
#[expect(unused_imports, reason = "the tests use more of it")]
#[path = "../support/mod.rs"]
mod support;

use std::hash::{BuildHasher, RandomState};
use std::io::Write;

use rounds::Plan;

fn main() {
    let mut plan = Plan { seed: RandomState::new().hash_one("soak") % 1_000_000, rounds: 500, nodes: 4, guests: 300 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|number| number.parse().ok()).expect("a number after it");
        match word.as_str() {
            "--rounds" => plan.rounds = number() as usize,
            "--seed" => plan.seed = number(),
            // What cargo bench adds.
            "--bench" => {}
            other => panic!("unknown argument {other}: --rounds and --seed are known"),
        }
    }
    say(&format!("{} rounds with --seed {}", plan.rounds, plan.seed));
    let memory = rounds::run(&plan);
    let fifth = |number: usize| median(&memory[memory.len() * number / 5..memory.len() * (number + 1) / 5]);
    let fifths: Vec<String> =
        (0..5).map(|number| format!("{:.1}", fifth(number) as f64 / f64::from(1 << 20))).collect();
    say(&format!("every page was right; MiB resident in each fifth of the rounds: {}", fifths.join(", ")));
    // The first fifth warms up.
    let (early, late) = (fifth(1), fifth(4));
    assert!(late <= early + early / 20 + (1 << 20), "memory grew from {early} to {late} bytes");
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// Writes to stdout; a closed pipe is no reason to fail.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
