//! What the headers of a scrape ask for: format, compression, deadline.

use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::metrics::Format;

const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Longer deadlines are taken for nonsense.
const LONGEST: Duration = Duration::from_secs(3600);

/// One element of an `Accept…` header.
struct Choice<'a> {
    name: &'a str,
    version: Option<&'a str>,
    /// In thousandths; 0 refuses.
    quality: u16,
}

/// OpenMetrics where it is named and liked no less than plain text, else the classic format, which all read; nobody
/// is turned away.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut open_metrics = 0;
    // By how exactly plain text is named; the most exact counts.
    let mut text = [None; 3];
    for choice in choices(headers, &ACCEPT) {
        let name = choice.name.to_ascii_lowercase();
        match (name.as_str(), choice.version) {
            ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => {
                open_metrics = open_metrics.max(choice.quality);
            }
            ("text/plain", _) => text[0] = text[0].max(Some(choice.quality)),
            ("text/*", _) => text[1] = text[1].max(Some(choice.quality)),
            ("*/*", _) => text[2] = text[2].max(Some(choice.quality)),
            _ => {}
        }
    }
    let text = text.into_iter().flatten().next().unwrap_or(0);
    if open_metrics > 0 && open_metrics >= text { Format::OpenMetrics100 } else { Format::Text004 }
}

/// Whether gzip is named, and liked no less than no compression.
pub(super) fn gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for choice in choices(headers, &ACCEPT_ENCODING) {
        let slot = match choice.name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "*" => &mut any,
            "identity" => &mut identity,
            _ => continue,
        };
        *slot = (*slot).max(Some(choice.quality));
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// How long the caller waits for the page; nonsense counts as nothing said.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(SCRAPE_TIMEOUT)?.to_str().ok()?.trim().parse().ok()?;
    let timeout = Duration::try_from_secs_f64(seconds).ok()?;
    (!timeout.is_zero() && timeout <= LONGEST).then_some(timeout)
}

/// All elements of all lines of a header; those with a malformed quality are passed over.
fn choices<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Choice<'a>> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).filter_map(choice)
}

fn choice(element: &str) -> Option<Choice<'_>> {
    let mut parameters = element.split(';');
    let name = parameters.next()?.trim();
    let mut choice = Choice { name, version: None, quality: 1000 };
    for parameter in parameters {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        let key = key.trim();
        if key.eq_ignore_ascii_case("q") {
            choice.quality = quality(value)?;
        } else if key.eq_ignore_ascii_case("version") {
            choice.version = Some(value);
        }
    }
    Some(choice)
}

fn quality(value: &str) -> Option<u16> {
    let quality: f32 = value.parse().ok()?;
    (0.0..=1.0).contains(&quality).then(|| (quality * 1000.0).ceil() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn formats() {
        use Format::{OpenMetrics100, Text004};
        let cases = [
            // Prometheus 2.42, 3.x, each with native histograms, and restricted to the classic format.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics100,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics100,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics100,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OpenMetrics100,
            ),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.4", Text004),
            ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4", Text004),
            ("text/plain", Text004),
            ("", Text004),
            ("*/*", Text004),
            ("application/*", Text004),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text004),
            ("application/vnd.google.protobuf", Text004),
            ("application/openmetrics-text", OpenMetrics100),
            ("Application/OpenMetrics-Text; Version=1.0.0; Q=1", OpenMetrics100),
            ("application/openmetrics-text; version=\"1.0.0\"; q=0.001", OpenMetrics100),
            ("application/openmetrics-text;version=0.0.1", OpenMetrics100),
            ("application/openmetrics-text;version=2.0.0", Text004),
            ("application/openmetrics-text;q=0", Text004),
            ("application/openmetrics-text;q=0.000,*/*", Text004),
            ("application/openmetrics-text;q=nan", Text004),
            ("application/openmetrics-text;q=7", Text004),
            ("application/openmetrics-text, text/plain", OpenMetrics100),
            ("application/openmetrics-text;q=0.5, text/plain", Text004),
            ("application/openmetrics-text;q=0.5, text/*", Text004),
            ("application/openmetrics-text;q=0.5, text/plain;q=0.1, */*", OpenMetrics100),
            ("application/openmetrics-text;q=0.5, text/plain;q=0, */*", OpenMetrics100),
            (";;,=;q,é", Text004),
        ];
        for (accept, expected) in cases {
            assert_eq!(format(&headers(ACCEPT, &[accept])), expected, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Text004);
        assert_eq!(format(&headers(ACCEPT, &["text/plain;q=0.1", "application/openmetrics-text"])), OpenMetrics100);
    }

    #[test]
    fn compression() {
        let cases = [
            ("gzip", true),
            ("GZip", true),
            ("x-gzip", true),
            ("deflate, gzip, br, zstd", true),
            ("gzip;q=0.5", true),
            ("*", true),
            ("", false),
            ("identity", false),
            ("deflate, br", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("gzip;q=x", false),
        ];
        for (accept, expected) in cases {
            assert_eq!(gzip(&headers(ACCEPT_ENCODING, &[accept])), expected, "{accept}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }

    #[test]
    fn timeouts() {
        for (value, expected) in [
            ("10", Some(Duration::from_secs(10))),
            (" 9.5 ", Some(Duration::from_millis(9500))),
            ("1e1", Some(Duration::from_secs(10))),
            ("3600", Some(LONGEST)),
            ("3600.5", None),
            ("0", None),
            ("1e-30", None),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("1e400", None),
            ("ten", None),
            ("", None),
        ] {
            assert_eq!(timeout(&headers(SCRAPE_TIMEOUT, &[value])), expected, "{value}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,60}") {
            let _ = format(&headers(ACCEPT, &[&value]));
            let _ = gzip(&headers(ACCEPT_ENCODING, &[&value]));
            let _ = timeout(&headers(SCRAPE_TIMEOUT, &[&value]));
        }
    }
}
