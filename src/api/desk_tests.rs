//! Questions as they come, and who is answered.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::api::route::{Answer, Doc, Parameter, handler};
use crate::ids::{Scope, TokenHash};

static DOC: Doc = Doc {
    operation: "tellThing",
    summary: "Tells what was asked.",
    parameters: &[
        Parameter { name: "cluster", place: Place::Path, about: "A cluster.", schema: || json!({"type": "string"}) },
        Parameter { name: "tag", place: Place::Repeatable, about: "Tags.", schema: || json!({"type": "string"}) },
        Parameter { name: "wait", place: Place::Query, about: "How long.", schema: || json!({"type": "string"}) },
    ],
    body: None,
    answers: &[Answer { status: 200, about: "It.", schema: || json!({"type": "object"}), example: || json!({}) }],
    errors: &[],
};

fn desk() -> Desk {
    let route = |method, pattern| {
        let tell = |request: Request| async move {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            Reply::ok(&json!({"cluster": request.path("cluster"), "tags": request.query_all("tag"), "body": body,
                "caller": request.caller.name}))
        };
        Route { method, pattern, scope: Scope::Read, handler: handler(tell), doc: &DOC }
    };
    let routes = vec![
        route(Method::GET, "/api/v1/things/{cluster}"),
        route(Method::POST, "/api/v1/things/{cluster}"),
        route(Method::POST, "/api/v1/go"),
    ];
    let token =
        |name: &str, scopes| ApiToken { name: name.to_owned(), hash: TokenHash::of(name), scopes, guests: None };
    let tokens = vec![
        token("ops", vec![Scope::Read]),
        token("nothing", Vec::new()),
        token("acts", vec![Scope::Read, Scope::Power]),
    ];
    Desk::new(routes, tokens, Arc::default(), "1")
}

/// The status, the code or body, and the headers.
async fn ask(desk: &Desk, method: Method, target: &str, headers: &[(&str, &str)]) -> (u16, Value, HeaderMap) {
    ask_by(desk, Entrance::default(), (method, target), headers).await
}

async fn ask_by(
    desk: &Desk,
    entrance: Entrance,
    (method, target): (Method, &str),
    headers: &[(&str, &str)],
) -> (u16, Value, HeaderMap) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let named = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let headers: HeaderMap = headers.iter().map(named).collect();
    let pairs = query.into_iter().flat_map(|query| query.split('&')).map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (name.to_owned(), value.to_owned())
    });
    let pairs = if query == Some("%") { Err("it is garbled".to_owned()) } else { Ok(pairs.collect()) };
    let head =
        Head { method: &method, path, query, pairs, headers: &headers, from: "192.0.2.1".parse().ok(), entrance };
    let reply = match desk.admit(head) {
        Ok(admitted) => admitted.answer().await,
        Err(refused) => refused.reply,
    };
    let value: Value = serde_json::from_slice(&reply.json).unwrap();
    let code = value.pointer("/error/code").cloned().unwrap_or(value);
    (reply.status.as_u16(), code, reply.headers.into_iter().collect())
}

const OPS: (&str, &str) = ("authorization", "Bearer ops");

#[tokio::test]
async fn questions_are_answered_or_refused_with_a_reason() {
    let desk = desk();
    let (status, body, headers) = ask(&desk, Method::GET, "/api/v1/things/my%20lab?tag=a&tag=b", &[OPS]).await;
    assert_eq!((status, body), (200, json!({"cluster": "my lab", "tags": ["a", "b"], "body": "", "caller": "ops"})));
    assert!(headers[REQUEST_ID].to_str().unwrap().ends_with("-1"));
    for (method, target, status, code) in [
        (Method::GET, "/api", 404, "not_found"),
        (Method::GET, "/api/v1/things", 404, "not_found"),
        (Method::GET, "/api/v1/things/x/", 404, "not_found"),
        (Method::GET, "/api/v1/things/", 400, "bad_request"),
        (Method::GET, "/api/v1/things/a%2fb", 400, "bad_request"),
        (Method::GET, "/api/v1/things/x?%", 400, "bad_request"),
        (Method::GET, "/api/v1/things/x?tags=a", 400, "bad_request"),
        (Method::GET, "/api/v1/things/x?cluster=a", 400, "bad_request"),
        (Method::GET, "/api/v1/things/x?wait=1&wait=2", 400, "bad_request"),
        (Method::GET, "/api/v1/things/x?token=ops", 400, "bad_request"),
        (Method::PUT, "/api/v1/things/x", 405, "method_not_allowed"),
        (Method::GET, "/api/v1/go", 405, "method_not_allowed"),
    ] {
        let (found, told, _) = ask(&desk, method.clone(), target, &[OPS]).await;
        assert_eq!((found, told), (status, json!(code)), "{method} {target}");
        let (found, told, _) = ask(&desk, method, target, &[]).await;
        assert_eq!((found, told), (401, json!("unauthorized")), "strangers learn nothing: {target}");
    }
    let allow = async |target: &str| ask(&desk, Method::DELETE, target, &[OPS]).await.2[ALLOW].clone();
    assert_eq!(
        (allow("/api/v1/things/x").await, allow("/api/v1/go").await),
        ("GET, HEAD, POST".parse().unwrap(), "POST".parse().unwrap())
    );
    assert_eq!(ask(&desk, Method::HEAD, "/api/v1/things/x", &[OPS]).await.0, 200);
    let (status, code, _) = ask(&desk, Method::GET, "/api/v1/things/x", &[("authorization", "Bearer nothing")]).await;
    assert_eq!((status, code), (403, json!("forbidden")));
}

