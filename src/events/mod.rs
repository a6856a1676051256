//! What happens in the clusters between two scrapes: seen, told apart, kept.
//!
//! [`tasks`] the tasks of a node, each told once → [`rules`] what is told → [`finding`] what happened

pub mod finding;
pub mod rules;
pub mod tasks;

pub use finding::{Finding, Kind, Severity, Span};
