//! `/api/…`: a request for the desk of the API, and what the desk answers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderValue};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::body::Body;
use super::{Site, negotiate, packed, query};
use crate::api::{Admitted, Code, Desk, Entrance, Error, Head, Refused, Reply};

/// What is counted of requests whose path means nothing, or may mean nothing to their caller.
const OTHER: &str = "/api/";

/// Said of a query that cannot be read; without the query, which may hold a token.
const GARBLED: &str = "the query is not percent-encoded UTF-8 (a literal % is written %25)";

/// A whole request, and whose it is.
pub(super) struct Asked {
    outcome: Result<Admitted, Reply>,
    /// Whether the answer may be compressed.
    gzip: bool,
    /// The pattern of its path.
    pub(super) pattern: &'static str,
    /// The name of its token.
    pub(super) user: Option<String>,
    /// What names it in the log.
    pub(super) id: Option<String>,
}

/// Finds out who asks, and reads the body that belongs to the request.
pub(super) async fn admit(
    site: &Site,
    head: &Parts,
    body: Incoming,
    (client, entrance): (Option<SocketAddr>, Entrance),
) -> Asked {
    let gzip = negotiate::gzip(&head.headers);
    let asked = site.desk.admit(Head {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query(),
        pairs: query::pairs(head.uri.query().unwrap_or_default()).map_err(|_| GARBLED.to_owned()),
        headers: &head.headers,
        from: client.map(|client| client.ip()),
        entrance,
    });
    let admitted = match asked {
        Ok(admitted) => admitted,
        Err(Refused { reply, pattern, caller, .. }) => {
            return Asked { outcome: Err(reply), gzip, pattern: pattern.unwrap_or(OTHER), user: caller, id: None };
        }
    };
    let (pattern, user, id) = (admitted.pattern(), admitted.caller().to_owned(), admitted.id().to_owned());
    let outcome = if admitted.takes_body() {
        let body = read(head, body, site.limits.body_timeout).await;
        site.desk.with_body(admitted, body)
    } else {
        Ok(admitted)
    };
    Asked { outcome: outcome.map_err(Reply::from), gzip, pattern, user: Some(user), id: Some(id) }
}

/// Answers it.
pub(super) async fn page(asked: Asked) -> Response<Body> {
    let Reply { status, json, headers } = match asked.outcome {
        Ok(admitted) => admitted.answer().await,
        Err(reply) => reply,
    };
    let mut response = packed::json(status, json, asked.gzip).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().extend(headers);
    response
}

async fn read(head: &Parts, body: Incoming, limit: Duration) -> Result<Bytes, Error> {
    let too_large = || Error::new(Code::TooLarge, format!("the body is longer than {} bytes", Desk::BODY));
    let said = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if said.is_some_and(|length: usize| length > Desk::BODY) {
        return Err(too_large());
    }
    let read = tokio::time::timeout(limit, Limited::new(body, Desk::BODY).collect()).await;
    let late = || Error::new(Code::RequestTimeout, format!("no whole body within {} s", limit.as_secs_f64()));
    let body = read.map_err(|_| late())?.map_err(|error| {
        if error.is::<LengthLimitError>() { too_large() } else { Error::bad_request("the body did not arrive whole") }
    })?;
    Ok(body.to_bytes())
}
