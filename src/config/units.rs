//! Durations and sizes as people write them: `1m30s`, `64MiB`.

use std::time::Duration;

/// Units of a duration, longest first, in milliseconds; a year has 365 days, as in Prometheus.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Units of a size, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// The longest duration that is read: 100 years, so that no sum with a clock overflows.
const LONGEST: u64 = 100 * 365 * 86_400_000;

/// Reads a duration as Prometheus writes it: whole numbers with `y`, `w`, `d`, `h`, `m`, `s`, `ms`, each at most once
/// and the longer before the shorter, such as `1m30s`; at most 100 years.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = Some(text).filter(|text| !text.is_empty())?;
    let mut units = DURATION_UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit = after.split(|c: char| !c.is_ascii_alphabetic()).next()?;
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*factor)?).filter(|sum| *sum <= LONGEST)?;
        rest = after.strip_prefix(unit)?;
    }
    Some(Duration::from_millis(total))
}

/// Reads a size: a whole number with `B`, `KiB`, `MiB` or `GiB`, such as `64MiB`. In bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Writes a duration so that it reads back, such as `1m30s`; what is shorter than a millisecond is left out.
pub fn written(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS {
        if rest >= factor {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The digits at the start, and what follows them.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("1y", 31_536_000_000),
            ("1h0m5ms", 3_600_005),
            ("007s", 7000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in [
            "",
            "0",
            "10",
            "s",
            "10 s",
            " 10s",
            "10s ",
            "1.5s",
            "-1s",
            "+1s",
            "1S",
            "1M",
            "1sec",
            "30s1m",
            "1s1s",
            "1ms1s",
            "101y",
            "1é",
            "18446744073709551615y",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_a_binary_unit() {
        assert_eq!(size("0B"), Some(0));
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("1GiB"), Some(1 << 30));
        for text in ["", "64", "64MB", "64M", "64 MiB", "1.5GiB", "-1B", "KiB", "64mib", "99999999999GiB", "1MiB1B"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn written_durations_read_back(millis in 0..=LONGEST) {
            let value = Duration::from_millis(millis);
            prop_assert_eq!(duration(&written(value)), Some(value));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (duration(&text), size(&text));
        }

        #[test]
        fn nearly_right_texts_do_not_panic(text in "[0-9]{0,25}(ms|s|m|h|d|w|y|B|KiB|MiB|GiB)?[0-9]{0,3}(ms|s|é)?") {
            if let Some(read) = duration(&text) {
                prop_assert!(read <= Duration::from_millis(LONGEST));
            }
            let _ = size(&text);
        }

        #[test]
        fn any_duration_is_written_without_panic(seconds: u64, nanos in 0..1_000_000_000_u32) {
            prop_assert!(!written(Duration::new(seconds, nanos)).is_empty());
        }
    }
}
