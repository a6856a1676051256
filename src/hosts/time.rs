//! `time` and `timex`: the clock of a host, how far it is from ours, and what the kernel knows of its error.
//! Try: `date '+%s.%N %z %Z'; timedatectl timesync-status`

use super::Clock;
use super::lines::{Probe, float};
use super::sink::{Sink, counter, gauge, plain};
use crate::metrics::{Desc, Labels};

static TIME: Desc = gauge("node_time_seconds", "Unix time of the host when it was asked.");
static ZONE: Desc = gauge("node_time_zone_offset_seconds", "Seconds that local time is ahead of UTC.");
static AVAILABLE: Desc =
    gauge("node_time_clocksource_available_info", "What the kernel could take the time from, always 1.");
static CURRENT: Desc = gauge("node_time_clocksource_current_info", "What the kernel takes the time from, always 1.");
static OFFSET: Desc =
    gauge("pve_host_clock_offset_seconds", "Seconds that the clock of the host is ahead of the exporter's.");
static UNCERTAINTY: Desc = gauge(
    "pve_host_clock_offset_uncertainty_seconds",
    "How far pve_host_clock_offset_seconds may be wrong: half of the time that the question and the answer took.",
);

/// Divisors of what adjtimex tells.
const MICRO: f64 = 1e6;
const NANO: f64 = 1e9;
/// Parts per million in 16 bits behind the point.
const PPM: f64 = 1e6 * 65536.0;

static SYNC: Desc = gauge("node_timex_sync_status", "Whether the clock is kept right by a time service.");
static RATIO: Desc =
    gauge("node_timex_frequency_adjustment_ratio", "How much faster than it would the clock is made to run.");
/// Field, divisor, family; 0 stands for that of the flag below.
static COLUMNS: [(usize, f64, Desc); 15] = [
    (2, MICRO, gauge("node_timex_maxerror_seconds", "The most that the clock can be wrong.")),
    (3, MICRO, gauge("node_timex_estimated_error_seconds", "What the clock probably is wrong by.")),
    (4, 1.0, gauge("node_timex_status", "The flags of the clock as a number.")),
    (5, 1.0, gauge("node_timex_loop_time_constant", "How slowly the clock follows its reference.")),
    (10, MICRO, gauge("node_timex_tick_seconds", "Seconds between two ticks of the clock.")),
    (11, PPM, gauge("node_timex_pps_frequency_hertz", "Frequency of a pulse-per-second source.")),
    (13, 1.0, gauge("node_timex_pps_shift_seconds", "Interval of a pulse-per-second source.")),
    (14, PPM, gauge("node_timex_pps_stability_hertz", "How much a pulse-per-second source varies.")),
    (15, 1.0, counter("node_timex_pps_jitter_total", "Times that a pulse-per-second source was too unsteady.")),
    (16, 1.0, counter("node_timex_pps_calibration_total", "Calibrations of a pulse-per-second source.")),
    (17, 1.0, counter("node_timex_pps_error_total", "Failed calibrations of a pulse-per-second source.")),
    (
        18,
        1.0,
        counter("node_timex_pps_stability_exceeded_total", "Times that a pulse-per-second source varied too much."),
    ),
    (19, 1.0, gauge("node_timex_tai_offset_seconds", "Seconds that atomic time is ahead of UTC.")),
    (0, 0.0, gauge("node_timex_offset_seconds", "Seconds that the clock is still to be corrected by.")),
    (12, 0.0, gauge("node_timex_pps_jitter_seconds", "How unsteady a pulse-per-second source is.")),
];
/// In the status: offsets are in nanoseconds.
const IN_NANOSECONDS: u64 = 0x2000;
/// The result of adjtimex where nobody keeps the clock.
const UNSYNCHRONISED: f64 = 5.0;

/// The clock.
pub(super) fn time(probe: &Probe, sink: &mut Sink) {
    match probe.section("clock") {
        Ok(text) => clock(probe.clock, text.trim(), sink),
        Err(gap) => sink.trouble(format!("clock: {gap}")),
    }
    for device in probe.things("/sys/devices/system/clocksource/") {
        let Some(number) = device.name.strip_prefix("clocksource") else { continue };
        let labels = |source| Labels::new(&[("clocksource", source), ("device", number)]);
        for source in device.get("available_clocksource").unwrap_or_default().split_whitespace() {
            sink.put(&AVAILABLE, &labels(source), 1.0);
        }
        if let Some(source) = device.get("current_clocksource") {
            sink.put(&CURRENT, &labels(source), 1.0);
        }
    }
}

