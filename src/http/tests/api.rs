//! Bodies for the API: bounded in length and time, and JSON by their type.

use http::Method;

use super::*;
use crate::api::{Answer, Desk, Doc, Reply as Answered, Request, Route, handler};
use crate::config::ApiToken;
use crate::ids::{Scope, TokenHash};

static DOC: Doc = Doc {
    operation: "echo",
    summary: "Says what it heard.",
    parameters: &[],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "It.",
        schema: || serde_json::json!({}),
        example: || serde_json::json!({}),
    }],
    errors: &[],
};

fn start_echo(body_timeout: Duration) -> Server {
    let echo = |request: Request| std::future::ready(Answered::ok(&request.body.len()));
    let routes = vec![Route {
        method: Method::POST,
        pattern: "/api/echo",
        scope: Scope::Read,
        handler: handler(echo),
        doc: &DOC,
    }];
    let tokens =
        vec![ApiToken { name: "ops".to_owned(), hash: TokenHash::of("ops"), scopes: vec![Scope::Read], guests: None }];
    let limits = Limits { body_timeout, ..Limits::default() };
    start_site(site(small(), limits).with_desk(Desk::new(routes, tokens, Arc::default(), "1")))
}

/// The status and the body, and whether the connection goes on.
async fn post(server: &Server, headers: &str, body: &str) -> (u16, String) {
    let mut client = Client::connect(server).await;
    let head = format!("POST /api/echo HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ops\r\n{headers}\r\n");
    client.send(&head).await;
    // A body that nobody wants may find the door shut.
    let _ = client.stream.write_all(body.as_bytes()).await;
    let reply = client.reply(false).await.unwrap();
    (reply.status, reply.text().to_owned())
}

#[tokio::test]
async fn bodies_are_taken_up_to_a_bound() {
    let server = start_echo(PATIENCE);
    let json = "Content-Type: application/json\r\n";
    let (most, more) = ("x".repeat(64 * 1024), "x".repeat(64 * 1024 + 1));
    let chunked = |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    let long = |text: &str| format!("Content-Length: {}\r\n", text.len());
    let in_chunks = "Transfer-Encoding: chunked\r\n";
    for (headers, body, status, word) in [
        (String::new(), String::new(), 200, "0\n"),
        ("Content-Length: 0\r\n".to_owned(), String::new(), 200, "0\n"),
        (format!("{json}{}", long("{}")), "{}".to_owned(), 200, "2\n"),
        (format!("{json}{}", long(&most)), most.clone(), 200, "65536\n"),
        (format!("{json}{in_chunks}"), chunked(&most), 200, "65536\n"),
        (format!("{json}{}", long(&more)), more.clone(), 413, "too_large"),
        (format!("{json}{in_chunks}"), chunked(&more), 413, "too_large"),
        (format!("{json}Content-Length: 99999999999999999\r\n"), String::new(), 413, "too_large"),
        (format!("{json}{in_chunks}"), "zz\r\n".to_owned(), 400, "bad_request"),
        (long("{}"), "{}".to_owned(), 415, "unsupported_media_type"),
        (format!("Content-Type: text/plain\r\n{}", long("{}")), "{}".to_owned(), 415, "unsupported_media_type"),
    ] {
        let (found, text) = post(&server, &headers, &body).await;
        assert!(found == status && text.contains(word), "{headers:?}: {found} {text}");
    }
    let mut client = Client::connect(&server).await;
    let stranger = client.ask("POST", "/api/echo", "Content-Length: 99999999999\r\n").await;
    assert_eq!(stranger.status, 401, "nothing is read for strangers");
    let page = server.own.encode(Format::Text004);
    assert!(page.contains("path=\"/api/echo\",code=\"413\"} 3"), "{page}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = start_echo(Duration::from_millis(50));
    let headers = "Content-Type: application/json\r\nContent-Length: 3\r\n";
    let (status, text) = post(&server, headers, "ab").await;
    assert!(status == 408 && text.contains("request_timeout"), "{status} {text}");
    assert_eq!(post(&server, headers, "abc").await, (200, "3\n".to_owned()));
}
