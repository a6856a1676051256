//! `GET /-/healthy` and `/-/ready`.

use http::{Response, StatusCode};

use super::Site;
use super::body::Body;
use super::reply;

/// The process answers.
pub(super) fn healthy() -> Response<Body> {
    reply::text(StatusCode::OK, "pve-sentinel is healthy.\n".to_owned())
}

/// The process takes new requests.
pub(super) fn ready(site: &Site) -> Response<Body> {
    if site.is_draining() {
        reply::text(StatusCode::SERVICE_UNAVAILABLE, "pve-sentinel is shutting down.\n".to_owned())
    } else {
        reply::text(StatusCode::OK, "pve-sentinel is ready.\n".to_owned())
    }
}
