//! A simulated PVE API over real TLS: for `demo` and for the tests alike.
//!
//! ```text
//! World (pure: seed + time → facts) ─┐
//! Recorded (answers of a real PVE) ──┴→ Source → Sim (one endpoint: TLS, pveproxy's quirks, faults, a log)
//! ```
//!
//! One [`Sim`] is one node's endpoint; several may share a [`World`] and an [`Authority`] to be one cluster.
//! HTTP is written by hand here: what matters most in tests is what a well-behaved server library will not send,
//! such as two `Connection` headers, a wrong length, or a reset in the middle.

mod certificates;
mod connection;
mod faults;
mod json;
mod noise;
mod routes;
mod server;
mod source;
#[cfg(test)]
mod testing;
mod wire;
mod world;

pub use certificates::{Authority, Certificate};
pub use faults::Fault;
pub use server::{Clock, Connections, Credential, Options, Rights, Seen, Sim, Token, start};
pub use source::{Recorded, Reply, Source};
pub use world::World;
