//! Days as PVE writes them.

const DAY: u32 = 24 * 60 * 60;

/// The first second of a day written `YYYY-MM-DD`, from 1970 to 9999, in seconds since 1970, UTC. `None` for any other
/// text and for days that no calendar has.
pub(super) fn midnight(text: &str) -> Option<f64> {
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text.as_bytes() else { return None };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    Some(f64::from(days(year, month, day)?) * f64::from(DAY))
}

/// A time written as C does, such as `Sun Nov  9 00:36:35 2025`, in seconds since 1970 by the clock that it was read from,
/// which tells no time zone.
pub(super) fn clock_time(text: &str) -> Option<f64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace().skip(1);
    let month = words.next()?;
    let month = u32::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let day: u32 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.splitn(3, ':').map(|part| part.parse::<u8>().ok().map(u32::from));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let days = days(words.next()?.parse().ok()?, month, day)?;
    let is_time = hour < 24 && minute < 60 && second <= 60;
    is_time.then(|| f64::from(days) * f64::from(DAY) + f64::from(hour * 3600 + minute * 60 + second))
}

/// A day and a time of day written `YYYY-MM-DD HH:MM:SS`, with this byte between them, in seconds since 1970 as if it
/// were UTC. `None` for any other text.
pub(super) fn date_and_time(text: &str, between: u8) -> Option<i64> {
    let &[h0, h1, b':', m0, m1, b':', s0, s1] = text.as_bytes().get(11..)? else { return None };
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[m0, m1])?, number(&[s0, s1])?);
    let &[y0, y1, y2, y3, b'-', n0, n1, b'-', d0, d1, separator] = text.as_bytes().get(..11)? else { return None };
    let days = days(number(&[y0, y1, y2, y3])?, number(&[n0, n1])?, number(&[d0, d1])?)?;
    // Up to 60: a leap second.
    let fits = separator == between && hour < 24 && minute < 60 && second <= 60;
    let seconds = i64::from(days) * i64::from(DAY) + i64::from(hour * 3600 + minute * 60 + second);
    fits.then_some(seconds)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}

/// Days since 1970-01-01.
fn days(year: u32, month: u32, day: u32) -> Option<u32> {
    /// Days of a common year before each month, and in all.
    const BEFORE: [u32; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    let (before, after) = (*BEFORE.get(index)?, *BEFORE.get(index + 1)?);
    let leap = is_leap(year);
    let length = after - before + u32::from(leap && month == 2);
    if !(1970..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let leap_days = leap_years_before(year) - leap_years_before(1970);
    Some((year - 1970) * 365 + leap_days + before + u32::from(leap && month > 2) + day - 1)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// How many years from 1 up to the one before are leap years.
fn leap_years_before(year: u32) -> u32 {
    let last = year.saturating_sub(1);
    last / 4 - last / 100 + last / 400
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_are_counted_as_a_calendar_does() {
        // Walked day by day, with nothing of the arithmetic above but the lengths of months.
        let mut count = 0;
        for year in 1970..=9999 {
            for month in 1..=12 {
                let length = match month {
                    4 | 6 | 9 | 11 => 30,
                    2 if year % 400 == 0 || (year % 4 == 0 && year % 100 != 0) => 29,
                    2 => 28,
                    _ => 31,
                };
                for day in 1..=length {
                    assert_eq!(days(year, month, day), Some(count), "{year}-{month}-{day}");
                    count += 1;
                }
                assert_eq!(days(year, month, length + 1), None, "{year}-{month}");
                assert_eq!(days(year, month, 0), None, "{year}-{month}");
            }
        }
    }

    #[test]
    fn only_days_in_full_are_understood() {
        for (text, seconds) in [
            ("1970-01-01", Some(0.0)),
            ("2000-02-29", Some(951_782_400.0)),
            ("2027-01-31", Some(1_801_353_600.0)),
            ("9999-12-31", Some(253_402_214_400.0)),
            ("1969-12-31", None),
            ("0000-00-00", None),
            ("2100-02-29", None),
            ("2027-13-01", None),
            ("2027-1-31", None),
            ("2027-01-31 ", None),
            ("2027/01/31", None),
            ("+027-01-31", None),
            ("2027-01-３", None),
            ("", None),
        ] {
            assert_eq!(midnight(text), seconds, "{text:?}");
        }
    }

    #[test]
    fn times_of_a_clock_on_the_wall() {
        for (text, expected) in [
            ("Thu Jan  1 00:00:00 1970", Some(0.0)),
            ("Sun Nov  9 00:36:35 2025", Some(1_762_648_595.0)),
            ("Thu Feb 29 23:59:59 2024", Some(1_709_251_199.0)),
            ("Sun Foo  9 00:36:35 2025", None),
            ("Sun Nov 31 00:36:35 2025", None),
            ("Sun Nov  9 24:36:35 2025", None),
            ("Sun Nov  9 2025", None),
            ("", None),
        ] {
            assert_eq!(clock_time(text), expected, "{text}");
        }
    }

    #[test]
    fn times_of_day_are_understood_in_full_only() {
        for (text, seconds) in [
            ("1970-01-01 00:00:00", Some(0)),
            ("2026-11-20 22:18:00", Some(1_795_213_080)),
            ("9999-12-31 23:59:60", Some(253_402_300_800)),
            ("2026-11-20T22:18:00", None),
            ("2026-11-20 24:00:00", None),
            ("2026-11-20 22:60:00", None),
            ("2026-11-31 22:18:00", None),
            ("2026-11-20 22:18", None),
            ("2026-11-20 22:18:00 ", None),
            ("2026-11-2\u{e9} 22:18:0", None),
            ("", None),
        ] {
            assert_eq!(date_and_time(text, b' '), seconds, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_clock_panics(text in "(.{0,30}|[A-Z][a-z]{2} (Jan|Dec) [0-9]{1,12} [0-9:]{1,12} [0-9]{1,12})") {
            prop_assert!(clock_time(&text).is_none_or(|seconds| seconds >= 0.0));
        }

        #[test]
        fn no_text_panics(text in prop_oneof![".{0,12}", "[0-9-]{10}", "[0-9]{4}-[0-9]{2}-[0-9]{2}"]) {
            if let Some(seconds) = midnight(&text) {
                prop_assert!(seconds >= 0.0 && seconds % f64::from(DAY) == 0.0);
            }
        }
    }
}
