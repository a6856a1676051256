//! What one client may use up.

use std::time::{Duration, Instant};

use super::*;

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_slow_head_ends_the_connection() {
    let server = start(small(), Limits { header_timeout: SHORT, ..Limits::default() });
    for head in ["", "GET /metr", "GET / HTTP/1.1\r\nHost: test\r\n"] {
        let started = Instant::now();
        let mut client = Client::connect(&server).await;
        client.send(head).await;
        client.end().await;
        assert!(started.elapsed() >= SHORT, "{head:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let server = start(small(), Limits { header_timeout: SHORT, ..Limits::default() });
    let mut client = Client::connect(&server).await;
    assert_eq!(client.get("/-/healthy").await.status, 200);
    client.end().await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let server = start(small(), Limits { header_bytes: 4096, headers: 20, ..Limits::default() });
    let long = format!("X-Long: {}\r\n", "x".repeat(5000));
    let many: String = (0..25).map(|n| format!("X-{n}: 1\r\n")).collect();
    for headers in [long, many] {
        let mut client = Client::connect(&server).await;
        assert_eq!(client.ask("GET", "/-/healthy", &headers).await.status, 431);
        client.end().await;
    }
    let fitting: String = (0..10).map(|n| format!("X-{n}: {}\r\n", "x".repeat(300))).collect();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.ask("GET", "/-/healthy", &fitting).await.status, 200);
}

#[tokio::test]
async fn nonsense_gets_an_answer_or_an_end() {
    let server = start(small(), Limits::default());
    for bytes in [
        "hello\r\n\r\n",
        "GET\r\n\r\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\n:\r\n\r\n",
    ] {
        let mut client = Client::connect(&server).await;
        client.send(bytes).await;
        if let Some(reply) = client.reply(false).await {
            assert!((400..500).contains(&reply.status), "{bytes:?}: {reply:?}");
        }
        client.end().await;
    }
    assert_eq!(Client::connect(&server).await.get("/-/healthy").await.status, 200);
}

#[tokio::test]
async fn bodies_of_requests_are_not_waited_for() {
    let server = start(small(), Limits::default());
    let mut client = Client::connect(&server).await;
    client.send("GET /-/healthy HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    assert_eq!(client.get("/-/healthy").await.status, 200, "a body that is there is skipped");

    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000000\r\n\r\nabc").await;
    assert_eq!(client.reply(false).await.unwrap().status, 405);
    client.end().await;
}

#[tokio::test]
async fn further_clients_wait_for_room() {
    let server = start(small(), Limits { connections: 1, ..Limits::default() });
    let mut first = Client::connect(&server).await;
    assert_eq!(first.get("/-/healthy").await.status, 200);
    let mut second = Client::connect(&server).await;
    second.send("GET /-/ready HTTP/1.1\r\nHost: test\r\n\r\n").await;
    for _ in 0..10 {
        assert_eq!(first.get("/-/healthy").await.status, 200);
    }
    let counted = server.own.encode(Format::Text004);
    assert!(counted.contains("{path=\"/-/healthy\",code=\"200\"} 11\n"), "{counted}");
    assert!(!counted.contains("/-/ready"), "the second client was served too early");
    drop(first);
    assert_eq!(second.reply(false).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off() {
    let limits = Limits { connections: 1, write_timeout: SHORT, ..Limits::default() };
    let server = start(always(vec![part(200_000)], false), limits);
    let mut stuck = Client::connect(&server).await;
    stuck.send("GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut next = Client::connect(&server).await;
    assert_eq!(next.get("/-/healthy").await.status, 200, "the only place was not freed");
    assert!(stuck.reply(false).await.is_none(), "the page was sent whole");
}
