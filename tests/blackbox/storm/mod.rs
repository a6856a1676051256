//! Nothing is lost and nothing is told that never happened, whatever comes together: the process is killed, Alertmanagers are
//! away, Proxmox VE is late or fails, nodes split off and come back with what they did, and clocks are set.
//!
//! ```text
//! plan      steps drawn from a seed, as plain data
//! run       the steps, carried out with the real binary
//!   work    tasks of the cluster, and what is to be told of them
//! observer  what must be found and shown, and how that differs from what is
//! shrink    the smallest part of a plan that still fails
//! ```
//!
//! In the environment: `PVE_SENTINEL_STORM_SEED` and `PVE_SENTINEL_STORM_STEPS` draw another storm, `PVE_SENTINEL_STORM_PLAN`
//! repeats one that was printed, and `PVE_SENTINEL_STORM_SHRINK` says for how many seconds one that fails is made smaller.

mod observer;
mod plan;
mod run;
mod shrink;
mod work;

use std::time::{Duration, Instant};

use plan::Step;

/// What is drawn unless the environment says otherwise.
const SEED: u64 = 1;
const STEPS: u64 = 130;
/// For so many seconds a plan that fails is made smaller.
const SHRINK: u64 = 600;
/// Plans that once failed, as they were printed, made smaller.
const ONCE: [&str; 0] = [];

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var_os(format!("PVE_SENTINEL_STORM_{name}"));
    text.map_or(default, |text| text.to_str().and_then(|text| text.parse().ok()).expect("a number"))
}

/// Fails with the smallest part of a plan that fails.
fn hold(plan: &[Step], what: &str) -> run::Summary {
    let why = match run::run(plan, run::PATIENCE) {
        Ok(summary) => return summary,
        Err(why) => why,
    };
    let (mut last, until) = (why.clone(), Instant::now() + Duration::from_secs(number("SHRINK", SHRINK)));
    let least = shrink::shrink(plan, until, |candidate| match run::run(candidate, run::PATIENCE / 2) {
        Ok(_) => false,
        Err(why) => {
            last = why;
            true
        }
    });
    let json = serde_json::to_string(&least).unwrap();
    panic!("{what}: {why}\n\n{} of {} steps fail, too: {last}\n{json}", least.len(), plan.len());
}

#[test]
fn nothing_is_lost_and_nothing_is_told_that_never_happened_in_a_storm() {
    let started = Instant::now();
    let (seed, steps) = (number("SEED", SEED), number("STEPS", STEPS));
    let plan = match std::env::var_os("PVE_SENTINEL_STORM_PLAN") {
        Some(json) => serde_json::from_str(json.to_str().unwrap()).unwrap(),
        None => plan::draw(seed, usize::try_from(steps).unwrap()),
    };
    let summary = hold(&plan, &format!("seed {seed}, {steps} steps"));
    println!(
        "seed {seed}, {} steps, {} tasks, {} SIGKILLs, {} s of the cluster in {:?}: {} findings {:?}",
        plan.len(),
        summary.tasks,
        summary.kills,
        summary.lasted,
        started.elapsed(),
        summary.findings.values().sum::<usize>(),
        summary.findings,
    );
    assert!(summary.findings.len() > 6 || steps != STEPS, "{summary:?}");
}

#[test]
fn what_once_failed_does_not_any_more() {
    for json in ONCE {
        let plan: Vec<Step> = serde_json::from_str(json).unwrap();
        drop(hold(&plan, json));
    }
}
