//! `GET /host`: one host over SSH under node_exporter's names, always in the classic format.

use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};

use super::body::Body;
use super::{Site, exposition, negotiate, query, reply};
use crate::metrics::Format;
use crate::scrape::Refusal;

pub(super) async fn page(site: Arc<Site>, request: Parts) -> Response<Body> {
    let pairs = match query::pairs(request.uri.query().unwrap_or_default()) {
        Ok(pairs) => pairs,
        Err(error) => return reply::text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let target = query::values(&pairs, "target").into_iter().next();
    match (site.hosts)(target, negotiate::timeout(&request.headers)).await {
        Ok(parts) => exposition::body(&site, parts, None, Format::Text004, &request.headers),
        Err(Refusal::Unknown(unknown)) => reply::text(StatusCode::BAD_REQUEST, exposition::explain(&unknown)),
        Err(Refusal::Unclear(words)) => reply::text(StatusCode::BAD_REQUEST, format!("{words}\n")),
        Err(Refusal::Failed(reasons)) => {
            reply::text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n")))
        }
    }
}
