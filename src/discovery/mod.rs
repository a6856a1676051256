//! Guests and hosts known, and what Prometheus is told of them.
//!
//! ```text
//! registry   the guests of a cluster from answer to answer: who is new, gone, renamed, moved, replaced (pure)
//! ```

mod registry;

pub use registry::{Change, Known, Registry, UNKNOWN, What};
