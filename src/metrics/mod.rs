//! Families as plain data, the one page writer, and the process' own metrics.
//!
//! ```text
//! family    what a collector says: Desc, About, Sample, Family, Part
//! samples   how many of them are kept: one by one, or in a table; bundle: as answers told them, for many pages; things:
//!           told from where they are, without a copy
//! format    the two text formats: content types, values, HELP lines
//! page      parts + own metrics → chunks of text
//! own       counters of this process; sidecar: those of events; process: what /proc says of it
//! dialect   prometheus-client's text in either format
//! faults    what is wrong with a set of descriptions; for tests
//! ```
//!
//! Types of prometheus-client do not leave this room.

mod bundle;
mod dialect;
mod family;
mod faults;
mod format;
mod own;
mod page;
mod process;
mod samples;
mod sidecar;
mod things;

pub use bundle::{Bundle, Bundles};
pub use family::{About, Desc, Family, Kind, Labels, Part, Sample};
pub use faults::faults;
pub use format::Format;
pub use own::Own;
pub use page::{CHUNK, Chunks, Page};
pub use samples::{Rows, Samples, Table};
pub use sidecar::Events;
pub use things::{Say, Things, families};
