//! `GET /metrics`: all clusters, or those asked for, in the format asked for.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, HeaderValue, VARY};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

use super::body::{Body, Turn};
use super::{Asked, Site, negotiate, query, reply};
use crate::metrics::{Format, Own, Page, Part};
use crate::scrape::UnknownName;

/// Values of parameters are shown up to this many characters in messages.
const SHOWN: usize = 64;

pub(super) async fn page(site: Arc<Site>, request: Parts) -> Response<Body> {
    let pairs = match query::pairs(request.uri.query().unwrap_or_default()) {
        Ok(pairs) => pairs,
        Err(error) => return reply::text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let asked = Asked {
        clusters: query::values(&pairs, "cluster"),
        collect: query::values(&pairs, "collect[]"),
        timeout: negotiate::timeout(&request.headers),
    };
    let round = match (site.rounds)(asked).await {
        Ok(round) => round,
        Err(unknown) => return reply::text(StatusCode::BAD_REQUEST, explain(&unknown)),
    };
    let format = negotiate::format(&request.headers);
    let own = round.own_metrics.then(|| Arc::clone(&site.own));
    let mut parts = round.parts;
    let discovered = round.discovered;
    parts.extend(site.discovery.parts(|cluster| discovered.iter().any(|name| name == cluster)));
    let mut response = body(&site, parts, own, format, &request.headers);
    // Those who joined the round last come to the same page before it is on its way, and share its compression.
    tokio::task::yield_now().await;
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    response
}

/// A page in `format`, compressed if the request's headers want it so.
pub(super) fn body(
    site: &Site,
    parts: Vec<Arc<Part>>,
    own: Option<Arc<Own>>,
    format: Format,
    headers: &HeaderMap,
) -> Response<Body> {
    let gzip = negotiate::gzip(headers);
    let body = if gzip {
        Body::Gzip(site.compressed.page(parts, own, format), Turn::default())
    } else {
        Body::Plain(Box::new(Page::new(parts, own).chunks(format)), Turn::default())
    };
    let mut response = reply::reply(StatusCode::OK, format.content_type(), body);
    let headers = response.headers_mut();
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

pub(super) fn explain(unknown: &UnknownName) -> String {
    let mut value: String = unknown.value.chars().take(SHOWN).collect();
    if value.len() < unknown.value.len() {
        value.push('…');
    }
    let known = if unknown.known.is_empty() { "none".to_owned() } else { unknown.known.join(", ") };
    format!("the parameter {} names {value:?}, which is not configured; known: {known}\n", unknown.parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_explained() {
        let mut unknown =
            UnknownName { parameter: "cluster", value: "hom\n".into(), known: vec!["home".into(), "lab".into()] };
        assert_eq!(
            explain(&unknown),
            "the parameter cluster names \"hom\\n\", which is not configured; known: home, lab\n"
        );
        unknown.value = "é".repeat(100);
        unknown.known.clear();
        let text = explain(&unknown);
        assert!(text.contains(&format!("\"{}…\"", "é".repeat(64))) && text.ends_with("known: none\n"), "{text}");
    }
}
