//! The two text formats: what they are called, and how names, help and values are written in each.

use bytes::BytesMut;

use super::{Desc, Kind};

/// A text format that Prometheus reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The classic format, which every Prometheus reads.
    Text004,
    /// OpenMetrics 1.0.0: counters are declared without `_total`, and the page ends in `# EOF`.
    OpenMetrics100,
}

impl Format {
    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What closes a page.
    pub(super) fn end(self) -> &'static str {
        match self {
            Self::Text004 => "",
            Self::OpenMetrics100 => "# EOF\n",
        }
    }

    /// The name in the HELP and TYPE lines.
    pub(super) fn family_name(self, desc: Desc<&str>) -> &str {
        match (self, desc.kind) {
            (Self::OpenMetrics100, Kind::Counter) => base_name(desc),
            _ => desc.name,
        }
    }
}

/// The name of a counter's family in OpenMetrics.
pub(super) fn base_name(desc: Desc<&str>) -> &str {
    desc.name.strip_suffix("_total").unwrap_or(desc.name)
}

/// An upper bound of what [`write_header`] writes.
pub(super) fn header_size(desc: Desc<&str>) -> usize {
    2 * desc.name.len() + 2 * desc.help.len() + "# HELP  \n# TYPE  untyped\n".len()
}

/// Writes the HELP and TYPE lines.
pub(super) fn write_header(out: &mut BytesMut, format: Format, desc: Desc<&str>) {
    let name = format.family_name(desc);
    out.extend_from_slice(b"# HELP ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" ");
    for byte in desc.help.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if format == Format::OpenMetrics100 => out.extend_from_slice(b"\\\""),
            other => out.extend_from_slice(&[other]),
        }
    }
    out.extend_from_slice(b"\n# TYPE ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(match desc.kind {
        Kind::Counter => b" counter\n".as_slice(),
        Kind::Gauge => b" gauge\n".as_slice(),
        Kind::Untyped if format == Format::OpenMetrics100 => b" unknown\n".as_slice(),
        Kind::Untyped => b" untyped\n".as_slice(),
    });
}

/// An upper bound of what [`write_value`] writes.
pub(super) const VALUE_SIZE: usize = 32;

/// Writes a number so that it reads back as the same one (`-0` as `0`).
pub(super) fn write_value(out: &mut BytesMut, value: f64) {
    const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    // Saturates, and makes 0 of NaN, so that the comparison fails for all that is not whole.
    let whole = value as i64;
    if whole as f64 == value && whole.unsigned_abs() < EXACT {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: f64) -> String {
        let mut out = BytesMut::new();
        write_value(&mut out, value);
        assert!(out.len() <= VALUE_SIZE, "{out:?}");
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn numbers_are_short_and_plain() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (17_179_869_184.0, "17179869184"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (-9_007_199_254_740_991.0, "-9007199254740991"),
            (0.1, "0.1"),
            (0.031_25, "0.03125"),
            (-1.5, "-1.5"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(written(value), text);
        }
    }

    proptest! {
        #[test]
        fn any_number_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            let read: f64 = written(value).parse().unwrap();
            prop_assert!(read == value || (read.is_nan() && value.is_nan()), "{value:e} {read:e}");
        }

        #[test]
        fn any_whole_number_has_no_fraction(value in -(1_i64 << 53) + 1..1_i64 << 53) {
            prop_assert_eq!(written(value as f64), value.to_string());
        }
    }

    #[test]
    fn extreme_numbers_read_back() {
        for value in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e16, 1e21, -1e300, 9_007_199_254_740_992.0, 1e-7]
        {
            assert_eq!(written(value).parse::<f64>(), Ok(value));
        }
    }

    #[test]
    fn help_is_escaped_as_each_format_asks() {
        static DESC: Desc = Desc { name: "a_total", help: "Say \"x\\y\"\nand é.", kind: Kind::Counter };
        let mut out = BytesMut::new();
        write_header(&mut out, Format::Text004, DESC);
        assert_eq!(out, "# HELP a_total Say \"x\\\\y\"\\nand é.\n# TYPE a_total counter\n");
        assert!(out.len() <= header_size(DESC));
        out.clear();
        write_header(&mut out, Format::OpenMetrics100, DESC);
        assert_eq!(out, "# HELP a Say \\\"x\\\\y\\\"\\nand é.\n# TYPE a counter\n");
        assert!(out.len() <= header_size(DESC));
    }
}
