//! Each fault as a client meets it.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncReadExt;

use super::super::testing::{AUDITOR, Client, length, options, until, world, world_with};
use super::super::{Credential, Options, Sim};
use super::*;

async fn with(fault: Fault) -> (Sim, Client) {
    let (sim, _) = world().await;
    sim.set_fault("/cluster/resources", fault);
    let mut client = Client::connect(&sim).await;
    client.send("GET /api2/json/cluster/resources", AUDITOR).await;
    (sim, client)
}

/// The client has nothing to read, although the sim had the time to serve another one meanwhile.
async fn is_silent(sim: &Sim, client: &mut Client) -> bool {
    assert_eq!(Client::connect(sim).await.get("/version", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
    assert_eq!(sim.requests()[0].target, "/api2/json/cluster/resources");
    let mut byte = [0];
    let mut read = Box::pin(client.stream.read(&mut byte));
    poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn a_status_has_its_reason_and_a_body_typed_by_its_look() {
    let cases = [
        (595, "No route to host", "", None),
        (500, "oops", "<html>", Some("text/html")),
        (403, "no", "{}", Some("application/json;charset=UTF-8")),
    ];
    for (code, reason, body, content_type) in cases {
        let status = Fault::Status { code, reason: reason.to_owned(), body: body.to_owned() };
        let (_sim, mut client) = with(status).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status_line(), format!("HTTP/1.1 {code} {reason}"));
        assert_eq!(answer.values("Content-Type").first().copied(), content_type);
        assert_eq!(answer.body, body.as_bytes());
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn a_hang_answers_nothing() {
    let (sim, mut client) = with(Fault::Hang).await;
    assert!(is_silent(&sim, &mut client).await);
}

#[tokio::test]
async fn a_stall_stops_in_the_body() {
    let (sim, mut client) = with(Fault::Stall { after_bytes: 100 }).await;
    assert!(length(&client.head().await.unwrap()).unwrap() > 100);
    assert_eq!(client.body(100).await.len(), 100);
    assert!(is_silent(&sim, &mut client).await);
}

#[tokio::test]
async fn a_drip_takes_its_time() {
    let (sim, _) = world().await;
    sim.set_fault("/version", Fault::Drip { bytes_per_second: 400 });
    let mut client = Client::connect(&sim).await;
    client.send("GET /api2/json/version", AUDITOR).await;
    let expected = length(&client.head().await.unwrap()).unwrap();
    let start = Instant::now();
    assert_eq!(client.body(expected).await.len(), expected);
    assert!(start.elapsed() >= Duration::from_secs(1) * u32::try_from(expected).unwrap() / 400);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let (_sim, mut client) = with(Fault::Reset).await;
    assert_eq!(client.head().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_truncated_body_is_shorter_than_announced() {
    let (_sim, mut client) = with(Fault::Truncate).await;
    let announced = length(&client.head().await.unwrap()).unwrap();
    assert_eq!(client.body(announced).await.len(), announced / 2);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_body_is_sent_as_it_is() {
    let (_sim, mut client) = with(Fault::Body(Bytes::from_static(b"\xff["))).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status_line(), "HTTP/1.1 200 OK");
    assert_eq!(answer.body, b"\xff[");
}

#[tokio::test]
async fn another_answer_has_its_own_date() {
    let date = "Fri, 20 Nov 2026 21:09:28 GMT";
    let other = Reply { date: Some(date.to_owned()), ..Reply::json(200, "OK", "{\"data\":[]}") };
    let (_sim, mut client) = with(Fault::Answer(other)).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((&*answer.body, answer.values("Date")), (&b"{\"data\":[]}"[..], vec![date]));
}

#[tokio::test]
async fn a_big_body_is_valid_json_without_a_length() {
    let (_sim, mut client) = with(Fault::BigBody { bytes: 1_000_000 }).await;
    assert_eq!(length(&client.head().await.unwrap()), None);
    let body = client.body(usize::MAX).await;
    assert_eq!(body.len(), 1_000_000);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), serde_json::json!({ "data": [] }));
}

#[tokio::test]
async fn a_kept_connection_dies_at_the_next_request() {
    let (sim, mut client) = with(Fault::CloseKeepAlive).await;
    assert_eq!(client.answer().await.unwrap().values("Connection"), ["Keep-Alive"]);
    client.send("GET /api2/json/version", AUDITOR).await;
    assert_eq!(client.head().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(sim.requests().len(), 1);
}

#[tokio::test]
async fn the_longest_prefix_decides_until_faults_are_cleared() {
    let (sim, _) = world().await;
    let status = |code| Fault::Status { code, reason: "x".to_owned(), body: String::new() };
    sim.set_fault("", status(500));
    sim.set_fault("/cluster/", status(501));
    sim.set_fault("/cluster/status", status(595));
    sim.set_fault("/cluster/status", status(596));
    for (path, code) in [("/version", 500), ("/cluster/resources?type=vm", 501), ("/cluster/status", 596)] {
        let answer = Client::connect(&sim).await.get(path, AUDITOR).await;
        assert_eq!(answer.status_line(), format!("HTTP/1.1 {code} x"));
    }
    let answer = Client::connect(&sim).await.get("/version", "").await;
    assert_eq!(answer.status_line(), "HTTP/1.1 401 No ticket");
    sim.clear_faults();
    assert_eq!(Client::connect(&sim).await.get("/version", AUDITOR).await.status_line(), "HTTP/1.1 200 OK");
    assert_eq!(sim.requests().last().unwrap().credential, Credential::Right(super::super::Rights::Auditor));
}

#[tokio::test]
async fn a_slow_answer_is_good_and_late_and_the_next_one_too() {
    let (sim, _) = world_with(Options { idle_timeout: Duration::from_secs(86_400), ..options() }).await;
    sim.set_fault("/version", Fault::Slow(Duration::from_secs(600)));
    let mut client = Client::connect(&sim).await;
    tokio::time::pause();
    for _ in 0..2 {
        let start = tokio::time::Instant::now();
        let answer = client.get("/version", AUDITOR).await;
        assert_eq!((answer.status_line(), answer.values("Connection")), ("HTTP/1.1 200 OK", vec!["Keep-Alive"]));
        assert!(start.elapsed() >= Duration::from_secs(600));
    }
}

#[tokio::test]
async fn every_nth_request_meets_the_fault() {
    let (sim, _) = world().await;
    let status = Fault::Status { code: 500, reason: "x".to_owned(), body: String::new() };
    let every_third = Fault::EveryNth { n: 3, fault: Box::new(status.clone()) };
    sim.set_fault("", every_third.clone());
    let codes = |count: usize| {
        let sim = &sim;
        async move {
            let mut codes = Vec::new();
            for _ in 0..count {
                codes.push(Client::connect(sim).await.get("/version", AUDITOR).await.status_line()[9..12].to_owned());
            }
            codes
        }
    };
    assert_eq!(codes(7).await, ["200", "200", "500", "200", "200", "500", "200"]);
    sim.set_fault("", Fault::EveryNth { n: 2, fault: Box::new(every_third) });
    assert_eq!(codes(6).await, ["200", "200", "200", "200", "200", "500"]);
    sim.set_fault("", Fault::EveryNth { n: 0, fault: Box::new(status) });
    assert_eq!(codes(2).await, ["500", "500"]);
}

#[tokio::test]
async fn gzip_comes_unasked_good_or_bad() {
    let unzip = |bytes: &[u8]| {
        let mut text = String::new();
        io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes), &mut text).map(|_| text)
    };
    for (fault, good) in [(Fault::Gzip, true), (Fault::BadGzip, false)] {
        let (_sim, mut client) = with(fault).await;
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.values("Content-Encoding"), ["gzip"]);
        assert_eq!(answer.body[..3], [0x1f, 0x8b, 8]);
        assert_eq!(unzip(&answer.body).is_ok_and(|text| text.starts_with("{\"data\":[{")), good);
    }
}

#[tokio::test]
async fn more_may_come_than_was_announced() {
    let (sim, mut client) = with(Fault::Understate).await;
    let first = client.answer().await.unwrap();
    assert_eq!(first.values("Connection"), ["Keep-Alive"]);
    sim.clear_faults();
    let length = Client::connect(&sim).await.get("/cluster/resources", AUDITOR).await.body.len();
    assert_eq!(first.body.len(), length / 2);
    let rest = client.body(length - length / 2).await;
    assert!(serde_json::from_slice::<serde_json::Value>(&[first.body, rest].concat()).is_ok());

    let (sim, mut client) = with(Fault::Surplus(Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\n"))).await;
    assert!(client.answer().await.unwrap().json()["data"].is_array());
    assert_eq!(client.head().await.unwrap(), "HTTP/1.1 200 OK\r\n\r\n");
    sim.clear_faults();
    assert_eq!(client.get("/version", AUDITOR).await.json()["data"]["version"], "9.2.11");
}

#[tokio::test]
async fn headers_may_never_end() {
    let (sim, mut client) = with(Fault::EndlessHeaders).await;
    tokio::time::pause();
    let mut head = vec![0; 3000];
    client.stream.read_exact(&mut head).await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\nX-More: ") && !head.windows(4).any(|end| end == b"\r\n\r\n"));
    tokio::time::resume();
    drop(client);
    until(|| sim.load()["pve1"].fast_open == 0).await;
}

#[tokio::test]
async fn lists_may_be_deep() {
    let (_sim, mut client) = with(Fault::nested(100_000)).await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.body.len(), 200_009);
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    let (_sim, mut client) = with(Fault::nested(2)).await;
    assert_eq!(client.answer().await.unwrap().json(), serde_json::json!({ "data": [[]] }));
}
