//! The simulated API in a process of its own, so that what it costs is nobody else's.

use std::sync::Arc;
use std::time::Duration;

use pve_sentinel::sim::{self, Options, Rights, Sim, Source, Token, World};

use crate::Outcome;
use crate::protocol::{Counts, SimulatorOrder, SimulatorReady, answer, next_order};

/// At this age of the simulated cluster nothing happens yet: all nodes are there. It stands still, so that each
/// answer tells the same facts.
const AGE: Duration = Duration::from_secs(30);

/// Serves until stdin ends.
pub(crate) fn run() -> Outcome<()> {
    let order: SimulatorOrder = next_order()?.ok_or("no order")?;
    let world = Arc::new(World::new(1, order.nodes, order.guests));
    let options = Options {
        tokens: vec![Token { id: order.token_id, secret: order.secret, rights: Rights::Auditor }],
        clock: Arc::new(|| AGE),
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

fn counts(sim: &Sim) -> Counts {
    let connections = sim.connections();
    Counts {
        by_path: sim.requests_by_path(),
        handshakes: connections.handshakes,
        resumed: connections.resumed,
        bytes: sim.bytes_sent(),
    }
}
