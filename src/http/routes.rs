//! The table of paths, what is said where it has none, and to whom nothing is said.

use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::body::Body;
use super::guard::Verdict;
use super::{Site, api, exposition, health, host, landing, reference, reload, reply, sd};
use crate::api::{Desk, Entrance};
use crate::ids::holds_token;

struct Route {
    path: &'static str,
    /// As the `Allow` header has them.
    methods: &'static str,
    /// Whether it is answered without a password.
    open: bool,
    page: fn(Arc<Site>, Parts) -> BoxFuture<'static, Response<Body>>,
}

const READ: &str = "GET, HEAD";
const POST: &str = "POST";

/// The longest body of a request, in bytes. Only POST takes one, and what is in it means nothing.
const BODY: usize = 4096;

const ROUTES: &[Route] = &[
    Route { path: "/", methods: READ, open: false, page: |site, _| future::ready(landing::page(&site)).boxed() },
    Route { path: "/metrics", methods: READ, open: false, page: |site, asked| exposition::page(site, asked).boxed() },
    Route { path: "/pve", methods: READ, open: false, page: |site, asked| reference::page(site, asked).boxed() },
    Route { path: "/host", methods: READ, open: false, page: |site, asked| host::page(site, asked).boxed() },
    Route {
        path: "/sd/clusters",
        methods: READ,
        open: false,
        page: |site, asked| sd::page(site, asked, sd::List::Clusters).boxed(),
    },
    Route {
        path: "/sd/hosts",
        methods: READ,
        open: false,
        page: |site, asked| sd::page(site, asked, sd::List::Hosts).boxed(),
    },
    Route {
        path: "/sd/guests",
        methods: READ,
        open: false,
        page: |site, asked| sd::page(site, asked, sd::List::Guests).boxed(),
    },
    Route { path: "/-/healthy", methods: READ, open: true, page: |_, _| future::ready(health::healthy()).boxed() },
    Route { path: "/-/ready", methods: READ, open: false, page: |site, _| future::ready(health::ready(&site)).boxed() },
    Route { path: "/-/reload", methods: POST, open: false, page: |site, _| reload::page(site).boxed() },
];

/// A whole request, and whose it is.
pub(super) struct Visit {
    head: Parts,
    route: Option<&'static Route>,
    /// Set where it is one of the API, which has its own callers and paths.
    api: Option<api::Asked>,
    client: Option<SocketAddr>,
    user: Option<String>,
    /// What is answered instead of a page.
    refusal: Option<Response<Body>>,
    began: Instant,
}

/// Finds out who asks, and reads what belongs to the request. May wait for the client, and for its password to be
/// checked.
pub(super) async fn admit(
    site: &Site,
    request: Request<Incoming>,
    (client, entrance): (Option<SocketAddr>, Entrance),
) -> Visit {
    let began = Instant::now();
    // Bodies that nobody wants are dropped unread; the connection is closed after the answer if one was long.
    let (head, body) = request.into_parts();
    if Desk::is_here(head.uri.path()) {
        let asked = api::admit(site, &head, body, (client, entrance)).await;
        let (api, user) = (Some(asked), None);
        return Visit { head, route: None, api, client, user, refusal: None, began };
    }
    if entrance.of_control {
        let refusal =
            reply::text(StatusCode::NOT_FOUND, "there is the API here, /api/v1/…, and nothing else\n".to_owned());
        return Visit { head, route: None, api: None, client, user: None, refusal: Some(refusal), began };
    }
    let route = ROUTES.iter().find(|route| route.path == head.uri.path());
    let mut visit = Visit { head, route, api: None, client, user: None, refusal: None, began };
    if !route.is_some_and(|route| route.open) {
        match site.door.admit(&visit.head.headers, client).await {
            Verdict::Welcome(user) => visit.user = user,
            Verdict::Refused(user) => (visit.user, visit.refusal) = (user, Some(unauthorized())),
        }
    }
    if visit.refusal.is_none() && route.is_some_and(|route| route.methods == POST && visit.head.method == POST) {
        visit.refusal = unreadable(body).await;
    }
    visit
}

/// Answers a request, counts and logs it. For HEAD the server keeps the body back.
pub(super) async fn answer(site: Arc<Site>, visit: Visit) -> Response<Body> {
    let Visit { head, route, api, client, user, refusal, began } = visit;
    let own = Arc::clone(&site.own);
    let (method, uri) = (head.method.clone(), head.uri.clone());
    let (label, user, id, response) = match api {
        Some(mut asked) => {
            let (user, id) = (asked.user.take(), asked.id.take());
            (asked.pattern, user, id, api::page(asked).await)
        }
        None => (route.map_or("other", |route| route.path), user, None, page(site, head, route, refusal).await),
    };
    let status = response.status().as_u16();
    own.http_request(label, status);
    // Somebody may have put a token where it does not belong.
    let path = if holds_token(uri.path()) { "(not shown)" } else { uri.path() };
    let (client, duration_ms) = (client.map(tracing::field::display), began.elapsed().as_millis());
    tracing::debug!(%method, path, status, %duration_ms, client, user, id, "answered a request");
    response
}

async fn page(
    site: Arc<Site>,
    head: Parts,
    route: Option<&'static Route>,
    refusal: Option<Response<Body>>,
) -> Response<Body> {
    match (refusal, route) {
        (Some(refusal), _) => refusal,
        (None, None) => not_found(),
        (None, Some(route)) if route.methods.split(", ").all(|allowed| allowed != head.method.as_str()) => {
            not_allowed(route)
        }
        (None, Some(route)) => (route.page)(site, head).await,
    }
}

/// Reads the body of a request to its end, and says what is wrong with it.
async fn unreadable(body: Incoming) -> Option<Response<Body>> {
    let error = Limited::new(body, BODY).collect().await.err()?;
    Some(if error.is::<LengthLimitError>() {
        reply::text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY} bytes; none is needed\n"))
    } else {
        reply::text(StatusCode::BAD_REQUEST, "the body did not arrive whole\n".to_owned())
    })
}

fn unauthorized() -> Response<Body> {
    let text = "a user name and password are needed, of basic_auth_users in the configuration\n";
    let mut response = reply::text(StatusCode::UNAUTHORIZED, text.to_owned());
    let challenge = HeaderValue::from_static("Basic realm=\"pve-sentinel\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
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
