//! A simulated PVE API over real TLS: for `demo` and for the tests alike.
//!
//! ```text
//! World (pure: seed + time + edits → facts) ─┐
//! Recorded (answers of a real PVE) ──────────┴→ Source → Sim (one endpoint: TLS, pveproxy's quirks, faults, counters)
//! ```
//!
//! [`SshSim`] is a host that is asked over SSH.
//!
//! One [`Sim`] is one node's endpoint; several may share a [`World`] and an [`Authority`] to be one cluster, and then
//! know of each other how busy and how well they are.
//! HTTP is written by hand here: what matters most in tests is what a well-behaved server library will not send,
//! such as two `Connection` headers, a wrong length, or a reset in the middle.

mod accounts;
mod certificates;
mod connection;
mod counters;
mod door;
mod faults;
mod json;
mod noise;
mod routes;
mod server;
mod source;
mod ssh;
#[cfg(test)]
mod testing;
mod wire;
mod workers;
mod world;

pub use accounts::{Accounts, Logins, User};
pub use certificates::{Authority, Certificate};
pub use counters::{Connections, Credential, Seen};
pub use faults::Fault;
pub use server::{Clock, Handshake, Options, Rights, Sim, Token, start};
pub use source::{Recorded, Reply, Source};
pub use ssh::{
    SshAnswer, SshCertificate, SshFault, SshKeyKind, SshKeyPair, SshOptions, SshReply, SshSeen, SshSim, start_ssh,
};
pub use workers::{NodeLoad, NodeState};
pub use world::{Edit, GuestKind, Task, World};
