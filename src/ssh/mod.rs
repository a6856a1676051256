//! Hosts over SSH: what is asked.

mod probe;

pub use probe::{Mode, PROBE};
