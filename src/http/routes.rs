//! The table of paths, and what is said where it has none.

use std::future;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use super::body::Body;
use super::{Site, exposition, health, landing, reference, reply};

struct Route {
    path: &'static str,
    /// As the `Allow` header has them.
    methods: &'static str,
    page: fn(Arc<Site>, Parts) -> BoxFuture<'static, Response<Body>>,
}

const READ: &str = "GET, HEAD";

const ROUTES: &[Route] = &[
    Route { path: "/", methods: READ, page: |site, _| future::ready(landing::page(&site)).boxed() },
    Route { path: "/metrics", methods: READ, page: |site, request| exposition::page(site, request).boxed() },
    Route { path: "/pve", methods: READ, page: |site, request| reference::page(site, request).boxed() },
    Route { path: "/-/healthy", methods: READ, page: |_, _| future::ready(health::healthy()).boxed() },
    Route { path: "/-/ready", methods: READ, page: |site, _| future::ready(health::ready(&site)).boxed() },
];

/// Answers a request, counts and logs it. For HEAD the server keeps the body back.
pub(super) async fn answer(site: Arc<Site>, request: Parts) -> Response<Body> {
    let started = Instant::now();
    let own = Arc::clone(&site.own);
    let (method, uri) = (request.method.clone(), request.uri.clone());
    let route = ROUTES.iter().find(|route| route.path == uri.path());
    let response = match route {
        None => not_found(),
        Some(route) if route.methods.split(", ").all(|allowed| allowed != method.as_str()) => not_allowed(route),
        Some(route) => (route.page)(site, request).await,
    };
    let status = response.status().as_u16();
    own.http_request(route.map_or("other", |route| route.path), status);
    let duration_ms = started.elapsed().as_millis();
    tracing::debug!(%method, path = uri.path(), status, %duration_ms, "answered a request");
    response
}

fn not_found() -> Response<Body> {
    let mut text = String::from("there is no such page here; there are:\n");
    for route in ROUTES {
        text.push_str(route.path);
        text.push('\n');
    }
    reply::text(StatusCode::NOT_FOUND, text)
}

fn not_allowed(route: &Route) -> Response<Body> {
    let text = format!("{} answers {} only\n", route.path, route.methods);
    let mut response = reply::text(StatusCode::METHOD_NOT_ALLOWED, text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(route.methods));
    response
}
