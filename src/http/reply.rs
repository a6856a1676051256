//! What all answers share.

use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};

use super::body::Body;

/// An answer of the given type, which browsers must not guess anew.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A line or two for people.
pub(super) fn text(status: StatusCode, text: String) -> Response<Body> {
    reply(status, "text/plain; charset=utf-8", Body::Text(text.into()))
}
