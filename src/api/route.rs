//! One line of the table: what is answered by whom, and what is to be known of it before.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use serde_json::Value;

use super::error::Code;
use super::reply::Reply;
use super::request::Request;
use crate::ids::Scope;

/// What answers a question.
pub type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Reply> + Send + Sync>;

/// One line of the table.
#[derive(Clone)]
pub struct Route {
    /// GET, which answers HEAD too, or POST.
    pub method: Method,
    /// Such as `/api/v1/guests/{cluster}/{vmid}`; also its name in our metrics. Of two that fit, the first one answers.
    pub pattern: &'static str,
    /// What a token must allow.
    pub scope: Scope,
    /// What answers.
    pub handler: Handler,
    /// What is to be known of it.
    pub doc: &'static Doc,
}

/// What is to be known of a route; the OpenAPI document is made from it. Texts are sentences.
pub struct Doc {
    /// Its name for programs, such as `listGuests`.
    pub operation: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Every name of the pattern, and every parameter behind the question mark that is taken; others are refused.
    pub parameters: &'static [Parameter],
    /// What a POST takes; none: `{}` or nothing.
    pub body: Option<Body>,
    /// What is answered if all goes well, at least one.
    pub answers: &'static [Answer],
    /// What else can go wrong than with any request.
    pub errors: &'static [Code],
}

/// One parameter.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it means.
    pub about: &'static str,
    /// JSON schema of one value.
    pub schema: fn() -> Value,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path: always there.
    Path,
    /// Behind the question mark, at most once.
    Query,
    /// Behind the question mark, any number of times.
    Repeatable,
    /// In the head of the request; `Idempotency-Key` is the only one.
    Header,
}

/// The body of a POST.
pub struct Body {
    /// JSON schema.
    pub schema: fn() -> Value,
    /// One that fits the schema.
    pub example: fn() -> Value,
}

/// One good answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What it means.
    pub about: &'static str,
    /// JSON schema.
    pub schema: fn() -> Value,
    /// One that fits the schema.
    pub example: fn() -> Value,
}

/// Makes a handler of an async function.
pub fn handler<F>(answer: impl Fn(Request) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Reply> + Send + 'static,
{
    Arc::new(move |request| answer(request).boxed())
}
