//! The read-only client of the Proxmox VE API: endpoints, credential, TLS, bounded answers, lenient parsing.
//!
//! ```text
//! client     what callers may ask: the fast lane (fast), the slow lane (slow) behind the gate per node (gate)
//! asking     one attempt at one address, and what is asked in the background
//! endpoints  which address is asked first: health of each (health), whether it belongs to the cluster (identity)
//! transport  one exchange: bounds, credential, TLS (tls, certificate), what its failure means (failure, error)
//! answer     → resources, status, version: lenient parsing (wire)
//! ```
//!
//! A [`Client`] belongs to one cluster. It sends nothing but `GET`, and its credential goes only to addresses that
//! the configuration names, after their certificate was checked.

mod answer;
mod asking;
mod certificate;
mod client;
mod credential;
mod endpoints;
mod error;
mod failure;
mod fast;
mod gate;
mod health;
mod identity;
mod path;
mod resources;
mod slow;
mod status;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod version;
pub mod wire;

pub use answer::Answer;
pub use client::{Client, Limits};
pub use error::{Error, Reason};
pub use gate::{Gate, Permit};
pub use path::Path;
pub use resources::{Resource, resources};
pub use status::{StatusEntry, status};
pub use tls::Roots;
pub use version::{Version, version};
