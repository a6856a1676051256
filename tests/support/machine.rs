//! Simulated machines for the binary under test to ask over SSH.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use pve_sentinel::sim::{SshAnswer, SshFault, SshKeyKind, SshKeyPair, SshOptions, SshReply, SshSim, start_ssh};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{repository, write_private};

/// One machine, the runtime that it lives on, and a folder with what is needed to get in.
pub struct Machine {
    pub sim: SshSim,
    host_key: SshKeyPair,
    users: Vec<(String, SshKeyPair)>,
    answer: SshAnswer,
    folder: TempDir,
    runtime: Runtime,
}

/// A recorded answer of a host.
pub fn recorded_host(name: &str) -> Bytes {
    std::fs::read(repository().join("tests/fixtures/hosts").join(name)).expect("a fixture").into()
}

impl Machine {
    /// A Proxmox VE node, which answers what can be asked.
    pub fn node() -> Self {
        Self::answering(|line| {
            let name = match line {
                "sh -s -- smart" => "disks.smart",
                "sh -s -- zpool" => "pools.zpool",
                "sh -s -- updates" => "debian.updates",
                _ => "pve-node.probe",
            };
            SshReply { stdout: recorded_host(name), ..SshReply::default() }
        })
    }

    /// One that answers command lines so.
    pub fn answering(answer: impl Fn(&str) -> SshReply + Send + Sync + 'static) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let pair = || SshKeyPair::new(SshKeyKind::Ed25519).expect("a key");
        let (host_key, user_key, power_key) = (pair(), pair(), pair());
        let users = vec![("sentinel".to_owned(), user_key.clone()), ("power".to_owned(), power_key.clone())];
        let answer: SshAnswer = Arc::new(move |line, _| answer(line));
        let listen = "127.0.0.1:0".parse().expect("an address");
        let options = options(listen, &users, &host_key, &answer);
        let sim = runtime.block_on(start_ssh(options)).expect("a host");
        let folder = tempfile::tempdir().expect("a folder");
        write_private(&folder.path().join("id"), &user_key.file().expect("a key file"));
        write_private(&folder.path().join("power_id"), &power_key.file().expect("a key file"));
        let machine = Self { sim, host_key, users, answer, folder, runtime };
        machine.know(&machine.line());
        machine
    }

    /// Its line in `known_hosts`.
    pub fn line(&self) -> String {
        let key = self.host_key.public().expect("a public key");
        format!("[127.0.0.1]:{} {key}\n", self.sim.address().port())
    }

    /// What is known of it from now on.
    pub fn know(&self, known_hosts: &str) {
        std::fs::write(self.folder.path().join("known_hosts"), known_hosts).expect("known_hosts is written");
    }

    /// It is switched on again, at the same address.
    pub fn start(&mut self) {
        let address = self.sim.address();
        self.sim = self.runtime.block_on(async {
            loop {
                // The port may be held until the one before is gone.
                match start_ssh(options(address, &self.users, &self.host_key, &self.answer)).await {
                    Ok(sim) => return sim,
                    Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }

    /// It is installed anew: the same address, another host key, and no connection outlives it.
    pub fn reinstall(&mut self) {
        self.host_key = SshKeyPair::new(SshKeyKind::Ed25519).expect("a key");
        self.sim.stop();
        self.start();
    }

    /// Its table `control`, with these commands: for the user `power`, who has a key of its own.
    pub fn control(&self, commands: &str) -> String {
        let folder = self.folder.path().display();
        format!("control = {{ ssh_user = \"power\", ssh_key_path = \"{folder}/power_id\", {commands} }}")
    }

    /// What goes wrong from now on.
    pub fn set_fault(&self, fault: SshFault) {
        self.sim.set_fault(fault);
    }

    /// A `[[hosts]]` entry.
    pub fn host(&self, id: &str) -> String {
        let (folder, port) = (self.folder.path().display(), self.sim.address().port());
        format!(
            "[[hosts]]\nid = \"{id}\"\nname = \"The {id}\"\nhostname = \"127.0.0.1\"\nssh_user = \"sentinel\"\nssh_port = {port}\n\
             ssh_key_path = \"{folder}/id\"\nssh_known_hosts_file = \"{folder}/known_hosts\"\n"
        )
    }

    /// The line `ssh` of a `[[clusters]]` entry, with more of it.
    pub fn ssh(&self, more: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "ssh = {{ user = \"sentinel\", key_file = \"{folder}/id\", known_hosts_file = \"{folder}/known_hosts\", {more} }}\n"
        )
    }
}

fn options(
    listen: SocketAddr,
    users: &[(String, SshKeyPair)],
    host_key: &SshKeyPair,
    answer: &SshAnswer,
) -> SshOptions {
    SshOptions {
        listen,
        users: users.to_vec(),
        host_keys: vec![host_key.clone()],
        certificate: None,
        answer: Arc::clone(answer),
    }
}
