//! Simulated hosts in a process of their own, so that what they cost is nobody else's.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use pve_sentinel::sim::{SshKeyKind, SshKeyPair, SshOptions, SshReply, SshSim, start_ssh};

use super::{IDENTITY, KNOWN_HOSTS, USER};
use crate::Outcome;
use crate::protocol::{MachinesOrder, MachinesReady, answer, next_order};
use crate::server::write_private;

/// What a real machine answered.
const ANSWER: &[u8] = include_bytes!("../../fixtures/hosts/debian-vm.probe");

/// Serves until stdin ends.
pub(crate) fn run() -> Outcome<()> {
    let order: MachinesOrder = next_order()?.ok_or("no order")?;
    // A command that takes its time keeps a thread.
    let threads = if order.latency_ms == 0 { 2 } else { order.count + 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let machines = runtime.block_on(start(&order))?;
    answer(&report(&machines))?;
    while next_order::<()>()?.is_some() {
        answer(&report(&machines))?;
    }
    Ok(())
}

async fn start(order: &MachinesOrder) -> Outcome<Vec<SshSim>> {
    let latency = Duration::from_millis(order.latency_ms);
    let user_key = SshKeyPair::new(SshKeyKind::Ed25519)?;
    let (mut machines, mut known) = (Vec::new(), String::new());
    for _ in 0..order.count {
        let host_key = SshKeyPair::new(SshKeyKind::Ed25519)?;
        let public = host_key.public()?;
        let machine = start_ssh(SshOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            users: vec![(USER.to_owned(), user_key.clone())],
            host_keys: vec![host_key],
            certificate: None,
            answer: Arc::new(move |_, _| {
                thread::sleep(latency);
                SshReply { stdout: Bytes::from_static(ANSWER), ..SshReply::default() }
            }),
        })
        .await?;
        known.push_str(&format!("[127.0.0.1]:{} {public}\n", machine.address().port()));
        machines.push(machine);
    }
    let folder = Path::new(&order.folder);
    write_private(&folder.join(IDENTITY), &user_key.file()?)?;
    write_private(&folder.join(KNOWN_HOSTS), &known)?;
    Ok(machines)
}

fn report(machines: &[SshSim]) -> MachinesReady {
    let seen = machines.iter().map(SshSim::seen);
    let (logins, commands) =
        seen.fold((0, 0), |(logins, commands), seen| (logins + seen.let_in, commands + seen.commands));
    MachinesReady { ports: machines.iter().map(|machine| machine.address().port()).collect(), logins, commands }
}
