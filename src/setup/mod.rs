//! Setting up: what works and what does not, before anything is relied on.
//!
//! ```text
//! live   tries all that a configuration names, and says what is missing
//! ```

pub mod live;
