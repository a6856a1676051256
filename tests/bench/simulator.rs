//! The simulated API in a process of its own, so that what it costs is nobody else's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_sentinel::sim::{self, NodeLoad, Options, Rights, Sim, Source, Task, Token, World};

use crate::Outcome;
use crate::protocol::{Counts, SimulatorOrder, SimulatorReady, answer, next_order};

/// At this age of the simulated cluster nothing happens yet: all nodes are there. Mostly it stands still, so that each
/// answer tells the same facts.
const AGE: Duration = Duration::from_secs(30);

/// Serves until stdin ends.
pub(crate) fn run() -> Outcome<()> {
    let order: SimulatorOrder = next_order()?.ok_or("no order")?;
    let world = Arc::new(World::new(1, order.nodes, order.guests));
    let started = Instant::now();
    let clock: Arc<dyn Fn() -> Duration + Send + Sync> = match order.tasks_per_minute {
        0 => Arc::new(|| AGE),
        tasks => {
            world.edit(Duration::ZERO, |edit| edit.calm());
            let (world, vmids) = (Arc::clone(&world), world.vmids());
            std::thread::spawn(move || work(&world, &vmids, started, tasks));
            Arc::new(move || AGE + started.elapsed())
        }
    };
    let rights = if order.all_rights { Rights::Administrator } else { Rights::Auditor };
    let options = Options {
        tokens: vec![Token { id: order.token_id, secret: order.secret, rights }],
        clock,
        latency: Duration::from_millis(order.latency_ms),
        seed: 1,
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sim = runtime.block_on(sim::start(options, Source::World(world)))?;
    answer(&SimulatorReady {
        address: sim.addr().to_string(),
        fingerprint: sim.fingerprint().to_string(),
        ca_pem: sim.ca_pem().to_owned(),
    })?;
    while next_order::<()>()?.is_some() {
        answer(&counts(&sim))?;
    }
    Ok(())
}

/// Begins so many tasks a minute for ever, one node after the other; each takes five seconds, and every tenth fails.
fn work(world: &World, vmids: &[u64], started: Instant, per_minute: u64) {
    for (number, vmid) in vmids.iter().cycle().enumerate() {
        let now = AGE + started.elapsed();
        let begun = i64::try_from(now.as_secs()).unwrap_or(i64::MAX - 5);
        let outcome = if number % 10 == 0 { "it failed" } else { "OK" };
        let task = Task {
            node: number % world.node_count(),
            kind: "qmsnapshot",
            id: vmid.to_string(),
            by: "root@pam".to_owned(),
            begun,
            ends: begun + 5,
            outcome: outcome.to_owned(),
            log: Vec::new(),
        };
        world.edit(now, |edit| edit.task(task));
        std::thread::sleep(Duration::from_secs(60) / u32::try_from(per_minute).unwrap_or(u32::MAX));
    }
}

fn counts(sim: &Sim) -> Counts {
    let (connections, load) = (sim.connections(), sim.load());
    let most = |what: fn(&NodeLoad) -> u32| load.values().map(what).max().unwrap_or_default();
    Counts {
        by_path: sim.requests_by_path(),
        handshakes: connections.handshakes,
        resumed: connections.resumed,
        bytes: sim.bytes_sent(),
        most: [most(|node| node.most), most(|node| node.blocking_most)],
    }
}
