//! What happens in the clusters between two scrapes: seen, told apart, kept.
//!
//! [`finding`]: what happened.

pub mod finding;

pub use finding::{Finding, Kind, Severity, Span};
