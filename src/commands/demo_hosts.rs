//! The nodes of the demo as hosts over SSH: real SSH to this process, with a key that nobody else has.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::config::{ClusterSsh, HostKeys, Ssh, SshKey, SshKeys};
use crate::ids::SshAddress;
use crate::sim::{SshFault, SshKeyKind, SshKeyPair, SshOptions, SshReply, SshSim, World, start_ssh};

const USER: &str = "sentinel";
/// How often it is looked whether a node has gone away.
const LOOK: Duration = Duration::from_secs(1);

/// A host for each node; they end with it.
pub(super) struct Hosts {
    sims: Arc<Vec<SshSim>>,
    names: Vec<String>,
    user_key: SshKeyPair,
    host_key: SshKeyPair,
    watch: AbortHandle,
}

impl Hosts {
    pub(super) async fn start(world: &Arc<World>, started: Instant) -> io::Result<Self> {
        let (user_key, host_key) = (SshKeyPair::new(SshKeyKind::Ed25519)?, SshKeyPair::new(SshKeyKind::Ed25519)?);
        let mut sims = Vec::with_capacity(world.node_count());
        for node in 0..world.node_count() {
            let told = Arc::clone(world);
            let options = SshOptions {
                listen: ([127, 0, 0, 1], 0).into(),
                users: vec![(USER.to_owned(), user_key.clone())],
                host_keys: vec![host_key.clone()],
                certificate: None,
                answer: Arc::new(move |line, _| {
                    let stdout = told.shell(node, line, started.elapsed()).into();
                    SshReply { stdout, ..SshReply::default() }
                }),
            };
            sims.push(start_ssh(options).await?);
        }
        let sims = Arc::new(sims);
        let names = (0..world.node_count()).map(|node| world.node_name(node).to_owned()).collect();
        let watch = tokio::spawn(watch(Arc::clone(&sims), Arc::clone(world), started)).abort_handle();
        Ok(Self { sims, names, user_key, host_key, watch })
    }

    /// The id of the first one.
    pub(super) fn first(&self) -> String {
        format!("demo-{}", self.names.first().map_or("", String::as_str))
    }

    /// As `ssh` of `[[clusters]]` says it. None where a key cannot be written, which a new one can.
    pub(super) fn config(&self) -> Option<ClusterSsh> {
        let key = self.user_key.file().ok()?;
        let key = SshKey::decode(Path::new("the demo's key"), key.as_bytes(), None).ok()?;
        let host_keys = HostKeys::Pinned(self.host_key.fingerprint());
        let settings = Arc::new(Ssh { user: USER.to_owned(), keys: SshKeys::File(key), host_keys });
        let mut addresses = BTreeMap::new();
        for (name, sim) in self.names.iter().zip(self.sims.iter()) {
            let address = sim.address();
            addresses.insert(name.clone(), SshAddress::new(&address.ip().to_string(), address.port()).ok()?);
        }
        Some(ClusterSsh { settings, port: 22, addresses, power: None })
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// A node that is away takes its SSH with it.
async fn watch(sims: Arc<Vec<SshSim>>, world: Arc<World>, started: Instant) {
    let mut away = vec![false; sims.len()];
    loop {
        tokio::time::sleep(LOOK).await;
        for (node, (sim, before)) in sims.iter().zip(&mut away).enumerate() {
            let now = world.is_away(node, started.elapsed());
            if now && !*before {
                sim.set_fault(SshFault::ResetAtGreeting);
                sim.kill_connections();
            } else if *before && !now {
                sim.set_fault(SshFault::None);
            }
            *before = now;
        }
    }
}
