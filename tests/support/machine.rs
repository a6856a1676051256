//! Simulated machines for the binary under test to ask over SSH.

use std::sync::Arc;

use bytes::Bytes;
use pve_sentinel::sim::{SshFault, SshKeyKind, SshKeyPair, SshOptions, SshReply, SshSim, start_ssh};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{repository, write_private};

/// One machine, the runtime that it lives on, and a folder with what is needed to get in.
pub struct Machine {
    pub sim: SshSim,
    host_key: SshKeyPair,
    folder: TempDir,
    _runtime: Runtime,
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
        let (host_key, user_key) = (pair(), pair());
        let options = SshOptions {
            listen: "127.0.0.1:0".parse().expect("an address"),
            users: vec![("sentinel".to_owned(), user_key.clone())],
            host_keys: vec![host_key.clone()],
            certificate: None,
            answer: Arc::new(move |line, _| answer(line)),
        };
        let sim = runtime.block_on(start_ssh(options)).expect("a host");
        let folder = tempfile::tempdir().expect("a folder");
        write_private(&folder.path().join("id"), &user_key.file().expect("a key file"));
        let machine = Self { sim, host_key, folder, _runtime: runtime };
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
