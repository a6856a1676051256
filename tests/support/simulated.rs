//! A simulated cluster whose time stands still until a test turns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pve_sentinel::sim::{Certificate, Options, Source, World};

use super::Cluster;

/// Endpoints of a simulated cluster in which nothing happens but by edit.
pub struct Simulated {
    pub cluster: Cluster,
    pub world: Arc<World>,
    seconds: Arc<AtomicU64>,
}

impl Simulated {
    /// The first `endpoints` nodes of a cluster have an endpoint each.
    pub fn start(world: World, endpoints: usize) -> Self {
        Self::start_with(world, endpoints, |options| options)
    }

    /// The same, each endpoint with further options.
    pub fn start_with(world: World, endpoints: usize, more: impl Fn(Options) -> Options) -> Self {
        world.edit(Duration::ZERO, |edit| edit.calm());
        Self::lively_with(world, endpoints, more)
    }

    /// One in which things happen by themselves, too, as in the demo.
    pub fn lively(world: World, endpoints: usize) -> Self {
        Self::lively_with(world, endpoints, |options| options)
    }

    fn lively_with(world: World, endpoints: usize, more: impl Fn(Options) -> Options) -> Self {
        let (world, seconds) = (Arc::new(world), Arc::new(AtomicU64::new(0)));
        let source = Source::World(Arc::clone(&world));
        let cluster = Cluster::start_with(endpoints, source, Certificate::Good, |options| {
            let seconds = Arc::clone(&seconds);
            let clock = Arc::new(move || Duration::from_secs(seconds.load(Ordering::Relaxed)));
            more(Options { clock, ..options })
        });
        Self { cluster, world, seconds }
    }

    /// Time since the start of the cluster.
    pub fn now(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::Relaxed))
    }

    /// Turns the clock, also backwards. Figures move every ten seconds.
    pub fn turn_to(&self, seconds: u64) {
        self.seconds.store(seconds, Ordering::Relaxed);
    }
}
