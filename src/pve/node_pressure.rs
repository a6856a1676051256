//! `GET /nodes/{node}/rrddata?timeframe=hour`: how long processes of a node wait for CPU, disks and memory (PSI). Since PVE
//! 9.0; needs `Sys.Audit` on the node.
//!
//! There is a point a minute with a dozen figures, and of all that only the newest pressure is wanted.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number};

/// Shares of the time, in percent, in which processes waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodePressure {
    /// Of this minute, in seconds since 1970.
    pub time: Number,
    /// At least one for a CPU.
    #[serde(rename = "pressurecpusome")]
    pub cpu_some: Number,
    /// At least one for a disk.
    #[serde(rename = "pressureiosome")]
    pub io_some: Number,
    /// All at once for disks.
    #[serde(rename = "pressureiofull")]
    pub io_full: Number,
    /// At least one for memory.
    #[serde(rename = "pressurememorysome")]
    pub memory_some: Number,
    /// All at once for memory.
    #[serde(rename = "pressurememoryfull")]
    pub memory_full: Number,
}

/// The newest point is a minute or two old. What is older than this was written before the node's pvestatd or its
/// rrdcached died.
const STALE: f64 = 300.0;

/// The newest pressure, if the node tells any and it was not stale when the answer was given. An answer in which no
/// point has a time is malformed.
pub fn node_pressure(answer: &Answer) -> Result<Option<NodePressure>, Error> {
    let list: List<NodePressure> = answer.data()?;
    let points = shaped(answer, list, "a time", |point| point.time.0.is_some())?;
    let time = |point: &NodePressure| point.time.0.unwrap_or(f64::NEG_INFINITY);
    let newest = points.iter().map(time).max_by(f64::total_cmp);
    let now = answer.date().or(newest).unwrap_or(f64::INFINITY);
    let fresh = points.into_iter().filter(|point| point.is_told() && now - time(point) <= STALE);
    Ok(fresh.max_by(|a, b| time(a).total_cmp(&time(b))))
}

impl NodePressure {
    fn is_told(&self) -> bool {
        [self.cpu_some, self.io_some, self.io_full, self.memory_some, self.memory_full]
            .iter()
            .any(|value| value.0.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_point_that_says_something_is_taken_unless_it_is_stale() {
        let points = r#"{"data":[{"time":1000},{"time":1060,"pressurecpusome":1},{"time":1120,"pressurecpusome":"2.5"},
            {"time":1180,"cpu":0.5},{"cpu":1}]}"#;
        for (date, told) in
            [(None, Some(2.5)), (Some(1420.0), Some(2.5)), (Some(1421.0), None), (Some(900.0), Some(2.5))]
        {
            let answer = Answer { date, ..Answer::of(points) };
            let pressure = node_pressure(&answer).expect("points");
            assert_eq!(pressure.and_then(|pressure| pressure.cpu_some.0), told, "{date:?}");
        }
        assert_eq!(node_pressure(&Answer::of(r#"{"data":[]}"#)), Ok(None));
        assert_eq!(node_pressure(&Answer::of(r#"{"data":[{"time":1,"cpu":0.1}]}"#)), Ok(None));
        assert!(node_pressure(&Answer::of(r#"{"data":[{"cpu":1}]}"#)).is_err());
    }
}
