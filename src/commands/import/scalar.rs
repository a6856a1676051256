//! What a plain scalar means to the reader of the reference exporter, which follows YAML 1.1.

/// The meaning of a scalar without quotes and tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing: empty, `~`, `null`.
    Null,
    /// `yes`, `off`, `True` …
    Bool(bool),
    /// A text.
    Text,
    /// A number or a date that Python prints as it is written.
    SameText,
    /// A number or a date that Python prints differently: octal, with underscores, `1.10` …
    OtherText,
}

/// The meaning of the text of a plain scalar.
pub(super) fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Meaning::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Meaning::Bool(false),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        Meaning::Text
    } else if prints_the_same(text) {
        Meaning::SameText
    } else if is_integer(text) || is_float(text) || is_time(text) {
        Meaning::OtherText
    } else {
        Meaning::Text
    }
}

/// Decimal integers, short decimal fractions and days, written as Python would write them.
fn prints_the_same(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    let whole = |digits: &str| digits == "0" || (all_digits(digits) && !digits.starts_with('0'));
    match number.split_once('.') {
        None => (whole(number) && text != "-0") || is_day(text),
        // Python writes fractions from 0.0001 on without an exponent, and 15 digits are exact.
        Some((before, after)) => {
            whole(before)
                && all_digits(after)
                && (after == "0" || !after.ends_with('0'))
                && (before != "0" || after == "0" || !after.starts_with("0000"))
                && before.len() + after.len() <= 15
        }
    }
}

fn is_integer(text: &str) -> bool {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let of = |digits: &str, kind: fn(&u8) -> bool| {
        !digits.is_empty() && digits.bytes().all(|byte| byte == b'_' || kind(&byte))
    };
    if let Some(digits) = number.strip_prefix("0b") {
        return of(digits, |byte| matches!(byte, b'0' | b'1'));
    }
    if let Some(digits) = number.strip_prefix("0x") {
        return of(digits, u8::is_ascii_hexdigit);
    }
    if let Some(digits) = number.strip_prefix('0') {
        return digits.is_empty() || of(digits, |byte| (b'0'..=b'7').contains(byte));
    }
    let mut parts = number.split(':');
    let first = parts.next().unwrap_or_default();
    first.starts_with(|c: char| c.is_ascii_digit()) && of(first, u8::is_ascii_digit) && parts.all(is_sixtieth)
}

fn is_float(text: &str) -> bool {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(number, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((before, after)) = number.split_once('.') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit());
    let starts = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let (fraction, exponent) = match after.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (after, None),
    };
    let exponent_fits = exponent.is_none_or(|text| text.strip_prefix(['+', '-']).is_some_and(all_digits));
    if !digits(fraction) || !exponent_fits {
        return false;
    }
    let mut parts = before.split(':');
    let first = parts.next().unwrap_or_default();
    if before.is_empty() {
        return text.starts_with('.') && starts(fraction);
    }
    let sixtieths: Vec<&str> = parts.collect();
    starts(first)
        && digits(first)
        && sixtieths.iter().all(|part| is_sixtieth(part))
        && (sixtieths.is_empty() || exponent.is_none())
}

/// `0` to `59`, also `07`.
fn is_sixtieth(text: &str) -> bool {
    all_digits(text) && text.len() <= 2 && (text.len() == 1 || text.starts_with(|c| ('0'..='5').contains(&c)))
}

/// `2026-01-31`.
fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), [year, month, day]
        if year.len() == 4 && month.len() == 2 && day.len() == 2 && parts.iter().all(|part| all_digits(part)))
}

/// A day with a time of day; more lenient than the rule, since nobody means such a text.
fn is_time(text: &str) -> bool {
    let Some((day, time)) = text.split_once(['T', 't', ' ', '\t']) else { return false };
    let parts: Vec<&str> = day.split('-').collect();
    parts.len() == 3 && parts.iter().all(|part| all_digits(part)) && time.contains(':')
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OTHER: &[&str] = &[
        "0123",
        "0x1F",
        "1_000",
        "1:30",
        "+5",
        "1.10",
        "1.",
        ".5",
        "1.0e+3",
        ".inf",
        "-.inf",
        ".NaN",
        "2024-1-1T10:00:00Z",
        "2024-01-01 10:00:00",
        "190:20:30.15",
        "0b11",
        "00",
        "-0",
        "0.",
        "1_0.5",
        "0.00001",
        "1234567890123456789.5",
    ];
    const TEXTS: &[&str] = &[
        "y",
        "n",
        "nO",
        "08",
        "0o17",
        "1:60",
        "1e3",
        "1.0e3",
        "2024-1-1",
        "-.5",
        "+.5",
        "1e-3",
        "-",
        "+",
        ".",
        "12345678-1234-1234-1234-123456789012",
        "0b9e7a52-1111-4222-8333-5a5a5a5a5a5a",
        "192.0.2.11",
        "root@pam",
        "0x",
        "0b2",
        "é",
    ];

    /// As `PyYAML` 6.0.3 and Python 3 read and print them.
    #[test]
    fn plain_scalars_mean_what_they_mean_to_the_reference() {
        use Meaning::{Bool, Null, OtherText, SameText, Text};
        for (meant, texts) in [
            (Null, &["", "~", "null", "Null", "NULL"][..]),
            (Bool(true), &["yes", "Yes", "YES", "on", "On", "true", "True", "TRUE"]),
            (Bool(false), &["no", "No", "NO", "off", "OFF", "false", "False", "FALSE"]),
            (SameText, &["0", "123", "-5", "123456789012345678901234567890", "1.5", "1.0", "0.1", "2024-01-01"]),
            (OtherText, OTHER),
            (Text, TEXTS),
        ] {
            for text in texts {
                assert_eq!(meaning(text), meant, "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), close in "[-+.:0-9_ebxTt ]{0,12}") {
            let _ = (meaning(&text), meaning(&close));
        }
    }
}
