//! Promises of the product, seen from outside: the real binary against a simulated PVE. One module per promise.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![expect(unreachable_pub, reason = "what the support modules share is public among them")]

#[path = "../support/mod.rs"]
mod support;

/// What the shared parts of the benchmark answer.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

mod ageing;
#[cfg(feature = "external-programs")]
mod alertmanager;
#[cfg(feature = "external-programs")]
mod alertmanager_live;
mod alerts;
mod api;
mod backups;
mod batch;
mod broken;
#[cfg(feature = "external-programs")]
mod browser;
mod cardinality;
mod check_live;
mod commands;
mod control;
mod control_listener;
mod ctl;
mod dashboards;
mod demo;
mod discovery;
#[cfg(feature = "external-programs")]
mod discovery_prometheus;
mod door;
#[cfg(feature = "external-programs")]
mod drop_in;
mod endpoints;
mod events;
mod events_recorded;
mod events_refused;
mod events_tail;
mod failover;
mod failures;
mod floor;
mod guests;
mod host_pages;
mod hostile;
mod hosts;
mod house;
mod import;
mod ledger;
mod life;
#[cfg(feature = "external-programs")]
mod locked;
mod machines;
mod manager;
mod matrix;
#[cfg(feature = "external-programs")]
mod mint;
#[cfg(feature = "external-programs")]
mod node_exporter;
mod packaging;
mod pages;
mod parity;
mod probe;
#[cfg(feature = "external-programs")]
mod programs;
mod pve;
mod reload;
mod services;
#[cfg(feature = "external-programs")]
mod setup;
#[cfg(feature = "external-programs")]
mod six_hours;
mod slow_clients;
mod slow_collectors;
mod slow_hosts;
mod slow_lane;
mod soak;
mod ssh;
#[cfg(feature = "external-programs")]
mod sshd;
#[cfg(feature = "external-programs")]
mod sshd_pages;
#[cfg(feature = "external-programs")]
mod sshd_power;
#[cfg(feature = "external-programs")]
mod sshd_slow;
#[cfg(feature = "external-programs")]
mod stack;
mod state;
mod storm;
mod support_bundle;
mod tickets;
mod tls;
#[cfg(feature = "external-programs")]
mod unit;
mod upgrades;
mod watch;
mod windows;
mod writer;