#[tokio::test]
async fn a_body_says_that_it_is_json() {
    let desk = desk();
    for (kind, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
    ] {
        assert_eq!(ask(&desk, Method::POST, "/api/v1/go", &[OPS, ("content-type", kind)]).await.0, status, "{kind}");
    }
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer ops"))]);
    let admit = || {
        let (path, query, pairs, from, entrance) = ("/api/v1/go", None, Ok(Vec::new()), None, Entrance::default());
        desk.admit(Head { method: &Method::POST, path, query, pairs, headers: &headers, from, entrance }).ok().unwrap()
    };
    let with = |body: &'static str| desk.with_body(admit(), Ok(body.into()));
    assert!(admit().takes_body() && with("").is_ok(), "curl -X POST sends no type");
    assert_eq!(with("{}").err().map(|error| error.code), Some(Code::UnsupportedMediaType));
}

#[tokio::test(start_paused = true)]
async fn wrong_tokens_have_to_wait_and_right_ones_never() {
    let desk = desk();
    let wrong = ("authorization", "Bearer wrong");
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(ask(&desk, Method::GET, "/api/v1/things/x", &[wrong]).await.0);
        assert_eq!(ask(&desk, Method::GET, "/api/v1/things/x", &[OPS]).await.0, 200);
        assert_eq!(ask(&desk, Method::GET, "/api/v1/things/x", &[]).await.0, 401, "nothing was guessed");
    }
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    let (_, code, headers) = ask(&desk, Method::GET, "/nowhere", &[wrong]).await;
    assert_eq!((code, headers[RETRY_AFTER].to_str().unwrap()), (json!("too_many_requests"), "6"));
    tokio::time::advance(Duration::from_secs(6)).await;
    let (status, _, headers) = ask(&desk, Method::GET, "/nowhere", &[wrong]).await;
    assert_eq!(
        (status, headers[WWW_AUTHENTICATE].to_str().unwrap()),
        (401, "Bearer realm=\"pve-sentinel\", error=\"invalid_token\"")
    );
}

#[test]
fn what_is_here_is_told_by_whole_segments() {
    for (path, here) in
        [("/api", true), ("/api/", true), ("/api/v1/x", true), ("/apiary", false), ("/", false), ("/API", false)]
    {
        assert_eq!(Desk::is_here(path), here, "{path}");
    }
}

#[tokio::test]
async fn tokens_that_act_are_not_taken_in_plain_text_from_elsewhere() {
    let (desk, acts) = (desk(), ("authorization", "Bearer acts"));
    let question = || (Method::GET, "/api/v1/things/lab");
    let (status, code, _) = ask_by(&desk, Entrance::default(), question(), &[acts]).await;
    assert_eq!((status, code), (403, json!("forbidden")));
    let sealed = Entrance { sealed: true, of_control: false };
    assert_eq!(ask_by(&desk, sealed, question(), &[acts]).await.0, 200);
}

/// Three pairs of code and token, in the order in which they were told.
type Told = Arc<std::sync::Mutex<Vec<(Code, Option<String>)>>>;

fn ruled(rules: Rules) -> (Desk, Told) {
    let told = Told::default();
    let hear = Arc::clone(&told);
    let tell = |_: Request| std::future::ready(Reply::ok(&1));
    let act = |pattern| Route { method: Method::POST, pattern, scope: Scope::Power, handler: handler(tell), doc: &DOC };
    let mut desk = desk();
    desk.routes.insert(0, act("/api/v1/act/{cluster}"));
    let listener = Box::new(move |refused: crate::api::RefusedOrder| {
        assert_eq!(refused.pattern, "/api/v1/act/{cluster}");
        hear.lock().unwrap().push((refused.code, refused.token));
    });
    (desk.ruled(rules, listener), told)
}

#[tokio::test(start_paused = true)]
async fn orders_are_limited_by_token_and_questions_are_not() {
    let (desk, _) = ruled(Rules { allow_plaintext: true, apart: false });
    let acts = [("authorization", "Bearer acts")];
    let order = async || ask(&desk, Method::POST, "/api/v1/act/lab", &acts).await;
    let mut given = 0;
    while order().await.0 == 200 {
        given += 1;
    }
    let (status, code, headers) = order().await;
    assert_eq!((given, status, code), (60, 429, json!("too_many_requests")));
    assert_eq!(headers[RETRY_AFTER].to_str().unwrap(), "1");
    assert_eq!(ask(&desk, Method::GET, "/api/v1/things/lab", &acts).await.0, 200);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((order().await.0, order().await.0), (200, 429));
}

#[tokio::test]
async fn refused_orders_are_told_and_questions_are_not() {
    let (desk, told) = ruled(Rules { allow_plaintext: true, apart: true });
    let (order, acts) = ((Method::POST, "/api/v1/act/lab"), ("authorization", "Bearer acts"));
    let control = Entrance { sealed: false, of_control: true };
    assert_eq!(ask_by(&desk, control, order.clone(), &[acts]).await.0, 200);
    for (order, headers, status) in [
        (order.clone(), &[acts][..], 403),
        (order.clone(), &[OPS], 403),
        (order, &[], 401),
        ((Method::POST, "/api/v1/act/a%2fb"), &[acts], 400),
        ((Method::GET, "/api/v1/act/lab"), &[acts], 405),
        ((Method::POST, "/api/v1/go"), &[], 401),
        ((Method::POST, "/api/v1/nothing"), &[acts], 404),
    ] {
        assert_eq!(ask_by(&desk, Entrance::default(), order, headers).await.0, status);
    }
    let by = |token: &str| Some(token.to_owned());
    let expected = [
        (Code::Forbidden, by("acts")),
        (Code::Forbidden, by("ops")),
        (Code::Unauthorized, None),
        (Code::BadRequest, by("acts")),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}
