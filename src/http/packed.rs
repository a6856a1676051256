//! Whole answers, compressed where that is asked for and worth it.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, HeaderValue, VARY};
use http::{Response, StatusCode};

use super::body::Body;
use super::reply;

/// Shorter ones are not worth the work.
const LEAST: usize = 1024;

/// Larger ones are compressed beside the loop.
const LARGE: usize = 64 * 1024;

/// An answer of JSON, compressed if `gzip`. Must run on the runtime.
pub(super) async fn json(status: StatusCode, text: Bytes, gzip: bool) -> Response<Body> {
    let packed = match text.len() {
        _ if !gzip => None,
        ..LEAST => None,
        LEAST..LARGE => pack(&text).ok(),
        _ => {
            let text = text.clone();
            tokio::task::spawn_blocking(move || pack(&text)).await.ok().and_then(Result::ok)
        }
    };
    let is_packed = packed.is_some();
    let body = packed.map_or(text, Bytes::from);
    let mut response = reply::reply(status, "application/json", Body::Text(body));
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn pack(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}
