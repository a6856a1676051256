//! What one client may use up.

use std::sync::Weak;
use std::time::{Duration, Instant};

use super::lifecycle::{SCRAPE, gated, in_time};
use super::*;

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_slow_head_ends_the_connection() {
    let server = start(small(), Limits { first_request_timeout: SHORT, ..Limits::default() });
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
    let server = start(small(), Limits { idle_timeout: SHORT, ..Limits::default() });
    for head in ["", "GET /metr"] {
        let mut client = Client::connect(&server).await;
        assert_eq!(client.get("/-/healthy").await.status, 200);
        client.send(head).await;
        client.end().await;
    }
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
async fn a_kept_connection_outlives_the_time_of_a_first_request() {
    let server = start(small(), Limits { first_request_timeout: SHORT, ..Limits::default() });
    let mut kept = Client::connect(&server).await;
    assert_eq!(kept.get("/-/healthy").await.status, 200);
    // Begun later, so that its time is over later.
    Client::connect(&server).await.end().await;
    assert_eq!(kept.get("/-/healthy").await.status, 200);
}

#[tokio::test]
async fn further_clients_wait_where_an_answer_is_owed() {
    let (rounds, gate) = gated();
    let server = start(rounds, Limits { connections: 1, ..Limits::default() });
    let mut first = Client::connect(&server).await;
    first.send(SCRAPE).await;
    in_time("the scrape", gate.entered.notified()).await;
    let mut second = Client::connect(&server).await;
    second.send("GET /-/ready HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let too_early = tokio::time::timeout(SHORT, second.stream.readable()).await;
    assert!(too_early.is_err(), "the second client was served too early");
    gate.release.notify_one();
    assert_eq!(first.reply(false).await.unwrap().status, 200);
    assert_eq!(second.reply(false).await.unwrap().status, 200, "an idle connection kept the place");
    first.end().await;
}

/// Room for so many; nobody is closed for any other reason than that.
fn patient(connections: usize) -> Limits {
    let long = PATIENCE * 10;
    Limits { connections, first_request_timeout: long, idle_timeout: long, ..Limits::default() }
}

#[tokio::test]
async fn silent_clients_keep_nobody_out() {
    let server = start(small(), patient(4));
    let mut scraper = Client::connect(&server).await;
    let mut silent = Vec::new();
    for head in ["", "GET /me", "GET / HTTP/1.1\r\nHost: test\r\n"].into_iter().cycle().take(30) {
        let mut client = Client::connect(&server).await;
        client.send(head).await;
        silent.push(client);
    }
    for mut client in silent.drain(..20) {
        client.end().await;
    }
    // The one that was there first has waited longest.
    scraper.end().await;
    let mut next = Client::connect(&server).await;
    assert_eq!(next.ask("GET", "/metrics", "").await.status, 200);
}

#[tokio::test]
async fn room_is_made_by_who_has_waited_longest() {
    let server = start(small(), patient(3));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&server).await;
        assert_eq!(client.get("/-/healthy").await.status, 200);
        clients.push(client);
    }
    assert_eq!(clients[0].get("/-/healthy").await.status, 200);
    assert_eq!(Client::connect(&server).await.get("/-/healthy").await.status, 200);
    clients[1].end().await;
    assert_eq!(clients[0].get("/-/healthy").await.status, 200);
    assert_eq!(clients[2].get("/-/healthy").await.status, 200);
}

#[tokio::test]
async fn a_page_is_not_kept_for_who_takes_it_too_slowly() {
    let known: Arc<Mutex<Option<Weak<Part>>>> = Arc::default();
    let kept = Arc::clone(&known);
    let rounds: Rounds = Box::new(move |_| {
        let part = part(200_000);
        *kept.lock().unwrap() = Some(Arc::downgrade(&part));
        async move { Ok(Round { parts: vec![part], own_metrics: false, discovered: Vec::new() }) }.boxed()
    });
    let server = start(rounds, Limits { answer_timeout: SHORT, ..Limits::default() });
    let mut client = Client::connect_narrow(&server).await;
    client.send(SCRAPE).await;
    // Sooner than the time of a single write.
    until("the page is dropped", || {
        let dropped = known.lock().unwrap().as_ref().is_some_and(|part| part.strong_count() == 0);
        std::future::ready(dropped)
    })
    .await;
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
