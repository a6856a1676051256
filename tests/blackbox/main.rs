//! Promises of the product, seen from outside: the real binary against a simulated PVE. One module per promise.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![expect(unreachable_pub, reason = "what the support modules share is public among them")]

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod demo;
mod endpoints;
mod failures;
mod house;
mod life;
mod pages;
mod parity;
#[cfg(feature = "external-programs")]
mod programs;
mod slow_collectors;
mod ssh;
#[cfg(feature = "external-programs")]
mod sshd;
mod tls;
