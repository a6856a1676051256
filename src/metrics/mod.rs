//! Families as plain data, the one page writer, and the process' own metrics.

mod family;

pub use family::{Desc, Family, Kind, Labels, Part, Sample};
