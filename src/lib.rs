//! pve-sentinel: a Prometheus exporter for Proxmox VE.
//!
//! Data flows one way; each room of the house is a folder:
//!
//! ```text
//! 1 told      config       what the administrator wrote: raw → checked, secrets
//! 2 asking    pve          the read-only API client: endpoints, credential, TLS, lenient parsing
//!             ssh          hosts over SSH: host keys, one kept connection each, the fixed probe
//!             checks       TCP and TLS checks of services, without trust and without credentials
//! 3 knowing   inventory    nodes, guests, storages, pools as one typed snapshot, fetched once for all who ask
//!             collectors   one file per subject: snapshot → families (pure)
//!             events       what happened in a cluster: tasks and states, watched → findings (pure), kept on disk and told
//!             hosts        what a probe answered → node_exporter's families (pure)
//! 4 saying    metrics      families as plain data, the one page writer, the process' own metrics
//!             scrape       one round: deadline, which collectors of which clusters and hosts, what failed
//!             discovery    guests and hosts known from answer to answer, their addresses, targets for Prometheus
//! 5 answering http         listeners, routes, limits, pages
//!             api          the JSON API: token, scope, request, reply, error, OpenAPI; what it tells is handed in
//!             control      guests, nodes and hosts switched: exactly what was asked, once, written down before
//!
//! beside them setup        first contact over SSH, what Proxmox VE must give an exporter, and what is missing
//!             sim          a simulated PVE API for `demo` and the tests
//!             ids          names that cross the rooms, and what their files in state_dir have in common
//!             names        the addresses of a machine's name, for all who connect
//!             commands     the command line, one file per command
//!             app          the composition root: the only file that knows every room
//! ```
//!
//! # Invariants
//!
//! * The `families` of a collector and all of `metrics` do no I/O and read no clock, so shaping a page cannot fail.
//! * A collector that fails hides nothing of its neighbours; a missing value is absent, never 0.
//! * No global state: what a room needs is handed to it by `app`.
//! * Credentials go only to addresses named in the configuration, after the certificate was checked.
//! * Nothing panics on input from outside.

pub mod api;
pub mod app;
pub mod checks;
pub mod collectors;
pub mod commands;
pub mod config;
pub mod control;
pub mod discovery;
pub mod events;
pub mod hosts;
pub mod http;
pub mod ids;
pub mod inventory;
pub mod metrics;
pub mod names;
pub mod pve;
pub mod scrape;
pub mod setup;
pub mod sim;
pub mod ssh;
