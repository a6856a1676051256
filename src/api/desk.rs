//! One question from its head on: who may ask what.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method};

use super::entrance::{Entrance, Rules};
use super::error::{Code, Error};
use super::openapi;
use super::order::{Listener, Order};
use super::pace;
use super::path::{self, Fit, Values};
use super::refusals::{Noted, Refusals};
use super::reply::Reply;
use super::request::{Caller, Request};
use super::route::{Place, Route};
use super::token::{self, Stranger};
use crate::config::ApiToken;

/// Where the id of a request stands in its answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What names an order, so that it is not carried out twice.
const KEY_NAME: &str = "Idempotency-Key";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key, in characters.
const LONGEST_KEY: usize = 128;

/// Names up to this length are repeated in messages; the tokens that we take are longer.
const SHOWN: usize = 31;

/// Answers what one configuration lets be asked.
pub struct Desk {
    routes: Vec<Route>,
    tokens: Vec<ApiToken>,
    refusals: Arc<Refusals>,
    ids: Ids,
    rules: Rules,
    /// Hears of refused orders.
    listener: Option<Listener>,
}

/// The beginning of a request.
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, as it came.
    pub path: &'a str,
    /// What stands behind the question mark, as it came.
    pub query: Option<&'a str>,
    /// The same as names and values, or what is wrong with it.
    pub pairs: Result<Vec<(String, String)>, String>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Where it came from, if that is known.
    pub from: Option<IpAddr>,
    /// By which way.
    pub entrance: Entrance,
}

/// A question that may be asked.
pub struct Admitted {
    route: Route,
    request: Request,
    /// Where it is about something to be done.
    order: Option<Order>,
    /// Whether the type of its body was right.
    is_json: bool,
}

/// A question that may not.
pub struct Refused {
    /// What is answered.
    pub reply: Reply,
    /// The pattern that its path fits, if its caller is known and there is one.
    pub pattern: Option<&'static str>,
    /// The name of its token, if that is known.
    pub caller: Option<String>,
    /// Why.
    pub why: Box<Error>,
}

/// Names requests: those of one process differ, and those of two most likely.
struct Ids {
    process: u64,
    count: AtomicU64,
}

impl Default for Desk {
    /// One that knows nobody.
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new(), Arc::default(), "")
    }
}

impl Desk {
    /// The longest body that is taken, in bytes.
    pub const BODY: usize = 64 * 1024;

    /// The first segment of all paths.
    pub const ROOT: &'static str = "/api";

    /// Where the table is told as an OpenAPI document.
    pub const OPENAPI: &'static str = "/api/v1/openapi.json";

    /// A desk with these routes, and one that tells of them all; `version` is that of the program.
    pub fn new(mut routes: Vec<Route>, tokens: Vec<ApiToken>, refusals: Arc<Refusals>, version: &'static str) -> Self {
        routes.push(openapi::route(&routes, version));
        let process = RandomState::new().build_hasher().finish();
        Self {
            routes,
            tokens,
            refusals,
            ids: Ids { process, count: AtomicU64::new(0) },
            rules: Rules::default(),
            listener: None,
        }
    }

    /// The same by these rules; `listener` hears of orders that are refused here.
    #[must_use]
    pub fn ruled(self, rules: Rules, listener: Listener) -> Self {
        Self { rules, listener: Some(listener), ..self }
    }

