//! The read-only client of the Proxmox VE API: endpoints, credential, TLS, bounded answers, lenient parsing.
//!
//! A [`Client`] belongs to one cluster. It sends nothing but `GET`, and its credential goes only to the endpoints that
//! the configuration names, after their certificate was checked.

mod certificate;
mod client;
mod error;
mod gate;
mod status;
#[cfg(test)]
mod tests;
mod tls;
pub mod wire;

mod resources;
mod version;

pub use client::{Answer, Client, Limits};
pub use error::{Error, Reason};
pub use gate::{Gate, Permit};
pub use resources::{Resource, resources};
pub use status::{StatusEntry, status};
pub use tls::Roots;
pub use version::{Version, version};