/// `SECONDS.NANOSECONDS +0100 CET`; BusyBox knows no nanoseconds and prints something else there.
fn clock(ours: Option<Clock>, text: &str, sink: &mut Sink) {
    let mut words = text.split_whitespace();
    let (seconds, fraction) = words.next().and_then(|word| word.split_once('.')).unwrap_or_default();
    let Ok(seconds) = seconds.parse::<u32>() else { return sink.malformed("date", text) };
    let exact = (fraction.len() == 9).then(|| float(&format!("0.{fraction}"))).flatten();
    let now = f64::from(seconds) + exact.unwrap_or_default();
    sink.put(&TIME, &plain(), now);
    if let (Some(ahead), Some(zone)) = (words.next().and_then(zone_offset), words.next()) {
        sink.put(&ZONE, &Labels::new(&[("time_zone", zone)]), ahead);
    }
    if let Some(Clock { asked, round_trip }) = ours {
        let half = round_trip.as_secs_f64() / 2.0;
        // Without a fraction the host's time is anywhere in that second.
        let (guess, more) = if exact.is_some() { (0.0, 0.0) } else { (0.5, 0.5) };
        // Whole seconds first: their difference is exact.
        let apart = f64::from(seconds) - asked.as_secs() as f64;
        let fractions = exact.unwrap_or(guess) - f64::from(asked.subsec_nanos()) / NANO;
        sink.put(&OFFSET, &plain(), apart + fractions - half);
        sink.put(&UNCERTAINTY, &plain(), half + more);
    }
}

/// Seconds of `+0130`.
fn zone_offset(text: &str) -> Option<f64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let number: i32 = digits.parse::<u16>().ok().filter(|_| digits.len() == 4)?.into();
    Some(f64::from(sign * (number / 100 * 3600 + number % 100 * 60)))
}

/// What adjtimex says: its result, then the fields of the structure behind the first.
pub(super) fn timex(probe: &Probe, sink: &mut Sink) {
    let line = match probe.section("timex") {
        Ok(text) => text.trim(),
        // There is no other way than perl, which a NAS may not have.
        Err(super::frame::Gap::Absent(_)) => return,
        Err(gap) => return sink.trouble(format!("timex: {gap}")),
    };
    let mut words = line.split_whitespace();
    let result = words.next().and_then(float);
    let fields: Vec<i64> = words.filter_map(|word| word.parse().ok()).collect();
    let (Some(result), [_, frequency, _, _, status, ..], 20) = (result, fields.as_slice(), fields.len()) else {
        // A container may forbid the call.
        if !line.is_empty() {
            sink.malformed("adjtimex", line);
        }
        return;
    };
    let fine = if status.cast_unsigned() & IN_NANOSECONDS == 0 { MICRO } else { NANO };
    sink.put(&SYNC, &plain(), if result == UNSYNCHRONISED { 0.0 } else { 1.0 });
    sink.put(&RATIO, &plain(), 1.0 + *frequency as f64 / PPM);
    for (column, divisor, desc) in &COLUMNS {
        let divisor = if *divisor == 0.0 { fine } else { *divisor };
        sink.put(desc, &plain(), fields.get(*column).map(|field| *field as f64 / divisor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn told(ours: Option<Clock>, text: &str) -> Vec<String> {
        let mut sink = Sink::default();
        clock(ours, text, &mut sink);
        super::super::testing::lines(&sink.into_families())
    }

    #[test]
    fn the_offset_is_measured_at_the_middle_of_the_way() {
        let ours = Clock { asked: Duration::from_millis(1_000_000_250), round_trip: Duration::from_millis(500) };
        assert_eq!(
            told(Some(ours), "1000001.750000000 +0130 X"),
            [
                "node_time_seconds{} 1000001.75",
                "node_time_zone_offset_seconds{time_zone=\"X\"} 5400",
                "pve_host_clock_offset_seconds{} 1.25",
                "pve_host_clock_offset_uncertainty_seconds{} 0.25",
            ]
        );
        assert_eq!(
            told(Some(ours), "1000001.%N -0100 Y").get(2..).unwrap_or_default(),
            ["pve_host_clock_offset_seconds{} 1", "pve_host_clock_offset_uncertainty_seconds{} 0.75"]
        );
        assert_eq!(told(None, "5.5").len(), 1);
        assert_eq!(told(None, "date: bad"), Vec::<String>::new());
    }

    #[test]
    fn zones() {
        for (text, expected) in [("+0000", Some(0.0)), ("-0330", Some(-12600.0)), ("+1", None), ("é", None), ("", None)]
        {
            assert_eq!(zone_offset(text), expected, "{text}");
        }
    }
}
