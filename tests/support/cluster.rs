//! Simulated endpoints for the binary under test to ask.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pve_sentinel::sim::{
    self, Authority, Certificate, Fault, NodeState, Options, Recorded, Rights, Sim, Source, Token,
};
use tokio::runtime::Runtime;

use super::repository;

/// The token that the endpoints accept.
pub const TOKEN_ID: &str = "monitor@pve!prometheus";
/// Its secret: must never turn up in anything that the exporter prints.
pub const SECRET: &str = "7f1c2f0a-5eec-4e7b-9d43-0123456789ab";

/// Endpoints of one cluster, and the runtime that they live on.
pub struct Cluster {
    pub sims: Vec<Sim>,
    runtime: Runtime,
}

/// The answers recorded of a real cluster: a folder of `tests/fixtures` and the beginning of the files' names.
pub fn recorded(folder: &str, prefix: &str) -> Source {
    Source::Recorded(Recorded::load(&fixtures().join(folder), prefix).expect("recorded answers"))
}

/// One recorded answer's body, for [`Fault::Body`].
pub fn recorded_body(folder: &str, file: &str) -> Fault {
    let text = std::fs::read_to_string(fixtures().join(folder).join(file)).expect("a recording");
    let recording: serde_json::Value = serde_json::from_str(&text).expect("a recording");
    Fault::Body(recording["body"].to_string().into())
}

fn fixtures() -> PathBuf {
    repository().join("tests/fixtures")
}

impl Cluster {
    /// The recorded cluster behind one endpoint.
    pub fn recorded() -> Self {
        Self::start(1, recorded("pve-9.2-cluster", "GET_"), Certificate::Good)
    }

    /// `count` endpoints with the same answers.
    pub fn start(count: usize, source: Source, certificate: Certificate) -> Self {
        Self::start_with(count, source, certificate, |options| options)
    }

    /// The same, each with further options.
    pub fn start_with(
        count: usize,
        source: Source,
        certificate: Certificate,
        more: impl Fn(Options) -> Options,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let authority = Arc::new(Authority::new("labcluster").expect("an authority"));
        let sims = (0..count)
            .map(|node| {
                let options = more(Options {
                    node,
                    authority: Some(Arc::clone(&authority)),
                    certificate,
                    tokens: vec![Token { id: TOKEN_ID.into(), secret: SECRET.into(), rights: Rights::Auditor }],
                    unauthorized_delay: Duration::from_millis(1),
                    ..Options::default()
                });
                runtime.block_on(sim::start(options, source.clone())).expect("an endpoint")
            })
            .collect();
        Self { sims, runtime }
    }

    /// Stops one endpoint; its port refuses connections from now on.
    pub fn stop(&mut self, index: usize) {
        self.runtime.block_on(self.sims[index].stop());
    }

    /// How one endpoint's node is from now on.
    pub fn set_node_state(&self, index: usize, state: NodeState) {
        self.runtime.block_on(self.sims[index].set_node_state(state)).expect("the port of a dead node is held");
    }

    /// A `[[clusters]]` entry that trusts the endpoints by their fingerprints.
    pub fn config(&self, name: &str) -> String {
        let pins: Vec<String> = self.sims.iter().map(|sim| format!("\"{}\"", sim.fingerprint())).collect();
        self.config_with(name, &format!("{{ fingerprints = [{}] }}", pins.join(", ")), SECRET)
    }

    /// A `[[clusters]]` entry with a value for `tls` (left out when empty) and a secret.
    pub fn config_with(&self, name: &str, tls: &str, secret: &str) -> String {
        let urls: Vec<String> = self.sims.iter().map(|sim| format!("\"{}\"", sim.url())).collect();
        let tls = if tls.is_empty() { String::new() } else { format!("tls = {tls}\n") };
        format!(
            "[[clusters]]\nname = \"{name}\"\nendpoints = [{}]\ntoken_id = \"{TOKEN_ID}\"\ntoken_secret = \"{secret}\"\n{tls}",
            urls.join(", ")
        )
    }
}