    /// All routes, in order.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether a path is one that is answered here, be it with 404.
    pub fn is_here(path: &str) -> bool {
        path.strip_prefix(Self::ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Finds out who asks, and whether that may be asked.
    pub fn admit(&self, head: Head<'_>) -> Result<Admitted, Refused> {
        let order = self.order(&head);
        match self.judge(head) {
            Ok(admitted) => Ok(Admitted { order, ..admitted }),
            Err(refused) => {
                self.tell(order, refused.caller.as_deref(), &refused.why);
                Err(refused)
            }
        }
    }

    /// The same with its body, as far as that came, whose type must have been said if there is one.
    pub fn with_body(&self, mut admitted: Admitted, body: Result<Bytes, Error>) -> Result<Admitted, Error> {
        let body = body.and_then(|body| if body.is_empty() || admitted.is_json { Ok(body) } else { Err(no_json()) });
        match body {
            Ok(body) => {
                admitted.request.body = body;
                Ok(admitted)
            }
            Err(error) => {
                self.tell(admitted.order, Some(&admitted.request.caller.name), &error);
                Err(error)
            }
        }
    }

    /// Whoever asks: whether it is about something to be done.
    fn order(&self, head: &Head<'_>) -> Option<Order> {
        let fits = |route: &&Route| route.method == *head.method && path::fit(route.pattern, head.path) != Fit::None;
        self.routes.iter().find(fits).and_then(|route| Order::of(route, head.path, head.from))
    }

    fn tell(&self, order: Option<Order>, token: Option<&str>, error: &Error) {
        if let (Some(listener), Some(order)) = (&self.listener, order) {
            listener(order.refused(token, error));
        }
    }

    fn judge(&self, head: Head<'_>) -> Result<Admitted, Refused> {
        let token = token::known(&self.tokens, head.headers, head.query)
            .map_err(|stranger| self.stranger(stranger, head.from))?;
        let caller = Caller {
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            guests: token.guests.clone(),
            from: head.from,
        };
        if let Err(error) = self.rules.hears(&caller, head.entrance) {
            let (client, token) = (caller.from.map(tracing::field::display), &caller.name);
            tracing::warn!(client, token, "refused a token that acts: it came over plain HTTP from another machine");
            return Err(Refused::of(error).by(&caller.name));
        }
        let (route, path) = self.find(&head).map_err(|refused| refused.by(&token.name))?;
        let refused = |error: Error| Refused { pattern: Some(route.pattern), ..Refused::of(error).by(&token.name) };
        if !caller.scopes.contains(&route.scope) {
            let (name, scope) = (&caller.name, route.scope.as_str());
            let message = format!("the token {name} does not have the scope {scope}, which this needs");
            return Err(refused(Error::new(Code::Forbidden, message)));
        }
        if route.scope.acts() {
            self.rules.takes_orders(head.entrance).map_err(refused)?;
            self.refusals.orders.note(&caller.name).map_err(|wait| refused(too_fast(&caller.name)).after(wait))?;
        }
        let query = head.pairs.map_err(Error::bad_request).and_then(|pairs| known(route, pairs)).map_err(refused)?;
        let is_json = has_json(head.headers);
        if route.method == Method::POST && head.headers.contains_key(CONTENT_TYPE) && !is_json {
            return Err(refused(no_json()));
        }
        let key = idempotency_key(route, head.headers).map_err(refused)?;
        let request = Request { path, query, body: Bytes::new(), key, caller, id: self.ids.next() };
        Ok(Admitted { route: route.clone(), request, order: None, is_json })
    }

    /// The route that is meant, with what its path says.
    fn find(&self, head: &Head<'_>) -> Result<(&Route, Values), Refused> {
        let fits = |route: &&Route| path::fit(route.pattern, head.path) != Fit::None;
        let refused = |pattern, error: Error| Refused { pattern, ..Refused::of(error) };
        let Some(first) = self.routes.iter().find(fits) else {
            let message = format!("there is no such path; {} tells of all there are", Self::OPENAPI);
            return Err(refused(None, Error::new(Code::NotFound, message)));
        };
        // Routes of one pattern differ in their methods.
        let same = self.routes.iter().filter(|route| route.pattern == first.pattern);
        let Some(route) = same.clone().find(|route| answers(route, head.method)) else {
            let methods: Vec<&str> = same.map(methods).collect();
            return Err(not_allowed(first.pattern, &methods.join(", ")));
        };
        match path::fit(route.pattern, head.path) {
            Fit::Values(values) => Ok((route, values)),
            Fit::Malformed(name) => {
                let message =
                    format!("the part of the path that stands for {name} is empty, too long or badly encoded");
                Err(refused(Some(route.pattern), Error::bad_request(message)))
            }
            Fit::None => Err(refused(None, Error::new(Code::NotFound, "there is no such path"))),
        }
    }

    fn stranger(&self, stranger: Stranger, from: Option<IpAddr>) -> Refused {
        let Noted { wait, line } = self.refusals.note(from, stranger.is_guess());
        if let Some(times) = line {
            let (client, why) = (from.map(tracing::field::display), stranger.why());
            tracing::warn!(client, why, times, "refused a caller of the API");
        }
        if let Some(wait) = wait {
            let seconds = pace::seconds(wait);
            let message = format!("too many wrong tokens from this address; wait {seconds} s before the next one");
            return Refused::of(Error::new(Code::TooManyRequests, message)).after(wait);
        }
        let mut refused = Refused::of(Error::new(Code::Unauthorized, stranger.message()));
        let challenge = if stranger == Stranger::Unknown {
            "Bearer realm=\"pve-sentinel\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"pve-sentinel\""
        };
        refused.reply.headers.push((WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        refused
    }
}

impl Refused {
    fn of(why: Error) -> Self {
        Self { reply: why.clone().into(), pattern: None, caller: None, why: Box::new(why) }
    }

    fn by(self, token: &str) -> Self {
        Self { caller: Some(token.to_owned()), ..self }
    }

    fn after(mut self, wait: Duration) -> Self {
        self.reply.headers.push((RETRY_AFTER, pace::seconds(wait).into()));
        self
    }
}

impl Admitted {
    /// The pattern that its path fits.
    pub fn pattern(&self) -> &'static str {
        self.route.pattern
    }

    /// The name of its token.
    pub fn caller(&self) -> &str {
        &self.request.caller.name
    }

    /// What names it in the log.
    pub fn id(&self) -> &str {
        &self.request.id
    }

    /// Whether its body is to be read.
    pub fn takes_body(&self) -> bool {
        self.route.method == Method::POST
    }

    /// What is answered.
    pub async fn answer(self) -> Reply {
        let id = HeaderValue::from_str(&self.request.id);
        let mut reply = (self.route.handler)(self.request).await;
        if let Ok(id) = id {
            reply.headers.push((REQUEST_ID, id));
        }
        reply
    }
}

impl Ids {
    fn next(&self) -> String {
        format!("{:016x}-{}", self.process, self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }
}

fn answers(route: &Route, method: &Method) -> bool {
    route.method == *method || (route.method == Method::GET && *method == Method::HEAD)
}

/// As the `Allow` header has them.
fn methods(route: &Route) -> &str {
    if route.method == Method::GET { "GET, HEAD" } else { route.method.as_str() }
}

fn not_allowed(pattern: &'static str, methods: &str) -> Refused {
    let why = Error::new(Code::MethodNotAllowed, format!("{pattern} answers {methods} only"));
    let mut refused = Refused { pattern: Some(pattern), ..Refused::of(why) };
    if let Ok(methods) = HeaderValue::from_str(methods) {
        refused.reply.headers.push((ALLOW, methods));
    }
    refused
}

fn too_fast(token: &str) -> Error {
    let message =
        format!("the token {token} gives more orders than one a second; wait as long as the header Retry-After says");
    Error::new(Code::TooManyRequests, message)
}

/// Refuses parameters that mean nothing: a misspelt filter must not select everything.
fn known(route: &Route, pairs: Vec<(String, String)>) -> Result<Vec<(String, String)>, Error> {
    let taken =
        || route.doc.parameters.iter().filter(|parameter| matches!(parameter.place, Place::Query | Place::Repeatable));
    for (index, (name, _)) in pairs.iter().enumerate() {
        let shown = if name.len() <= SHOWN { format!("{name:?}") } else { "a long one".to_owned() };
        let Some(parameter) = taken().find(|parameter| parameter.name == name) else {
            let names: Vec<&str> = taken().map(|parameter| parameter.name).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::bad_request(format!("unknown parameter {shown}; known here: {names}")));
        };
        if parameter.place == Place::Query && pairs.iter().take(index).any(|(before, _)| before == name) {
            return Err(Error::bad_request(format!("the parameter {shown} is there twice; keep one of them")));
        }
    }
    Ok(pairs)
}

/// The header, where it means something.
fn idempotency_key(route: &Route, headers: &HeaderMap) -> Result<Option<String>, Error> {
    if !route.doc.parameters.iter().any(|parameter| parameter.place == Place::Header) {
        return Ok(None);
    }
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|_| values.next().is_none());
    let key =
        key.filter(|key| (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    let wrong =
        || Error::bad_request(format!("expected one {KEY_NAME} of 1 to {LONGEST_KEY} visible ASCII characters"));
    key.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}

fn has_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn no_json() -> Error {
    Error::new(
        Code::UnsupportedMediaType,
        "expected Content-Type: application/json with a body, found another one or none",
    )
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
