//! `GET /nodes/{node}/time`: the clock of a node; needs `Sys.Audit` on the node.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Number, Object};

/// The clock as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Clock {
    /// In seconds since 1970.
    time: Number,
    /// The same, as if the clock on the node's wall showed UTC.
    localtime: Number,
}

/// By how many seconds the node's wall clock is ahead of UTC just now; absent where nothing sensible is told.
pub fn clock_offset(answer: &Answer) -> Result<Option<f64>, Error> {
    const DAY: f64 = 86_400.0;
    let Object(clock): Object<Clock> = answer.data()?;
    let offset = clock.localtime.quantity().zip(clock.time.quantity()).map(|(wall, utc)| wall - utc);
    Ok(offset.filter(|offset| offset.abs() <= DAY))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_json, recorded};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_recorded_clock_is_utc() {
        let answer = recorded("pve-9.2-cluster/GET_nodes__pve-lab__time.json");
        assert_eq!(clock_offset(&answer), Ok(Some(0.0)));
        for (data, offset) in [
            (r#"{"time":1000000,"localtime":1007200}"#, Some(7200.0)),
            (r#"{"time":1000000,"localtime":990000}"#, Some(-10000.0)),
            (r#"{"time":1000000,"localtime":1}"#, None),
            (r#"{"time":1000000}"#, None),
        ] {
            assert_eq!(clock_offset(&Answer::of(&format!("{{\"data\":{data}}}"))), Ok(offset), "{data}");
        }
        assert!(clock_offset(&Answer::of(r#"{"data":[1]}"#)).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(data in any_json()) {
            let _ = clock_offset(&Answer::of(&serde_json::json!({ "data": data }).to_string()));
        }
    }
}
