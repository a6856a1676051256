//! The end: of a request, of a connection, of the server.

use std::time::Duration;

use tokio::sync::Notify;

use super::*;

/// Rounds that wait: `entered` hears of each that begins, `release` lets one end, `given_up` hears of those dropped.
#[derive(Default)]
pub(super) struct Gate {
    pub(super) entered: Notify,
    pub(super) release: Notify,
    given_up: Notify,
}

struct Given<'a>(&'a Gate, bool);

impl Drop for Given<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.given_up.notify_one();
        }
    }
}

pub(super) fn gated() -> (Rounds, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let kept = Arc::clone(&gate);
    let rounds: Rounds = Box::new(move |_| {
        let gate = Arc::clone(&kept);
        async move {
            let mut given = Given(&gate, false);
            gate.entered.notify_one();
            gate.release.notified().await;
            given.1 = true;
            Ok(Round { parts: vec![part(1)], own_metrics: false, discovered: Vec::new() })
        }
        .boxed()
    });
    (rounds, gate)
}

pub(super) const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n";

pub(super) async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

async fn is_closed(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_err()
}

#[tokio::test]
async fn requests_under_way_finish_and_idle_connections_end() {
    let (rounds, gate) = gated();
    let server = start(rounds, Limits::default());
    let mut idle = Client::connect(&server).await;
    assert_eq!(idle.get("/-/ready").await.status, 200);
    let mut busy = Client::connect(&server).await;
    busy.send(SCRAPE).await;
    in_time("the scrape", gate.entered.notified()).await;

    server.stop.send(()).unwrap();
    until("no client is accepted", || is_closed(server.address)).await;
    idle.end().await;
    assert!(!server.task.is_finished());
    gate.release.notify_one();
    let page = busy.reply(false).await.unwrap();
    assert_eq!((page.status, page.header("connection")), (200, "close"));
    assert!(page.text().ends_with("pve_up{cluster=\"home\",id=\"qemu/0\"} 0\n"));
    in_time("the server", server.task).await.unwrap();
}

#[tokio::test]
async fn nobody_waits_at_the_end_for_a_request_that_is_not_whole() {
    let long = PATIENCE * 10;
    let limits = Limits { drain: long, first_request_timeout: long, idle_timeout: long, ..Limits::default() };
    let server = start(small(), limits);
    let mut clients = Vec::new();
    for head in ["", "GET /metr", "GET / HTTP/1.1\r\nHost: test\r\n"] {
        let mut fresh = Client::connect(&server).await;
        fresh.send(head).await;
        let mut kept = Client::connect(&server).await;
        assert_eq!(kept.get("/-/healthy").await.status, 200);
        kept.send(head).await;
        clients.extend([fresh, kept]);
    }
    server.stop.send(()).unwrap();
    in_time("the server", server.task).await.unwrap();
    for mut client in clients {
        client.end().await;
    }
}

#[tokio::test]
async fn an_answer_on_its_way_is_sent_whole_at_the_end() {
    let server = start(always(vec![part(100_000)], false), Limits::default());
    let mut client = Client::connect_narrow(&server).await;
    client.send(SCRAPE).await;
    in_time("the first bytes", client.stream.readable()).await.unwrap();
    server.stop.send(()).unwrap();
    until("no client is accepted", || is_closed(server.address)).await;
    assert!(client.reply(false).await.unwrap().text().ends_with("pve_up{cluster=\"home\",id=\"qemu/99999\"} 99999\n"));
    in_time("the server", server.task).await.unwrap();
}

#[tokio::test]
async fn a_draining_site_is_healthy_but_not_ready() {
    let server = start(small(), Limits::default());
    let mut client = Client::connect(&server).await;
    assert_eq!((client.get("/-/healthy").await.status, client.get("/-/ready").await.status), (200, 200));
    server.front.start_draining();
    assert_eq!((client.get("/-/healthy").await.status, client.get("/-/ready").await.status), (200, 503));
    server.front.replace(site(small(), Limits::default()));
    assert_eq!(client.get("/-/ready").await.status, 503, "a reload does not hold up the end");
}

#[tokio::test]
async fn requests_that_do_not_finish_are_cut_off() {
    let (rounds, gate) = gated();
    let server = start(rounds, Limits { drain: Duration::from_millis(50), ..Limits::default() });
    let mut client = Client::connect(&server).await;
    client.send(SCRAPE).await;
    in_time("the scrape", gate.entered.notified()).await;
    server.stop.send(()).unwrap();
    in_time("the server", server.task).await.unwrap();
    in_time("the scrape to be dropped", gate.given_up.notified()).await;
    assert!(client.reply(false).await.is_none());
}

#[tokio::test]
async fn a_scrape_ends_with_its_client() {
    let (rounds, gate) = gated();
    let server = start(rounds, Limits::default());
    let mut client = Client::connect(&server).await;
    client.send(SCRAPE).await;
    in_time("the scrape", gate.entered.notified()).await;
    drop(client);
    in_time("the scrape to be dropped", gate.given_up.notified()).await;
    assert_eq!(Client::connect(&server).await.get("/-/healthy").await.status, 200);
}

#[tokio::test]
async fn a_scrape_may_take_longer_than_its_head() {
    let (rounds, gate) = gated();
    let short = Duration::from_millis(50);
    let limits =
        Limits { first_request_timeout: short, write_timeout: short, answer_timeout: short, ..Limits::default() };
    let server = start(rounds, limits);
    let mut client = Client::connect(&server).await;
    client.send(SCRAPE).await;
    in_time("the scrape", gate.entered.notified()).await;
    // Begun later, so that its time is over later.
    Client::connect(&server).await.end().await;
    gate.release.notify_one();
    assert_eq!(client.reply(false).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() {
    let server = start(Box::new(|_| panic!("on purpose")), Limits { connections: 2, ..Limits::default() });
    let mut other = Client::connect(&server).await;
    assert_eq!(other.get("/-/healthy").await.status, 200);
    for _ in 0..3 {
        let mut client = Client::connect(&server).await;
        client.send(SCRAPE).await;
        assert!(client.reply(false).await.is_none());
    }
    assert_eq!(other.get("/-/healthy").await.status, 200);
    server.stop.send(()).unwrap();
    in_time("the server", server.task).await.unwrap();
}

#[tokio::test]
async fn all_listeners_are_served() {
    let site = site(small(), Limits { connections: 1, ..Limits::default() });
    let listeners: Vec<_> = (0..3).map(|_| bind("127.0.0.1:0".parse().unwrap()).unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listeners, Arc::new(Front::new(site)), Heart::new().0, stopped.map(|_| ())));
    for address in addresses {
        let mut client = Client { stream: TcpStream::connect(address).await.unwrap(), rest: Vec::new() };
        assert_eq!(client.get("/-/healthy").await.status, 200);
    }
    stop.send(()).unwrap();
    in_time("the server", task).await.unwrap();
}
